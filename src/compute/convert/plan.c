/* Deciding what a quantized file will hold. Owns the choice of type a tensor, the fallbacks, and the change of layout
 * from Hugging Face to GGUF; reads no tensor data. */
#include <string.h>

#include "compute/convert/plan_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

static const char file_type_key[] = "general.file_type", version_key[] = "general.quantization_version";

static bool is_float(enum quant_type q)
{
    return q == QUANT_F32 || q == QUANT_F16 || q == QUANT_BF16;
}

static void count_fallback(struct quantize_result *r, enum quant_type from, enum quant_type to)
{
    size_t i = 0;
    while (i < r->n_fallback && (r->fallback[i].from != from || r->fallback[i].to != to)) {
        i++;
    }
    if (i < QUANTIZE_MAX_FALLBACK) {
        r->fallback[i].from = from, r->fallback[i].to = to;
        r->fallback[i].n_tensor++;
        r->n_fallback = i < r->n_fallback ? r->n_fallback : i + 1;
    }
}

/* GGUF wants pairs for what Hugging Face keeps in halves: queries and keys of the llama architecture and some others.
 */
static uint64_t head_to_reorder(const struct model_file *f, const struct model_params *p, const char *name)
{
    bool reorder = !model_file_is_gguf(f) && model_architecture_permutes(p->architecture);
    return reorder && (strstr(name, ".attn_q.") || strstr(name, ".attn_k.")) ? (uint64_t)p->d_head : 0;
}

/* Without a mix. Values that were changed would mostly be rounded away by the few bits of the file. */
static enum quant_type kept_type(const struct planned *t, int source)
{
    return t->made && source >= 0 && !is_float((enum quant_type)source) ? QUANT_F16
           : source >= 0                                                ? (enum quant_type)source
                                                                        : QUANT_F32;
}

static int plan_matrix(struct planned *t, const struct mix_model *m, const struct quantize_options *opt,
                       struct quantize_result *r, struct err *e)
{
    int source = quant_find(tensor_type_info(t->src->type)->name);
    enum quant_type wanted = opt->mix ? mix_type(opt->mix, m, t->src) : kept_type(t, source);
    t->matrix = true;
    t->quant = mix_fallback(wanted, t->n_in);
    if (t->quant != wanted) {
        count_fallback(r, wanted, t->quant);
    }
    t->copy = !t->made && (source == (int)t->quant || !opt->mix);
    r->n_tensor[t->quant]++;
    r->n_again += !t->copy && source >= 0 && !is_float((enum quant_type)source);
    if (!opt->imatrix || is_float(t->quant)) {
        return 0;
    }
    int rc = imatrix_find(opt->imatrix, t->src->name, (size_t)t->n_mat, (size_t)t->n_in, &t->weight, e);
    r->n_unweighted += !t->weight;
    return rc;
}

static int plan_tensor(struct planned *t, const struct model_file *f, const struct model_params *p,
                       const struct mix_model *m, const struct quantize_options *opt, struct quantize_result *r,
                       struct err *e)
{
    const struct tensor_info *src = t->src;
    int source = quant_find(tensor_type_info(src->type)->name), rc = 0;
    t->n_in = src->n_dim > 0 ? src->shape[src->n_dim - 1] : 1;
    t->n_mat = 1, t->n_row = 1;
    for (int d = 0; d < src->n_dim - 1; d++) {
        t->n_row *= src->shape[d];
        t->n_mat *= d < src->n_dim - 2 ? src->shape[d] : 1;
    }
    t->quant = QUANT_F32;
    t->made = opt->source && opt->source->has(opt->source->arg, src->name);
    t->d_head = head_to_reorder(f, p, src->name);
    if (mix_is_matrix(src)) {
        rc = plan_matrix(t, m, opt, r, e);
    } else {
        t->copy = source < 0 || source == QUANT_F32; /* indices and other integers stay as they are */
    }
    if (!rc && !t->copy && source < 0) {
        return err_set(e, ERR_UNSUPPORTED, src->name,
                       "cannot quantize tensor \"%.64s\": its type %s cannot be read, F32, F16, BF16, Q8_0 to Q2_K, "
                       "IQ4_NL, IQ4_XS and MXFP4 can",
                       src->name, tensor_type_info(src->type)->name);
    }
    t->copy = t->copy && !t->d_head;
    t->type = t->copy ? src->type : (enum tensor_type)tensor_type_find(quants[t->quant]->name);
    return rc;
}

static void add_rope(struct plan *plan, const char *name, const float *factor)
{
    plan->rope[plan->n_rope_tensor].name = name;
    memcpy(plan->rope[plan->n_rope_tensor++].factor, factor, sizeof plan->rope[0].factor);
}

/* Factors that differ from frequency to frequency have no key in GGUF, but tensors: one (llama3 scaling), or two
 * (longrope). */
static void plan_rope(struct plan *plan, const struct model_params *p)
{
    const struct model_rope *r = &p->rope[0];
    bool same = true;
    for (int i = 1; i < p->n_rot / 2; i++) {
        same = same && r->factor[i] == r->factor[0];
    }
    plan->n_rope = (uint64_t)p->n_rot / 2;
    if (r->n_ctx_short > 0) {
        add_rope(plan, "rope_factors_long.weight", r->long_factor);
        add_rope(plan, "rope_factors_short.weight", r->factor);
    } else if (!same && r->yarn.factor == 0) {
        add_rope(plan, "rope_freqs.weight", r->factor);
    }
}

static int check_layout(const struct model_file *f, const struct model_params *p, struct err *e)
{
    if (model_architecture_permutes(p->architecture) && p->n_rot != p->d_head) {
        return err_set(e, ERR_UNSUPPORTED, model_file_path(f),
                       "cannot write \"%s\" as a GGUF: %d of %d values of a head are rotated, all would be right",
                       model_file_path(f), p->n_rot, p->d_head);
    }
    return 0;
}

int plan_init(struct plan *plan, const struct model_file *f, const struct quantize_options *opt,
              struct quantize_result *result, struct err *e)
{
    struct model_params p = {0};
    struct mix_model m;
    *plan = (struct plan){0};
    *result = (struct quantize_result){0};
    plan->n_tensor = model_file_n_tensor(f);
    if (plan->n_tensor == 0) {
        return err_set(e, ERR_INPUT, model_file_path(f), "cannot quantize \"%s\": it holds no weights",
                       model_file_path(f));
    }
    plan->tensor = mem_try_array(plan->n_tensor, sizeof *plan->tensor);
    if (!plan->tensor) {
        return err_set(e, ERR_NOMEM, model_file_path(f), "cannot quantize \"%s\": out of memory", model_file_path(f));
    }
    int rc = 0;
    if (!model_file_is_gguf(f) && !model_file_is_encoder(f)) { /* a GGUF may be of any architecture, computed or not */
        rc = model_file_params(f, &p, e);
        rc = rc ? rc : check_layout(f, &p, e);
        plan_rope(plan, &p);
    }
    mix_model_init(&m, f, opt->imatrix != NULL);
    for (size_t i = 0; !rc && i < plan->n_tensor; i++) {
        struct planned *t = &plan->tensor[i];
        t->src = model_file_tensor(f, i);
        rc = plan_tensor(t, f, &p, &m, opt, result, e);
        plan->n_value += (double)t->n_row * (double)t->n_in;
        plan->max_n_in = t->n_in > plan->max_n_in ? t->n_in : plan->max_n_in;
    }
    return rc;
}

void plan_deinit(struct plan *plan)
{
    mem_free(plan->tensor);
}

int plan_declare(const struct plan *plan, const struct model_file *f, const struct mix *mix, struct gguf_writer *w,
                 size_t *n_own_key, struct err *e)
{
    static const char *const replaced[] = {file_type_key, version_key, NULL};
    static const char *const none[] = {NULL};
    int rc = gguf_put_metadata(w, f, mix ? replaced : none, e);
    if (rc) {
        return rc;
    }
    /* what fails from here on is kept by the writer and told by gguf_writer_begin */
    rc = mix ? gguf_put_u32(w, file_type_key, (uint32_t)mix->file_type) : 0;
    rc = rc || !mix ? rc : gguf_put_u32(w, version_key, 2);
    for (size_t i = 0; !rc && i < plan->n_tensor; i++) {
        const struct tensor_info *src = plan->tensor[i].src;
        const uint64_t one = 1;
        rc = gguf_put_tensor(w, src->name, plan->tensor[i].type, src->n_dim ? src->shape : &one,
                             src->n_dim ? src->n_dim : 1);
    }
    for (int i = 0; !rc && i < plan->n_rope_tensor; i++) {
        rc = gguf_put_tensor(w, plan->rope[i].name, TENSOR_F32, &plan->n_rope, 1);
    }
    *n_own_key = gguf_n_own_key(w);
    return 0;
}
