/* The rules of the decision as data: a CSV table that a company edits.
 *
 * Columns: rule (its name), decides (yes: it settles the matter by itself), favours (private, api, hybrid), weight
 * (points), when (a condition), text_en, text_zh, source. A condition is comparisons joined by "and", such groups by
 * "or": `team < 20 and engineers < 1`; left a fact, right a number, a fact, or a word (yes, no, public, internal,
 * secret). A fact that is not known makes its comparison unknown, and a rule that hangs on it is not fired. */
#ifndef PLAN_DECISION_RULES_H
#define PLAN_DECISION_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"

enum { MAX_DECISION_RULES = 200 };

/* id, name in conditions */
#define DECISION_FACTS(X)                 \
    X(DATA_CLASS, data_class)             \
    X(CALLS, calls_month)                 \
    X(TEAM, team)                         \
    X(USERS, users)                       \
    X(ENGINEERS, engineers)               \
    X(STAFF, staff_needed)                \
    X(CUSTOMIZE, customize)               \
    X(GENERIC, generic)                   \
    X(GAP, gap)                           \
    X(BUDGET, budget)                     \
    X(CAPEX, capex)                       \
    X(FITS, fits)                         \
    X(PRIVATE, private_monthly)           \
    X(API, api_monthly)                   \
    X(HYBRID, hybrid_monthly)             \
    X(PRIVATE_OVER_API, private_over_api) \
    X(HYBRID_OVER_API, hybrid_over_api)   \
    X(HYBRID_OVER_BEST, hybrid_over_best) \
    X(BREAK_EVEN, break_even_calls)       \
    X(CAPACITY, capacity_calls)
enum decision_fact {
#define X(id, name) FACT_##id,
    DECISION_FACTS(X)
#undef X
        N_FACT
};
extern const char *const decision_fact_name[N_FACT];

enum data_class { DATA_PUBLIC, DATA_INTERNAL, DATA_SECRET };
enum choice { CHOICE_PRIVATE, CHOICE_API, CHOICE_HYBRID, N_CHOICE };
extern const char *const choice_name[N_CHOICE];

struct decision_rule {
    char *id, *when, *en, *zh, *source;
    bool decides;
    enum choice favours;
    double weight;
};
struct decision_rules {
    struct decision_rule *item;
    size_t n;
};
/* From n bytes of CSV; name stands for the path in errors. Conditions are checked here. -ERR_INPUT names line and
 * column. Also after a failure decision_rules_free. */
int decision_rules_read(struct decision_rules *r, const char *name, const char *text, size_t n,
                        struct err *e) MUST_CHECK;
void decision_rules_free(struct decision_rules *r);
/* The rules in force: given (a CSV file), else catalog/rules.csv of the home, else those of the program. given and home
 * may be NULL. */
int decision_rules_open(struct decision_rules *r, const char *home, const char *given, struct err *e) MUST_CHECK;

enum rule_state { RULE_NOT_FIRED, RULE_FIRED, RULE_UNKNOWN };
/* facts: [N_FACT], NAN where one is not known; yes is 1, no is 0. */
enum rule_state decision_rule_state(const struct decision_rule *r, const double *facts);
/* Whether the rule's condition names the fact. */
bool decision_rule_uses(const struct decision_rule *r, enum decision_fact f);

#endif
