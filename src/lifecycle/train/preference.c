/* The arithmetic of a comparing step. Owns the scores while a step runs. What always holds: the denominators of a step
 * are known before its first part is computed, so micro-batches and their parts add up to one mean over examples. */
#include "lifecycle/train/preference.h"

#include <math.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "lifecycle/train/method.h"

/* One pass over examples. */
struct pass {
    struct trainer *t;
    struct scored *s;
    double n_example, n_chosen; /* denominators: examples, and target tokens of chosen answers (ORPO) */
    double kl;
    /* sums */
    double loss, nll;
    struct preference_metrics m;
    int64_t bad_row; /* whose loss is not finite; -1: none */
};

static double per_token(const struct pass *p, uint32_t row)
{
    return method_uses_mean(&p->t->cfg->method) ? 1.0 / (double)train_row_targets(p->s->rows, row) : 1.0;
}

/* --- scores --- */

/* Log-probabilities of the rows of the part in hand from the losses of its targets. False: some are not finite. */
static bool add_scores(const struct scored *s, const float *loss, double *logp, int64_t *bad_row)
{
    const struct packer *p = s->pack;
    bool good = true;
    for (size_t i = p->part; i < p->next; i++) logp[p->order[i]] = 0;
    for (size_t i = 0; i < p->n_target; i++) {
        logp[p->of_row[i]] -= (double)loss[i];
        if (isfinite(loss[i]) || !good) continue;
        good = false;
        *bad_row = (int64_t)p->of_row[i];
    }
    return good;
}

static int refuse_loss(const struct scored *s, int64_t row, uint64_t step, struct err *e)
{
    return err_set(e, ERR_INPUT, "loss",
                   "cannot go on tuning: the loss at step %llu is not finite at row %u (line %u of the data)",
                   (unsigned long long)(step + 1), (unsigned)row, (unsigned)s->rows->line[row]);
}

/* Scores of n examples under an adapter, NULL: with it off. */
static int score(struct trainer *t, struct scored *s, const uint32_t *example, size_t n, struct adapter *a,
                 double *logp, struct err *e)
{
    int64_t bad_row;
    packer_begin(s->pack, example, n);
    while (packer_next(s->pack, 1.0)) {
        int rc = tape_step(t->tape, &s->pack->batch, a, false, t->loss, NULL, e);
        if (rc != 0) return rc;
        if (!add_scores(s, t->loss, logp, &bad_row)) return refuse_loss(s, bad_row, t->state.step, e);
    }
    return 0;
}

static size_t micro_batch(const struct trainer *t, size_t left)
{
    size_t most = (size_t)t->cfg->batch_size;
    return left < most ? left : most;
}

/* KTO: the mean of the log-ratios of answers to other prompts, at least 0. Not differentiated. */
static int estimate_kl(struct trainer *t, struct scored *other, const uint32_t *example, size_t n, double *kl,
                       struct err *e)
{
    double sum = 0;
    *kl = 0;
    if (t->cfg->method.kind != METHOD_KTO) return 0;
    for (size_t i = 0, k; i < n; i += k) {
        k = micro_batch(t, n - i);
        int rc = score(t, other, example + i, k, t->adapter, other->logp, e);
        if (rc != 0) return rc;
    }
    for (size_t i = 0; i < n; i++) sum += other->logp[example[i]] - other->reference[example[i]];
    *kl = fmax(0, sum / (double)n);
    return 0;
}

/* --- the loss --- */

static void add_metrics(struct pass *p, bool is_pair, bool desirable, const struct method_input *in,
                        const struct method_output *out)
{
    struct preference_metrics *m = &p->m;
    int side = is_pair || desirable ? 0 : 1;
    m->reward[side] += out->reward[0];
    m->n[side]++;
    if (!is_pair) return;
    m->reward[1] += out->reward[1];
    m->n[1]++;
    m->accuracy += out->reward[0] > out->reward[1];
    m->preferred += in->logp[0] > in->logp[1];
}

/* The loss of one example, from the scores of its rows; its derivative into s->slope. */
static void take_example(struct pass *p, uint32_t first)
{
    const struct scored *s = p->s;
    struct method_input in = {.desirable = s->rows->desirable[first], .kl = p->kl};
    struct method_output out;
    size_t unit = s->rows->unit;
    for (size_t k = 0; k < unit; k++) {
        uint32_t row = first + (uint32_t)k;
        double scale = per_token(p, row);
        in.logp[k] = scale * s->logp[row];
        in.reference[k] = s->reference != NULL ? scale * s->reference[row] : 0;
    }
    method_loss(&p->t->cfg->method, &in, &out);
    p->loss += out.loss;
    for (size_t k = 0; k < unit; k++) s->slope[first + k] = out.slope[k];
    if (p->t->cfg->method.kind == METHOD_ORPO) p->nll -= s->logp[first];
    add_metrics(p, unit == 2, in.desirable, &in, &out);
}

/* loss_i = -log p of a target: the derivative by it is minus that by its row's log-probability. */
static void weigh_targets(struct pass *p)
{
    struct packer *k = p->s->pack;
    bool has_nll = p->t->cfg->method.kind == METHOD_ORPO;
    for (size_t i = 0; i < k->n_target; i++) {
        uint32_t row = k->of_row[i];
        double weight = -p->s->slope[row] * per_token(p, row) / p->n_example;
        if (has_nll && row % 2 == 0) weight += 1.0 / p->n_chosen;
        k->weight[i] = (float)weight;
    }
}

static void weigh(void *arg, const float *loss)
{
    struct pass *p = arg;
    const struct packer *k = p->s->pack;
    if (p->bad_row >= 0 || !add_scores(p->s, loss, p->s->logp, &p->bad_row)) {
        memset(k->weight, 0, k->n_target * sizeof(*k->weight));
        return;
    }
    for (size_t i = k->part; i < k->next; i += k->rows->unit) take_example(p, k->order[i]);
    weigh_targets(p);
}

static int run_examples(struct pass *p, const uint32_t *example, size_t n, bool backward, uint64_t step, struct err *e)
{
    struct packer *k = p->s->pack;
    packer_begin(k, example, n);
    while (packer_next(k, 1.0)) {
        k->batch.weigh = weigh;
        k->batch.weigh_arg = p;
        int rc = tape_step(p->t->tape, &k->batch, p->t->adapter, backward, p->t->loss, NULL, e);
        if (rc != 0) return rc;
        if (!backward) weigh(p, p->t->loss);
        if (p->bad_row >= 0) return refuse_loss(p->s, p->bad_row, step, e);
    }
    return 0;
}

static struct pass pass_begin(struct trainer *t, struct scored *s, const uint32_t *example, size_t n)
{
    struct pass p = {.t = t, .s = s, .n_example = (double)n, .bad_row = -1};
    for (size_t i = 0; i < n; i++) p.n_chosen += (double)train_row_targets(s->rows, example[i] * s->rows->unit);
    return p;
}

static double pass_loss(const struct pass *p)
{
    return p->loss / p->n_example + (p->t->cfg->method.kind == METHOD_ORPO ? p->nll / p->n_chosen : 0);
}

int preference_gradient(struct trainer *t, const uint32_t *example, size_t n, uint64_t step, struct step_result *out,
                        struct err *e)
{
    struct preference *f = t->preference;
    struct pass p = pass_begin(t, &f->train, example, n);
    int rc = estimate_kl(t, &f->other, example, n, &p.kl, e);
    for (size_t i = 0, k; rc == 0 && i < n; i += k) {
        k = micro_batch(t, n - i);
        rc = run_examples(&p, example + i, k, true, step, e);
    }
    if (rc != 0) return rc;
    out->loss = pass_loss(&p);
    out->preference = p.m;
    out->preference.kl = p.kl;
    return 0;
}

int preference_eval(struct trainer *t, double *loss, struct err *e)
{
    struct preference *f = t->preference;
    struct packer *k = &t->eval_pack;
    size_t n = t->eval_rows.n_row / t->eval_rows.unit;
    uint32_t *all = mem_try_array(n, sizeof(*all));
    if (all == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot measure the loss: out of memory");
    for (size_t i = 0; i < n; i++) all[i] = (uint32_t)i;
    struct pass p = pass_begin(t, &f->eval, all, n);
    int rc = estimate_kl(t, &f->other_eval, all, n, &p.kl, e);
    for (size_t i = 0, m; rc == 0 && i < n; i += m) {
        m = n - i < k->cap_row / k->rows->unit ? n - i : k->cap_row / k->rows->unit;
        rc = run_examples(&p, all + i, m, false, t->state.step, e);
    }
    if (rc == 0) *loss = pass_loss(&p);
    f->eval_found = p.m;
    mem_free(all);
    return rc;
}

/* --- the reference --- */

static int measure_rows(struct trainer *t, struct scored *s, const bool *wanted, struct err *e)
{
    size_t n_example = s->rows->n_row / s->rows->unit, n = 0, most = (size_t)t->cfg->batch_size;
    uint32_t *block = mem_try_array(most < n_example ? most : n_example, sizeof(*block));
    int rc = block == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot measure the reference: out of memory") : 0;
    for (size_t i = 0; rc == 0 && i < n_example; i++) {
        if (wanted == NULL || wanted[i]) block[n++] = (uint32_t)i;
        if (n == 0 || (n < most && i + 1 < n_example)) continue;
        rc = score(t, s, block, n, t->reference, s->reference, e);
        n = 0;
        if (rc == 0 && trainer_interrupted(t))
            rc = err_set(e, ERR_INTERRUPTED, t->cfg->output,
                         "tuning was interrupted while the reference was measured (--resume %s goes on)",
                         t->cfg->output);
    }
    mem_free(block);
    return rc;
}

/* Which examples the steps take; NULL without memory. Blocks of the reference follow from it and from nothing else, so
 * that a resumed run computes the same bits. */
static bool *examples_of_run(struct trainer *t)
{
    bool *wanted = mem_try_array(t->plan.n_row, sizeof(*wanted));
    if (wanted == NULL) return NULL;
    bool all = t->plan.n_step >= t->plan.epoch_steps;
    if (all) memset(wanted, true, t->plan.n_row);
    if (!all) train_order(t->cfg, 0, t->order, t->plan.n_row);
    for (uint64_t step = 0; !all && step < t->plan.n_step; step++) {
        uint64_t epoch;
        size_t begin, end;
        train_step_rows(&t->plan, step, &epoch, &begin, &end);
        for (size_t i = begin; i < end; i++) wanted[t->order[i]] = true;
    }
    t->epoch = UINT64_MAX;
    return wanted;
}

int preference_measure(struct trainer *t, struct err *e)
{
    struct preference *p = t->preference;
    if (p->train.reference == NULL) return 0;
    bool *wanted = examples_of_run(t);
    if (t->rq->note != NULL)
        t->rq->note(t->rq->arg, "measuring the reference: the model with the adapter off, on all rows of the run");
    int rc = wanted == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot measure the reference: out of memory")
                            : measure_rows(t, &p->train, wanted, e);
    if (rc == 0 && p->other.rows != NULL) rc = measure_rows(t, &p->other, wanted, e);
    if (rc == 0 && p->eval.rows != NULL) rc = measure_rows(t, &p->eval, NULL, e);
    if (rc == 0 && p->other_eval.rows != NULL) rc = measure_rows(t, &p->other_eval, NULL, e);
    mem_free(wanted);
    return rc;
}

/* --- events --- */

static double mean(double sum, uint64_t n)
{
    return n > 0 ? sum / (double)n : (double)NAN;
}

int preference_eval_event(const struct trainer *t, json_t *event)
{
    const struct preference_metrics *m = &t->preference->eval_found;
    if (t->cfg->method.kind == METHOD_KTO) return 0;
    int rc = json_object_set_new(event, "reward_accuracy", json_finite(mean(m->accuracy, m->n[0])));
    rc |= json_object_set_new(event, "preferred", json_finite(mean(m->preferred, m->n[0])));
    return rc == 0 ? 0 : -ERR_NOMEM;
}

int preference_event(const struct trainer *t, const struct step_result *r, json_t *event)
{
    const struct preference_metrics *m = &r->preference;
    double chosen = mean(m->reward[0], m->n[0]), rejected = mean(m->reward[1], m->n[1]);
    int rc = json_object_set_new(event, "reward_chosen", json_finite(chosen));
    if (rc == 0) rc = json_object_set_new(event, "reward_rejected", json_finite(rejected));
    if (rc == 0) rc = json_object_set_new(event, "reward_margin", json_finite(chosen - rejected));
    if (t->cfg->method.kind == METHOD_KTO)
        rc |= json_object_set_new(event, "kl", json_finite(m->kl));
    else
        rc |= json_object_set_new(event, "reward_accuracy", json_finite(mean(m->accuracy, m->n[0])));
    return rc == 0 ? 0 : -ERR_NOMEM;
}
