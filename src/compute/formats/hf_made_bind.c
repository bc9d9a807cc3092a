/* Which tensors of a Hugging Face directory are parts of others, by name:
 *
 *   ...mlp.experts.E.{gate,up,down}_proj, ...block_sparse_moe.experts.E.{w1,w3,w2}   -> ffn_{gate,up,down}_exps
 *   ...feed_forward.experts.gate_up_proj [E][n_embd][2 n_ff], down_proj [E][n_ff][n_embd]: the same, turned
 *   ...self_attn.kv_b_proj [n_head * (nope + value)][latent]  -> attn_k_b [n_head][latent][nope], attn_v_b
 *
 * Parts leave the tensor table, what is made of them enters it. Shapes are checked here as far as making needs it, the
 * rest when hyper-parameters and tensors are compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/formats/hf_made.h"
#include "ground/base/str.h"

enum { MAX_LAYER = 1024, MAX_EXPERT = 4096 };

static const char *const kind_name[] = {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"};

/* One expert's matrix in the table. */
struct expert {
    int layer, kind, idx;
    size_t at;
};

struct maker {
    struct model_file *f;
    struct err *e;
    bool *used;                 /* [n_tensor] is a part now */
    struct stored_tensor *made; /* [n_tensor + 2 MAX_LAYER ...] */
    size_t n_made, cap_made;
};

static int no_memory(const struct maker *m)
{
    return err_set(m->e, ERR_NOMEM, m->f->path, "cannot open \"%s\": out of memory", m->f->path);
}

/* The rest of a name after "model.layers.N."; NULL when it is no tensor of a layer. */
static const char *in_layer(const char *name, int *layer)
{
    int used = 0;
    name = str_starts(name, "language_model.") ? name + strlen("language_model.") : name;
    name = str_starts(name, "model.") ? name + strlen("model.") : name;
    bool fits = sscanf(name, "layers.%5d.%n", layer, &used) == 1 && used > 0 && *layer >= 0 && *layer < MAX_LAYER;
    return fits ? name + used : NULL;
}

/* A matrix of one expert: which, by its name. */
static bool parse_expert(const char *name, struct expert *x)
{
    static const char *const part[][3] = {{"gate_proj.weight", "up_proj.weight", "down_proj.weight"},
                                          {"w1.weight", "w3.weight", "w2.weight"}};
    const char *rest = in_layer(name, &x->layer);
    bool mixtral = rest && str_starts(rest, "block_sparse_moe.experts.");
    int used = 0;
    if (!rest || (!mixtral && !str_starts(rest, "mlp.experts."))) {
        return false;
    }
    rest += strlen(mixtral ? "block_sparse_moe.experts." : "mlp.experts.");
    if (sscanf(rest, "%5d.%n", &x->idx, &used) != 1 || used == 0 || x->idx < 0 || x->idx >= MAX_EXPERT) {
        return false;
    }
    for (x->kind = 0; x->kind < 3; x->kind++) {
        if (str_eq(rest + used, part[mixtral][x->kind])) {
            return true;
        }
    }
    return false;
}

static int by_place(const void *a, const void *b)
{
    const struct expert *x = a, *y = b;
    int d = x->layer - y->layer;
    d = d ? d : x->kind - y->kind;
    return d ? d : x->idx - y->idx;
}

/* A new tensor [n_mat][n_out][n_in] of a type; x is kept with its parts. */
static int add(struct maker *m, int layer, const char *part, enum tensor_type type, const struct hf_made *x)
{
    char name[64];
    if (m->n_made == m->cap_made) {
        size_t cap = m->cap_made ? 2 * m->cap_made : 64;
        struct stored_tensor *grown = mem_try_realloc(m->made, cap * sizeof *grown);
        if (!grown) {
            return no_memory(m);
        }
        m->made = grown;
        m->cap_made = cap;
    }
    struct hf_made *kept = arena_alloc(&m->f->names, sizeof *kept);
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    struct stored_tensor *t = &m->made[m->n_made];
    *t = (struct stored_tensor){.info = {.type = type, .n_dim = 3, .shape = {x->n_mat, x->n_out, x->n_in}}};
    t->info.name = arena_strndup(&m->f->names, name, strlen(name));
    t->made = kept;
    if (!kept || !t->info.name) {
        return no_memory(m);
    }
    *kept = *x;
    m->n_made++;
    return tensor_n_bytes(type, t->info.shape, 3, &t->info.n_bytes)
               ? 0
               : err_set(m->e, ERR_INPUT, m->f->path, "cannot use \"%s\": tensor \"%s\" is too large", m->f->path,
                         name);
}

static bool same_kind(const struct tensor_info *a, const struct tensor_info *b)
{
    return b->n_dim == 2 && a->type == b->type && a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1];
}

/* Experts x[0..n) of one layer and kind, sorted: numbers 0, 1, 2 ... of one type and shape. */
static int stack_experts(struct maker *m, const struct expert *x, size_t n)
{
    const struct stored_tensor *table = m->f->tensor;
    const struct tensor_info *first = &table[x[0].at].info;
    struct stored_tensor *part = arena_alloc(&m->f->names, n * sizeof *part);
    if (!part) {
        return no_memory(m);
    }
    for (size_t i = 0; i < n; i++) {
        if (x[i].idx != (int)i || !same_kind(first, &table[x[i].at].info)) {
            return err_set(m->e, ERR_INPUT, m->f->path,
                           "cannot use \"%s\": of the experts of layer %d, number %zu is missing, stands twice, or "
                           "differs in type or shape from number 0",
                           m->f->path, x[0].layer, i);
        }
        part[i] = table[x[i].at];
        m->used[x[i].at] = true;
    }
    struct hf_made made = {
        .kind = HF_STACK, .part = part, .n_mat = n, .n_out = first->shape[0], .n_in = first->shape[1]};
    return add(m, x[0].layer, kind_name[x[0].kind], first->type, &made);
}

static int bind_experts(struct maker *m)
{
    struct expert *x = mem_try_array(m->f->n_tensor, sizeof *x);
    size_t n = 0, end;
    int rc = x ? 0 : no_memory(m);
    for (size_t i = 0; !rc && i < m->f->n_tensor; i++) {
        if (!m->used[i] && parse_expert(m->f->tensor[i].info.name, &x[n])) {
            x[n++].at = i;
        }
    }
    if (!rc) {
        qsort(x, n, sizeof *x, by_place);
    }
    for (size_t begin = 0; !rc && begin < n; begin = end) {
        for (end = begin; end < n && x[end].layer == x[begin].layer && x[end].kind == x[begin].kind; end++) {
        }
        rc = stack_experts(m, x + begin, end - begin);
    }
    mem_free(x);
    return rc;
}

/* Tensor i of the table as the source of others. */
static const struct stored_tensor *take_whole(struct maker *m, size_t i)
{
    struct stored_tensor *part = arena_alloc(&m->f->names, sizeof *part);
    if (part) {
        *part = m->f->tensor[i];
        m->used[i] = true;
    }
    return part;
}

static bool is_float(enum tensor_type t)
{
    return t == TENSOR_F32 || t == TENSOR_F16 || t == TENSOR_BF16;
}

static int wrong(const struct maker *m, const struct tensor_info *t, const char *why)
{
    return err_set(m->e, ERR_UNSUPPORTED, m->f->path, "cannot use \"%s\": tensor \"%.80s\" %s", m->f->path, t->name,
                   why);
}

/* Experts of a layer in one tensor, inputs first: gate beside up, or down. */
static int turn_experts(struct maker *m, size_t i, int layer, bool fused)
{
    const struct tensor_info *t = &m->f->tensor[i].info;
    if (!is_float(t->type) || t->n_dim != 3 || (fused && t->shape[2] % 2 != 0)) {
        return wrong(m, t, "is not three-dimensional of type F32, F16 or BF16");
    }
    struct hf_made x = {.kind = HF_TURN,
                        .part = take_whole(m, i),
                        .n_mat = t->shape[0],
                        .n_out = fused ? t->shape[2] / 2 : t->shape[2],
                        .n_in = t->shape[1],
                        .n_row = t->shape[1],
                        .n_col = t->shape[2]};
    if (!x.part) {
        return no_memory(m);
    }
    int rc = add(m, layer, kind_name[fused ? 0 : 2], t->type, &x);
    x.col = x.n_out;
    return rc || !fused ? rc : add(m, layer, kind_name[1], t->type, &x);
}

static uint64_t config_size(const struct maker *m, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(m->f->config, key));
    return v > 0 && v <= 1 << 20 ? (uint64_t)v : 0;
}

static int split_kv_b(struct maker *m, size_t i, int layer)
{
    const struct tensor_info *t = &m->f->tensor[i].info;
    uint64_t n_head = config_size(m, "num_attention_heads"), nope = config_size(m, "qk_nope_head_dim");
    uint64_t value = config_size(m, "v_head_dim");
    if (!is_float(t->type) || t->n_dim != 2 || n_head * nope * value == 0 || t->shape[0] != n_head * (nope + value)) {
        return wrong(m, t,
                     "does not fit num_attention_heads, qk_nope_head_dim and v_head_dim, or is no F32, F16 or "
                     "BF16");
    }
    struct hf_made x = {.kind = HF_TURN,
                        .part = take_whole(m, i),
                        .n_mat = n_head,
                        .n_out = t->shape[1],
                        .n_in = nope,
                        .n_row = nope + value,
                        .n_col = t->shape[1]};
    if (!x.part) {
        return no_memory(m);
    }
    int rc = add(m, layer, "attn_k_b", t->type, &x);
    x.kind = HF_SLICE;
    x.n_out = value;
    x.n_in = t->shape[1];
    x.row = nope;
    return rc ? rc : add(m, layer, "attn_v_b", t->type, &x);
}

static int bind_whole(struct maker *m)
{
    int rc = 0, layer;
    for (size_t i = 0; !rc && i < m->f->n_tensor; i++) {
        const char *rest = in_layer(m->f->tensor[i].info.name, &layer);
        if (!rest || m->used[i]) {
            continue;
        }
        if (str_eq(rest, "feed_forward.experts.gate_up_proj")) {
            rc = turn_experts(m, i, layer, true);
        } else if (str_eq(rest, "feed_forward.experts.down_proj")) {
            rc = turn_experts(m, i, layer, false);
        } else if (str_eq(rest, "self_attn.kv_b_proj.weight")) {
            rc = split_kv_b(m, i, layer);
        }
    }
    return rc;
}

/* Layers behind the last that only predict further tokens (num_nextn_predict_layers): nothing here uses them. */
static void drop_prediction(struct maker *m)
{
    uint64_t n_layer = config_size(m, "num_hidden_layers"), n_more = config_size(m, "num_nextn_predict_layers");
    for (size_t i = 0; n_layer && n_more && i < m->f->n_tensor; i++) {
        const char *name = m->f->tensor[i].info.name;
        int layer = -1;
        bool numbered = sscanf(name, "blk.%5d.", &layer) == 1 || in_layer(name, &layer);
        m->used[i] = numbered && layer >= 0 && (uint64_t)layer >= n_layer && (uint64_t)layer < n_layer + n_more;
    }
}

/* The index is made after this. */
static int replace(struct maker *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->f->n_tensor; i++) {
        if (!m->used[i]) {
            m->f->tensor[n++] = m->f->tensor[i];
        }
    }
    m->f->n_tensor = n;
    if (m->n_made == 0) {
        return 0;
    }
    struct stored_tensor *all = mem_try_realloc(m->f->tensor, (n + m->n_made) * sizeof *all);
    if (!all) {
        return no_memory(m);
    }
    memcpy(all + n, m->made, m->n_made * sizeof *all);
    m->f->tensor = all;
    m->f->n_tensor = n + m->n_made;
    return 0;
}

int hf_made_bind(struct model_file *f, struct err *e)
{
    struct maker m = {.f = f, .e = e};
    if (f->n_tensor == 0) {
        return 0;
    }
    m.used = mem_try_array(f->n_tensor, sizeof *m.used);
    if (!m.used) {
        return no_memory(&m);
    }
    drop_prediction(&m);
    int rc = bind_experts(&m);
    rc = rc ? rc : bind_whole(&m);
    if (!rc) {
        rc = replace(&m);
    }
    mem_free(m.used);
    mem_free(m.made);
    return rc;
}
