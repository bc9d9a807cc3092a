/* An adapter as GGUF: one alpha for all, which its readers divide by the rank, and rows in GGUF's order. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/gguf.h"
#include "compute/model/adapter_int.h"
#include "compute/model/weights_int.h"
#include "ground/base/mem.h"

enum { NAME_BYTES = 96 };

/* Rows of B as a GGUF base has them: pairs where Hugging Face keeps halves, for some architectures. */
static void rows_to_gguf(const struct adapter *a, int layer, enum adapter_site site, float *dst, const float *src)
{
    const struct model_params *p = &a->params;
    size_t n_out = adapter_view_at(a, 0, site)->n_out, rank = (size_t)adapter_view_at(a, layer, site)->on.rank,
           dh = (size_t)p->d_head;
    bool turn = p->rope_halves && site <= SITE_K && model_architecture_permutes(p->architecture);
    for (size_t r = 0; r < n_out; r++) {
        size_t i = r % dh, to = !turn ? r : r - i + (i < dh / 2 ? 2 * i : 2 * (i - dh / 2) + 1);
        memcpy(dst + to * rank, src + r * rank, rank * sizeof(float));
    }
}

/* The one alpha of the file: readers multiply by it / the rank of a matrix, whatever use_rslora says. */
static float one_alpha(const struct adapter *a)
{
    return a->opt.use_rslora ? a->opt.alpha * sqrtf((float)a->opt.rank) : a->opt.alpha;
}

/* What a reader's scale leaves out of a matrix's own, put into its B. */
static void fold_scale(const struct adapter *a, const struct adapter_view *v, float *b, size_t n)
{
    double rank = (double)v->on.rank, own = (double)v->on.alpha / (a->opt.use_rslora ? sqrt(rank) : rank);
    bool alike = v->on.rank == a->opt.rank && memcmp(&v->on.alpha, &a->opt.alpha, sizeof(v->on.alpha)) == 0;
    double left = alike ? 1 : own / ((double)one_alpha(a) / rank);
    for (size_t i = 0; !alike && i < n; i++) {
        b[i] = (float)(left * (double)b[i]);
    }
}

static void tensor_name(char out[NAME_BYTES], const struct adapter *a, int layer, enum adapter_site site, bool is_b)
{
    snprintf(out, NAME_BYTES, "blk.%d.%s.weight.lora_%c", layer, model_site_place(&a->params, site).part,
             is_b ? 'b' : 'a');
}

/* What is done for every factor, in the order of the file. */
typedef int (*factor_fn)(struct gguf_writer *w, const struct adapter *a, int layer, enum adapter_site site, bool is_b,
                         struct err *e);

static int each_factor(struct gguf_writer *w, const struct adapter *a, factor_fn fn, struct err *e)
{
    int rc = 0;
    for (int l = 0; l < a->params.n_layer; l++) {
        for (int s = 0; s < SITE_COUNT; s++) {
            for (int b = 0; !rc && b < 2 && adapter_lora(a, l, (enum adapter_site)s); b++) {
                rc = fn(w, a, l, (enum adapter_site)s, b == 1, e);
            }
        }
    }
    return rc;
}

static int declare_factor(struct gguf_writer *w, const struct adapter *a, int layer, enum adapter_site site, bool is_b,
                          struct err *e)
{
    char name[NAME_BYTES];
    const struct adapter_view *v = adapter_view_at(a, layer, site);
    const uint64_t rank = (uint64_t)v->on.rank, shape_a[2] = {rank, v->n_in}, shape_b[2] = {v->n_out, rank};
    (void)e; /* the writer keeps what failed */
    tensor_name(name, a, layer, site, is_b);
    return gguf_put_tensor(w, name, TENSOR_F32, is_b ? shape_b : shape_a, 2);
}

static int write_factor(struct gguf_writer *w, const struct adapter *a, int layer, enum adapter_site site, bool is_b,
                        struct err *e)
{
    const struct adapter_view *v = adapter_view_at(a, layer, site);
    size_t n = (size_t)v->on.rank * (is_b ? v->n_out : v->n_in);
    float *own = mem_try_array(n, sizeof(float)), *out = mem_try_array(n, sizeof(float));
    int rc = own && out ? 0 : err_set(e, ERR_NOMEM, NULL, "cannot write an adapter: out of memory");
    if (!rc) {
        dev_read(a->dev, own, a->param + (is_b ? v->b : v->a), n);
        if (is_b) {
            rows_to_gguf(a, layer, site, out, own);
            fold_scale(a, v, out, n);
        }
        rc = gguf_write_data(w, is_b ? out : own, n * sizeof(float), e);
    }
    mem_free(own);
    mem_free(out);
    return rc;
}

static int check(const struct adapter *a, const char *path, struct err *e)
{
    if (a->opt.use_dora) {
        return err_set(e, ERR_UNSUPPORTED, path,
                       "cannot write \"%s\" as a GGUF LoRA: the adapter has magnitudes (DoRA), and that format has no "
                       "place for them; merge puts them into the model",
                       path);
    }
    return a->params.fused
               ? err_set(
                     e, ERR_UNSUPPORTED, path,
                     "cannot write \"%s\" as a GGUF LoRA: a %s model keeps several matrices in one tensor, on which "
                     "the adapter has factors of their own; merge puts them into the model",
                     path, a->params.architecture)
               : 0;
}

static int declare(struct gguf_writer *w, const struct adapter *a)
{
    const char *arch = a->params.architecture;
    int rc = gguf_put_str(w, "general.type", "adapter", strlen("adapter"));
    rc = rc ? rc : gguf_put_str(w, "general.architecture", arch, strlen(arch));
    rc = rc ? rc : gguf_put_str(w, "adapter.type", "lora", strlen("lora"));
    rc = rc ? rc : gguf_put_f32(w, "adapter.lora.alpha", one_alpha(a));
    return rc ? rc : each_factor(w, a, declare_factor, NULL);
}

int adapter_save_gguf(const struct adapter *a, const char *path, struct err *e)
{
    struct gguf_writer *w = NULL;
    int rc = check(a, path, e);
    rc = rc ? rc : gguf_writer_new(&w, path, e);
    if (!rc && declare(w, a) != 0) {
        rc = 0; /* begin tells what failed */
    }
    rc = rc ? rc : gguf_writer_begin(w, e);
    rc = rc ? rc : each_factor(w, a, write_factor, e);
    rc = rc ? rc : gguf_writer_commit(w, e);
    gguf_writer_free(w);
    return rc;
}
