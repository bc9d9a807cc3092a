/* Writing an adapter as a PEFT directory. The directory is written beside its place, synced, and put there by one
 * rename (or one exchange with an older adapter), so that a reader sees the old one, the new one, or none. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/safetensors.h"
#include "compute/model/adapter_int.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { KEY_BYTES = 96 };

static json_t *config_json(const struct adapter *a, const char *base_name, const char *const *metadata)
{
    json_t *targets = json_array(), *own = json_object();
    for (int s = 0; s < SITE_COUNT; s++) {
        if (a->opt.sites & 1U << s) {
            json_array_append_new(targets, json_string(adapter_site_name[s]));
        }
    }
    for (size_t i = 0; metadata && metadata[i]; i += 2) {
        json_object_set_new(own, metadata[i], json_string(metadata[i + 1]));
    }
    return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o, s:f, s:s, s:o, s:b, s:b, s:n, s:b, s:b, s:o}", "peft_type", "LORA",
                     "task_type", "CAUSAL_LM", "base_model_name_or_path", base_name ? base_name : "", "inference_mode",
                     1, "r", a->opt.rank, "lora_alpha", json_finite((double)a->opt.alpha), "lora_dropout", 0.0, "bias",
                     "none", "target_modules", targets, "use_rslora", a->opt.use_rslora, "use_dora", 0,
                     "modules_to_save", "fan_in_fan_out", 0, "init_lora_weights", 1, "tailor", own);
}

/* One factor as an item; its values are copied to *at, which moves on. */
static void add_item(const struct adapter *a, int layer, enum adapter_site site, bool is_b,
                     struct safetensors_item *item, char *key, float *host, float **at)
{
    const struct adapter_view *v = adapter_view_at(a, layer, site);
    size_t rank = (size_t)a->opt.rank, n = rank * (is_b ? v->n_out : v->n_in);
    const float *src = host + (is_b ? v->b : v->a);
    if (is_b) {
        adapter_rows_to_hf(a, site, *at, src);
    } else {
        memcpy(*at, src, n * sizeof(float));
    }
    adapter_key(key, KEY_BYTES, layer, site, is_b);
    *item = (struct safetensors_item){.name = key, .type = TENSOR_F32, .n_dim = 2, .data = *at};
    item->shape[0] = is_b ? v->n_out : rank;
    item->shape[1] = is_b ? rank : v->n_in;
    *at += n;
}

static int save_tensors(const struct adapter *a, const char *path, struct err *e)
{
    size_t max_item = (size_t)a->params.n_layer * SITE_COUNT * 2, n = 0;
    float *host = mem_try_array(a->n_param, sizeof(float)), *hf = mem_try_array(a->n_param, sizeof(float)), *at = hf;
    struct safetensors_item *item = mem_try_array(max_item, sizeof(*item));
    char(*key)[KEY_BYTES] = mem_try_array(max_item, KEY_BYTES);
    static const char *const metadata[] = {"format", "pt", NULL};
    int rc;
    if (!host || !hf || !item || !key) {
        rc = err_set(e, ERR_NOMEM, path, "cannot save adapter \"%s\": out of memory", path);
        goto out;
    }
    dev_read(a->dev, host, a->param, a->n_param);
    for (int i = 0; i < a->params.n_layer; i++) {
        for (int s = 0; s < SITE_COUNT; s++) {
            for (int b = 0; b < 2 && a->opt.sites & 1U << s; b++, n++) {
                add_item(a, i, (enum adapter_site)s, b == 1, &item[n], key[n], host, &at);
            }
        }
    }
    rc = safetensors_save(path, item, n, metadata, e);
out:
    mem_free(host);
    mem_free(hf);
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
