/* The decision: private, API or hybrid, by rules and money, with the reasons and how sure it is.
 *
 * A rule that decides settles the matter, apart from money. The others give points to what they favour; the most points
 * win. Confidence is the share of draws of the cost inputs (each from its band) in which the same choice comes out. */
#ifndef PLAN_DECISION_H
#define PLAN_DECISION_H

#include <stdint.h>

#include "lifecycle/plan/cost.h"
#include "lifecycle/plan/decision_rules.h"

enum { DECISION_DRAWS = 500 };

struct decision {
    enum choice choice;
    double score[N_CHOICE];
    int decided_by;   /* index of the rule that decides; -1: points */
    bool contradicts; /* what was decided is not possible: nothing fits */
    enum rule_state state[MAX_DECISION_RULES];
};
/* facts: [N_FACT], NAN where one is not known. */
void decide(const struct decision_rules *r, const double facts[N_FACT], struct decision *out);

/* What a decision is made for. facts: what is known beside money, NAN elsewhere; money's facts are filled in. */
struct decision_case {
    const struct decision_rules *rules;
    const struct cost_setup *setup;
    const struct cost_band *in; /* [N_COST] */
    double facts[N_FACT];
    bool has_api; /* there is a price to compare with */
    uint64_t seed;
};
/* Facts of money for one vector of inputs. */
void decision_money(const struct decision_case *c, const double v[N_COST], double facts[N_FACT]);
/* With the expected inputs. */
void decision_expected(const struct decision_case *c, struct decision *out);
/* Share of draws with the same choice. 1 where a rule decides. */
double decision_confidence(const struct decision_case *c, enum choice choice);
/* Rules that would change the choice if they were fired (or were not): their indexes; returns how many. */
int decision_changers(const struct decision_case *c, const struct decision *d, int out[MAX_DECISION_RULES]);

/* The seed's three sizes of company. */
enum tier { TIER_TEAM, TIER_COMPANY, TIER_PRODUCTION, N_TIER };
struct tier_info {
    const char *key, *en, *zh;
    int max_people;          /* 0: no limit */
    const char *hardware[2]; /* ids of the catalogue that the seed names for it; NULL: none */
    int count[2];
    const char *hardware_en, *hardware_zh;
};
extern const struct tier_info tier_info[N_TIER];
/* By the people who use it; where that is not known (0) by the conversations at a time, one for five people. */
enum tier tier_of(double team, double users);

#endif
