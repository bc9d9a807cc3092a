/* plan for hardware of the catalogue: the system that the options describe, its memory and speed with intervals. Owns
 * nothing after a call. */
#include "doors/cli/plan_target.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "doors/cli/plan_local.h"
#include "doors/cli/plan_money.h"
#include "doors/cli/plan_obstacles.h"
#include "doors/cli/print_wrapped.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/plan/forecast.h"
#include "lifecycle/plan/read_model.h"

enum { SERVER_CARDS = 8 }; /* that one server holds */

/* --- what was asked --- */

/* One kind of card: several joined by "," or "+" are named and refused. */
static int pick_hardware(const struct catalogue *cat, const char *id, const struct plan_hardware **out, struct err *e)
{
    const char *cut = strpbrk(id, ",+");
    const struct plan_hardware *a, *b;
    if (!cut || catalogue_hardware(cat, id)) return catalogue_need_hardware(cat, id, out, e);
    char *first = mem_strndup(id, (size_t)(cut - id));
    int rc = catalogue_need_hardware(cat, first, &a, e);
    if (rc == 0) rc = catalogue_need_hardware(cat, cut + 1, &b, e);
    if (rc == 0)
        rc = err_set(
            e, ERR_USAGE, "hardware",
            "cannot plan with \"%s\" (%s) and \"%s\" (%s) together: cards that share a model are of one kind; plan "
            "each alone and compare",
            a->id, a->interconnect, b->id, b->interconnect);
    mem_free(first);
    return rc;
}

/* The model at hand with its tensors. Of its texts the architecture alone is kept. */
static int read_own(struct plan_target *t, const char *path, const char *name, struct err *e)
{
    struct arena arena;
    struct plan_model read;
    arena_init(&arena, 1 << 20);
    int rc = plan_file_read(path, name, &arena, &read, &t->file, e);
    if (rc == 0) {
        snprintf(t->architecture, sizeof t->architecture, "%s", read.architecture);
        t->own = read;
        plan_model_no_texts(&t->own);
        t->own.name = name;
        t->own.architecture = t->architecture;
    }
    arena_deinit(&arena);
    return rc;
}

/* A name of the catalogue, else a model on disk or in the registry. */
static int pick_model(const struct cli *c, const struct param_set *args, const struct catalogue *cat,
                      struct plan_target *t, const struct plan_model **out, struct err *e)
{
    const char *name = param_str(args, "model");
    char *path;
    if (!name) return err_set(e, ERR_USAGE, "model", "cannot plan for hardware alone: --model is needed");
    *out = catalogue_model(cat, name);
    if (*out) return 0;
    if (cli_model_path(c, name, &path, NULL)) return catalogue_need_model(cat, name, out, e);
    int rc = read_own(t, path, name, e);
    *out = &t->own;
    mem_free(path);
    return rc;
}

static int pick_stack(const struct param_set *args, const struct plan_hardware *h, const struct plan_quant *q,
                      enum plan_stack_id *out, struct err *e)
{
    const char *name = param_str(args, "stack");
    const struct plan_stack *s = name ? plan_stack_find(name) : NULL;
    *out = s ? s->id : plan_stack_usual(h, q->gguf && q->linear_bits < 16);
    if (name && !s)
        return err_set(e, ERR_USAGE, "stack",
                       "cannot plan for stack \"%s\": known are tuned, vllm, vllm-0.6, llama.cpp, tailor", name);
    return 0;
}

/* llama.cpp and this program share out layers, others matrices as far as the heads allow. */
static int pick_layout(const struct param_set *args, const struct plan_model *m, const struct plan_hardware *h,
                       enum plan_stack_id stack, int count, struct plan_target *t, struct plan_layout *out,
                       struct err *e)
{
    int tp = 1;
    bool by_layers = stack == PLAN_STACK_LLAMACPP || stack == PLAN_STACK_TAILOR;
    *out = (struct plan_layout){.kv_bits = plan_kv_bits(param_str(args, "kv"))};
    if (!(out->kv_bits > 0))
        return err_set(e, ERR_USAGE, "kv", "cannot plan for a cache of \"%s\": known are fp16, bf16, fp8, int8, q8_0",
                       param_str(args, "kv"));
    for (int n = 2; !by_layers && h->link_gb_s > 0 && n <= SERVER_CARDS && n <= count; n *= 2)
        if (count % n == 0 && m->n_head % n == 0) tp = n;
    out->tp = param_is_set(args, "tp") ? (int)param_int(args, "tp") : param_is_set(args, "pp") ? 1 : tp;
    out->pp = param_is_set(args, "pp")                                 ? (int)param_int(args, "pp")
              : count && !param_is_set(args, "tp") && h->link_gb_s > 0 ? count / out->tp
                                                                       : 1;
    t->count = count = count ? count : out->tp * out->pp;
    t->replicas = count / (out->tp * out->pp);
    if (t->replicas < 1 || t->replicas * out->tp * out->pp != count)
        return err_set(e, ERR_USAGE, "count", "cannot share out %d cards: tp %d x pp %d takes %d a replica", count,
                       out->tp, out->pp, out->tp * out->pp);
    if (out->pp > 1 && !(h->link_gb_s > 0))
        return err_set(e, ERR_USAGE, h->id, "cannot plan with %d of \"%s\": it has no link to others of its kind",
                       count, h->id);
    return 0;
}

struct plan_choice {
    const struct plan_model *model;
    const struct plan_hardware *hardware;
    const struct plan_quant *quant;
    enum plan_stack_id stack;
};

static int lay_out(const struct plan_choice *x, const struct plan_layout *layout, struct plan_target *t, struct err *e)
{
    int rc = plan_system_init(&t->system, x->model, x->quant, x->hardware, layout, x->stack, e);
    if (rc == 0 && t->file.weight_bytes > 0 && x->quant == t->file.quant) plan_system_use_file(&t->system, &t->file);
    return rc;
}

/* More cards than a server has are a fleet: as few groups of layers as hold the model and the load of one conversation,
 * the rest are replicas. Where none holds it the layout stays as it was, and the plan says what is missing. */
static void divide_fleet(const struct param_set *args, const struct plan_choice *x, struct plan_layout *layout,
                         struct plan_target *t)
{
    struct plan_load one = {1, (int)param_int(args, "prompt_tokens"), (int)param_int(args, "output_tokens")};
    bool given = param_is_set(args, "tp") || param_is_set(args, "pp");
    for (int pp = 1; !given && t->count > SERVER_CARDS && pp < layout->pp; pp++) {
        struct plan_memory memory;
        struct plan_layout fewer = *layout;
        fewer.pp = pp;
        if (layout->pp % pp || lay_out(x, &fewer, t, NULL)) continue;
        plan_memory_of(&t->system, &one, &memory);
        if (memory.max_sequences < 1) continue;
        *layout = fewer;
        t->replicas = t->count / (fewer.tp * pp);
    }
}

static int init_system(const struct param_set *args, const struct plan_choice *x, int count, struct plan_target *t,
                       struct err *e)
{
    struct plan_layout layout;
    int rc = pick_layout(args, x->model, x->hardware, x->stack, count, t, &layout, e);
    if (rc) return rc;
    divide_fleet(args, x, &layout, t);
    return lay_out(x, &layout, t, e);
}

/* With --count, --tp or --pp as they say; else on as many cards (1, 2, 4, 8) as carry the demand at the least cost,
 * where none does on the fewest that hold the model and one conversation, else on one. */
static int pick_system(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                       const struct plan_choice *x, bool by_cost, struct plan_target *t, struct err *e)
{
    struct plan_load one = {1, (int)param_int(args, "prompt_tokens"), (int)param_int(args, "output_tokens")};
    struct plan_memory memory;
    int best = 1, holds = 0;
    double least = HUGE_VAL;
    if (param_is_set(args, "count")) return init_system(args, x, (int)param_int(args, "count"), t, e);
    if (param_is_set(args, "tp") || param_is_set(args, "pp")) return init_system(args, x, 0, t, e);
    for (int count = 1; count <= SERVER_CARDS; count *= 2) {
        double monthly;
        if (init_system(args, x, count, t, NULL)) continue;
        plan_memory_of(&t->system, &one, &memory);
        if (memory.max_sequences < 1) continue;
        if (!holds) best = holds = count;
        if (!by_cost) break;
        int rc = plan_money_monthly(c, args, catalogue, &t->system, &monthly, e);
        if (rc) return rc;
        if (monthly < least) best = count;
        least = fmin(least, monthly);
    }
    return init_system(args, x, best, t, e);
}

int plan_target_of(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue, bool by_cost,
                   struct plan_target *out, struct err *e)
{
    struct plan_choice x = {0};
    *out = (struct plan_target){.replicas = 1};
    int rc = pick_hardware(catalogue, param_str(args, "hardware"), &x.hardware, e);
    if (rc == 0) rc = pick_model(c, args, catalogue, out, &x.model, e);
    if (rc) return rc;
    bool board = x.hardware->kind == PLAN_CPU || x.hardware->kind == PLAN_MAC;
    const struct plan_quant *usual = out->file.quant ? out->file.quant : plan_quant_find(board ? "Q4_K_M" : "BF16");
    rc = plan_quant_of(args, usual, &x.quant, e);
    if (rc == 0) rc = pick_stack(args, x.hardware, x.quant, &x.stack, e);
    return rc ? rc : pick_system(c, args, catalogue, &x, by_cost, out, e);
}

/* --- results --- */

/* Of the stack: what this program cannot run, others may. */
static void find_obstacles(const struct plan_target *t, const struct plan_load *l, const struct plan_forecast *f,
                           struct plan_obstacles *out)
{
    plan_obstacles_find(t->system.model, l, &f->memory, t->replicas * f->memory.usable_bytes, out);
    bool ours = t->system.stack.id == PLAN_STACK_TAILOR;
    out->memory = false; /* told by the card, below */
    out->architecture &= ours;
    out->tokenizer &= ours;
}

static json_t *target_json(const struct plan_target *t, const struct plan_load *l, const struct plan_forecast *f)
{
    struct plan_obstacles obstacles;
    find_obstacles(t, l, f, &obstacles);
    const struct plan_system *s = &t->system;
    json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:s}", "model", s->model->name, "quant", s->quant->name,
                          "hardware", s->hardware->id, "count", t->count, "tp", s->layout.tp, "pp", s->layout.pp,
                          "replicas", t->replicas, "stack", s->stack.name);
    json_t *more = plan_forecast_json(s, f);
    int rc = !o || !more || json_object_update(o, more) ||
             json_object_set_new(o, "kv_known", json_boolean(plan_kv_known(s->model))) ||
             json_object_set_new(o, "fits", json_boolean(f->memory.fits && !obstacles.context)) ||
             json_object_set_new(o, "hardware_notes", json_string(s->hardware->notes)) ||
             json_object_set_new(o, "obstacles", plan_obstacles_json(&obstacles, LANG_EN));
    json_decref(more);
    if (rc == 0) return o;
    json_decref(o);
    return NULL;
}

static void print_memory(const struct cli *c, const struct plan_forecast *f)
{
    const struct plan_memory *m = &f->memory;
    printf(cli_text(c, "memory: weights %.1f + cache %.1f + overhead %.1f = %.1f GiB\n",
                    "显存：权重 %.1f + 缓存 %.1f + 开销 %.1f = %.1f GiB\n"),
           m->weights_bytes / 0x1p30, m->kv_bytes / 0x1p30, (m->workspace_bytes + m->framework_bytes) / 0x1p30,
           m->total_bytes / 0x1p30);
    printf(cli_text(c, "fullest card: %.1f of %.1f GiB usable\n", "最满的卡：%.1f GiB，可用 %.1f GiB\n"),
           m->worst_card_bytes / 0x1p30, m->usable_card_bytes / 0x1p30);
    if (m->max_sequences < 1)
        printf(cli_text(c, "does not fit: not even one conversation, %.1f GiB a card are missing\n",
                        "装不下：连一个对话也不行，每卡还差 %.1f GiB\n"),
               (m->worst_card_bytes - m->usable_card_bytes) / 0x1p30);
    else if (!m->fits)
        printf(cli_text(c, "does not fit all at once, by %.1f GiB a card: some conversations wait\n",
                        "不能同时容纳全部对话，每卡还差 %.1f GiB：部分对话需等待\n"),
               (m->worst_card_bytes - m->usable_card_bytes) / 0x1p30);
}

/* "12.3 (10.1 to 15.0)": a value with its 80 % interval. */
static void print_value(const struct cli *c, const char *name, double v, struct plan_band b, const char *unit)
{
    int digits = v < 10 ? 2 : v < 100 ? 1 : 0;
    printf(cli_text(c, "  %s %.*f %s (%.*f .. %.*f)\n", "  %s %.*f %s（%.*f .. %.*f）\n"), name, digits, v, unit,
           digits, v * b.low, digits, v * b.high);
}

static void print_speed(const struct cli *c, const struct plan_target *t, const struct plan_load *l,
                        const struct plan_forecast *f)
{
    const struct plan_system *s = &t->system;
    const struct plan_point *p = &f->loaded;
    printf(cli_text(c, "one user alone:\n", "单个用户：\n"));
    print_value(c, cli_text(c, "writing an answer (decode)", "写回答（解码）"), f->decode_tok_s,
                plan_band_of(s, PLAN_DECODE_BAND), cli_text(c, "tokens/s", "词元/秒"));
    print_value(c, cli_text(c, "reading a prompt (prefill)", "读提示词（预填充）"), f->prefill_tok_s,
                plan_band_of(s, PLAN_TTFT_BAND), cli_text(c, "tokens/s", "词元/秒"));
    if (t->replicas * p->running >= l->users)
        printf(cli_text(c, "%d at a time:\n", "同时 %d 个：\n"), l->users);
    else
        printf(cli_text(c, "%d at a time (%.0f run, the others wait):\n", "同时 %d 个（%.0f 个在运行，其余等待）：\n"),
               l->users, t->replicas * p->running);
    print_value(c, cli_text(c, "first token (TTFT)", "首词元延迟（TTFT）"), 1e3 * p->ttft_s,
                plan_band_of(s, PLAN_TTFT_BAND), "ms");
    print_value(c, cli_text(c, "between tokens (TPOT)", "词元间隔（TPOT）"), 1e3 * p->tpot_s,
                plan_band_of(s, PLAN_TPOT_BAND), "ms");
    print_value(c, cli_text(c, "all together", "总吞吐"), t->replicas * p->output_tok_s,
                plan_band_of(s, PLAN_THROUGHPUT_BAND), cli_text(c, "tokens/s", "词元/秒"));
    print_value(c, cli_text(c, "at most, when full", "满载时最多"), t->replicas * f->full.output_tok_s,
                plan_band_of(s, PLAN_THROUGHPUT_BAND), cli_text(c, "tokens/s", "词元/秒"));
    print_wrapped(cli_text(c, "up to %.0f conversations at a time, by memory and what the software computes together\n",
                           "按显存与推理软件的批量上限，最多同时进行 %.0f 个对话\n"),
                  f->max_users);
}

/* What the catalogue says of this hardware besides its figures, and of its prices' and figures' worth. */
static void print_notes(const struct cli *c, const struct plan_hardware *h)
{
    if (*h->notes)
        print_wrapped(cli_text(c, "the catalogue on %s: %.800s\n", "目录对 %s 的说明：%.800s\n"), h->id, h->notes);
}

int plan_target_run(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue, struct err *e)
{
    struct plan_target t;
    struct plan_load l;
    struct plan_forecast f;
    struct plan_obstacles obstacles;
    int rc = plan_target_of(c, args, catalogue, true, &t, e);
    if (rc) return rc;
    plan_load_of(args, &l);
    plan_forecast_of(&t.system, &l, t.replicas, &f);
    int fixed = param_is_set(args, "count") ? t.replicas : 0;
    if (c->json) {
        json_t *o = target_json(&t, &l, &f);
        rc = plan_money_show(c, args, catalogue, &t.system, fixed, o, e);
        if (rc == 0) cli_print_json(o);
        if (rc) json_decref(o);
        return rc;
    }
    printf(cli_text(c, "%.48s %s on %d x %s\n", "%.48s %s，%d x %s\n"), t.system.model->name, t.system.quant->name,
           t.count, t.system.hardware->name);
    print_wrapped(
        cli_text(c,
                 "replicas (copies of the model): %d; cards that share every matrix (tp): %d; groups of layers, "
                 "one after the other (pp): %d; software: %s; conversations: %d x (%d + %d) tokens\n",
                 "副本数（模型份数）：%d；分担每个矩阵的卡数（tp）：%d；依次计算的层组数（pp）：%d；推理软件：%s；"
                 "对话：%d x（%d + %d）词元\n"),
        t.replicas, t.system.layout.tp, t.system.layout.pp, t.system.stack.name, l.users, l.prompt_tokens,
        l.output_tokens);
    print_memory(c, &f);
    if (!plan_kv_known(t.system.model))
        printf(cli_text(c, "note: this model compresses its cache; the figures for it are an upper bound\n",
                        "注意：该模型压缩其缓存，相关数字为上界\n"));
    print_notes(c, t.system.hardware);
    find_obstacles(&t, &l, &f, &obstacles);
    plan_obstacles_print(&obstacles, c->lang);
    if (f.memory.max_sequences >= 1) print_speed(c, &t, &l, &f);
    printf(cli_text(c, "in brackets: 80 %% intervals, from published measurements of such systems\n",
                    "括号内为 80%% 区间，来自同类系统的公开测量\n"));
    return plan_money_show(c, args, catalogue, &t.system, fixed, NULL, e);
}
