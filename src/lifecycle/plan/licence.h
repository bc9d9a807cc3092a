/* What licences say of training on a model's outputs: the table licences.csv of the catalogue, rows of the home's own
 * before it. A licence is known by its name as the catalogue, a model file ("apache-2.0") or a provider's terms
 * ("OpenAI terms") have it. It is a reading of texts, not legal advice: what it does not know is "unknown". */
#ifndef PLAN_LICENCE_H
#define PLAN_LICENCE_H

#include <stddef.h>

#include "ground/base/err.h"
#include "lifecycle/plan/catalogue.h"

enum licence_outputs {
    LICENCE_UNKNOWN,
    LICENCE_ALLOWS,
    LICENCE_CONDITIONS, /* allowed, and the text says under which condition */
    LICENCE_FORBIDS
};
/* "unknown", "yes", "conditions", "no": as the table has it. */
const char *licence_outputs_name(enum licence_outputs o);

struct licence_rule {
    enum licence_outputs outputs;
    char text_en[200], text_zh[200]; /* condition or reason; "" where there is none */
    char source[160];
};
/* What the table says of a licence (case ignored; UNKNOWN where it has no row). home NULL: the program's table alone.
 * -ERR_INPUT names file and line of a row that cannot be read. */
int licence_find(const char *home, const char *licence, struct licence_rule *out, struct err *e) MUST_CHECK;

/* The licence of a model by its name as people write it ("smollm2-135m-instruct-q4_0.gguf", "gpt-5.1"): of the
 * catalogue's model, or of the API's provider. Borrowed from the catalogue or written into room; NULL: not known. */
const char *licence_of_model(const struct catalogue *c, const char *name, char *room, size_t size);

#endif
