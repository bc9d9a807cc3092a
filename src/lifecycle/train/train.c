/* A run from start, or from its last checkpoint, to its adapter. Owns the order in which things become durable: the
 * events of a step, then the checkpoint that counts them; the last checkpoint, then the adapter, then "done". */
#include "lifecycle/train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/log.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "ground/sys/machine.h"
#include "lifecycle/train/manifest.h"
#include "lifecycle/train/policy.h"
#include "lifecycle/train/preference.h"
#include "lifecycle/train/preview.h"

enum { YAML_MAX_BYTES = 1 << 20, CHECKPOINTS_A_RUN = 10 };

/* --- state --- */

static int save_state(struct trainer *t, struct err *e)
{
    struct checkpoint *s = &t->state;
    json_t *event = json_pack("{s:s,s:I}", "event", "checkpoint", "step", (json_int_t)s->step);
    int rc = run_dir_event(&t->dir, event, e);
    if (rc != 0) return rc;
    s->events_bytes = t->dir.events_bytes;
    return checkpoint_save(t->checkpoints, s, e);
}

static int load_state(struct trainer *t, struct err *e)
{
    struct checkpoint *s = &t->state;
    bool found;
    char inputs[65];
    memcpy(inputs, s->inputs, sizeof(inputs));
    int rc = checkpoint_load(t->checkpoints, s, &found, e);
    if (rc != 0) return rc;
    if (!found) {
        *s = (struct checkpoint){.dev = s->dev,
                                 .n_param = s->n_param,
                                 .params = s->params,
                                 .optimizer = s->optimizer,
                                 .n_optimizer = s->n_optimizer,
                                 .best = s->best,
                                 .train_loss = (double)NAN,
                                 .eval_loss = (double)NAN,
                                 .best_loss = (double)NAN,
                                 .score = (double)NAN,
                                 .best_score = (double)NAN,
                                 .evaluated = (double)NAN};
        memcpy(s->inputs, inputs, sizeof(inputs));
        return run_dir_truncate(&t->dir, 0, e);
    }
    if (strcmp(s->inputs, inputs) != 0)
        return err_set(e, ERR_CONFLICT, t->dir.path, "cannot resume \"%s\": its checkpoint is of other inputs",
                       t->dir.path);
    trainer_updated(t);
    return run_dir_truncate(&t->dir, s->events_bytes, e);
}

/* --- the directory --- */

static int create_dir(struct trainer *t, const json_t *manifest, struct err *e)
{
    struct buf yaml;
    buf_init(&yaml, YAML_MAX_BYTES);
    int rc = param_to_yaml(t->rq->fields, &yaml);
    rc = rc != 0 ? err_set(e, ERR_NOMEM, NULL, "cannot write run.yaml: out of memory")
                 : run_dir_create(t->cfg->output, yaml.data, manifest, e);
    buf_deinit(&yaml);
    return rc;
}

static int open_dir(struct trainer *t, struct err *e)
{
    json_t *manifest = NULL, *was = NULL;
    int rc = manifest_make(t->rq, &t->rows, t->cfg->eval_data != NULL ? &t->eval_rows : NULL, &manifest, e);
    if (rc == 0) rc = manifest_digest(manifest, t->state.inputs, e);
    if (rc == 0 && !t->rq->resume) rc = create_dir(t, manifest, e);
    if (rc == 0) rc = run_dir_open(&t->dir, t->cfg->output, e);
    if (rc == 0 && !t->rq->resume) rc = preview_save_refused(t, e);
    if (rc == 0 && t->rq->resume) rc = run_dir_manifest(&t->dir, &was, e);
    if (rc == 0 && t->rq->resume) rc = manifest_compare(was, manifest, t->cfg->output, e);
    if (rc == 0) t->checkpoints = path_join(t->cfg->output, "checkpoints");
    json_decref(manifest);
    json_decref(was);
    return rc;
}

/* --- the loop --- */

/* What the method found beside the loss. */
static int method_event(const struct trainer *t, const struct step_result *r, json_t *event)
{
    if (t->policy != NULL) return policy_event(t, r, event);
    return t->preference != NULL ? preference_event(t, r, event) : 0;
}

static void add_rewards(const struct trainer *t, const struct policy_metrics *m, struct train_progress *p)
{
    p->has_reward = t->policy != NULL;
    if (!p->has_reward) return;
    p->reward = m->reward;
    p->reward_std = m->reward_std;
    p->equal_groups = (double)m->n_equal / (double)m->n_group;
    p->entropy = m->entropy;
    p->kl = m->n_weighed > 0 ? m->kl / (double)m->n_weighed : 0;
    p->clipped = m->n_weighed > 0 ? (double)m->n_clipped / (double)m->n_weighed : 0;
    p->answer_tokens = (double)m->n_token / (double)m->n_answer;
}

static int step_event(struct trainer *t, const struct step_result *r, double step_s, struct err *e)
{
    const struct checkpoint *s = &t->state;
    double left = (double)(t->plan.n_step - s->step) * s->seconds / (double)s->step;
    struct train_progress p = {.step = s->step,
                               .n_step = t->plan.n_step,
                               .lr = r->lr,
                               .loss = r->loss,
                               .grad_norm = r->grad_norm,
                               .epoch = (double)s->step / (double)t->plan.epoch_steps,
                               .tok_s = (double)r->n_tok / step_s,
                               .rows_s = (double)r->n_row / step_s,
                               .score = s->score,
                               .eta_s = left};
    json_t *event = json_pack("{s:s,s:I,s:f,s:f,s:f,s:f,s:I,s:f,s:f}", "event", "step", "step", (json_int_t)s->step,
                              "epoch", p.epoch, "lr", p.lr, "loss", p.loss, "grad_norm", p.grad_norm, "n_target",
                              (json_int_t)r->n_target, "tok_s", p.tok_s, "eta_s", p.eta_s);
    add_rewards(t, &r->policy, &p);
    int rc = method_event(t, r, event) != 0 ? err_set(e, ERR_NOMEM, NULL, "cannot note a step: out of memory") : 0;
    if (rc == 0)
        rc = run_dir_event(&t->dir, event, e);
    else
        json_decref(event);
    if (rc == 0 && t->rq->progress != NULL) t->rq->progress(t->rq->arg, &p);
    return rc;
}

static bool save_due(const struct trainer *t)
{
    uint64_t every = t->cfg->save_every > 0 ? (uint64_t)t->cfg->save_every : t->plan.n_step / CHECKPOINTS_A_RUN;
    return t->state.stopped || t->state.step == t->plan.n_step || t->state.step % (every > 0 ? every : 1) == 0;
}

static int one_step(struct trainer *t, struct err *e)
{
    struct checkpoint *s = &t->state;
    struct step_result r;
    double begin = clock_s();
    int rc = trainer_step(t, s->step, &r, e);
    if (rc != 0) return rc;
    double step_s = clock_s() - begin;
    s->step++;
    s->seconds += step_s;
    s->n_tok += r.n_tok;
    s->n_row += r.n_row;
    s->train_loss = r.loss;
    rc = step_event(t, &r, step_s, e);
    return rc != 0 ? rc : trainer_evaluate(t, e);
}

static int all_steps(struct trainer *t, struct err *e)
{
    struct checkpoint *s = &t->state;
    int rc = trainer_evaluate(t, e); /* of step 0; or what was interrupted */
    while (rc == 0 && s->step < t->plan.n_step && !s->stopped) {
        rc = one_step(t, e);
        /* answers were being sampled: for a step, whose state is that of the step before, or to evaluate it */
        if (rc == -ERR_INTERRUPTED && save_state(t, NULL) != 0)
            log_warn("cannot write a checkpoint of \"%s\": it goes on from the last one", t->dir.path);
        bool stop = rc == 0 && trainer_interrupted(t) && s->step < t->plan.n_step && !s->stopped;
        if (rc == 0 && (save_due(t) || stop)) rc = save_state(t, e);
        if (rc == 0 && stop)
            rc = err_set(e, ERR_INTERRUPTED, t->cfg->output,
                         "tuning was interrupted after step %llu of %llu (--resume %s goes on)",
                         (unsigned long long)s->step, (unsigned long long)t->plan.n_step, t->cfg->output);
    }
    return rc;
}

/* --- the end --- */

static void fill_result(const struct trainer *t, struct train_result *out)
{
    const struct checkpoint *s = &t->state;
    double seconds = s->seconds > 0 ? s->seconds : 1e-9;
    *out = (struct train_result){.rows = out->rows,
                                 .steps = s->step,
                                 .train_loss = s->train_loss,
                                 .seconds = s->seconds,
                                 .eval_seconds = s->eval_seconds,
                                 .score_seconds = s->score_seconds,
                                 .predicted_seconds = s->predicted_seconds,
                                 .predicted_peak_bytes = s->predicted_peak_bytes,
                                 .eval_loss = s->best != NULL ? s->best_loss : s->eval_loss,
                                 .score = s->best != NULL ? s->best_score : s->score,
                                 .tok_s = (double)s->n_tok / seconds,
                                 .rows_s = (double)s->n_row / seconds,
                                 .stopped_early = s->step < t->plan.n_step,
                                 .peak_rss_bytes = machine_peak_rss_bytes()};
}

static int finish(struct trainer *t, struct train_result *out, struct err *e)
{
    trainer_release(t);
    int rc = trainer_save_target(t, e);
    if (rc != 0) return rc;
    fill_result(t, out);
    json_t *event = json_pack(
        "{s:s,s:I,s:o,s:o,s:o,s:f,s:f,s:f,s:f,s:f,s:o,s:I,s:o,s:b}", "event", "done", "steps", (json_int_t)out->steps,
        "train_loss", json_finite(out->train_loss), "eval_loss", json_finite(out->eval_loss), "score",
        json_finite(out->score), "tok_s", out->tok_s, "rows_s", out->rows_s, "seconds", out->seconds, "eval_seconds",
        out->eval_seconds, "score_seconds", out->score_seconds, "predicted_seconds",
        json_finite(out->predicted_seconds), "peak_rss_bytes", (json_int_t)out->peak_rss_bytes, "predicted_peak_bytes",
        json_finite(out->predicted_peak_bytes), "stopped_early", (int)out->stopped_early);
    return run_dir_event(&t->dir, event, e);
}

static double number_of(const json_t *event, const char *key)
{
    const json_t *v = json_object_get(event, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

/* A run that has ended already: its result again. */
static bool take_done(const struct trainer *t, struct train_result *out)
{
    json_t *event = t->rq->resume ? run_dir_done(&t->dir) : NULL;
    if (event == NULL) return false;
    *out = (struct train_result){.rows = out->rows,
                                 .steps = (uint64_t)number_of(event, "steps"),
                                 .train_loss = number_of(event, "train_loss"),
                                 .eval_loss = number_of(event, "eval_loss"),
                                 .score = number_of(event, "score"),
                                 .tok_s = number_of(event, "tok_s"),
                                 .rows_s = number_of(event, "rows_s"),
                                 .seconds = number_of(event, "seconds"),
                                 .eval_seconds = number_of(event, "eval_seconds"),
                                 .score_seconds = number_of(event, "score_seconds"),
                                 .predicted_seconds = number_of(event, "predicted_seconds"),
                                 .predicted_peak_bytes = number_of(event, "predicted_peak_bytes"),
                                 .peak_rss_bytes = (uint64_t)number_of(event, "peak_rss_bytes"),
                                 .stopped_early = json_is_true(json_object_get(event, "stopped_early")),
                                 .was_complete = true};
    json_decref(event);
    return true;
}

int train_run(const struct train_request *rq, struct train_result *out, struct err *e)
{
    struct trainer t;
    if (!rq->resume && file_exists(rq->config->output))
        return err_set(e, ERR_CONFLICT, rq->config->output,
                       "cannot tune into \"%s\": it exists (--resume %s goes on with a run)", rq->config->output,
                       rq->config->output);
    int rc = trainer_setup(&t, rq, e);
    if (rc == 0) rc = open_dir(&t, e);
    if (rc != 0) goto out;
    out->rows = (struct train_door){t.rows.n_read, t.rows.n_refused, {0}};
    memcpy(out->rows.n_verdict, t.rows.n_verdict, sizeof(out->rows.n_verdict));
    if (take_done(&t, out)) goto out;
    if (rq->resume)
        rc = load_state(&t, e);
    else
        rc = preview_data(&t, e);
    if (rc == 0 && t.preference != NULL) rc = preference_measure(&t, e);
    if (rc == 0 && t.state.step == 0) rc = preview_run(&t, e);
    if (rc == 0) rc = all_steps(&t, e);
    if (rc == 0) rc = finish(&t, out, e);
out:
    trainer_deinit(&t);
    return rc;
}
