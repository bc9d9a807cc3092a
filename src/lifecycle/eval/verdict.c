/* Paired statistics and the verdict made from them. Owns nothing after a call. What always holds: swapping the two
 * models negates the difference and exchanges its ends; a difference that is merely not significant never passes. */
#include "lifecycle/eval/verdict.h"

#include <math.h>

#include "ground/base/mem.h"

static bool is_binary(const double *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] > 0 && s[i] < 1) return false;
    return true;
}

/* The interval as if the same rates had been seen on `factor` times as many cases. */
static struct interval difference_at(const struct paired *p, double factor, double z)
{
    if (p->binary && !p->difference.clustered)
        return stats_tango((double)p->mcnemar.b * factor, (double)p->mcnemar.c * factor, (double)p->n * factor, z);
    struct stats_mean scaled = p->difference;
    scaled.se /= sqrt(factor);
    return stats_mean_interval(&scaled, z);
}

static struct interval fresh_at(const struct paired *p, double factor, double z)
{
    if (!p->fresh.clustered) return stats_wilson(p->fresh.mean, (double)p->n * factor, z);
    struct stats_mean scaled = p->fresh;
    scaled.se /= sqrt(factor);
    scaled.n = (size_t)((double)scaled.n * factor);
    scaled.n_cluster = (size_t)((double)scaled.n_cluster * factor);
    return stats_proportion(&scaled, z);
}

int paired_compute(const double *base, const double *fresh, const size_t *cluster, size_t n, size_t n_cluster,
                   struct paired *p, struct err *e)
{
    *p = (struct paired){.n = n, .binary = is_binary(base, n) && is_binary(fresh, n)};
    double *d = mem_try_array(n ? n : 1, sizeof *d);
    if (!d) return err_set(e, ERR_NOMEM, NULL, "cannot compare %zu cases: out of memory", n);
    size_t b = 0, c = 0;
    for (size_t i = 0; i < n; i++) {
        d[i] = fresh[i] - base[i];
        b += d[i] < 0;
        c += d[i] > 0;
    }
    stats_mean(base, cluster, n, n_cluster, &p->base);
    stats_mean(fresh, cluster, n, n_cluster, &p->fresh);
    stats_mean(d, cluster, n, n_cluster, &p->difference);
    mem_free(d);
    stats_mcnemar(b, c, &p->mcnemar);
    p->base_95 = stats_proportion(&p->base, STATS_Z_975);
    p->fresh_95 = stats_proportion(&p->fresh, STATS_Z_975);
    p->difference_95 = difference_at(p, 1, STATS_Z_975);
    p->smallest_detectable = stats_smallest_detectable(n ? (double)(b + c) / (double)n : 0, (double)n);
    return 0;
}

const char *verdict_name(enum verdict v)
{
    static const char *const name[] = {"PASS", "FAIL", "INCONCLUSIVE", "INVALID"};
    return name[v];
}

const char *verdict_label(enum verdict v, enum lang lang)
{
    static const char *const zh[] = {"通过", "不通过", "无法判定", "无效"};
    return lang == LANG_ZH ? zh[v] : verdict_name(v);
}

/* Fills the bounds and what they say, on factor times as many cases. */
static void look(const struct paired *p, const struct gate *g, double factor, struct decision *d)
{
    d->difference_90 = difference_at(p, factor, STATS_Z_95);
    d->fresh_90 = fresh_at(p, factor, STATS_Z_95);
    d->margin_pass = d->difference_90.low > -g->margin;
    d->margin_fail = d->difference_90.high < -g->margin;
    d->floor_pass = !g->has_floor || d->fresh_90.low >= g->floor;
    d->floor_fail = g->has_floor && d->fresh_90.high < g->floor;
}

static enum verdict weigh(const struct decision *d)
{
    if (d->margin_fail || d->floor_fail) return VERDICT_FAIL;
    return d->margin_pass && d->floor_pass ? VERDICT_PASS : VERDICT_INCONCLUSIVE;
}

/* Smallest number of further cases that decides, by doubling and halving; past ten million none is worth naming. */
static double cases_needed(const struct paired *p, const struct gate *g)
{
    struct decision d;
    double n = (double)p->n, low = n, high = 2 * n;
    for (;;) {
        look(p, g, high / n, &d);
        if (weigh(&d) != VERDICT_INCONCLUSIVE) break;
        low = high;
        high *= 2;
        if (high > 1e7) return HUGE_VAL;
    }
    while (high - low > 1) {
        double mid = 0.5 * (low + high);
        look(p, g, mid / n, &d);
        if (weigh(&d) == VERDICT_INCONCLUSIVE)
            low = mid;
        else
            high = mid;
    }
    return ceil(high - n);
}

void verdict_decide(const struct paired *p, const struct gate *g, enum invalid_cause cause, struct decision *d)
{
    *d = (struct decision){.cause = p->n ? cause : INVALID_NO_PAIRS};
    look(p, g, 1, d);
    d->verdict = d->cause != INVALID_NONE ? VERDICT_INVALID : weigh(d);
    if (d->verdict == VERDICT_INCONCLUSIVE) d->n_more = cases_needed(p, g);
}

static int invalid_reason(enum invalid_cause cause, enum lang lang, struct buf *out)
{
    static const char *const text[][2] = {
        [INVALID_NONE] = {"", ""},
        [INVALID_PARTIAL] = {"an evaluation was cut by --limit, so it is not a score of the dataset",
                             "有评测使用了 --limit，只覆盖部分数据，不能代表整个数据集的成绩"},
        [INVALID_UNPAIRED] = {"the two evaluations did not ask the same cases", "两次评测的题目不完全相同"},
        [INVALID_ERRORS] = {"more than 2 % of the cases could not be scored", "超过 2% 的题目未能评分"},
        [INVALID_GOLD] = {"more than 2 % of the expected answers cannot be judged", "超过 2% 的标准答案无法用于评判"},
        [INVALID_NO_PAIRS] = {"no case was scored in both evaluations", "没有任何题目在两次评测中都得到评分"},
    };
    return buf_add_str(out, text[cause][lang == LANG_ZH]);
}

static int margin_reason(const struct gate *g, const struct decision *d, enum lang lang, struct buf *out)
{
    double low = 100 * d->difference_90.low, high = 100 * d->difference_90.high, margin = 100 * g->margin;
    const char *is = d->margin_pass   ? (lang == LANG_ZH ? "高于" : "above")
                     : d->margin_fail ? (lang == LANG_ZH ? "低于" : "below")
                                      : (lang == LANG_ZH ? "跨过" : "across");
    if (lang == LANG_ZH)
        return buf_printf(out, "新旧之差的 90%% 区间 [%+.1f, %+.1f] 个百分点%s允许的界限 %+.1f", low, high, is,
                          -margin);
    return buf_printf(out, "the 90 %% interval of the difference, %+.1f to %+.1f points, lies %s the limit of %+.1f",
                      low, high, is, -margin);
}

static int floor_reason(const struct gate *g, const struct decision *d, enum lang lang, struct buf *out)
{
    double low = 100 * d->fresh_90.low, high = 100 * d->fresh_90.high, floor_pct = 100 * g->floor;
    const char *is = d->floor_pass   ? (lang == LANG_ZH ? "不低于" : "at or above")
                     : d->floor_fail ? (lang == LANG_ZH ? "低于" : "below")
                                     : (lang == LANG_ZH ? "跨过" : "across");
    if (!g->has_floor) return 0;
    if (lang == LANG_ZH)
        return buf_printf(out, "；新模型成绩的 90%% 区间 [%.1f, %.1f]%% %s最低要求 %.1f%%", low, high, is, floor_pct);
    return buf_printf(out, "; the 90 %% interval of the new score, %.1f to %.1f %%, lies %s the floor of %.1f %%", low,
                      high, is, floor_pct);
}

int verdict_reason(const struct gate *g, const struct decision *d, enum lang lang, struct buf *out)
{
    if (d->verdict == VERDICT_INVALID) return invalid_reason(d->cause, lang, out);
    int rc = margin_reason(g, d, lang, out);
    if (rc == 0) rc = floor_reason(g, d, lang, out);
    if (rc || d->verdict != VERDICT_INCONCLUSIVE) return rc;
    if (isinf(d->n_more))
        return buf_add_str(out, lang == LANG_ZH ? "；按目前的比例，再多题目也难以判定"
                                                : "; at these rates no number of cases decides");
    if (lang == LANG_ZH) return buf_printf(out, "；按目前的比例，大约再有 %.0f 题可以判定", d->n_more);
    return buf_printf(out, "; at these rates about %.0f more cases decide it", d->n_more);
}
