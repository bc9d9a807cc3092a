/* A model that embeds texts, opened with all that it needs: what embed and serve run on. */
#ifndef CLI_CLI_EMBEDDER_H
#define CLI_CLI_EMBEDDER_H

#include "compute/engine/embedder.h"
#include "doors/cli/cli_model.h"

struct cli_embedder {
    struct cli_model model; /* file and tokenizer, the weights too where it generates */
    struct encoder *encoder;
    struct embedder *embedder;
};
/* pooling: "mean", "cls", "last", or NULL for what the file says. After a failure nothing is left open. */
int cli_embedder_open(struct cli_embedder *x, const struct cli *c, struct dev *d, const char *name, const char *pooling,
                      struct err *e) MUST_CHECK;
void cli_embedder_close(struct cli_embedder *x);
/* Whether MODEL is an encoder, which can do nothing but embed. False too when it cannot be opened. */
bool cli_is_encoder(const struct cli *c, const char *name);

#endif
