/* Starts and memory of bench. Owns what counts as cold: no sampled page of the model's files, or of its packed form, is
 * in memory before. */
#include "doors/cli/bench_start.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "compute/model/packed_file.h"
#include "doors/cli/cli_packed.h"
#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/machine.h"

/* --- cold files --- */

/* A read that may not wait for the disk fails where the page is not in memory. */
static bool is_in_memory(int fd, uint64_t at)
{
    char byte;
    struct iovec to = {&byte, 1};
    return preadv2(fd, &to, 1, (off_t)at, RWF_NOWAIT) == 1;
}

/* Let the pages of a file go; false when samples of it are still in memory. */
static bool drop_file(const char *path)
{
    enum { SAMPLES = 32 };
    int fd, n_left = 0;
    uint64_t size;
    struct err e;
    if (file_open_read(path, &fd, &size, &e)) return false;
    (void)fdatasync(fd); /* pages that are not on the disk yet cannot go */
    bool asked = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
    for (uint64_t i = 0; i < SAMPLES; i++) n_left += is_in_memory(fd, size / SAMPLES * i);
    close(fd);
    return asked && n_left == 0;
}

/* The packed form of f is what is read where it is used. */
static bool drop_packed(const struct cli *c, const struct model_file *f, struct dev *d)
{
    char *path = NULL, *dir = cli_packed_dir(c);
    struct err e;
    bool dropped = packed_file_path(dir, f, d, &path, &e) != 0 || !file_exists(path) || drop_file(path);
    mem_free(path);
    mem_free(dir);
    return dropped;
}

static int drop_model(const struct cli *c, const char *model, bool *dropped, struct err *e)
{
    struct cli_model m;
    struct dev *d = NULL;
    int rc = cli_model_open(&m, c, NULL, model, e);
    if (rc) return rc;
    *dropped = true;
    for (size_t i = 0; i < model_file_n_part(m.file); i++)
        *dropped = drop_file(model_file_part_path(m.file, i)) && *dropped;
    if (*dropped && c->packed_cache != PACKED_CACHE_OFF && model_file_is_gguf(m.file)) {
        rc = cli_device(c, &d, e);
        *dropped = !rc && drop_packed(c, m.file, d);
        dev_free(d);
    }
    cli_model_close(&m);
    return rc;
}

/* --- starts --- */

static int first_token(struct cli_engine *x, struct err *e)
{
    static const int32_t id = 0;
    const struct engine_options opt = {.n_ctx = 2, .max_batch = 1};
    const struct sequence_request r = {.ids = &id,
                                       .n_id = 1,
                                       .max_tokens = 1,
                                       .ignore_eos = true,
                                       .adapter = -1,
                                       .sampling = {.greedy = true, .repetition_penalty = 1.0f}};
    struct sequence *s = NULL;
    int rc = cli_engine_start(x, &opt, e);
    if (!rc) rc = cli_engine_run(x, &r, &s, e);
    if (!rc) sequence_release(x->engine, s);
    engine_free(x->engine);
    x->engine = NULL;
    return rc;
}

int bench_start_measure(struct cli_engine *x, const struct cli *c, const char *model, bool cold,
                        struct bench_start *out, struct err *e)
{
    bool dropped = true;
    *out = (struct bench_start){(double)NAN, (double)NAN};
    *x = (struct cli_engine){0};
    int rc = cold ? drop_model(c, model, &dropped, e) : 0;
    if (rc || !dropped) return rc;
    double begin = clock_s();
    rc = cli_engine_load(x, c, model, NULL, e);
    if (rc) return rc;
    out->load_s = x->model.load_s;
    rc = first_token(x, e);
    out->first_token_s = clock_s() - begin;
    if (rc) cli_engine_close(x);
    return rc;
}

static json_t *start_json(const struct bench_start *s)
{
    if (isnan(s->load_s)) return json_null();
    return json_pack("{s:o, s:o}", "load_s", json_finite(s->load_s), "first_token_s", json_finite(s->first_token_s));
}

json_t *bench_start_json(const struct bench_start *cold, const struct bench_start *warm)
{
    return json_pack("{s:o, s:o}", "cold", start_json(cold), "warm", start_json(warm));
}

void bench_start_print(const struct cli *c, const struct bench_start *cold, const struct bench_start *warm)
{
    printf(cli_text(c, "start: %.2f s to load, %.2f s to the first token", "启动：加载 %.2f 秒，到首个词元 %.2f 秒"),
           warm->load_s, warm->first_token_s);
    if (isnan(cold->load_s))
        puts(cli_text(c, " (the file could not be made to leave the memory)", "（文件无法从内存中移出，未测冷启动）"));
    else
        printf(cli_text(c, "; with a cold file %.2f s and %.2f s\n", "；文件不在内存时分别为 %.2f 秒和 %.2f 秒\n"),
               cold->load_s, cold->first_token_s);
}

/* --- memory --- */

json_t *bench_memory_json(const struct cli_engine *x)
{
    struct engine_stats s = {0};
    if (x->engine) engine_get_stats(x->engine, &s);
    uint64_t file = model_file_size(x->model.file), kv = s.kv_bytes;
    uint64_t budget = file + file / 10 + kv + UINT64_C(100000000);
    return json_pack("{s:I, s:I, s:I, s:I}", "rss_bytes", (json_int_t)machine_rss_bytes(), "file_bytes",
                     (json_int_t)file, "kv_bytes", (json_int_t)kv, "budget_bytes", (json_int_t)budget);
}

static void format_member(const json_t *memory, const char *key, char out[32])
{
    str_format_bytes((uint64_t)json_integer_value(json_object_get(memory, key)), out, 32);
}

void bench_memory_print(const struct cli *c, const json_t *memory)
{
    char rss[32], file[32], kv[32], budget[32];
    format_member(memory, "rss_bytes", rss);
    format_member(memory, "file_bytes", file);
    format_member(memory, "kv_bytes", kv);
    format_member(memory, "budget_bytes", budget);
    printf(cli_text(c, "resident %s of %s (1.1 x file %s + keys and values %s + 100 MB)\n",
                    "常驻内存 %s，预算 %s（文件 %s 的 1.1 倍 + KV %s + 100 MB）\n"),
           rss, budget, file, kv);
}
