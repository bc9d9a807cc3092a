/* A model and its engine for commands that run alone. Owns the order of making and freeing, and how an answer is
 * printed while it comes. What always holds: the engine goes before its model, the model before its device. */
#include "doors/cli/cli_engine.h"

#include <stdio.h>

int cli_engine_load(struct cli_engine *x, const struct cli *c, const char *model, const char *adapter, struct err *e)
{
    struct cli_adapter a = {0};
    *x = (struct cli_engine){0};
    int rc = adapter ? cli_adapter_parse(&a, adapter, e) : 0;
    if (!rc) rc = cli_device(c, &x->dev, e);
    if (!rc) rc = cli_model_open(&x->model, c, x->dev, model, e);
    if (!rc && adapter) rc = cli_adapter_load(c, &a, &x->model, &x->adapter, e);
    cli_adapter_deinit(&a);
    if (rc) cli_engine_close(x);
    return rc;
}

int cli_engine_start(struct cli_engine *x, const struct engine_options *opt, struct err *e)
{
    int rc = engine_new(&x->engine, x->model.model, x->model.tok, opt, e);
    if (!rc && x->adapter) {
        int idx = engine_add_adapter(x->engine, x->adapter, e);
        rc = idx < 0 ? idx : 0;
    }
    return rc;
}

void cli_engine_close(struct cli_engine *x)
{
    engine_free(x->engine);
    adapter_free(x->adapter);
    cli_model_close(&x->model);
    dev_free(x->dev);
    *x = (struct cli_engine){0};
}

int cli_engine_adapter(const struct cli_engine *x)
{
    return x->adapter ? 0 : -1;
}

int cli_engine_context(const struct cli_engine *x, int64_t wanted)
{
    int trained = model_params(x->model.model)->n_ctx_train;
    if (wanted > 0) return wanted > INT32_MAX ? INT32_MAX : (int)wanted;
    return trained > 1 && trained < 8192 ? trained : 8192;
}

int cli_engine_run(struct cli_engine *x, const struct sequence_request *r, struct sequence **out, struct err *e)
{
    struct sequence_result result;
    int rc = engine_submit(x->engine, r, out, e);
    while (!rc) {
        sequence_get(*out, &result);
        if (result.reason == FINISH_ERROR)
            rc = err_set(e, ERR_INTERNAL, NULL, "cannot go on with the answer after %zu tokens: it cannot be computed",
                         result.n_id);
        if (rc || result.reason != FINISH_NONE) break;
        if (cli_interrupted())
            rc = err_set(e, ERR_INTERRUPTED, NULL, "interrupted after %zu tokens of the answer", result.n_id);
        else
            rc = engine_step(x->engine, e);
        rc = rc > 0 ? 0 : rc;
    }
    if (rc) {
        sequence_release(x->engine, *out);
        *out = NULL;
    }
    return rc;
}

bool cli_stream_token(void *stream, struct sequence *s, int32_t id, enum finish_reason reason)
{
    struct cli_stream *shown = stream;
    struct sequence_result r;
    sequence_get(s, &r);
    shown->begun = true;
    if (r.text) {
        fwrite(r.text + shown->n_shown, 1, r.text_len - shown->n_shown, stdout);
        shown->n_shown = r.text_len;
    } else if (reason == FINISH_NONE) {
        printf(r.n_id > 1 ? " %d" : "%d", (int)id);
    }
    fflush(stdout);
    return true;
}
