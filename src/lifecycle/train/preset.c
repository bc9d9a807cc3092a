/* Choices of a preset. Owns the rules and where their numbers come from; keeps nothing. What always holds: a field that
 * was given is never touched, and a choice is a function of the facts alone.
 *
 * Learning rate: 5e-4 * (2000 / width)^0.78, the exponent that Schulman et al. 2025 ("LoRA without regret") fitted for
 * Llama; at the width 576 it gives the 1e-3 with which SmolLM2 learned 77 intents to 88 % in one epoch. Losses that
 * compare answers move the model by far smaller steps: a twentieth (DPO, KTO), a third (ORPO, which holds an SFT loss).
 * Epochs: data is shown until about 3,000 rows were seen, but not more than 5 times. Rows a step: so many that the run
 * has about 100 steps, 4 to 32 of them (larger steps cost adapters quality; same source). Rank: what the rows can
 * fill. */
#include "lifecycle/train/preset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/model/tape.h"
#include "ground/base/str.h"
#include "lifecycle/data/row_file.h"
#include "lifecycle/train/pack.h"

enum { SAY_SIZE = 240, STEPS_WANTED = 100, EVALS_WANTED = 10, LEAST_BUDGET = 64 };

/* What a preset may choose, and what tells that somebody has chosen already. */
static const char *const chosen[] = {"adapter",   "rank",         "alpha",       "use_rslora", "target_modules",
                                     "lr",        "adapter_init", "schedule",    "min_lr",     "epochs",
                                     "max_steps", "batch_size",   "grad_accum",  "betas",      "eps",
                                     "optimizer", "warmup_steps", "weight_decay"};

bool preset_wanted(const struct param_set *fields)
{
    const char *said = param_str(fields, "preset");
    if (!str_eq(said, "auto")) return str_eq(said, "on");
    for (size_t i = 0; i < N_ELEM(chosen); i++)
        if (param_is_set(fields, chosen[i])) return false;
    return true;
}

/* --- facts --- */

static void look_at_row(struct preset_facts *f, const json_t *row)
{
    f->has_pairs = json_object_get(row, "chosen") != NULL && json_object_get(row, "rejected") != NULL;
    f->has_labels = json_is_boolean(json_object_get(row, "label"));
}

static int count_rows(struct preset_facts *f, const char *path, struct err *e)
{
    struct row_file r;
    json_t *row;
    int rc = row_file_open(&r, path, e);
    while (rc == 0) {
        int got = row_file_next(&r, &row, e);
        bool refused = (got == -ERR_INPUT || got == -ERR_LIMIT) && !r.is_broken;
        if (refused) continue; /* the door says so when the rows are read */
        if (got <= 0) {
            rc = got;
            break;
        }
        if (f->n_row++ == 0) look_at_row(f, row);
        json_decref(row);
    }
    row_file_close(&r);
    return rc;
}

static uint64_t count_params(const struct model_file *file)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < model_file_n_tensor(file); i++) {
        const struct tensor_info *t = model_file_tensor(file, i);
        uint64_t n = 1;
        for (int k = 0; k < t->n_dim; k++) n *= t->shape[k];
        sum += n;
    }
    return sum;
}

int preset_look(struct preset_facts *f, const struct model_file *file, const struct model *m, const char *data,
                struct err *e)
{
    const struct tensor_info *w = model_file_find(file, "blk.0.attn_q.weight");
    *f = (struct preset_facts){.n_param = count_params(file), .n_embd = model_params(m)->n_embd};
    f->is_quantized = w != NULL && tensor_type_info(w->type)->block_len > 1;
    return count_rows(f, data, e);
}

/* --- choosing --- */

struct choice {
    struct param_set *fields;
    const struct preset_facts *f;
    void (*say)(void *arg, const char *line);
    void *arg;
};

static int choose(const struct choice *c, const char *name, const char *value, struct err *e)
{
    return param_is_set(c->fields, name) ? 0 : param_set_text(c->fields, name, value, e);
}

static int choose_int(const struct choice *c, const char *name, uint64_t value, struct err *e)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return choose(c, name, text, e);
}

static unsigned long long rows_of(const struct choice *c)
{
    return (unsigned long long)c->f->n_row;
}

static int choose_method(const struct choice *c, struct err *e)
{
    char line[SAY_SIZE];
    if (param_is_set(c->fields, "method")) return 0;
    const char *method = c->f->has_pairs ? "dpo" : c->f->has_labels ? "kto" : "sft";
    const char *why = c->f->has_pairs    ? "the rows hold a chosen and a rejected answer"
                      : c->f->has_labels ? "the rows hold answers with a label, good or bad"
                                         : "the rows hold answers";
    snprintf(line, sizeof(line), "method %s: %s", method, why);
    c->say(c->arg, line);
    return choose(c, "method", method, e);
}

static int choose_adapter(const struct choice *c, struct err *e)
{
    if (param_is_set(c->fields, "adapter_init")) return 0; /* its shape is settled when it is read */
    if (!param_is_set(c->fields, "adapter"))
        c->say(c->arg, c->f->is_quantized
                           ? "adapter qlora: the base is quantized, and stays as it is served"
                           : "adapter lora: the base stays as it is, the result is small and can be taken off");
    return choose(c, "adapter", c->f->is_quantized ? "qlora" : "lora", e);
}

static int choose_rank(const struct choice *c, struct err *e)
{
    char line[SAY_SIZE];
    bool given = param_is_set(c->fields, "rank");
    if (param_is_set(c->fields, "adapter_init") || str_eq(param_str(c->fields, "adapter"), "full")) return 0;
    int rc = choose_int(c, "rank", c->f->n_row < 500 ? 8 : c->f->n_row <= 20000 ? 16 : 32, e);
    uint64_t rank = (uint64_t)param_int(c->fields, "rank");
    if (rc == 0) rc = choose_int(c, "alpha", 2 * rank, e);
    snprintf(line, sizeof(line), "rank %llu, alpha %g: %llu rows fill no larger one", (unsigned long long)rank,
             param_float(c->fields, "alpha"), rows_of(c));
    if (!given) c->say(c->arg, line);
    return rc;
}

/* To 1, 2, 3, 5 or 7 times a power of ten. */
static double round_rate(double x)
{
    static const double step[] = {1, 2, 3, 5, 7, 10};
    double unit = pow(10, floor(log10(x))), best = step[0];
    for (size_t i = 1; i < N_ELEM(step); i++)
        if (fabs(log(x / (step[i] * unit))) < fabs(log(x / (best * unit)))) best = step[i];
    return best * unit;
}

static double rate_of(const struct choice *c)
{
    const char *method = param_str(c->fields, "method"), *adapter = param_str(c->fields, "adapter");
    double lr = 5e-4 * pow(2000.0 / c->f->n_embd, 0.78);
    if (str_eq(adapter, "full")) lr /= 10;
    if (str_eq(param_str(c->fields, "optimizer"), "lion")) lr /= 10;
    if (str_eq(method, "orpo")) return round_rate(lr / 3);
    return round_rate(str_eq(method, "sft") ? lr : lr / 20);
}

static int choose_rate(const struct choice *c, struct err *e)
{
    char line[SAY_SIZE], text[32];
    if (param_is_set(c->fields, "lr")) return 0;
    snprintf(text, sizeof(text), "%.3g", rate_of(c));
    int rc = choose(c, "lr", text, e);
    snprintf(line, sizeof(line), "lr %s: for %s on a model of %.0f M parameters, %d wide", text,
             param_str(c->fields, "method"), (double)c->f->n_param / 1e6, c->f->n_embd);
    c->say(c->arg, line);
    return rc;
}

static uint64_t epochs_of(uint64_t n_row)
{
    uint64_t n = n_row == 0 ? 1 : (3000 + n_row / 2) / n_row;
    return n < 1 ? 1 : n > 5 ? 5 : n;
}

/* Steps of the run as the fields stand. */
static uint64_t steps_of(const struct choice *c)
{
    if (param_is_set(c->fields, "max_steps")) return (uint64_t)param_int(c->fields, "max_steps");
    uint64_t rows = (uint64_t)(param_int(c->fields, "batch_size") * param_int(c->fields, "grad_accum"));
    return (uint64_t)param_int(c->fields, "epochs") * ((c->f->n_row + rows - 1) / rows);
}

static int choose_length(const struct choice *c, struct err *e)
{
    char line[SAY_SIZE];
    uint64_t epochs = str_eq(param_str(c->fields, "method"), "sft") ? epochs_of(c->f->n_row) : 1, rows = 4;
    int rc = param_is_set(c->fields, "max_steps") ? 0 : choose_int(c, "epochs", epochs, e);
    while (rows < 32 && c->f->n_row * epochs >= STEPS_WANTED * 2 * rows) rows *= 2;
    if (rc == 0) rc = choose_int(c, "batch_size", rows, e);
    uint64_t n_step = steps_of(c);
    if (rc == 0) rc = choose_int(c, "warmup_steps", n_step / 20, e);
    snprintf(line, sizeof(line), "%lld rows a step, %llu steps, %lld of them to warm up: %llu rows of data",
             (long long)(param_int(c->fields, "batch_size") * param_int(c->fields, "grad_accum")),
             (unsigned long long)n_step, (long long)param_int(c->fields, "warmup_steps"), rows_of(c));
    c->say(c->arg, line);
    return rc;
}

static int choose_eval(const struct choice *c, struct err *e)
{
    char line[SAY_SIZE];
    if (!c->f->has_eval || param_is_set(c->fields, "eval_every")) return 0;
    uint64_t every = steps_of(c) / EVALS_WANTED;
    every = every > 0 ? every : 1;
    int rc = choose_int(c, "eval_every", every, e);
    if (rc == 0) rc = choose_int(c, "early_stop", 3, e);
    snprintf(line, sizeof(line), "eval_every %llu, early_stop %lld: eval_data is given, so the best adapter is kept",
             (unsigned long long)every, (long long)param_int(c->fields, "early_stop"));
    c->say(c->arg, line);
    return rc;
}

/* What the limit leaves of the adapter: its parameters, their gradients, two moments. */
static size_t tape_room(const struct choice *c, const struct model *m)
{
    uint64_t limit = c->f->limit_bytes, adapter = 0;
    if (!str_eq(param_str(c->fields, "adapter"), "full"))
        adapter = 4 * sizeof(float) * adapter_count(m, (int)param_int(c->fields, "rank"));
    return limit > adapter ? limit - adapter : limit > 0;
}

/* As many tokens at once as fit, computing layers again where that helps; the field's default where it fits. */
static int choose_budget(const struct choice *c, const struct model *m, struct err *e)
{
    char line[SAY_SIZE], limit[32];
    bool full = str_eq(param_str(c->fields, "adapter"), "full");
    struct tape_options o = {.max_tok = (int)param_int(c->fields, "token_budget"),
                             .max_segment = (int)packer_max_segment((size_t)param_int(c->fields, "batch_size")),
                             .rank = full ? 0 : (int)param_int(c->fields, "rank"),
                             .magnitudes = str_eq(param_str(c->fields, "adapter"), "dora"),
                             .max_bytes = tape_room(c, m)};
    if (o.max_bytes == 0 || param_is_set(c->fields, "token_budget") || tape_bytes(m, &o) <= o.max_bytes) return 0;
    o.n_recompute = str_eq(param_str(c->fields, "recompute"), "off") ? 0 : TAPE_ALL_LAYERS;
    int fit = tape_tokens_that_fit(m, &o);
    if (fit < LEAST_BUDGET || fit >= o.max_tok) return 0; /* what does not fit at all is said by who finds out */
    fit -= fit % LEAST_BUDGET;
    str_format_bytes(o.max_bytes, limit, sizeof(limit));
    snprintf(line, sizeof(line), "token_budget %d: more tokens at once do not fit in %s for the backward pass", fit,
             limit);
    c->say(c->arg, line);
    return choose_int(c, "token_budget", (uint64_t)fit, e);
}

static void say_nothing(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

int preset_fill(struct param_set *fields, const struct preset_facts *f, const struct model *m,
                void (*say)(void *arg, const char *line), void *arg, struct err *e)
{
    struct choice c = {.fields = fields, .f = f, .say = say != NULL ? say : say_nothing, .arg = arg};
    int rc = choose_method(&c, e);
    if (rc == 0) rc = choose_adapter(&c, e);
    if (rc == 0) rc = choose_rank(&c, e);
    if (rc == 0) rc = choose_rate(&c, e);
    if (rc == 0) rc = choose_length(&c, e);
    if (rc == 0) rc = choose_eval(&c, e);
    return rc == 0 && m != NULL ? choose_budget(&c, m, e) : rc;
}
