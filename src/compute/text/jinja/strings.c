/* Work on whole strings that filters and methods share. Every byte that is written keeps the origin of the byte that it
 * was made from. */
#include <string.h>

#include "compute/text/jinja/interp.h"
#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

static int add_mapped(struct text *t, uint32_t cp, enum unicode_case to, const struct value *s, size_t at)
{
    uint32_t map[3];
    size_t n = unicode_map_case(cp, to, map);
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = text_add_char(t, map[i], s, at);
    }
    return rc;
}

/* Whether a capital sigma at byte `at` ends its word: a letter before it, none behind (Unicode 15, table 3-17). */
static bool is_final_sigma(const struct value *s, size_t at)
{
    bool before = false;
    for (size_t i = 0; i < at;) {
        uint32_t cp;
        i += utf8_decode(s->s + i, s->n - i, &cp);
        before = unicode_is_case_ignorable(cp) ? before : unicode_is_cased(cp);
    }
    for (size_t i = at + 2; before && i < s->n;) {
        uint32_t cp;
        i += utf8_decode(s->s + i, s->n - i, &cp);
        if (!unicode_is_case_ignorable(cp)) {
            return !unicode_is_cased(cp);
        }
    }
    return before;
}

static int add_lower(struct text *t, uint32_t cp, const struct value *s, size_t at)
{
    if (cp == 0x3A3) {
        int rc = jinja_work(t->it, 1 + s->n / 16);
        return rc ? rc : text_add_char(t, is_final_sigma(s, at) ? 0x3C2 : 0x3C3, s, at);
    }
    return add_mapped(t, cp, UNICODE_LOWER, s, at);
}

/* The first character in `first`, the others in lower case when `lower`, else in upper case. */
static int map_all(struct interp *it, const struct value *s, enum unicode_case first, bool lower, struct value *out)
{
    struct text t;
    text_init(&t, it);
    int rc = 0;
    for (size_t i = 0; !rc && i < s->n;) {
        uint32_t cp;
        size_t len = utf8_decode(s->s + i, s->n - i, &cp);
        bool is_first = i == 0 && first != UNICODE_LOWER;
        rc = is_first ? add_mapped(&t, cp, first, s, i)
             : lower  ? add_lower(&t, cp, s, i)
                      : add_mapped(&t, cp, UNICODE_UPPER, s, i);
        i += len;
    }
    *out = text_value(&t);
    out->markup = s->markup;
    return rc;
}

int string_upper(struct interp *it, const struct value *s, struct value *out)
{
    return map_all(it, s, UNICODE_UPPER, false, out);
}

int string_lower(struct interp *it, const struct value *s, struct value *out)
{
    return map_all(it, s, UNICODE_LOWER, true, out);
}

int string_capitalize(struct interp *it, const struct value *s, struct value *out)
{
    return map_all(it, s, UNICODE_TITLE, true, out);
}

static bool stripped_char(uint32_t cp, const struct value *chars)
{
    if (!chars) {
        return unicode_is_python_space(cp);
    }
    for (size_t i = 0; i < chars->n;) {
        uint32_t c;
        i += utf8_decode(chars->s + i, chars->n - i, &c);
        if (c == cp) {
            return true;
        }
    }
    return false;
}

int string_strip(struct interp *it, const struct value *s, const struct value *chars, bool left, bool right,
                 struct value *out)
{
    if (chars && chars->type == VAL_NONE) {
        chars = NULL;
    }
    if (chars && chars->type != VAL_STRING) {
        return jinja_fail(it, "strip takes a string of characters, not %s", val_type_name(chars));
    }
    size_t from = 0, to = 0;
    bool started = !left;
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        size_t len = utf8_decode(s->s + i, s->n - i, &cp);
        bool strip = stripped_char(cp, chars);
        if (!started && !strip) {
            started = true;
            from = i;
        }
        i += len;
        to = !strip || !right ? i : to;
    }
    if (!started) {
        from = to = s->n;
    }
    *out = val_part(*s, from, to > from ? to - from : 0);
    return jinja_work(it, 1 + s->n / 64 * (1 + (chars ? chars->n : 0)));
}

/* An empty pattern is found before every character and at the end. */
static int replace_empty(struct interp *it, const struct value *s, const struct value *to, int64_t max,
                         struct value *out)
{
    struct text t;
    text_init(&t, it);
    int rc = 0;
    for (size_t i = 0; !rc && i < s->n;) {
        uint32_t cp;
        size_t len = utf8_decode(s->s + i, s->n - i, &cp);
        if (max > 0) {
            rc = text_add_value(&t, to);
            max--;
        }
        rc = rc ? rc : text_add_part(&t, s, i, len);
        i += len;
    }
    rc = rc || max == 0 ? rc : text_add_value(&t, to);
    *out = text_value(&t);
    return rc;
}

int string_replace(struct interp *it, const struct value *s, const struct value *from, const struct value *to,
                   int64_t max, struct value *out)
{
    if (max < 0) {
        max = INT64_MAX;
    }
    if (from->n == 0) {
        return replace_empty(it, s, to, max, out);
    }
    struct text t;
    text_init(&t, it);
    size_t at = 0;
    int rc = 0;
    for (; !rc && max > 0; max--) {
        const char *hit = memmem(s->s + at, s->n - at, from->s, from->n);
        if (!hit) {
            break;
        }
        rc = text_add_part(&t, s, at, (size_t)(hit - s->s) - at);
        rc = rc ? rc : text_add_value(&t, to);
        at = (size_t)(hit - s->s) + from->n;
    }
    rc = rc ? rc : text_add_part(&t, s, at, s->n - at);
    *out = text_value(&t);
    return rc;
}

static bool ends_line(uint32_t cp)
{
    return (cp >= '\n' && cp <= '\r') || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

int string_lines(struct interp *it, const struct value *s, bool keep_ends, struct list **out)
{
    int rc = list_new(it, LIST_LIST, 0, out);
    size_t from = 0;
    for (size_t i = 0; !rc && i < s->n;) {
        uint32_t cp;
        size_t len = utf8_decode(s->s + i, s->n - i, &cp);
        if (!ends_line(cp)) {
            i += len;
            continue;
        }
        size_t end = i;
        i += len + (cp == '\r' && i + 1 < s->n && s->s[i + 1] == '\n');
        rc = list_add(it, *out, val_part(*s, from, (keep_ends ? i : end) - from));
        from = i;
    }
    return rc || from == s->n ? rc : list_add(it, *out, val_part(*s, from, s->n - from));
}

static int add_fill(struct text *t, const struct value *fill, int64_t n)
{
    int rc = 0;
    for (int64_t i = 0; !rc && i < n; i++) {
        rc = fill ? text_add_value(t, fill) : text_add_str(t, " ");
    }
    return rc;
}

int string_center(struct interp *it, const struct value *s, int64_t width, const struct value *fill, int align,
                  struct value *out)
{
    int64_t n;
    int rc = val_length(it, s, &n);
    if (!rc && fill && (fill->type != VAL_STRING || utf8_count(fill->s, fill->n) != 1)) {
        rc = jinja_fail(it, "the fill must be one character");
    }
    if (rc || width <= n) {
        *out = *s;
        return rc;
    }
    int64_t pad = width - n;
    /* CPython puts the odd one at the left when the width is odd. */
    int64_t left = align < 0 ? 0 : align > 0 ? pad : pad / 2 + (pad & width & 1);
    struct text t;
    text_init(&t, it);
    rc = add_fill(&t, fill, left);
    rc = rc ? rc : text_add_value(&t, s);
    rc = rc ? rc : add_fill(&t, fill, pad - left);
    *out = text_value(&t);
    out->markup = s->markup;
    return rc;
}

int string_escape(struct interp *it, const struct value *s, struct value *out)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    struct text t;
    text_init(&t, it);
    int rc = 0;
    for (size_t i = 0; !rc && i < s->n; i++) {
        const char *hit = s->s[i] ? strchr(from, s->s[i]) : NULL;
        rc = hit ? text_add(&t, to[hit - from], strlen(to[hit - from]), text_from_user(s, i))
                 : text_add_part(&t, s, i, 1);
    }
    *out = text_value(&t);
    out->markup = true;
    return rc;
}

/* Merge two sorted runs of (key, item) into the other arrays. */
static int merge(struct interp *it, const struct value *k, const struct value *v, size_t lo, size_t mid, size_t hi,
                 bool reverse, struct value *k_out, struct value *v_out)
{
    size_t a = lo, b = mid;
    for (size_t i = lo; i < hi; i++) {
        bool take_b = a == mid;
        if (a < mid && b < hi) {
            int rc = reverse ? val_less(it, &k[a], &k[b], &take_b) : val_less(it, &k[b], &k[a], &take_b);
            if (rc) {
                return rc;
            }
        }
        size_t from = take_b ? b++ : a++;
        k_out[i] = k[from];
        v_out[i] = v[from];
    }
    return 0;
}

int sort_values(struct interp *it, struct value *item, struct value *key, size_t n, bool reverse)
{
    struct value *k2 = jinja_alloc(it, n, sizeof *k2), *v2 = jinja_alloc(it, n, sizeof *v2);
    struct value *k = key, *v = item;
    if (!k2 || !v2) {
        return -ERR_LIMIT;
    }
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n;
            int rc = merge(it, k, v, lo, mid, hi, reverse, k2, v2);
            if (rc) {
                return rc;
            }
        }
        struct value *tk = k, *tv = v;
        k = k2;
        v = v2;
        k2 = tk;
        v2 = tv;
    }
    if (k != key && n > 0) {
        memcpy(key, k, n * sizeof *key);
        memcpy(item, v, n * sizeof *item);
    }
    return 0;
}
