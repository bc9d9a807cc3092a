/* Fuzz target: what the planner reads from others. The first byte chooses: rows of models, hardware or prices as CSV
 * (m, h, p), a trace of requests (t), or a config.json. Rows that were taken are written and read back as the same
 * texts; dimensions that were taken give finite sizes; requests that were taken are sorted and can be simulated. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "lifecycle/plan/arrivals.h"
#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/read_model.h"
#include "lifecycle/plan/sheet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_again(const struct sheet *s, struct arena *arena)
{
    struct sheet back;
    struct buf text;
    struct err e = {0};
    buf_init(&text, 1 << 24);
    if (sheet_write(s, &text)) abort();
    sheet_init(&back, s->table, arena);
    if (sheet_read_memory(&back, "again", text.data, text.len, &e) || back.n != s->n) abort();
    for (size_t i = 0; i < s->n * s->table->n_field; i++)
        if (strcmp(s->text[i], back.text[i]) != 0) abort();
    sheet_deinit(&back);
    buf_deinit(&text);
}

static void fuzz_rows(const struct row_table *t, const char *text, size_t n)
{
    struct arena arena;
    struct sheet s;
    struct err e = {0};
    arena_init(&arena, 1 << 24);
    sheet_init(&s, t, &arena);
    int rc = sheet_read_memory(&s, "fuzz.csv", text, n, &e);
    if (rc < 0 && !e.msg[0]) abort();
    if (rc == 0) check_again(&s, &arena);
    sheet_deinit(&s);
    arena_deinit(&arena);
}

static void check_requests(const struct sim_request *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (r[i].prompt_tokens < 1 || r[i].output_tokens < 1 || !(r[i].arrival_s >= 0) ||
            (i > 0 && r[i].arrival_s < r[i - 1].arrival_s))
            abort();
}

static void fuzz_trace(const char *text, size_t n)
{
    char path[32];
    struct sim_request *r;
    struct err e = {0};
    size_t n_request;
    int fd = memfd_create("trace", 0);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = arrivals_read(path, &r, &n_request, &e);
    if (rc < 0 && !e.msg[0]) abort();
    if (rc == 0) check_requests(r, n_request);
    mem_free(r);
    close(fd);
}

static void fuzz_config(const char *text, size_t n)
{
    struct arena arena;
    struct plan_model m;
    struct err e = {0};
    json_t *config = NULL;
    arena_init(&arena, 1 << 20);
    if (json_parse(text, n, "fuzz", &config, &e) == 0 && json_is_object(config)) {
        int rc = plan_model_of_config(config, "fuzz", &arena, &m, &e);
        if (rc < 0 && !e.msg[0]) abort();
        double total = rc == 0 ? plan_params_total(&m) : 1, cache = rc == 0 ? plan_kv_bytes(&m, 1000, 16, NULL) : 1;
        if (!isfinite(total) || !(total > 0) || !isfinite(cache) || cache < 0) abort();
    }
    json_decref(config);
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    const char *text = (const char *)data + 1;
    if (data[0] == 'm') fuzz_rows(&row_models, text, n - 1);
    if (data[0] == 'h') fuzz_rows(&row_hardware, text, n - 1);
    if (data[0] == 'p') fuzz_rows(&row_prices, text, n - 1);
    if (data[0] == 't') fuzz_trace(text, n - 1);
    if (data[0] == '{') fuzz_config((const char *)data, n);
    return 0;
}
