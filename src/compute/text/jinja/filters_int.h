/* What the two files of filters share. */
#ifndef TEXT_JINJA_FILTERS_INT_H
#define TEXT_JINJA_FILTERS_INT_H

#include "compute/text/jinja/interp.h"

/* The head of a filter: v is what stands before the bar. */
#define FILTER(name) \
    static int filter_##name(struct interp *it, const struct value *v, const struct args *a, struct value *out)

/* The filters of filters_seq.c. */
const struct builtin *filter_find_sequence(const char *name, size_t n);

#endif
