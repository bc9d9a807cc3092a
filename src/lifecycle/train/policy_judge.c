/* Answers become rewards, rewards advantages. Keeps nothing. A rule that cannot judge an answer (a pattern without end,
 * a program that fails) gives it nothing, is counted, and the first of them is shown: it never ends the run. */
#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* The weighted sum of what applies; each value is noted by its reward. */
static int judge_answer(struct trainer *t, struct answer *a, uint32_t prompt, struct policy_metrics *m, struct err *e)
{
    const struct policy_options *o = t->policy->opt;
    const struct sandbox_input in = {.answer = a->text,
                                     .n = strlen(a->text),
                                     .row = json_array_get(t->rows.columns, prompt),
                                     .n_token = a->n_token,
                                     .truncated = a->truncated};
    a->reward = 0;
    for (size_t i = 0; i < o->n_reward; i++) {
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
        a->reward += reward_weight(o->reward[i]) * value;
        m->by_reward[i] += value;
        m->n_by_reward[i]++;
    }
    return 0;
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
        p->reward[i] = p->answer[i].reward;
    }
    measure(p, m);
    m->n_group = p->n_answer / group;
    m->n_equal = policy_advantages(p->reward, p->n_answer, group, p->opt->scale, p->advantage);
    for (size_t i = 0; i < p->n_answer; i++) p->answer[i].advantage = p->advantage[i];
    return 0;
}
