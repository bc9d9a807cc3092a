/* Comparison of evaluations. Owns the list of pairs. What always holds: a pair has the same id and the same content
 * hash; cases that are in one evaluation only are listed, and then the verdict is INVALID. */
#include "lifecycle/eval/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/base/wrap.h"
#include "ground/json/json.h"

static const double ERROR_BUDGET = 0.02;

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot compare: out of memory");
}

static json_t *index_by_id(const json_t *records)
{
    json_t *by_id = json_object();
    for (size_t i = 0; by_id && i < json_array_size(records); i++) {
        json_t *r = json_array_get(records, i);
        if (json_object_set(by_id, record_str(r, "id"), r)) {
            json_decref(by_id);
            return NULL;
        }
    }
    return by_id;
}

static bool same_case(const json_t *a, const json_t *b)
{
    return a && b && str_eq(record_str(a, "hash"), record_str(b, "hash"));
}

/* Pairs of base's records; those without partner go to only_base. *n_common counts pairs whether scored or not. */
static int pair_up(struct comparison *c, const json_t *by_id, size_t *n_common, struct err *e)
{
    const json_t *records = c->base->records;
    size_t n = json_array_size(records);
    c->pair = mem_try_array(n + 1, sizeof *c->pair);
    if (!c->pair) return no_memory(e);
    for (size_t i = 0; i < n; i++) {
        const json_t *b = json_array_get(records, i), *f = json_object_get(by_id, record_str(b, "id"));
        if (!same_case(b, f)) {
            if (json_array_append(c->only_base, json_object_get(b, "id"))) return no_memory(e);
            continue;
        }
        ++*n_common;
        if (record_counts(b) && record_counts(f)) c->pair[c->n_pair++] = (struct case_pair){b, f};
    }
    return 0;
}

static int list_only_fresh(struct comparison *c, struct err *e)
{
    json_t *by_id = index_by_id(c->base->records);
    int rc = by_id ? 0 : no_memory(e);
    for (size_t i = 0; rc == 0 && i < json_array_size(c->fresh->records); i++) {
        const json_t *f = json_array_get(c->fresh->records, i);
        if (!same_case(f, json_object_get(by_id, record_str(f, "id"))) &&
            json_array_append(c->only_fresh, json_object_get(f, "id")))
            rc = no_memory(e);
    }
    json_decref(by_id);
    return rc;
}

static const char *dataset_name(const struct eval_result *r)
{
    return record_str(json_object_get(json_object_get(r->manifest, "inputs"), "cases"), "path");
}

static int make_pairs(struct comparison *c, struct err *e)
{
    size_t n_common = 0;
    json_t *by_id = index_by_id(c->fresh->records);
    int rc = by_id ? pair_up(c, by_id, &n_common, e) : no_memory(e);
    json_decref(by_id);
    if (rc == 0) rc = list_only_fresh(c, e);
    if (rc == 0 && n_common == 0)
        rc = err_set(e, ERR_INPUT, c->fresh->dir,
                     "cannot compare \"%s\" with \"%s\": they share no case (\"%s\" and \"%s\")", c->base->dir,
                     c->fresh->dir, dataset_name(c->base), dataset_name(c->fresh));
    return rc;
}

static int compute(struct comparison *c, struct err *e)
{
    size_t n_cluster = 0;
    double *base = mem_try_array(c->n_pair + 1, sizeof *base), *fresh = mem_try_array(c->n_pair + 1, sizeof *fresh);
    size_t *cluster = mem_try_array(c->n_pair + 1, sizeof *cluster);
    json_t *seen = json_object();
    int rc = base && fresh && cluster && seen ? 0 : no_memory(e);
    for (size_t i = 0; rc == 0 && i < c->n_pair; i++) {
        const json_t *b = c->pair[i].base;
        const char *name = record_str(b, "cluster");
        if (!name[0]) name = record_str(b, "id");
        const json_t *known = json_object_get(seen, name);
        cluster[i] = known ? (size_t)json_integer_value(known) : n_cluster++;
        if (!known && json_object_set_new(seen, name, json_integer((json_int_t)cluster[i]))) rc = no_memory(e);
        base[i] = record_score(b);
        fresh[i] = record_score(c->pair[i].fresh);
    }
    if (rc == 0) rc = paired_compute(base, fresh, cluster, c->n_pair, n_cluster, &c->stats, e);
    json_decref(seen);
    mem_free(base);
    mem_free(fresh);
    mem_free(cluster);
    return rc;
}

static bool over_budget(const struct eval_result *r, enum case_state s)
{
    return (double)r->sum.by_state[s] > ERROR_BUDGET * (double)r->sum.n;
}

static enum invalid_cause find_cause(const struct comparison *c)
{
    if (eval_result_partial(c->base) || eval_result_partial(c->fresh)) return INVALID_PARTIAL;
    if (json_array_size(c->only_base) || json_array_size(c->only_fresh)) return INVALID_UNPAIRED;
    if (over_budget(c->base, CASE_INFRA_FAILED) || over_budget(c->fresh, CASE_INFRA_FAILED)) return INVALID_ERRORS;
    if (over_budget(c->base, CASE_GOLD_BAD) || over_budget(c->fresh, CASE_GOLD_BAD)) return INVALID_GOLD;
    return INVALID_NONE;
}

static int list_differences(struct comparison *c, struct err *e)
{
    json_t *a = json_object_get(c->base->manifest, "identity");
    const json_t *b = json_object_get(c->fresh->manifest, "identity");
    for (void *it = json_object_iter(a); it; it = json_object_iter_next(a, it)) {
        const char *key = json_object_iter_key(it);
        if (!json_equal(json_object_iter_value(it), json_object_get(b, key)) &&
            json_array_append_new(c->differs, json_string(key)))
            return no_memory(e);
    }
    return 0;
}

int comparison_make(struct comparison *c, const struct eval_result *base, const struct eval_result *fresh,
                    const char *metric, const struct gate *gate, struct err *e)
{
    *c = (struct comparison){.base = base,
                             .fresh = fresh,
                             .gate = *gate,
                             .only_base = json_array(),
                             .only_fresh = json_array(),
                             .differs = json_array()};
    if (!str_eq(metric, "accuracy"))
        return err_set(e, ERR_INPUT, metric, "cannot compare by \"%s\": there is no such metric; there is accuracy",
                       metric);
    int rc = make_pairs(c, e);
    if (rc == 0) rc = compute(c, e);
    if (rc == 0) rc = list_differences(c, e);
    if (rc == 0) verdict_decide(&c->stats, &c->gate, find_cause(c), &c->decision);
    return rc;
}

void comparison_deinit(struct comparison *c)
{
    mem_free(c->pair);
    json_decref(c->only_base);
    json_decref(c->only_fresh);
    json_decref(c->differs);
    *c = (struct comparison){0};
}

/* --- output --- */

static json_t *interval_json(struct interval i)
{
    return json_pack("{s:f,s:f}", "low", i.low, "high", i.high);
}

int comparison_to_json(const struct comparison *c, json_t **out, struct err *e)
{
    const struct paired *p = &c->stats;
    struct buf reason;
    buf_init(&reason, 4096);
    int rc = verdict_reason(&c->gate, &c->decision, LANG_EN, &reason);
    json_t *mcnemar = p->binary
                          ? json_pack("{s:I,s:I,s:f,s:f}", "b", (json_int_t)p->mcnemar.b, "c", (json_int_t)p->mcnemar.c,
                                      "p_mid", p->mcnemar.p_mid, "p_exact", p->mcnemar.p_exact)
                          : json_null();
    json_t *o = rc ? NULL
                   : json_pack("{s:I,s:f,s:f,s:o,s:o,s:{s:f,s:f,s:f},s:o,s:s,s:s,s:f}", "n_pairs", (json_int_t)p->n,
                               "base", p->base.mean, "new", p->fresh.mean, "base_interval", interval_json(p->base_95),
                               "new_interval", interval_json(p->fresh_95), "difference", "value", p->difference.mean,
                               "low", p->difference_95.low, "high", p->difference_95.high, "mcnemar", mcnemar,
                               "verdict", verdict_name(c->decision.verdict), "reason", reason.data,
                               "smallest_detectable", p->smallest_detectable);
    json_t *more =
        !o ? NULL
           : json_pack("{s:f,s:o,s:o,s:o,s:I,s:O,s:{s:O,s:O}}", "margin", c->gate.margin, "floor",
                       c->gate.has_floor ? json_real(c->gate.floor) : json_null(), "decision_interval",
                       interval_json(c->decision.difference_90), "n_more",
                       c->decision.verdict == VERDICT_INCONCLUSIVE ? json_finite(c->decision.n_more) : json_null(),
                       "n_cluster", (json_int_t)p->difference.n_cluster, "differs", c->differs, "unpaired", "base",
                       c->only_base, "new", c->only_fresh);
    buf_deinit(&reason);
    if (!more || json_object_update(o, more)) {
        json_decref(o);
        o = NULL;
    }
    json_decref(more);
    *out = o;
    return o ? 0 : no_memory(e);
}

enum { NAME_COLUMNS = 10, INTERVAL_COLUMNS = 16 };

/* "base         13.0 %  [9.0, 18.4]      "; a signed value is a difference in points, so it has no %. */
static int text_line(struct buf *out, const char *name, double value, struct interval i, bool is_signed, bool zh)
{
    char interval[64], number[32];
    snprintf(interval, sizeof interval, is_signed ? "[%+.1f, %+.1f]" : "[%.1f, %.1f]", 100 * i.low, 100 * i.high);
    snprintf(number, sizeof number, is_signed ? "%+.1f%s" : "%.1f%s", 100 * value,
             is_signed ? (zh ? " " : "  ") : (zh ? "%" : " %"));
    return buf_printf(out, "%s%*s  %*s%s  %s%*s  ", name, str_padding(name, NAME_COLUMNS), "", str_padding(number, 7),
                      "", number, interval, str_padding(interval, INTERVAL_COLUMNS), "");
}

static int text_score(struct buf *out, const char *name, double value, struct interval i, bool zh,
                      const struct eval_result *r)
{
    int rc = text_line(out, name, value, i, false, zh);
    return rc ? rc : buf_printf(out, "%zu/%zu  %s\n", r->sum.n_scored, r->sum.n, r->dir);
}

static int text_verdict(const struct comparison *c, enum lang lang, struct buf *out)
{
    struct buf text;
    struct wrap w = {.out = out};
    buf_init(&text, 4096);
    int rc = buf_printf(&text, lang == LANG_ZH ? "%s：" : "%s: ", verdict_label(c->decision.verdict, lang));
    if (rc == 0) rc = verdict_reason(&c->gate, &c->decision, lang, &text);
    if (rc == 0) rc = wrap_text(&w, text.data);
    buf_deinit(&text);
    return rc ? rc : buf_add_str(out, "\n\n");
}

static int text_unpaired(const struct comparison *c, enum lang lang, struct buf *out)
{
    size_t a = json_array_size(c->only_base), b = json_array_size(c->only_fresh);
    if (a + b == 0) return 0;
    return buf_printf(out,
                      lang == LANG_ZH ? "未配对：仅基准 %zu 题，仅新模型 %zu 题\n"
                                      : "without partner: %zu cases of base only, %zu of new only\n",
                      a, b);
}

int comparison_to_text(const struct comparison *c, enum lang lang, struct buf *out)
{
    const struct paired *p = &c->stats;
    bool zh = lang == LANG_ZH;
    int rc = text_verdict(c, lang, out);
    if (rc == 0) rc = text_score(out, zh ? "基准" : "base", p->base.mean, p->base_95, zh, c->base);
    if (rc == 0) rc = text_score(out, zh ? "新模型" : "new", p->fresh.mean, p->fresh_95, zh, c->fresh);
    if (rc == 0) rc = text_line(out, zh ? "差值" : "difference", p->difference.mean, p->difference_95, true, zh);
    if (rc == 0) rc = buf_add_str(out, zh ? "个百分点，95% 区间\n" : "points, 95 % interval\n");
    if (rc == 0 && p->binary)
        rc = buf_printf(out,
                        zh ? "由对变错 %zu 题，由错变对 %zu 题（McNemar mid-p %.3g）\n"
                           : "%zu cases broken, %zu fixed (McNemar mid-p %.3g)\n",
                        p->mcnemar.b, p->mcnemar.c, p->mcnemar.p_mid);
    if (rc == 0)
        rc = buf_printf(out,
                        zh ? "%zu 对题目；以此题量可发现的最小差异约为 %.1f 个百分点\n"
                           : "%zu pairs; the smallest difference they can show is about %.1f points\n",
                        p->n, 100 * p->smallest_detectable);
    return rc ? rc : text_unpaired(c, lang, out);
}
