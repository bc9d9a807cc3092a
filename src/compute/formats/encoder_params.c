/* Encoders of the BERT family: hyper-parameters and tensor names from both containers, and how their vectors are
 * pooled. Owns nothing. What is read here must describe exactly what encoder.c computes; other options are refused. */
#include "compute/formats/formats_int.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/str.h"

enum { MAX_LAYER = 1024, MAX_WIDTH = 1 << 16, MAX_VOCAB = 1 << 24, MAX_CONTEXT = 1 << 20 };

static const char *architecture(const struct model_file *f)
{
    const char *name = f->is_gguf ? gguf_get_str(&f->gguf, "general.architecture")
                                  : json_string_value(json_object_get(f->config, "model_type"));
    return name ? name : "";
}

bool model_file_is_encoder(const struct model_file *f)
{
    return str_eq(architecture(f), "bert");
}

/* One number by its name in either container; 0 where it is absent. */
static int64_t number(const struct model_file *f, const char *gguf, const char *config)
{
    int64_t v = 0;
    if (f->is_gguf) {
        return gguf_get_int(&f->gguf, gguf, &v) ? v : 0;
    }
    const json_t *j = json_object_get(f->config, config);
    return json_is_integer(j) ? json_integer_value(j) : 0;
}

static int check(const struct model_file *f, const char *name, int64_t v, int64_t max, int *out, struct err *e)
{
    if (v < 1 || v > max) {
        return err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": %s is %lld, 1 to %lld would be right", f->path, name,
                       (long long)v, (long long)max);
    }
    *out = (int)v;
    return 0;
}

static int64_t rows_of(const struct model_file *f, const char *name)
{
    const struct tensor_info *t = model_file_find(f, name);
    return t && t->n_dim == 2 ? (int64_t)t->shape[0] : 0;
}

static int read_eps(const struct model_file *f, float *out, struct err *e)
{
    double eps = 1e-12;
    const json_t *j = json_object_get(f->config, "layer_norm_eps");
    if (f->is_gguf) {
        (void)gguf_get_float(&f->gguf, "bert.attention.layer_norm_epsilon", &eps);
    } else if (json_is_number(j)) {
        eps = json_number_value(j);
    }
    *out = (float)eps;
    return eps > 0 && eps < 1 ? 0
                              : err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": layer_norm_eps is %g", f->path, eps);
}

/* Options of config.json that would change the computation. */
static int check_options(const struct model_file *f, struct err *e)
{
    const char *act = json_string_value(json_object_get(f->config, "hidden_act"));
    const char *position = json_string_value(json_object_get(f->config, "position_embedding_type"));
    if (act && !str_eq(act, "gelu")) {
        return err_set(e, ERR_UNSUPPORTED, f->path, "cannot use \"%s\": hidden_act is \"%.40s\", \"gelu\" is supported",
                       f->path, act);
    }
    if (position && !str_eq(position, "absolute")) {
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot use \"%s\": position_embedding_type is \"%.40s\", \"absolute\" is supported", f->path,
                       position);
    }
    static const char *const switches[] = {"is_decoder", "add_cross_attention"};
    for (size_t i = 0; i < N_ELEM(switches); i++) {
        const json_t *j = json_object_get(f->config, switches[i]);
        if (j && !json_is_null(j) && !json_is_false(j)) {
            return err_set(e, ERR_UNSUPPORTED, f->path, "cannot use \"%s\": %s is not supported", f->path, switches[i]);
        }
    }
    bool causal = false;
    if (f->is_gguf && gguf_find(&f->gguf, "bert.attention.causal") &&
        (!gguf_get_bool(&f->gguf, "bert.attention.causal", &causal) || causal)) {
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot use \"%s\": bert.attention.causal is not false, which alone is supported", f->path);
    }
    return 0;
}

int model_file_encoder(const struct model_file *f, struct encoder_params *p, struct err *e)
{
    *p = (struct encoder_params){.n_token_type = (int)rows_of(f, "token_types.weight")};
    if (!model_file_is_encoder(f)) {
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot use \"%s\": architecture \"%.40s\" is no encoder, \"bert\" is", f->path,
                       architecture(f));
    }
    int rc = check_options(f, e);
    rc = rc ? rc : read_eps(f, &p->norm_eps, e);
    rc = rc ? rc
            : check(f, "the number of layers", number(f, "bert.block_count", "num_hidden_layers"), MAX_LAYER,
                    &p->n_layer, e);
    rc = rc ? rc : check(f, "the width", number(f, "bert.embedding_length", "hidden_size"), MAX_WIDTH, &p->n_embd, e);
    rc = rc ? rc
            : check(f, "the number of heads", number(f, "bert.attention.head_count", "num_attention_heads"), p->n_embd,
                    &p->n_head, e);
    rc = rc ? rc
            : check(f, "the feed-forward width", number(f, "bert.feed_forward_length", "intermediate_size"), MAX_WIDTH,
                    &p->n_ff, e);
    rc = rc ? rc : check(f, "the vocabulary", rows_of(f, "token_embd.weight"), MAX_VOCAB, &p->n_vocab, e);
    rc = rc ? rc : check(f, "the number of positions", rows_of(f, "position_embd.weight"), MAX_CONTEXT, &p->n_ctx, e);
    if (!rc && p->n_embd % p->n_head != 0) {
        rc = err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": width %d is no multiple of %d heads", f->path,
                     p->n_embd, p->n_head);
    }
    return rc;
}

/* ".weight" or ".bias"; older checkpoints have the names of the first BERT for those of norms. NULL: neither. */
static const char *kind_of(const char *kind)
{
    bool weight = str_eq(kind, ".weight") || str_eq(kind, ".gamma");
    return weight ? ".weight" : str_eq(kind, ".bias") || str_eq(kind, ".beta") ? ".bias" : NULL;
}

bool hf_encoder_drops(const char *hf)
{
    hf = str_starts(hf, "bert.") ? hf + strlen("bert.") : hf;
    return str_starts(hf, "pooler.") || str_starts(hf, "cls.") || str_eq(hf, "embeddings.position_ids");
}

bool hf_encoder_tensor_name(const char *hf, char *out, size_t size)
{
    static const char *const top[][2] = {{"embeddings.word_embeddings", "token_embd"},
                                         {"embeddings.position_embeddings", "position_embd"},
                                         {"embeddings.token_type_embeddings", "token_types"},
                                         {"embeddings.LayerNorm", "token_embd_norm"}};
    static const char *const part[][2] = {{"attention.self.query", "attn_q"},
                                          {"attention.self.key", "attn_k"},
                                          {"attention.self.value", "attn_v"},
                                          {"attention.output.dense", "attn_output"},
                                          {"attention.output.LayerNorm", "attn_output_norm"},
                                          {"intermediate.dense", "ffn_up"},
                                          {"output.dense", "ffn_down"},
                                          {"output.LayerNorm", "layer_output_norm"}};
    int layer = 0, used = 0;
    hf = str_starts(hf, "bert.") ? hf + strlen("bert.") : hf;
    const char *kind = strrchr(hf, '.'), *as = kind_of(kind);
    if (!as) {
        return false;
    }
    bool in_layer = sscanf(hf, "encoder.layer.%5d.%n", &layer, &used) == 1 && used > 0 && layer >= 0;
    for (size_t i = 0; !in_layer && i < N_ELEM(top); i++) {
        if (strlen(top[i][0]) == (size_t)(kind - hf) && str_starts(hf, top[i][0])) {
            return snprintf(out, size, "%s%s", top[i][1], as) > 0;
        }
    }
    for (size_t i = 0; in_layer && i < N_ELEM(part); i++) {
        if (strlen(part[i][0]) == (size_t)(kind - hf) - (size_t)used && str_starts(hf + used, part[i][0])) {
            return snprintf(out, size, "blk.%d.%s%s", layer, part[i][1], as) > 0;
        }
    }
    return false;
}

/* --- pooling --- */

/* A JSON file of the directory, NULL when it is not there. */
static int load_beside(const struct model_file *f, const char *name, json_t **out, struct err *e)
{
    char *path = path_join(f->path, name);
    *out = NULL;
    int rc = file_exists(path) ? json_load_object(out, path, LIMIT_CONFIG_FILE, 0, e) : 0;
    mem_free(path);
    return rc;
}

/* {"pooling_mode_mean_tokens": true, ...} of sentence-transformers. */
static int read_pooling(const struct model_file *f, const json_t *j, struct embedding_params *p, struct err *e)
{
    static const struct {
        const char *key;
        enum pooling pooling;
    } mode[] = {{"pooling_mode_mean_tokens", POOLING_MEAN},
                {"pooling_mode_cls_token", POOLING_CLS},
                {"pooling_mode_lasttoken", POOLING_LAST},
                {"pooling_mode_max_tokens", POOLING_NONE},
                {"pooling_mode_mean_sqrt_len_tokens", POOLING_NONE},
                {"pooling_mode_weightedmean_tokens", POOLING_NONE}};
    int n = 0;
    for (size_t i = 0; i < N_ELEM(mode); i++) {
        if (json_is_true(json_object_get(j, mode[i].key))) {
            n++;
            p->pooling = mode[i].pooling;
        }
    }
    if (n == 1 && p->pooling != POOLING_NONE) {
        return 0;
    }
    return err_set(
        e, ERR_UNSUPPORTED, f->path,
        "cannot use \"%s\": its 1_Pooling/config.json pools otherwise than by one of mean, cls and last token",
        f->path);
}

static int directory_embedding(const struct model_file *f, struct embedding_params *p, struct err *e)
{
    json_t *pooling = NULL, *lengths = NULL;
    char *modules = path_join(f->path, "modules.json");
    char *text = NULL;
    size_t n;
    int rc = load_beside(f, "1_Pooling/config.json", &pooling, e);
    if (!rc && !pooling) {
        rc = load_beside(f, "pooling.json", &pooling, e); /* as the registry keeps it */
    }
    rc = rc ? rc : load_beside(f, "sentence_bert_config.json", &lengths, e);
    if (!rc && pooling) {
        rc = read_pooling(f, pooling, p, e);
    }
    if (!rc && file_exists(modules)) { /* a list, of which one fact is wanted */
        rc = file_read_all(modules, LIMIT_CONFIG_FILE, &text, &n, e);
        p->normalize = !rc && strstr(text, ".Normalize\"") != NULL;
    }
    const json_t *max = json_object_get(lengths, "max_seq_length");
    if (json_is_integer(max) && json_integer_value(max) > 0 && json_integer_value(max) < MAX_CONTEXT) {
        p->max_tok = (int)json_integer_value(max);
    }
    mem_free(text);
    mem_free(modules);
    json_decref(pooling);
    json_decref(lengths);
    return rc;
}

/* llama.cpp's numbers: 0 none, 1 mean, 2 cls, 3 last, 4 rank. What stands under tailor. has no key of its own there. */
static int gguf_embedding(const struct model_file *f, struct embedding_params *p, struct err *e)
{
    char key[96];
    int64_t type = 0, max = 0;
    snprintf(key, sizeof key, "%.60s.pooling_type", architecture(f));
    if (gguf_get_int(&f->gguf, key, &type) && (type < 0 || type > 3)) {
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot use \"%s\": %s is %lld, 1 (mean), 2 (cls) and 3 (last) are supported", f->path, key,
                       (long long)type);
    }
    p->pooling = type == 1 ? POOLING_MEAN : type == 2 ? POOLING_CLS : type == 3 ? POOLING_LAST : POOLING_NONE;
    p->normalize = true; /* what every server of such files does */
    (void)gguf_get_bool(&f->gguf, TAILOR_EMBEDDING_NORMALIZE, &p->normalize);
    if (gguf_get_int(&f->gguf, TAILOR_EMBEDDING_MAX_TOKENS, &max) && max > 0 && max < MAX_CONTEXT) {
        p->max_tok = (int)max;
    }
    return 0;
}

int model_file_embedding(const struct model_file *f, struct embedding_params *p, struct err *e)
{
    *p = (struct embedding_params){0};
    return f->is_gguf ? gguf_embedding(f, p, e) : directory_embedding(f, p, e);
}
