/* Numbers in order, for medians and quantiles. */
#ifndef BASE_SORT_H
#define BASE_SORT_H

#include <stddef.h>

/* Sort v[n] in place, smallest first. No NaN: it has no place among numbers. */
void sort_doubles(double *v, size_t n);

#endif
