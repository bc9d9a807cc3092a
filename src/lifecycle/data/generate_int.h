/* Private to data/: the directory of a generation. */
#ifndef DATA_GENERATE_INT_H
#define DATA_GENERATE_INT_H

#include "ground/base/buf.h"
#include "lifecycle/data/generate.h"

/* answers.jsonl, open for appending. */
struct generate_journal {
    int fd;
    char *path;
};

/* What a directory holds. */
enum generate_state { GENERATE_NEW, GENERATE_RUNNING, GENERATE_DONE };

/* Make the directory, or look at what it holds: -ERR_CONFLICT unless it is nothing or this same generation. A new one
 * gets a manifest in state "running". */
int generate_dir_open(const struct generate_options *o, const json_t *identity, enum generate_state *state,
                      struct err *e) MUST_CHECK;
/* Open the journal and hand each of its whole lines, in order, to take. A line that a crash tore is cut off. */
int generate_journal_open(struct generate_journal *j, const char *dir,
                          int (*take)(void *arg, json_t *record, struct err *e), void *arg, struct err *e) MUST_CHECK;
/* Append lines; durable when it returns 0. */
int generate_journal_add(struct generate_journal *j, const struct buf *lines, struct err *e) MUST_CHECK;
void generate_journal_close(struct generate_journal *j);
/* train.jsonl and refused.jsonl from the journal, then the manifest in state "done". */
int generate_finish(const struct generate_options *o, const json_t *identity, const struct generate_result *r,
                    struct err *e) MUST_CHECK;
/* The counts of a finished manifest. */
int generate_counts_read(const char *dir, struct generate_result *out, struct err *e) MUST_CHECK;

#endif
