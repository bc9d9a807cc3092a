/* Rules written in Lua 5.4, run where they can do no harm: no files, no system, no loading of code, no string patterns
 * (they can take years, uncounted), memory, instructions and time limited. Every text is judged in a fresh state, so
 * nothing that a rule leaves behind reaches the next one.
 *
 * A rule sees `answer` (text), `row` (the columns of its row), `n_tokens` and `truncated`, and returns a number, a
 * truth value, or nil: not applicable. re.match(text, pattern) searches with PCRE2: nil, or the match, then its groups.
 */
#ifndef RULES_SANDBOX_H
#define RULES_SANDBOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"

struct sandbox_input {
    const char *answer;
    size_t n;
    const json_t *row; /* an object, or NULL */
    size_t n_token;
    bool truncated;
};

/* Whether n bytes of code are a chunk (text only: no bytecode). where names the rule. -ERR_INPUT with line and reason.
 */
int sandbox_check(const char *code, size_t n, const char *where, struct err *e) MUST_CHECK;
/* Run it on one text; *applies false: it returned nil. -ERR_INPUT: it failed or returned something else; -ERR_LIMIT: it
 * used up its memory, instructions or time. */
int sandbox_run(const char *code, size_t n, const char *where, const struct sandbox_input *in, bool *applies,
                double *value, struct err *e) MUST_CHECK;

#endif
