/* The arithmetic of a step. The denominator of the loss is counted over all rows of the step before the first of them
 * is computed, so micro-batches and their parts add up to one mean over target tokens. */
#include <math.h>

#include "lifecycle/train/policy.h"
#include "lifecycle/train/preference.h"

/* Sum over the part of mass * loss, in the order of targets. */
static int add_losses(const struct trainer *t, const struct packer *p, uint64_t step, double *sum, struct err *e)
{
    for (size_t i = 0; i < p->n_target; i++) {
        if (!isfinite(t->loss[i]))
            return err_set(
                e, ERR_INPUT, "loss",
                "cannot go on tuning: the loss at step %llu is not finite at row %u (line %u of the data); a lower "
                "lr, more warmup_steps or a lower max_grad_norm may help",
                (unsigned long long)(step + 1), (unsigned)p->of_row[i], (unsigned)p->rows->line[p->of_row[i]]);
        *sum += p->mass[i] * (double)t->loss[i];
    }
    return 0;
}

/* Segments are rows here (config.c sees to it); a row's noise is another one every step, whatever rows stand beside it.
 */
static void add_noise(struct trainer *t, struct packer *p, uint64_t step)
{
    const uint32_t *row = p->order + (p->next - p->n_segment);
    if (t->cfg->neftune_alpha == 0) return;
    for (size_t i = 0; i < p->n_segment; i++) t->noise_key[i] = step << 32 | row[i];
    p->batch.noise = (float)t->cfg->neftune_alpha;
    p->batch.noise_seed = t->cfg->seed;
    p->batch.noise_key = t->noise_key;
}

static int run_rows(struct trainer *t, struct packer *p, const uint32_t *row, size_t n, double denominator,
                    bool backward, uint64_t step, double *sum, struct err *e)
{
    packer_begin(p, row, n);
    while (packer_next(p, denominator)) {
        if (backward) add_noise(t, p, step);
        int rc = tape_step(t->tape, &p->batch, t->adapter, backward, t->loss, NULL, e);
        if (rc == 0) rc = add_losses(t, p, step, sum, e);
        if (rc != 0) return rc;
    }
    return 0;
}

/* weight: what the loss is divided by, the targets with the weights of their rows. */
static uint64_t count_targets(const struct train_rows *r, const uint32_t *example, size_t n, uint64_t *n_tok,
                              double *weight)
{
    uint64_t n_target = 0;
    *n_tok = 0;
    *weight = 0;
    for (size_t k = 0; k < n * r->unit; k++) {
        size_t row = example[k / r->unit] * r->unit + k % r->unit;
        *n_tok += train_row_len(r, row);
        n_target += train_row_targets(r, row);
        *weight += train_row_target_weight(r, row);
    }
    return n_target;
}

/* Clip as torch.nn.utils.clip_grad_norm_ does, then the optimizer's step. */
int trainer_update(struct trainer *t, uint64_t update, uint64_t step, struct step_result *out, struct err *e)
{
    const struct train_config *c = t->cfg;
    trainer_take_grads(t);
    out->grad_norm = sqrt(dev_sum_squares(t->dev, t->grads, t->n_param));
    if (!isfinite(out->grad_norm))
        return err_set(
            e, ERR_INPUT, "grad_norm",
            "cannot go on tuning: the gradient at step %llu is not finite; a lower lr, more warmup_steps or a lower "
            "max_grad_norm may help",
            (unsigned long long)(step + 1));
    double shrink = c->max_grad_norm / (out->grad_norm + 1e-6);
    if (c->max_grad_norm > 0 && shrink < 1) dev_scale(t->dev, t->grads, (float)shrink, t->n_param);
    optimizer_step(t->optimizer, t->params, t->grads, out->lr, update);
    trainer_updated(t);
    return 0;
}

int trainer_step(struct trainer *t, uint64_t step, struct step_result *out, struct err *e)
{
    uint64_t epoch;
    size_t begin, end, micro = (size_t)t->cfg->batch_size;
    double weight;
    train_step_rows(&t->plan, step, &epoch, &begin, &end);
    if (epoch != t->epoch) train_order(t->cfg, epoch, t->order, t->plan.n_row);
    t->epoch = epoch;
    *out = (struct step_result){.lr = train_lr(t->cfg, step, t->plan.n_step), .n_row = end - begin};
    out->n_target = count_targets(&t->rows, t->order + begin, end - begin, &out->n_tok, &weight);
    if (t->policy != NULL) return policy_step(t, t->order + begin, end - begin, step, out, e);
    trainer_zero_grads(t);
    if (t->preference != NULL) {
        int rc = preference_gradient(t, t->order + begin, end - begin, step, out, e);
        return rc != 0 ? rc : trainer_update(t, step, step, out, e);
    }
    double sum = 0;
    for (size_t i = begin; i < end; i += micro) {
        size_t n = end - i < micro ? end - i : micro;
        int rc = run_rows(t, &t->pack, t->order + i, n, weight, true, step, &sum, e);
        if (rc != 0) return rc;
    }
    out->loss = sum / weight;
    return trainer_update(t, step, step, out, e);
}

size_t trainer_eval_rows(const struct trainer *t, size_t first, uint32_t *row)
{
    size_t unit = t->eval_rows.unit, left = t->eval_rows.n_row / unit - first, most = t->eval_pack.cap_row / unit;
    size_t n = left < most ? left : most;
    for (size_t k = 0; k < n; k++) row[k] = (uint32_t)(first + k);
    return n;
}

int trainer_eval(struct trainer *t, double *loss, struct err *e)
{
    if (t->preference != NULL) return preference_eval(t, loss, e);
    struct packer *p = &t->eval_pack;
    double sum = 0, weight = 0;
    for (size_t i = 0; i < t->eval_rows.n_row; i++) weight += train_row_target_weight(&t->eval_rows, i);
    for (size_t i = 0, n; i < t->eval_rows.n_row; i += n) {
        n = trainer_eval_rows(t, i, p->order);
        int rc = run_rows(t, p, p->order, n, 1.0, false, t->state.step, &sum, e);
        if (rc != 0) return rc;
    }
    *loss = sum / weight;
    return 0;
}
