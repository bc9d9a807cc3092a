/* One model with an engine of its own in this process: what generate, chat, perplexity and bench run on. */
#ifndef CLI_CLI_ENGINE_H
#define CLI_CLI_ENGINE_H

#include "compute/engine/engine.h"
#include "doors/cli/cli_model.h"

struct cli_engine {
    struct dev *dev;
    struct cli_model model;
    struct adapter *adapter; /* NULL: none */
    struct engine *engine;   /* NULL until cli_engine_start */
};

/* Load MODEL and, when adapter is not NULL, "A[,scale=S][,name=N]". After a failure nothing is left open. */
int cli_engine_load(struct cli_engine *x, const struct cli *c, const char *model, const char *adapter,
                    struct err *e) MUST_CHECK;
/* Make the engine; the adapter has index 0. The caller closes x when this fails. */
int cli_engine_start(struct cli_engine *x, const struct engine_options *opt, struct err *e) MUST_CHECK;
void cli_engine_close(struct cli_engine *x);
/* The index of the adapter for requests: 0, or -1 when there is none. */
int cli_engine_adapter(const struct cli_engine *x);
/* The longest context that makes sense: wanted, or what the model was trained for (at most 8192) when wanted is 0. */
int cli_engine_context(const struct cli_engine *x, int64_t wanted);

/* Run one request to its end, looking for interruption between steps (-ERR_INTERRUPTED). *out is released by the
 * caller. */
int cli_engine_run(struct cli_engine *x, const struct sequence_request *r, struct sequence **out,
                   struct err *e) MUST_CHECK;

/* Prints an answer on stdout as it comes: whole characters, or ids where there is no tokenizer. A sequence_fn. */
struct cli_stream {
    size_t n_shown; /* bytes of text that were printed */
    bool begun;     /* something was printed, or the answer is empty: its line wants an end */
};
bool cli_stream_token(void *stream, struct sequence *s, int32_t id, enum finish_reason reason);

#endif
