/* The search. Owns points and misses until they are freed. What always holds: a point meets memory, context, targets,
 * licence and budget; the front is a subset of the points. */
#include "lifecycle/plan/search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/plan/assess_defaults.h"

/* --- quality classes --- */

static const double class_from[] = {0, 1, 3, 8, 20, 50, 120, 300};

int search_class_of(double quality_size)
{
    int k = 0;
    while ((size_t)k + 1 < N_ELEM(class_from) && quality_size >= class_from[k + 1]) k++;
    return k;
}

void search_class_text(int k, char *out, size_t size)
{
    if ((size_t)k + 1 < N_ELEM(class_from))
        snprintf(out, size, "%.0f-%.0fB", class_from[k], class_from[k + 1]);
    else
        snprintf(out, size, "%.0fB+", class_from[k]);
}

/* --- one point --- */

struct trial {
    const struct search_query *q;
    const struct plan_model *model;
    const struct plan_quant *quant;
    const struct plan_hardware *hardware;
    int cards;
};

static bool commercial(const struct plan_model *m)
{
    static const char *const forbids[] = {"non-commercial", "research", "NC"};
    for (size_t i = 0; i < N_ELEM(forbids); i++)
        if (strstr(m->licence, forbids[i]) || strcasestr(m->licence, "noncommercial")) return false;
    return true;
}

static bool refuse(const struct trial *t, enum refusal why, double value, double excess, struct search_miss *miss)
{
    *miss = (struct search_miss){t->model, t->quant, t->hardware, t->cards, why, value, excess};
    return false;
}

static bool make_system(const struct trial *t, struct plan_system *s)
{
    enum plan_stack_id stack = plan_stack_usual(t->hardware, t->quant->gguf && t->quant->linear_bits < 16);
    bool by_layers = stack == PLAN_STACK_LLAMACPP || stack == PLAN_STACK_TAILOR;
    struct plan_layout layout = {by_layers ? 1 : t->cards, by_layers ? t->cards : 1, t->q->kv_bits};
    return plan_system_init(s, t->model, t->quant, t->hardware, &layout, stack, NULL) == 0;
}

static bool within_targets(const struct trial *t, const struct plan_system *s, struct offer *o,
                           struct search_miss *miss)
{
    const struct plan_goal *g = &t->q->goal;
    struct plan_load one = {1, (int)g->prompt_tokens, (int)g->output_tokens};
    struct plan_memory m;
    plan_memory_of(s, &one, &m);
    if (m.max_sequences < 1) {
        double over = (m.worst_card_bytes - m.usable_card_bytes) / 0x1p30;
        return refuse(t, REFUSED_MEMORY, fmax(over, 0), m.worst_card_bytes / m.usable_card_bytes, miss);
    }
    offer_of(s, g, o);
    if (o->running >= 1) return true;
    if (o->alone.ttft_s > g->ttft_s) return refuse(t, REFUSED_TTFT, o->alone.ttft_s, o->alone.ttft_s / g->ttft_s, miss);
    return refuse(t, REFUSED_TPOT, o->alone.tpot_s, o->alone.tpot_s / g->tpot_s, miss);
}

static bool price(const struct trial *t, const struct plan_system *s, const struct offer *o,
                  const struct demand_result *demand, struct search_point *p, struct search_miss *miss)
{
    const struct search_query *q = t->q;
    struct cost_setup setup = {.prompt_tokens = q->goal.prompt_tokens,
                               .output_tokens = q->goal.output_tokens,
                               .use_s_month = demand_seconds_month(&q->demand),
                               .peak = q->demand.peak,
                               .cards_per_replica = t->cards,
                               .rented = q->rented};
    struct cost_band in[N_COST];
    struct cost_private c;
    double v[N_COST];
    memcpy(in, q->in, sizeof in);
    assess_host(t->hardware, t->cards, &setup, in, q->set);
    if (!assess_cards(t->hardware, q->rented, in, q->set)) return refuse(t, REFUSED_PRICE, 0, 1, miss);
    assess_compliance(q->compliance, q->data_class, in, q->set);
    cost_expected(in, v);
    v[COST_CALLS] = demand->calls_month;
    v[COST_CAPACITY] = o->capacity_s;
    cost_private(&setup, v, &c);
    if (q->budget_cny > 0 && c.capex > q->budget_cny)
        return refuse(t, REFUSED_BUDGET, c.capex, c.capex / q->budget_cny, miss);
    struct plan_point at;
    double users = fmin(o->running, fmax(1, ceil(demand->users / c.replicas)));
    plan_point_at(s, q->goal.prompt_tokens, q->goal.output_tokens, users, o->room, &at);
    *p = (struct search_point){.model = t->model,
                               .quant = t->quant,
                               .hardware = t->hardware,
                               .cards_per_replica = t->cards,
                               .replicas = (int)fmin(c.replicas, 1e9),
                               .quality_class = search_class_of(plan_quality_size(t->model)),
                               .known = quality_of(q->book, t->model),
                               .monthly_cny = c.monthly,
                               .capex_cny = c.capex,
                               .capacity_s = o->capacity_s,
                               .ttft_s = at.ttft_s,
                               .tpot_s = at.tpot_s,
                               .answer_s = at.ttft_s + q->goal.output_tokens * at.tpot_s};
    return true;
}

/* False with a miss; a layout that cannot be is no miss (why stays as it was). */
static bool try_point(const struct trial *t, struct search_point *p, struct search_miss *miss, bool *possible)
{
    struct plan_system s;
    struct offer o;
    struct demand d = t->q->demand;
    struct demand_result demand;
    *possible = make_system(t, &s);
    if (!*possible) return false;
    d.prompt_tokens = t->q->goal.prompt_tokens;
    d.output_tokens = t->q->goal.output_tokens;
    if (!within_targets(t, &s, &o, miss)) return false;
    if (demand_resolve(&d, offer_answer_s(&s, &t->q->goal, o.room, o.running), &demand, NULL)) return false;
    return price(t, &s, &o, &demand, p, miss);
}

/* --- all points --- */

struct search {
    const struct search_query *q;
    const struct plan_hardware *only; /* NULL: all */
    struct search_result *out;
    size_t room, miss_room;
};

static int add_point(struct search *s, const struct search_point *p, struct err *e)
{
    struct search_result *r = s->out;
    if (r->n_point == s->room) {
        size_t room = s->room ? 2 * s->room : 1024;
        struct search_point *grown = mem_try_realloc(r->point, room * sizeof *grown);
        if (!grown) return err_set(e, ERR_NOMEM, NULL, "cannot search: out of memory");
        r->point = grown;
        s->room = room;
    }
    r->point[r->n_point++] = *p;
    return 0;
}

/* Types that are usual on this hardware. */
static bool usual(const struct search_query *q, const struct plan_hardware *h, const struct plan_quant *t)
{
    static const char *const cards[] = {"BF16", "FP8", "GPTQ8", "AWQ"}, *const boards[] = {"BF16", "Q8_0", "Q4_K_M"};
    bool board = h->kind == PLAN_CPU || h->kind == PLAN_MAC;
    const char *const *list = board ? boards : cards;
    size_t n = board ? N_ELEM(boards) : N_ELEM(cards);
    if (q->quant) return strcasecmp(q->quant, t->name) == 0;
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], t->name)) return !str_eq(t->name, "FP8") || h->fp8_tflops > 0;
    return false;
}

static void keep_nearest(struct search_miss *nearest, const struct search_miss *miss)
{
    if (!nearest->model || miss->excess < nearest->excess) *nearest = *miss;
}

static int add_miss(struct search *s, const struct search_miss *m, struct err *e)
{
    struct search_result *r = s->out;
    if (r->n_miss == s->miss_room) {
        size_t room = s->miss_room ? 2 * s->miss_room : 128;
        struct search_miss *grown = mem_try_realloc(r->miss, room * sizeof *grown);
        if (!grown) return err_set(e, ERR_NOMEM, NULL, "cannot search: out of memory");
        r->miss = grown;
        s->miss_room = room;
    }
    r->miss[r->n_miss++] = *m;
    return 0;
}

/* The cheapest number of cards for a model in a type on hardware. */
static int try_counts(struct search *s, struct trial *t, struct search_miss *nearest, struct err *e)
{
    struct search_point best = {0}, p;
    struct search_miss miss, here = {0};
    for (t->cards = 1; t->cards <= s->q->max_cards && t->cards <= 8; t->cards *= 2) {
        bool possible;
        s->out->n_tried++;
        if (try_point(t, &p, &miss, &possible)) {
            if (!best.model || p.monthly_cny < best.monthly_cny) best = p;
        } else if (possible) {
            keep_nearest(&here, &miss);
        }
    }
    if (best.model) return add_point(s, &best, e);
    if (!here.model) return 0;
    keep_nearest(nearest, &here);
    return s->q->why && strcasecmp(s->q->why, t->model->name) == 0 ? add_miss(s, &here, e) : 0;
}

static int try_hardware(struct search *s, struct trial *t, struct search_miss *nearest, struct err *e)
{
    const struct catalogue *c = s->q->catalogue;
    for (size_t h = 0; h < c->n_hardware; h++) {
        t->hardware = &c->hardware[h];
        if (s->only && s->only != t->hardware) continue;
        for (int k = 0; (t->quant = plan_quant_at(k)); k++) {
            int rc = usual(s->q, t->hardware, t->quant) ? try_counts(s, t, nearest, e) : 0;
            if (rc) return rc;
        }
    }
    return 0;
}

/* What refuses a model whatever the hardware. */
static bool refused_at_once(const struct search_query *q, const struct trial *t, struct search_miss *miss)
{
    double need = q->goal.prompt_tokens + q->goal.output_tokens;
    const struct known_quality *k = quality_of(q->book, t->model);
    if (k && k->accuracy < q->min_accuracy) return !refuse(t, REFUSED_ACCURACY, k->accuracy, 1, miss);
    if (!q->any_licence && !commercial(t->model)) return !refuse(t, REFUSED_LICENCE, 0, 1, miss);
    if (t->model->n_ctx > 0 && need > t->model->n_ctx)
        return !refuse(t, REFUSED_CONTEXT, t->model->n_ctx, need / t->model->n_ctx, miss);
    return false;
}

static int try_model(struct search *s, const struct plan_model *m, struct err *e)
{
    struct trial t = {.q = s->q, .model = m};
    struct search_miss nearest = {0};
    size_t before = s->out->n_point;
    double b = m->params_total_b;
    if (b < s->q->min_params_b || (s->q->max_params_b > 0 && b > s->q->max_params_b)) return 0;
    if (refused_at_once(s->q, &t, &nearest)) return add_miss(s, &nearest, e);
    int rc = try_hardware(s, &t, &nearest, e);
    bool told = s->q->why && strcasecmp(s->q->why, m->name) == 0, none = s->out->n_point == before;
    return rc == 0 && none && !told && nearest.model ? add_miss(s, &nearest, e) : rc;
}

/* --- the front --- */

static int by_cost(const void *a, const void *b)
{
    const struct search_point *x = a, *y = b;
    if (x->monthly_cny < y->monthly_cny || x->monthly_cny > y->monthly_cny)
        return x->monthly_cny < y->monthly_cny ? -1 : 1;
    return y->quality_class - x->quality_class;
}

/* At least as good: by accuracy where both were evaluated, else by class. */
static bool as_good(const struct search_point *a, const struct search_point *b)
{
    if (a->known && b->known) return a->known->accuracy >= b->known->accuracy;
    return a->quality_class >= b->quality_class;
}

static bool is_beaten(const struct search_result *r, size_t i)
{
    const struct search_point *p = &r->point[i];
    for (size_t k = 0; k < i; k++)
        if (as_good(&r->point[k], p) && p->answer_s >= 0.999 * r->point[k].answer_s) return true;
    return false;
}

/* In order of cost a point is on the front unless a cheaper one that is as good answers as fast. */
static void mark_front(struct search_result *r)
{
    for (size_t i = 0; i < r->n_point; i++) {
        r->point[i].on_front = !is_beaten(r, i);
        r->n_front += r->point[i].on_front;
    }
}

static int check(const struct search_query *q, const struct plan_hardware **only, struct err *e)
{
    struct demand d = q->demand;
    struct demand_result r;
    d.prompt_tokens = q->goal.prompt_tokens;
    d.output_tokens = q->goal.output_tokens;
    const struct plan_model *m;
    int rc = demand_resolve(&d, 1, &r, e);
    if (rc == 0 && q->why) rc = catalogue_need_model(q->catalogue, q->why, &m, e);
    if (rc == 0 && q->hardware) rc = catalogue_need_hardware(q->catalogue, q->hardware, only, e);
    if (rc == 0 && q->quant && !plan_quant_find(q->quant))
        rc = err_set(e, ERR_USAGE, "quant", "cannot plan for type \"%s\": known are %s", q->quant, plan_quant_names());
    return rc;
}

int search_run(const struct search_query *q, struct search_result *out, struct err *e)
{
    struct search s = {.q = q, .out = out};
    *out = (struct search_result){0};
    int rc = check(q, &s.only, e);
    for (size_t i = 0; rc == 0 && i < q->catalogue->n_model; i++) rc = try_model(&s, &q->catalogue->model[i], e);
    if (rc) return rc;
    if (out->n_point) qsort(out->point, out->n_point, sizeof *out->point, by_cost);
    mark_front(out);
    return 0;
}

void search_result_free(struct search_result *r)
{
    mem_free(r->point);
    mem_free(r->miss);
    *r = (struct search_result){0};
}
