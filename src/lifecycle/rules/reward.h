/* Rewards: what an answer is worth, as declared rules whose results are numbers. A rule is a JSON object {"type", ...}
 * with "weight" (1; may be negative), "name" (the type) and members of its type:
 *
 *   exact normalized contains number choice   1 or 0 against "value", or the row's "column" ("answer"); matcher.h
 *   regex       1 when "pattern" is found; "whole": true: when all of the answer is it
 *   tags        1 when the answer is <a>...</a><b>...</b> for "tags": ["a", "b"], once each, in order, nothing outside
 *   length      1 when it has "min" to "max" of "unit" (words, chars, tokens); "slack" S: falls to 0 over S more or
 * less repetition  share of its runs of "n" (3) words that are not repeated json        1 when it is a JSON value;
 * "kind": object or array; "schema": as this JSON Schema says (json_schema.h) judge       what another model says of
 * it; judge_rule.h lua         what "code" returns; sandbox.h
 *
 * A rule may be not applicable to an answer (its column is missing, or nil from Lua). */
#ifndef RULES_REWARD_H
#define RULES_REWARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"
#include "lifecycle/rules/judge_rule.h"
#include "lifecycle/rules/sandbox.h"

struct reward;
/* where names the rule in errors ("rewards 2"). -ERR_USAGE names the member, its value and what would be right. */
int reward_new(struct reward **out, const json_t *spec, const char *where, struct err *e) MUST_CHECK;
/* Free a rule; NULL is fine. */
void reward_free(struct reward *r);
/* As it was declared. */
const char *reward_name(const struct reward *r);
double reward_weight(const struct reward *r);
/* Whether it reads columns of the row. */
const char *reward_column(const struct reward *r); /* NULL: none by name */

/* Of type judge: its question and its reply, for whoever can ask; else NULL. */
const struct judge_rule *reward_judge(const struct reward *r);

/* Judge an answer; *value is not weighted. -ERR_LIMIT, -ERR_INPUT: the rule cannot judge this answer; -ERR_UNSUPPORTED:
 * it is a judge. -ERR_NOMEM. */
int reward_apply(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                 struct err *e) MUST_CHECK;

#endif
