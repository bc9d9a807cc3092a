/* Evaluations of a run: the loss on eval_data, and the score of the answers to eval_cases. Owns when they are due and
 * which one is the best. What always holds: an evaluation changes no parameter, and one that was cut off is done again
 * when the run goes on, so that a resumed run stops where the whole one does. */
#include <math.h>
#include <stdio.h>

#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"
#include "lifecycle/train/preference.h"

static bool is_due(const struct trainer *t)
{
    const struct train_config *c = t->cfg;
    uint64_t step = t->state.step;
    if ((c->eval_data == NULL && c->eval_cases == NULL) || t->state.evaluated == (double)step) return false;
    return step == 0 || step == t->plan.n_step || (c->eval_every > 0 && step % (uint64_t)c->eval_every == 0);
}

/* --- answers --- */

enum { PIECE_VALUES = 1 << 16 };

static int digest_params(const struct trainer *t, char hex[DIGEST_HEX_SIZE], struct err *e)
{
    struct digest d;
    float *piece = mem_try_array(PIECE_VALUES, sizeof(*piece));
    int rc = piece != NULL ? digest_begin(&d, e) : err_set(e, ERR_NOMEM, NULL, "cannot evaluate: out of memory");
    for (size_t at = 0; rc == 0 && at < t->n_param; at += PIECE_VALUES) {
        size_t n = t->n_param - at < PIECE_VALUES ? t->n_param - at : PIECE_VALUES;
        dev_read(t->dev, piece, t->params + at, n);
        digest_add(&d, piece, n * sizeof(*piece));
    }
    if (rc == 0) digest_end(&d, hex);
    mem_free(piece);
    return rc;
}

static int ask(struct trainer *t, struct train_score *out, struct err *e)
{
    char digest[DIGEST_HEX_SIZE], name[64];
    struct checkpoint *s = &t->state;
    int rc = digest_params(t, digest, e);
    if (rc != 0) return rc;
    snprintf(name, sizeof(name), "evals/step-%llu", (unsigned long long)s->step);
    char *dir = path_join(t->dir.path, name);
    struct train_state state = {.adapter = t->absorber != NULL ? NULL : t->adapter,
                                .step = s->step,
                                .digest = digest,
                                .inputs = s->inputs,
                                .dir = dir};
    rc = t->rq->score(t->rq->arg, &state, out, e);
    mem_free(dir);
    model_set_context(t->rq->model,
                      t->cfg->max_length > 0 ? t->cfg->max_length : model_params(t->rq->model)->n_ctx_train);
    return rc;
}

/* --- the record --- */

static void say(const struct trainer *t, const struct train_score *r)
{
    char line[200];
    const struct checkpoint *s = &t->state;
    unsigned long long step = s->step, n = r->n_scored;
    if (t->rq->note == NULL || t->cfg->eval_cases == NULL) return;
    if (t->cfg->eval_data != NULL)
        snprintf(line, sizeof(line), "step %llu: score %.1f %% of %llu cases, loss on eval_data %.4f", step,
                 100 * r->value, n, s->eval_loss);
    else
        snprintf(line, sizeof(line), "step %llu: score %.1f %% of %llu cases", step, 100 * r->value, n);
    t->rq->note(t->rq->arg, line);
}

static json_t *event_of(const struct trainer *t, const struct train_score *r)
{
    json_t *event = json_pack("{s:s,s:I}", "event", "eval", "step", (json_int_t)t->state.step);
    int rc = event == NULL;
    if (t->cfg->eval_data != NULL) {
        rc |= json_object_set_new(event, "loss", json_finite(t->state.eval_loss));
        rc |= json_object_set_new(event, "n_target", json_integer((json_int_t)t->eval_rows.n_target));
        if (t->preference != NULL) rc |= preference_eval_event(t, event);
    }
    if (t->cfg->eval_cases != NULL) {
        rc |= json_object_set_new(event, "score", json_finite(r->value));
        rc |= json_object_set_new(event, "score_low", json_finite(r->low));
        rc |= json_object_set_new(event, "score_high", json_finite(r->high));
        rc |= json_object_set_new(event, "n_cases", json_integer((json_int_t)r->n));
        rc |= json_object_set_new(event, "n_scored", json_integer((json_int_t)r->n_scored));
    }
    if (rc == 0) return event;
    json_decref(event);
    return NULL;
}

static bool is_better(const struct trainer *t)
{
    const struct checkpoint *s = &t->state;
    bool lower = isnan(s->best_loss) || s->eval_loss < s->best_loss;
    if (!t->cfg->best_by_score) return lower;
    if (isnan(s->best_score) || s->score > s->best_score) return true;
    return s->score == s->best_score && t->cfg->eval_data != NULL && lower; /* few cases give few different scores */
}

/* The best so far is the one of bad_evals evaluations ago. */
static void say_stopped(const struct trainer *t)
{
    char line[160];
    const struct checkpoint *s = &t->state;
    if (t->rq->note == NULL) return;
    snprintf(line, sizeof(line), "stopped at step %llu of %llu: the best evaluation was that of step %llu",
             (unsigned long long)s->step, (unsigned long long)t->plan.n_step,
             (unsigned long long)(s->step - s->bad_evals * (uint64_t)t->cfg->eval_every));
    t->rq->note(t->rq->arg, line);
}

/* Of equal evaluations the earlier one is the best. */
static void remember_best(struct trainer *t)
{
    struct checkpoint *s = &t->state;
    bool better = is_better(t);
    if (better) {
        s->best_loss = s->eval_loss;
        s->best_score = s->score;
    }
    s->bad_evals = better ? 0 : s->bad_evals + 1;
    if (better && s->best != NULL) dev_copy(t->dev, s->best, t->params, t->n_param);
    s->stopped = t->cfg->early_stop > 0 && s->bad_evals >= (uint64_t)t->cfg->early_stop;
}

int trainer_evaluate(struct trainer *t, struct err *e)
{
    struct checkpoint *s = &t->state;
    struct train_score r = {0};
    double begin = clock_s();
    if (!is_due(t)) return 0;
    int rc = t->cfg->eval_data != NULL ? trainer_eval(t, &s->eval_loss, e) : 0;
    double between = clock_s();
    if (rc == 0 && t->cfg->eval_cases != NULL) rc = ask(t, &r, e);
    if (rc != 0) return rc;
    if (t->cfg->eval_cases != NULL) s->score = r.value;
    s->eval_seconds += between - begin;
    s->score_seconds += clock_s() - between;
    s->evaluated = (double)s->step;
    remember_best(t);
    say(t, &r);
    if (s->stopped && s->step < t->plan.n_step) say_stopped(t);
    json_t *event = event_of(t, &r);
    if (event == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot note an evaluation: out of memory");
    return run_dir_event(&t->dir, event, e);
}
