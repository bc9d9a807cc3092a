/* Writing an adapter as a PEFT directory. The directory is written beside its place, synced, and put there by one
 * rename (or one exchange with an older adapter), so that a reader sees the old one, the new one, or none. */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/safetensors.h"
#include "compute/model/adapter_int.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { KEY_BYTES = 96 };

/* How many times the rank of the adapter the file's is: sites that the base keeps in one matrix stand beside each other
 * in its factors, each with columns of its own. 1 where nothing is fused. */
static size_t widening(const struct adapter *a)
{
    int n, widest = 1;
    const struct adapter_module *m = adapter_modules(&a->params, &n);
    for (int i = 0; i < n * a->params.n_layer; i++) {
        int targeted = 0;
        for (int k = 0; k < m[i % n].n; k++) {
            targeted += adapter_lora(a, i / n, m[i % n].first + (enum adapter_site)k) != NULL;
        }
        widest = targeted > widest ? targeted : widest;
    }
    return (size_t)widest;
}

/* The alpha with which a wider rank gives the same scale. */
static double file_alpha(const struct adapter *a, float alpha)
{
    double times = (double)widening(a);
    return (double)alpha * (a->opt.use_rslora ? sqrt(times) : times);
}

static bool target_is(struct adapter_target x, struct adapter_target y)
{
    return x.rank == y.rank && memcmp(&x.alpha, &y.alpha, sizeof(x.alpha)) == 0;
}

/* All layers have the same on a module. */
static bool is_uniform(const struct adapter *a, const struct adapter_module *m)
{
    bool same = true;
    for (int i = 1; i < a->params.n_layer; i++) {
        same = same && target_is(adapter_module_target(a, i, m), adapter_module_target(a, 0, m));
    }
    return same;
}

struct shape_json {
    json_t *targets, *ranks, *alphas;
};

/* A module under its name, where `on` differs from the adapter's rank and alpha in the patterns too. */
static void add_shape(const struct adapter *a, struct shape_json *out, const char *name, struct adapter_target on)
{
    float alpha = a->opt.alpha;
    if (on.rank == 0) {
        return;
    }
    json_array_append_new(out->targets, json_string(name));
    if (on.rank != a->opt.rank) {
        json_object_set_new(out->ranks, name, json_integer((json_int_t)widening(a) * on.rank));
    }
    if (memcmp(&on.alpha, &alpha, sizeof(alpha)) != 0) {
        json_object_set_new(out->alphas, name, json_finite(file_alpha(a, on.alpha)));
    }
}

/* Modules by their names alone where all layers have the same, else each by its whole name: PEFT takes both. */
static void describe_shape(const struct adapter *a, struct shape_json *out)
{
    int n;
    const struct adapter_module *m = adapter_modules(&a->params, &n);
    for (int k = 0; k < n; k++) {
        if (is_uniform(a, &m[k])) {
            add_shape(a, out, m[k].name, adapter_module_target(a, 0, &m[k]));
            continue;
        }
        for (int i = 0; i < a->params.n_layer; i++) {
            char name[KEY_BYTES];
            adapter_module_name(name, sizeof(name), i, &m[k]);
            add_shape(a, out, name, adapter_module_target(a, i, &m[k]));
        }
    }
}

static json_t *config_json(const struct adapter *a, const char *base_name, const char *const *metadata)
{
    struct shape_json shape = {json_array(), json_object(), json_object()};
    json_t *own = json_object();
    describe_shape(a, &shape);
    for (size_t i = 0; metadata && metadata[i]; i += 2) {
        json_object_set_new(own, metadata[i], json_string(metadata[i + 1]));
    }
    return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o, s:f, s:s, s:o, s:o, s:o, s:b, s:b, s:n, s:b, s:b, s:o}",
                     "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path",
                     base_name ? base_name : "", "inference_mode", 1, "r", (int)widening(a) * a->opt.rank, "lora_alpha",
                     json_finite(file_alpha(a, a->opt.alpha)), "lora_dropout", 0.0, "bias", "none", "target_modules",
                     shape.targets, "rank_pattern", shape.ranks, "alpha_pattern", shape.alphas, "use_rslora",
                     a->opt.use_rslora, "use_dora", a->opt.use_dora, "modules_to_save", "fan_in_fan_out", 0,
                     "init_lora_weights", 1, "tailor", own);
}

/* Factor A of a site: its rows from row0 on. Factor B: its rows of B in columns from col0 on. Magnitudes: from row0. */
static void place_factor(const struct adapter *a, int layer, enum adapter_site site, enum adapter_part part,
                         const float *host, float *to, size_t row0, size_t col0, size_t n_col, float *rows)
{
    const struct adapter_view *v = adapter_view_at(a, layer, site);
    size_t rank = (size_t)v->on.rank;
    if (part == ADAPTER_A) {
        memcpy(to + row0 * n_col, host + v->a, rank * v->n_in * sizeof(float));
        return;
    }
    if (part == ADAPTER_M) {
        adapter_rows_to_hf(a, site, 1, to + row0, host + v->m);
        return;
    }
    adapter_rows_to_hf(a, site, rank, rows, host + v->b);
    for (size_t r = 0; r < v->n_out; r++) {
        memcpy(to + (row0 + r) * n_col + col0, rows + r * rank, rank * sizeof(float));
    }
}

/* One part of a module as an item; its values are put at *at, which moves on. rows: scratch for B of a site. */
static void add_item(const struct adapter *a, int layer, const struct adapter_module *m, enum adapter_part part,
                     struct safetensors_item *item, char *key, const float *host, float **at, float *rows)
{
    size_t n_out, n_in, rank = (size_t)adapter_module_target(a, layer, m).rank, wide = widening(a) * rank;
    size_t row = 0, taken = 0;
    adapter_module_shape(&a->params, m, &n_out, &n_in);
    size_t n_row = part == ADAPTER_A ? wide : n_out, n_col = part == ADAPTER_A ? n_in : part == ADAPTER_B ? wide : 1;
    memset(*at, 0, n_row * n_col * sizeof(float));
    for (int i = 0; i < m->n; i++) {
        enum adapter_site site = m->first + (enum adapter_site)i;
        if (adapter_lora(a, layer, site)) {
            place_factor(a, layer, site, part, host, *at, part == ADAPTER_A ? taken : row, taken, n_col, rows);
            taken += rank;
        }
        row += adapter_view_at(a, layer, site)->n_out;
    }
    adapter_key(key, KEY_BYTES, layer, m, part);
    *item = (struct safetensors_item){.name = key, .type = TENSOR_F32, .n_dim = part == ADAPTER_M ? 1 : 2, .data = *at};
    item->shape[0] = n_row;
    item->shape[1] = n_col;
    *at += n_row * n_col;
}

/* Values of the file; the largest B of a site. */
static size_t file_values(const struct adapter *a, size_t *max_b)
{
    int n;
    size_t total = 0, wide = widening(a);
    const struct adapter_module *m = adapter_modules(&a->params, &n);
    *max_b = 0;
    for (int i = 0; i < n * a->params.n_layer; i++) {
        size_t n_out, n_in, rank = (size_t)adapter_module_target(a, i / n, &m[i % n]).rank;
        adapter_module_shape(&a->params, &m[i % n], &n_out, &n_in);
        total += wide * rank * (n_out + n_in) + (a->opt.use_dora && rank > 0 ? n_out : 0);
        *max_b = n_out * rank > *max_b ? n_out * rank : *max_b;
    }
    return total;
}

static int save_tensors(const struct adapter *a, const char *path, struct err *e)
{
    size_t max_item = (size_t)a->params.n_layer * SITE_COUNT * ADAPTER_PARTS, n = 0, max_b,
           n_value = file_values(a, &max_b);
    float *host = mem_try_array(a->n_param, sizeof(float)), *hf = mem_try_array(n_value, sizeof(float)), *at = hf;
    float *rows = mem_try_array(max_b, sizeof(float));
    int n_module;
    const struct adapter_module *m = adapter_modules(&a->params, &n_module);
    struct safetensors_item *item = mem_try_array(max_item, sizeof(*item));
    char(*key)[KEY_BYTES] = mem_try_array(max_item, KEY_BYTES);
    static const char *const metadata[] = {"format", "pt", NULL};
    int rc;
    if (!host || !hf || !rows || !item || !key) {
        rc = err_set(e, ERR_NOMEM, path, "cannot save adapter \"%s\": out of memory", path);
        goto out;
    }
    dev_read(a->dev, host, a->param, a->n_param);
    for (int i = 0; i < a->params.n_layer; i++) {
        for (int k = 0; k < n_module; k++) {
            int n_part = adapter_module_target(a, i, &m[k]).rank > 0 ? adapter_n_part(&a->opt) : 0;
            for (int part = 0; part < n_part; part++, n++) {
                add_item(a, i, &m[k], (enum adapter_part)part, &item[n], key[n], host, &at, rows);
            }
        }
    }
    rc = safetensors_save(path, item, n, metadata, e);
out:
    mem_free(host);
    mem_free(hf);
    mem_free(rows);
    mem_free(item);
    mem_free(key);
    return rc;
}

static int save_files(const struct adapter *a, const char *dir, const char *base_name, const char *const *metadata,
                      struct err *e)
{
    char *tensors = path_join(dir, "adapter_model.safetensors"), *config = path_join(dir, "adapter_config.json");
    json_t *json = config_json(a, base_name, metadata);
    int rc = json ? save_tensors(a, tensors, e)
                  : err_set(e, ERR_NOMEM, dir, "cannot save adapter \"%s\": its description cannot be made", dir);
    if (!rc) {
        rc = json_write_file(config, json, e);
    }
    if (!rc) {
        rc = file_sync_dir(dir, e);
    }
    json_decref(json);
    mem_free(tensors);
    mem_free(config);
    return rc;
}

/* What stands at dir may be replaced: nothing, an empty directory, an adapter. */
static int check_place(const char *dir, struct err *e)
{
    if (!file_exists(dir)) {
        return 0;
    }
    if (!file_is_dir(dir)) {
        return err_set(e, ERR_INPUT, dir, "cannot save adapter \"%s\": a file is there, a directory would be right",
                       dir);
    }
    char **names, *config = path_join(dir, "adapter_config.json");
    size_t n;
    bool is_adapter = file_exists(config);
    mem_free(config);
    int rc = file_list_dir(dir, &names, &n, e);
    if (rc) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        mem_free(names[i]);
    }
    mem_free(names);
    return n == 0 || is_adapter
               ? 0
               : err_set(e, ERR_INPUT, dir,
                         "cannot save adapter \"%s\": the directory holds other things than an adapter", dir);
}

/* Put the finished directory tmp at dir. */
static int put_in_place(const char *tmp, const char *dir, const char *parent, struct err *e)
{
    bool replaces = file_exists(dir);
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, dir, replaces ? RENAME_EXCHANGE : RENAME_NOREPLACE) != 0) {
        return err_set_errno(e, dir, "cannot put adapter \"%s\" in its place", dir);
    }
    int rc = file_sync_dir(parent, e);
    return !rc && replaces ? file_remove_tree(tmp, e) : rc;
}

static char *parent_of(const char *dir)
{
    const char *base = path_base(dir);
    size_t n = (size_t)(base - dir);
    return n == 0 ? mem_strdup(".") : n == 1 ? mem_strdup("/") : mem_strndup(dir, n - 1);
}

int adapter_save(const struct adapter *a, const char *dir, const char *base_name, const char *const *metadata,
                 struct err *e)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') {
        n--;
    }
    char *place = mem_strndup(dir, n), *parent = parent_of(place), *tmp = NULL;
    tmp = mem_alloc(n + sizeof(".tmp")); /* a fixed name: what a crash left there is removed by the next save */
    snprintf(tmp, n + sizeof(".tmp"), "%s.tmp", place);
    int rc = check_place(place, e);
    if (!rc) {
        rc = file_mkdirs(parent, e);
    }
    if (!rc) {
        rc = file_remove_tree(tmp, e);
    }
    if (!rc) {
        rc = file_mkdirs(tmp, e);
    }
    if (!rc) {
        rc = save_files(a, tmp, base_name, metadata, e);
        if (!rc) {
            rc = put_in_place(tmp, place, parent, e);
        }
        if (rc && file_remove_tree(tmp, NULL)) {
            rc = err_wrap(e, rc, "an unfinished copy is left beside it");
        }
    }
    if (rc) {
        err_rename(e, tmp, place);
    }
    mem_free(place);
    mem_free(parent);
    mem_free(tmp);
    return rc;
}
