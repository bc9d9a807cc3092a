/* The sampler: penalties, filters and the draw. It owns the order of the filters and the arithmetic of probabilities
 * (double, an exponential of our own), and not the logits nor the masks. What always holds: the result depends on the
 * logits, the options, the history and (seed, position), on nothing else, and nothing is allocated. */
#include "compute/engine/sampler_int.h"

#include <math.h>
#include <string.h>

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
    return err_set(e, ERR_INPUT, field, "cannot use %s %g: it must be %s %g and at most %g", field, value,
                   open_low ? "above" : "at least", low, high);
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
    s->candidate = mem_try_array(n_vocab, sizeof(*s->candidate));
    s->count = mem_try_array(n_vocab, sizeof(*s->count));
    if (s->candidate && s->count) return 0;
    sampler_deinit(s);
    return err_set(e, ERR_NOMEM, NULL, "cannot make a sampler for %zu tokens: out of memory", n_vocab);
}

void sampler_deinit(struct sampler *s)
{
    mem_free(s->candidate);
    mem_free(s->count);
    *s = (struct sampler){0};
}

/* exp(x) for x <= 0, within 2 ulp: x = k ln 2 + r, Taylor series of degree 13 for |r| <= ln 2 / 2. Not libm's, whose
 * bits depend on the instruction set. Results below the smallest normal number are 0. */
static double exp_down(double x)
{
    static const double inverse[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
    if (!(x > -700.0)) return 0.0;
    double k = (double)(int)(x * 1.4426950408889634 - 0.5);
    double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double y = inverse[0];
    for (size_t i = 1; i < sizeof(inverse) / sizeof(inverse[0]); i++) y = y * r + inverse[i];
    uint64_t bits = (uint64_t)((int)k + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof(scale));
    return y * scale;
}

static double weight(const struct candidate *c, float best, double inv_temperature)
{
    return exp_down(((double)c->logit - (double)best) * inv_temperature);
}

/* Better: more likely, and the lower id among equals. */
static bool better(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Restore a heap whose root was replaced. worst_first: the root is the least likely candidate, else the most likely. */
static void sift_down(struct candidate *h, size_t n, size_t i, bool worst_first)
{
    struct candidate x = h[i];
    for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && better(h[child + 1], h[child]) != worst_first) child++;
        if (better(h[child], x) == worst_first) break;
        h[i] = h[child];
        i = child;
    }
    h[i] = x;
}

static void make_heap(struct candidate *h, size_t n, bool worst_first)
{
    for (size_t i = n / 2; i-- > 0;) sift_down(h, n, i, worst_first);
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

static int32_t most_likely(const float *logits, size_t n, const int32_t *allowed, size_t n_allowed)
{
    struct candidate best = {-INFINITY, -1};
    size_t n_option = allowed ? n_allowed : n;
    for (size_t i = 0; i < n_option; i++) {
        int32_t id = allowed ? allowed[i] : (int32_t)i;
        if (logits[id] > best.logit || (logits[id] == best.logit && id < best.id))
            best = (struct candidate){logits[id], id};
    }
    return isfinite(best.logit) ? best.id : -1;
}

/* All possible tokens into the scratch array; returns how many. */
static size_t collect(struct sampler *s, const float *logits, const int32_t *allowed, size_t n_allowed)
{
    size_t n = 0, n_option = allowed ? n_allowed : s->n_vocab;
    for (size_t i = 0; i < n_option; i++) {
        int32_t id = allowed ? allowed[i] : (int32_t)i;
        if (possible(logits[id])) s->candidate[n++] = (struct candidate){logits[id], id};
    }
    return n;
}

/* Keep the k best of n, best first: a heap of k whose root is the worst kept. Returns how many are kept. */
static size_t keep_top_k(struct candidate *c, size_t n, size_t k)
{
    if (k > n) k = n;
    make_heap(c, k, true);
    for (size_t i = k; i < n; i++) {
        if (!better(c[i], c[0])) continue;
        c[0] = c[i];
        sift_down(c, k, 0, true);
    }
    for (size_t m = k; m > 1; m--) { /* the worst goes to the end */
        struct candidate worst = c[0];
        c[0] = c[m - 1];
        c[m - 1] = worst;
        sift_down(c, m - 1, 0, true);
    }
    return k;
}

/* Where the filters by probability end: the smallest set that reaches top_p, and only tokens of min_p x the best. */
struct nucleus {
    double inv_temperature, enough,
        least;  /* enough: weight wanted; least: smallest weight of a token, the best has 1 */
    double sum; /* weight so far */
    float best;
};

static struct nucleus nucleus_start(const struct candidate *c, size_t n, const struct sampling *opt, float best)
{
    struct nucleus u = {.inv_temperature = 1.0 / (double)opt->temperature, .least = (double)opt->min_p, .best = best};
    u.enough = HUGE_VAL;
    if (opt->top_p < 1.0f) {
        u.enough = 0;
        for (size_t i = 0; i < n; i++) u.enough += weight(&c[i], best, u.inv_temperature);
        u.enough *= (double)opt->top_p;
    }
    return u;
}

/* Does the next best token still belong to the set? */
static bool nucleus_take(struct nucleus *u, const struct candidate *c)
{
    double w = weight(c, u->best, u->inv_temperature);
    if (u->sum > 0 && (u->sum >= u->enough || w < u->least)) return false;
    u->sum += w;
    return true;
}

static size_t cut_sorted(const struct candidate *c, size_t n, const struct sampling *opt)
{
    struct nucleus u = nucleus_start(c, n, opt, c[0].logit);
    size_t kept = 0;
    while (kept < n && nucleus_take(&u, &c[kept])) kept++;
    return kept;
}

/* Without top-k: pop the best from a heap until the set is full. The kept ones end up in the array's tail, worst
 * first; they are turned round to its head. */
static size_t cut_heap(struct candidate *c, size_t n, const struct sampling *opt)
{
    make_heap(c, n, false);
    struct nucleus u = nucleus_start(c, n, opt, c[0].logit);
    size_t left = n;
    while (left > 0 && nucleus_take(&u, &c[0])) {
        struct candidate top = c[0];
        left--;
        c[0] = c[left];
        c[left] = top;
        sift_down(c, left, 0, false);
    }
    for (size_t i = 0, j = n - 1; i < j; i++, j--) {
        struct candidate x = c[i];
        c[i] = c[j];
        c[j] = x;
    }
    return n - left;
}

/* Candidates after the filters at the head of the scratch array. Sorted when any filter is on. */
static size_t filter(struct sampler *s, const float *logits, const struct sampling *opt, const int32_t *allowed,
                     size_t n_allowed)
{
    size_t n = collect(s, logits, allowed, n_allowed);
    if (!n) return 0;
    bool by_probability = opt->top_p < 1.0f || opt->min_p > 0.0f;
    if (opt->top_k > 0) {
        n = keep_top_k(s->candidate, n, (size_t)opt->top_k);
        return by_probability ? cut_sorted(s->candidate, n, opt) : n;
    }
    return by_probability ? cut_heap(s->candidate, n, opt) : n;
}

size_t sampler_filter(struct sampler *s, float *logits, const struct sampling *opt, const struct sample_history *h,
                      const int32_t *allowed, size_t n_allowed, struct candidate *out)
{
    apply_penalties(s, logits, opt, h);
    size_t n = filter(s, logits, opt, allowed, n_allowed);
    if (n) memcpy(out, s->candidate, n * sizeof(*out));
    return n;
}

int32_t sampler_pick(struct sampler *s, float *logits, const struct sampling *opt, const struct sample_history *h,
                     const int32_t *allowed, size_t n_allowed)
{
    apply_penalties(s, logits, opt, h);
    if (opt->greedy || (allowed && n_allowed == 1)) return most_likely(logits, s->n_vocab, allowed, n_allowed);
    size_t n = filter(s, logits, opt, allowed, n_allowed);
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++) best = s->candidate[i].logit > best ? s->candidate[i].logit : best;
    if (!n || !isfinite(best)) return -1;
    double inv_temperature = 1.0 / (double)opt->temperature, sum = 0;
    for (size_t i = 0; i < n; i++) sum += weight(&s->candidate[i], best, inv_temperature);
    double draw = rng_unit(opt->seed, SAMPLE_STREAM, h->n_id) * sum;
    for (size_t i = 0; i + 1 < n; i++) {
        draw -= weight(&s->candidate[i], best, inv_temperature);
        if (draw < 0) return s->candidate[i].id;
    }
    return s->candidate[n - 1].id;
}
