/* plan for this machine: floors measured now, the model at hand timed, the catalogue's models beside it. Owns nothing
 * after a call. */
#include "doors/cli/plan_local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doors/cli/plan_machine.h"
#include "doors/cli/plan_money.h"
#include "doors/cli/plan_obstacles.h"
#include "doors/cli/print_wrapped.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/plan/forecast.h"

struct plan {
    const struct cli *c;
    struct machine machine;
    struct plan_floors floors;
    struct plan_shares shares;
    struct plan_load load;
    const struct catalogue *catalogue;
    struct plan_measured measured; /* quant NULL: no model at hand */
};

struct forecast {
    struct plan_system system;
    struct plan_forecast at; /* memory and speed */
    struct plan_obstacles obstacles;
    bool fits; /* into memory, and the load into the context */
    uint64_t max_users;
};

/* work of a loaded model, else NULL. */
static void forecast(const struct plan *p, const struct plan_model *model, const struct plan_quant *quant,
                     const struct plan_work *work, const struct plan_shares *shares, struct forecast *out)
{
    double memory = (double)p->machine.memory_available_bytes;
    *out = (struct forecast){.fits = false};
    plan_system_local(&out->system, model, quant, &p->floors, shares, memory);
    if (work) plan_system_use(&out->system, work);
    plan_forecast_of(&out->system, &p->load, 1, &out->at);
    plan_obstacles_find(model, &p->load, &out->at.memory, memory, &out->obstacles);
    out->fits = !out->obstacles.memory && !out->obstacles.context;
    out->max_users = out->obstacles.context ? 0 : (uint64_t)out->at.max_users;
}

/* --- what was asked: one model, or the table --- */

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
    if (!name || (!is_at_hand(p->c, name) && catalogue_model(p->catalogue, name))) return 0;
    bool timed = param_bool(args, "measure");
    int rc = plan_measure_model(p->c, name, timed, m, e);
    if (rc == 0 && timed) {
        struct plan_system s;
        plan_system_local(&s, &m->model, m->quant, &p->floors, NULL, 0);
        plan_system_use(&s, &m->work);
        plan_calibrate(&s, &m->time, &p->shares);
    }
    return rc;
}

static int prepare(struct plan *p, const struct param_set *args, struct err *e)
{
    machine_describe(&p->machine);
    int rc = p->floors.read_gb_s > 0 ? 0 : plan_measure_floors(p->c, &p->floors, e);
    return rc ? rc : measure_model(p, args, e);
}

static const struct plan_shares *shares(const struct plan *p)
{
    return p->shares.measured ? &p->shares : NULL;
}

/* The one model of --model, with --quant; the model at hand as it is on disk. */
static int forecast_model(const struct plan *p, const struct param_set *args, struct forecast *out, struct err *e)
{
    const struct plan_quant *quant;
    const struct plan_model *model = &p->measured.model;
    int rc = plan_quant_of(args, p->measured.quant ? p->measured.quant : plan_quant_find("Q4_0"), &quant, e);
    if (rc == 0 && !p->measured.quant) rc = catalogue_need_model(p->catalogue, param_str(args, "model"), &model, e);
    if (rc == 0 && !quant->gguf)
        rc = err_set(e, ERR_USAGE, "quant",
                     "cannot plan for type %s on this machine: a type of GGUF files is needed (Q4_0, "
                     "Q4_K_M, Q8_0, BF16 ...)",
                     quant->name);
    if (rc == 0)
        forecast(p, model, quant, p->measured.quant && quant == p->measured.quant ? &p->measured.work : NULL, shares(p),
                 out);
    return rc;
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
    json_t *obstacles = plan_obstacles_json(&f->obstacles, LANG_EN);
    json_t *o =
        json_pack("{s:s,s:s,s:s,s:b,s:o}", "model", f->system.model->name, "quant", f->system.quant->name, "stack",
                  f->system.stack.name, "supported", !f->obstacles.unsupported, "obstacles", obstacles);
    json_t *more = plan_forecast_json(&f->system, &f->at);
    int rc = !o || !more || json_object_update(o, more) || json_object_set_new(o, "fits", json_boolean(f->fits)) ||
             json_object_set_new(json_object_get(o, "speed"), "max_users", json_integer((json_int_t)f->max_users));
    json_decref(more);
    if (rc == 0) return o;
    json_decref(o);
    return NULL;
}

struct assumed {
    double prefill_tok_s, decode_tok_s;
};

static struct assumed assumed_speed(const struct plan *p)
{
    const struct plan_measured *m = &p->measured;
    struct plan_system s;
    struct plan_step step = {.n_seq = 1, .mean_context = m->time.context};
    plan_system_local(&s, &m->model, m->quant, &p->floors, NULL, 0);
    plan_system_use(&s, &m->work);
    return (struct assumed){m->time.n_prompt / plan_prefill_s(&s, m->time.n_prompt), 1 / plan_step_s(&s, &step)};
}

/* How far the prediction without measurement was off, as fractions: the only error known here. */
static json_t *error_json(const struct plan *p)
{
    if (!p->shares.measured) return json_null();
    struct assumed a = assumed_speed(p);
    return json_pack("{s:f,s:f,s:s}", "prefill", a.prefill_tok_s / p->measured.time.prefill_tok_s - 1, "decode",
                     a.decode_tok_s / p->measured.time.decode_tok_s - 1, "of",
                     "the prediction by assumed shares, against the model measured here");
}

static json_t *measured_json(const struct plan *p)
{
    const struct plan_measured *m = &p->measured;
    const struct plan_timing *t = &m->time;
    if (!p->shares.measured) return json_null();
    return json_pack("{s:s,s:s,s:i,s:f,s:i,s:f,s:i,s:f,s:I,s:I}", "model", m->model.name, "quant", m->quant->name,
                     "n_prompt", (int)t->n_prompt, "prefill_tok_s", t->prefill_tok_s, "context", (int)t->context,
                     "decode_tok_s", t->decode_tok_s, "batch", (int)t->batch, "batch_decode_tok_s", t->batch_tok_s,
                     "file_bytes", (json_int_t)m->file_bytes, "weights_bytes", (json_int_t)m->weights_bytes);
}

static json_t *common_json(const struct plan *p)
{
    const struct plan_stack *assumed = plan_stack_of(PLAN_STACK_TAILOR);
    bool measured = p->shares.measured;
    return json_pack("{s:o,s:{s:f,s:f,s:f,s:s},s:o,s:o,s:n,s:n,s:n}", "machine", floors_json(p), "shares", "decode",
                     measured ? p->shares.decode : assumed->read_share, "prefill",
                     measured ? p->shares.prefill : assumed->prefill_share, "batch",
                     measured ? p->shares.batch : assumed->decode_share, "source", measured ? "measured" : "assumed",
                     "measured", measured_json(p), "calibration", error_json(p), "cost", "api", "decision");
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
    double gb = f->at.memory.total_bytes * 1e-9;
    char context[32];
    snprintf(context, sizeof context, "ctx %d", f->system.model->n_ctx);
    if (f->fits)
        printf("  %6.2f %6.0f %6.1f", gb, f->at.prefill_tok_s, f->at.decode_tok_s);
    else if (f->obstacles.context)
        printf("  %6.2f %13s", gb, context);
    else
        printf("  %6.2f %6s %6s", gb, "-", "-");
}

static void print_forecast(const struct plan *p, const struct forecast *f)
{
    char size[32];
    str_format_bytes((uint64_t)f->at.memory.total_bytes, size, sizeof size);
    printf(cli_text(p->c, "\n%.40s %s: %s", "\n%.40s %s：%s"), f->system.model->name, f->system.quant->name, size);
    if (f->fits)
        printf(cli_text(p->c, ", prefill %.0f tok/s, decode %.1f tok/s", "，预填充 %.0f 词元/秒，解码 %.1f 词元/秒"),
               f->at.prefill_tok_s, f->at.decode_tok_s);
    putchar('\n');
    if (!f->fits) return;
    printf(cli_text(p->c, "memory for up to %llu conversations at a time\n", "按内存最多同时进行 %llu 个对话\n"),
           (unsigned long long)f->max_users);
}

static void print_measured(const struct plan *p)
{
    if (!p->shares.measured) return;
    const struct plan_measured *m = &p->measured;
    struct assumed a = assumed_speed(p);
    printf(cli_text(p->c,
                    "measured just now: prefill %.0f tok/s, decode %.1f tok/s\n"
                    "predicted without measuring: prefill %.0f tok/s, decode %.1f tok/s\n"
                    "share of the machine's limits: prefill %.0f %%, decode %.0f %%; the table uses them\n",
                    "刚才实测：预填充 %.0f 词元/秒，解码 %.1f 词元/秒\n"
                    "未实测时的预测：预填充 %.0f 词元/秒，解码 %.1f 词元/秒\n"
                    "上限利用率：预填充 %.0f%%，解码 %.0f%%；上表据此计算\n"),
           m->time.prefill_tok_s, m->time.decode_tok_s, a.prefill_tok_s, a.decode_tok_s, 100 * p->shares.prefill,
           100 * p->shares.decode);
}

/* --- the table: sizes by types --- */

static const char *const table_quants[] = {"Q4_0", "Q8_0", "BF16"};
#define TABLE_MAX_PARAMS 9e9 /* beyond, a CPU answers slower than people read */

static int by_size(const void *a, const void *b)
{
    const struct plan_model *const *x = a, *const *y = b;
    double p = plan_params_total(*x), q = plan_params_total(*y);
    return p < q ? -1 : p > q;
}

/* The catalogue's models for one machine, smallest first. *list: mem_free. */
static size_t table_models(const struct plan *p, const struct plan_model ***list)
{
    size_t n = 0;
    const struct plan_model **at = mem_alloc((p->catalogue->n_model + 1) * sizeof *at);
    for (size_t i = 0; i < p->catalogue->n_model; i++)
        if (plan_params_total(&p->catalogue->model[i]) <= TABLE_MAX_PARAMS) at[n++] = &p->catalogue->model[i];
    qsort(at, n, sizeof *at, by_size);
    *list = at;
    return n;
}

static json_t *table_json(const struct plan *p)
{
    json_t *list = json_array();
    const struct plan_model **model;
    size_t n = table_models(p, &model);
    for (size_t i = 0; list && i < n; i++)
        for (size_t k = 0; list && k < N_ELEM(table_quants); k++) {
            struct forecast f;
            forecast(p, model[i], plan_quant_find(table_quants[k]), NULL, shares(p), &f);
            if (json_array_append_new(list, forecast_json(&f))) {
                json_decref(list);
                list = NULL;
            }
        }
    mem_free(model);
    return list;
}

/* "R1-Qwen-7B" for a distilled model: what tells it from its neighbours. */
static void short_name(const char *name, char *out, size_t size)
{
    static const char r1[] = "DeepSeek-R1-Distill-";
    snprintf(out, size, "%s%s", str_starts(name, r1) ? "R1-" : "", str_starts(name, r1) ? name + strlen(r1) : name);
}

static void print_heads(const struct cli *c)
{
    const char *prefill = cli_text(c, "pre", "预填充"), *decode = cli_text(c, "dec", "解码");
    printf("%14s", "");
    for (size_t k = 0; k < N_ELEM(table_quants); k++)
        printf("  %6s %*s%s %*s%s", table_quants[k], str_padding(prefill, 6), "", prefill, str_padding(decode, 6), "",
               decode);
    putchar('\n');
}

static void print_table(const struct plan *p)
{
    print_machine(p);
    print_wrapped(
        cli_text(p->c,
                 "memory in GB with %d x %d tokens of context; pre, dec: tokens/s of reading a prompt (prefill) "
                 "and of writing an answer (decode), predicted; - does not fit, ctx N: the context of the model "
                 "is N tokens only, *: this version cannot run the model\n",
                 "内存（GB，含 %d x %d 词元上下文）；读提示词（预填充）与写回答（解码）的速度（词元/秒，预测值）；"
                 "- 表示装不下，ctx N 表示模型的上下文只有 N 个词元，* 表示本版本不能运行\n"),
        p->load.users, p->load.prompt_tokens + p->load.output_tokens);
    print_heads(p->c);
    const struct plan_model **model;
    size_t n = table_models(p, &model);
    for (size_t i = 0; i < n; i++) {
        struct forecast f[N_ELEM(table_quants)];
        for (size_t k = 0; k < N_ELEM(f); k++)
            forecast(p, model[i], plan_quant_find(table_quants[k]), NULL, shares(p), &f[k]);
        char name[64];
        short_name(model[i]->name, name, sizeof name);
        printf("%-13.13s%c", name, f[0].obstacles.unsupported ? '*' : ' ');
        for (size_t k = 0; k < N_ELEM(f); k++) print_cell(&f[k]);
        putchar('\n');
    }
    mem_free(model);
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
        rc = plan_money_show(p->c, args, p->catalogue, &f.system, 1, o, e);
        if (rc == 0) cli_print_json(o);
        if (rc) json_decref(o);
        return rc;
    }
    print_table(p);
    print_forecast(p, &f);
    plan_obstacles_print(&f.obstacles, p->c->lang);
    print_measured(p);
    return plan_money_show(p->c, args, p->catalogue, &f.system, 1, NULL, e);
}

int plan_local_run(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue, struct err *e)
{
    struct plan p = {.c = c, .catalogue = catalogue};
    plan_load_of(args, &p.load);
    int rc = prepare(&p, args, e);
    if (rc == 0) rc = param_str(args, "model") ? show_model(&p, args, e) : show_table(&p, args, e);
    return rc;
}

int plan_local_system(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                      const struct plan_load *load, struct plan_measured *measured, struct plan_system *out,
                      struct err *e)
{
    struct plan p = {.c = c, .catalogue = catalogue, .load = *load, .floors = measured->floors};
    struct forecast f;
    if (!param_str(args, "model"))
        return err_set(e, ERR_USAGE, "model", "cannot plan without a model: --model is needed");
    int rc = prepare(&p, args, e);
    if (rc == 0) rc = forecast_model(&p, args, &f, e);
    if (rc) return rc;
    *measured = p.measured;
    measured->floors = p.floors;
    *out = f.system;
    if (!p.measured.quant) return 0;
    measured->model.architecture = measured->architecture;
    out->model = &measured->model;
    return 0;
}
