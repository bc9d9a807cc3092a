/* plan: which models fit this machine, and how fast they would be. */
#include <stdio.h>

#include "doors/cli/cli.h"
#include "doors/cli/plan_machine.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

extern const struct command cmd_plan;

static const struct param params[] = {
    {"model", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "MODEL",
     "model on disk or in the registry (measured now), or a name of the catalogue",
     "磁盘或注册表中的模型（现场测量），或目录中的名称"},
    {"quant", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "Q", "type of the weights: F32, F16, BF16, Q8_0, Q4_0, Q4_K ...",
     "权重类型：F32、F16、BF16、Q8_0、Q4_0、Q4_K ……"},
    {"users", PARAM_INT, 0, NULL, 1, 100000, NULL, "1", "N", "conversations at a time", "同时进行的对话数"},
    {"prompt_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "512", "N", "length of a prompt", "提示长度"},
    {"output_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "128", "N", "length of an answer", "回答长度"},
    {"measure", PARAM_BOOL, 0, NULL, 0, 0, NULL, "true", NULL, "time the model at hand, so that predictions rest on it",
     "对手头的模型计时，使预测以实测为准"},
    {"catalog", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE", "catalogue of models (CSV)", "模型目录（CSV）"},
    {"hardware", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "H", "other hardware than this machine: not planned yet",
     "本机以外的硬件：暂不支持"},
    {"calls_month", PARAM_INT, 0, NULL, 0, 1e15, NULL, NULL, "N", "cost by volume: not planned yet",
     "按调用量估算成本：暂不支持"},
    {"data_class", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "CLASS", "private or API: not planned yet",
     "私有或 API 决策：暂不支持"},
    {"team", PARAM_INT, 0, NULL, 0, 1e9, NULL, NULL, "N", "cost of people: not planned yet", "人力成本：暂不支持"},
};

struct plan {
    const struct cli *c;
    struct machine machine;
    struct plan_floors floors;
    struct plan_shares shares;
    struct plan_load load;
    struct catalogue catalogue;
    struct plan_measured measured; /* quant NULL: no model at hand */
};

struct forecast {
    const struct model_shape *shape;
    const struct plan_quant *quant;
    struct plan_memory memory;
    struct plan_speed speed;
    bool fits;
    uint64_t max_users;
};

/* What cannot be computed yet is refused by name rather than answered with a guess. */
static int refuse_missing(const struct param_set *args, struct err *e)
{
    if (param_str(args, "hardware"))
        return err_set(e, ERR_UNSUPPORTED, "hardware",
                       "cannot plan for hardware \"%s\": only this machine is planned for yet",
                       param_str(args, "hardware"));
    if (param_is_set(args, "calls_month"))
        return err_set(e, ERR_UNSUPPORTED, "calls_month",
                       "cannot plan for %lld calls a month: cost is not computed yet",
                       (long long)param_int(args, "calls_month"));
    if (param_str(args, "data_class"))
        return err_set(e, ERR_UNSUPPORTED, "data_class",
                       "cannot plan for data class \"%s\": the choice between private and API "
                       "is not made yet",
                       param_str(args, "data_class"));
    if (param_is_set(args, "team"))
        return err_set(e, ERR_UNSUPPORTED, "team", "cannot plan for a team of %lld: cost is not computed yet",
                       (long long)param_int(args, "team"));
    return 0;
}

/* weights_bytes and work of a loaded model, else 0 and NULL. */
static void forecast(const struct plan *p, const struct model_shape *shape, const struct plan_quant *quant,
                     uint64_t weights_bytes, const struct plan_work *work, struct forecast *out)
{
    struct plan_work by_shape;
    *out = (struct forecast){.shape = shape, .quant = quant};
    plan_memory(shape, quant, weights_bytes, &p->load, &out->memory);
    plan_work(shape, quant, &by_shape);
    plan_speed(shape, quant, work ? work : &by_shape, &p->floors, &p->shares, &p->load, &out->speed);
    out->fits = out->memory.total_bytes <= p->machine.memory_available_bytes;
    out->max_users = plan_max_users(shape, &out->memory, &p->load, p->machine.memory_available_bytes);
}

/* The model at hand as it is on disk. */
static void forecast_measured(const struct plan *p, struct forecast *out)
{
    const struct plan_measured *m = &p->measured;
    forecast(p, &m->shape, m->quant, m->weights_bytes, &m->work, out);
}

/* --- what was asked: one model, or the table --- */

static int pick_quant(const struct param_set *args, const struct plan_quant *otherwise, const struct plan_quant **out,
                      struct err *e)
{
    const char *name = param_str(args, "quant");
    *out = name ? plan_quant_find(name) : otherwise;
    return *out ? 0
                : err_set(e, ERR_USAGE, "quant", "cannot plan for type \"%s\": known are %s", name, plan_quant_names());
}

static int load_catalogue(struct plan *p, const struct param_set *args, struct err *e)
{
    const char *given = param_str(args, "catalog");
    char *path = NULL;
    int rc = given ? 0 : plan_catalogue_path(&path, e);
    if (rc == 0) rc = catalogue_load(&p->catalogue, given ? given : path, e);
    mem_free(path);
    return rc;
}

/* The model at hand, when --model names one that can be opened; a name of the catalogue is not opened. */
static int measure_model(struct plan *p, const struct param_set *args, struct err *e)
{
    const char *name = param_str(args, "model");
    struct plan_measured *m = &p->measured;
    if (!name || (!file_exists(name) && catalogue_find(&p->catalogue, name))) return 0;
    bool timed = param_bool(args, "measure");
    int rc = plan_measure_model(p->c, name, timed, m, e);
    if (rc == 0 && timed)
        plan_calibrate(&m->shape, m->quant, &m->work, &p->floors, m->n_prompt, m->prefill_tok_s, m->context,
                       m->decode_tok_s, &p->shares);
    return rc;
}

static int prepare(struct plan *p, const struct param_set *args, struct err *e)
{
    machine_describe(&p->machine);
    p->shares = (struct plan_shares){PLAN_SHARE_DECODE, PLAN_SHARE_PREFILL, false};
    p->load = (struct plan_load){(int)param_int(args, "users"), (int)param_int(args, "prompt_tokens"),
                                 (int)param_int(args, "output_tokens")};
    int rc = refuse_missing(args, e);
    if (rc == 0) rc = load_catalogue(p, args, e);
    if (rc == 0) rc = plan_measure_floors(p->c, &p->floors, e);
    return rc ? rc : measure_model(p, args, e);
}

/* The one model of --model, with --quant. */
static int forecast_model(const struct plan *p, const struct param_set *args, struct forecast *out, struct err *e)
{
    const struct plan_quant *quant;
    const struct model_shape *shape =
        p->measured.quant ? &p->measured.shape : catalogue_find(&p->catalogue, param_str(args, "model"));
    int rc = pick_quant(args, p->measured.quant ? p->measured.quant : plan_quant_find("Q4_0"), &quant, e);
    if (rc) return rc;
    if (p->measured.quant && quant == p->measured.quant)
        forecast_measured(p, out);
    else
        forecast(p, shape, quant, 0, NULL, out);
    return 0;
}

/* --- JSON --- */

static json_t *floors_json(const struct plan *p)
{
    const struct plan_floors *f = &p->floors;
    return json_pack(
        "{s:s,s:i,s:s,s:I,s:I,s:{s:f,s:f,s:f,s:f,s:f}}", "cpu", p->machine.cpu_name, "threads", p->c->threads, "isa",
        kern_isa_name(p->c->isa), "memory_bytes", (json_int_t)p->machine.memory_bytes, "memory_available_bytes",
        (json_int_t)p->machine.memory_available_bytes, "floors", "read_gb_s", f->read_gb_s, "fp32_gflops",
        f->fp32_gflops, "int8_gops", f->int8_gops, "int4_int8_gops", f->int4_int8_gops, "bf16_gflops", f->bf16_gflops);
}

static json_t *forecast_json(const struct forecast *f)
{
    const struct plan_memory *m = &f->memory;
    const struct plan_speed *v = &f->speed;
    return json_pack("{s:s,s:s,s:b,s:{s:I,s:I,s:I,s:I},s:{s:f,s:f,s:f,s:f,s:I}}", "model", f->shape->name, "quant",
                     f->quant->name, "fits", f->fits, "memory", "weights_bytes", (json_int_t)m->weights_bytes,
                     "kv_bytes", (json_int_t)m->kv_bytes, "overhead_bytes", (json_int_t)m->overhead_bytes,
                     "total_bytes", (json_int_t)m->total_bytes, "speed", "prefill_tok_s", v->prefill_tok_s,
                     "decode_tok_s", v->decode_tok_s, "ttft_ms", v->ttft_ms, "tpot_ms", v->tpot_ms, "max_users",
                     (json_int_t)f->max_users);
}

static struct plan_speed assumed_speed(const struct plan *p)
{
    const struct plan_measured *m = &p->measured;
    struct plan_shares assumed = {PLAN_SHARE_DECODE, PLAN_SHARE_PREFILL, false};
    struct plan_load prefill = {1, m->n_prompt, 0}, decode = {1, m->context, 0};
    struct plan_speed a, b;
    plan_speed(&m->shape, m->quant, &m->work, &p->floors, &assumed, &prefill, &a);
    plan_speed(&m->shape, m->quant, &m->work, &p->floors, &assumed, &decode, &b);
    a.decode_tok_s = b.decode_tok_s;
    return a;
}

/* How far the prediction without measurement was off, as fractions: the only error known here. */
static json_t *error_json(const struct plan *p)
{
    if (!p->shares.measured) return json_null();
    struct plan_speed a = assumed_speed(p);
    return json_pack("{s:f,s:f,s:s}", "prefill", a.prefill_tok_s / p->measured.prefill_tok_s - 1, "decode",
                     a.decode_tok_s / p->measured.decode_tok_s - 1, "of",
                     "the prediction by assumed shares, against the model measured here");
}

static json_t *measured_json(const struct plan *p)
{
    const struct plan_measured *m = &p->measured;
    if (!p->shares.measured) return json_null();
    return json_pack("{s:s,s:s,s:i,s:f,s:i,s:f,s:I,s:I}", "model", m->shape.name, "quant", m->quant->name, "n_prompt",
                     m->n_prompt, "prefill_tok_s", m->prefill_tok_s, "context", m->context, "decode_tok_s",
                     m->decode_tok_s, "file_bytes", (json_int_t)m->file_bytes, "weights_bytes",
                     (json_int_t)m->weights_bytes);
}

static json_t *common_json(const struct plan *p)
{
    return json_pack("{s:o,s:{s:f,s:f,s:s},s:o,s:o,s:n,s:n,s:n}", "machine", floors_json(p), "shares", "decode",
                     p->shares.decode, "prefill", p->shares.prefill, "source",
                     p->shares.measured ? "measured" : "assumed", "measured", measured_json(p), "error_bars",
                     error_json(p), "cost", "api", "decision");
}

/* --- for people --- */

static void print_machine(const struct plan *p)
{
    char total[32], free_now[32];
    const struct plan_floors *f = &p->floors;
    str_format_bytes(p->machine.memory_bytes, total, sizeof total);
    str_format_bytes(p->machine.memory_available_bytes, free_now, sizeof free_now);
    printf(cli_text(p->c, "%s, %d threads, %s, memory %s (%s free)\n", "%s，%d 线程，%s，内存 %s（可用 %s）\n"),
           p->machine.cpu_name, p->c->threads, kern_isa_name(p->c->isa), total, free_now);
    printf(cli_text(p->c, "measured floors: read %.1f GB/s, fp32 %.0f GFLOPS, int8 %.0f GOPS, 4-bit %.0f GOPS",
                    "实测上限：读 %.1f GB/s，fp32 %.0f GFLOPS，int8 %.0f GOPS，4 位 %.0f GOPS"),
           f->read_gb_s, f->fp32_gflops, f->int8_gops, f->int4_int8_gops);
    if (f->bf16_gflops > 0) printf(cli_text(p->c, ", bf16 %.0f GFLOPS", "，bf16 %.0f GFLOPS"), f->bf16_gflops);
    puts("\n");
}

/* "1.2 GB    169   27.1", or the size alone where it does not fit. */
static void print_forecast(const struct forecast *f)
{
    char size[32];
    str_format_bytes(f->memory.total_bytes, size, sizeof size);
    if (f->fits)
        printf("  %9s %6.0f %6.1f", size, f->speed.prefill_tok_s, f->speed.decode_tok_s);
    else
        printf("  %9s %6s %6s", size, "-", "-");
}

static void print_measured(const struct plan *p)
{
    if (!p->shares.measured) return;
    const struct plan_measured *m = &p->measured;
    struct plan_speed a = assumed_speed(p);
    printf(cli_text(p->c,
                    "%s %s measured now: prefill %.0f tok/s (predicted without it %.0f), decode %.1f tok/s (%.1f)\n"
                    "shares of the floors by this measurement: prefill %.0f %%, decode %.0f %%; the table uses them\n",
                    "%s %s 现场实测：预填充 %.0f 词元/秒（未实测时的预测 %.0f），解码 %.1f 词元/秒（%.1f）\n"
                    "据此得到的上限利用率：预填充 %.0f%%，解码 %.0f%%；上表采用该利用率\n"),
           m->shape.name, m->quant->name, m->prefill_tok_s, a.prefill_tok_s, m->decode_tok_s, a.decode_tok_s,
           100 * p->shares.prefill, 100 * p->shares.decode);
}

/* --- the table: sizes by types --- */

static const char *const table_quants[] = {"Q4_0", "Q8_0", "BF16"};

static json_t *table_json(const struct plan *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->catalogue.n; i++)
        for (size_t k = 0; k < N_ELEM(table_quants); k++) {
            struct forecast f;
            forecast(p, &p->catalogue.item[i], plan_quant_find(table_quants[k]), 0, NULL, &f);
            if (json_array_append_new(list, forecast_json(&f))) {
                json_decref(list);
                return NULL;
            }
        }
    return list;
}

static void print_table(const struct plan *p)
{
    print_machine(p);
    printf(cli_text(p->c,
                    "memory with %d x %d tokens of context, prefill and decode in tokens a second as predicted; - does "
                    "not fit\n",
                    "内存（含 %d x %d 词元上下文），预填充与解码速度（词元/秒，预测值）；- 表示装不下\n"),
           p->load.users, p->load.prompt_tokens + p->load.output_tokens);
    printf("%-14s", "");
    for (size_t k = 0; k < N_ELEM(table_quants); k++) printf("  %9s %6s %6s", table_quants[k], "pre", "dec");
    putchar('\n');
    for (size_t i = 0; i < p->catalogue.n; i++) {
        printf("%-14.14s", p->catalogue.item[i].name);
        for (size_t k = 0; k < N_ELEM(table_quants); k++) {
            struct forecast f;
            forecast(p, &p->catalogue.item[i], plan_quant_find(table_quants[k]), 0, NULL, &f);
            print_forecast(&f);
        }
        putchar('\n');
    }
}

static int show_table(const struct plan *p, const struct param_set *args, struct err *e)
{
    if (param_str(args, "quant"))
        return err_set(e, ERR_USAGE, "quant", "cannot plan for --quant %s alone: give --model",
                       param_str(args, "quant"));
    if (p->c->json) {
        json_t *o = common_json(p);
        if (o && json_object_set_new(o, "table", table_json(p))) {
            json_decref(o);
            o = NULL;
        }
        cli_print_json(o);
        return 0;
    }
    print_table(p);
    return 0;
}

/* One model: its own result, and for people the table beside it. */
static int show_model(const struct plan *p, const struct param_set *args, struct err *e)
{
    struct forecast f;
    int rc = forecast_model(p, args, &f, e);
    if (rc) return rc;
    if (p->c->json) {
        json_t *o = forecast_json(&f), *more = common_json(p);
        if (!o || !more || json_object_update(o, more) || json_object_set_new(o, "table", table_json(p))) {
            json_decref(o);
            o = NULL;
        }
        json_decref(more);
        cli_print_json(o);
        return 0;
    }
    print_table(p);
    printf("\n%.40s %s:", f.shape->name, f.quant->name);
    print_forecast(&f);
    printf(cli_text(p->c, "  up to %llu conversations at a time by memory\n", "  按内存最多同时 %llu 个对话\n"),
           (unsigned long long)f.max_users);
    print_measured(p);
    return 0;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct plan p = {.c = c};
    int rc = prepare(&p, args, e);
    if (rc == 0) rc = param_str(args, "model") ? show_model(&p, args, e) : show_table(&p, args, e);
    catalogue_free(&p.catalogue);
    return rc;
}

const struct command cmd_plan = {
    .name = "plan",
    .summary_en = "which models fit this machine, and how fast they would be",
    .summary_zh = "哪些模型能在本机运行，速度如何",
    .usage = "[--model M] [--quant Q] [--users N] [--prompt-tokens N] [--output-tokens N]",
    .example = "tailor plan --model smollm2",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
