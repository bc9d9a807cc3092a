/* Comparison of evaluations. Owns the list of pairs. What always holds: a pair has the same id and the same content
 * hash; cases that are in one evaluation only are listed, and then the verdict is INVALID. */
#include "lifecycle/eval/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
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

/* Pairs of base's records; those without partner go to only_base. */
static int pair_up(struct comparison *c, const json_t *by_id, struct err *e)
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
        if (record_counts(b) && record_counts(f))
            c->pair[c->n_pair++] = (struct case_pair){b, f};
        else
            c->n_unscored++;
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
    json_t *by_id = index_by_id(c->fresh->records);
    int rc = by_id ? pair_up(c, by_id, e) : no_memory(e);
    json_decref(by_id);
    if (rc == 0) rc = list_only_fresh(c, e);
    if (rc == 0 && c->n_pair + c->n_unscored == 0)
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

/* One difference, null standing for what one side lacks. */
static int add_difference(struct comparison *c, const char *prefix, const char *key, const json_t *base,
                          const json_t *fresh, struct err *e)
{
    char what[128];
    snprintf(what, sizeof what, "%s%s%s", prefix, prefix[0] ? "." : "", key);
    json_t *d = json_pack("{s:s,s:O?,s:O?}", "what", what, "base", base, "new", fresh);
    return d && json_array_append_new(c->differences, d) == 0 ? 0 : no_memory(e);
}

static int list_members(struct comparison *c, const char *prefix, json_t *base, json_t *fresh, struct err *e);

static int list_member(struct comparison *c, const char *prefix, const char *key, json_t *base, json_t *fresh,
                       struct err *e)
{
    if (base && fresh && json_equal(base, fresh)) return 0;
    if (!prefix[0] && json_array_append_new(c->differs, json_string(key))) return no_memory(e);
    if (!prefix[0] && json_is_object(base) && json_is_object(fresh)) return list_members(c, key, base, fresh, e);
    return add_difference(c, prefix, key, base, fresh, e);
}

/* Members of either object; what both have is told apart one level deep. */
static int list_members(struct comparison *c, const char *prefix, json_t *base, json_t *fresh, struct err *e)
{
    const char *key;
    json_t *value;
    int rc = 0;
    json_object_foreach(base, key, value)
    {
        if (rc == 0) rc = list_member(c, prefix, key, value, json_object_get(fresh, key), e);
    }
    json_object_foreach(fresh, key, value)
    {
        if (rc == 0 && !json_object_get(base, key)) rc = list_member(c, prefix, key, NULL, value, e);
    }
    return rc;
}

static int list_differences(struct comparison *c, struct err *e)
{
    return list_members(c, "", json_object_get(c->base->manifest, "identity"),
                        json_object_get(c->fresh->manifest, "identity"), e);
}

int comparison_make(struct comparison *c, const struct eval_result *base, const struct eval_result *fresh,
                    const char *metric, const struct gate *gate, struct err *e)
{
    *c = (struct comparison){.base = base,
                             .fresh = fresh,
                             .gate = *gate,
                             .only_base = json_array(),
                             .only_fresh = json_array(),
                             .differs = json_array(),
                             .differences = json_array()};
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
    json_decref(c->differences);
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
           : json_pack("{s:f,s:o,s:o,s:o,s:I,s:O,s:O,s:{s:O,s:O},s:{s:I,s:I,s:I}}", "margin", c->gate.margin, "floor",
                       c->gate.has_floor ? json_real(c->gate.floor) : json_null(), "decision_interval",
                       interval_json(c->decision.difference_90), "n_more",
                       c->decision.verdict == VERDICT_INCONCLUSIVE ? json_finite(c->decision.n_more) : json_null(),
                       "n_cluster", (json_int_t)p->difference.n_cluster, "differs", c->differs, "differences",
                       c->differences, "unpaired", "base", c->only_base, "new", c->only_fresh, "left_out", "base_only",
                       (json_int_t)json_array_size(c->only_base), "new_only",
                       (json_int_t)json_array_size(c->only_fresh), "not_scored", (json_int_t)c->n_unscored);
    buf_deinit(&reason);
    if (!more || json_object_update(o, more)) {
        json_decref(o);
        o = NULL;
    }
    json_decref(more);
    *out = o;
    return o ? 0 : no_memory(e);
}
