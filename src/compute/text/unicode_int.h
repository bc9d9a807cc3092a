/* The shape of the generated tables; private to unicode.c and unicode_table.c. */
#ifndef TEXT_UNICODE_INT_H
#define TEXT_UNICODE_INT_H

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

extern const char unicode_table_version[];
extern const uint32_t unicode_letter[], unicode_number[], unicode_decimal[], unicode_printable[], unicode_cased[],
    unicode_ignorable[], unicode_uppercase[], unicode_lowercase[];
extern const size_t unicode_letter_n, unicode_number_n, unicode_decimal_n, unicode_printable_n, unicode_cased_n,
    unicode_ignorable_n, unicode_uppercase_n, unicode_lowercase_n;
extern const struct unicode_run unicode_to_upper[], unicode_to_lower[], unicode_to_title[];
extern const size_t unicode_to_upper_n, unicode_to_lower_n, unicode_to_title_n;
extern const struct unicode_special unicode_special[];
extern const size_t unicode_special_n;

#endif
