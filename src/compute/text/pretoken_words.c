/* The patterns of words: GPT-2's, and the family of cl100k with its descendants, which differ in what a word, a number
 * and a run of symbols is (struct word_form). Every function looks at a bounded stretch behind what it returns, or at a
 * run that the next calls take whole, so a text costs time in proportion to its length. */
#include <string.h>

#include "compute/text/pretoken_int.h"
#include "compute/text/utf8.h"

struct character character_at(const char *s, size_t n)
{
    struct character c;
    c.len = utf8_decode(s, n, &c.cp);
    c.category = c.cp == UTF8_BAD ? UNICODE_SO : unicode_category(c.cp);
    if (unicode_is_space(c.cp)) {
        c.category |= CHAR_SPACE;
    }
    return c;
}

static bool one_of(const char *s, char a, char b)
{
    return *s == a || *s == b;
}

/* Long s is what case folding makes equal to s (U+017F, two bytes). */
static size_t any_case_contraction(const char *s, size_t n)
{
    static const char pairs[][4] = {"rReE", "vVeE", "lLlL"};
    if (n >= 2 && memchr("sStTmMdD", s[1], 8)) {
        return 2;
    }
    if (n >= 3 && memcmp(s + 1, "\xC5\xBF", 2) == 0) {
        return 3;
    }
    for (size_t i = 0; n >= 3 && i < 3; i++) {
        if (one_of(s + 1, pairs[i][0], pairs[i][1]) && one_of(s + 2, pairs[i][2], pairs[i][3])) {
            return 3;
        }
    }
    return 0;
}

size_t contraction_length(const char *s, size_t n, bool any_case)
{
    if (s[0] != '\'') {
        return 0;
    }
    if (any_case) {
        return any_case_contraction(s, n);
    }
    if (n >= 2 && memchr("stmd", s[1], 4)) {
        return 2;
    }
    if (n >= 3 && (memcmp(s + 1, "re", 2) == 0 || memcmp(s + 1, "ve", 2) == 0 || memcmp(s + 1, "ll", 2) == 0)) {
        return 3;
    }
    return 0;
}

size_t space_length(const char *s, size_t n)
{
    size_t end = 0, last = 0;
    while (end < n) {
        struct character c = character_at(s + end, n - end);
        if (!(c.category & CHAR_SPACE)) {
            break;
        }
        last = end;
        end += c.len;
    }
    return end == n || last == 0 ? end : last;
}

/* Bytes of the run of characters whose category is in `in` and not in `out`. */
static size_t run_of(const char *s, size_t n, unsigned in, unsigned out)
{
    size_t i = 0;
    while (i < n) {
        struct character c = character_at(s + i, n - i);
        if (!(c.category & in) || (c.category & out)) {
            break;
        }
        i += c.len;
    }
    return i;
}

enum { ALL_CATEGORIES = (1 << 30) - 1, NOT_WORD = ALL_CATEGORIES & ~(UNICODE_L | UNICODE_N) };

size_t split_gpt2(const struct split_step *step, struct pretokens *p, const char *s, size_t n)
{
    (void)step;
    (void)p;
    size_t len = contraction_length(s, n, false);
    if (len) {
        return len;
    }
    size_t skip = s[0] == ' ' && n > 1 ? 1 : 0;
    struct character c = character_at(s + skip, n - skip);
    if (c.category & CHAR_SPACE) {
        return space_length(s, n);
    }
    unsigned in = c.category & UNICODE_L ? UNICODE_L : c.category & UNICODE_N ? UNICODE_N : NOT_WORD;
    return skip + run_of(s + skip, n - skip, in, CHAR_SPACE);
}

static bool is_letter(const struct word_form *f, const struct character *c)
{
    return (c->category & f->letter) && !(f->han_apart && unicode_is_han(c->cp));
}

/* The run of letters by their case, where letters without case are both: upper* lower+, else upper+ (*second). */
static size_t cased_length(const struct word_form *f, const char *s, size_t n, bool *second)
{
    enum { ONLY_UPPER = UNICODE_LU | UNICODE_LT };
    size_t upper = 0, both = 0; /* end of the run that may be upper, and of the last of it that may be lower */
    *second = false;
    while (upper < n) {
        struct character c = character_at(s + upper, n - upper);
        if (!is_letter(f, &c)) {
            break;
        }
        if (c.category & UNICODE_LL) { /* lower+ goes on from here */
            while (upper < n) {
                c = character_at(s + upper, n - upper);
                if (!is_letter(f, &c) || (c.category & ONLY_UPPER)) {
                    break;
                }
                upper += c.len;
            }
            return upper;
        }
        upper += c.len;
        both = c.category & ONLY_UPPER ? both : upper;
    }
    *second = both == 0;
    return both ? both : upper;
}

/* (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ */
static size_t phrase_length(const char *s, size_t n)
{
    size_t end = run_of(s, n, UNICODE_L, 0);
    if (end == 0) {
        return 0;
    }
    for (;;) {
        size_t i = end + run_of(s + end, n - end, UNICODE_M, 0);
        size_t gap = i < n && s[i] == ' ' ? 1 : 0;
        size_t more = i + gap < n ? run_of(s + i + gap, n - i - gap, UNICODE_L, 0) : 0;
        if (more == 0) {
            return i;
        }
        end = i + gap + more;
    }
}

static size_t letters_length(const struct word_form *f, const char *s, size_t n, bool *second)
{
    *second = false;
    if (n == 0) {
        return 0;
    }
    if (f->phrases) {
        return phrase_length(s, n);
    }
    return f->cased ? cased_length(f, s, n, second) : run_of(s, n, f->letter, 0);
}

/* [^\r\n ...]? and letters, with the contraction behind them where the form wants it there. A mark may lead or belong
 * to the word itself: the first alternative is tried both ways before the second. */
static size_t word_length(const struct word_form *f, const char *s, size_t n, const struct character *c)
{
    size_t len = 0;
    bool second = false, bare_second;
    if (!(c->category & f->no_lead) && c->cp != '\r' && c->cp != '\n') {
        len = letters_length(f, s + c->len, n - c->len, &second);
        len += len ? c->len : 0;
    }
    if (len == 0 || second) {
        size_t bare = letters_length(f, s, n, &bare_second);
        len = len == 0 || (bare && !bare_second) ? bare : len;
    }
    if (len && f->contraction == CONTRACTION_TAIL && len < n) {
        len += contraction_length(s + len, n - len, true);
    }
    return len;
}

static size_t number_length(const struct word_form *f, const char *s, size_t n)
{
    size_t len = 0;
    for (int i = 0; len < n && (f->n_digit == 0 || i < f->n_digit); i++) {
        struct character c = character_at(s + len, n - len);
        if (!(c.category & UNICODE_N)) {
            break;
        }
        len += c.len;
    }
    return len;
}

/*  ?[symbols]+[tail]* */
static size_t symbols_length(const struct word_form *f, const char *s, size_t n)
{
    size_t skip = s[0] == ' ' ? 1 : 0;
    size_t len = run_of(s + skip, n - skip, f->symbol, CHAR_SPACE);
    if (len == 0) {
        return 0;
    }
    len += skip;
    while (*f->tail && len < n && s[len] && strchr(f->tail, s[len])) {
        len++;
        if (f->tail_once) {
            break;
        }
    }
    return len;
}

/* White space without a line break in runs of 512, 256 ... 4, 1 to 2 characters that no other character follows. */
static size_t blank_run_length(const char *s, size_t n)
{
    size_t at[514], k = 0, pos = 0;
    while (pos < n && k < 513) {
        struct character c = character_at(s + pos, n - pos);
        if (!(c.category & CHAR_SPACE)) {
            break;
        }
        pos += c.len;
        at[++k] = pos;
    }
    size_t free = pos == n || k == 513 ? k : k - 1;
    for (size_t want = 512; want >= 4; want /= 2) {
        if (free >= want) {
            return at[want];
        }
    }
    return at[free >= 2 ? 2 : 1];
}

/* \s*[\r\n]+ : up to the last line break of the run, 0 when it has none. */
static size_t line_break_length(struct pretokens *p, const char *s, size_t n)
{
    size_t end = 0, found = 0;
    if (p->blank_end && s < p->blank_end) {
        return 0;
    }
    while (end < n) {
        struct character c = character_at(s + end, n - end);
        if (!(c.category & CHAR_SPACE)) {
            break;
        }
        end += c.len;
        found = c.cp == '\r' || c.cp == '\n' ? end : found;
    }
    p->blank_end = found ? p->blank_end : s + end;
    return found;
}

static size_t white_length(const struct word_form *f, struct pretokens *p, const char *s, size_t n)
{
    size_t len = line_break_length(p, s, n);
    if (len) {
        return len;
    }
    return f->blank_runs ? blank_run_length(s, n) : space_length(s, n);
}

/* [!-/:-@\[-`{-~][A-Za-z]+ */
static size_t ascii_word_length(const char *s, size_t n)
{
    size_t len = 1;
    bool word = (s[0] >= '0' && s[0] <= '9') || ((s[0] | 0x20) >= 'a' && (s[0] | 0x20) <= 'z');
    if (s[0] < '!' || s[0] > '~' || word) {
        return 0;
    }
    while (len < n && (s[len] | 0x20) >= 'a' && (s[len] | 0x20) <= 'z') {
        len++;
    }
    return len > 1 ? len : 0;
}

static size_t han_length(const char *s, size_t n)
{
    size_t len = 0;
    while (len < n) {
        struct character c = character_at(s + len, n - len);
        if (!unicode_is_han(c.cp)) {
            break;
        }
        len += c.len;
    }
    return len;
}

/* What one of the alternatives matches at s, 0 for nothing. */
static size_t match_words(const struct word_form *f, struct pretokens *p, const char *s, size_t n)
{
    struct character c = character_at(s, n);
    size_t len = f->han_apart ? han_length(s, n) : 0;
    if (!len && f->contraction == CONTRACTION_FIRST) {
        len = contraction_length(s, n, true);
    }
    if (!len && f->ascii_lead) {
        len = ascii_word_length(s, n);
    }
    len = len ? len : word_length(f, s, n, &c);
    if (!len && (c.category & UNICODE_N) && f->n_digit >= 0) {
        return number_length(f, s, n);
    }
    len = len ? len : symbols_length(f, s, n);
    return len || !(c.category & CHAR_SPACE) ? len : white_length(f, p, s, n);
}

size_t split_words(const struct split_step *step, struct pretokens *p, const char *s, size_t n)
{
    size_t len = match_words(step->form, p, s, n);
    if (len) {
        return len;
    }
    do { /* what matches nothing is a piece up to the next match */
        len += character_at(s + len, n - len).len;
    } while (len < n && match_words(step->form, p, s + len, n - len) == 0);
    return len;
}
