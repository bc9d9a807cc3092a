/* Fuzz target: any bytes as JSON Lines; rows that are accepted must be written and read back as equal values. */
#include <stdint.h>
#include <stdlib.h>

#include "ground/base/buf.h"
#include "ground/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_round_trip(const json_t *row)
{
    struct buf text;
    json_t *back;
    buf_init(&text, 1 << 24);
    if (json_format(row, JSON_CANONICAL, &text) || json_parse(text.data, text.len, "again", &back, NULL)) abort();
    if (!json_equal(row, back)) abort();
    json_decref(back);
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct json_lines r;
    if (json_lines_open_memory(&r, "fuzz.jsonl", (const char *)data, n, 1 << 16, NULL)) return 0;
    for (;;) {
        struct err e = {0};
        json_t *row;
        uint64_t before = r.line_no;
        int rc = json_lines_next(&r, &row, &e);
        if (rc == 0) break;
        if (r.line_no <= before) abort(); /* it always goes on */
        if (rc < 0 && !e.msg[0]) abort();
        if (row) check_round_trip(row);
        json_decref(row);
    }
    json_lines_close(&r);
    return 0;
}
