/* Owns nothing; an order of numbers alone. */
#include "ground/base/sort.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sort_doubles(double *v, size_t n)
{
    if (n) qsort(v, n, sizeof *v, by_value);
}
