/* Capacity within targets. Owns nothing. What always holds: an offer's point meets the targets, or running is 0. */
#include "lifecycle/plan/offer.h"

#include <math.h>

const char *const offer_limit_name[] = {"memory", "ttft", "tpot", "load", "batch"};

static struct plan_point point(const struct plan_system *s, const struct plan_goal *t, double room, double n)
{
    struct plan_point p;
    plan_point_at(s, t->prompt_tokens, t->output_tokens, n, room, &p);
    return p;
}

static double answer_s(const struct plan_goal *t, const struct plan_point *p)
{
    return p->ttft_s + fmax(0, t->output_tokens - 1) * p->tpot_s;
}

double offer_answer_s(const struct plan_system *s, const struct plan_goal *t, double room, double n)
{
    struct plan_point p = point(s, t, room, n);
    return answer_s(t, &p);
}

static bool meets(const struct plan_goal *t, const struct plan_point *p)
{
    return p->ttft_s <= t->ttft_s && p->tpot_s <= t->tpot_s;
}

/* Both times rise with n: the largest whole number that meets the targets. */
static double most_within(const struct plan_system *s, const struct plan_goal *t, double room)
{
    double low = 0, high = room + 1;
    while (high - low > 1) {
        double n = floor((low + high) / 2);
        struct plan_point p = point(s, t, room, n);
        if (meets(t, &p))
            low = n;
        else
            high = n;
    }
    return low;
}

static enum offer_limit find_limit(const struct plan_system *s, const struct plan_goal *t, const struct offer *o)
{
    if (o->room < 1) return OFFER_MEMORY;
    if (o->running >= o->room) return o->room >= s->stack.max_running ? OFFER_BATCH : OFFER_MEMORY;
    struct plan_point next = point(s, t, o->room, o->running + 1);
    return next.ttft_s > t->ttft_s ? OFFER_TTFT : OFFER_TPOT;
}

/* Share of c places that may be busy: load a with a + spare sqrt(a) = c. */
static double load_share(const struct plan_goal *t, double c)
{
    double half = t->spare / 2, root = sqrt(c + half * half) - half;
    return fmin(t->max_load, root * root / c);
}

void offer_of(const struct plan_system *s, const struct plan_goal *t, struct offer *out)
{
    struct plan_load one = {1, (int)t->prompt_tokens, (int)t->output_tokens};
    struct plan_memory m;
    plan_memory_of(s, &one, &m);
    *out = (struct offer){.room = fmin(fmax(m.running_sequences, m.max_sequences), s->stack.max_running)};
    if (m.max_sequences < 1) out->room = 0; /* not one whole conversation */
    out->alone = point(s, t, fmax(out->room, 1), 1);
    out->at = out->alone;
    if (out->room >= 1) out->running = most_within(s, t, out->room);
    out->limit = find_limit(s, t, out);
    if (out->running < 1) return;
    out->at = point(s, t, out->room, out->running);
    out->capacity_s = out->running / answer_s(t, &out->at);
    out->full_s = out->room / offer_answer_s(s, t, out->room, out->room);
    double most = load_share(t, out->room) * out->full_s;
    if (out->capacity_s > most * (1 + 1e-9)) {
        out->capacity_s = most;
        out->limit = OFFER_LOAD;
    }
}

/* --- waiting --- */

struct server {
    const struct plan_system *s;
    const struct plan_goal *t;
    double room;
};

static double service_s(const void *arg, double n)
{
    const struct server *x = arg;
    return offer_answer_s(x->s, x->t, x->room, n);
}

int offer_wait(const struct plan_system *s, const struct plan_goal *t, const struct offer *o, double arrivals_s,
               struct queue_result *out, struct err *e)
{
    struct server x = {s, t, o->room};
    struct queue q = {service_s, &x, (int)o->room, arrivals_s, t->cv};
    return queue_solve(&q, out, e);
}
