/* Building text piece by piece while remembering which bytes came from users. */
#ifndef TEXT_JINJA_TEXT_H
#define TEXT_JINJA_TEXT_H

#include "compute/text/jinja/value.h"

struct text {
    struct interp *it;
    char *s;
    uint8_t *mark; /* NULL while all n bytes are of one side */
    size_t n, cap;
    bool from_user; /* that side */
};
/* Empty. */
void text_init(struct text *t, struct interp *it);
/* Append; -ERR_* when a limit of the rendering is met. */
int text_add(struct text *t, const char *s, size_t n, bool from_user) MUST_CHECK;
/* The bytes of a string value with their origin. */
int text_add_value(struct text *t, const struct value *s) MUST_CHECK;
/* Bytes [from, from + n) of a string value. */
int text_add_part(struct text *t, const struct value *s, size_t from, size_t n) MUST_CHECK;
/* Text of the template. */
int text_add_str(struct text *t, const char *s) MUST_CHECK;
/* One character that stands for one that was at byte `at` of `like`, so of the same origin. */
int text_add_char(struct text *t, uint32_t cp, const struct value *like, size_t at) MUST_CHECK;
/* What was built, as a value (borrows the memory, which stays). */
struct value text_value(const struct text *t);
/* Whether byte i of a string came from a user. */
bool text_from_user(const struct value *s, size_t i);

/* str(v), repr(v), and JSON as json.dumps writes it. */
int text_add_display(struct text *t, const struct value *v) MUST_CHECK;
int text_add_repr(struct text *t, const struct value *v) MUST_CHECK;
struct json_style {
    bool ascii, sort_keys, multiline;
    struct value indent; /* string, when multiline */
    struct value item_separator, key_separator;
};
int text_add_json(struct text *t, const struct value *v, const struct json_style *style, int level) MUST_CHECK;
/* str(v) as a value: strings as they are. */
int val_to_string(struct interp *it, const struct value *v, struct value *out) MUST_CHECK;
/* repr of a float; out has 32 bytes. Returns the length. */
size_t float_repr(double f, char *out);

#endif
