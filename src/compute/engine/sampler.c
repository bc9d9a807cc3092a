/* The sampler: options, penalties, and which way to the draw. It owns the order of the filters, and not the logits, the
 * masks, nor the arithmetic of probabilities (candidates.c, row.c). A short list - what a mask allows, or the k best -
 * is cut and drawn from as a list; the whole vocabulary by buckets of weight, without sorting it.
 *
 * What always holds: the result depends on the logits, the options, the history and (seed, position), on nothing else,
 * and nothing is allocated. */
#include "compute/engine/sampler_int.h"

#include <math.h>

#include "ground/base/mem.h"
#include "ground/base/rng.h"

enum { SAMPLE_STREAM = 0x53414d50 }; /* "SAMP": keeps these draws apart from others of the same seed */
#define SEEN 0x80000000u             /* in count[]: penalties have been applied to this id */

void sampling_init(struct sampling *s)
{
    *s = (struct sampling){.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .repetition_penalty = 1.0f};
}

static int check_range(const char *field, double value, double low, double high, bool open_low, struct err *e)
{
    bool good = isfinite(value) && value <= high && (open_low ? value > low : value >= low);
    if (good) return 0;
    return err_set(e, ERR_INPUT, field,
                   open_low ? "cannot use %s %g: it must be above %g, at most %g"
                            : "cannot use %s %g: it must be %g to %g",
                   field, value, low, high);
}

int sampling_check(const struct sampling *s, struct err *e)
{
    int rc = check_range("repetition_penalty", (double)s->repetition_penalty, 0, 10, true, e);
    if (!rc) rc = check_range("presence_penalty", (double)s->presence_penalty, -10, 10, false, e);
    if (!rc) rc = check_range("frequency_penalty", (double)s->frequency_penalty, -10, 10, false, e);
    if (rc || s->greedy) return rc;
    rc = check_range("temperature", (double)s->temperature, 0, 100, true, e);
    if (!rc) rc = check_range("top_k", s->top_k, 0, 1 << 24, false, e);
    if (!rc) rc = check_range("top_p", (double)s->top_p, 0, 1, true, e);
    if (!rc) rc = check_range("min_p", (double)s->min_p, 0, 1, false, e);
    return rc;
}

int sampler_init(struct sampler *s, size_t n_vocab, struct err *e)
{
    *s = (struct sampler){.n_vocab = n_vocab};
    int rc = row_init(&s->row, n_vocab, e);
    s->candidate = mem_try_array(n_vocab, sizeof(*s->candidate));
    s->count = mem_try_array(n_vocab, sizeof(*s->count));
    if (!rc && (!s->candidate || !s->count))
        rc = err_set(e, ERR_NOMEM, NULL, "cannot make a sampler for %zu tokens: out of memory", n_vocab);
    if (rc) sampler_deinit(s);
    return rc;
}

void sampler_deinit(struct sampler *s)
{
    row_deinit(&s->row);
    mem_free(s->candidate);
    mem_free(s->count);
    *s = (struct sampler){0};
}

/* CTRL-style repetition penalty (Keskar et al. 2019, section 4.1) once for each distinct token of prompt and answer;
 * presence and frequency by their counts in the answer. */
static void apply_penalties(struct sampler *s, float *logits, const struct sampling *opt,
                            const struct sample_history *h)
{
    if (opt->repetition_penalty == 1.0f && opt->presence_penalty == 0.0f && opt->frequency_penalty == 0.0f) return;
    for (size_t i = h->n_prompt; i < h->n_id; i++) s->count[h->ids[i]]++;
    for (size_t i = 0; i < h->n_id; i++) {
        int32_t id = h->ids[i];
        uint32_t n = s->count[id];
        if (n & SEEN) continue;
        s->count[id] |= SEEN;
        float x = logits[id];
        x = x > 0.0f ? x / opt->repetition_penalty : x * opt->repetition_penalty;
        if (n) x -= opt->presence_penalty + opt->frequency_penalty * (float)n;
        logits[id] = x;
    }
    for (size_t i = 0; i < h->n_id; i++) s->count[h->ids[i]] = 0;
}

static bool possible(float logit)
{
    return logit > -INFINITY; /* false for NaN too */
}

static double draw_unit(const struct sampling *opt, const struct sample_history *h)
{
    return rng_unit(opt->seed, SAMPLE_STREAM, h->n_id);
}

static bool by_probability(const struct sampling *opt)
{
    return opt->top_p < 1.0f || opt->min_p > 0.0f;
}

static struct nucleus nucleus_start(const struct sampling *opt, float best)
{
    return (struct nucleus){.inv_temperature = 1.0 / (double)opt->temperature,
                            .enough = HUGE_VAL,
                            .least = (double)opt->min_p,
                            .best = best};
}

/* --- lists: what a mask allows, or the k best --- */

static double sum_weights(const struct nucleus *u, const struct candidate *c, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += nucleus_weight(u, c[i].logit);
    return sum;
}

/* Top-p and min-p on a list; returns how many are left. */
static size_t cut_list(struct nucleus *u, const struct sampling *opt, struct candidate *c, size_t n)
{
    if (!by_probability(opt)) return n;
    if (opt->top_p < 1.0f) u->enough = (double)opt->top_p * sum_weights(u, c, n);
    return nucleus_cut(u, c, n);
}

/* The possible tokens of a mask, or the k best of them with top-k, into the scratch array; returns how many. */
static size_t list_allowed(struct sampler *s, const float *logits, const struct sampling *opt, const int32_t *allowed,
                           size_t n_allowed)
{
    struct best_k b = {.kept = s->candidate, .k = opt->top_k > 0 ? (size_t)opt->top_k : n_allowed};
    for (size_t i = 0; i < n_allowed; i++)
        if (possible(logits[allowed[i]])) best_k_offer(&b, (struct candidate){logits[allowed[i]], allowed[i]});
    return b.n;
}

static struct candidate best_of(const struct candidate *c, size_t n)
{
    struct candidate best = {-INFINITY, -1};
    for (size_t i = 0; i < n; i++)
        if (c[i].logit > best.logit || (c[i].logit == best.logit && c[i].id < best.id)) best = c[i];
    return best;
}

/* --- rows: the whole vocabulary --- */

static bool keeps_k_best(const struct sampler *s, const struct sampling *opt)
{
    return opt->top_k > 0 && (size_t)opt->top_k < s->n_vocab;
}

static size_t list_k_best(struct sampler *s, const struct sampling *opt)
{
    struct best_k b = {.kept = s->candidate, .k = (size_t)opt->top_k};
    row_best_k(&s->row, &b);
    return b.n;
}

/* Top-p and min-p on the row: all tokens of the buckets before *bucket are left, and those n of it that are in the
 * scratch array. u->sum is the weight of all these. Returns n. */
static size_t cut_row(struct sampler *s, struct nucleus *u, const struct sampling *opt, int *bucket)
{
    int b = 0, last = row_least_bucket(&s->row, u->least);
    double total = row_weigh(&s->row, u->inv_temperature, opt->top_p < 1.0f ? ROW_BUCKET : last);
    if (opt->top_p < 1.0f) u->enough = (double)opt->top_p * total;
    while (b < last && u->sum + s->row.weight[b] < u->enough) u->sum += s->row.weight[b++];
    *bucket = b;
    return b < ROW_BUCKET ? nucleus_cut(u, s->candidate, row_collect(&s->row, b, s->candidate)) : 0;
}

/* The token at `draw` of the weight that cut_row has left. */
static int32_t draw_row(struct sampler *s, const struct nucleus *u, int bucket, size_t n, double draw)
{
    int b = 0, full = 0;
    for (; b < bucket && draw >= s->row.weight[b]; draw -= s->row.weight[b++])
        if (s->row.weight[b] > 0) full = b;
    if (b == bucket && !n) b = full; /* rounding left a rest behind the last one */
    if (b < bucket) n = row_collect(&s->row, b, s->candidate);
    return nucleus_draw(u, s->candidate, n, draw);
}

static int32_t pick_of_row(struct sampler *s, struct nucleus *u, const struct sampling *opt, double unit)
{
    int bucket;
    size_t n = cut_row(s, u, opt, &bucket);
    return draw_row(s, u, bucket, n, unit * u->sum);
}

/* --- the whole --- */

int32_t sampler_pick(struct sampler *s, float *logits, const struct sampling *opt, const struct sample_history *h,
                     const int32_t *allowed, size_t n_allowed)
{
    apply_penalties(s, logits, opt, h);
    struct candidate best = {-INFINITY, -1};
    size_t n = allowed ? list_allowed(s, logits, opt, allowed, n_allowed) : 0;
    if (allowed) best = best_of(s->candidate, n);
    if (!allowed) best.logit = row_begin(&s->row, logits);
    if (!isfinite(best.logit)) return -1;
    if (opt->greedy) return allowed ? best.id : row_best_id(&s->row);
    struct nucleus u = nucleus_start(opt, best.logit);
    if (!allowed && !keeps_k_best(s, opt)) return pick_of_row(s, &u, opt, draw_unit(opt, h));
    if (!allowed) n = list_k_best(s, opt);
    n = cut_list(&u, opt, s->candidate, n);
    return nucleus_draw(&u, s->candidate, n, draw_unit(opt, h) * sum_weights(&u, s->candidate, n));
}

/* Those that cut_row leaves, best first. */
static size_t filter_row(struct sampler *s, struct nucleus *u, const struct sampling *opt, struct candidate *out)
{
    int bucket;
    size_t n = cut_row(s, u, opt, &bucket);
    for (size_t i = 0; i < n; i++) out[i] = s->candidate[i];
    for (size_t i = 0; i < s->n_vocab; i++) {
        float x = s->row.logits[i];
        bool left = bucket == ROW_BUCKET || row_bucket(&s->row, x) < bucket;
        if (left && possible(x)) out[n++] = (struct candidate){x, (int32_t)i};
    }
    return n;
}

size_t sampler_filter(struct sampler *s, float *logits, const struct sampling *opt, const struct sample_history *h,
                      struct candidate *out)
{
    apply_penalties(s, logits, opt, h);
    struct nucleus u = nucleus_start(opt, row_begin(&s->row, logits)), all = u;
    if (!isfinite(u.best)) return 0;
    size_t n;
    if (keeps_k_best(s, opt)) {
        n = cut_list(&u, opt, s->candidate, list_k_best(s, opt));
        for (size_t i = 0; i < n; i++) out[i] = s->candidate[i];
    } else {
        n = filter_row(s, &u, opt, out);
    }
    all.least = 0;
    return nucleus_cut(&all, out, n); /* takes all of them, best first */
}
