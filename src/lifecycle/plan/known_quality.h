/* What the company has evaluated itself: accuracies of finished evaluations that the home's registry knows, by model of
 * the catalogue. They stand for quality where they are; elsewhere the size of a model does (search.h). */
#ifndef PLAN_KNOWN_QUALITY_H
#define PLAN_KNOWN_QUALITY_H

#include "lifecycle/plan/catalogue.h"

struct known_quality {
    const struct plan_model *model;     /* of the catalogue */
    double accuracy, low, high;         /* 95 % interval */
    long long n;                        /* cases */
    char run[512], file[256], time[32]; /* directory; what was evaluated; when */
    bool tuned;                         /* with an adapter */
};
/* Accuracies on one set of cases: only those can be compared. The set of the newest evaluation counts. */
struct quality_book {
    struct known_quality *of; /* the best of each model */
    size_t n;
    size_t n_unknown; /* evaluations of models that are no row of the catalogue, or not clearly one */
    char cases[256];  /* path of the cases */
};
/* home without a registry: an empty book. A run that cannot be read, is not finished or was cut short (--limit) is left
 * out. Points into the catalogue. -ERR_* of the registry alone. */
int quality_book_open(struct quality_book *b, const char *home, const struct catalogue *c, struct err *e) MUST_CHECK;
void quality_book_close(struct quality_book *b);
/* NULL: not evaluated. */
const struct known_quality *quality_of(const struct quality_book *b, const struct plan_model *m);

/* The row that a model is: of the dimensions of its file, where it is there, and by its name or the file's among
 * several; NULL: none, or not clear. */
const struct plan_model *quality_row_of(const struct catalogue *c, const char *name, const char *path);

#endif
