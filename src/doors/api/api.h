/* The HTTP API: OpenAI-compatible chat completions over one or several engines, embeddings, health, models, metrics.
 *
 * GET /health, /v1/models, /v1/models/ID, /metrics; POST /v1/chat/completions, /v1/embeddings. Errors are JSON in
 * OpenAI's form. A parameter that changes the meaning of a request and is not there is refused with 400 by its name,
 * never ignored. */
#ifndef API_API_H
#define API_API_H

#include <stddef.h>

#include "compute/engine/embedder.h"
#include "compute/engine/engine.h"
#include "compute/text/chat_template.h"
#include "compute/text/tokenizer.h"
#include "ground/base/err.h"

struct api;

enum { API_NAME_MAX = 128, API_MAX_SERVED = 64 };

struct api_options {
    const char *host;
    int port;               /* 0: any free one */
    const char *const *key; /* accepted API keys, copied; n_key 0: none is asked for */
    size_t n_key;
    size_t max_body_bytes; /* 0: 16 MiB */
    int max_queue;         /* sequences that may wait for an engine before 429; 0: 256 */
};
/* Listen at once; until api_ready, /health and requests answer 503 "loading". */
int api_start(struct api **out, const struct api_options *opt, struct err *e) MUST_CHECK;
int api_port(const struct api *a);

/* Serve a model under a name; borrowed until api_stop. The API steps the engine from a thread of its own, and engines
 * of one API take turns, so they may share a device. chat may be NULL: then its requests are refused. */
struct api_model {
    const char *name;
    struct engine *engine;
    const struct tokenizer *tok;
    const struct chat_template *chat;
};
/* -ERR_USAGE when the name is taken, empty or too long. Before api_ready. */
int api_add_model(struct api *a, const struct api_model *m, struct err *e) MUST_CHECK;
/* Serve a model that embeds texts; borrowed until api_stop. It takes turns on the device with the engines. */
int api_add_embedder(struct api *a, const char *name, struct embedder *embedder, struct err *e) MUST_CHECK;
/* One more name for the model `base`, with an adapter (an index of its engine). Before api_ready. */
int api_add_adapter(struct api *a, const char *base, const char *name, int adapter, struct err *e) MUST_CHECK;
/* Start the engines and accept requests. */
int api_ready(struct api *a, struct err *e) MUST_CHECK;

/* Refuse new requests with 503 and wait until those that run are answered, at most drain_s. Answers that are not over
 * then are cut off: their clients are told (503, or an error event and [DONE] in a stream). Returns how many. */
int api_drain(struct api *a, double drain_s);
/* Cut off what is left, stop threads, free. NULL is fine. */
void api_stop(struct api *a);

/* API keys from a file: one a line, blank lines and lines that begin with # are skipped. Free each and the array with
 * mem_free. -ERR_INPUT when there is none. */
int api_keys_load(const char *path, char ***key, size_t *n, struct err *e) MUST_CHECK;

#endif
