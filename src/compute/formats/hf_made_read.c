/* Reading tensors that are made of parts. Owns no state: threads share a tensor. */
#include <string.h>

#include "compute/formats/hf_made.h"

enum { TURN_BYTES = 4 << 20 };

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Runs of bytes that lie one after the other in a part: run i is [i * run_bytes, (i + 1) * run_bytes) of the tensor. */
static int read_runs(const struct model_file *f, const struct hf_made *x, uint64_t run_bytes, unsigned char *p,
                     uint64_t offset, size_t n, struct err *e)
{
    int rc = 0;
    while (!rc && n > 0) {
        uint64_t mat = offset / run_bytes, at = offset % run_bytes;
        size_t take = (size_t)min_u64(run_bytes - at, n);
        if (x->kind == HF_STACK) {
            rc = model_file_read(f, &x->part[mat].info, p, at, take, e);
        } else {
            uint64_t row_bytes = run_bytes / x->n_out, first = (mat * x->n_row + x->row) * row_bytes;
            rc = model_file_read(f, &x->part->info, p, first + at, take, e);
        }
        p += take;
        offset += take;
        n -= take;
    }
    return rc;
}

/* Columns [col, col + n) of a matrix of the part, which become n rows at p. line: n elements. */
static int turn_rows(const struct model_file *f, const struct hf_made *x, uint64_t mat, uint64_t col, size_t n,
                     size_t elem, unsigned char *p, unsigned char *line, struct err *e)
{
    size_t row_bytes = (size_t)x->n_in * elem;
    int rc = 0;
    for (uint64_t i = 0; !rc && i < x->n_in; i++) {
        uint64_t at = ((mat * x->n_row + x->row + i) * x->n_col + x->col + col) * elem;
        rc = model_file_read(f, &x->part->info, line, at, n * elem, e);
        for (size_t o = 0; !rc && o < n; o++) {
            memcpy(p + o * row_bytes + (size_t)i * elem, line + o * elem, elem);
        }
    }
    return rc;
}

/* Whole rows of one matrix at a time, as many as a piece of memory holds; what was asked of them is copied. */
static int read_turned(const struct model_file *f, const struct stored_tensor *t, unsigned char *p, uint64_t offset,
                       size_t n, struct err *e)
{
    const struct hf_made *x = t->made;
    size_t elem = tensor_type_info(t->info.type)->block_bytes, row_bytes = (size_t)x->n_in * elem;
    size_t most = TURN_BYTES / row_bytes > 0 ? TURN_BYTES / row_bytes : 1;
    unsigned char *rows = mem_try_array(most, row_bytes), *line = mem_try_array(most, elem);
    int rc = rows && line
                 ? 0
                 : err_set(e, ERR_NOMEM, t->info.name, "cannot read tensor \"%s\": out of memory", t->info.name);
    while (!rc && n > 0) {
        uint64_t row = offset / row_bytes, mat = row / x->n_out, col = row % x->n_out, skip = offset % row_bytes;
        uint64_t wanted = (skip + n + row_bytes - 1) / row_bytes;
        size_t n_row = (size_t)min_u64(min_u64(wanted, most), x->n_out - col);
        size_t take = (size_t)min_u64(n_row * row_bytes - skip, n);
        rc = turn_rows(f, x, mat, col, n_row, elem, rows, line, e);
        if (!rc) {
            memcpy(p, rows + skip, take);
        }
        p += take;
        offset += take;
        n -= take;
    }
    mem_free(rows);
    mem_free(line);
    return rc;
}

int hf_made_read(const struct model_file *f, const struct stored_tensor *t, void *p, uint64_t offset, size_t n,
                 struct err *e)
{
    const struct hf_made *x = t->made;
    return x->kind == HF_TURN ? read_turned(f, t, p, offset, n, e)
                              : read_runs(f, x, t->info.n_bytes / x->n_mat, p, offset, n, e);
}
