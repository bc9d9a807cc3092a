/* Reading a PEFT directory: adapter_config.json decides what it is, the tensors must be exactly those it speaks of.
 * Everything here is untrusted; what cannot be computed is refused by name, never left out. */
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/safetensors.h"
#include "compute/model/adapter_int.h"
#include "compute/model/adapter_select.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { CONFIG_MAX_BYTES = 1 << 20, KEY_BYTES = 96 };

static bool is_empty(const json_t *v)
{
    return !v || json_is_null(v) || json_is_false(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

/* Members that change what is computed and that we do not compute: anything but absent, null, false, empty. */
static int refuse_unknown(const json_t *config, const char *path, struct err *e)
{
    static const char *const never[] = {
        "modules_to_save", "lora_bias",         "fan_in_fan_out",          "layer_replication",
        "use_qalora",      "target_parameters", "trainable_token_indices", "alora_invocation_tokens",
        "use_bdlora",      "arrow_config"};
    for (size_t i = 0; i < N_ELEM(never); i++) {
        if (!is_empty(json_object_get(config, never[i]))) {
            return err_set(
                e, ERR_UNSUPPORTED, path,
                "cannot use adapter \"%s\": %s is set, which cannot be computed; unset or empty would be right", path,
                never[i]);
        }
    }
    return 0;
}

static int check_kind(const json_t *config, const char *path, struct err *e)
{
    const char *peft_type = "", *bias = "none", *init = NULL;
    int rc = json_get_str(config, "peft_type", &peft_type, path, e);
    if (!rc) {
        rc = json_opt_str(config, "bias", &bias, path, e);
    }
    if (!rc && json_is_string(json_object_get(config, "init_lora_weights"))) {
        rc = json_opt_str(config, "init_lora_weights", &init, path, e);
    }
    if (rc) {
        return rc;
    }
    if (!str_eq(peft_type, "LORA") || !str_eq(bias, "none")) {
        bool kind = !str_eq(peft_type, "LORA");
        return err_set(e, ERR_UNSUPPORTED, path, "cannot use adapter \"%s\": %s is \"%s\", \"%s\" would be right", path,
                       kind ? "peft_type" : "bias", kind ? peft_type : bias, kind ? "LORA" : "none");
    }
    if (init &&
        (str_starts(init, "pissa") || str_eq(init, "olora") || str_eq(init, "corda") || str_eq(init, "loftq"))) {
        return err_set(e, ERR_UNSUPPORTED, path,
                       "cannot use adapter \"%s\": init_lora_weights \"%s\" changed the base's own weights", path,
                       init);
    }
    return refuse_unknown(config, path, e);
}

/* The options; what every matrix carries is put into target[n_layer][SITE_COUNT]. */
static int read_config(const char *dir, const struct model_params *p, struct adapter_options *opt,
                       struct adapter_target *target, struct err *e)
{
    char *path = path_join(dir, "adapter_config.json");
    json_t *config = NULL;
    *opt = (struct adapter_options){.target = target};
    int rc = json_read_file(path, CONFIG_MAX_BYTES, &config, e);
    if (!rc) {
        rc = check_kind(config, path, e);
    }
    if (!rc) {
        rc = adapter_select(target, &opt->rank, &opt->alpha, p, config, false, path, e);
    }
    if (!rc) {
        rc = json_opt_bool(config, "use_rslora", &opt->use_rslora, path, e);
    }
    if (!rc) {
        rc = json_opt_bool(config, "use_dora", &opt->use_dora, path, e);
    }
    json_decref(config);
    mem_free(path);
    return rc;
}

static int check_factor(const struct model_params *p, size_t rank, const struct safetensors *s, int layer,
                        const struct adapter_module *m, enum adapter_part part, const char *path, struct err *e)
{
    char key[KEY_BYTES];
    size_t n_out, n_in;
    adapter_module_shape(p, m, &n_out, &n_in);
    int n_dim = part == ADAPTER_M ? 1 : 2;
    size_t n_row = part == ADAPTER_A ? rank : n_out, n_col = part == ADAPTER_B ? rank : n_in;
    n_col = n_dim == 1 ? 1 : n_col;
    adapter_key(key, sizeof(key), layer, m, part);
    const struct tensor_info *t = safetensors_find(s, key);
    if (!t) {
        return err_set(e, ERR_INPUT, path, "cannot use adapter \"%s\": tensor \"%s\" is missing", path, key);
    }
    if (t->n_dim != n_dim || t->shape[0] != n_row || (n_dim == 2 && t->shape[1] != n_col)) {
        return err_set(
            e, ERR_INPUT, path,
            "cannot use adapter \"%s\": tensor \"%s\" is %llu x %llu (%d dimensions), the model wants %zu x %zu", path,
            key, (unsigned long long)t->shape[0], (unsigned long long)(t->n_dim > 1 ? t->shape[1] : 1), t->n_dim, n_row,
            n_col);
    }
    return 0;
}

/* Every factor is there in its shape: after this the file justifies the memory. */
static int check_tensors(const struct model_params *p, const struct adapter_options *opt, const struct safetensors *s,
                         const char *path, struct err *e)
{
    int rc = 0, n, n_part = adapter_n_part(opt);
    const struct adapter_module *m = adapter_modules(p, &n);
    for (int i = 0; !rc && i < p->n_layer; i++) {
        for (int k = 0; !rc && k < n_part * n; k++) {
            int rank = opt->target[i * SITE_COUNT + (int)m[k / n_part].first].rank;
            if (rank > 0) {
                rc = check_factor(p, (size_t)rank, s, i, &m[k / n_part], (enum adapter_part)(k % n_part), path, e);
            }
        }
    }
    return rc;
}

/* Rows of a part for one site: buf holds the file's order, perm (what has outputs as rows) the base's. */
static void put_factor(struct adapter *a, int layer, enum adapter_site site, enum adapter_part part, const float *buf,
                       float *perm)
{
    const struct adapter_view *v = adapter_view_at(a, layer, site);
    size_t rank = (size_t)v->on.rank, width = part == ADAPTER_M ? 1 : rank;
    if (part == ADAPTER_A) {
        dev_write(a->dev, a->param + v->a, buf, rank * v->n_in);
        return;
    }
    adapter_rows_from_hf(a, site, width, perm, buf);
    dev_write(a->dev, a->param + (part == ADAPTER_B ? v->b : v->m), perm, width * v->n_out);
}

/* One part into the flat array. The sites of a fused module have their A in common and rows of the others of their
 * own. */
static int read_factor(struct adapter *a, const struct safetensors *s, int layer, const struct adapter_module *m,
                       enum adapter_part part, float *buf, float *perm, struct err *e)
{
    char key[KEY_BYTES];
    size_t n_out, n_in, rank = (size_t)adapter_module_target(a, layer, m).rank, width = part == ADAPTER_M ? 1 : rank,
                        at = 0;
    adapter_module_shape(&a->params, m, &n_out, &n_in);
    adapter_key(key, sizeof(key), layer, m, part);
    int rc = safetensors_read_f32(s, safetensors_find(s, key), buf, width * (part == ADAPTER_A ? n_in : n_out), e);
    for (int i = 0; !rc && i < m->n; i++) {
        enum adapter_site site = m->first + (enum adapter_site)i;
        put_factor(a, layer, site, part, buf + (part == ADAPTER_A ? 0 : at), perm);
        at += width * adapter_view_at(a, layer, site)->n_out;
    }
    return rc;
}

/* The number at the start of s; -1 when it is none that a layer could have. The whole name is compared afterwards. */
static int layer_of(const char *s)
{
    long n = strtol(s, NULL, 10);
    return n >= 0 && n < INT_MAX ? (int)n : -1;
}

/* The first tensor that is none of the adapter's, or NULL. */
static const char *stranger(const struct adapter *a, const struct safetensors *s)
{
    int n, n_part = adapter_n_part(&a->opt);
    const struct adapter_module *m = adapter_modules(&a->params, &n);
    for (size_t i = 0; i < safetensors_n_tensor(s); i++) {
        const char *name = safetensors_tensor(s, i)->name;
        bool known = false;
        int layer = -1;
        if (str_starts(name, "base_model.model.model.layers.")) {
            layer = layer_of(name + strlen("base_model.model.model.layers."));
        }
        for (int k = 0; layer >= 0 && layer < a->params.n_layer && k < n_part * n && !known; k++) {
            char key[KEY_BYTES];
            adapter_key(key, sizeof(key), layer, &m[k / n_part], (enum adapter_part)(k % n_part));
            known = adapter_module_target(a, layer, &m[k / n_part]).rank > 0 && str_eq(key, name);
        }
        if (!known) {
            return name;
        }
    }
    return NULL;
}

static int read_tensors(struct adapter *a, const struct safetensors *s, const char *path, struct err *e)
{
    const char *other = stranger(a, s);
    if (other) {
        return err_set(e, ERR_UNSUPPORTED, path,
                       "cannot use adapter \"%s\": tensor \"%s\" belongs to no targeted matrix of the model", path,
                       other);
    }
    size_t max = 0;
    int n, n_part = adapter_n_part(&a->opt);
    const struct adapter_module *m = adapter_modules(&a->params, &n);
    for (int i = 0; i < n; i++) {
        size_t n_out, n_in;
        adapter_module_shape(&a->params, &m[i], &n_out, &n_in);
        max = n_out > max ? n_out : max;
        max = n_in > max ? n_in : max;
    }
    float *buf = mem_try_array(max * (size_t)adapter_max_rank(a), sizeof(float));
    float *perm = mem_try_array(max * (size_t)adapter_max_rank(a), sizeof(float));
    int rc = buf && perm ? 0 : err_set(e, ERR_NOMEM, path, "cannot read adapter \"%s\": out of memory", path);
    for (int i = 0; !rc && i < a->params.n_layer; i++) {
        for (int k = 0; !rc && k < n_part * n; k++) {
            if (adapter_module_target(a, i, &m[k / n_part]).rank > 0) {
                rc = read_factor(a, s, i, &m[k / n_part], (enum adapter_part)(k % n_part), buf, perm, e);
            }
        }
    }
    mem_free(buf);
    mem_free(perm);
    return rc;
}

int adapter_load(struct adapter **out, const struct model *m, const char *dir, struct err *e)
{
    *out = NULL;
    if (file_exists(dir) && !file_is_dir(dir)) {
        return adapter_load_gguf(out, m, dir, e);
    }
    struct adapter_options opt;
    struct safetensors *s = NULL;
    struct adapter *a = NULL;
    char *path = path_join(dir, "adapter_model.safetensors");
    struct adapter_target *target = mem_try_array((size_t)model_params(m)->n_layer * SITE_COUNT, sizeof(*target));
    int rc = target ? read_config(dir, model_params(m), &opt, target, e)
                    : err_set(e, ERR_NOMEM, dir, "cannot read adapter \"%s\": out of memory", dir);
    if (!rc) {
        rc = safetensors_open(&s, path, e);
    }
    if (!rc) {
        rc = check_tensors(model_params(m), &opt, s, path, e);
    }
    if (!rc) {
        rc = adapter_make(&a, m, &opt, e);
    }
    if (!rc) {
        rc = read_tensors(a, s, path, e);
    }
    if (!rc) {
        adapter_update(a);
        *out = a;
        a = NULL;
    }
    adapter_free(a);
    safetensors_close(s);
    mem_free(target);
    mem_free(path);
    return rc;
}
