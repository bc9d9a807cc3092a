/* Records of answered cases. Owns nothing. What always holds: a record has id, hash, state and expected; score stands
 * in it exactly when the case counts. */
#include "lifecycle/eval/judge.h"

#include <string.h>

#include "ground/base/mem.h"

/* Model text as a JSON string; NUL characters, which JSON Lines here refuse, as U+FFFD. */
static json_t *output_text(const char *s, size_t n)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    struct buf b;
    buf_init(&b, 3 * n + 1);
    int rc = buf_add(&b, "", 0);
    for (size_t i = 0; rc == 0 && i < n; i++) rc = s[i] ? buf_add_char(&b, s[i]) : buf_add_str(&b, replacement);
    json_t *text = rc ? NULL : json_stringn(b.data, b.len);
    buf_deinit(&b);
    return text;
}

static int apply_rules(const struct eval_case *c, const struct sequence_result *r, double *score, bool *unparsed,
                       struct err *e)
{
    double sum = 0, weight = 0;
    *unparsed = false;
    for (size_t i = 0; i < c->n_rule; i++) {
        enum match_outcome outcome;
        int rc = match_rule_apply(&c->rule[i], c->expected, r->text ? r->text : "", r->text_len, &outcome, e);
        if (rc) return rc;
        *unparsed = *unparsed || outcome == MATCH_UNPARSED;
        weight += c->rule[i].weight;
        sum += outcome == MATCH_PASS ? c->rule[i].weight : 0;
    }
    *score = weight > 0 ? sum / weight : 0;
    return 0;
}

/* What people recognize a case by: its input, or the last message. */
static const char *asked_text(const struct eval_case *c)
{
    size_t n = json_array_size(c->messages);
    const char *last = n ? json_string_value(json_object_get(json_array_get(c->messages, n - 1), "content")) : NULL;
    return c->input ? c->input : last ? last : "";
}

static json_t *base_record(const struct eval_case *c, enum case_state state)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:O?,s:s*,s:s*}", "id", c->id, "hash", c->hash, "state", case_state_name(state),
                     "input", asked_text(c), "expected", c->expected, "stratum", c->stratum, "cluster", c->cluster);
}

int judge_answer(const struct eval_case *c, const struct asked *a, const struct sequence_result *r, json_t **out,
                 struct err *e)
{
    double score;
    bool unparsed;
    int rc = apply_rules(c, r, &score, &unparsed, e);
    if (rc) return rc;
    json_t *record = base_record(c, unparsed ? CASE_MODEL_FAILED : CASE_SCORED);
    json_t *more =
        json_pack("{s:f,s:o,s:s,s:s,s:I,s:I,s:f,s:f}", "score", score, "output",
                  output_text(r->text ? r->text : "", r->text_len), "finish_reason", finish_reason_name(r->reason),
                  "prompt_sha256", a->prompt_hash, "n_prompt", (json_int_t)a->n_prompt, "n_answer", (json_int_t)r->n_id,
                  "ttft_s", r->ttft_s, "latency_s", r->queue_s + r->prefill_s + r->decode_s);
    if (unparsed && more &&
        json_object_set_new(more, "reason", json_string("no answer of the needed form in the output"))) {
        json_decref(more);
        more = NULL;
    }
    if (!record || !more || json_object_update(record, more))
        rc = err_set(e, ERR_NOMEM, c->id, "cannot record case \"%s\": out of memory", c->id);
    json_decref(more);
    if (rc)
        json_decref(record);
    else
        *out = record;
    return rc;
}

int judge_failed(const struct eval_case *c, enum case_state state, const char *reason, json_t **out, struct err *e)
{
    json_t *record = base_record(c, state);
    if (record && json_object_set_new(record, "reason", json_string(reason)) == 0 &&
        (state != CASE_MODEL_FAILED || json_object_set_new(record, "score", json_real(0)) == 0)) {
        *out = record;
        return 0;
    }
    json_decref(record);
    return err_set(e, ERR_NOMEM, c->id, "cannot record case \"%s\": out of memory", c->id);
}
