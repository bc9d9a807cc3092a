/* An earlier result of `bench --json`, and by how much today's rows differ from it. */
#ifndef CLI_BENCH_EARLIER_H
#define CLI_BENCH_EARLIER_H

#include <jansson.h>

#include "ground/base/err.h"

/* Read a result: an object with "prefill" and "decode", or one that holds such an object as "tailor" (the files of
 * bench/results). -ERR_INPUT for anything else. Caller frees with json_decref. */
int bench_earlier_read(const char *path, json_t **out, struct err *e) MUST_CHECK;
/* Where the earlier result has the row of the same n, or batch and context: adds "earlier_tok_s" and "change" (0.1: a
 * tenth faster) to today's row. part: "prefill" or "decode". earlier may be NULL. */
void bench_earlier_compare(const json_t *earlier, const char *part, json_t *row);

#endif
