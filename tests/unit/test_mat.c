/* A packed matrix that workers fill from a file: the bytes of dev_mat_put, every row read once; and a reader that
 * fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "compute/device/device.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

enum { N_OUT = 5 * 1024 + 3, N_IN = 512 };

static void must(int rc, const struct err *e)
{
    if (rc) fail_msg("%s", e->msg);
}

struct source {
    uint8_t *rows;
    size_t row_bytes, bad_row;
    atomic_uchar n_read[N_OUT];
    atomic_bool strange; /* asked for what is no row, or no whole group; said by the thread of the test */
};

static int read_rows(void *ctx, void *to, size_t row0, size_t n_row, struct err *e)
{
    struct source *s = ctx;
    if (row0 % KERN_ROWS != 0 || n_row == 0 || row0 + n_row > N_OUT) {
        atomic_store(&s->strange, true);
        return err_set(e, ERR_INTERNAL, "file", "rows %zu to %zu", row0, row0 + n_row);
    }
    for (size_t r = row0; r < row0 + n_row; r++) {
        atomic_fetch_add(&s->n_read[r], 1);
        if (r == s->bad_row) return err_set(e, ERR_IO, "file", "cannot read row %zu", r);
    }
    memcpy(to, s->rows + row0 * s->row_bytes, n_row * s->row_bytes);
    return 0;
}

static struct source *source_new(enum quant_type type)
{
    struct source *s = mem_alloc(sizeof *s);
    *s = (struct source){.row_bytes = N_IN / (size_t)quants[type]->block_len * quants[type]->block_bytes,
                         .bad_row = SIZE_MAX};
    s->rows = mem_alloc(N_OUT * s->row_bytes);
    for (size_t i = 0; i < N_OUT * s->row_bytes; i++) s->rows[i] = (uint8_t)rng_below(256, 5, type, i);
    return s;
}

static void source_free(struct source *s)
{
    mem_free(s->rows);
    mem_free(s);
}

static void with_threads(int n_thread, enum quant_type type)
{
    struct dev *d;
    struct dev_mat *put, *fill;
    struct err e = {0};
    struct source *s = source_new(type);
    must(dev_cpu_new(&d, &(struct dev_options){.n_thread = n_thread, .isa = kern_isa_detect()}, &e), &e);
    must(dev_mat_new(d, &put, type, N_OUT, N_IN, &e), &e);
    must(dev_mat_new(d, &fill, type, N_OUT, N_IN, &e), &e);
    dev_mat_put(d, put, s->rows, 0, N_OUT);
    must(dev_mat_fill(d, fill, read_rows, s, &e), &e);
    assert_memory_equal(dev_mat_packed(fill), dev_mat_packed(put), dev_mat_bytes(put));
    for (size_t r = 0; r < N_OUT; r++) assert_int_equal(s->n_read[r], 1);

    s->bad_row = N_OUT - 1;
    assert_int_equal(dev_mat_fill(d, fill, read_rows, s, &e), -ERR_IO);
    assert_string_equal(e.msg, "cannot read row 5122");
    s->bad_row = 0; /* the others stop */
    assert_int_equal(dev_mat_fill(d, fill, read_rows, s, NULL), -ERR_IO);
    assert_false(s->strange);
    dev_mat_free(put);
    dev_mat_free(fill);
    dev_free(d);
    source_free(s);
}

static void filled_as_put(void **state)
{
    (void)state;
    static const enum quant_type types[] = {QUANT_F32, QUANT_Q8_0, QUANT_Q4_K};
    for (size_t t = 0; t < 3; t++)
        for (int n = 1; n <= 3; n++) with_threads(n, types[t]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(filled_as_put)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
