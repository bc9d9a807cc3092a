/* bench: the floors of this machine, and how near a model comes to them. Owns which floor a model's prefill is measured
 * against, and the two forms of the result. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "compute/measure/bench.h"
#include "compute/measure/floors.h"
#include "doors/cli/bench_earlier.h"
#include "doors/cli/bench_start.h"
#include "doors/cli/cli_engine.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/machine.h"

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL, NULL, 0, 0, NULL, NULL, "MODEL", "path or name of the model",
     "模型的路径或名称"},
    {"floors", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "measure the machine alone", "只测量机器本身"},
    {"prefill", PARAM_INTS, 0, "tokens", 1, 1048576, NULL, "512", "512", "lengths of the prompt", "提示词长度"},
    {"decode", PARAM_INT, 0, "tokens", 1, 1048576, NULL, "128", "N", "tokens decoded", "生成的词元数"},
    {"batch", PARAM_INTS, 0, "sequences", 1, 1024, NULL, "1", "1,8,16", "sequences that decode together",
     "同时生成的序列数"},
    {"context", PARAM_INT, 0, "tokens", 1, 1048576, NULL, "16", "N", "tokens before the first decoded one",
     "开始生成前已有的词元数"},
    {"repeat", PARAM_INT, 0, NULL, 1, BENCH_MAX_REPEAT, NULL, "3", "N", "runs; the median counts",
     "重复次数，取中位数"},
    {"scaling", PARAM_BOOL, 0, NULL, 0, 0, NULL, "true", NULL,
     "measure the first prompt length and batch with one thread too", "另以单线程测量第一个提示词长度与批量"},
    {"compare", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "earlier result (bench --json) to show the change from", "与之比较的早先结果（bench --json 的输出）"},
};

struct bench_run {
    const struct cli *c;
    const struct param_set *args;
    struct floors floors, after; /* before the model was loaded, and when it was closed */
    struct cli_engine x;
    size_t prefill_floor; /* the member of floors that this model's prefill is a share of: its offset */
    json_t *prefill, *decode, *scaling;
    json_t *memory;                /* after the last row */
    struct bench_start cold, warm; /* before the first one */
    json_t *earlier;               /* the result to compare with, or NULL */
};

static json_t *floors_json(const struct floors *f)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "read_gb_s", json_finite(f->read_gb_s), "fp32_gflops",
                     json_finite(f->fp32_gflops), "int8_gops", json_finite(f->int8_gops), "int4_int8_gops",
                     json_finite(f->int4_int8_gops), "bf16_gflops", json_finite(f->bf16_gflops));
}

/* The type that most weight bytes have. */
static enum tensor_type weight_type(const struct model_file *f)
{
    uint64_t bytes[TENSOR_TYPE_COUNT] = {0};
    int best = TENSOR_F32;
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        if (t->n_dim == 2) bytes[t->type] += t->n_bytes;
    }
    for (int i = 0; i < TENSOR_TYPE_COUNT; i++) best = bytes[i] > bytes[best] ? i : best;
    return (enum tensor_type)best;
}

/* The highest rate of what prefill may compute with: float32 for F32 weights and in reference precision, bf16 tiles
 * with AMX, bf16 for half-precision weights where kernels have it, else int8 products, of 4-bit weights where the model
 * has them (small models keep 16 bits of most inputs: bf16, or two bytes, at half of that rate). */
static size_t fitting_floor(const struct bench_run *b)
{
    enum tensor_type type = weight_type(b->x.model.file);
    if (b->c->precision == PRECISION_REFERENCE || type == TENSOR_F32) return offsetof(struct floors, fp32_gflops);
    if (b->c->isa == KERN_AMX) return offsetof(struct floors, bf16_gflops);
    if ((type == TENSOR_F16 || type == TENSOR_BF16) && dev_uses_bf16(model_dev(b->x.model.model)))
        return offsetof(struct floors, bf16_gflops);
    if (type == TENSOR_F16 || type == TENSOR_BF16) return offsetof(struct floors, fp32_gflops);
    return type == TENSOR_Q8_0 ? offsetof(struct floors, int8_gops) : offsetof(struct floors, int4_int8_gops);
}

/* The rows' shares, of the mean of what was measured before the first and after the last: what a shared machine gives
 * changes within seconds, and measuring between the rows would disturb them (floors.h). */
static void add_shares(const struct bench_run *b, json_t *rows, size_t floor, const char *rate, const char *floor_name)
{
    double at[2], mean;
    size_t i;
    json_t *row;
    memcpy(&at[0], (const char *)&b->floors + floor, sizeof(at[0]));
    memcpy(&at[1], (const char *)&b->after + floor, sizeof(at[1]));
    mean = (at[0] + at[1]) / 2;
    json_array_foreach(rows, i, row)
    {
        json_object_set_new(row, floor_name, json_finite(mean));
        json_object_set_new(row, "share", json_finite(json_number_value(json_object_get(row, rate)) / mean));
    }
}

static int engine_for(struct bench_run *b, int n_ctx, int max_batch, struct err *e)
{
    struct engine_options opt = {.n_ctx = n_ctx, .max_batch = max_batch};
    engine_free(b->x.engine);
    b->x.engine = NULL;
    return cli_engine_start(&b->x, &opt, e);
}

static void tell(const struct bench_run *b, const char *what, int n)
{
    if (b->c->stderr_is_tty) fprintf(stderr, cli_text(b->c, "%s %d ...\n", "%s %d……\n"), what, n);
}

static int measure_prefill(struct bench_run *b, int n, struct err *e)
{
    double tok_s = 0;
    const struct model *m = b->x.model.model;
    tell(b, cli_text(b->c, "prefill, tokens:", "预填充，词元数："), n);
    int rc = engine_for(b, n + 1, 1, e);
    if (!rc)
        rc = bench_prefill(b->x.engine, model_params(m)->n_vocab, n, (int)param_int(b->args, "repeat"), cli_interrupted,
                           &tok_s, e);
    if (rc) return rc;
    double gops = 2e-9 * (double)model_n_layer_param(m) * tok_s;
    json_t *row = json_pack("{s:i, s:o, s:o}", "n", n, "tok_s", json_finite(tok_s), "gops", json_finite(gops));
    bench_earlier_compare(b->earlier, "prefill", row);
    json_array_append_new(b->prefill, row);
    return 0;
}

static int measure_decode(struct bench_run *b, int batch, struct err *e)
{
    double tok_s = 0, tok_bytes = 0;
    const struct model *m = b->x.model.model;
    int n = (int)param_int(b->args, "decode"), context = (int)param_int(b->args, "context");
    tell(b, cli_text(b->c, "decode, batch:", "解码，批量："), batch);
    int rc = engine_for(b, context + n + 1, batch, e);
    if (!rc)
        rc = bench_decode(b->x.engine, m, batch, context, n, (int)param_int(b->args, "repeat"), cli_interrupted, &tok_s,
                          &tok_bytes, e);
    if (rc) return rc;
    json_t *row = json_pack("{s:i, s:i, s:o, s:o}", "batch", batch, "context", context, "tok_s", json_finite(tok_s),
                            "read_gb_s", json_finite(tok_s * tok_bytes * 1e-9));
    bench_earlier_compare(b->earlier, "decode", row);
    json_array_append_new(b->decode, row);
    return 0;
}

static json_t *machine_json(const struct bench_run *b)
{
    struct machine m;
    machine_describe(&m);
    return json_pack("{s:s, s:s, s:i, s:o}", "cpu", m.cpu_name, "isa", kern_isa_name(b->c->isa), "threads",
                     b->c->threads, "floors", floors_json(&b->floors));
}

static void print_floors(const struct bench_run *b)
{
    struct machine m;
    machine_describe(&m);
    const struct floors *f = &b->floors;
    printf(cli_text(b->c, "%s, %s, %d threads\n", "%s，%s，%d 线程\n"), m.cpu_name, kern_isa_name(b->c->isa),
           b->c->threads);
    printf(cli_text(b->c, "read %.1f GB/s; fp32 %.0f", "读 %.1f GB/s；fp32 %.0f"), f->read_gb_s, f->fp32_gflops);
    if (f->bf16_gflops > 0) printf(cli_text(b->c, ", bf16 %.0f", "、bf16 %.0f"), f->bf16_gflops);
    printf(cli_text(b->c, " GFLOPS; int8 %.0f, int4 x int8 %.0f GOPS\n", " GFLOPS；int8 %.0f、int4 x int8 %.0f GOPS\n"),
           f->int8_gops, f->int4_int8_gops);
}

static double member(const json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

/* Heads of columns that are 10 wide. */
static void print_heads(const char *const *head, size_t n)
{
    for (size_t i = 0; i < n; i++) printf("%s%*s%s", i ? " " : "", str_padding(head[i], 10), "", head[i]);
    putchar('\n');
}

/* The end of a row: the change from the earlier result where it has that row. */
static void print_change(const struct bench_run *b, const json_t *row)
{
    if (json_object_get(row, "change"))
        printf("  %+7.1f%%  (%.1f)\n", 100 * member(row, "change"), member(row, "earlier_tok_s"));
    else
        puts(b->earlier ? "        -" : "");
}

static void print_tables(const struct bench_run *b)
{
    const char *const prefill[] = {cli_text(b->c, "tokens", "词元数"), cli_text(b->c, "tok/s", "词元/秒"),
                                   cli_text(b->c, "share", "占上限")};
    const char *const decode[] = {cli_text(b->c, "batch", "批量"), cli_text(b->c, "context", "上下文"),
                                  cli_text(b->c, "tok/s", "词元/秒"), "GB/s", cli_text(b->c, "share", "占上限")};
    size_t i;
    json_t *row;
    printf("\n%s\n", cli_text(b->c, "prefill", "预填充"));
    print_heads(prefill, N_ELEM(prefill));
    json_array_foreach(b->prefill, i, row)
    {
        printf("%10.0f %10.1f %9.1f%%", member(row, "n"), member(row, "tok_s"), 100 * member(row, "share"));
        print_change(b, row);
    }
    printf("\n%s\n", cli_text(b->c, "decode", "解码"));
    print_heads(decode, N_ELEM(decode));
    json_array_foreach(b->decode, i, row)
    {
        printf("%10.0f %10.0f %10.1f %10.2f %9.1f%%", member(row, "batch"), member(row, "context"),
               member(row, "tok_s"), member(row, "read_gb_s"), 100 * member(row, "share"));
        print_change(b, row);
    }
}

static void print_scaling(const struct bench_run *b)
{
    size_t i;
    json_t *row;
    json_array_foreach(b->scaling, i, row)
        printf(cli_text(b->c, "%s%.0f thread(s): prefill %.1f tok/s (x %.2f), decode %.1f tok/s (x %.2f)\n",
                        "%s%.0f 线程：预填充 %.1f 词元/秒（x %.2f），解码 %.1f 词元/秒（x %.2f）\n"),
               i ? "" : "\n", member(row, "threads"), member(row, "prefill_tok_s"), member(row, "prefill_ratio"),
               member(row, "decode_tok_s"), member(row, "decode_ratio"));
}

static void print_result(struct bench_run *b)
{
    if (b->c->json) {
        json_t *o = machine_json(b);
        json_object_update_new(
            o, json_pack("{s:O, s:O, s:O, s:o, s:O, s:o, s:O, s:O}", "prefill", b->prefill, "decode", b->decode,
                         "scaling", b->scaling, "start", bench_start_json(&b->cold, &b->warm), "memory", b->memory,
                         "load_s", json_finite(b->warm.load_s), "rss_bytes", json_object_get(b->memory, "rss_bytes"),
                         "file_bytes", json_object_get(b->memory, "file_bytes")));
        cli_print_json(o);
        return;
    }
    print_floors(b);
    print_tables(b);
    print_scaling(b);
    if (b->earlier)
        printf(cli_text(b->c, "\nthe last column: the change from %s, and what it had\n",
                        "\n末列：相对于 %s 的变化（括号内为当时数值）\n"),
               param_str(b->args, "compare"));
    putchar('\n');
    bench_start_print(b->c, &b->cold, &b->warm);
    bench_memory_print(b->c, b->memory);
}

static int measure_all(struct bench_run *b, struct err *e)
{
    int rc = 0;
    b->prefill_floor = fitting_floor(b);
    for (size_t i = 0; i < param_count(b->args, "prefill") && !rc; i++)
        rc = measure_prefill(b, (int)param_int_at(b->args, "prefill", i), e);
    for (size_t i = 0; i < param_count(b->args, "batch") && !rc; i++)
        rc = measure_decode(b, (int)param_int_at(b->args, "batch", i), e);
    return rc;
}

/* A cold start, then a warm one, which stays. */
static int measure_starts(struct bench_run *b, struct err *e)
{
    const char *model = param_str(b->args, "model");
    tell(b, cli_text(b->c, "starts:", "启动："), 2);
    int rc = bench_start_measure(&b->x, b->c, model, true, &b->cold, e);
    if (rc) return rc;
    cli_engine_close(&b->x);
    return bench_start_measure(&b->x, b->c, model, false, &b->warm, e);
}

/* Rates by threads, beside those of the first row. */
static void add_scaling(struct bench_run *b, int threads, double prefill, double decode)
{
    const json_t *first = json_array_get(b->scaling, 0);
    double p = first ? member(first, "prefill_tok_s") : prefill, d = first ? member(first, "decode_tok_s") : decode;
    json_array_append_new(b->scaling,
                          json_pack("{s:i, s:o, s:o, s:o, s:o}", "threads", threads, "prefill_tok_s",
                                    json_finite(prefill), "prefill_ratio", json_finite(prefill / p), "decode_tok_s",
                                    json_finite(decode), "decode_ratio", json_finite(decode / d)));
}

/* The first rows again with one thread, by a model of its own: x is closed. */
static int measure_scaling(struct bench_run *b, struct err *e)
{
    struct cli one = *b->c;
    struct bench_run alone = {.c = &one, .args = b->args};
    if (b->c->threads == 1 || !param_bool(b->args, "scaling")) return 0;
    one.threads = 1;
    int rc = cli_engine_load(&alone.x, &one, param_str(b->args, "model"), NULL, e);
    if (rc) return rc;
    alone.prefill = json_array();
    alone.decode = json_array();
    rc = measure_prefill(&alone, (int)param_int_at(b->args, "prefill", 0), e);
    if (!rc) rc = measure_decode(&alone, (int)param_int_at(b->args, "batch", 0), e);
    const struct bench_run *const runs[] = {&alone, b};
    for (int i = 0; i < 2 && !rc; i++)
        add_scaling(b, runs[i]->c->threads, member(json_array_get(runs[i]->prefill, 0), "tok_s"),
                    member(json_array_get(runs[i]->decode, 0), "tok_s"));
    json_decref(alone.prefill);
    json_decref(alone.decode);
    cli_engine_close(&alone.x);
    return rc;
}

static int bench_model(struct bench_run *b, struct err *e)
{
    int rc = measure_starts(b, e);
    if (rc) return rc;
    b->prefill = json_array();
    b->decode = json_array();
    b->scaling = json_array();
    rc = measure_all(b, e);
    b->memory = bench_memory_json(&b->x);
    cli_engine_close(&b->x);
    if (!rc) rc = measure_scaling(b, e);
    if (!rc) rc = floors_measure(&b->after, b->c->threads, b->c->isa, e);
    if (!rc) {
        add_shares(b, b->prefill, b->prefill_floor, "gops", "floor_gops");
        add_shares(b, b->decode, offsetof(struct floors, read_gb_s), "read_gb_s", "floor_gb_s");
        print_result(b);
    }
    json_decref(b->prefill);
    json_decref(b->decode);
    json_decref(b->scaling);
    json_decref(b->memory);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct bench_run b = {.c = c, .args = args};
    bool alone = param_bool(args, "floors");
    const char *compare = param_str(args, "compare");
    int rc = param_need_one(args, "measure", "model", "floors", e);
    if (rc == 0 && compare) rc = bench_earlier_read(compare, &b.earlier, e);
    if (rc == 0) rc = floors_measure(&b.floors, c->threads, c->isa, e);
    if (rc == 0 && !alone) rc = bench_model(&b, e);
    json_decref(b.earlier);
    if (rc || !alone) return rc;
    if (c->json)
        cli_print_json(machine_json(&b));
    else
        print_floors(&b);
    return 0;
}

const struct command cmd_bench = {
    .name = "bench",
    .summary_en = "measure the machine and the speed of a model on it",
    .summary_zh = "测量机器以及模型在其上的速度",
    .usage = "(MODEL [--prefill 512] [--decode 128] [--batch 1,8,16] [--context N] [--repeat 3] [--no-scaling] "
             "[--compare FILE] | "
             "--floors)",
    .example = "tailor bench model.gguf --batch 1,8",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
