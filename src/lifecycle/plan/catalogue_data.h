/* The catalogue as it was when the program was built: the CSV files of catalog/, byte for byte. */
#ifndef PLAN_CATALOGUE_DATA_H
#define PLAN_CATALOGUE_DATA_H

#include <stddef.h>

/* A file by its name ("models.csv"); NULL when there is none of that name. */
const char *catalogue_data(const char *file, size_t *n);

#endif
