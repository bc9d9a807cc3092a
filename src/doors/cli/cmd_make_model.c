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
#include "doors/cli/model_presets.h"
#include "doors/cli/progress.h"
#include "doors/cli/random_vocab.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/pool.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"

static const struct param params[] = {
    {"out", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "OUT.gguf", "file to write",
     "要写入的文件"},
    {"arch", PARAM_CHOICE, 0, NULL, 0, 0, "llama|qwen2|qwen3|gemma2|gemma3|phi3|olmo2|granite|smollm3", "llama", NULL,
     "architecture", "模型架构"},
    {"preset", PARAM_CHOICE, PARAM_REQUIRED, NULL, 0, 0, "tiny|135m|270m|360m|0.5b|0.6b|1b|1.5b|1.7b|2b|3b|4b|7b|8b|9b",
     NULL, NULL, "size: that of a model of the architecture", "规模：取自该架构的真实模型"},
    {"type", PARAM_STRING, 0, NULL, 0, 0, NULL, "Q4_0", "T",
     "type of the matrices: F32, F16, BF16, Q8_0, Q4_0, Q4_K ...",
     "矩阵的数据类型：F32、F16、BF16、Q8_0、Q4_0、Q4_K ……"},
    {"seed", PARAM_INT, 0, NULL, 0, 9007199254740991, NULL, "0", "N", "seed of the weights", "权重的随机种子"},
};

enum { TABLE_BITS = 12, TABLE_LEN = 1 << TABLE_BITS, CHUNK_VALUES = 1 << 21 };

/* A tensor as it will be written. std 0: all ones (norm weights). */
struct plan {
    char name[64];
    const struct quant *quant;
    uint64_t n_row, n_col;
    int n_dim;
    uint16_t scale[2]; /* of blocks of random codes, where the type has no quantizer */
    float std;
};

struct maker {
    struct model_params p;
    char name[48]; /* general.name */
    const struct quant *quant;
    uint64_t seed;
    struct gguf_writer *w;
    struct pool *pool;
    struct plan *plan;
    size_t n_plan, cap_plan;
    float normal[TABLE_LEN]; /* quantiles of the standard normal: a draw is 12 random bits */
    unsigned char *out;      /* one chunk of rows, quantized */
    float *row;              /* [n_worker][widest row] */
    size_t max_col;
    uint64_t first_row, n_row; /* of the chunk */
    const struct plan *at;
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

static int add_plan(struct maker *m, const char *name, const struct quant *quant, uint64_t n_row, uint64_t n_col,
                    float std)
{
    if (m->n_plan == m->cap_plan) {
        m->cap_plan = m->cap_plan ? 2 * m->cap_plan : 512;
        struct plan *grown = mem_try_realloc(m->plan, m->cap_plan * sizeof *m->plan);
        if (!grown) {
            return -ERR_NOMEM;
        }
        m->plan = grown;
    }
    struct plan *t = &m->plan[m->n_plan++];
    *t = (struct plan){.quant = quant, .n_row = n_row, .n_col = n_col, .n_dim = n_row ? 2 : 1, .std = std};
    snprintf(t->name, sizeof t->name, "%s", name);
    if (!quant->quantize) {
        quant_scales_for((enum quant_type)quant_find(quant->name), std, t->scale);
    }
    t->n_row = n_row ? n_row : 1;
    m->max_col = n_col > m->max_col ? n_col : m->max_col;
    uint64_t shape[] = {t->n_row, n_col};
    int type = tensor_type_find(quant->name);
    return gguf_put_tensor(m->w, name, (enum tensor_type)type, t->n_dim == 2 ? shape : shape + 1, t->n_dim);
}

/* The type that llama.cpp's quantizer takes for rows that are no whole blocks. */
static const struct quant *shorter_blocks(const struct quant *q)
{
    static const struct {
        enum quant_type of, instead;
    } rule[] = {{QUANT_Q2_K, QUANT_IQ4_NL},   {QUANT_Q3_K, QUANT_IQ4_NL}, {QUANT_Q4_K, QUANT_Q5_0},
                {QUANT_IQ4_XS, QUANT_IQ4_NL}, {QUANT_Q5_K, QUANT_Q5_1},   {QUANT_Q6_K, QUANT_Q8_0}};
    for (size_t i = 0; i < N_ELEM(rule); i++) {
        if (q == quants[rule[i].of]) {
            return quants[rule[i].instead];
        }
    }
    return quants[QUANT_F16];
}

/* A matrix in the wanted type, or in another where its rows are no whole blocks. */
static int add_matrix(struct maker *m, const char *name, int n_out, int n_in, float std)
{
    const struct quant *q = m->quant;
    while (n_in % q->block_len) {
        q = shorter_blocks(q);
    }
    return add_plan(m, name, q, (uint64_t)n_out, (uint64_t)n_in, std);
}

/* Weights of deviation 0.02; what adds to the residual stream is divided by sqrt(2 n_layer), as in GPT-2, so that
 * activations of any depth stay of one size. */
static float deviation(const struct maker *m, const char *part)
{
    bool adds = str_eq(part, "attn_output") || str_eq(part, "ffn_down");
    return adds ? 0.02f / sqrtf(2.0f * (float)m->p.n_layer) : 0.02f;
}

static int add_layer(struct maker *m, int layer)
{
    struct layer_tensors list;
    char name[64];
    int rc = 0;
    bool qkv_bias = str_eq(m->p.architecture, "qwen2");
    model_layer_tensors(&m->p, layer, &list);
    for (size_t i = 0; !rc && i < list.n; i++) {
        const struct layer_tensor *t = &list.at[i];
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, t->part);
        if (t->n_dim == 1) {
            rc = add_plan(m, name, quants[QUANT_F32], 0, t->shape[0], 0);
            continue;
        }
        rc = add_matrix(m, name, (int)t->shape[0], (int)t->shape[1], deviation(m, t->part));
        if (!rc && qkv_bias && (str_eq(t->part, "attn_q") || str_eq(t->part, "attn_k") || str_eq(t->part, "attn_v"))) {
            snprintf(name, sizeof name, "blk.%d.%s.bias", layer, t->part);
            rc = add_plan(m, name, quants[QUANT_F32], 0, t->shape[0], 0.02f);
        }
    }
    return rc;
}

static int add_tensors(struct maker *m, bool rope_freqs)
{
    const struct model_params *p = &m->p;
    int rc = add_matrix(m, "token_embd.weight", p->n_vocab, p->n_embd, 0.02f);
    for (int layer = 0; !rc && layer < p->n_layer; layer++) {
        rc = add_layer(m, layer);
    }
    rc = rc ? rc : add_plan(m, "output_norm.weight", quants[QUANT_F32], 0, (uint64_t)p->n_embd, 0);
    if (!rc && rope_freqs) {
        rc = add_plan(m, "rope_freqs.weight", quants[QUANT_F32], 0, (uint64_t)(p->n_rot / 2), 0);
    }
    return rc || p->tied_head ? rc : add_matrix(m, "output.weight", p->n_vocab, p->n_embd, 0.02f);
}

static int put_keys(struct maker *m)
{
    static const struct {
        const char *type;
        uint32_t code;
    } file_type[] = {
        {"F32", 0},     {"F16", 1},     {"Q4_0", 2},  {"Q4_1", 3},  {"Q8_0", 7},  {"Q5_0", 8},
        {"Q5_1", 9},    {"Q2_K", 10},   {"Q3_K", 11}, {"Q4_K", 14}, {"Q5_K", 16}, {"Q6_K", 18},
        {"IQ4_NL", 25}, {"IQ4_XS", 30}, {"BF16", 32}, {"MXFP4", 38}}; /* pure ones: Q3_K_S, Q4_K_S, Q5_K_S */
    int rc = gguf_put_params(m->w, &m->p, m->name);
    for (size_t i = 0; !rc && i < N_ELEM(file_type); i++) {
        rc = str_eq(file_type[i].type, m->quant->name) ? gguf_put_u32(m->w, "general.file_type", file_type[i].code) : 0;
    }
    return rc ? rc : gguf_put_u32(m->w, "general.quantization_version", 2);
}

/* Row `row` of the tensor in hand, in float32. */
static void fill_row(const struct maker *m, uint64_t row, float *x)
{
    const struct plan *t = m->at;
    uint64_t stream = (uint64_t)(t - m->plan);
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
    const struct plan *t = m->at;
    enum quant_type type = (enum quant_type)quant_find(t->quant->name);
    for (size_t i = 0; i < row_bytes; i += sizeof(uint64_t)) {
        uint64_t bits = rng_u64(m->seed, (uint64_t)(t - m->plan), row << 32 | i);
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
    float *x = m->row + (size_t)worker * m->max_col;
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
    const struct plan *t = m->at;
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
    for (size_t i = 0; i < m->n_plan; i++) {
        total += (double)m->plan[i].n_row * (double)m->plan[i].n_col;
    }
    for (int i = 0; i < TABLE_LEN; i++) {
        m->normal[i] = (float)quantile((i + 0.5) / TABLE_LEN);
    }
    m->row = mem_try_array((size_t)pool_size(m->pool) * m->max_col, sizeof *m->row);
    m->out = mem_try_array((size_t)CHUNK_VALUES + m->max_col, sizeof(float));
    if (!m->row || !m->out) {
        return err_set(e, ERR_NOMEM, NULL, "cannot make a model: out of memory for its rows");
    }
    progress_begin(&p, c, cli_text(c, "weights", "权重"), cli_text(c, "values", "个"), 0, total);
    int rc = gguf_writer_begin(m->w, e);
    for (size_t i = 0; !rc && i < m->n_plan; i++) {
        m->at = &m->plan[i];
        rc = write_tensor(m, &p, &done, e);
    }
    progress_end(&p);
    return rc ? rc : gguf_writer_commit(m->w, e);
}

static int find_preset(struct maker *m, const struct param_set *args, bool *rope_freqs, struct err *e)
{
    char known[128];
    const char *arch = param_str(args, "arch"), *preset = param_str(args, "preset");
    snprintf(m->name, sizeof m->name, "random %s %s", arch, preset);
    if (model_preset_find(arch, preset, &m->p, rope_freqs)) {
        return 0;
    }
    return err_set(e, ERR_USAGE, "preset", "cannot make a model: %s has no preset \"%s\", it has %s", arch, preset,
                   model_preset_names(arch, known, sizeof known));
}

static const struct quant *find_type(const char *name, struct err *e)
{
    char known[160] = "";
    int type = quant_find(name);
    if (type >= 0) {
        return quants[type];
    }
    for (size_t i = 0, n = 0; i < QUANT_COUNT; i++, n = strlen(known)) {
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", quants[i]->name);
    }
    err_set(e, ERR_USAGE, "type", "cannot make a model: no type \"%s\", expected %s", name, known);
    return NULL;
}

static int make(struct maker *m, const struct cli *c, const char *path, bool rope_freqs, struct err *e)
{
    int rc = gguf_writer_new(&m->w, path, e);
    rc = rc ? rc : pool_new(&m->pool, c->threads, e);
    if (!rc && (put_keys(m) || add_tensors(m, rope_freqs))) {
        rc = err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory for its header", path);
    }
    rc = rc ? rc : random_vocab_put(m->w, (size_t)m->p.n_vocab, e);
    rc = rc ? rc : write_all(m, c, e);
    gguf_writer_free(m->w);
    pool_free(m->pool);
    mem_free(m->plan);
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
    bool rope_freqs = false;
    int rc = find_preset(m, args, &rope_freqs, e);
    m->quant = rc ? NULL : find_type(param_str(args, "type"), e);
    rc = rc || m->quant ? rc : -ERR_USAGE;
    m->seed = (uint64_t)param_int(args, "seed");
    rc = rc ? rc : make(m, c, path, rope_freqs, e);
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
    .usage = "OUT.gguf --arch A --preset SIZE [--type T] [--seed N]",
    .example = "tailor make-model --arch qwen2 --preset 0.5b --type Q4_0 /tmp/random.gguf",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
