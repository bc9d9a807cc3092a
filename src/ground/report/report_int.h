/* Shared by the renderers. */
#ifndef REPORT_REPORT_INT_H
#define REPORT_REPORT_INT_H

#include <stdbool.h>

#include "ground/report/document.h"

/* "" when absent */
const char *block_str(const json_t *block, const char *key);
const json_t *block_list(const json_t *block, const char *key); /* NULL when absent */
double block_num(const json_t *v);

/* Inline SVG of an "intervals" or a "lines" block. */
int svg_intervals(const json_t *block, struct buf *out) MUST_CHECK;
int svg_lines(const json_t *block, struct buf *out) MUST_CHECK;

extern const char report_style[]; /* CSS */

#endif
