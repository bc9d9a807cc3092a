/* How long a model takes from nothing to its first token, with its file on the disk alone and with it in memory. */
#ifndef CLI_BENCH_START_H
#define CLI_BENCH_START_H

#include <jansson.h>

#include "doors/cli/cli.h"
#include "doors/cli/cli_engine.h"

/* Seconds of one start; NAN: it could not be measured. */
struct bench_start {
    double load_s;        /* until weights and tokenizer are there */
    double first_token_s; /* until the answer to a prompt of one token begins: loading, the engine and one step */
};

/* Load MODEL into x, make an engine and answer one token; x stays open for more, without its engine. cold: the pages of
 * its files leave the memory before; where they stay (other programs map them, a file system in memory) *out is NAN and
 * nothing is loaded. */
int bench_start_measure(struct cli_engine *x, const struct cli *c, const char *model, bool cold,
                        struct bench_start *out, struct err *e) MUST_CHECK;
/* {"cold": {"load_s","first_token_s"}, "warm": {...}}, null where a start was not measured. */
json_t *bench_start_json(const struct bench_start *cold, const struct bench_start *warm);
/* The same for people. */
void bench_start_print(const struct cli *c, const struct bench_start *cold, const struct bench_start *warm);

/* {"rss_bytes","file_bytes","kv_bytes","budget_bytes"}: what the process has in memory now, and what it should have at
 * most: 1.1 x the file, the pages of keys and values, and 100 MB. */
json_t *bench_memory_json(const struct cli_engine *x);
/* The same for people. */
void bench_memory_print(const struct cli *c, const json_t *memory);

#endif
