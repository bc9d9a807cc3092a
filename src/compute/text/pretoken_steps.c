/* The simpler patterns that rules apply before or instead of words: runs of a class, white space at the end, digits by
 * three. What lies between two matches is a piece too. */
#include <string.h>

#include "compute/text/pretoken_int.h"
#include "ground/base/str.h"

bool char_set_has(const struct char_set *set, const struct character *c)
{
    bool in = c->category & set->category;
    if (!in && set->ascii && c->cp > 0 && c->cp < 0x80) {
        in = strchr(set->ascii, (int)c->cp) != NULL;
    }
    for (size_t i = 0; !in && i < N_ELEM(set->range) && set->range[i][1] && c->cp >= set->range[i][0]; i++) {
        in = c->cp <= set->range[i][1];
    }
    return in != set->negated;
}

/* Bytes of lead? set{min,max} at s; 0: no match. */
static size_t match_run(const struct split_step *step, const char *s, size_t n)
{
    struct character c = character_at(s, n);
    size_t len = 0;
    if (step->lead && char_set_has(step->lead, &c) && c.len < n) {
        struct character next = character_at(s + c.len, n - c.len);
        len = char_set_has(step->set, &next) ? c.len : 0;
    }
    if (!len && !char_set_has(step->set, &c)) {
        return 0;
    }
    size_t k = 0;
    for (; len < n && (step->max == 0 || k < step->max); k++) {
        c = character_at(s + len, n - len);
        if (!char_set_has(step->set, &c)) {
            break;
        }
        len += c.len;
    }
    return k < step->min ? 0 : len;
}

/* Whether a match begins at s; its length is not measured where it has no least one. */
static bool run_begins(const struct split_step *step, const char *s, size_t n)
{
    if (step->min > 1) {
        return match_run(step, s, n) > 0;
    }
    struct character c = character_at(s, n);
    if (char_set_has(step->set, &c)) {
        return true;
    }
    if (!step->lead || !char_set_has(step->lead, &c) || c.len == n) {
        return false;
    }
    c = character_at(s + c.len, n - c.len);
    return char_set_has(step->set, &c);
}

size_t split_run(const struct split_step *step, struct pretokens *p, const char *s, size_t n)
{
    (void)p;
    size_t len = match_run(step, s, n);
    if (len) {
        return len;
    }
    do {
        len += character_at(s + len, n - len).len;
    } while (len < n && !run_begins(step, s + len, n - len));
    return len;
}

size_t split_end_space(const struct split_step *step, struct pretokens *p, const char *s, size_t n)
{
    (void)step;
    (void)p;
    size_t end = n;
    while (end > 0) {
        size_t begin = end - 1;
        while (begin > 0 && ((unsigned char)s[begin] & 0xC0) == 0x80 && end - begin < 4) {
            begin--;
        }
        struct character c = character_at(s + begin, end - begin);
        if (!(c.category & CHAR_SPACE) || c.len != end - begin) {
            break;
        }
        end = begin;
    }
    return end ? end : n;
}

/* Digits from s on: how many, and where they end. Counted once a run. */
static size_t count_digits(struct pretokens *p, const char *s, size_t n)
{
    if (p->digits_end && s < p->digits_end && p->n_digit > 0) {
        return p->n_digit;
    }
    size_t count = 0, end = 0;
    while (end < n) {
        struct character c = character_at(s + end, n - end);
        if (!(c.category & UNICODE_ND)) {
            break;
        }
        end += c.len;
        count++;
    }
    p->digits_end = s + end;
    p->n_digit = count;
    return count;
}

/* Bytes of the next k digits, which are no longer ahead then. */
static size_t take_digits(struct pretokens *p, const char *s, size_t n, size_t k)
{
    size_t len = 0;
    for (size_t i = 0; i < k; i++) {
        len += character_at(s + len, n - len).len;
    }
    p->n_digit -= k;
    return len;
}

static bool is_word(const struct character *c)
{
    return c->category & (UNICODE_L | UNICODE_M | UNICODE_ND | UNICODE_NL | UNICODE_PC);
}

/* How many digits begin at s; 0 also where a word goes on behind them and that matters. */
static size_t closed_digits(struct pretokens *p, const char *s, size_t n, bool at_word_end)
{
    size_t count = count_digits(p, s, n);
    if (count && at_word_end && p->digits_end < s + n) {
        struct character behind = character_at(p->digits_end, (size_t)(s + n - p->digits_end));
        return is_word(&behind) ? 0 : count;
    }
    return count;
}

static size_t triples(struct pretokens *p, const char *s, size_t n, bool at_word_end)
{
    size_t len = 0;
    size_t count = closed_digits(p, s, n, at_word_end);
    if (count) {
        return take_digits(p, s, n, count % 3 ? count % 3 : 3);
    }
    do { /* what lies between: a character, or digits that a word goes on behind */
        len = p->n_digit ? (size_t)(p->digits_end - s) : len + character_at(s + len, n - len).len;
        p->n_digit = 0;
    } while (len < n && closed_digits(p, s + len, n - len, at_word_end) == 0);
    return len;
}

size_t split_word_triples(const struct split_step *step, struct pretokens *p, const char *s, size_t n)
{
    (void)step;
    return triples(p, s, n, true);
}

size_t split_triples(const struct split_step *step, struct pretokens *p, const char *s, size_t n)
{
    (void)step;
    return triples(p, s, n, false);
}

size_t split_before_triples(const struct split_step *step, struct pretokens *p, const char *s, size_t n)
{
    (void)step;
    for (size_t at = 0; at < n;) {
        size_t count = count_digits(p, s + at, n - at);
        if (count == 0) {
            at += character_at(s + at, n - at).len;
            continue;
        }
        size_t first = at + (count % 3 ? take_digits(p, s + at, n - at, count % 3) : 0);
        if (p->n_digit == 0) { /* fewer than three */
            at = first;
        } else if (first > 0) {
            return first;
        } else {
            at = take_digits(p, s, n, 3);
            if (p->n_digit > 0) {
                return at;
            }
        }
    }
    return n;
}
