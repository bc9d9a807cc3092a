/* The catalogue: models, hardware and API prices. Its rows are embedded in the program; CSV files in the home
 * (catalog/models.csv, hardware.csv, api_prices.csv) and a file or folder given go over them, row by row. */
#ifndef PLAN_CATALOGUE_H
#define PLAN_CATALOGUE_H

#include <stddef.h>

#include "ground/base/err.h"
#include "lifecycle/plan/rows.h"

struct catalogue {
    struct plan_model *model;
    struct plan_hardware *hardware;
    struct plan_price *price;
    size_t n_model, n_hardware, n_price;
    struct catalogue_text *text; /* private: what the rows' texts live in */
};
/* home NULL: without one; given NULL: nothing goes over it, else a CSV file (its columns say which table) or a folder.
 * A row goes over the row of the same name (id; provider and model). -ERR_INPUT names file, line and column. Also after
 * a failure catalogue_free. */
int catalogue_open(struct catalogue *c, const char *home, const char *given, struct err *e) MUST_CHECK;
void catalogue_free(struct catalogue *c);
/* By name (of models the one at Hugging Face, too), case ignored; NULL when absent. */
const struct plan_model *catalogue_model(const struct catalogue *c, const char *name);
const struct plan_hardware *catalogue_hardware(const struct catalogue *c, const char *id);
/* The newest price of a provider's model (provider NULL: any); NULL when absent. */
const struct plan_price *catalogue_price(const struct catalogue *c, const char *provider, const char *model);
/* The same, of hardware also by what people call it (hardware_name.h), with an error that offers the nearest names. */
int catalogue_need_model(const struct catalogue *c, const char *name, const struct plan_model **out,
                         struct err *e) MUST_CHECK;
int catalogue_need_hardware(const struct catalogue *c, const char *id, const struct plan_hardware **out,
                            struct err *e) MUST_CHECK;

#endif
