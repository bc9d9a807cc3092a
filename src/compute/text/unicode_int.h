/* The shape of the generated tables; private to unicode.c, normal_form.c and the tables. */
#ifndef TEXT_UNICODE_INT_H
#define TEXT_UNICODE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unicode_run {
    uint32_t first, last, step;
    int32_t distance;
};
struct unicode_special {
    uint32_t cp;
    uint32_t to[3][3]; /* lower, title, upper; zero-padded */
};

enum { UNICODE_LEAF = 96, UNICODE_MID = 64 };
extern const char unicode_table_version[];
extern const char unicode_leaf[][UNICODE_LEAF + 1];
extern const uint16_t unicode_mid[][UNICODE_MID];
extern const uint8_t unicode_top[];
extern const uint32_t unicode_cased[], unicode_ignorable[], unicode_uppercase[], unicode_lowercase[], unicode_unsure[],
    unicode_han[];
extern const size_t unicode_cased_n, unicode_ignorable_n, unicode_uppercase_n, unicode_lowercase_n, unicode_unsure_n,
    unicode_han_n;
extern const struct unicode_run unicode_to_upper[], unicode_to_lower[], unicode_to_title[];
extern const size_t unicode_to_upper_n, unicode_to_lower_n, unicode_to_title_n;
extern const struct unicode_special unicode_special[];
extern const size_t unicode_special_n;
extern const uint64_t unicode_combining[], unicode_decomposed[];
extern const uint16_t unicode_composed[];
extern const size_t unicode_combining_n, unicode_decomposed_n, unicode_composed_n;

/* Whether cp lies behind an odd number of the n ascending edges. */
bool unicode_between_edges(const uint32_t *edge, size_t n, uint32_t cp);

#endif
