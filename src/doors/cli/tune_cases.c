/* Evaluations within a run. Owns the cases and an engine while they are answered: keys and values of an older adapter
 * are worth nothing, and training wants the memory back. What always holds: the weights are those that are being
 * trained on, so what is scored is the model of this moment and no copy of it. */
#include "doors/cli/tune_cases.h"

#include <math.h>

#include "doors/cli/eval_identity.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { MOST_AT_ONCE = 16, MAX_PROMPT_BYTES = 1 << 24 };

/* --- the cases --- */

int tune_cases_read(struct tune_cases *t, const struct cli *c, const struct param_set *fields, const char *path,
                    struct err *e)
{
    const char *choices = param_str(fields, "eval_choices");
    *t = (struct tune_cases){.c = c, .max_tokens = (int)param_int(fields, "eval_max_tokens")};
    if (path == NULL) return 0;
    t->choices = str_eq(choices, "listed")        ? CHOICES_LISTED
                 : str_eq(choices, "constrained") ? CHOICES_CONSTRAINED
                                                  : CHOICES_FREE;
    int rc = case_set_load(&t->cases, path, 0, e);
    if (rc == 0) rc = case_set_runnable(&t->cases, e);
    if (rc == 0 && t->choices != CHOICES_FREE && t->cases.labels == NULL)
        rc = err_set(e, ERR_USAGE, "eval_choices",
                     "cannot tune with eval_choices %s: not every case of \"%s\" is a classification", choices, path);
    return rc;
}

static int at_once(const struct tune_cases *t)
{
    return t->cases.n < MOST_AT_ONCE ? (int)t->cases.n : MOST_AT_ONCE;
}

/* Keys and values, and a row of logits for each. */
static uint64_t engine_bytes(const struct tune_cases *t)
{
    uint64_t pages = ((uint64_t)t->n_ctx + DEV_PAGE - 1) / DEV_PAGE;
    uint64_t logits = (uint64_t)model_params(t->model->model)->n_vocab * sizeof(float);
    return (uint64_t)at_once(t) * (pages * model_kv_page_bytes(t->model->model) + logits);
}

/* Tokens of the longest prompt. */
static int longest_prompt(const struct tune_cases *t, size_t *longest, struct err *e)
{
    struct buf text;
    int rc = 0;
    *longest = 0;
    buf_init(&text, MAX_PROMPT_BYTES);
    for (size_t i = 0; rc == 0 && i < t->cases.n; i++) {
        struct token_list ids = {0};
        rc = prompt_build(&t->prompt, &t->cases.item[i], &ids, &text, e);
        if (ids.n > *longest) *longest = ids.n;
        token_list_deinit(&ids);
    }
    buf_deinit(&text);
    return rc;
}

int tune_cases_bind(struct tune_cases *t, const struct cli *c, const struct cli_model *m, struct err *e)
{
    size_t longest;
    if (t->cases.n == 0) return 0;
    t->c = c;
    t->model = m;
    t->prompt = (struct prompt_builder){
        .tok = m->tok, .chat = m->chat, .labels = t->choices == CHOICES_FREE ? NULL : t->cases.labels};
    int rc = cli_model_check_text(m, e);
    if (rc == 0) rc = cli_model_need_text(m, "answer eval_cases", e);
    if (rc == 0) rc = prompt_builder_init(&t->prompt, t->choices, NULL, t->cases.item[0].lang, e);
    if (rc == 0) rc = longest_prompt(t, &longest, e);
    if (rc != 0) return rc;
    size_t trained = (size_t)model_params(m->model)->n_ctx_train, room = longest + (size_t)t->max_tokens + 1;
    t->n_ctx = (int)(trained > 1 && trained < room ? trained : room);
    t->bytes = engine_bytes(t);
    return 0;
}

void tune_cases_deinit(struct tune_cases *t)
{
    prompt_builder_deinit(&t->prompt);
    case_set_deinit(&t->cases);
    *t = (struct tune_cases){0};
}

/* --- an evaluation --- */

struct evaluation {
    struct cli_engine x; /* borrows the model */
    struct registry *registry;
    struct eval_options o;
    json_t *identity, *description;
};

static int start(struct evaluation *v, const struct tune_cases *t, const struct train_state *state, struct err *e)
{
    int batch = at_once(t);
    struct engine_options opt = {.n_ctx = t->n_ctx, .max_batch = batch, .prefix_cache = true};
    v->x.model = *t->model;
    int rc = engine_new(&v->x.engine, v->x.model.model, v->x.model.tok, &opt, e);
    v->o = (struct eval_options){.cases = &t->cases,
                                 .engine = v->x.engine,
                                 .tok = v->x.model.tok,
                                 .adapter = -1,
                                 .prompt = &t->prompt,
                                 .choices = t->choices,
                                 .max_tokens = t->max_tokens,
                                 .batch = batch,
                                 .dir = state->dir,
                                 .interrupted = cli_interrupted};
    sampling_init(&v->o.sampling);
    v->o.sampling.greedy = true;
    if (rc != 0 || state->adapter == NULL) return rc;
    v->o.adapter = engine_add_adapter(v->x.engine, state->adapter, e);
    return v->o.adapter < 0 ? v->o.adapter : 0;
}

/* What eval would say of itself; in place of files, the parameters of this moment. */
static int describe(struct evaluation *v, const struct tune_cases *t, const struct train_state *state, struct err *e)
{
    const struct cli *c = t->c;
    int rc = registry_open(&v->registry, c->home, e);
    if (rc == 0) rc = eval_identity(c, v->registry, &v->x, NULL, &v->o, &v->identity, e);
    if (rc == 0 && json_object_set_new(v->identity, "tuning",
                                       json_pack("{s:s,s:I,s:s}", "inputs", state->inputs, "step",
                                                 (json_int_t)state->step, "parameters", state->digest)) != 0)
        rc = err_set(e, ERR_NOMEM, NULL, "cannot describe the evaluation: out of memory");
    if (rc == 0) rc = eval_description(c, &v->x, v->x.model.path, NULL, NULL, &v->o, "tune", &v->description, e);
    v->o.identity = v->identity;
    v->o.description = v->description;
    return rc;
}

/* What an earlier attempt at this step left there goes on where its parameters were the same, and is discarded else. */
static int answer(struct evaluation *v, struct eval_result *r, struct err *e)
{
    bool reused;
    int rc = eval_run(&v->o, r, &reused, e);
    if (rc != -ERR_CONFLICT) return rc;
    eval_result_deinit(r);
    rc = file_remove_tree(v->o.dir, e);
    return rc != 0 ? rc : eval_run(&v->o, r, &reused, e);
}

int tune_cases_score(struct tune_cases *t, const struct train_state *state, struct train_score *out, struct err *e)
{
    struct evaluation v = {0};
    struct eval_result r = {0};
    int rc = start(&v, t, state, e);
    if (rc == 0) rc = describe(&v, t, state, e);
    if (rc == 0) rc = answer(&v, &r, e);
    const struct eval_summary *s = &r.sum;
    bool any = s->n_scored > 0;
    if (rc == 0)
        *out = (struct train_score){.n = s->n,
                                    .n_scored = s->n_scored,
                                    .value = any ? s->mean.mean : (double)NAN,
                                    .low = any ? s->accuracy.low : (double)NAN,
                                    .high = any ? s->accuracy.high : (double)NAN};
    eval_result_deinit(&r);
    engine_free(v.x.engine);
    registry_close(v.registry);
    json_decref(v.identity);
    json_decref(v.description);
    return rc;
}
