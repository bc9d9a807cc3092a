/* Answers become rewards, rewards advantages. Keeps nothing. Rules of our own judge one answer after the other; another
 * model is asked about all answers of a step together. A rule that cannot judge an answer (a pattern without end,
 * a program that fails) gives it nothing, is counted, and the first of them is shown: it never ends the run. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "lifecycle/train/policy.h"

static void count_failure(struct trainer *t, struct policy_metrics *m, uint32_t prompt, const struct err *why)
{
    char line[700];
    m->n_failed++;
    if (t->policy->note_given || t->rq->note == NULL) return;
    t->policy->note_given = true;
    snprintf(line, sizeof(line), "an answer to line %u of the data counts as 0: %s", (unsigned)t->rows.line[prompt],
             why->msg);
    t->rq->note(t->rq->arg, line);
}

static void add_value(const struct trainer *t, struct answer *a, size_t reward, double value, struct policy_metrics *m)
{
    a->reward += reward_weight(t->policy->opt->reward[reward]) * value;
    m->by_reward[reward] += value;
    m->n_by_reward[reward]++;
}

static struct sandbox_input input_of(const struct trainer *t, const struct answer *a, uint32_t prompt)
{
    return (struct sandbox_input){.answer = a->text,
                                  .n = strlen(a->text),
                                  .row = json_array_get(t->rows.columns, prompt),
                                  .n_token = a->n_token,
                                  .truncated = a->truncated};
}

/* The weighted sum of what applies; each value is noted by its reward. */
static int judge_answer(struct trainer *t, struct answer *a, uint32_t prompt, struct policy_metrics *m, struct err *e)
{
    const struct policy_options *o = t->policy->opt;
    const struct sandbox_input in = input_of(t, a, prompt);
    a->reward = 0;
    for (size_t i = 0; i < o->n_reward; i++) {
        if (reward_judge(o->reward[i]) != NULL) continue;
        struct err why = {0};
        bool applies;
        double value;
        int rc = reward_apply(o->reward[i], &in, &applies, &value, &why);
        if (rc == -ERR_NOMEM) {
            if (e != NULL) *e = why;
            return rc;
        }
        if (rc != 0) count_failure(t, m, prompt, &why);
        if (rc != 0 || !applies) continue;
        add_value(t, a, i, value, m);
    }
    return 0;
}

/* --- other models --- */

/* The questions of a reward of type judge about all answers: call[k] is that of answer which[k]. */
struct inquiry {
    const struct judge_rule *rule;
    struct ask_call *call;
    uint32_t *which;
    size_t n;
};

static int make_questions(struct trainer *t, const uint32_t *prompt, struct inquiry *q, struct err *e)
{
    struct policy *p = t->policy;
    for (size_t i = 0; i < p->n_answer; i++) {
        uint32_t row = prompt[i / (size_t)p->opt->group_size];
        const struct sandbox_input in = input_of(t, &p->answer[i], row);
        bool applies;
        int rc = judge_rule_ask(q->rule, &in, &q->call[q->n], &applies, e);
        if (rc != 0) return rc;
        if (applies) q->which[q->n++] = (uint32_t)i;
    }
    return 0;
}

/* A question that failed, and a reply that is no verdict, are the row's; the run goes on. */
static void take_replies(struct trainer *t, const uint32_t *prompt, size_t reward, const struct inquiry *q,
                         struct policy_metrics *m)
{
    struct policy *p = t->policy;
    for (size_t k = 0; k < q->n; k++) {
        const struct ask_call *c = &q->call[k];
        struct err why = c->err;
        bool applies = true;
        double value = 0;
        int rc = c->rc;
        if (rc == 0) rc = judge_rule_value(q->rule, c->text, strlen(c->text), &applies, &value, &why);
        if (rc != 0) count_failure(t, m, prompt[q->which[k] / (size_t)p->opt->group_size], &why);
        if (rc == 0 && applies) add_value(t, &p->answer[q->which[k]], reward, value, m);
    }
}

static int ask_judge(struct trainer *t, const uint32_t *prompt, size_t reward, struct policy_metrics *m, struct err *e)
{
    const struct asker *asker = t->rq->asker;
    size_t most = t->policy->n_answer;
    struct inquiry q = {.rule = reward_judge(t->policy->opt->reward[reward])};
    q.call = mem_try_array(most, sizeof(*q.call));
    q.which = mem_try_array(most, sizeof(*q.which));
    int rc = q.call == NULL || q.which == NULL
                 ? err_set(e, ERR_NOMEM, NULL, "cannot ask about %zu answers: out of memory", most)
                 : make_questions(t, prompt, &q, e);
    if (rc == 0 && q.n > 0) rc = asker->ask(asker->arg, judge_rule_place(q.rule), q.call, q.n, e);
    if (rc == 0) take_replies(t, prompt, reward, &q, m);
    for (size_t k = 0; q.call != NULL && k < q.n; k++) {
        json_decref((json_t *)(uintptr_t)q.call[k].messages);
        mem_free(q.call[k].text);
    }
    mem_free(q.call);
    mem_free(q.which);
    return rc;
}

int policy_judge_check(const struct trainer *t, struct err *e)
{
    const struct policy_options *o = t->policy->opt;
    const struct asker *asker = t->rq->asker;
    for (size_t i = 0; i < o->n_reward; i++) {
        const struct judge_rule *rule = reward_judge(o->reward[i]);
        if (rule == NULL) continue;
        if (asker == NULL)
            return err_set(e, ERR_UNSUPPORTED, "rewards",
                           "cannot tune with a reward of type judge here: nobody asks it");
        int rc = asker->ask(asker->arg, judge_rule_place(rule), NULL, 0, e);
        if (rc != 0) return rc;
    }
    return 0;
}

static int ask_judges(struct trainer *t, const uint32_t *prompt, struct policy_metrics *m, struct err *e)
{
    const struct policy_options *o = t->policy->opt;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < o->n_reward; i++)
        if (reward_judge(o->reward[i]) != NULL) rc = ask_judge(t, prompt, i, m, e);
    return rc;
}

static void measure(const struct policy *p, struct policy_metrics *m)
{
    double sum = 0, spread = 0;
    m->shortest = SIZE_MAX;
    for (size_t i = 0; i < p->n_answer; i++) {
        const struct answer *a = &p->answer[i];
        sum += a->reward;
        m->n_token += a->n_token;
        m->n_truncated += a->truncated;
        if (a->n_token > m->longest) m->longest = a->n_token;
        if (a->n_token < m->shortest) m->shortest = a->n_token;
    }
    for (size_t i = 0; i < p->token.n; i++) m->entropy += (double)p->token.entropy[i];
    m->entropy /= (double)p->token.n;
    m->n_answer = p->n_answer;
    m->reward = sum / (double)p->n_answer;
    for (size_t i = 0; i < p->n_answer; i++) spread += pow(p->answer[i].reward - m->reward, 2);
    m->reward_std = p->n_answer > 1 ? sqrt(spread / (double)(p->n_answer - 1)) : 0;
}

int policy_judge(struct trainer *t, const uint32_t *prompt, struct policy_metrics *m, struct err *e)
{
    struct policy *p = t->policy;
    size_t group = (size_t)p->opt->group_size;
    *m = (struct policy_metrics){0};
    for (size_t i = 0; i < p->n_answer; i++) {
        int rc = judge_answer(t, &p->answer[i], prompt[i / group], m, e);
        if (rc != 0) return rc;
    }
    int rc = ask_judges(t, prompt, m, e);
    if (rc != 0) return rc;
    for (size_t i = 0; i < p->n_answer; i++) p->reward[i] = p->answer[i].reward;
    measure(p, m);
    m->n_group = p->n_answer / group;
    m->n_equal = policy_advantages(p->reward, p->n_answer, group, p->opt->scale, p->advantage);
    for (size_t i = 0; i < p->n_answer; i++) p->answer[i].advantage = p->advantage[i];
    return 0;
}
