/* Fuzz target: a JSON Schema and a value, one after the other in a text: {"schema": S, "value": V}. A schema that was
 * taken judges the value, and itself, twice alike; what cannot be told says why. */
#include <stdint.h>
#include <stdlib.h>

#include "compute/text/json_schema.h"
#include "ground/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void judge(const struct json_schema *s, const json_t *v)
{
    struct err e = {0}, again = {0};
    bool fits = false, fits_again = false;
    int rc = json_schema_check(s, v, &fits, &e);
    if (rc < 0 && (rc != -ERR_LIMIT || !e.msg[0])) abort();
    if (json_schema_check(s, v, &fits_again, &again) != rc || fits != fits_again) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct json_schema *s = NULL;
    struct err e = {0};
    json_t *both = NULL;
    if (json_parse((const char *)data, n, "fuzz", &both, &e) != 0) return 0;
    const json_t *schema = json_object_get(both, "schema"), *value = json_object_get(both, "value");
    if (schema != NULL) {
        int rc = json_schema_new(&s, schema, "schema", &e);
        if (rc < 0 && !e.msg[0]) abort();
        if (rc == 0 && value != NULL) judge(s, value);
        if (rc == 0) judge(s, schema);
        json_schema_free(s);
    }
    json_decref(both);
    return 0;
}
