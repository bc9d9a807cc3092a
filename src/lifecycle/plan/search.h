/* Which model, in which type, on which hardware and how many of it: all points of the catalogue that carry a demand
 * within its targets, and why the others do not.
 *
 * Quality: accuracies of the company's own evaluations where there are any; of a model that was not evaluated its size
 * stands for it, in classes (each twice to three times the one before). Two models are compared by accuracy where both
 * have one, else by class. The front holds the points that no other beats in quality, cost and time of an answer at
 * once. */
#ifndef PLAN_SEARCH_H
#define PLAN_SEARCH_H

#include "lifecycle/plan/assess.h"
#include "lifecycle/plan/known_quality.h"

struct search_query {
    const struct catalogue *catalogue;
    struct plan_goal goal;
    struct demand demand;              /* tokens are those of goal */
    const char *hardware;              /* by any of its names: this hardware alone; NULL: all */
    const char *quant;                 /* a type alone; NULL: the usual ones of each hardware */
    double min_params_b, max_params_b; /* of models, in 1e9; max 0: no limit */
    double budget_cny;                 /* of the purchase; 0: no limit */
    const char *why; /* a model whose every refused type and hardware is told; NULL: the nearest miss of each model */
    const struct quality_book *book; /* NULL: nothing was evaluated */
    double min_accuracy;             /* models that were evaluated below are refused; 0: none */
    bool any_licence;                /* licences that forbid commercial use, too */
    double kv_bits;
    int max_cards; /* of a replica, at most 8 */
    struct cost_band in[N_COST];
    bool set[N_COST];
    enum compliance compliance;
    double data_class;
    bool rented;
};

enum refusal {
    REFUSED_MEMORY,  /* by this many GiB a card */
    REFUSED_CONTEXT, /* tokens of the model's context */
    REFUSED_TTFT,    /* seconds with one user alone */
    REFUSED_TPOT,    /* seconds with one user alone */
    REFUSED_LICENCE,
    REFUSED_ACCURACY, /* its own */
    REFUSED_PRICE,    /* no source has one */
    REFUSED_BUDGET    /* purchase in CNY */
};

struct search_point {
    const struct plan_model *model;
    const struct plan_quant *quant;
    const struct plan_hardware *hardware;
    int cards_per_replica, replicas;
    int quality_class;
    const struct known_quality *known; /* NULL: the class stands for it */
    double monthly_cny, capex_cny;
    double capacity_s, ttft_s, tpot_s; /* of a replica within the targets; times at the demand */
    double answer_s;
    bool on_front;
};
struct search_miss {
    const struct plan_model *model;
    const struct plan_quant *quant;
    const struct plan_hardware *hardware;
    int cards;
    enum refusal why;
    double value;  /* by refusal */
    double excess; /* how far beyond the limit, as a ratio: for the nearest miss */
};
struct search_result {
    struct search_point *point; /* cheapest first; of each model, type and hardware the cheapest number of cards */
    size_t n_point, n_front, n_tried;
    struct search_miss *miss; /* of each model without a point the nearest; of query.why all */
    size_t n_miss;
};
/* -ERR_USAGE: numbers out of range, an unknown type or hardware. */
int search_run(const struct search_query *q, struct search_result *out, struct err *e) MUST_CHECK;
void search_result_free(struct search_result *r);
/* 0 and up; its range in 1e9 parameters as text, "3-8B". */
int search_class_of(double quality_size);
void search_class_text(int quality_class, char *out, size_t size);

#endif
