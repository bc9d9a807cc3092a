/* Folding of text for comparison. Owns nothing. What always holds: folding a folded text changes nothing. */
#include "lifecycle/rules/fold.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

static uint32_t half_width(uint32_t cp)
{
    if (cp >= 0xFF01 && cp <= 0xFF5E) return cp - 0xFF01 + '!';
    return cp;
}

/* Upper case first: it joins forms that lower case keeps apart (sharp s and ss, final and other sigma). */
static int add_folded(uint32_t cp, struct buf *out)
{
    uint32_t upper[3], lower[3];
    size_t n_upper = unicode_map_case(half_width(cp), UNICODE_UPPER, upper);
    for (size_t i = 0; i < n_upper; i++) {
        size_t n_lower = unicode_map_case(upper[i], UNICODE_LOWER, lower);
        for (size_t k = 0; k < n_lower; k++) {
            char bytes[UTF8_MAX_BYTES];
            int rc = buf_add(out, bytes, utf8_encode(lower[k], bytes));
            if (rc) return rc;
        }
    }
    return 0;
}

int fold_text(const char *s, size_t n, struct buf *out)
{
    bool space = false, any = false;
    int rc = buf_add(out, "", 0);
    for (size_t i = 0; rc == 0 && i < n;) {
        uint32_t cp;
        size_t len = utf8_decode(s + i, n - i, &cp);
        if (cp != UTF8_BAD && unicode_is_space(cp)) {
            space = any;
        } else {
            if (space) rc = buf_add_char(out, ' ');
            if (rc == 0) rc = cp == UTF8_BAD ? buf_add(out, s + i, len) : add_folded(cp, out);
            space = false;
            any = true;
        }
        i += len;
    }
    return rc;
}

static bool is_edge(uint32_t cp)
{
    static const uint32_t wide[] = {0x3002, 0x3001, 0x201C, 0x201D, 0x2018, 0x2019, 0x300C,
                                    0x300D, 0x300E, 0x300F, 0x300A, 0x300B, 0x3010, 0x3011};
    cp = half_width(cp);
    if (cp < 128) return cp && strchr("\"'`.,;:!?*()[]", (int)cp);
    for (size_t i = 0; i < N_ELEM(wide); i++)
        if (cp == wide[i]) return true;
    return false;
}

static bool is_edge_or_space(uint32_t cp)
{
    return cp != UTF8_BAD && (is_edge(cp) || unicode_is_space(cp));
}

/* s without characters of a kind at both ends. */
static const char *trim(const char *s, size_t n, bool (*drop)(uint32_t), size_t *n_out)
{
    size_t begin = 0, end = 0;
    bool started = false;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = utf8_decode(s + i, n - i, &cp);
        bool keep = !drop(cp);
        if (keep && !started) begin = i;
        started = started || keep;
        i += len;
        if (keep) end = i;
    }
    *n_out = started ? end - begin : 0;
    return s + begin;
}

static bool is_space(uint32_t cp)
{
    return cp != UTF8_BAD && unicode_is_space(cp);
}

const char *fold_trim(const char *s, size_t n, size_t *n_out)
{
    return trim(s, n, is_space, n_out);
}

int fold_answer(const char *s, size_t n, struct buf *out)
{
    size_t len;
    const char *core = trim(s, n, is_edge_or_space, &len);
    return fold_text(core, len, out);
}
