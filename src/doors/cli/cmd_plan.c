/* plan: which models fit this machine, and how fast they would be. */
#include <stdio.h>

#include "doors/cli/cli.h"
#include "doors/cli/plan_machine.h"
#include "doors/cli/plan_obstacles.h"
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
    {"prompt_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "512", "N", "length of a prompt", "提示词长度"},
    {"output_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "128", "N", "length of an answer", "回答长度"},
    {"measure", PARAM_BOOL, 0, NULL, 0, 0, NULL, "true", NULL, "time the model at hand, so that predictions rest on it",
     "对手头的模型计时，使预测以实测为准"},
    {"catalog", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE", "catalogue of models (CSV)", "模型目录（CSV）"},
    {"hardware", PARAM_STRING, PARAM_REFUSED, NULL, 0, 0, NULL, NULL, "H", "hardware other than this machine",
     "本机以外的硬件"},
    {"count", PARAM_INT, PARAM_REFUSED, NULL, 1, 1e9, NULL, NULL, "N", "how many of it", "其数量"},
    {"calls_month", PARAM_INT, PARAM_REFUSED, NULL, 0, 1e15, NULL, NULL, "N", "calls a month", "每月调用次数"},
    {"data_class", PARAM_STRING, PARAM_REFUSED, NULL, 0, 0, NULL, NULL, "CLASS", "public, internal or secret",
     "数据级别：public、internal 或 secret"},
    {"team", PARAM_INT, PARAM_REFUSED, NULL, 0, 1e9, NULL, NULL, "N", "people who share it", "使用人数"},
    {"engineers", PARAM_FLOAT, PARAM_REFUSED, NULL, 0, 1e6, NULL, NULL, "X", "people who run it", "运维人数"},
};

struct plan {
    const struct cli *c;
    struct machine machine;
    struct plan_floors floors;
    struct plan_shares shares;
    struct plan_load load;
    struct shapes catalogue;
    struct plan_measured measured; /* quant NULL: no model at hand */
};

struct forecast {
    const struct model_shape *shape;
    const struct plan_quant *quant;
    struct plan_memory memory;
    struct plan_speed speed;
    struct plan_obstacles obstacles;
    bool fits; /* into memory, and the load into the context */
    uint64_t max_users;
};

/* weights_bytes and work of a loaded model, else 0 and NULL. */
static void forecast(const struct plan *p, const struct model_shape *shape, const struct plan_quant *quant,
                     uint64_t weights_bytes, const struct plan_work *work, struct forecast *out)
{
    struct plan_work by_shape;
    *out = (struct forecast){.shape = shape, .quant = quant};
    plan_memory(shape, quant, weights_bytes, &p->load, &out->memory);
    plan_work(shape, quant, &by_shape);
    plan_speed(shape, quant, work ? work : &by_shape, &p->floors, &p->shares, &p->load, &out->speed);
    plan_obstacles_find(shape, &p->load, &out->memory, p->machine.memory_available_bytes, &out->obstacles);
    out->fits = !out->obstacles.memory && !out->obstacles.context;
    out->max_users =
        out->obstacles.context ? 0 : plan_max_users(shape, &out->memory, &p->load, p->machine.memory_available_bytes);
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
    if (rc == 0) rc = shapes_load(&p->catalogue, given ? given : path, e);
    mem_free(path);
    return rc;
}

static bool is_at_hand(const struct cli *c, const char *name)
{
    char *path;
    if (cli_model_path(c, name, &path, NULL)) return false;
    mem_free(path);
    return true;
}

/* The model at hand, when --model names one; else it may be a name of the catalogue, which is not opened. */
static int measure_model(struct plan *p, const struct param_set *args, struct err *e)
{
    const char *name = param_str(args, "model");
    struct plan_measured *m = &p->measured;
    if (!name || (!is_at_hand(p->c, name) && shapes_find(&p->catalogue, name))) return 0;
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
    int rc = load_catalogue(p, args, e);
    if (rc == 0) rc = plan_measure_floors(p->c, &p->floors, e);
    return rc ? rc : measure_model(p, args, e);
}

/* The one model of --model, with --quant. */
static int forecast_model(const struct plan *p, const struct param_set *args, struct forecast *out, struct err *e)
{
    const struct plan_quant *quant;
    const struct model_shape *shape =
        p->measured.quant ? &p->measured.shape : shapes_find(&p->catalogue, param_str(args, "model"));
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
    json_t *obstacles = plan_obstacles_json(&f->obstacles, LANG_EN);
    return json_pack("{s:s,s:s,s:b,s:b,s:o,s:{s:I,s:I,s:I,s:I},s:{s:f,s:f,s:f,s:f,s:I}}", "model", f->shape->name,
                     "quant", f->quant->name, "fits", f->fits, "supported", !f->obstacles.unsupported, "obstacles",
                     obstacles, "memory", "weights_bytes", (json_int_t)m->weights_bytes, "kv_bytes",
                     (json_int_t)m->kv_bytes, "overhead_bytes", (json_int_t)m->overhead_bytes, "total_bytes",
                     (json_int_t)m->total_bytes, "speed", "prefill_tok_s", v->prefill_tok_s, "decode_tok_s",
                     v->decode_tok_s, "ttft_ms", v->ttft_ms, "tpot_ms", v->tpot_ms, "max_users",
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
    printf(cli_text(p->c, "measured: read %.1f GB/s; fp32 %.0f", "实测上限：读 %.1f GB/s；fp32 %.0f"), f->read_gb_s,
           f->fp32_gflops);
    if (f->bf16_gflops > 0) printf(cli_text(p->c, ", bf16 %.0f", "、bf16 %.0f"), f->bf16_gflops);
    printf(cli_text(p->c, " GFLOPS; int8 %.0f, 4-bit %.0f GOPS\n\n", " GFLOPS；int8 %.0f、4 位 %.0f GOPS\n\n"),
           f->int8_gops, f->int4_int8_gops);
}

/* "  1.17    169   27.1", the size alone where it does not fit, the context where that is too short. */
static void print_cell(const struct forecast *f)
{
    double gb = (double)f->memory.total_bytes * 1e-9;
    char context[32];
    snprintf(context, sizeof context, "ctx %d", f->shape->n_ctx_train);
    if (f->fits)
        printf("  %6.2f %6.0f %6.1f", gb, f->speed.prefill_tok_s, f->speed.decode_tok_s);
    else if (f->obstacles.context)
        printf("  %6.2f %13s", gb, context);
    else
        printf("  %6.2f %6s %6s", gb, "-", "-");
}

static void print_forecast(const struct plan *p, const struct forecast *f)
{
    char size[32];
    str_format_bytes(f->memory.total_bytes, size, sizeof size);
    printf(cli_text(p->c, "\n%.40s %s: %s", "\n%.40s %s：%s"), f->shape->name, f->quant->name, size);
    if (f->fits)
        printf(cli_text(p->c, ", prefill %.0f tok/s, decode %.1f tok/s", "，预填充 %.0f 词元/秒，解码 %.1f 词元/秒"),
               f->speed.prefill_tok_s, f->speed.decode_tok_s);
    putchar('\n');
    if (!f->fits) return;
    printf(cli_text(p->c, "memory for up to %llu conversations at a time\n", "按内存最多同时进行 %llu 个对话\n"),
           (unsigned long long)f->max_users);
}

static void print_measured(const struct plan *p)
{
    if (!p->shares.measured) return;
    const struct plan_measured *m = &p->measured;
    struct plan_speed a = assumed_speed(p);
    printf(cli_text(p->c,
                    "measured just now: prefill %.0f tok/s, decode %.1f tok/s\n"
                    "predicted without measuring: prefill %.0f tok/s, decode %.1f tok/s\n"
                    "share of the machine's limits: prefill %.0f %%, decode %.0f %%; the table uses them\n",
                    "刚才实测：预填充 %.0f 词元/秒，解码 %.1f 词元/秒\n"
                    "未实测时的预测：预填充 %.0f 词元/秒，解码 %.1f 词元/秒\n"
                    "上限利用率：预填充 %.0f%%，解码 %.0f%%；上表据此计算\n"),
           m->prefill_tok_s, m->decode_tok_s, a.prefill_tok_s, a.decode_tok_s, 100 * p->shares.prefill,
           100 * p->shares.decode);
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

static void print_heads(const struct cli *c)
{
    const char *prefill = cli_text(c, "pre", "预填充"), *decode = cli_text(c, "dec", "解码");
    printf("%13s", "");
    for (size_t k = 0; k < N_ELEM(table_quants); k++)
        printf("  %6s %*s%s %*s%s", table_quants[k], str_padding(prefill, 6), "", prefill, str_padding(decode, 6), "",
               decode);
    putchar('\n');
}

static void print_table(const struct plan *p)
{
    print_machine(p);
    printf(cli_text(p->c,
                    "memory in GB with %d x %d tokens of context; prefill and decode in tokens/s,\n"
                    "predicted; - does not fit, ctx N: the context of the model is N tokens only,\n"
                    "*: this version cannot run the model\n",
                    "内存（GB，含 %d x %d 词元上下文）；预填充与解码速度（词元/秒，预测值）；\n"
                    "- 表示装不下，ctx N 表示模型的上下文只有 N 个词元，* 表示本版本不能运行\n"),
           p->load.users, p->load.prompt_tokens + p->load.output_tokens);
    print_heads(p->c);
    for (size_t i = 0; i < p->catalogue.n; i++) {
        struct forecast f[N_ELEM(table_quants)];
        for (size_t k = 0; k < N_ELEM(f); k++)
            forecast(p, &p->catalogue.item[i], plan_quant_find(table_quants[k]), 0, NULL, &f[k]);
        printf("%-12.12s%c", p->catalogue.item[i].name, f[0].obstacles.unsupported ? '*' : ' ');
        for (size_t k = 0; k < N_ELEM(f); k++) print_cell(&f[k]);
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
    print_forecast(p, &f);
    plan_obstacles_print(&f.obstacles, p->c->lang);
    print_measured(p);
    return 0;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct plan p = {.c = c};
    int rc = prepare(&p, args, e);
    if (rc == 0) rc = param_str(args, "model") ? show_model(&p, args, e) : show_table(&p, args, e);
    shapes_free(&p.catalogue);
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
