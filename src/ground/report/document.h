/* Reports as documents: a JSON list of blocks that knows nothing of models, rendered as HTML or Markdown.
 *
 * A document is {"title","lang","blocks":[...]}, lang "en" or "zh". Blocks:
 *   {"type":"verdict","state":"PASS|FAIL|INCONCLUSIVE|INVALID","label","title","text"}
 *   {"type":"heading","text"}   {"type":"text","text"}   {"type":"code","text"}
 *   {"type":"facts","rows":[[name,value],...]}
 *   {"type":"table","columns":[{"text","right":bool},...],"rows":[[text,...],...],"caption"}
 *   {"type":"intervals","rows":[{"label","value","low","high"},...],"min","max","mark","unit"}   values are fractions,
 *    shown times 100 with the unit behind them (" %"), and with a sign where min is below 0
 *   {"type":"lines","series":[{"label","points":[[x,y],...]},...],"x","y","marks"}   marks (may be
 *    left out): [{"x" or "y","label"},...], dashed lines with a name, drawn where they are within the plot
 *   {"type":"matrix","rows":[label,...],"columns":[label,...],"counts":[[n,...],...],"row_title","column_title"}
 *   {"type":"details","summary","open":bool,"blocks":[...]}
 * All texts are untrusted and come out as text: the HTML is one file without scripts and without outside requests. */
#ifndef REPORT_DOCUMENT_H
#define REPORT_DOCUMENT_H

#include <jansson.h>

#include "ground/base/buf.h"
#include "ground/base/err.h"

/* -ERR_INPUT names a block that is not of these forms; -ERR_LIMIT when out's maximum is met. */
int report_html(const json_t *doc, struct buf *out, struct err *e) MUST_CHECK;
int report_markdown(const json_t *doc, struct buf *out, struct err *e) MUST_CHECK;
/* A block of lines alone, as a whole SVG file. */
int report_svg_lines(const json_t *block, struct buf *out, struct err *e) MUST_CHECK;

/* Append s as HTML text, also fit for attribute values in double quotes. */
int html_text(struct buf *out, const char *s) MUST_CHECK;

#endif
