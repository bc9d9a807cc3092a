/* Look-ups in the tables of normalization, and the two algorithms. Syllables of Hangul are computed (Unicode 15,
 * section 3.12). Marks are put in order by counting, so that a text of nothing but marks takes no longer. */
#include "compute/text/normal_form.h"

#include <string.h>

#include "compute/text/unicode_int.h"
#include "ground/base/err.h"
#include "ground/base/mem.h"

enum { S_BASE = 0xAC00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, N_L = 19, N_V = 21, N_T = 28 };
enum { N_SYLLABLE = N_L * N_V * N_T, FIELD_MASK = (1 << 21) - 1 };

int char_list_add(struct char_list *l, uint32_t cp, size_t end)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct origin_char *c = mem_try_realloc(l->c, cap * sizeof *c);
        if (!c) {
            return -ERR_NOMEM;
        }
        l->c = c;
        l->cap = cap;
    }
    l->c[l->n++] = (struct origin_char){.cp = cp, .end = (uint32_t)end};
    return 0;
}

void char_list_deinit(struct char_list *l)
{
    mem_free(l->c);
    *l = (struct char_list){0};
}

static uint32_t field(uint64_t word, int i)
{
    return (uint32_t)(word >> (42 - 21 * i)) & FIELD_MASK;
}

bool normal_form_unsure(uint32_t cp)
{
    return cp >= 0x300 && unicode_between_edges(unicode_unsure, unicode_unsure_n, cp);
}

/* Canonical combining class. */
static unsigned combining_class(uint32_t cp)
{
    size_t lo = 0, hi = unicode_combining_n;
    while (cp >= 0x300 && lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (field(unicode_combining[mid], 1) < cp) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    bool in = cp >= 0x300 && lo < unicode_combining_n && field(unicode_combining[lo], 0) <= cp;
    return in ? field(unicode_combining[lo], 2) : 0;
}

/* The one or two characters (b 0) that cp decomposes into; false when it does not. */
static bool decompose_once(uint32_t cp, uint32_t *a, uint32_t *b)
{
    if (cp >= S_BASE && cp < S_BASE + N_SYLLABLE) {
        uint32_t s = cp - S_BASE;
        uint32_t t = s % N_T;
        *a = t ? cp - t : L_BASE + s / (N_V * N_T);
        *b = t ? T_BASE + t : V_BASE + s % (N_V * N_T) / N_T;
        return true;
    }
    size_t lo = 0, hi = unicode_decomposed_n;
    while (cp >= 0xC0 && lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (field(unicode_decomposed[mid], 0) < cp) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (cp < 0xC0 || lo == unicode_decomposed_n || field(unicode_decomposed[lo], 0) != cp) {
        return false;
    }
    *a = field(unicode_decomposed[lo], 1);
    *b = field(unicode_decomposed[lo], 2);
    return true;
}

/* The composite of two characters, 0 when there is none. */
static uint32_t compose_pair(uint32_t a, uint32_t b)
{
    if (a >= L_BASE && a < L_BASE + N_L && b >= V_BASE && b < V_BASE + N_V) {
        return S_BASE + ((a - L_BASE) * N_V + (b - V_BASE)) * N_T;
    }
    if (a >= S_BASE && a < S_BASE + N_SYLLABLE && (a - S_BASE) % N_T == 0 && b > T_BASE && b < T_BASE + N_T) {
        return a + (b - T_BASE);
    }
    uint64_t want = (uint64_t)a << 21 | b;
    size_t lo = 0, hi = unicode_composed_n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((unicode_decomposed[unicode_composed[mid]] & (((uint64_t)1 << 42) - 1)) < want) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == unicode_composed_n) {
        return 0;
    }
    uint64_t found = unicode_decomposed[unicode_composed[lo]];
    return (found & (((uint64_t)1 << 42) - 1)) == want ? field(found, 0) : 0;
}

/* First parts decompose further, second parts never do. Parts end where the character before them ends, but for the
 * last. */
static int add_decomposed(struct char_list *out, uint32_t cp, size_t begin, size_t end)
{
    uint32_t part[8], a, b;
    int n = 0;
    while (n < 8 && decompose_once(cp, &a, &b)) {
        if (b) {
            part[n++] = b;
        }
        cp = a;
    }
    int rc = char_list_add(out, cp, n ? begin : end);
    while (!rc && n > 0) {
        n--;
        rc = char_list_add(out, part[n], n ? begin : end);
    }
    return rc;
}

/* n marks in a row, by class, equal ones as they stand. They all end where the last of them ends. */
static int order_marks(struct origin_char *c, size_t n)
{
    size_t at[257] = {0};
    if (n < 2) {
        return 0;
    }
    struct origin_char *copy = mem_try_array(n, sizeof *copy);
    if (!copy) {
        return -ERR_NOMEM;
    }
    memcpy(copy, c, n * sizeof *copy);
    for (size_t i = 0; i < n; i++) {
        at[combining_class(copy[i].cp) + 1]++;
    }
    for (size_t i = 1; i < 257; i++) {
        at[i] += at[i - 1];
    }
    uint32_t end = copy[n - 1].end;
    for (size_t i = 0; i < n; i++) {
        c[at[combining_class(copy[i].cp)]++] = (struct origin_char){.cp = copy[i].cp, .end = end};
    }
    mem_free(copy);
    return 0;
}

int normal_form_decompose(struct char_list *l)
{
    struct char_list out = {0};
    int rc = 0;
    for (size_t i = 0; !rc && i < l->n; i++) {
        rc = add_decomposed(&out, l->c[i].cp, i ? l->c[i - 1].end : 0, l->c[i].end);
    }
    for (size_t i = 0; !rc && i < out.n;) {
        size_t n = 0;
        while (i + n < out.n && combining_class(out.c[i + n].cp)) {
            n++;
        }
        rc = order_marks(out.c + i, n);
        i += n ? n : 1;
    }
    char_list_deinit(l);
    *l = out;
    return rc;
}

void normal_form_compose(struct char_list *l)
{
    size_t n = 0, starter = SIZE_MAX;
    unsigned last = 0; /* class of the character before, of those that stay behind the starter */
    for (size_t i = 0; i < l->n; i++) {
        struct origin_char c = l->c[i];
        unsigned class = combining_class(c.cp);
        bool adjacent = starter != SIZE_MAX && n == starter + 1;
        uint32_t whole = starter != SIZE_MAX && (adjacent || last < class) ? compose_pair(l->c[starter].cp, c.cp) : 0;
        if (whole && !(class == 0 && !adjacent)) {
            l->c[starter].cp = whole;
            for (size_t k = starter; k < n; k++) { /* at most the few marks that stayed */
                l->c[k].end = c.end > l->c[k].end ? c.end : l->c[k].end;
            }
            continue;
        }
        if (class == 0) {
            starter = n;
        }
        last = class;
        l->c[n++] = c;
    }
    l->n = n;
}
