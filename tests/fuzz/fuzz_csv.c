/* Fuzz target: any bytes as CSV; rows that are accepted must be written and read back as the same fields. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/table/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Names of columns that are safe to write, then the row. */
static void write_row(const struct csv_reader *r, struct buf *text)
{
    char name[32];
    for (size_t i = 0; i < r->n_column; i++) {
        int len = snprintf(name, sizeof name, "c%zu", i);
        if (csv_write_field(text, name, (size_t)len, i == 0, false)) abort();
    }
    if (csv_write_end(text)) abort();
    for (size_t i = 0; i < r->n_column; i++)
        if (csv_write_field(text, r->field[i].text, r->field[i].n, i == 0, false)) abort();
    if (csv_write_end(text)) abort();
}

static void check_round_trip(const struct csv_reader *r)
{
    struct csv_reader back;
    struct buf text;
    if (r->n_column == 1 && r->field[0].n == 0) return; /* a blank line, which readers skip */
    buf_init(&text, 1 << 24);
    write_row(r, &text);
    if (csv_open_memory(&back, "again", text.data, text.len, NULL) || csv_next(&back, NULL) != 1) abort();
    for (size_t i = 0; i < r->n_column; i++)
        if (back.field[i].n != r->field[i].n || memcmp(back.field[i].text, r->field[i].text, r->field[i].n) != 0)
            abort();
    csv_close(&back);
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct csv_reader r;
    struct err e = {0};
    int rc = csv_open_memory(&r, "fuzz.csv", (const char *)data, n, &e);
    while (rc == 0 && (rc = csv_next(&r, &e)) == 1) {
        check_round_trip(&r);
        rc = 0;
    }
    if (rc < 0 && !e.msg[0]) abort();
    csv_close(&r);
    return 0;
}
