/* Text laid out in the columns of a terminal. */
#ifndef BASE_WRAP_H
#define BASE_WRAP_H

#include "ground/base/attr.h"
#include "ground/base/buf.h"

enum { WRAP_LINE_COLUMNS = 80 };

/* Where the next character goes. */
struct wrap {
    struct buf *out;
    int column; /* of the line at hand */
    int indent; /* columns before the text of further lines */
};

/* Append text. Lines break at spaces and between wide characters, never before closing punctuation nor behind an
 * opening bracket, and not inside [ ] unless what stands there is longer than a line. -ERR_LIMIT, -ERR_NOMEM. */
int wrap_text(struct wrap *w, const char *text) MUST_CHECK;
/* Append text without breaking it, on a new line when it does not fit; a space at its front goes with the line. */
int wrap_piece(struct wrap *w, const char *text) MUST_CHECK;

#endif
