/* Opening for embedding: an encoder is bound here, a generating model as for everything else. */
#include "doors/cli/cli_embedder.h"

#include "ground/base/mem.h"
#include "ground/base/str.h"

bool cli_is_encoder(const struct cli *c, const char *name)
{
    struct err e = {0};
    struct model_file *f = NULL;
    char *path = NULL;
    bool is = !cli_model_path(c, name, &path, &e) && !model_file_open(&f, path, &e) && model_file_is_encoder(f);
    model_file_close(f);
    mem_free(path);
    return is;
}

static enum pooling pooling_of(const char *name)
{
    return str_eq(name, "mean")   ? POOLING_MEAN
           : str_eq(name, "cls")  ? POOLING_CLS
           : str_eq(name, "last") ? POOLING_LAST
                                  : POOLING_NONE;
}

int cli_embedder_open(struct cli_embedder *x, const struct cli *c, struct dev *d, const char *name, const char *pooling,
                      struct err *e)
{
    struct embedder_source s = {0};
    *x = (struct cli_embedder){0};
    bool encoder = cli_is_encoder(c, name);
    int rc = cli_model_open(&x->model, c, encoder ? NULL : d, name, e);
    if (!rc) rc = cli_model_need_text(&x->model, "embed texts", e);
    if (!rc && encoder) rc = encoder_load(&x->encoder, d, x->model.file, e);
    if (!rc) rc = model_file_embedding(x->model.file, &s.params, e);
    if (!rc) {
        s.encoder = x->encoder;
        s.model = x->model.model;
        s.tok = x->model.tok;
        s.params.pooling = pooling ? pooling_of(pooling) : s.params.pooling;
        rc = embedder_new(&x->embedder, &s, e);
    }
    if (rc) cli_embedder_close(x);
    return rc;
}

void cli_embedder_close(struct cli_embedder *x)
{
    embedder_free(x->embedder);
    encoder_free(x->encoder);
    cli_model_close(&x->model);
    *x = (struct cli_embedder){0};
}
