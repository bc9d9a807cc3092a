/* Splitting strings, as methods. */
#ifndef TEXT_JINJA_SPLIT_H
#define TEXT_JINJA_SPLIT_H

#include "compute/text/jinja/interp.h"

/* str.split(sep=None, maxsplit=-1) and str.rsplit. */
int method_split(struct interp *it, const struct value *self, const struct args *a, struct value *out);
int method_rsplit(struct interp *it, const struct value *self, const struct args *a, struct value *out);

#endif
