/* The arithmetic of a step of GRPO, and its memory. What always holds: the denominators are counted over all answers of
 * the step before the first of them is computed; answers that would add nothing (no advantage, and no reference to keep
 * to) are counted and not computed. */
#include "lifecycle/train/policy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"

enum { PROBE_ANSWERS = 64 }; /* what is beyond takes in proportion */

/* --- memory --- */

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot tune: no memory for the answers of a step");
}

int policy_setup(struct trainer *t, struct err *e)
{
    struct policy *p = t->policy = mem_try_alloc(sizeof(*p));
    size_t rows = t->plan.step_rows < t->rows.n_row ? t->plan.step_rows : t->rows.n_row;
    if (p == NULL) return no_memory(e);
    p->opt = &t->cfg->policy;
    p->rows.unit = 1;
    if (!mul_size(rows, (size_t)p->opt->group_size, &p->cap_answer)) return no_memory(e);
    p->answer = mem_try_array(p->cap_answer, sizeof(*p->answer));
    p->reward = mem_try_array(p->cap_answer, sizeof(*p->reward));
    p->advantage = mem_try_array(p->cap_answer, sizeof(*p->advantage));
    p->list = mem_try_array(p->cap_answer, sizeof(*p->list));
    p->cursor = mem_try_array(p->cap_answer, sizeof(*p->cursor));
    bool good = p->answer != NULL && p->reward != NULL && p->advantage != NULL && p->list != NULL && p->cursor != NULL;
    return good ? policy_judge_check(t, e) : no_memory(e);
}

void policy_free(struct policy *p)
{
    if (p == NULL) return;
    for (size_t i = 0; i < p->n_answer; i++) mem_free(p->answer[i].text);
    packer_deinit(&p->pack);
    train_rows_deinit(&p->rows);
    mem_free(p->answer);
    mem_free(p->reward);
    mem_free(p->advantage);
    mem_free(p->list);
    mem_free(p->cursor);
    mem_free(p->token.sampled);
    mem_free(p->token.entropy);
    mem_free(p->token.old);
    mem_free(p->token.reference);
    mem_free(p);
}

static size_t micro_answers(const struct trainer *t)
{
    size_t rows = (size_t)t->cfg->batch_size < t->rows.n_row ? (size_t)t->cfg->batch_size : t->rows.n_row;
    return rows * (size_t)t->policy->opt->group_size;
}

void policy_extent(const struct trainer *t, size_t *n_tok, size_t *n_segment, size_t *n_target)
{
    size_t longest = t->rows.longest + (size_t)t->policy->opt->max_new_tokens, most = micro_answers(t), all;
    size_t budget = (size_t)t->cfg->token_budget;
    *n_tok = mul_size(most, longest, &all) && all < budget ? all : budget;
    if (*n_tok < longest) *n_tok = longest;
    *n_segment = packer_max_segment(most);
    *n_target = *n_tok + 2 * most;
}

/* --- a pass over the answers --- */

struct pass {
    struct trainer *t;
    uint64_t step;
    bool first;            /* of the mu passes */
    bool known;            /* weights do not depend on the losses: the ratio is 1 and there is no reference */
    size_t n_tok, n_micro; /* denominators: tokens of the step (bnpo: of the micro-batch), micro-batches */
    double loss;
    struct policy_metrics *m;
    int64_t bad; /* the answer whose loss is not finite; -1: none */
};

static bool is_learned(const struct policy *p, const struct answer *a)
{
    if (a->truncated && p->opt->mask_truncated) return false;
    return p->opt->loss.beta > 0 || a->advantage > 0 || a->advantage < 0;
}

/* Tokens of answers [from, to) that count. */
static size_t count_tokens(const struct policy *p, size_t from, size_t to)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        if (!p->answer[i].truncated || !p->opt->mask_truncated) n += p->answer[i].n_token;
    return n;
}

static double denominator(const struct pass *k, const struct answer *a)
{
    const struct policy *p = k->t->policy;
    double d = policy_denominator(&p->opt->loss, a->n_token, k->n_tok, p->n_answer);
    return p->opt->loss.norm == POLICY_BNPO ? d * (double)k->n_micro : d;
}

/* The token of an answer that target i of the part in hand is: an answer's targets come in its order. */
static size_t next_token(struct policy *p, size_t i)
{
    uint32_t a = p->pack.of_row[i];
    return p->answer[a].first_token + p->cursor[a]++;
}

static void begin_part(struct policy *p)
{
    for (size_t i = p->pack.part; i < p->pack.next; i++) p->cursor[p->pack.order[i]] = 0;
}

static void add_drift(struct policy_metrics *m, double drift)
{
    m->drift += fabs(drift);
    m->n_learned++;
    if (fabs(drift) > m->drift_max) m->drift_max = fabs(drift);
}

/* Loss and weights of the part in hand from the losses of its targets, -log p. */
static void weigh(void *arg, const float *loss)
{
    struct pass *k = arg;
    struct policy *p = k->t->policy;
    begin_part(p);
    for (size_t i = 0; i < p->pack.n_target; i++) {
        const struct answer *a = &p->answer[p->pack.of_row[i]];
        size_t token = next_token(p, i);
        struct policy_output out;
        if (!isfinite(loss[i])) {
            k->bad = p->pack.of_row[i];
            memset(p->pack.weight, 0, p->pack.n_target * sizeof(*p->pack.weight));
            return;
        }
        if (k->first) {
            p->token.old[token] = -loss[i];
            add_drift(k->m, -(double)loss[i] - (double)p->token.sampled[token]);
        }
        const struct policy_input in = {-(double)loss[i], (double)p->token.old[token],
                                        (double)p->token.reference[token], a->advantage};
        policy_token(&p->opt->loss, &in, &out);
        double d = denominator(k, a);
        k->loss += out.loss / d;
        k->m->kl += out.kl;
        k->m->n_clipped += out.is_clipped;
        k->m->n_weighed++;
        p->pack.weight[i] = (float)(-out.slope / d);
    }
}

/* At a ratio of 1 the derivative of the loss by log p is minus the advantage, whatever log p is. */
static void weigh_ahead(const struct pass *k)
{
    struct policy *p = k->t->policy;
    for (size_t i = 0; i < p->pack.n_target; i++) {
        const struct answer *a = &p->answer[p->pack.of_row[i]];
        p->pack.weight[i] = (float)(a->advantage / denominator(k, a));
    }
}

static int measure_reference(struct trainer *t, struct err *e)
{
    struct policy *p = t->policy;
    int rc = tape_step(t->tape, &p->pack.batch, t->reference, false, t->loss, NULL, e);
    begin_part(p);
    for (size_t i = 0; rc == 0 && i < p->pack.n_target; i++) p->token.reference[next_token(p, i)] = -t->loss[i];
    return rc;
}

static int run_part(struct pass *k, struct err *e)
{
    struct trainer *t = k->t;
    struct policy *p = t->policy;
    int rc = 0;
    p->pack.batch.temperature = p->opt->temperature;
    if (k->first && p->opt->loss.beta > 0) rc = measure_reference(t, e);
    if (rc != 0) return rc;
    if (k->known) {
        weigh_ahead(k);
    } else {
        p->pack.batch.weigh = weigh;
        p->pack.batch.weigh_arg = k;
    }
    rc = tape_step(t->tape, &p->pack.batch, t->adapter, true, t->loss, NULL, e);
    if (rc == 0 && k->known) weigh(k, t->loss);
    if (rc == 0 && k->bad >= 0)
        return err_set(e, ERR_INPUT, "loss",
                       "cannot go on tuning: the loss at step %llu is not finite at an answer to line %u of the data",
                       (unsigned long long)(k->step + 1), (unsigned)p->rows.line[k->bad]);
    return rc;
}

/* Answers [from, to) of the step. */
static int run_micro_batch(struct pass *k, size_t from, size_t to, struct err *e)
{
    struct policy *p = k->t->policy;
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        if (is_learned(p, &p->answer[i])) p->list[n++] = (uint32_t)i;
    if (p->opt->loss.norm == POLICY_BNPO) k->n_tok = count_tokens(p, from, to);
    if (n == 0) return 0;
    packer_begin(&p->pack, p->list, n);
    while (packer_next(&p->pack, 1.0)) {
        int rc = run_part(k, e);
        if (rc != 0) return rc;
    }
    return 0;
}

/* The gradients of pass i over the answers, and their loss. */
static int add_grads(struct trainer *t, int i, uint64_t step, struct step_result *out, struct err *e)
{
    struct policy *p = t->policy;
    size_t micro = micro_answers(t);
    struct pass k = {.t = t,
                     .step = step,
                     .first = i == 0,
                     .known = i == 0 && p->opt->loss.beta <= 0,
                     .n_tok = count_tokens(p, 0, p->n_answer),
                     .n_micro = (p->n_answer + micro - 1) / micro,
                     .m = &out->policy,
                     .bad = -1};
    trainer_zero_grads(t);
    for (size_t from = 0; from < p->n_answer; from += micro) {
        size_t to = p->n_answer - from < micro ? p->n_answer : from + micro;
        int rc = run_micro_batch(&k, from, to, e);
        if (rc != 0) return rc;
    }
    out->loss = k.loss;
    return 0;
}

static int begin_answers(struct trainer *t, struct err *e)
{
    struct policy *p = t->policy;
    int rc = packer_init(&p->pack, &p->rows, micro_answers(t), (size_t)t->cfg->token_budget, t->cfg->packing, e);
    p->pack.own = true;
    return rc;
}

static void note_cut(struct trainer *t, uint64_t step, const struct policy_metrics *m)
{
    struct policy *p = t->policy;
    char line[200];
    if (!p->opt->mask_truncated || m->n_truncated < m->n_answer || p->cut_given || t->rq->note == NULL) return;
    p->cut_given = true;
    snprintf(line, sizeof(line),
             "step %llu teaches nothing: all its answers are cut at %d tokens; raise max_new_tokens, or set "
             "mask_truncated: false",
             (unsigned long long)(step + 1), (int)p->opt->max_new_tokens);
    t->rq->note(t->rq->arg, line);
}

int policy_step(struct trainer *t, const uint32_t *prompt, size_t n, uint64_t step, struct step_result *out,
                struct err *e)
{
    struct policy *p = t->policy;
    int rc = policy_rollout(t, prompt, n, step, e);
    if (rc == 0) rc = policy_judge(t, prompt, &out->policy, e);
    if (rc == 0) note_cut(t, step, &out->policy);
    if (rc == 0) rc = begin_answers(t, e);
    for (int i = 0; rc == 0 && i < p->opt->mu; i++) {
        rc = add_grads(t, i, step, out, e);
        if (rc == 0) rc = trainer_update(t, step * (uint64_t)p->opt->mu + (uint64_t)i, step, out, e);
    }
    out->n_target = count_tokens(p, 0, p->n_answer);
    out->n_tok = p->rows.n_id;
    out->n_row = p->n_answer;
    return rc;
}

int policy_probe(struct trainer *t, const uint32_t *prompt, size_t n, double *seconds, struct err *e)
{
    struct policy *p = t->policy;
    struct step_result unused = {0};
    size_t group = (size_t)p->opt->group_size, most = (PROBE_ANSWERS + group - 1) / group;
    size_t n_prompt = n < most ? n : most;
    double from = clock_s();
    int rc = policy_rollout(t, prompt, n_prompt, 0, e);
    double sampling = clock_s() - from;
    if (rc == 0) rc = begin_answers(t, e);
    for (size_t i = 0; i < p->n_answer; i++) p->answer[i].advantage = i % 2 == 0 ? 1 : -1; /* all are learned from */
    from = clock_s();
    if (rc == 0) rc = add_grads(t, 0, 0, &unused, e);
    *seconds = (sampling + p->opt->mu * (clock_s() - from)) * (double)n / (double)n_prompt;
    return rc;
}

/* --- events --- */

static double ratio(double sum, size_t n)
{
    return n > 0 ? sum / (double)n : (double)NAN;
}

static int put(json_t *event, const char *key, double v)
{
    return json_object_set_new(event, key, json_finite(v));
}

/* {"name": mean, ...}; two of one name are told apart by their numbers. */
static json_t *by_reward(const struct policy *p, const struct policy_metrics *m)
{
    json_t *all = json_object();
    for (size_t i = 0; i < p->opt->n_reward; i++) {
        char key[112];
        const char *name = reward_name(p->opt->reward[i]);
        snprintf(key, sizeof(key), "%.80s", name);
        if (json_object_get(all, key) != NULL) snprintf(key, sizeof(key), "%.80s %zu", name, i + 1);
        if (put(all, key, ratio(m->by_reward[i], m->n_by_reward[i])) != 0) break;
    }
    return all;
}

int policy_event(const struct trainer *t, const struct step_result *r, json_t *event)
{
    const struct policy *p = t->policy;
    const struct policy_metrics *m = &r->policy;
    const struct answer *a = &p->answer[0];
    int rc = put(event, "reward", m->reward);
    rc |= put(event, "reward_std", m->reward_std);
    rc |= json_object_set_new(event, "rewards", by_reward(p, m));
    rc |= put(event, "equal_groups", ratio((double)m->n_equal, m->n_group));
    rc |= put(event, "entropy", m->entropy);
    rc |= put(event, "kl", p->opt->loss.beta > 0 ? ratio(m->kl, m->n_weighed) : (double)NAN);
    rc |= put(event, "clipped", ratio((double)m->n_clipped, m->n_weighed));
    rc |= put(event, "drift", ratio(m->drift, m->n_learned));
    rc |= put(event, "drift_max", m->n_learned > 0 ? m->drift_max : (double)NAN);
    rc |= put(event, "answer_tokens", ratio((double)m->n_token, m->n_answer));
    rc |= put(event, "shortest", (double)m->shortest);
    rc |= put(event, "longest", (double)m->longest);
    rc |= put(event, "truncated", ratio((double)m->n_truncated, m->n_answer));
    rc |= json_object_set_new(event, "failed_rules", json_integer((json_int_t)m->n_failed));
    rc |= json_object_set_new(
        event, "sample",
        json_pack("{s:I,s:s,s:f}", "line", (json_int_t)p->rows.line[0], "answer", a->text, "reward", a->reward));
    return rc == 0 ? 0 : -ERR_NOMEM;
}
