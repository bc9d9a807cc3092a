/* config.json of the llama family as hyper-parameters, and the names of its tensors. Owns nothing.
 * Understands transformers 5 (`rope_parameters`) and the older `rope_theta` with `rope_scaling`. What is absent gets
 * the default of the model's configuration class in transformers; what would change the computation and is not
 * understood is refused. */
#include "compute/formats/formats_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

struct reader {
    const json_t *config;
    const char *path;
    struct err *e;
};

/* A member that is there and not null. */
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *j = json_object_get(object, key);
    return json_is_null(j) ? NULL : j;
}

/* initial < 0: it must be there. */
static int read_int(const struct reader *r, const char *key, int initial, int *out)
{
    const json_t *j = member(r->config, key);
    if (!j && initial >= 0) {
        *out = initial;
        return 0;
    }
    json_int_t v = json_integer_value(j);
    if (!json_is_integer(j) || v < 0 || v > INT32_MAX) {
        return err_set(r->e, ERR_INPUT, r->path,
                       "cannot use \"%s\": config.json needs an integer \"%s\" from 0 to 2147483647", r->path, key);
    }
    *out = (int)v;
    return 0;
}

static int read_float(const struct reader *r, const json_t *object, const char *key, double initial, double *out)
{
    const json_t *j = member(object, key);
    *out = j ? json_number_value(j) : initial;
    if ((j && !json_is_number(j)) || !isfinite(*out) || *out <= 0) {
        return err_set(r->e, ERR_INPUT, r->path, "cannot use \"%s\": config.json needs a number \"%s\" above 0",
                       r->path, key);
    }
    return 0;
}

static int refuse(const struct reader *r, const char *key, const char *why)
{
    return err_set(r->e, ERR_UNSUPPORTED, r->path, "cannot use \"%s\": config.json \"%s\" %s", r->path, key, why);
}

static int read_sizes(const struct reader *r, struct model_params *p, int n_ctx_default)
{
    int rc = read_int(r, "num_hidden_layers", -1, &p->n_layer);
    rc = rc ? rc : read_int(r, "hidden_size", -1, &p->n_embd);
    rc = rc ? rc : read_int(r, "intermediate_size", -1, &p->n_ff);
    rc = rc ? rc : read_int(r, "vocab_size", -1, &p->n_vocab);
    rc = rc ? rc : read_int(r, "num_attention_heads", -1, &p->n_head);
    rc = rc ? rc : read_int(r, "num_key_value_heads", p->n_head, &p->n_kv_head);
    rc = rc ? rc : read_int(r, "max_position_embeddings", n_ctx_default, &p->n_ctx_train);
    rc = rc ? rc : read_int(r, "head_dim", p->n_head > 0 ? p->n_embd / p->n_head : 0, &p->d_head);
    double eps = 0;
    rc = rc ? rc : read_float(r, r->config, "rms_norm_eps", 1e-6, &eps);
    p->rms_eps = (float)eps;
    return rc;
}

/* llama3 scaling: wavelengths above orig/low are stretched by factor, below orig/high kept, between them blended. */
static int llama3_factors(const struct reader *r, const json_t *rope, struct model_params *p)
{
    double factor;
    double low;
    double high;
    double orig;
    int rc = read_float(r, rope, "factor", -1, &factor);
    rc = rc ? rc : read_float(r, rope, "low_freq_factor", -1, &low);
    rc = rc ? rc : read_float(r, rope, "high_freq_factor", -1, &high);
    rc = rc ? rc : read_float(r, rope, "original_max_position_embeddings", -1, &orig);
    if (rc) {
        return rc;
    }
    if (high <= low) {
        return err_set(r->e, ERR_INPUT, r->path,
                       "cannot use \"%s\": config.json high_freq_factor %g must be above low_freq_factor %g", r->path,
                       high, low);
    }
    for (int i = 0; i < p->n_rot / 2; i++) {
        double wavelength = 2 * M_PI * pow(p->rope_theta, 2.0 * i / p->n_rot);
        double s = (orig / wavelength - low) / (high - low);
        double f = wavelength < orig / high ? 1 : wavelength > orig / low ? factor : 1 / ((1 - s) / factor + s);
        p->rope_factor[i] = (float)f;
    }
    return 0;
}

static int read_rope(const struct reader *r, struct model_params *p)
{
    const json_t *rope = member(r->config, "rope_parameters");
    const json_t *base = rope && member(rope, "rope_theta") ? rope : r->config;
    rope = rope ? rope : member(r->config, "rope_scaling");
    const json_t *kind = member(rope, "rope_type");
    const char *type = json_string_value(kind ? kind : member(rope, "type"));
    double linear = 1;
    double partial = 1;
    int rc = read_float(r, base, "rope_theta", 10000, &p->rope_theta);
    rc = rc ? rc
            : read_float(r, member(rope, "partial_rotary_factor") ? rope : r->config, "partial_rotary_factor", 1,
                         &partial);
    if (rc) {
        return rc;
    }
    if (p->d_head > 2 * (int)N_ELEM(p->rope_factor) || partial > 1) {
        return refuse(r, "head_dim", "is above 1024, or more than all of a head is rotated");
    }
    p->n_rot = (int)(p->d_head * partial);
    if (type && str_eq(type, "linear")) {
        rc = read_float(r, rope, "factor", -1, &linear);
    } else if (type && !str_eq(type, "llama3") && !str_eq(type, "default")) {
        return refuse(r, "rope_type", "is not one of default, linear, llama3");
    }
    for (size_t i = 0; i < N_ELEM(p->rope_factor); i++) {
        p->rope_factor[i] = (float)linear;
    }
    return rc || !type || !str_eq(type, "llama3") ? rc : llama3_factors(r, rope, p);
}

/* mistral: one window for all layers, 4096 when the key is absent, none when it is null. qwen2: none. */
static int read_window(const struct reader *r, const char *type, struct model_params *p)
{
    if (str_eq(type, "mistral")) {
        bool null = json_is_null(json_object_get(r->config, "sliding_window"));
        return null ? 0 : read_int(r, "sliding_window", 4096, &p->sliding_window);
    }
    if (str_eq(type, "qwen2") && json_is_true(json_object_get(r->config, "use_sliding_window"))) {
        return refuse(r, "use_sliding_window", "is true: windows that differ by layer are not supported");
    }
    return 0;
}

/* An id, or the first of a list of them; -1 when there is none. */
static int token_id(const json_t *j)
{
    j = json_is_array(j) ? json_array_get(j, 0) : j;
    json_int_t id = json_is_integer(j) ? json_integer_value(j) : -1;
    return id >= 0 && id <= INT32_MAX ? (int)id : -1;
}

/* The families: by model_type, what GGUF calls them and the default context of their configuration class. */
static const struct {
    const char *model_type, *arch;
    int n_ctx_default;
} families[] = {{"llama", "llama", 2048}, {"mistral", "llama", 131072}, {"qwen2", "qwen2", 32768}};

int hf_config_params(const json_t *config, const char *path, struct model_params *p, struct err *e)
{
    struct reader r = {config, path, e};
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const char *act = json_string_value(json_object_get(config, "hidden_act"));
    size_t i = 0;
    while (i < N_ELEM(families) && !str_eq(type, families[i].model_type)) {
        i++;
    }
    if (i == N_ELEM(families)) {
        return err_set(e, ERR_UNSUPPORTED, path,
                       "cannot use \"%s\": model_type \"%.64s\" is not supported, llama, mistral and qwen2 are", path,
                       type ? type : "");
    }
    if (act && !str_eq(act, "silu")) {
        return refuse(&r, "hidden_act", "is not silu");
    }
    struct hf_quant quant; /* its tensors were bound when the directory was opened */
    int rc = hf_quant_parse(config, path, &quant, e);
    if (rc) {
        return rc;
    }
    snprintf(p->architecture, sizeof p->architecture, "%s", families[i].arch);
    p->rope_halves = true;
    p->tied_head = json_is_true(json_object_get(config, "tie_word_embeddings"));
    p->bos_id = token_id(json_object_get(config, "bos_token_id"));
    p->eos_id = token_id(json_object_get(config, "eos_token_id"));
    rc = read_sizes(&r, p, families[i].n_ctx_default);
    rc = rc ? rc : read_rope(&r, p);
    return rc ? rc : read_window(&r, type, p);
}

int hf_params(const struct model_file *f, struct model_params *p, struct err *e)
{
    if (!f->config || f->n_tensor == 0) {
        return err_set(e, ERR_INPUT, f->path,
                       "cannot use \"%s\": it has no weights, config.json with model.safetensors or "
                       "model.safetensors.index.json would be right",
                       f->path);
    }
    int rc = hf_config_params(f->config, f->path, p, e);
    if (!rc && f->vocab_rc == 0 && f->vocab.model) {
        p->bos_id = f->vocab.bos_id >= 0 ? f->vocab.bos_id : p->bos_id;
        p->eos_id = f->vocab.eos_id >= 0 ? f->vocab.eos_id : p->eos_id;
    }
    return rc;
}

bool hf_tensor_name(const char *hf, char *out, size_t size)
{
    static const char *const top[][2] = {{"embed_tokens.weight", "token_embd.weight"},
                                         {"norm.weight", "output_norm.weight"},
                                         {"lm_head.weight", "output.weight"}};
    static const char *const part[][2] = {{"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"},
                                          {"self_attn.q_proj", "attn_q"},   {"self_attn.k_proj", "attn_k"},
                                          {"self_attn.v_proj", "attn_v"},   {"self_attn.o_proj", "attn_output"},
                                          {"mlp.gate_proj", "ffn_gate"},    {"mlp.up_proj", "ffn_up"},
                                          {"mlp.down_proj", "ffn_down"}};
    int layer;
    int used = 0;
    hf = str_starts(hf, "model.") ? hf + strlen("model.") : hf;
    for (size_t i = 0; i < N_ELEM(top); i++) {
        if (str_eq(hf, top[i][0])) {
            return snprintf(out, size, "%s", top[i][1]) > 0;
        }
    }
    if (sscanf(hf, "layers.%5d.%n", &layer, &used) != 1 || used == 0 || layer < 0) {
        return false;
    }
    for (size_t i = 0; i < N_ELEM(part); i++) {
        size_t n = strlen(part[i][0]);
        const char *kind = hf + used + n;
        if (!strncmp(hf + used, part[i][0], n) && (str_eq(kind, ".weight") || str_eq(kind, ".bias"))) {
            return snprintf(out, size, "blk.%d.%s%s", layer, part[i][1], kind) > 0;
        }
    }
    return false;
}
