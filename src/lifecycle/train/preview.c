/* What a run says before its first step. Keeps nothing. */
#include "lifecycle/train/preview.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/sys/machine.h"
#include "lifecycle/train/policy.h"
#include "lifecycle/train/preference.h"
#include "lifecycle/train/sample.h"

enum { SAMPLE_MAX_BYTES = 1 << 16, NOTE_MAX_BYTES = 4096, N_BIN = 8, COUNT_ROWS = 2000000, PROBE_ONCE_S = 10 };

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot show the data: out of memory");
}

static void note(const struct trainer *t, const char *line)
{
    if (t->rq->note != NULL) t->rq->note(t->rq->arg, line);
}

/* --- refused rows --- */

int preview_save_refused(struct trainer *t, struct err *e)
{
    struct buf all;
    uint64_t n = t->rows.n_refused + t->eval_rows.n_refused;
    if (n == 0) return 0;
    buf_init(&all, SIZE_MAX / 2);
    char *path = path_join(t->cfg->output, "refused.jsonl");
    int rc = t->rows.refused.len > 0 ? buf_add(&all, t->rows.refused.data, t->rows.refused.len) : 0;
    if (rc == 0 && t->eval_rows.refused.len > 0)
        rc = buf_add(&all, t->eval_rows.refused.data, t->eval_rows.refused.len);
    rc = rc != 0 ? no_memory(e) : file_write_atomic(path, all.data, all.len, e);
    mem_free(path);
    buf_deinit(&all);
    return rc;
}

static void note_refused(const struct trainer *t, const struct train_rows *r, const char *path)
{
    char line[NOTE_MAX_BYTES], counts[512] = "";
    if (r->n_refused == 0) return;
    for (int v = 0; v < ROW_N_VERDICT; v++) {
        size_t n = strlen(counts);
        if (!row_verdict_is_refused((enum row_verdict)v) || r->n_verdict[v] == 0) continue;
        snprintf(counts + n, sizeof(counts) - n, "%s%llu %s", n > 0 ? ", " : "", (unsigned long long)r->n_verdict[v],
                 row_verdict_name((enum row_verdict)v));
    }
    snprintf(line, sizeof(line), "%s: %llu of %llu rows are refused (%s), listed in %s/refused.jsonl; the first: %s",
             path, (unsigned long long)r->n_refused, (unsigned long long)r->n_read, counts, t->cfg->output,
             r->first_refusal);
    note(t, line);
}

/* --- rows --- */

static void note_weights(const struct trainer *t, const struct train_rows *r, const char *path)
{
    char line[NOTE_MAX_BYTES];
    uint64_t n_zero = r->n_verdict[ROW_WEIGHT_ZERO];
    if (r->n_weighted == 0 && n_zero == 0) return;
    snprintf(line, sizeof(line), "%s: %llu rows have a weight other than 1, %llu of weight 0 are left out", path,
             (unsigned long long)r->n_weighted, (unsigned long long)n_zero);
    note(t, line);
}

static void note_rows(const struct trainer *t, const struct train_rows *r, const char *path)
{
    char line[NOTE_MAX_BYTES];
    int n = r->n_target > 0 ? snprintf(line, sizeof(line),
                                       "%s: %zu rows, %zu tokens, %llu (%.0f %%) of them trained, longest row %zu",
                                       path, r->n_row / r->unit, r->n_id, (unsigned long long)r->n_target,
                                       100.0 * (double)r->n_target / (double)r->n_id, r->longest)
                            /* prompts: their answers are yet to be sampled */
                            : snprintf(line, sizeof(line), "%s: %zu rows, %zu tokens, longest row %zu", path,
                                       r->n_row / r->unit, r->n_id, r->longest);
    if (r->n_verdict[ROW_TRUNCATED] > 0)
        n += snprintf(line + n, sizeof(line) - (size_t)n, "; %llu are cut at max_length",
                      (unsigned long long)r->n_verdict[ROW_TRUNCATED]);
    if (r->n_verdict[ROW_DUPLICATE_KEPT] > 0)
        n += snprintf(line + n, sizeof(line) - (size_t)n, "; %llu are duplicates",
                      (unsigned long long)r->n_verdict[ROW_DUPLICATE_KEPT]);
    if (r->n_open_turn > 0)
        snprintf(line + n, sizeof(line) - (size_t)n,
                 "; %llu answers without an end token: the model will not learn to stop",
                 (unsigned long long)r->n_open_turn);
    note(t, line);
    note_weights(t, r, path);
    note_refused(t, r, path);
}

/* Rows by length, in bins whose bounds double: "up to 64: 12 rows". */
static void note_lengths(const struct trainer *t, const struct train_rows *r)
{
    char line[NOTE_MAX_BYTES] = "lengths in tokens (rows):";
    size_t count[N_BIN] = {0}, top = r->longest, n = strlen(line);
    while (top & (top - 1)) top += top & -top; /* the next power of two */
    for (size_t i = 0; i < r->n_row; i++) {
        size_t bin = N_BIN - 1, bound = top;
        while (bin > 0 && train_row_len(r, i) <= bound / 2) {
            bound /= 2;
            bin--;
        }
        count[bin]++;
    }
    for (size_t bin = 0; bin < N_BIN; bin++) {
        size_t bound = top >> (N_BIN - 1 - bin);
        if (count[bin] == 0) continue;
        n += (size_t)snprintf(line + n, sizeof(line) - n, " <=%zu: %zu", bound, count[bin]);
    }
    note(t, line);
}

static int show_first(const struct trainer *t, struct err *e)
{
    static const char *const title[] = {"first row, trained parts in [[ ]]:", "its rejected answer:"};
    for (size_t i = 0; i < t->rows.unit; i++) {
        struct buf text;
        buf_init(&text, SAMPLE_MAX_BYTES);
        int rc = buf_printf(&text, "%s\n", title[i]);
        if (rc == 0) rc = sample_format(&t->rows, i, t->rq->tok, &text);
        if (rc == 0) note(t, text.data);
        buf_deinit(&text);
        if (rc != 0) return no_memory(e);
    }
    return 0;
}

int preview_data(struct trainer *t, struct err *e)
{
    if (t->rq->note == NULL) return 0;
    note_rows(t, &t->rows, t->cfg->data);
    if (t->cfg->eval_data != NULL) note_rows(t, &t->eval_rows, t->cfg->eval_data);
    note_lengths(t, &t->rows);
    return show_first(t, e);
}

/* --- what it will take --- */

/* Seconds of one forward and backward pass over the first micro-batch of the run, and the tokens that it computes. The
 * first pass meets cold memory, so the second one counts, unless the first took so long that this hardly matters. */
static int probe(struct trainer *t, double *seconds, size_t *n_tok, struct err *e)
{
    uint64_t epoch;
    size_t begin, end, most = (size_t)t->cfg->batch_size;
    train_step_rows(&t->plan, 0, &epoch, &begin, &end);
    train_order(t->cfg, 0, t->order, t->plan.n_row);
    t->epoch = 0;
    if (end - begin > most) end = begin + most;
    *seconds = 0;
    for (int i = 0; i < 2 && *seconds < PROBE_ONCE_S; i++) {
        packer_begin(&t->pack, t->order + begin, end - begin);
        if (!packer_next(&t->pack, 1.0)) return 0;
        double from = clock_s();
        int rc = tape_step(t->tape, &t->pack.batch, t->adapter, true, t->loss, NULL, e);
        if (rc != 0) return rc;
        *seconds = clock_s() - from;
        *n_tok = t->pack.n_id;
        if (trainer_interrupted(t))
            return err_set(e, ERR_INTERRUPTED, t->cfg->output,
                           "tuning was interrupted before its first step (--resume %s goes on)", t->cfg->output);
    }
    return 0;
}

/* Tokens that the whole run computes, what packing leaves of its steps (of the first ones where they are many). */
static double count_tokens(struct trainer *t)
{
    double n_tok = 0;
    size_t most = (size_t)t->cfg->batch_size;
    uint64_t counted = t->plan.n_step, most_steps = COUNT_ROWS / t->plan.step_rows + 1;
    if (counted > most_steps) counted = most_steps;
    for (uint64_t step = 0; step < counted; step++) {
        uint64_t epoch;
        size_t begin, end;
        train_step_rows(&t->plan, step, &epoch, &begin, &end);
        if (epoch != t->epoch) train_order(t->cfg, epoch, t->order, t->plan.n_row);
        t->epoch = epoch;
        for (size_t i = begin; i < end; i += most) {
            packer_begin(&t->pack, t->order + i, end - i < most ? end - i : most);
            while (packer_next(&t->pack, 1.0)) n_tok += (double)t->pack.n_id;
        }
    }
    return n_tok * (double)t->plan.n_step / (double)counted;
}

/* Passes that are forward only, over eval_data and over the rows on which KTO estimates the divergence, in tokens of a
 * step: about a third of its price. */
static double forward_tokens(const struct trainer *t)
{
    uint64_t every = (uint64_t)t->cfg->eval_every;
    double passes = 2 + (every > 0 ? (double)(t->plan.n_step / every) : 0), n_tok = 0;
    if (t->cfg->eval_data != NULL) n_tok = passes * (double)t->eval_rows.n_id;
    if (t->preference != NULL)
        n_tok += (double)t->preference->other_rows.n_id * (double)t->plan.n_step / (double)t->plan.epoch_steps;
    return n_tok / 3;
}

static void format_duration(double s, char *out, size_t size)
{
    unsigned long long whole = (unsigned long long)(s + 0.5);
    if (whole < 60)
        snprintf(out, size, "%llu s", whole);
    else if (whole < 3600)
        snprintf(out, size, "%llu:%02llu min", whole / 60, whole % 60);
    else
        snprintf(out, size, "%llu:%02llu h", whole / 3600, whole / 60 % 60);
}

/* Seconds of what follows the gradients of a step: their norm and the optimizer, which moves nothing here (no learning
 * rate, and gradients of zero), and whose state is zero again afterwards, as it is before the first step. */
static double probe_update(struct trainer *t)
{
    const struct checkpoint *s = &t->state;
    trainer_zero_grads(t);
    double from = clock_s();
    double norm = dev_sum_squares(t->dev, t->grads, t->n_param);
    optimizer_step(t->optimizer, t->params, t->grads, norm * 0, 0);
    trainer_updated(t);
    double seconds = clock_s() - from;
    dev_zero(t->dev, s->optimizer, s->n_optimizer);
    return seconds;
}

/* Seconds of all steps of GRPO: the first one's answers are sampled, and again when it comes to it. */
static int probe_policy(struct trainer *t, double *whole, struct err *e)
{
    uint64_t epoch;
    size_t begin, end;
    double seconds;
    train_step_rows(&t->plan, 0, &epoch, &begin, &end);
    train_order(t->cfg, 0, t->order, t->plan.n_row);
    t->epoch = 0;
    int rc = policy_probe(t, t->order + begin, end - begin, &seconds, e);
    if (rc == 0) *whole = (seconds + t->policy->opt->mu * probe_update(t)) * (double)t->plan.n_step;
    return rc;
}

static int probe_rows(struct trainer *t, double *whole, struct err *e)
{
    double seconds = 0;
    size_t n_tok = 1;
    int rc = probe(t, &seconds, &n_tok, e);
    if (rc == 0)
        *whole =
            seconds / (double)n_tok * (count_tokens(t) + forward_tokens(t)) + probe_update(t) * (double)t->plan.n_step;
    return rc;
}

static void say_cost(const struct trainer *t, double seconds, uint64_t peak)
{
    const struct policy *p = t->policy;
    char steps[128], line[320], duration[32], memory[32];
    format_duration(seconds, duration, sizeof(duration));
    str_format_bytes(peak, memory, sizeof(memory));
    snprintf(steps, sizeof(steps), "%llu steps", (unsigned long long)t->plan.n_step);
    if (p != NULL)
        snprintf(steps, sizeof(steps), "%llu steps, each with up to %zu answers of at most %d tokens,",
                 (unsigned long long)t->plan.n_step, p->cap_answer, p->opt->max_new_tokens);
    snprintf(line, sizeof(line), "%s will take about %s and %s of memory%s", steps, duration, memory,
             t->cfg->eval_cases != NULL ? ", beside the time of the answers to eval_cases" : "");
    note(t, line);
    if (p != NULL) note(t, "that is with answers as long as now, and without the time of a judge");
}

int preview_run(struct trainer *t, struct err *e)
{
    double seconds;
    int rc = t->policy != NULL ? probe_policy(t, &seconds, e) : probe_rows(t, &seconds, e);
    if (rc != 0) return rc;
    uint64_t peak = trainer_predict_peak(t);
    t->state.predicted_seconds = seconds;
    say_cost(t, seconds, peak);
    return run_dir_event(&t->dir,
                         json_pack("{s:s,s:I,s:f,s:I}", "event", "start", "steps", (json_int_t)t->plan.n_step,
                                   "predicted_seconds", seconds, "predicted_peak_bytes", (json_int_t)peak),
                         e);
}
