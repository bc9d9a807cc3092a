/* str.split and str.rsplit. */
#include "compute/text/jinja/split.h"

#include <string.h>

#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

/* Bytes of white space at the start, or at the end, of s[0..n). */
static size_t space_at(const char *s, size_t n, bool at_end)
{
    size_t lead = 0, tail = 0;
    bool started = false;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = utf8_decode(s + i, n - i, &cp);
        bool space = unicode_is_python_space(cp);
        started = started || !space;
        if (!at_end && started) {
            return lead;
        }
        lead += len;
        tail = space ? tail + len : 0;
        i += len;
    }
    return at_end ? tail : lead;
}

/* Words between white space; after `max` splits the rest stays as it is, but for the space before it. */
static int split_space(struct interp *it, const struct value *s, int64_t max, struct list *l)
{
    size_t at = space_at(s->s, s->n, false);
    int rc = 0;
    while (!rc && at < s->n) {
        size_t end = at;
        while (max != 0 && end < s->n &&
               space_at(s->s + end, UTF8_MAX_BYTES < s->n - end ? UTF8_MAX_BYTES : s->n - end, false) == 0) {
            uint32_t cp;
            end += utf8_decode(s->s + end, s->n - end, &cp);
        }
        end = max == 0 ? s->n : end;
        rc = list_add(it, l, val_part(*s, at, end - at));
        max -= max > 0;
        at = end + space_at(s->s + end, s->n - end, false);
    }
    return rc;
}

static int split_by(struct interp *it, const struct value *s, const struct value *sep, int64_t max, struct list *l)
{
    size_t at = 0;
    int rc = 0;
    while (!rc && max != 0) {
        const char *hit = memmem(s->s + at, s->n - at, sep->s, sep->n);
        if (!hit) {
            break;
        }
        rc = list_add(it, l, val_part(*s, at, (size_t)(hit - s->s) - at));
        at = (size_t)(hit - s->s) + sep->n;
        max -= max > 0;
    }
    return rc ? rc : list_add(it, l, val_part(*s, at, s->n - at));
}

static void reverse(struct list *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        struct value v = l->item[i];
        l->item[i] = l->item[l->n - 1 - i];
        l->item[l->n - 1 - i] = v;
    }
}

/* Where the word that ends at byte `end` begins. */
static size_t word_start(const char *s, size_t end)
{
    size_t start = end;
    while (start > 0) {
        size_t c = start - 1;
        uint32_t cp;
        while (c > 0 && ((unsigned char)s[c] & 0xC0) == 0x80) c--;
        (void)utf8_decode(s + c, start - c, &cp);
        if (unicode_is_python_space(cp)) {
            break;
        }
        start = c;
    }
    return start;
}

static int rsplit_space(struct interp *it, const struct value *s, int64_t max, struct list *l)
{
    size_t end = s->n - space_at(s->s, s->n, true);
    int rc = 0;
    for (; !rc && end > 0 && max != 0; max--) {
        size_t start = word_start(s->s, end);
        rc = list_add(it, l, val_part(*s, start, end - start));
        end = start - space_at(s->s, start, true);
        rc = rc ? rc : jinja_work(it, 1 + start / 64);
    }
    rc = rc || end == 0 ? rc : list_add(it, l, val_part(*s, 0, end));
    reverse(l);
    return rc;
}

static int rsplit_by(struct interp *it, const struct value *s, const struct value *sep, int64_t max, struct list *l)
{
    size_t end = s->n;
    int rc = 0;
    for (size_t i = s->n; !rc && max != 0 && i >= sep->n;) {
        if (memcmp(s->s + i - sep->n, sep->s, sep->n) != 0) {
            i--;
            continue;
        }
        rc = list_add(it, l, val_part(*s, i, end - i));
        end = i - sep->n;
        i = end;
        max--;
    }
    rc = rc ? rc : list_add(it, l, val_part(*s, 0, end));
    reverse(l);
    return rc;
}

static int split(struct interp *it, const struct value *self, const struct args *a, bool from_end, struct value *out)
{
    const struct value *p[2];
    struct list *l;
    int64_t max;
    int rc = args_bind(it, a, "split()", "sep maxsplit", 0, p);
    rc = rc ? rc : args_int(it, p[1], -1, &max);
    rc = rc ? rc : list_new(it, LIST_LIST, 0, &l);
    rc = rc ? rc : jinja_work(it, 1 + self->n / 16);
    if (rc) {
        return rc;
    }
    *out = val_list(l);
    if (!p[0] || p[0]->type == VAL_NONE) {
        return from_end && max >= 0 ? rsplit_space(it, self, max, l) : split_space(it, self, max, l);
    }
    if (p[0]->type != VAL_STRING || p[0]->n == 0) {
        return jinja_fail(it, "split() needs a separator that is a string and not empty");
    }
    rc = jinja_work(it, self->n / 64 * (from_end ? 1 + p[0]->n / 8 : 1));
    return rc ? rc : from_end ? rsplit_by(it, self, p[0], max, l) : split_by(it, self, p[0], max, l);
}

int method_split(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    return split(it, self, a, false, out);
}

int method_rsplit(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    return split(it, self, a, true, out);
}
