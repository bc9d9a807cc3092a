/* YAML run files: libyaml's events fed into the table, and the values written as YAML. libyaml appears in this file
 * only. A file is one mapping of names to scalars or sequences of scalars, or of mappings where a parameter holds
 * objects; anchors, aliases, tags and further documents are refused, so nothing in a file can grow while it is read. */
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/param/param_int.h"

enum { OBJECT_DEPTH = 32 };

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    const char *path;
    struct param_set *set;
};

static unsigned long line_of(const struct reader *r)
{
    return (unsigned long)r->event.start_mark.line + 1;
}

static int next_event(struct reader *r, struct err *e)
{
    if (r->has_event) yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->parser, &r->event) != 0;
    if (r->has_event) return 0;
    const yaml_parser_t *p = &r->parser;
    bool reader = p->error == YAML_READER_ERROR; /* has an offset instead of a mark */
    return err_set(e, p->error == YAML_MEMORY_ERROR ? ERR_NOMEM : ERR_INPUT, r->path, "cannot read \"%s\": %s %lu: %s",
                   r->path, reader ? "byte" : "line",
                   reader ? (unsigned long)p->problem_offset : (unsigned long)p->problem_mark.line + 1,
                   p->problem ? p->problem : "not valid YAML");
}

static int refuse(const struct reader *r, const char *why, struct err *e)
{
    return err_set(e, ERR_INPUT, r->path, "cannot read \"%s\": line %lu: %s", r->path, line_of(r), why);
}

static int expect(struct reader *r, yaml_event_type_t type, const char *why, struct err *e)
{
    int rc = next_event(r, e);
    if (rc == 0 && r->event.type != type) rc = refuse(r, why, e);
    return rc;
}

/* The text of a scalar event; refuses what would need more than text. */
static int scalar_text(const struct reader *r, const char **text, bool *is_null, struct err *e)
{
    if (r->event.type != YAML_SCALAR_EVENT) return refuse(r, "a value must be a scalar or a sequence of scalars", e);
    if (r->event.data.scalar.anchor || r->event.data.scalar.tag)
        return refuse(r, "anchors and tags are not supported", e);
    *text = (const char *)r->event.data.scalar.value;
    if (strlen(*text) != r->event.data.scalar.length) return refuse(r, "a value holds a NUL character", e);
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    *is_null = plain && (!**text || str_eq(*text, "~") || str_eq(*text, "null"));
    return 0;
}

/* --- objects: what an event begins, as JSON --- */

static int read_json(struct reader *r, int depth, json_t **out, struct err *e);

/* The value of a scalar: what is not in quotes may be a number, a truth value or nothing. */
static int scalar_json(const struct reader *r, json_t **out, struct err *e)
{
    const char *text;
    bool is_null;
    int64_t integer;
    double number;
    int rc = scalar_text(r, &text, &is_null, e);
    if (rc) return rc;
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (is_null)
        *out = json_null();
    else if (plain && (str_eq(text, "true") || str_eq(text, "false")))
        *out = json_boolean(str_eq(text, "true"));
    else if (plain && str_to_i64(text, &integer))
        *out = json_integer(integer);
    else if (plain && str_to_double(text, &number))
        *out = json_finite(number);
    else
        *out = json_string(text);
    return *out ? 0 : refuse(r, "a text is not valid UTF-8", e);
}

static int read_json_list(struct reader *r, int depth, json_t *list, struct err *e)
{
    for (;;) {
        json_t *v = NULL;
        int rc = next_event(r, e);
        if (rc || r->event.type == YAML_SEQUENCE_END_EVENT) return rc;
        rc = read_json(r, depth, &v, e);
        if (rc) return rc;
        if (json_array_append_new(list, v))
            return err_set(e, ERR_NOMEM, r->path, "cannot read \"%s\": out of memory", r->path);
    }
}

static int read_json_members(struct reader *r, int depth, json_t *object, struct err *e)
{
    for (;;) {
        const char *name;
        json_t *v = NULL;
        bool is_null;
        int rc = next_event(r, e);
        if (rc || r->event.type == YAML_MAPPING_END_EVENT) return rc;
        rc = scalar_text(r, &name, &is_null, e);
        if (rc == 0 && json_object_get(object, name)) rc = refuse(r, "the same name is given twice", e);
        char *key = rc == 0 ? mem_strdup(name) : NULL;
        if (rc == 0) rc = next_event(r, e);
        if (rc == 0) rc = read_json(r, depth, &v, e);
        if (rc == 0 && json_object_set_new(object, key, v)) rc = refuse(r, "a name is not valid UTF-8", e);
        mem_free(key);
        if (rc) return rc;
    }
}

static int read_json(struct reader *r, int depth, json_t **out, struct err *e)
{
    bool list = r->event.type == YAML_SEQUENCE_START_EVENT;
    if (!list && r->event.type != YAML_MAPPING_START_EVENT) return scalar_json(r, out, e);
    if (depth == 0) return refuse(r, "it is nested too deeply", e);
    if (list ? r->event.data.sequence_start.anchor || r->event.data.sequence_start.tag
             : r->event.data.mapping_start.anchor || r->event.data.mapping_start.tag)
        return refuse(r, "anchors and tags are not supported", e);
    json_t *v = list ? json_array() : json_object();
    int rc = list ? read_json_list(r, depth - 1, v, e) : read_json_members(r, depth - 1, v, e);
    if (rc)
        json_decref(v);
    else
        *out = v;
    return rc;
}

static int read_object(struct reader *r, size_t idx, struct err *e)
{
    json_t *v = NULL;
    int rc = read_json(r, OBJECT_DEPTH, &v, e);
    if (rc == 0) rc = param_put_object(r->set, idx, v, false, e);
    json_decref(v);
    return rc;
}

/* Behind a sequence start: elements up to its end. */
static int read_sequence(struct reader *r, size_t idx, struct err *e)
{
    if (r->event.data.sequence_start.anchor || r->event.data.sequence_start.tag)
        return refuse(r, "anchors and tags are not supported", e);
    if (!param_is_list(&r->set->table[idx])) return refuse(r, "a sequence stands where one value is needed", e);
    param_put_empty(r->set, idx);
    for (;;) {
        const char *text;
        bool is_null;
        int rc = next_event(r, e);
        if (rc) return rc;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return 0;
        if (r->set->table[idx].flags & PARAM_OBJECTS) { /* what is no object is refused there */
            rc = read_object(r, idx, e);
            if (rc) return rc;
            continue;
        }
        rc = scalar_text(r, &text, &is_null, e);
        if (rc == 0) rc = param_put_text(r->set, idx, text, false, e);
        if (rc) return rc;
    }
}

static int read_value(struct reader *r, size_t idx, struct err *e)
{
    int rc = next_event(r, e);
    if (rc) return rc;
    if (r->event.type == YAML_SEQUENCE_START_EVENT) return read_sequence(r, idx, e);
    const char *text;
    bool is_null;
    rc = scalar_text(r, &text, &is_null, e);
    if (rc || is_null) /* null: as if it were not there */
        return rc;
    return param_set_text(r->set, r->set->table[idx].name, text, e);
}

/* The errors of the table say nothing of the file: add path and line to those. */
static int add_place(const struct reader *r, unsigned long line, int rc, struct err *e)
{
    if (rc && e && !str_starts(e->msg, "cannot read"))
        return err_wrap(e, rc, "cannot read \"%s\": line %lu", r->path, line);
    return rc;
}

static int read_pair(struct reader *r, bool *seen, struct err *e)
{
    const char *name;
    bool is_null;
    size_t idx;
    unsigned long line = line_of(r);
    int rc = scalar_text(r, &name, &is_null, e);
    if (rc) return rc;
    rc = param_find(r->set, name, &idx, e);
    if (rc) return add_place(r, line, rc, e);
    if (seen[idx]) return refuse(r, "the same name is given twice", e);
    seen[idx] = true;
    rc = read_value(r, idx, e);
    return add_place(r, line, rc, e);
}

static int read_mapping(struct reader *r, struct err *e)
{
    bool *seen = mem_alloc(r->set->n + 1);
    int rc = 0;
    if (r->event.data.mapping_start.anchor || r->event.data.mapping_start.tag)
        rc = refuse(r, "anchors and tags are not supported", e);
    while (rc == 0) {
        rc = next_event(r, e);
        if (rc || r->event.type == YAML_MAPPING_END_EVENT) break;
        rc = read_pair(r, seen, e);
    }
    mem_free(seen);
    return rc;
}

static int read_stream(struct reader *r, struct err *e)
{
    int rc = expect(r, YAML_STREAM_START_EVENT, "not a YAML stream", e);
    if (rc == 0) rc = next_event(r, e);
    if (rc || r->event.type == YAML_STREAM_END_EVENT) /* an empty file sets nothing */
        return rc;
    rc = expect(r, YAML_MAPPING_START_EVENT, "a mapping of names to values is needed", e);
    if (rc == 0) rc = read_mapping(r, e);
    if (rc == 0) rc = expect(r, YAML_DOCUMENT_END_EVENT, "more than one value", e);
    if (rc == 0) rc = expect(r, YAML_STREAM_END_EVENT, "more than one document", e);
    return rc;
}

int param_set_yaml_text(struct param_set *s, const char *where, const char *text, size_t n, struct err *e)
{
    struct reader r = {.path = where, .set = s};
    if (!yaml_parser_initialize(&r.parser))
        return err_set(e, ERR_NOMEM, where, "cannot read \"%s\": out of memory", where);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    param_begin_source(s, false);
    int rc = read_stream(&r, e);
    if (r.has_event) yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return rc;
}

int param_set_yaml(struct param_set *s, const char *path, struct err *e)
{
    char *text;
    size_t n;
    int rc = file_read_all(path, PARAM_FILE_MAX_BYTES, &text, &n, e);
    if (rc) return rc;
    rc = param_set_yaml_text(s, path, text, n, e);
    mem_free(text);
    return rc;
}

/* --- writing: double quotes for all text, so that nothing is taken for a number, a null or a comment --- */

/* What YAML does not print, or takes for a line break. */
static bool must_escape(const char *c, int len)
{
    unsigned char u = (unsigned char)*c;
    if (len == 1) return u < 0x20 || u == 0x7F;
    if (len == 2) return u == 0xC2 && (unsigned char)c[1] < 0xA0;
    return len == 3 && (memcmp(c, "\xE2\x80\xA8", 3) == 0 || memcmp(c, "\xE2\x80\xA9", 3) == 0 ||
                        memcmp(c, "\xEF\xBB\xBF", 3) == 0 || memcmp(c, "\xEF\xBF\xBE", 3) == 0 ||
                        memcmp(c, "\xEF\xBF\xBF", 3) == 0);
}

static unsigned code_point(const char *c, int len)
{
    const unsigned char *u = (const unsigned char *)c;
    if (len == 1) return u[0];
    if (len == 2) return (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
    return (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
}

static int write_text(const char *text, struct buf *out)
{
    size_t n = strlen(text);
    int rc = buf_add_char(out, '"');
    for (size_t i = 0; i < n && rc == 0;) {
        int len = str_utf8_char(text + i, n - i); /* > 0: checked when it was set */
        if (must_escape(text + i, len))
            rc = buf_printf(out, "\\u%04X", code_point(text + i, len));
        else if (text[i] == '"' || text[i] == '\\')
            rc = buf_printf(out, "\\%c", text[i]);
        else
            rc = buf_add(out, text + i, (size_t)len);
        i += (size_t)len;
    }
    return rc ? rc : buf_add_char(out, '"');
}

static int write_item(const struct param *p, const struct item *item, struct buf *out)
{
    if (p->flags & PARAM_OBJECTS) return buf_add_str(out, item->text); /* JSON is YAML */
    if (item->text) return write_text(item->text, out);
    struct value one = {.item = (struct item[]){*item}, .n = 1};
    struct param scalar = {.name = p->name, .type = p->type};
    if (p->type == PARAM_FLOATS) scalar.type = PARAM_FLOAT;
    if (p->type == PARAM_INTS) scalar.type = PARAM_INT;
    json_t *v = param_value_json(&scalar, &one);
    int rc = v ? json_format(v, JSON_LINE, out) : -ERR_NOMEM;
    json_decref(v);
    return rc;
}

static int write_value(const struct param *p, const struct value *v, struct buf *out)
{
    bool list = param_is_list(p);
    int rc = list ? buf_add_char(out, '[') : 0;
    for (size_t i = 0; i < v->n && rc == 0; i++) {
        if (i) rc = buf_add_str(out, ", ");
        if (rc == 0) rc = write_item(p, &v->item[i], out);
    }
    return rc == 0 && list ? buf_add_char(out, ']') : rc;
}

int param_to_yaml(const struct param_set *s, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0; i < s->n && rc == 0; i++) {
        if (!s->value[i].item) continue;
        rc = buf_printf(out, "%s: ", s->table[i].name);
        if (rc == 0) rc = write_value(&s->table[i], &s->value[i], out);
        if (rc == 0) rc = buf_add_char(out, '\n');
    }
    return rc;
}
