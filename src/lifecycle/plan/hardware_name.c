/* Names of hardware. Owns nothing. What always holds: a row is found only by a word with a digit that is no size of a
 * memory, so that "SXM", "Blackwell" or "80GB" alone find nothing. */
#include "lifecycle/plan/hardware_name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ground/base/str.h"

enum { MAX_WORDS = 12, WORD_BYTES = 24, ROW_BYTES = 256 };

struct words {
    char at[MAX_WORDS][WORD_BYTES];
    size_t n;
};

/* Makers and families, kinds of memory: said or not, they choose no row. */
static bool is_noise_n(const char *word, size_t n)
{
    static const char *const noise[] = {"nvidia", "geforce", "rtx",   "tesla", "amd",    "instinct", "radeon", "huawei",
                                        "ascend", "apple",   "mac",   "intel", "gpu",    "npu",      "card",   "hbm2",
                                        "hbm2e",  "hbm3",    "hbm3e", "gddr6", "gddr6x", "gddr7"};
    for (size_t i = 0; i < N_ELEM(noise); i++)
        if (strlen(noise[i]) == n && strncasecmp(word, noise[i], n) == 0) return true;
    return false;
}

static bool is_noise(const char *word)
{
    return is_noise_n(word, strlen(word));
}

/* Letters and digits are words; letters of more than one before digits are one of their own: RTX4090, EPYC9004. */
static void split(const char *text, struct words *w)
{
    w->n = 0;
    while (*text && w->n < MAX_WORDS) {
        size_t n = 0, letters = 0;
        while (*text && !isalnum((unsigned char)*text)) text++;
        while (isalpha((unsigned char)text[letters])) letters++;
        while (isalnum((unsigned char)text[n])) n++;
        if (letters > 1 && letters < n && !is_noise_n(text, n)) n = letters;
        if (n > 0 && n < WORD_BYTES) snprintf(w->at[w->n++], WORD_BYTES, "%.*s", (int)n, text);
        text += n;
    }
}

/* "80G", "80GB", "80GiB": the number alone. */
static size_t memory_digits(const char *word)
{
    size_t n = strspn(word, "0123456789");
    const char *unit = word + n;
    bool is = n > 0 && (strcasecmp(unit, "g") == 0 || strcasecmp(unit, "gb") == 0 || strcasecmp(unit, "gib") == 0);
    return is ? n : 0;
}

/* Whole between its neighbours: no letter or digit goes on before or behind it. A memory's unit may. */
static bool stands_in(const char *row, const char *word, size_t n)
{
    for (const char *p = row; *p; p++) {
        if (strncasecmp(p, word, n) != 0) continue;
        const char *end = p + n;
        if (memory_digits(p) == n && isdigit((unsigned char)*p)) end = p + strspn(p, "0123456789GBigb");
        bool open = p == row || !isalnum((unsigned char)p[-1]);
        if (open && !isalnum((unsigned char)*end)) return true;
    }
    return false;
}

static bool row_has(const char *row, const char *word)
{
    size_t digits = memory_digits(word);
    return stands_in(row, word, strlen(word)) || (digits && stands_in(row, word, digits));
}

/* Id and name with spaces where an id joins letters and digits, so that its words stand alone. */
static void row_text(const struct plan_hardware *h, char *out)
{
    struct words id;
    size_t len = (size_t)snprintf(out, ROW_BYTES, "%.60s %.60s %.40s", h->id, h->name, h->vendor);
    split(h->id, &id);
    for (size_t i = 0; i < id.n && len < ROW_BYTES; i++)
        len += (size_t)snprintf(out + len, ROW_BYTES - len, " %s", id.at[i]);
}

static bool has_all(const struct plan_hardware *h, const struct words *w)
{
    char row[ROW_BYTES];
    row_text(h, row);
    for (size_t i = 0; i < w->n; i++)
        if (!is_noise(w->at[i]) && !row_has(row, w->at[i])) return false;
    return true;
}

/* Nothing of the id but noise is left unsaid; "4070Ti" of an id is said by "4070" and "Ti", too. */
static bool says_all(const struct plan_hardware *h, const struct words *w)
{
    struct words id;
    char said[ROW_BYTES], joined[ROW_BYTES];
    size_t len = 0, joint = 0;
    split(h->id, &id);
    for (size_t i = 0; i < w->n && len < ROW_BYTES && joint < ROW_BYTES; i++) {
        len += (size_t)snprintf(said + len, ROW_BYTES - len, "%s ", w->at[i]);
        joint += (size_t)snprintf(joined + joint, ROW_BYTES - joint, "%s", w->at[i]);
    }
    for (size_t i = 0; i < id.n; i++) {
        bool stands = is_noise(id.at[i]) || row_has(said, id.at[i]) || strcasestr(joined, id.at[i]);
        if (!stands) return false;
    }
    return true;
}

static bool names_something(const struct words *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (strpbrk(w->at[i], "0123456789") && !memory_digits(w->at[i])) return true;
    return false;
}

static void match_words(const struct catalogue *c, const struct words *w, struct hardware_matches *out)
{
    size_t n_said = 0, n_all = 0;
    for (size_t i = 0; i < c->n_hardware; i++) {
        const struct plan_hardware *h = &c->hardware[i];
        if (!has_all(h, w)) continue;
        n_all++;
        if (out->n < HARDWARE_NAMES) out->listed[out->n++] = h;
        if (!says_all(h, w)) continue;
        n_said++;
        out->one = h;
    }
    if (n_said != 1) out->one = NULL;
    if (n_all == 1) out->one = out->listed[0];
}

static void drop_memory(struct words *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->n; i++)
        if (!memory_digits(w->at[i])) memmove(w->at[kept++], w->at[i], WORD_BYTES);
    w->n = kept;
}

/* Id or name as the catalogue has it. */
static const struct plan_hardware *exactly(const struct catalogue *c, const char *name)
{
    const struct plan_hardware *h = catalogue_hardware(c, name);
    for (size_t i = 0; !h && i < c->n_hardware; i++)
        if (c->hardware[i].name[0] && strcasecmp(c->hardware[i].name, name) == 0) h = &c->hardware[i];
    return h;
}

void hardware_match(const struct catalogue *c, const char *name, struct hardware_matches *out)
{
    struct words w;
    *out = (struct hardware_matches){.one = exactly(c, name)};
    split(name, &w);
    if (out->one || !names_something(&w)) return;
    match_words(c, &w, out);
    if (out->n > 0) return;
    drop_memory(&w); /* a memory that no row has: those that it may be of are told, none is taken */
    match_words(c, &w, out);
    out->one = NULL;
}
