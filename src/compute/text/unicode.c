/* Look-ups in the generated Unicode tables: three levels for categories, binary search over edges and runs, with short
 * cuts for ASCII. */
#include "compute/text/unicode.h"

#include "compute/text/unicode_int.h"

/* Number of edges at or below cp; odd: a member. */
bool unicode_between_edges(const uint32_t *edge, size_t n, uint32_t cp)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (edge[mid] <= cp) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo & 1;
}

const char *unicode_version(void)
{
    return unicode_table_version;
}

unsigned unicode_category(uint32_t cp)
{
    if (cp >= 0x110000) {
        return UNICODE_CN;
    }
    uint32_t leaf = cp / UNICODE_LEAF;
    const uint16_t *mid = unicode_mid[unicode_top[leaf / UNICODE_MID]];
    return 1u << (unicode_leaf[mid[leaf % UNICODE_MID]][cp % UNICODE_LEAF] - 'A');
}

bool unicode_is_letter(uint32_t cp)
{
    if (cp < 0x80) {
        return (cp | 0x20) >= 'a' && (cp | 0x20) <= 'z';
    }
    return unicode_category(cp) & UNICODE_L;
}

bool unicode_is_number(uint32_t cp)
{
    if (cp < 0x80) {
        return cp >= '0' && cp <= '9';
    }
    return unicode_category(cp) & UNICODE_N;
}

bool unicode_is_decimal(uint32_t cp)
{
    return unicode_category(cp) & UNICODE_ND;
}

bool unicode_is_han(uint32_t cp)
{
    return cp >= 0x2E80 && unicode_between_edges(unicode_han, unicode_han_n, cp);
}

bool unicode_is_space(uint32_t cp)
{
    if (cp < 0x80) {
        return cp == ' ' || (cp >= '\t' && cp <= '\r');
    }
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool unicode_is_python_space(uint32_t cp)
{
    return unicode_is_space(cp) || (cp >= 0x1C && cp <= 0x1F);
}

bool unicode_is_printable(uint32_t cp)
{
    return cp == ' ' || !(unicode_category(cp) & (UNICODE_C | UNICODE_Z));
}

bool unicode_is_cased(uint32_t cp)
{
    return unicode_between_edges(unicode_cased, unicode_cased_n, cp);
}

bool unicode_is_case_ignorable(uint32_t cp)
{
    return unicode_between_edges(unicode_ignorable, unicode_ignorable_n, cp);
}

bool unicode_is_upper(uint32_t cp)
{
    return unicode_between_edges(unicode_uppercase, unicode_uppercase_n, cp);
}

bool unicode_is_lower(uint32_t cp)
{
    return unicode_between_edges(unicode_lowercase, unicode_lowercase_n, cp);
}

/* The run that maps cp, or NULL. */
static const struct unicode_run *find_run(const struct unicode_run *run, size_t n, uint32_t cp)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (run[mid].last < cp) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    /* Runs of step 2 interleave (A a B b), so the next one may be the right one too. */
    for (; lo < n && run[lo].first <= cp; lo++) {
        if (cp <= run[lo].last && (cp - run[lo].first) % run[lo].step == 0) {
            return &run[lo];
        }
    }
    return NULL;
}

static uint32_t map_simple(uint32_t cp, enum unicode_case to)
{
    const struct unicode_run *r = NULL;
    if (to == UNICODE_TITLE) {
        r = find_run(unicode_to_title, unicode_to_title_n, cp);
    }
    if (!r) {
        r = to == UNICODE_LOWER ? find_run(unicode_to_lower, unicode_to_lower_n, cp)
                                : find_run(unicode_to_upper, unicode_to_upper_n, cp);
    }
    return r ? (uint32_t)((int64_t)cp + r->distance) : cp;
}

size_t unicode_map_case(uint32_t cp, enum unicode_case to, uint32_t out[3])
{
    size_t lo = 0, hi = unicode_special_n;
    while (cp >= 0x80 && lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (unicode_special[mid].cp < cp) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (cp >= 0x80 && lo < unicode_special_n && unicode_special[lo].cp == cp) {
        const uint32_t *seq = unicode_special[lo].to[to];
        size_t n = 0;
        while (n < 3 && seq[n]) {
            out[n] = seq[n];
            n++;
        }
        return n;
    }
    out[0] = map_simple(cp, to);
    return 1;
}
