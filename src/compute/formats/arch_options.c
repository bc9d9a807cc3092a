/* Options that would change what is computed, in files of known architectures: those of other families, and values of
 * a kind that readers would take for absent. They are refused by name, never left out. Owns the lists alone. */
#include "compute/formats/arch_int.h"

#include <math.h>

#include "ground/base/str.h"

/* A member that means nothing while it is null, false or `neutral`; the families that compute it. */
struct foreign {
    const char *key;
    double neutral;
    const char *family[3];
};

static bool computes(const struct foreign *x, const struct arch *a)
{
    for (size_t i = 0; i < N_ELEM(x->family) && x->family[i]; i++) {
        if (str_eq(x->family[i], a->name)) {
            return true;
        }
    }
    return false;
}

/* --- config.json --- */

static const struct foreign foreign_members[] = {
    {"clip_qkv", 0, {NULL}},
    {"alibi", 0, {NULL}},
    {"use_alibi", 0, {NULL}},
    {"use_parallel_residual", 0, {NULL}},
    {"parallel_attn", 0, {NULL}},
    {"qk_layernorm", 0, {NULL}},
    {"use_mrope", 0, {NULL}},
    {"attn_logit_softcapping", 0, {"gemma2", "gemma3"}},
    {"final_logit_softcapping", 0, {"gemma2", "gemma3"}},
    {"router_logit_softcapping", 0, {NULL}},
    {"embedding_multiplier", 1, {"granite"}},
    {"residual_multiplier", 1, {"granite"}},
    {"logits_scaling", 1, {"granite"}},
    {"attention_multiplier", 0, {"granite"}},
    {"routed_scaling_factor", 1, {"deepseek2"}},
    {"n_group", 1, {"deepseek2"}},
};

static bool is_neutral(const json_t *j, double neutral)
{
    return !j || json_is_false(j) || (json_is_number(j) && json_number_value(j) == neutral);
}

/* Members whose kind decides what is read; another kind would be taken for an absent member. */
static int check_kinds(const struct config_reader *r)
{
    static const struct {
        const char *key, *wrong;
        enum { SWITCH, LIST, TEXT, GROUP } kind;
    } member[] = {{"use_sliding_window", "is neither true nor false", SWITCH},
                  {"norm_topk_prob", "is neither true nor false", SWITCH},
                  {"use_qk_norm", "is neither true nor false", SWITCH},
                  {"rope_interleave", "is neither true nor false", SWITCH},
                  {"use_bidirectional_attention", "is neither true nor false", SWITCH},
                  {"tie_word_embeddings", "is neither true nor false", SWITCH},
                  {"layer_types", "is no list", LIST},
                  {"no_rope_layers", "is no list", LIST},
                  {"moe_layers", "is no list", LIST},
                  {"mlp_only_layers", "is no list", LIST},
                  {"hidden_act", "is no text", TEXT},
                  {"hidden_activation", "is no text", TEXT},
                  {"topk_method", "is no text", TEXT},
                  {"scoring_func", "is no text", TEXT},
                  {"rope_parameters", "is no object", GROUP},
                  {"rope_scaling", "is no object", GROUP}};
    for (size_t i = 0; i < N_ELEM(member); i++) {
        const json_t *j = config_member(r->config, member[i].key);
        const bool right[] = {json_is_boolean(j), json_is_array(j), json_is_string(j), json_is_object(j)};
        if (j && !right[member[i].kind]) {
            return config_refuse(r, member[i].key, member[i].wrong);
        }
    }
    return 0;
}

static bool is_same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* Older programs read rope_scaling alone, transformers 5 lets it replace all of rope_parameters: whoever wrote two
 * different ones meant one of them. */
static int check_rope(const struct config_reader *r)
{
    const json_t *v, *scaling = config_member(r->config, "rope_scaling");
    const json_t *rope = config_member(r->config, "rope_parameters");
    const char *key;
    if (!rope) return 0;
    json_object_foreach((json_t *)(uintptr_t)scaling, key, v)
    {
        if (!is_same(v, json_object_get(rope, str_eq(key, "type") ? "rope_type" : key)))
            return config_refuse(r, "rope_scaling", "says otherwise than rope_parameters: one of them is right");
    }
    return 0;
}

int config_check_options(const struct config_reader *r)
{
    int rc = check_kinds(r);
    rc = rc ? rc : check_rope(r);
    for (size_t i = 0; !rc && i < N_ELEM(foreign_members); i++) {
        const struct foreign *x = &foreign_members[i];
        if (!computes(x, r->arch) && !is_neutral(config_member(r->config, x->key), x->neutral)) {
            rc = config_refuse(r, x->key, "is not supported for this architecture");
        }
    }
    const json_t *position = config_member(r->config, "position_embedding_type");
    if (!rc && position && (!json_is_string(position) || !str_eq(json_string_value(position), "rope"))) {
        rc = config_refuse(r, "position_embedding_type", "is not one of rope");
    }
    return rc;
}

/* --- GGUF --- */

static const struct foreign foreign_keys[] = {
    {"attn_logit_softcapping", 0, {"gemma2", "gemma3"}},
    {"final_logit_softcapping", 0, {"gemma2", "gemma3"}},
    {"router_logit_softcapping", 0, {NULL}},
    {"attention.clamp_kqv", 0, {NULL}},
    {"attention.max_alibi_bias", 0, {NULL}},
    {"attention.temperature_scale", 0, {NULL}},
    {"use_parallel_residual", 0, {NULL}},
    {"rope.dimension_sections", 0, {NULL}},
};

static bool has_number(const struct gguf_reader *r, const char *key, double number)
{
    int64_t whole;
    double real;
    return (gguf_get_int(&r->f->gguf, key, &whole) && (double)whole == number) ||
           (gguf_get_float(&r->f->gguf, key, &real) && real == number);
}

static bool is_neutral_key(struct gguf_reader *r, const char *name, double neutral)
{
    bool on = true;
    const char *key = gguf_reader_key(r, name);
    return !gguf_find(&r->f->gguf, key) || (gguf_get_bool(&r->f->gguf, key, &on) && !on) || has_number(r, key, neutral);
}

/* Factors of longrope are tensors, which one family reads; a factor on the rotation belongs to it and to YaRN. */
static int check_scaling(struct gguf_reader *r, const struct arch *a)
{
    const char *type = gguf_get_str(&r->f->gguf, gguf_reader_key(r, "rope.scaling.type"));
    bool there =
        model_file_find(r->f, "rope_factors_long.weight") && model_file_find(r->f, "rope_factors_short.weight");
    bool some = model_file_find(r->f, "rope_factors_long.weight") || model_file_find(r->f, "rope_factors_short.weight");
    bool longrope = type && str_eq(type, "longrope");
    if (!type && gguf_find(&r->f->gguf, gguf_reader_key(r, "rope.scaling.type"))) {
        return gguf_refuse(r, "rope.scaling.type", "is no text");
    }
    if ((longrope || some) && !(a->longrope && there)) {
        return gguf_refuse(r, "rope.scaling.type",
                           a->longrope ? "is longrope, and one of its two tensors is missing"
                                       : "is longrope, which this architecture does not have");
    }
    if (!longrope && !there && !(type && str_eq(type, "yarn")) && !is_neutral_key(r, "rope.scaling.attn_factor", 1)) {
        return gguf_refuse(r, "rope.scaling.attn_factor", "is not 1, and scaling is neither yarn nor longrope");
    }
    return 0;
}

int gguf_check_options(struct gguf_reader *r, const struct arch *a, const struct model_params *p)
{
    int rc = check_scaling(r, a);
    for (size_t i = 0; !rc && i < N_ELEM(foreign_keys); i++) {
        if (!computes(&foreign_keys[i], a) && !is_neutral_key(r, foreign_keys[i].key, foreign_keys[i].neutral)) {
            rc = gguf_refuse(r, foreign_keys[i].key, "is not supported for this architecture");
        }
    }
    if (!rc && p->n_rope < 2 && !is_neutral_key(r, "rope.freq_base_swa", p->rope[0].theta)) {
        rc = gguf_refuse(r, "rope.freq_base_swa", "is not rope.freq_base, which this architecture has for all layers");
    }
    static const char *const switches[] = {"attention.causal", "expert_weights_norm"};
    for (size_t i = 0; !rc && i < N_ELEM(switches); i++) {
        const char *key = gguf_reader_key(r, switches[i]);
        bool is_on;
        if (gguf_find(&r->f->gguf, key) && !gguf_get_bool(&r->f->gguf, key, &is_on)) {
            rc = gguf_refuse(r, switches[i], "is neither true nor false");
        }
    }
    return rc;
}
