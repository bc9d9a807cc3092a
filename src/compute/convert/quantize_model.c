/* Streaming a planned file: pieces of rows are read, turned to float32, quantized and read back for the error by all
 * threads, then written in order. Owns the buffers of one piece. */
#include "compute/convert/quantize_model.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "compute/convert/plan_int.h"
#include "compute/kernels/quantize.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/pool.h"

enum { PIECE_VALUES = 1 << 21 };

struct work {
    const struct model_file *f;
    const struct quantize_options *opt;
    struct gguf_writer *w;
    struct pool *pool;
    uint8_t *raw, *out; /* a piece as it is read and as it is written */
    float *row;         /* [n_worker][2][max_n_in]: values, values read back */
    double *error;      /* [rows of a piece] squared */
    uint64_t *n_bad;    /* [rows of a piece] values that are not finite */
    size_t max_n_in;
    double done, total;
    double sum_error, n_error;
    /* the piece in hand */
    const struct planned *t;
    uint64_t first_row;
    size_t n_row;
    quantize_fn search;
};

static size_t row_bytes(enum tensor_type type, uint64_t n_in)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    return (size_t)(n_in / (uint64_t)info->block_len) * info->block_bytes;
}

/* Place in a head of d values, in pairs, of what stands at i in halves; and back. */
static uint64_t halves_from_pairs(uint64_t i, uint64_t d)
{
    return i % d / 2 + (i % 2) * (d / 2) + i / d * d;
}

/* The values of a vector whose heads are to be reordered. */
static void reorder_values(float *x, float *spare, uint64_t n, uint64_t d_head)
{
    memcpy(spare, x, (size_t)n * sizeof *x);
    for (uint64_t i = 0; i < n; i++) {
        x[i] = spare[halves_from_pairs(i, d_head)];
    }
}

static void quantize_row(const struct work *k, uint8_t *out, const float *x, uint64_t row)
{
    const struct planned *t = k->t;
    size_t n = (size_t)t->n_in;
    if (k->search) {
        const float *weight = t->weight ? t->weight + row / (t->n_row / t->n_mat) * t->n_in : NULL;
        k->search(out, x, weight, n);
    } else {
        quants[t->quant]->quantize(out, x, n);
    }
}

static void run_row(struct work *k, size_t i, float *x, float *y)
{
    const struct planned *t = k->t;
    size_t n = (size_t)t->n_in;
    uint8_t *out = k->out + i * row_bytes(t->type, t->n_in);
    if (t->made) {
        memcpy(x, k->raw + i * n * sizeof(float), n * sizeof(float));
    } else {
        const struct quant *source = quants[quant_find(tensor_type_info(t->src->type)->name)];
        source->dequantize(x, k->raw + i * row_bytes(t->src->type, t->n_in), n);
    }
    if (t->d_head && t->src->n_dim == 1) {
        reorder_values(x, y, n, t->d_head);
    }
    quantize_row(k, out, x, k->first_row + i);
    quants[t->quant]->dequantize(y, out, n);
    double error = 0;
    uint64_t n_bad = 0;
    for (size_t j = 0; j < n; j++) {
        double d = (double)x[j] - (double)y[j];
        error += d * d;
        n_bad += !isfinite(x[j]);
    }
    k->error[i] = error;
    k->n_bad[i] = n_bad;
}

static void run_piece(void *arg, int worker, int n_worker)
{
    struct work *k = arg;
    size_t begin, end;
    float *x = k->row + (size_t)worker * 2 * k->max_n_in;
    pool_share(k->n_row, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        run_row(k, i, x, x + k->max_n_in);
    }
}

/* Rows of values that are not the file's, as float32. */
static int read_made(struct work *k, struct err *e)
{
    const struct quantize_source *s = k->opt->source;
    const struct planned *t = k->t;
    float *out = (float *)(void *)k->raw;
    if (!t->d_head) {
        return s->rows(s->arg, t->src->name, out, k->first_row, k->n_row, e);
    }
    int rc = 0;
    for (size_t i = 0; !rc && i < k->n_row; i++) {
        uint64_t from = halves_from_pairs(k->first_row + i, t->d_head);
        rc = s->rows(s->arg, t->src->name, out + i * t->n_in, from, 1, e);
    }
    return rc;
}

/* Rows [first_row, first_row + n_row) as they will stand, into raw. */
static int read_piece(struct work *k, struct err *e)
{
    const struct planned *t = k->t;
    size_t size = row_bytes(t->src->type, t->n_in);
    if (t->made) {
        return read_made(k, e);
    }
    if (!t->d_head || t->src->n_dim == 1) {
        return model_file_read(k->f, t->src, k->raw, k->first_row * size, k->n_row * size, e);
    }
    int rc = 0;
    for (size_t i = 0; !rc && i < k->n_row; i++) {
        uint64_t from = halves_from_pairs(k->first_row + i, t->d_head);
        rc = model_file_read(k->f, t->src, k->raw + i * size, from * size, size, e);
    }
    return rc;
}

/* Adds the errors of a piece, in order of rows whatever the threads; values that are not finite end the work. */
static int take_errors(struct work *k, struct err *e)
{
    uint64_t n_bad = 0;
    for (size_t i = 0; i < k->n_row; i++) {
        n_bad += k->n_bad[i];
        k->sum_error += k->t->matrix ? k->error[i] : 0;
    }
    if (n_bad) {
        return err_set(e, ERR_INPUT, k->t->src->name,
                       "cannot quantize tensor \"%.64s\": %llu of its values in rows %llu to %llu are not finite",
                       k->t->src->name, (unsigned long long)n_bad, (unsigned long long)k->first_row,
                       (unsigned long long)(k->first_row + k->n_row - 1));
    }
    return 0;
}

/* What is taken over as it stands has to be as sound as what is quantized. */
static int check_copy(const struct work *k, struct err *e)
{
    uint64_t first, n_bad = tensor_count_bad(k->t->type, k->raw, k->n_row * row_bytes(k->t->type, k->t->n_in), &first);
    if (n_bad) {
        return err_set(e, ERR_INPUT, k->t->src->name,
                       "cannot take over tensor \"%.64s\": %llu of its blocks in rows %llu to %llu are not finite",
                       k->t->src->name, (unsigned long long)n_bad, (unsigned long long)k->first_row,
                       (unsigned long long)(k->first_row + k->n_row - 1));
    }
    return 0;
}

static int tell(struct work *k, struct err *e)
{
    k->done += (double)k->n_row * (double)k->t->n_in;
    if (k->opt->progress && !k->opt->progress(k->opt->arg, k->done, k->total, k->t->src->name)) {
        return err_set(e, ERR_INTERRUPTED, k->t->src->name, "interrupted while quantizing tensor \"%.64s\"",
                       k->t->src->name);
    }
    return 0;
}

static int write_tensor(struct work *k, const struct planned *t, struct err *e)
{
    uint64_t step = PIECE_VALUES / (t->n_in ? t->n_in : 1);
    int rc = 0;
    step = step ? step : 1;
    k->t = t;
    k->search = t->copy ? NULL : quantize_find(k->opt->isa, t->quant);
    for (k->first_row = 0; !rc && k->first_row < t->n_row; k->first_row += k->n_row) {
        k->n_row = (size_t)(t->n_row - k->first_row < step ? t->n_row - k->first_row : step);
        rc = read_piece(k, e);
        if (!rc && t->copy && t->matrix && k->opt->source && k->opt->source->bytes) {
            k->opt->source->bytes(k->opt->source->arg, t->src, k->raw, k->first_row, k->n_row);
        }
        if (!rc && t->copy) {
            rc = check_copy(k, e);
        } else if (!rc) {
            pool_run(k->pool, run_piece, k);
            rc = take_errors(k, e);
        }
        rc = rc ? rc : gguf_write_data(k->w, t->copy ? k->raw : k->out, k->n_row * row_bytes(t->type, t->n_in), e);
        rc = rc ? rc : tell(k, e);
    }
    k->n_error += t->matrix ? (double)t->n_row * (double)t->n_in : 0;
    return rc;
}

static int work_init(struct work *k, const struct plan *plan, struct err *e)
{
    size_t values = (size_t)plan->max_n_in > PIECE_VALUES ? (size_t)plan->max_n_in : PIECE_VALUES, n_byte, n_row;
    k->max_n_in = (size_t)plan->max_n_in;
    k->total = plan->n_value;
    if (!mul_size(values, sizeof(double), &n_byte) || !mul_size(k->max_n_in, 2 * (size_t)k->opt->n_thread, &n_row)) {
        return err_set(e, ERR_LIMIT, NULL, "cannot quantize: rows of %zu values are too long", k->max_n_in);
    }
    k->raw = mem_try_alloc(n_byte); /* pages that stay untouched cost nothing */
    k->out = mem_try_alloc(n_byte);
    k->row = mem_try_array(n_row, sizeof *k->row);
    k->error = mem_try_array(PIECE_VALUES, sizeof *k->error);
    k->n_bad = mem_try_array(PIECE_VALUES, sizeof *k->n_bad);
    if (!k->raw || !k->out || !k->row || !k->error || !k->n_bad) {
        return err_set(e, ERR_NOMEM, NULL, "cannot quantize: no memory for rows of %zu values", k->max_n_in);
    }
    return pool_new(&k->pool, k->opt->n_thread, e);
}

static void work_deinit(struct work *k)
{
    pool_free(k->pool);
    gguf_writer_free(k->w);
    mem_free(k->raw);
    mem_free(k->out);
    mem_free(k->row);
    mem_free(k->error);
    mem_free(k->n_bad);
}

static int write_all(struct work *k, const struct plan *plan, const char *path, size_t *n_own_key, struct err *e)
{
    int rc = gguf_writer_new(&k->w, path, e);
    rc = rc ? rc : plan_declare(plan, k->f, k->opt->mix, k->w, n_own_key, e);
    rc = rc ? rc : gguf_writer_begin(k->w, e);
    for (size_t i = 0; !rc && i < plan->n_tensor; i++) {
        rc = write_tensor(k, &plan->tensor[i], e);
    }
    for (int i = 0; !rc && i < plan->n_rope_tensor; i++) {
        rc = gguf_write_data(k->w, plan->rope[i].factor, (size_t)plan->n_rope * sizeof(float), e);
    }
    return rc ? rc : gguf_writer_commit(k->w, e);
}

static int size_of(const char *path, uint64_t *bytes, struct err *e)
{
    int fd;
    int rc = file_open_read(path, &fd, bytes, e);
    if (!rc) {
        close(fd);
    }
    return rc;
}

int quantize_model(const struct model_file *f, const char *path, const struct quantize_options *opt,
                   struct quantize_result *out, struct err *e)
{
    struct plan plan;
    struct work k = {.f = f, .opt = opt};
    int rc = plan_init(&plan, f, opt, out, e);
    rc = rc ? rc : work_init(&k, &plan, e);
    rc = rc ? rc : write_all(&k, &plan, path, &out->n_own_key, e);
    rc = rc ? rc : size_of(path, &out->bytes, e);
    out->rmse = k.n_error > 0 ? sqrt(k.sum_error / k.n_error) : 0;
    work_deinit(&k);
    plan_deinit(&plan);
    return rc;
}
