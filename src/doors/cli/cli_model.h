/* A model as commands use it: the file, the weights, the tokenizer and the chat template, opened together. */
#ifndef CLI_CLI_MODEL_H
#define CLI_CLI_MODEL_H

#include <stdbool.h>

#include "compute/engine/engine.h"
#include "compute/formats/model_file.h"
#include "compute/model/adapter.h"
#include "compute/model/model.h"
#include "compute/text/chat_template.h"
#include "compute/text/tokenizer.h"
#include "doors/cli/cli.h"

struct cli_model {
    char *path;
    struct model_file *file;
    struct model *model;        /* NULL when opened without weights */
    struct tokenizer *tok;      /* NULL: the model has none, or one that cannot be used */
    struct chat_template *chat; /* likewise */
    struct err text_err;        /* code 0, or why the tokenizer or the template that the model has cannot be used */
    double load_s;
};

/* Open MODEL (a path or a registry name). d NULL: without weights. A tokenizer that is not supported, or a chat
 * template that cannot be used, is no error here: ids can still be given. Those who cannot do without ask with the
 * functions below. */
int cli_model_open(struct cli_model *m, const struct cli *c, struct dev *d, const char *name, struct err *e) MUST_CHECK;
void cli_model_close(struct cli_model *m);
/* The error that opening kept in text_err, if any: for commands that take a tokenizer or template where there is one.
 */
int cli_model_check_text(const struct cli_model *m, struct err *e) MUST_CHECK;
/* -ERR_UNSUPPORTED when the model has no tokenizer, or text_err; what names the use ("answer a text prompt"). */
int cli_model_need_text(const struct cli_model *m, const char *what, struct err *e) MUST_CHECK;
/* The same for a chat template. */
int cli_model_need_chat(const struct cli_model *m, const char *what, struct err *e) MUST_CHECK;

/* --adapter A[,scale=S][,name=N][,model=M][,check=no] taken apart; strings are to be freed with cli_adapter_deinit. */
struct cli_adapter {
    char *path, *name, *model; /* name, model: NULL when not given */
    float scale;
    bool merging;   /* it will be put into the weights */
    bool unchecked; /* whatever model and template it was tuned on */
};
/* -ERR_USAGE names the part that is not known. */
int cli_adapter_parse(struct cli_adapter *a, const char *text, struct err *e) MUST_CHECK;
void cli_adapter_deinit(struct cli_adapter *a);
/* Load one for a model, after a look at what it was tuned on (adapter_origin.h), and multiply its scale. The caller
 * frees *out with adapter_free. */
int cli_adapter_load(const struct cli *c, const struct cli_adapter *a, const struct cli_model *m, struct adapter **out,
                     struct err *e) MUST_CHECK;

#endif
