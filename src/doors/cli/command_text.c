/* Parameter sets back to command lines. Owns nothing. What always holds: a shell that reads the text passes the same
 * values. */
#include "doors/cli/command_text.h"

#include <string.h>

#include "ground/base/str.h"
#include "ground/json/json.h"

static int add_quoted(struct buf *out, const char *s)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+";
    if (*s && strspn(s, safe) == strlen(s)) return buf_add_str(out, s);
    int rc = buf_add_char(out, '\'');
    for (; rc == 0 && *s; s++) rc = *s == '\'' ? buf_add_str(out, "'\\''") : buf_add_char(out, *s);
    return rc ? rc : buf_add_char(out, '\'');
}

static int add_flag(struct buf *out, const char *name)
{
    int rc = buf_add_str(out, " --");
    for (; rc == 0 && *name; name++) rc = buf_add_char(out, *name == '_' ? '-' : *name);
    return rc;
}

/* One JSON value as text of one argument; lists are joined by commas. */
static int value_text(const json_t *v, struct buf *text)
{
    int rc = 0;
    if (json_is_string(v)) return buf_add_str(text, json_string_value(v));
    if (!json_is_array(v)) return json_format(v, JSON_LINE, text);
    for (size_t i = 0; rc == 0 && i < json_array_size(v); i++) {
        if (i) rc = buf_add_char(text, ',');
        if (rc == 0) rc = value_text(json_array_get(v, i), text);
    }
    return rc;
}

static int add_value(struct buf *out, const struct param *p, const json_t *v)
{
    struct buf text;
    int rc = 0;
    if (json_is_boolean(v)) return json_is_true(v) ? add_flag(out, p->name) : 0;
    if (!(p->flags & (PARAM_POSITIONAL | PARAM_REST))) rc = add_flag(out, p->name);
    buf_init(&text, 1 << 20);
    if (rc == 0) rc = buf_add_char(out, ' ');
    if (rc == 0) rc = value_text(v, &text);
    if (rc == 0) rc = add_quoted(out, text.data);
    buf_deinit(&text);
    return rc;
}

int command_text(const char *name, const struct param *table, size_t n, const struct param_set *args, struct buf *out)
{
    json_t *values = param_to_json(args);
    int rc = values ? buf_printf(out, "tailor %s", name) : -ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const json_t *v = json_object_get(values, table[i].name);
        if (!v || !param_is_set(args, table[i].name)) continue;
        if (!json_is_array(v) || !(table[i].flags & (PARAM_REPEAT | PARAM_REST))) {
            rc = add_value(out, &table[i], v);
            continue;
        }
        for (size_t k = 0; rc == 0 && k < json_array_size(v); k++) rc = add_value(out, &table[i], json_array_get(v, k));
    }
    json_decref(values);
    return rc;
}
