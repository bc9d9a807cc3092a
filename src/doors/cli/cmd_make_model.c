/* make-model: random weights in the shapes of real models, for measurements of speed and memory.
 * Rows are made and quantized a chunk at a time on all threads and streamed, so a model larger than memory can be made.
 * A value is a function of (seed, tensor, row, column): the same file for every number of threads. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compute/formats/gguf.h"
#include "compute/kernels/kern.h"
#include "doors/cli/cli.h"
#include "doors/cli/progress.h"
#include "doors/cli/random_shapes.h"
#include "doors/cli/random_vocab.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/pool.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"

static const struct param params[] = {
    {"out", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "OUT.gguf", "file to write",
     "要写入的文件"},
    {"arch", PARAM_CHOICE, 0, NULL, 0, 0,
     "llama|qwen2|qwen3|gemma2|gemma3|phi3|olmo2|granite|smollm3|qwen3moe|deepseek2", "llama", "A",
     "architecture: llama, qwen2, qwen3, gemma2, gemma3, phi3, olmo2, granite, smollm3, qwen3moe, deepseek2",
     "模型架构：llama、qwen2、qwen3、gemma2、gemma3、phi3、olmo2、granite、smollm3、qwen3moe、deepseek2"},
    {"preset", PARAM_CHOICE, PARAM_REQUIRED, NULL, 0, 0,
     "tiny|135m|270m|360m|0.5b|0.6b|1b|1.5b|1.7b|2b|3b|4b|7b|8b|9b|30b-a3b|v2-lite", NULL, "SIZE",
     "size, that of a model of the architecture: tiny, 135m, 270m, 360m, 0.5b, 0.6b, 1b, 1.5b, 1.7b, 2b, 3b, 4b, 7b, "
     "8b, 9b, "
     "30b-a3b, v2-lite",
     "规模，取自该架构的真实模型：tiny、135m、270m、360m、0.5b、0.6b、1b、1.5b、1.7b、2b、3b、4b、7b、8b、9b、30b-"
     "a3b、v2-lite"},
    {"layers", PARAM_INT, 0, NULL, 0, 1024, NULL, "0", "N", "fewer layers than the preset has; 0: all of them",
     "层数，少于该规模原有的层数；0 为全部"},
    {"type", PARAM_STRING, 0, NULL, 0, 0, NULL, "Q4_0", "T",
     "type of the matrices: F32, F16, BF16, Q8_0, Q4_0 ..., or a mix: Q4_K_M ...",
     "矩阵的数据类型：F32、F16、BF16、Q8_0、Q4_0 ……，或混合类型：Q4_K_M ……"},
    {"seed", PARAM_INT, 0, NULL, 0, 9007199254740991, NULL, "0", "N", "seed of the weights", "权重的随机种子"},
};

enum { TABLE_BITS = 12, TABLE_LEN = 1 << TABLE_BITS, CHUNK_VALUES = 1 << 21 };

struct maker {
    struct random_model model;
    struct random_type type;
    uint64_t seed;
    struct gguf_writer *w;
    struct pool *pool;
    struct random_list list;
    float normal[TABLE_LEN];   /* quantiles of the standard normal: a draw is 12 random bits */
    unsigned char *out;        /* one chunk of rows, quantized */
    float *row;                /* [n_worker][widest row] */
    uint64_t first_row, n_row; /* of the chunk */
    const struct random_tensor *at;
};

/* Inverse of the normal distribution by bisection of erf; 4096 values once a run. */
static double quantile(double p)
{
    double low = -6;
    double high = 6;
    for (int i = 0; i < 60; i++) {
        double mid = (low + high) / 2;
        *(0.5 * erfc(-mid / M_SQRT2) < p ? &low : &high) = mid;
    }
    return (low + high) / 2;
}

/* Row `row` of the tensor in hand, in float32. */
static void fill_row(const struct maker *m, uint64_t row, float *x)
{
    const struct random_tensor *t = m->at;
    uint64_t stream = (uint64_t)(t - m->list.at);
    uint64_t bits = 0;
    for (uint64_t k = 0; k < t->n_col; k++) {
        if (k % 5 == 0) { /* 60 of 64 bits: five values a draw */
            bits = rng_u64(m->seed, stream, row << 32 | k / 5);
        }
        x[k] = t->std == 0.0f ? 1.0f : t->std * m->normal[bits & (TABLE_LEN - 1)];
        bits >>= TABLE_BITS;
    }
}

/* Row `row` of the tensor in hand as blocks of random codes. */
static void fill_codes(const struct maker *m, uint64_t row, uint8_t *out, size_t row_bytes)
{
    const struct random_tensor *t = m->at;
    enum quant_type type = (enum quant_type)quant_find(t->quant->name);
    for (size_t i = 0; i < row_bytes; i += sizeof(uint64_t)) {
        uint64_t bits = rng_u64(m->seed, (uint64_t)(t - m->list.at), row << 32 | i);
        memcpy(out + i, &bits, row_bytes - i < sizeof bits ? row_bytes - i : sizeof bits);
    }
    for (size_t i = 0; i < row_bytes; i += t->quant->block_bytes) {
        quant_set_scales(type, out + i, t->scale);
    }
}

static void fill_chunk(void *arg, int worker, int n_worker)
{
    struct maker *m = arg;
    size_t begin;
    size_t end;
    float *x = m->row + (size_t)worker * m->list.max_col;
    const struct quant *q = m->at->quant;
    size_t row_bytes = (size_t)m->at->n_col / (size_t)q->block_len * q->block_bytes;
    pool_share((size_t)m->n_row, 1, worker, n_worker, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        if (!q->quantize) {
            fill_codes(m, m->first_row + r, (uint8_t *)m->out + r * row_bytes, row_bytes);
            continue;
        }
        fill_row(m, m->first_row + r, x);
        q->quantize(m->out + r * row_bytes, x, (size_t)m->at->n_col);
    }
}

static int write_tensor(struct maker *m, struct progress *p, double *done, struct err *e)
{
    const struct random_tensor *t = m->at;
    size_t row_bytes = (size_t)t->n_col / (size_t)t->quant->block_len * t->quant->block_bytes;
    uint64_t step = CHUNK_VALUES / t->n_col ? CHUNK_VALUES / t->n_col : 1;
    for (m->first_row = 0; m->first_row < t->n_row; m->first_row += m->n_row) {
        m->n_row = t->n_row - m->first_row < step ? t->n_row - m->first_row : step;
        pool_run(m->pool, fill_chunk, m);
        int rc = gguf_write_data(m->w, m->out, (size_t)m->n_row * row_bytes, e);
        if (rc) {
            return rc;
        }
        *done += (double)m->n_row * (double)t->n_col;
        progress_update(p, *done, t->name);
        if (cli_interrupted()) {
            return err_set(e, ERR_INTERRUPTED, t->name, "interrupted while writing tensor \"%s\"", t->name);
        }
    }
    return 0;
}

static int write_all(struct maker *m, const struct cli *c, struct err *e)
{
    struct progress p;
    double total = 0;
    double done = 0;
    for (size_t i = 0; i < m->list.n; i++) {
        total += (double)m->list.at[i].n_row * (double)m->list.at[i].n_col;
    }
    for (int i = 0; i < TABLE_LEN; i++) {
        m->normal[i] = (float)quantile((i + 0.5) / TABLE_LEN);
    }
    m->row = mem_try_array((size_t)pool_size(m->pool) * m->list.max_col, sizeof *m->row);
    m->out = mem_try_array((size_t)CHUNK_VALUES + m->list.max_col, sizeof(float));
    if (!m->row || !m->out) {
        return err_set(e, ERR_NOMEM, NULL, "cannot make a model: out of memory for its rows");
    }
    progress_begin(&p, c, cli_text(c, "weights", "权重"), cli_text(c, "values", "个"), 0, total);
    int rc = gguf_writer_begin(m->w, e);
    for (size_t i = 0; !rc && i < m->list.n; i++) {
        m->at = &m->list.at[i];
        rc = write_tensor(m, &p, &done, e);
    }
    progress_end(&p);
    return rc ? rc : gguf_writer_commit(m->w, e);
}

/* A type that all matrices get, or a mix of several. */
static int find_type(const char *name, struct random_type *out, struct err *e)
{
    char known[256] = "";
    int type = quant_find(name);
    *out = (struct random_type){.quant = type >= 0 ? quants[type] : NULL, .mix = type >= 0 ? NULL : mix_find(name)};
    if (out->quant || out->mix) {
        return 0;
    }
    for (size_t i = 0, n = 0; i < QUANT_COUNT; i++, n = strlen(known)) {
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", quants[i]->name);
    }
    for (size_t i = 0; mix_at(i); i++) {
        size_t n = strlen(known);
        if (quant_find(mix_at(i)->name) < 0) {
            snprintf(known + n, sizeof known - n, ", %s", mix_at(i)->name);
        }
    }
    return err_set(e, ERR_USAGE, "type", "cannot make a model: no type \"%s\", expected %s", name, known);
}

static int make(struct maker *m, const struct cli *c, const char *path, struct err *e)
{
    int rc = gguf_writer_new(&m->w, path, e);
    rc = rc ? rc : pool_new(&m->pool, c->threads, e);
    if (!rc &&
        (random_list_init(&m->list, &m->model, &m->type) || random_put_header(m->w, &m->model, &m->type, &m->list))) {
        rc = err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory for its header", path);
    }
    rc = rc ? rc : random_vocab_put(m->w, (size_t)m->model.params.n_vocab, e);
    rc = rc ? rc : write_all(m, c, e);
    gguf_writer_free(m->w);
    pool_free(m->pool);
    random_list_deinit(&m->list);
    mem_free(m->row);
    mem_free(m->out);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct maker *m = mem_alloc(sizeof *m);
    const char *path = param_str(args, "out");
    int fd;
    uint64_t size_bytes = 0;
    int n_layer = (int)param_int(args, "layers");
    int rc = random_model_find(param_str(args, "arch"), param_str(args, "preset"), n_layer, &m->model, e);
    rc = rc ? rc : find_type(param_str(args, "type"), &m->type, e);
    m->seed = (uint64_t)param_int(args, "seed");
    rc = rc ? rc : make(m, c, path, e);
    mem_free(m);
    rc = rc ? rc : file_open_read(path, &fd, &size_bytes, e);
    if (rc) {
        return rc;
    }
    close(fd);
    if (c->json) {
        cli_print_json(json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)size_bytes));
    } else {
        char size[16];
        str_format_bytes(size_bytes, size, sizeof size);
        printf(cli_text(c, "%s: %s\n", "%s：%s\n"), path, size);
    }
    return EXIT_OK;
}

const struct command cmd_make_model = {
    .name = "make-model",
    .summary_en = "write a model with random weights in real shapes, for measurements",
    .summary_zh = "按真实规模写出随机权重的模型，用于测速",
    .usage = "OUT.gguf --arch A --preset SIZE [--layers N] [--type T] [--seed N]",
    .example = "tailor make-model --arch qwen2 --preset 0.5b --type Q4_0 /tmp/random.gguf",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
