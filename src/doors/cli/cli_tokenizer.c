/* Tokenizers for commands that need nothing else of a model. */
#include "doors/cli/cli_tokenizer.h"

#include "compute/formats/model_file.h"
#include "ground/base/mem.h"

static int make(const struct model_file *f, struct tokenizer **out, struct err *e)
{
    struct vocab_source v;
    int rc = model_file_vocab(f, &v, e);
    if (rc) {
        return rc;
    }
    if (!v.model) {
        const char *path = model_file_path(f);
        return err_set(e, ERR_UNSUPPORTED, path, "cannot tokenize with \"%s\": it has no tokenizer", path);
    }
    rc = tokenizer_new(out, &v, e);
    return rc ? err_wrap(e, rc, "model \"%s\"", model_file_path(f)) : 0;
}

int cli_tokenizer_open(const struct cli *c, const char *model, struct tokenizer **out, struct err *e)
{
    char *path;
    struct model_file *f;
    int rc = cli_model_path(c, model, &path, e);
    if (rc) {
        return rc;
    }
    rc = model_file_open(&f, path, e);
    mem_free(path);
    if (rc) {
        return rc;
    }
    rc = make(f, out, e);
    model_file_close(f);
    return rc;
}
