/* Sentences on stdout, in the columns of a terminal. */
#ifndef CLI_PRINT_WRAPPED_H
#define CLI_PRINT_WRAPPED_H

#include "ground/base/attr.h"

/* As printf, with lines of more than 80 columns broken; what goes on stands two columns to the right of its line. At
 * most 4,000 bytes. */
void print_wrapped(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
