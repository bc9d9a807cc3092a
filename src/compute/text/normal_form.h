/* Canonical decomposition and composition (Unicode Standard Annex 15) over a list of characters. */
#ifndef TEXT_NORMAL_FORM_H
#define TEXT_NORMAL_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/attr.h"

/* A character, and the end of the bytes that it came from. Bytes that are no UTF-8 are BAD_BYTE | byte. */
struct origin_char {
    uint32_t cp, end;
};
#define BAD_BYTE 0x80000000u

/* A growing list; zero-initialise, deinit. */
struct char_list {
    struct origin_char *c;
    size_t n, cap;
};
int char_list_add(struct char_list *l, uint32_t cp, size_t end) MUST_CHECK;
void char_list_deinit(struct char_list *l);

/* Whether a text with this character may not be NFC as it stands (NFC_QC is no or maybe, or it combines). */
bool normal_form_unsure(uint32_t cp);
/* l in full canonical decomposition, marks in canonical order. -ERR_NOMEM. */
int normal_form_decompose(struct char_list *l) MUST_CHECK;
/* Primary composites put together; l must be decomposed. */
void normal_form_compose(struct char_list *l);

#endif
