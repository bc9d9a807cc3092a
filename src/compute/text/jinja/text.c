/* Text with origin. As long as all bytes are of one side nothing is kept but that side; with the first byte of the
 * other a mark for every byte is kept beside. Memory is the arena's, so growing by doubling wastes at most the text
 * again. */
#include "compute/text/jinja/text.h"

#include <string.h>

#include "compute/text/jinja/interp.h"
#include "compute/text/utf8.h"

void text_init(struct text *t, struct interp *it)
{
    *t = (struct text){.it = it};
}

static int reserve(struct text *t, size_t n)
{
    if (n > JINJA_MAX_TEXT - t->n) {
        return jinja_fail(t->it, "a text is longer than %d bytes", JINJA_MAX_TEXT);
    }
    if (t->n + n <= t->cap) {
        return 0;
    }
    size_t cap = t->cap ? t->cap : 64;
    while (cap < t->n + n) {
        cap *= 2;
    }
    char *s = jinja_alloc(t->it, cap, 1);
    uint8_t *mark = s && t->mark ? jinja_alloc(t->it, cap, 1) : NULL;
    if (!s || (t->mark && !mark)) {
        return -ERR_LIMIT;
    }
    if (t->n > 0) {
        memcpy(s, t->s, t->n);
    }
    if (t->mark) {
        memcpy(mark, t->mark, t->n);
    }
    t->s = s;
    t->mark = mark;
    t->cap = cap;
    return 0;
}

/* From here on every byte has its mark. */
static int begin_marks(struct text *t)
{
    if (t->mark) {
        return 0;
    }
    t->mark = jinja_alloc(t->it, t->cap, 1);
    if (!t->mark) {
        return -ERR_LIMIT;
    }
    memset(t->mark, t->from_user, t->n);
    return 0;
}

int text_add(struct text *t, const char *s, size_t n, bool from_user)
{
    int rc = n > 0 ? reserve(t, n) : 0;
    if (rc || n == 0) {
        return rc;
    }
    if (t->n == 0 && !t->mark) {
        t->from_user = from_user;
    } else if (!t->mark && t->from_user != from_user) {
        rc = begin_marks(t);
        if (rc) {
            return rc;
        }
    }
    memcpy(t->s + t->n, s, n);
    if (t->mark) {
        memset(t->mark + t->n, from_user, n);
    }
    t->n += n;
    return jinja_work(t->it, 1 + n / 64);
}

int text_add_part(struct text *t, const struct value *s, size_t from, size_t n)
{
    if (!s->mark || n == 0) {
        return text_add(t, s->s + from, n, s->from_user);
    }
    int rc = reserve(t, n);
    rc = rc ? rc : begin_marks(t);
    if (rc) {
        return rc;
    }
    memcpy(t->s + t->n, s->s + from, n);
    memcpy(t->mark + t->n, s->mark + from, n);
    t->n += n;
    return jinja_work(t->it, 1 + n / 64);
}

int text_add_value(struct text *t, const struct value *s)
{
    return text_add_part(t, s, 0, s->n);
}

int text_add_str(struct text *t, const char *s)
{
    return text_add(t, s, strlen(s), false);
}

bool text_from_user(const struct value *s, size_t i)
{
    return s->mark ? s->mark[i] : s->from_user;
}

int text_add_char(struct text *t, uint32_t cp, const struct value *like, size_t at)
{
    char c[UTF8_MAX_BYTES];
    return text_add(t, c, utf8_encode(cp, c), text_from_user(like, at));
}

struct value text_value(const struct text *t)
{
    return (struct value){.type = VAL_STRING,
                          .s = t->n ? t->s : "",
                          .n = (uint32_t)t->n,
                          .from_user = t->n > 0 && t->from_user,
                          .mark = t->n ? t->mark : NULL};
}

int val_to_string(struct interp *it, const struct value *v, struct value *out)
{
    if (v->type == VAL_STRING) {
        *out = *v;
        return 0;
    }
    struct text t;
    text_init(&t, it);
    int rc = text_add_display(&t, v);
    *out = text_value(&t);
    return rc;
}
