/* A Hugging Face directory as a model: config.json, model.safetensors or the files of its index, tokenizer files.
 * Fills a struct model_file; tensors get their GGUF names here, data stays as it is (rotary pairs in halves).
 * Other files of the directory are ignored; a path in the index that leaves the directory is refused. */
#include "compute/formats/arch_int.h"
#include "compute/formats/hf_made.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/str.h"

/* Tensors that nothing is computed with: frequencies that older checkpoints stored, a head that the config declares
 * tied, and what stands beside an encoder. */
static bool is_dropped(const struct model_file *f, const char *gguf_name, const char *hf_name)
{
    if (str_ends(hf_name, ".rotary_emb.inv_freq") || (model_file_is_encoder(f) && hf_encoder_drops(hf_name))) {
        return true;
    }
    return str_eq(gguf_name, "output.weight") && json_is_true(json_object_get(f->config, "tie_word_embeddings"));
}

/* Where norm weights lack the 1 that they are used with, it is added when they are read; in float32, because bfloat16
 * has no room for small weights beside it. */
static void add_one(struct stored_tensor *s)
{
    struct tensor_info *t = &s->info;
    bool is_float = t->type == TENSOR_F32 || t->type == TENSOR_F16 || t->type == TENSOR_BF16;
    if (t->n_dim == 1 && is_float && str_ends(t->name, "_norm.weight")) {
        s->plus_one = true;
        s->stored_type = t->type;
        t->type = TENSOR_F32;
        t->n_bytes = t->shape[0] * sizeof(float);
    }
}

static int take_tensor(struct model_file *f, const struct tensor_info *t, uint64_t offset, struct err *e)
{
    char name[LIMIT_NAME_BYTES + 1];
    const struct arch *a = arch_find_model_type(json_string_value(json_object_get(f->config, "model_type")));
    bool known = model_file_is_encoder(f) ? hf_encoder_tensor_name(t->name, name, sizeof name)
                                          : hf_tensor_name(a, t->name, name, sizeof name);
    if (!known) {
        snprintf(name, sizeof name, "%s", t->name);
    }
    if (is_dropped(f, name, t->name)) {
        return 0;
    }
    struct stored_tensor *s = &f->tensor[f->n_tensor];
    *s = (struct stored_tensor){.info = *t};
    s->info.name = arena_strndup(&f->names, name, strlen(name));
    s->part = (uint32_t)f->n_part;
    s->offset = offset;
    if (s->info.name && a && a->plus_one) {
        add_one(s);
    }
    f->n_tensor += s->info.name != NULL;
    return s->info.name ? 0 : err_set(e, ERR_NOMEM, f->path, "cannot open \"%s\": out of memory", f->path);
}

/* All tensors of one file, and its descriptor. weight_map (may be NULL): names that the index puts into this file. */
static int open_file(struct model_file *f, const char *file, json_t *weight_map, struct err *e)
{
    struct safetensors *s = NULL;
    const char *name;
    json_t *where;
    uint64_t size_bytes;
    char *path = path_join(f->path, file);
    int rc = safetensors_open(&s, path, e);
    if (rc) {
        goto out;
    }
    json_object_foreach(weight_map, name, where)
    {
        if (str_eq(json_string_value(where), file) && !safetensors_find(s, name)) {
            rc =
                err_set(e, ERR_INPUT, path, "cannot open \"%s\": the index says tensor \"%.64s\" is in it", path, name);
            goto out;
        }
    }
    size_t n = f->n_tensor + safetensors_n_tensor(s);
    struct stored_tensor *t = n <= LIMIT_TENSORS ? mem_try_realloc(f->tensor, (n ? n : 1) * sizeof *t) : NULL;
    if (!t) {
        rc = err_set(e, n > LIMIT_TENSORS ? ERR_LIMIT : ERR_NOMEM, path, "cannot open \"%s\": %zu tensors are too many",
                     path, n);
        goto out;
    }
    f->tensor = t;
    for (size_t i = 0; !rc && i < safetensors_n_tensor(s); i++) {
        const struct tensor_info *info = safetensors_tensor(s, i);
        rc = take_tensor(f, info, ((const struct stored_tensor *)info)->offset, e);
    }
    if (!rc) {
        int fd = safetensors_take_file(s, &size_bytes);
        rc = model_add_part(f, path, fd, size_bytes, e);
    }
out:
    safetensors_close(s);
    mem_free(path);
    return rc;
}

static bool is_plain_file_name(const char *s)
{
    return s && *s && !strchr(s, '/') && !str_eq(s, ".") && !str_eq(s, "..");
}

/* model.safetensors.index.json: {"weight_map": {tensor: file}}; each file once. */
static int open_index(struct model_file *f, const char *index_path, struct err *e)
{
    json_t *index;
    json_t *file;
    const char *name;
    int rc = json_load_object(&index, index_path, LIMIT_JSON_FILE, 0, e);
    if (rc) {
        return rc;
    }
    json_t *seen = json_object();
    json_t *weight_map = json_object_get(index, "weight_map");
    if (json_object_size(weight_map) == 0) {
        rc = err_set(e, ERR_INPUT, index_path, "cannot open \"%s\": it has no object \"weight_map\"", index_path);
    }
    json_object_foreach(weight_map, name, file)
    {
        const char *text = json_string_value(file);
        if (!rc && !is_plain_file_name(text)) {
            rc = err_set(e, ERR_INPUT, index_path,
                         "cannot open \"%s\": tensor \"%.64s\" is in no file of this directory", index_path, name);
        }
        if (rc || json_object_get(seen, text)) {
            continue;
        }
        if (json_object_set_new(seen, text, json_true()) || json_object_size(seen) > LIMIT_PARTS) {
            rc = err_set(e, ERR_LIMIT, index_path, "cannot open \"%s\": more than %d files", index_path,
                         (int)LIMIT_PARTS);
        }
        rc = rc ? rc : open_file(f, text, weight_map, e);
    }
    json_decref(seen);
    json_decref(index);
    return rc;
}

static int open_weights(struct model_file *f, struct err *e)
{
    char *single = path_join(f->path, "model.safetensors");
    char *index = path_join(f->path, "model.safetensors.index.json");
    int rc = 0;
    if (file_exists(single)) {
        rc = open_file(f, "model.safetensors", NULL, e);
    } else if (file_exists(index)) {
        rc = open_index(f, index, e);
    }
    mem_free(single);
    mem_free(index);
    return rc;
}

/* A directory says what it is, and holds weights or at least a tokenizer. */
static int check_parts(const struct model_file *f, bool has_tokenizer, struct err *e)
{
    if ((f->n_tensor || !has_tokenizer) && !json_is_string(json_object_get(f->config, "model_type"))) {
        return err_set(e, ERR_INPUT, f->path, "cannot open \"%s\": its config.json has no \"model_type\"", f->path);
    }
    if (f->n_tensor || has_tokenizer) {
        return 0;
    }
    return err_set(e, ERR_INPUT, f->path,
                   "cannot open \"%s\": it has no tensors, model.safetensors or model.safetensors.index.json with its "
                   "files is needed beside config.json",
                   f->path);
}

int model_open_hf(struct model_file *f, const char *path, struct err *e)
{
    char *config = path_join(path, "config.json");
    char *tokenizer = path_join(path, "tokenizer.json");
    char *pieces = path_join(path, "tokenizer.model");
    bool has_tokenizer = file_exists(tokenizer) || file_exists(pieces);
    int rc = 0;
    if (file_exists(config)) {
        rc = json_load_object(&f->config, config, LIMIT_CONFIG_FILE, 0, e);
        f->metadata = json_incref(f->config);
        rc = rc ? rc : open_weights(f, e);
        rc = rc ? rc : hf_quant_bind(f, e);
        rc = rc ? rc : hf_made_bind(f, e);
        rc = rc ? rc : check_parts(f, has_tokenizer, e);
    } else if (!has_tokenizer) {
        rc = err_set(e, ERR_NOT_FOUND, path,
                     "cannot open \"%s\": a directory with neither config.json nor tokenizer.json", path);
    }
    if (!rc) {
        f->metadata = f->metadata ? f->metadata : json_object();
        f->vocab_rc = hf_vocab_load(&f->hf, path, f->config, &f->vocab_err);
        f->vocab = f->hf.v;
    }
    mem_free(config);
    mem_free(tokenizer);
    mem_free(pieces);
    return rc;
}

/* tokenizer_config.json beside a file, NULL when there is none. */
static int load_config_beside(json_t **out, const char *path, struct err *e)
{
    char *dir = mem_strndup(path, (size_t)(path_base(path) - path));
    char *config_path = path_join(*dir ? dir : ".", "tokenizer_config.json");
    *out = NULL;
    /* reals: model_max_length is often 10^30 */
    int rc =
        file_exists(config_path) ? json_load_object(out, config_path, LIMIT_JSON_FILE, JSON_DECODE_INT_AS_REAL, e) : 0;
    mem_free(config_path);
    mem_free(dir);
    return rc;
}

int model_open_sentencepiece(struct model_file *f, const char *path, struct err *e)
{
    char *data;
    size_t n;
    json_t *config;
    int rc = file_read_all(path, LIMIT_STRING_BYTES, &data, &n, e);
    if (rc) {
        return rc;
    }
    rc = load_config_beside(&config, path, e);
    if (!rc) {
        f->metadata = json_object();
        f->vocab_rc = spm_vocab_parse(&f->hf, path, data, n, config, NULL, &f->vocab_err);
        f->vocab = f->hf.v;
    }
    json_decref(config);
    mem_free(data);
    return rc;
}

int model_open_tokenizer_json(struct model_file *f, const char *path, struct err *e)
{
    json_t *tokenizer;
    int rc = json_load_object(&tokenizer, path, LIMIT_JSON_FILE, 0, e);
    if (rc) {
        return rc;
    }
    json_t *config = NULL;
    if (!json_object_get(tokenizer, "model")) {
        rc = err_set(e, ERR_UNSUPPORTED, path,
                     "cannot open \"%s\": no tokenizer.json, a GGUF file or a Hugging Face directory would be right",
                     path);
    } else {
        rc = load_config_beside(&config, path, e);
    }
    if (!rc) {
        f->metadata = json_object();
        f->vocab_rc = hf_vocab_parse(&f->hf, path, tokenizer, config, NULL, &f->vocab_err);
        f->vocab = f->hf.v;
    }
    json_decref(config);
    json_decref(tokenizer);
    return rc;
}
