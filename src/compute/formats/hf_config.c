/* config.json as hyper-parameters: what families share; theirs are in arch_*.c. And the names of tensors. Owns nothing.
 * What is absent gets the default of the model's configuration class in transformers; what would change the computation
 * and is not understood is refused. */
#include "compute/formats/arch_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

const json_t *config_member(const json_t *object, const char *key)
{
    const json_t *j = json_object_get(object, key);
    return json_is_null(j) ? NULL : j;
}

const json_t *config_rope(const struct config_reader *r)
{
    const json_t *rope = config_member(r->config, "rope_parameters");
    return rope ? rope : config_member(r->config, "rope_scaling");
}

int config_read_int(const struct config_reader *r, const char *key, int initial, int *out)
{
    const json_t *j = config_member(r->config, key);
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

int config_read_float(const struct config_reader *r, const json_t *object, const char *key, double initial, double *out)
{
    const json_t *j = config_member(object, key);
    *out = j ? json_number_value(j) : initial;
    if ((j && !json_is_number(j)) || !isfinite(*out) || *out <= 0) {
        return err_set(r->e, ERR_INPUT, r->path, "cannot use \"%s\": config.json needs a number \"%s\" above 0",
                       r->path, key);
    }
    return 0;
}

int config_read_scale(const struct config_reader *r, const char *key, float *out)
{
    double v = (double)*out;
    int rc = config_member(r->config, key) ? config_read_float(r, r->config, key, 1, &v) : 0;
    *out = (float)v;
    return rc;
}

int config_refuse(const struct config_reader *r, const char *key, const char *why)
{
    return err_set(r->e, ERR_UNSUPPORTED, r->path, "cannot use \"%s\": config.json \"%s\" %s", r->path, key, why);
}

static int read_sizes(const struct config_reader *r, struct model_params *p, int n_ctx_default)
{
    int rc = config_read_int(r, "num_hidden_layers", -1, &p->n_layer);
    rc = rc ? rc : config_read_int(r, "hidden_size", -1, &p->n_embd);
    rc = rc ? rc : config_read_int(r, "intermediate_size", -1, &p->n_ff);
    rc = rc ? rc : config_read_int(r, "vocab_size", -1, &p->n_vocab);
    rc = rc ? rc : config_read_int(r, "num_attention_heads", -1, &p->n_head);
    rc = rc ? rc : config_read_int(r, "num_key_value_heads", p->n_head, &p->n_kv_head);
    rc = rc ? rc : config_read_int(r, "max_position_embeddings", n_ctx_default, &p->n_ctx_train);
    rc = rc ? rc : config_read_int(r, "head_dim", p->n_head > 0 ? p->n_embd / p->n_head : 0, &p->d_head);
    double eps = 0;
    rc = rc ? rc : config_read_float(r, r->config, "rms_norm_eps", 1e-6, &eps);
    p->rms_eps = (float)eps;
    return rc;
}

int config_read_layer_types(const struct config_reader *r, struct model_params *p, int window, int chunk)
{
    const json_t *list = config_member(r->config, "layer_types");
    if (list && json_array_size(list) != (size_t)p->n_layer) {
        return err_set(r->e, ERR_INPUT, r->path,
                       "cannot use \"%s\": config.json \"layer_types\" has %zu entries, %d would be right", r->path,
                       json_array_size(list), p->n_layer);
    }
    for (int i = 0; list && i < p->n_layer; i++) {
        const char *type = json_string_value(json_array_get(list, (size_t)i));
        bool slides = type && str_eq(type, "sliding_attention"), full = type && str_eq(type, "full_attention");
        bool chunked = type && str_eq(type, "chunked_attention") && chunk > 0;
        if (!slides && !full && !chunked) {
            return err_set(r->e, ERR_UNSUPPORTED, r->path,
                           "cannot use \"%s\": config.json \"layer_types\" has \"%.64s\", which is not supported",
                           r->path, type ? type : "");
        }
        p->layer[i].window = slides ? window : 0;
        p->layer[i].chunk = chunked ? chunk : 0;
    }
    return 0;
}

int config_read_no_rope(const struct config_reader *r, struct model_params *p, int interval)
{
    const json_t *list = config_member(r->config, "no_rope_layers");
    int every, rc = config_read_int(r, "no_rope_layer_interval", interval, &every);
    if (rc || every < 1) {
        return rc ? rc : config_refuse(r, "no_rope_layer_interval", "is 0");
    }
    if (json_array_size(list) > 0 && json_array_size(list) != (size_t)p->n_layer) {
        return err_set(r->e, ERR_INPUT, r->path,
                       "cannot use \"%s\": config.json \"no_rope_layers\" has %zu entries, %d would be right", r->path,
                       json_array_size(list), p->n_layer);
    }
    for (int i = 0; i < p->n_layer; i++) {
        bool rotates =
            json_array_size(list) ? json_integer_value(json_array_get(list, (size_t)i)) != 0 : (i + 1) % every != 0;
        p->layer[i].rope = rotates ? 0 : -1;
    }
    return 0;
}

/* What a config says of its layers agrees with what was understood. */
static int check_layer_types(const struct config_reader *r, const struct model_params *p)
{
    const json_t *list = config_member(r->config, "layer_types");
    for (int i = 0; list && i < p->n_layer; i++) {
        const char *type = json_string_value(json_array_get(list, (size_t)i));
        const char *own = p->layer[i].chunk > 0    ? "chunked_attention"
                          : p->layer[i].window > 0 ? "sliding_attention"
                                                   : "full_attention";
        if (!type || !str_eq(type, own)) {
            return err_set(
                r->e, ERR_UNSUPPORTED, r->path,
                "cannot use \"%s\": config.json \"layer_types\" says \"%.64s\" of layer %d, which is %s by the "
                "other members",
                r->path, type ? type : "", i, own);
        }
    }
    return 0;
}

/* The activation is the family's own, whatever key says so; another would be another model. */
static int check_activation(const struct config_reader *r, const struct model_params *p)
{
    const char *key = config_member(r->config, "hidden_activation") ? "hidden_activation" : "hidden_act";
    const char *act = json_string_value(config_member(r->config, key));
    const char *own = p->activation == ACTIVATION_SILU ? "silu" : "gelu_pytorch_tanh";
    if (act && !str_eq(act, own)) {
        return err_set(r->e, ERR_UNSUPPORTED, r->path,
                       "cannot use \"%s\": config.json \"%s\" is \"%.64s\", %s would be right for %s", r->path, key,
                       act, own, p->architecture);
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

static int find_arch(const json_t *config, const char *path, const struct arch **out, struct err *e)
{
    char known[256];
    const char *type = json_string_value(json_object_get(config, "model_type"));
    *out = arch_find_model_type(type);
    if (!*out) {
        return err_set(e, ERR_UNSUPPORTED, path, "cannot use \"%s\": model_type \"%.64s\" is not supported, %s are",
                       path, type ? type : "", arch_model_types(known, sizeof known));
    }
    return 0;
}

/* Rotated values of a head, and the rotary positions of families that have one kind of them. */
static int read_ropes(const struct config_reader *r, struct model_params *p)
{
    const json_t *rope = config_rope(r);
    double partial = 1;
    const json_t *holder = config_member(rope, "partial_rotary_factor") ? rope : r->config;
    int rc = config_read_float(r, holder, "partial_rotary_factor", 1, &partial);
    if (!rc && partial > 1) {
        rc = config_refuse(r, "partial_rotary_factor", "is above 1: more than all of a head is rotated");
    }
    if (!rc && p->n_rope < 2 && (config_member(rope, "full_attention") || config_member(rope, "sliding_attention"))) {
        rc = config_refuse(r, "rope_parameters", "differs by type of layer, which this architecture does not");
    }
    p->n_rot = rc ? 0 : (int)(p->d_head * partial);
    return rc || p->n_rope > 1 ? rc : config_read_rope(r, rope, "rope_theta", 10000, p, &p->rope[0]);
}

int hf_config_params(const json_t *config, const char *path, struct model_params *p, struct err *e)
{
    const struct arch *a;
    struct hf_quant quant; /* its tensors were bound when the directory was opened */
    int rc = find_arch(config, path, &a, e);
    if (rc) {
        return rc;
    }
    struct config_reader r = {.arch = a,
                              .config = config,
                              .path = path,
                              .model_type = json_string_value(json_object_get(config, "model_type")),
                              .e = e};
    arch_init(a, p);
    rc = config_check_options(&r);
    rc = rc ? rc : check_activation(&r, p);
    rc = rc ? rc : hf_quant_parse(config, path, &quant, e);
    p->rope_halves = true;
    p->tied_head = json_is_true(json_object_get(config, "tie_word_embeddings"));
    p->bos_id = token_id(json_object_get(config, "bos_token_id"));
    p->eos_id = token_id(json_object_get(config, "eos_token_id"));
    rc = rc ? rc : read_sizes(&r, p, a->n_ctx_default);
    rc = rc ? rc : params_check_sizes(p, path, e);
    rc = rc ? rc : read_ropes(&r, p);
    if (rc) {
        return rc;
    }
    p->attn_scale = 1.0f / sqrtf((float)p->d_head);
    arch_layers(a, p, 0);
    rc = a->from_config ? a->from_config(&r, p) : 0;
    return rc ? rc : check_layer_types(&r, p);
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
    if (!config_member(f->config, "tie_word_embeddings")) { /* some classes tie by default, and files leave it out */
        p->tied_head = !model_file_find(f, "output.weight");
    }
    if (!rc && f->vocab_rc == 0 && f->vocab.model) {
        p->bos_id = f->vocab.bos_id >= 0 ? f->vocab.bos_id : p->bos_id;
        p->eos_id = f->vocab.eos_id >= 0 ? f->vocab.eos_id : p->eos_id;
    }
    return rc;
}

/* The GGUF name of a part of a layer: "self_attn.q_proj.weight" -> "attn_q.weight". */
static bool part_name(const char *const (*names)[2], const char *hf, char *out, size_t size)
{
    for (; names && (*names)[0]; names++) {
        size_t n = strlen((*names)[0]);
        const char *kind = hf + n;
        if (str_eq(hf, (*names)[0])) { /* a whole name */
            return snprintf(out, size, "%s", (*names)[1]) > 0;
        }
        if (!strncmp(hf, (*names)[0], n) && (str_eq(kind, ".weight") || str_eq(kind, ".bias"))) {
            return snprintf(out, size, "%s%s", (*names)[1], kind) > 0;
        }
    }
    return false;
}

bool hf_tensor_name(const struct arch *a, const char *hf, char *out, size_t size)
{
    static const char *const top[][2] = {{"embed_tokens.weight", "token_embd.weight"},
                                         {"norm.weight", "output_norm.weight"},
                                         {"lm_head.weight", "output.weight"}};
    static const char *const common[][2] = {
        {"input_layernorm", "attn_norm"},    {"post_attention_layernorm", "ffn_norm"},
        {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
        {"self_attn.v_proj", "attn_v"},      {"self_attn.o_proj", "attn_output"},
        {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
        {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
        {"mlp.down_proj", "ffn_down"},       {NULL, NULL}};
    char part[LIMIT_NAME_BYTES];
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
    bool known = part_name(a ? a->hf_name : NULL, hf + used, part, sizeof part) ||
                 part_name(common, hf + used, part, sizeof part);
    return known && snprintf(out, size, "blk.%d.%s", layer, part) > 0;
}
