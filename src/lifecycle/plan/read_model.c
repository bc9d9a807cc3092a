/* Models at hand. Owns nothing: texts live in the caller's arena. */
#include "lifecycle/plan/read_model.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/json/json.h"

/* Texts that are not there, or (all) every text, become "". */
static void set_texts(struct plan_model *m, bool all)
{
    const char **const texts[] = {&m->name,         &m->provider,     &m->hf_id,        &m->version,
                                  &m->architecture, &m->licence,      &m->modality,     &m->languages,
                                  &m->attention,    &m->release_date, &m->openness,     &m->local_deployment,
                                  &m->tuning_ease,  &m->noted,        &m->params_basis, &m->params_gap,
                                  &m->source,       &m->confidence,   &m->notes,        &m->pre_tokenizer};
    for (size_t i = 0; i < N_ELEM(texts); i++)
        if (all || !*texts[i]) *texts[i] = "";
}

void plan_model_no_texts(struct plan_model *m)
{
    set_texts(m, true);
}

static void count_layers(const struct model_params *p, struct plan_model *m)
{
    for (int i = 0; i < p->n_layer; i++) {
        int seen = p->layer[i].window ? p->layer[i].window : p->layer[i].chunk;
        m->n_layer_window += seen > 0;
        m->window = seen > m->window ? seen : m->window;
        m->n_layer_dense += p->experts.n_expert && !p->layer[i].experts;
    }
    m->n_layer_full = m->n_layer - m->n_layer_window;
}

void plan_model_of_params(const struct model_params *p, const char *name, struct plan_model *out)
{
    const struct model_experts *x = &p->experts;
    const struct model_latent *l = &p->latent;
    *out = (struct plan_model){.n_layer = p->n_layer,
                               .n_embd = p->n_embd,
                               .n_head = p->n_head,
                               .n_kv_head = p->n_kv_head,
                               .d_head = p->d_head,
                               .n_ff = p->n_ff,
                               .n_vocab = p->n_vocab,
                               .n_ctx = p->n_ctx_train,
                               .tied_head = p->tied_head,
                               .n_expert = x->n_expert,
                               .n_expert_used = x->n_used,
                               .n_ff_expert = x->n_ff,
                               .n_expert_shared = x->n_shared > 0,
                               .n_ff_shared = x->n_shared,
                               .q_lora = l->n_latent ? l->q_rank : 0,
                               .kv_lora = l->n_latent,
                               .d_rope = l->n_latent ? p->n_rot : 0,
                               .d_nope = l->n_latent ? l->d_nope : 0,
                               .d_v = l->n_latent ? l->d_value : 0};
    plan_model_no_texts(out);
    out->name = name;
    out->architecture = p->architecture;
    count_layers(p, out);
}

/* --- files --- */

enum { CONFIG_MAX_BYTES = 1 << 20 };

struct keys {
    const json_t *at;
    const char *path, *prefix; /* of GGUF keys: "llama."; of config.json "" */
    struct err *e;
    int rc; /* of the first key that was wrong */
};

/* The first of several names that is there (NULL-terminated); NULL: none. */
static const json_t *find_key(const struct keys *k, const char *const *names)
{
    for (; *names; names++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s", k->prefix, *names);
        const json_t *v = json_object_get(k->at, name);
        if (v && !json_is_null(v)) return v;
    }
    return NULL;
}

/* A whole number by the first of its names that is there; otherwise < 0: it must be there. A list (heads a layer)
 * counts as its greatest. */
static int whole(struct keys *k, const char *const *names, int64_t min, int64_t max, int64_t otherwise)
{
    const json_t *v = find_key(k, names);
    int64_t n = otherwise;
    if (json_is_integer(v)) n = json_integer_value(v);
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        int64_t one = json_integer_value(json_array_get(v, i));
        n = one > n ? one : n;
    }
    if (n >= min && n <= max) return (int)n;
    if (k->rc == 0)
        k->rc = err_set(k->e, ERR_INPUT, k->path,
                        "cannot read \"%s\": %s%s is %s, a whole number from %lld to %lld is needed", k->path,
                        k->prefix, names[0], v ? "out of range" : "missing", (long long)min, (long long)max);
    return (int)min;
}
#define WHOLE(k, min, max, otherwise, ...) whole(k, (const char *const[]){__VA_ARGS__, NULL}, min, max, otherwise)

static const char *text_key(const struct keys *k, struct arena *arena, const char *name)
{
    const char *text = json_string_value(json_object_get(k->at, name));
    const char *kept = text ? arena_strndup(arena, text, strlen(text)) : NULL;
    return kept ? kept : "";
}

/* Layers of each kind: as a list says, as a pattern says, or all alike. */
static void layer_kinds(struct keys *k, struct plan_model *m)
{
    const json_t *types = json_object_get(k->at, "layer_types");
    int pattern =
        WHOLE(k, 0, 1000, 0, "sliding_window_pattern", "_sliding_window_pattern", "attention.sliding_window_pattern");
    int interval = WHOLE(k, 0, 1000, 0, "full_attention_interval");
    bool used = !json_is_false(json_object_get(k->at, "use_sliding_window"));
    m->window =
        used ? WHOLE(k, 0, 1 << 30, 0, "sliding_window", "attention_chunk_size", "attention.sliding_window") : 0;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        m->n_layer_linear += str_eq(type, "linear_attention");
        m->n_layer_window += str_eq(type, "sliding_attention") || str_eq(type, "chunked_attention");
    }
    if (json_array_size(types) == 0 && interval > 1) m->n_layer_linear = m->n_layer - m->n_layer / interval;
    if (json_array_size(types) == 0 && interval <= 1 && m->window)
        m->n_layer_window = pattern > 1 ? m->n_layer - m->n_layer / pattern : m->n_layer;
    if (!m->n_layer_window) m->window = 0;
    m->n_layer_full = m->n_layer - m->n_layer_linear - m->n_layer_window;
}

static void experts(struct keys *k, struct plan_model *m)
{
    m->n_expert = WHOLE(k, 0, 100000, 0, "n_routed_experts", "num_experts", "num_local_experts", "expert_count");
    if (!m->n_expert) return;
    m->n_expert_used =
        WHOLE(k, 1, m->n_expert, -1, "num_experts_per_tok", "num_experts_per_token", "expert_used_count");
    m->n_ff_expert = WHOLE(k, 1, 10000000, m->n_ff, "moe_intermediate_size", "expert_feed_forward_length");
    int wide = WHOLE(k, 0, 10000000, 0, "shared_expert_intermediate_size", "expert_shared_feed_forward_length");
    m->n_expert_shared = WHOLE(k, 0, 1000, wide > 0, "n_shared_experts", "expert_shared_count");
    m->n_ff_shared = wide ? wide : m->n_expert_shared ? m->n_ff_expert : 0;
    m->n_layer_dense = WHOLE(k, 0, m->n_layer, 0, "first_k_dense_replace", "leading_dense_block_count");
}

static void latent(struct keys *k, struct plan_model *m)
{
    m->kv_lora = WHOLE(k, 0, 1000000, 0, "kv_lora_rank", "attention.kv_lora_rank");
    m->q_lora = WHOLE(k, 0, 1000000, 0, "q_lora_rank", "attention.q_lora_rank");
    if (!m->kv_lora) return;
    m->d_rope = WHOLE(k, 1, 10000, -1, "qk_rope_head_dim", "rope.dimension_count");
    int d_key = WHOLE(k, 0, 10000, 0, "attention.key_length_mla", "attention.key_length");
    m->d_nope = WHOLE(k, 1, 10000, d_key - m->d_rope, "qk_nope_head_dim");
    m->d_v = WHOLE(k, 1, 10000, -1, "v_head_dim", "attention.value_length_mla", "attention.value_length");
}

static void dimensions(struct keys *k, struct plan_model *m)
{
    m->n_layer = WHOLE(k, 1, 10000, -1, "num_hidden_layers", "n_layer", "block_count");
    m->n_embd = WHOLE(k, 1, 1000000, -1, "hidden_size", "n_embd", "embedding_length");
    m->n_head = WHOLE(k, 1, 10000, -1, "num_attention_heads", "n_head", "attention.head_count");
    m->n_kv_head = WHOLE(k, 1, 10000, m->n_head, "num_key_value_heads", "attention.head_count_kv");
    m->d_head = WHOLE(k, 1, 10000, m->n_embd / m->n_head, "head_dim", "attention.key_length");
    m->n_ff = WHOLE(k, 0, 10000000, 0, "intermediate_size", "feed_forward_length");
    m->n_ctx = WHOLE(k, 1, 1000000000, -1, "max_position_embeddings", "context_length");
    layer_kinds(k, m);
    experts(k, m);
    latent(k, m);
    m->attention = m->kv_lora ? "MLA" : m->n_kv_head == 1 ? "MQA" : m->n_kv_head < m->n_head ? "GQA" : "MHA";
}

/* What gated linear attention keeps of a sequence: a matrix in float32 a head and layer. */
static void linear_state(struct keys *k, struct plan_model *m)
{
    if (!m->n_layer_linear) return;
    double heads = WHOLE(k, 0, 100000, 0, "linear_num_value_heads"),
           d_key = WHOLE(k, 0, 100000, 0, "linear_key_head_dim"),
           d_value = WHOLE(k, 0, 100000, 0, "linear_value_head_dim");
    m->linear_state_bytes = 4.0 * m->n_layer_linear * heads * d_key * d_value;
}

static int read_config(const json_t *config, const char *path, struct arena *arena, struct plan_model *m, struct err *e)
{
    const json_t *inner = json_object_get(config, "text_config");
    struct keys k = {.at = inner ? inner : config, .path = path, .prefix = "", .e = e};
    dimensions(&k, m);
    m->n_vocab = WHOLE(&k, 1, 10000000, -1, "vocab_size");
    linear_state(&k, m);
    m->architecture = text_key(&k, arena, "model_type");
    const json_t *tied = json_object_get(config, "tie_word_embeddings");
    m->tied_head = tied ? json_is_true(tied) : str_starts(m->architecture, "gemma");
    if (inner) m->modality = "text+image";
    return k.rc;
}

/* A GGUF of a family without a forward pass here: its keys are named alike in all of them. */
static int read_gguf(const struct model_file *f, const char *path, struct arena *arena, struct plan_model *m,
                     struct err *e)
{
    const json_t *all = model_file_metadata(f);
    char prefix[80];
    struct keys k = {.at = all, .path = path, .prefix = prefix, .e = e};
    const struct tensor_info *embedding = model_file_find(f, "token_embd.weight");
    m->architecture = text_key(&k, arena, "general.architecture");
    m->licence = text_key(&k, arena, "general.license");
    snprintf(prefix, sizeof prefix, "%.60s.", m->architecture);
    dimensions(&k, m);
    m->tied_head = !model_file_find(f, "output.weight");
    if (k.rc == 0 && (!embedding || embedding->n_dim != 2 || embedding->shape[0] > 10000000))
        return err_set(e, ERR_INPUT, path, "cannot read \"%s\": there is no embedding of a usable shape", path);
    if (embedding) m->n_vocab = (int)embedding->shape[0];
    return k.rc;
}

static int read_opened(const struct model_file *f, const char *path, struct arena *arena, struct plan_model *m,
                       struct err *e)
{
    struct model_params *p = mem_alloc(sizeof *p);
    int rc = model_file_params(f, p, NULL);
    if (rc == 0) {
        plan_model_of_params(p, "", m);
        m->architecture = arena_strndup(arena, p->architecture, strlen(p->architecture));
        if (!m->architecture) rc = err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    } else if (model_file_is_gguf(f)) {
        rc = read_gguf(f, path, arena, m, e);
    } else {
        rc = read_config(model_file_metadata(f), path, arena, m, e);
    }
    mem_free(p);
    return rc;
}

int plan_model_of_config(const json_t *config, const char *where, struct arena *arena, struct plan_model *out,
                         struct err *e)
{
    *out = (struct plan_model){0};
    int rc = read_config(config, where, arena, out, e);
    set_texts(out, false);
    return rc;
}

int plan_model_read(const char *path, const char *name, struct arena *arena, struct plan_model *out, struct err *e)
{
    struct model_file *f;
    json_t *config = NULL;
    *out = (struct plan_model){0};
    int rc;
    if (str_ends(path, ".json")) {
        rc = json_read_file(path, CONFIG_MAX_BYTES, &config, e);
        if (rc == 0) rc = read_config(config, path, arena, out, e);
        json_decref(config);
    } else {
        rc = model_file_open(&f, path, e);
        if (rc) return rc;
        rc = read_opened(f, path, arena, out, e);
        model_file_close(f);
    }
    out->name = arena_strndup(arena, name, strlen(name));
    if (rc == 0 && !out->name) rc = err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    set_texts(out, false);
    out->params_basis = "computed";
    out->local_deployment = "yes";
    return rc;
}

/* --- tensors --- */

static bool is_head(const struct model_file *f, const char *name)
{
    return str_eq(name, model_file_find(f, "output.weight") ? "output.weight" : "token_embd.weight");
}

static void sum_tensors(const struct model_file *f, struct plan_file *out)
{
    uint64_t by_type[TENSOR_TYPE_COUNT] = {0};
    size_t best = 0;
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        bool layer = str_starts(t->name, "blk."), expert = layer && strstr(t->name, "_exps") != NULL;
        double bytes = (double)t->n_bytes;
        out->weight_bytes += bytes;
        if (layer && t->n_dim >= 2) by_type[t->type] += t->n_bytes;
        *(expert ? &out->expert_bytes : &out->dense_bytes) += layer ? bytes : 0;
        out->head_bytes += is_head(f, t->name) ? bytes : 0;
    }
    for (size_t i = 0; i < TENSOR_TYPE_COUNT; i++) best = by_type[i] > by_type[best] ? i : best;
    out->quant = plan_quant_find(tensor_type_info((enum tensor_type)best)->name);
}

int plan_file_read(const char *path, const char *name, struct arena *arena, struct plan_model *model,
                   struct plan_file *file, struct err *e)
{
    struct model_file *f;
    *file = (struct plan_file){0};
    int rc = plan_model_read(path, name, arena, model, e);
    if (rc || str_ends(path, ".json")) return rc;
    rc = model_file_open(&f, path, e);
    if (rc) return rc;
    sum_tensors(f, file);
    model_file_close(f);
    return 0;
}
