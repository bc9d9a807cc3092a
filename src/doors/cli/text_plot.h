/* Plots made of characters, for a terminal or a text file. */
#ifndef CLI_TEXT_PLOT_H
#define CLI_TEXT_PLOT_H

#include <jansson.h>
#include <stddef.h>

#include "ground/base/buf.h"

/* Up to three series [[x, y], ...] in one field of `width` x `height` characters with its bounds at the left and below;
 * drawn as *, + and o, a place that several share as #. Points that are not finite are left out; nothing is drawn
 * without a point. */
int text_plot(const json_t *const *series, size_t n, int width, int height, struct buf *out) MUST_CHECK;
/* The last values of y[n] as one row of at most `width` bars, of eight heights. out: 3 bytes a bar and one more. */
void text_bars(const double *y, size_t n, size_t width, char *out);

#endif
