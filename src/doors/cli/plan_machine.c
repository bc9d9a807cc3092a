/* Measurements that the planner builds on. Owns nothing after a call: the model is loaded, timed and closed. */
#include "doors/cli/plan_machine.h"

#include <stdio.h>
#include <string.h>

#include "compute/measure/bench.h"
#include "compute/measure/floors.h"
#include "doors/cli/cli_engine.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/read_model.h"

enum { PROMPT = 256, ANSWER = 32, CONTEXT = 64, BATCH = 6, REPEAT = 3 };

int plan_measure_floors(const struct cli *c, struct plan_floors *out, struct err *e)
{
    struct floors f;
    int rc = floors_measure(&f, c->threads, c->isa, e);
    if (rc) return rc;
    *out = (struct plan_floors){f.read_gb_s, f.fp32_gflops, f.int8_gops, f.int4_int8_gops, f.bf16_gflops};
    return 0;
}

/* The type that most bytes of the layers' matrices have. */
static int main_type(const struct model_file *f, const struct plan_quant **out, struct err *e)
{
    uint64_t bytes[TENSOR_TYPE_COUNT] = {0};
    size_t best = 0;
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        if (strncmp(t->name, "blk.", 4) == 0 && t->n_dim >= 2) bytes[t->type] += t->n_bytes;
    }
    for (size_t i = 0; i < TENSOR_TYPE_COUNT; i++) best = bytes[i] > bytes[best] ? i : best;
    const char *name = tensor_type_info((enum tensor_type)best)->name;
    *out = plan_quant_find(name);
    return *out ? 0
                : err_set(e, ERR_UNSUPPORTED, name, "cannot plan with \"%s\": its weights are %s; known are %s",
                          model_file_path(f), name, plan_quant_names());
}

/* Lengths of the measurements; tiny models get what their context allows. */
struct lengths {
    int prompt, context, answer;
};

static struct lengths lengths_for(int trained)
{
    struct lengths n = {PROMPT, CONTEXT, ANSWER};
    if (trained > 1 && trained < PROMPT + ANSWER + 8) n = (struct lengths){trained / 2, trained / 4, trained / 4};
    n.context = n.context > 0 ? n.context : 1;
    n.answer = n.answer > 1 ? n.answer : 2;
    return n;
}

/* A few sequences together where there is memory for them: what one more of them adds to a step. */
static int start_engine(struct cli_engine *x, const struct lengths *n, int *batch, struct err *e)
{
    struct engine_options opt = {.n_ctx = n->prompt + n->answer + 8, .max_batch = BATCH};
    struct err none;
    opt.n_page = BATCH * ((n->context + n->answer) / DEV_PAGE + 1);
    *batch = BATCH;
    if (opt.n_page * DEV_PAGE >= opt.n_ctx && cli_engine_start(x, &opt, &none) == 0) return 0;
    opt.max_batch = *batch = 1;
    opt.n_page = 0;
    return cli_engine_start(x, &opt, e);
}

static int time_model(struct cli_engine *x, struct plan_measured *m, struct err *e)
{
    const struct model *model = x->model.model;
    struct lengths n = lengths_for(model_params(model)->n_ctx_train);
    struct plan_timing *t = &m->time;
    int batch, n_vocab = model_params(model)->n_vocab;
    t->n_prompt = n.prompt;
    t->context = n.context;
    int rc = start_engine(x, &n, &batch, e);
    if (rc == 0) rc = bench_prefill(x->engine, n_vocab, n.prompt, REPEAT, cli_interrupted, &t->prefill_tok_s, e);
    if (rc == 0)
        rc = bench_decode(x->engine, model, 1, n.context, n.answer, REPEAT, cli_interrupted, &t->decode_tok_s, NULL, e);
    if (rc || batch < 2) return rc;
    t->batch = batch;
    return bench_decode(x->engine, model, batch, n.context, n.answer / 2, REPEAT, cli_interrupted, &t->batch_tok_s,
                        NULL, e);
}

static int read_model(const struct cli_engine *x, const char *name, struct plan_measured *m, struct err *e)
{
    const struct model *model = x->model.model;
    plan_model_of_params(model_params(model), name, &m->model);
    snprintf(m->architecture, sizeof m->architecture, "%s", m->model.architecture);
    m->model.architecture = m->architecture;
    m->file_bytes = model_file_size(x->model.file);
    m->weights_bytes = model_weight_bytes(model);
    m->work = (struct plan_work){.weight_bytes = (double)m->weights_bytes,
                                 .step_bytes = (double)model_step_bytes(model),
                                 .layer_params = (double)model_n_layer_param(model),
                                 .head_params = (double)model_n_head_param(model)};
    return main_type(x->model.file, &m->quant, e);
}

int plan_measure_model(const struct cli *c, const char *name, bool timed, struct plan_measured *out, struct err *e)
{
    struct cli_engine x;
    *out = (struct plan_measured){0};
    int rc = cli_engine_load(&x, c, name, NULL, e);
    if (rc) return rc;
    rc = read_model(&x, path_base(name), out, e);
    if (rc == 0 && timed) rc = time_model(&x, out, e);
    cli_engine_close(&x);
    return rc;
}
