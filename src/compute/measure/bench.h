/* Speed of one model: prefill and decode through the engine, as users get it. Token ids are random; nothing is sampled
 * but the most likely token. */
#ifndef MEASURE_BENCH_H
#define MEASURE_BENCH_H

#include "compute/engine/engine.h"
#include "ground/base/err.h"

enum { BENCH_MAX_REPEAT = 100 };

/* Tokens a second of reading a prompt of n tokens: median of `repeat` runs after one that is not counted.
 * The engine must have no prefix cache. Looks at stop (may be NULL) between steps: -ERR_INTERRUPTED. */
int bench_prefill(struct engine *g, int n_vocab, int n, int repeat, bool (*stop)(void), double *tok_s,
                  struct err *e) MUST_CHECK;
/* Tokens a second of `batch` sequences together, each after a prompt of `context` tokens, over n tokens a sequence.
 * tok_bytes (may be NULL): weight bytes that were read a token, counted where experts are chosen. m: the engine's
 * model. */
int bench_decode(struct engine *g, const struct model *m, int batch, int context, int n, int repeat, bool (*stop)(void),
                 double *tok_s, double *tok_bytes, struct err *e) MUST_CHECK;

#endif
