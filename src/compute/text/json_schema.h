/* JSON Schema (2020-12): whether a JSON value is as a schema says.
 *
 * Known: type enum const; properties required additionalProperties patternProperties propertyNames minProperties
 * maxProperties dependentRequired dependentSchemas; items prefixItems contains minContains maxContains minItems
 * maxItems uniqueItems; minLength maxLength pattern; minimum maximum exclusiveMinimum exclusiveMaximum multipleOf;
 * allOf anyOf oneOf not if then else; $ref to a place in the same schema ("#/$defs/x"), $defs, definitions; and what
 * only describes: title, description, default, examples ... A keyword that is not known is an error and never
 * ignored, and so is "format": a value that seems to be checked and is not would be worse. */
#ifndef TEXT_JSON_SCHEMA_H
#define TEXT_JSON_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

#include "ground/base/err.h"

struct json_schema;
/* Read a schema; where names it in errors. -ERR_INPUT names the place (a JSON pointer), the keyword and what is needed;
 * -ERR_UNSUPPORTED the keyword that is not known here. */
int json_schema_new(struct json_schema **out, const json_t *schema, const char *where, struct err *e) MUST_CHECK;
/* NULL is fine. */
void json_schema_free(struct json_schema *s);
/* *fits: v is as s says. -ERR_LIMIT: it cannot be told within the steps and the depth that are allowed (a schema that
 * refers to itself without end, a pattern that backtracks, very many items to be unique). */
int json_schema_check(const struct json_schema *s, const json_t *v, bool *fits, struct err *e) MUST_CHECK;

#endif
