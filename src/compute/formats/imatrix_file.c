/* Reading and writing importance matrices. Owns the means, one allocation an entry's values; the file is closed when
 * open returns. Everything read is untrusted. */
#include "compute/formats/imatrix_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compute/formats/formats_int.h"
#include "ground/base/file.h"
#include "ground/base/str.h"

static const char sum_end[] = ".in_sum2", count_end[] = ".counts";

struct entry {
    const char *name;
    const float *mean;
    size_t n; /* n_mat * n_in */
};

struct imatrix {
    char *path;
    struct arena mem; /* names and means */
    struct entry *entry;
    size_t n_entry;
    struct name_index index;
};

static const char *entry_name(const void *items, size_t idx)
{
    const struct entry *entry = items;
    return entry[idx].name;
}

static int no_memory(const struct imatrix *m, struct err *e)
{
    return err_set(e, ERR_NOMEM, m->path, "cannot read importance matrix \"%s\": out of memory", m->path);
}

/* Room for the entry of a name; *mean is to be filled. */
static int add_entry(struct imatrix *m, const char *name, size_t name_len, size_t n, float **mean, struct err *e)
{
    size_t n_bytes;
    struct entry x = {.name = arena_strndup(&m->mem, name, name_len), .n = n};
    *mean = mul_size(n, sizeof **mean, &n_bytes) ? arena_alloc(&m->mem, n_bytes) : NULL;
    x.mean = *mean;
    struct entry *grown = mem_try_realloc(m->entry, (m->n_entry + 1) * sizeof *grown);
    if (grown) {
        m->entry = grown;
    }
    if (!grown || !x.name || !x.mean) {
        return no_memory(m, e);
    }
    m->entry[m->n_entry++] = x;
    return 0;
}

/* Every mean must be a number that can weigh: finite and not negative. */
static int check_means(const struct imatrix *m, const char *name, const float *mean, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        if (!(mean[i] >= 0) || !isfinite(mean[i])) {
            return err_set(
                e, ERR_INPUT, m->path,
                "cannot use importance matrix \"%s\": \"%.64s\" has the value %g at %zu, a finite one from 0 "
                "would be right",
                m->path, name, (double)mean[i], i);
        }
    }
    return 0;
}

/* --- GGUF --- */

static int read_counts(const struct model_file *f, const char *base, size_t n_mat, float *count, struct err *e)
{
    char name[LIMIT_NAME_BYTES + 16];
    snprintf(name, sizeof name, "%s%s", base, count_end);
    const struct tensor_info *t = model_file_find(f, name);
    if (!t || t->type != TENSOR_F32 || t->n_bytes != n_mat * sizeof *count) {
        return err_set(e, ERR_INPUT, f->path, "cannot use importance matrix \"%s\": \"%.64s\" is not %zu values of F32",
                       f->path, name, n_mat);
    }
    return model_file_read(f, t, count, 0, (size_t)t->n_bytes, e);
}

/* Sums over counts; a stacked matrix that saw no row (count 0) weighs nothing. */
static void divide(float *mean, const float *count, size_t n_mat, size_t n_in)
{
    for (size_t k = 0; k < n_mat; k++) {
        for (size_t i = 0; i < n_in; i++) {
            float *v = &mean[k * n_in + i];
            *v = count[k] > 0 ? *v / count[k] : 0;
        }
    }
}

static int take_sums(struct imatrix *m, const struct model_file *f, const struct tensor_info *t, struct err *e)
{
    size_t len = strlen(t->name) - strlen(sum_end), n = (size_t)(t->n_bytes / sizeof(float));
    size_t n_mat = t->n_dim > 1 ? (size_t)t->shape[t->n_dim - 2] : 1;
    float *mean;
    if (t->type != TENSOR_F32 || t->n_dim > 2 || n == 0) {
        return err_set(e, ERR_INPUT, m->path, "cannot use importance matrix \"%s\": \"%.64s\" is no matrix of F32",
                       m->path, t->name);
    }
    int rc = add_entry(m, t->name, len, n, &mean, e);
    float *count = mem_try_array(n_mat, sizeof *count);
    if (!rc && !count) {
        rc = no_memory(m, e);
    }
    rc = rc ? rc : model_file_read(f, t, mean, 0, n * sizeof *mean, e);
    rc = rc ? rc : read_counts(f, m->entry[m->n_entry - 1].name, n_mat, count, e);
    if (!rc) {
        divide(mean, count, n_mat, n / n_mat);
        rc = check_means(m, t->name, mean, n, e);
    }
    mem_free(count);
    return rc;
}

static int read_gguf(struct imatrix *m, struct err *e)
{
    struct model_file *f;
    int rc = model_file_open(&f, m->path, e);
    if (rc) {
        return rc;
    }
    for (size_t i = 0; !rc && i < f->n_tensor; i++) {
        if (str_ends(f->tensor[i].info.name, sum_end)) {
            rc = take_sums(m, f, &f->tensor[i].info, e);
        }
    }
    if (!rc && m->n_entry == 0) {
        rc = err_set(e, ERR_INPUT, m->path,
                     "cannot use importance matrix \"%s\": a GGUF without tensors NAME.in_sum2 is none", m->path);
    }
    model_file_close(f);
    return rc;
}

/* --- .dat: int32 entries; each int32 length, name, int32 calls, int32 values, float32 values (means times calls) ---
 */

struct dat {
    const char *at, *end;
};

static bool take_i32(struct dat *d, int32_t *v)
{
    bool there = (size_t)(d->end - d->at) >= sizeof *v;
    if (there) {
        memcpy(v, d->at, sizeof *v);
        d->at += sizeof *v;
    }
    return there;
}

static int broken_dat(const struct imatrix *m, int32_t i, struct err *e)
{
    return err_set(e, ERR_INPUT, m->path,
                   "cannot use importance matrix \"%s\": entry %d is cut off or has a size that cannot be", m->path,
                   (int)i);
}

static int take_dat_entry(struct imatrix *m, struct dat *d, int32_t i, struct err *e)
{
    int32_t len = 0, n_call = 0, n = 0;
    float *mean;
    if (!take_i32(d, &len) || len <= 0 || len > LIMIT_NAME_BYTES || len > d->end - d->at) {
        return broken_dat(m, i, e);
    }
    const char *name = d->at;
    d->at += len;
    if (!take_i32(d, &n_call) || !take_i32(d, &n) || n <= 0 || n > (d->end - d->at) / (ptrdiff_t)sizeof(float)) {
        return broken_dat(m, i, e);
    }
    int rc = add_entry(m, name, (size_t)len, (size_t)n, &mean, e);
    if (rc) {
        return rc;
    }
    memcpy(mean, d->at, (size_t)n * sizeof *mean);
    d->at += (size_t)n * sizeof *mean;
    for (int32_t k = 0; k < n; k++) {
        mean[k] = n_call > 0 ? mean[k] / (float)n_call : mean[k];
    }
    return check_means(m, m->entry[m->n_entry - 1].name, mean, (size_t)n, e);
}

static int read_dat(struct imatrix *m, const char *data, size_t size, struct err *e)
{
    struct dat d = {data, data + size};
    int32_t n = 0;
    if (!take_i32(&d, &n) || n <= 0 || n > LIMIT_TENSORS) {
        return err_set(e, ERR_INPUT, m->path,
                       "cannot use importance matrix \"%s\": neither a GGUF nor a .dat of 1 to %d entries", m->path,
                       (int)LIMIT_TENSORS);
    }
    int rc = 0;
    for (int32_t i = 0; !rc && i < n; i++) {
        rc = take_dat_entry(m, &d, i, e);
    }
    return rc;
}

/* --- both --- */

static int read_any(struct imatrix *m, struct err *e)
{
    enum { MAX_DAT_BYTES = 1 << 30 };
    char *data;
    size_t size, dup;
    int fd;
    uint64_t size_bytes;
    char magic[4] = "";
    int rc = file_open_read(m->path, &fd, &size_bytes, e);
    if (rc) {
        return rc;
    }
    rc = size_bytes < sizeof magic ? 0 : file_pread(fd, m->path, magic, sizeof magic, 0, e);
    close(fd);
    if (!rc && !memcmp(magic, "GGUF", sizeof magic)) {
        rc = read_gguf(m, e);
    } else if (!rc) {
        rc = file_read_all(m->path, MAX_DAT_BYTES, &data, &size, e);
        if (!rc) {
            rc = read_dat(m, data, size, e);
            mem_free(data);
        }
    }
    if (rc) {
        return rc;
    }
    if (name_index_init(&m->index, m->entry, m->n_entry, entry_name, &dup)) {
        return no_memory(m, e);
    }
    return dup == m->n_entry
               ? 0
               : err_set(e, ERR_INPUT, m->path, "cannot use importance matrix \"%s\": \"%.64s\" stands twice", m->path,
                         m->entry[dup].name);
}

int imatrix_open(struct imatrix **out, const char *path, struct err *e)
{
    struct imatrix *m = mem_alloc(sizeof *m);
    m->path = mem_strdup(path);
    arena_init(&m->mem, SIZE_MAX / 2);
    int rc = read_any(m, e);
    *out = rc ? NULL : m;
    if (rc) {
        imatrix_close(m);
    }
    return rc;
}

void imatrix_close(struct imatrix *m)
{
    if (m) {
        name_index_deinit(&m->index);
        arena_deinit(&m->mem);
        mem_free(m->entry);
        mem_free(m->path);
        mem_free(m);
    }
}

size_t imatrix_n_entry(const struct imatrix *m)
{
    return m->n_entry;
}

int imatrix_find(const struct imatrix *m, const char *tensor, size_t n_mat, size_t n_in, const float **out,
                 struct err *e)
{
    size_t i = name_index_find(&m->index, m->entry, entry_name, tensor), n;
    *out = NULL;
    if (i >= m->n_entry) {
        return 0;
    }
    if (!mul_size(n_mat, n_in, &n) || m->entry[i].n != n) {
        return err_set(
            e, ERR_INPUT, tensor,
            "cannot use importance matrix \"%s\": it has %zu values for \"%.64s\", the tensor %zu x %zu inputs",
            m->path, m->entry[i].n, tensor, n_mat, n_in);
    }
    *out = m->entry[i].mean;
    return 0;
}

/* --- writing --- */

static int put_tensors(struct gguf_writer *w, const struct imatrix_sum *s)
{
    char name[LIMIT_NAME_BYTES];
    const uint64_t sum_shape[] = {s->n_mat, s->n_in}, count_shape[] = {s->n_mat, 1};
    snprintf(name, sizeof name, "%s%s", s->tensor, sum_end);
    int rc = gguf_put_tensor(w, name, TENSOR_F32, sum_shape, 2);
    snprintf(name, sizeof name, "%s%s", s->tensor, count_end);
    return rc ? rc : gguf_put_tensor(w, name, TENSOR_F32, count_shape, 2);
}

static int write_sums(struct gguf_writer *w, const struct imatrix_sum *s, struct err *e)
{
    float count = (float)s->count;
    float *sum = mem_try_array(s->n_in, sizeof *sum);
    if (!sum) {
        return err_set(e, ERR_NOMEM, s->tensor, "cannot write an importance matrix: out of memory");
    }
    for (size_t i = 0; i < s->n_in; i++) {
        sum[i] = (float)s->sum[i];
    }
    int rc = 0;
    for (size_t k = 0; !rc && k < s->n_mat; k++) {
        rc = gguf_write_data(w, sum, s->n_in * sizeof *sum, e);
    }
    mem_free(sum);
    for (size_t k = 0; !rc && k < s->n_mat; k++) {
        rc = gguf_write_data(w, &count, sizeof count, e);
    }
    return rc;
}

int imatrix_save(const char *path, const struct imatrix_sum *sums, size_t n, const char *dataset, uint32_t n_chunk,
                 uint32_t chunk_len, struct err *e)
{
    struct gguf_writer *w;
    int rc = gguf_writer_new(&w, path, e);
    if (rc) {
        return rc;
    }
    int declared = gguf_put_str(w, "general.type", "imatrix", strlen("imatrix"));
    declared = declared ? declared : gguf_put_array(w, "imatrix.datasets", GGUF_STRING, &dataset, NULL, 1);
    declared = declared ? declared : gguf_put_u32(w, "imatrix.chunk_count", n_chunk);
    declared = declared ? declared : gguf_put_u32(w, "imatrix.chunk_size", chunk_len);
    for (size_t i = 0; !declared && i < n; i++) {
        declared = put_tensors(w, &sums[i]);
    }
    rc = gguf_writer_begin(w, e); /* tells a failed declaration */
    for (size_t i = 0; !rc && i < n; i++) {
        rc = write_sums(w, &sums[i], e);
    }
    rc = rc ? rc : gguf_writer_commit(w, e);
    gguf_writer_free(w);
    return rc;
}
