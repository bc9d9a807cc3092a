/* Words and characters. Owns nothing. Bytes that are not UTF-8 count as characters, each broken piece as one. */
#include "lifecycle/rules/words.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compute/text/unicode.h"
#include "compute/text/utf8.h"
#include "ground/base/err.h"
#include "ground/base/mem.h"
#include "lifecycle/rules/fold.h"

struct word {
    const char *s;
    size_t n;
};

/* The next word from *at on; false: there is none. */
static bool next_word(const char *s, size_t n, size_t *at, struct word *out)
{
    size_t i = *at, begin = n;
    while (i < n) {
        uint32_t cp;
        size_t len = utf8_decode(s + i, n - i, &cp);
        bool space = cp != UTF8_BAD && unicode_is_space(cp);
        if (!space && begin == n) begin = i;
        if (space && begin < n) break;
        i += len;
    }
    *at = i;
    *out = (struct word){s + begin, i - begin};
    return begin < n;
}

size_t words_count(const char *s, size_t n)
{
    struct word w;
    size_t count = 0;
    for (size_t at = 0; next_word(s, n, &at, &w);) count++;
    return count;
}

size_t chars_count(const char *s, size_t n)
{
    size_t count = 0, n_trim;
    const char *t = fold_trim(s, n, &n_trim);
    uint32_t cp;
    for (size_t i = 0; i < n_trim; i += utf8_decode(t + i, n_trim - i, &cp)) count++;
    return count;
}

/* Runs of k words from two places of the list. */
static int compare_runs(const void *a, const void *b, void *arg)
{
    const struct word *x = *(const struct word *const *)a, *y = *(const struct word *const *)b;
    size_t k = *(const size_t *)arg;
    for (size_t i = 0; i < k; i++) {
        size_t n = x[i].n < y[i].n ? x[i].n : y[i].n;
        int c = memcmp(x[i].s, y[i].s, n);
        if (c != 0) return c;
        if (x[i].n != y[i].n) return x[i].n < y[i].n ? -1 : 1;
    }
    return 0;
}

int words_distinct(const char *s, size_t n, size_t k, double *share)
{
    size_t n_word = words_count(s, n), n_run = n_word >= k ? n_word - k + 1 : 0, n_distinct = 0;
    *share = 1;
    if (n_run < 2) return 0;
    struct word *word = mem_try_array(n_word, sizeof(*word));
    const struct word **run = mem_try_array(n_run, sizeof(*run));
    size_t at = 0;
    bool good = word != NULL && run != NULL;
    for (size_t i = 0; good && i < n_word; i++) next_word(s, n, &at, &word[i]);
    for (size_t i = 0; good && i < n_run; i++) run[i] = word + i;
    if (good) qsort_r(run, n_run, sizeof(*run), compare_runs, &k);
    for (size_t i = 0; good && i < n_run; i++) n_distinct += i == 0 || compare_runs(&run[i - 1], &run[i], &k) != 0;
    if (good) *share = (double)n_distinct / (double)n_run;
    mem_free(word);
    mem_free(run);
    return good ? 0 : -ERR_NOMEM;
}
