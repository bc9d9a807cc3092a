/* Whoever answers questions: a model in this process, or one behind an address. An interface only: rules, data and
 * train know no HTTP, so what asks over it is handed in by the command. */
#ifndef RULES_ASKER_H
#define RULES_ASKER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"

/* Where a model of an OpenAI-compatible API is. */
struct ask_place {
    const char *url;                /* base address, "http://127.0.0.1:8321/v1" */
    const char *model;              /* its name there */
    const char *key_env, *key_file; /* where the key is: a variable's name, a file's path; both NULL: none is needed */
    int timeout_s;                  /* to connect, and without an answer before an attempt is given up */
    int n_retry;                    /* after failures that may pass */
    int n_connection;               /* questions at once */
};

/* One question, and its answer. */
struct ask_call {
    const json_t *messages; /* borrowed */
    double temperature;     /* 0: the most likely tokens */
    double top_p;
    int max_tokens;
    uint64_t seed;
    /* --- the answer --- */
    int rc;         /* 0, or -ERR_* with err set */
    bool own_fault; /* it failed because of this question: others to the same model may succeed */
    bool truncated; /* it ended at max_tokens */
    char *text;     /* mem_free; NULL unless rc is 0 */
    struct err err;
};

struct asker {
    void *arg;
    /* Ask n questions; place NULL: the one that arg knows. Each call says how it went; what is returned is not 0 only
     * where nothing more can be asked at all: -ERR_INTERRUPTED, -ERR_NOMEM, a key or an address that cannot be used.
     * Returns in bounded time. Texts are the caller's even after an error. */
    int (*ask)(void *arg, const struct ask_place *place, struct ask_call *call, size_t n, struct err *e);
};

#endif
