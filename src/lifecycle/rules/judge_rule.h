/* A reward that another model gives: its question about an answer, as messages, and what its reply says.
 *
 *   {"type": "judge", "url": "http://127.0.0.1:8321/v1", "model": "NAME", "question": "Is the answer polite? {prompt}"}
 *
 * beside "min" (0) and "max" (1), the numbers the judge may reply with, scaled to 0..1; "max_tokens" (256) of its
 * reply; "timeout_s" (60), "retries" (2), "connections" (4); "key_env" or "key_file": where the key is. {NAME} in the
 * question is a column of the row; a row without it is not judged. Asking is the caller's: this file knows no HTTP. */
#ifndef RULES_JUDGE_RULE_H
#define RULES_JUDGE_RULE_H

#include "lifecycle/rules/asker.h"
#include "lifecycle/rules/sandbox.h"

extern const char judge_rule_members[]; /* of its object, separated by spaces */

struct judge_rule;
/* Read the members of spec, which is borrowed until judge_rule_free. -ERR_INPUT, -ERR_USAGE name the member. */
int judge_rule_new(struct judge_rule **out, const json_t *spec, const char *where, struct err *e) MUST_CHECK;
/* NULL is fine. */
void judge_rule_free(struct judge_rule *j);
const struct ask_place *judge_rule_place(const struct judge_rule *j);

/* What the judge is asked about an answer: call->messages is a new reference, and how it replies is set, too. The
 * answer stands between marks that depend on it, since it may hold text that is meant for the judge. *applies false:
 * the row lacks a column, and there are no messages. -ERR_NOMEM. */
int judge_rule_ask(const struct judge_rule *j, const struct sandbox_input *in, struct ask_call *call, bool *applies,
                   struct err *e) MUST_CHECK;
/* What a reply says: a number from min to max (alone, or {"score": X}) becomes 0..1, yes and no are 1 and 0, n/a does
 * not apply. -ERR_INPUT: anything else. Thoughts in front of it (<think>...</think>) are left out. */
int judge_rule_value(const struct judge_rule *j, const char *reply, size_t n, bool *applies, double *value,
                     struct err *e) MUST_CHECK;

#endif
