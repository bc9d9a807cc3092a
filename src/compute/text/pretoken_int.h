/* What the files of pre-tokenization share: classes of characters, and the steps that rules are made of. */
#ifndef TEXT_PRETOKEN_INT_H
#define TEXT_PRETOKEN_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/text/pretoken.h"
#include "compute/text/unicode.h"

/* Beside the bits of unicode.h: White_Space, whatever its category. */
#define CHAR_SPACE (1u << 30)

struct character {
    unsigned category; /* one bit of enum unicode_category, and CHAR_SPACE; bytes that are no UTF-8: UNICODE_SO */
    uint32_t cp;
    size_t len;
};
/* The character at s; n >= 1. */
struct character character_at(const char *s, size_t n);

/* A class in brackets. */
struct char_set {
    unsigned category;     /* members by category */
    const char *ascii;     /* members one by one, or NULL */
    uint32_t range[88][2]; /* members from first to last, ascending; zeros end the list */
    bool negated;
};
bool char_set_has(const struct char_set *set, const struct character *c);

/* The alternatives of the patterns that descend from cl100k:
 * contraction | lead? word | number | space? symbols tail | white space */
struct word_form {
    enum { CONTRACTION_NONE, CONTRACTION_FIRST, CONTRACTION_TAIL } contraction;
    unsigned letter;  /* categories of a word */
    unsigned no_lead; /* categories that do not lead a word; \r and \n never do */
    unsigned symbol;  /* categories of symbols, white space excepted */
    int n_digit;      /* digits of a number: 1, 3; 0: any; -1: numbers match nothing */
    const char *tail; /* characters that go on a run of symbols */
    bool tail_once;   /* at most one of them */
    bool cased;       /* [Lu Lt Lm Lo M]*[Ll Lm Lo M]+ | [Lu Lt Lm Lo M]+[Ll Lm Lo M]* instead of letter+ */
    bool phrases;     /* words of single letters and marks, single spaces between */
    bool ascii_lead;  /* before words: one ASCII punctuation mark and ASCII letters */
    bool han_apart;   /* before words: Han characters; they are no letters of words then */
    bool blank_runs;  /* white space at an end in runs of 512, 256 ... 4, 1 to 2 */
};

/* One pattern, whose matches are pieces and what lies between them is too. length: bytes of the first piece of the
 * n >= 1 bytes at s, match or not. */
struct split_step {
    size_t (*length)(const struct split_step *step, struct pretokens *p, const char *s, size_t n);
    const struct word_form *form;
    const struct char_set *set, *lead;
    size_t min, max; /* characters of a run; 0: any */
};
struct pretoken_rule {
    const char *const *names; /* NULL ends them */
    struct split_step step[PRETOKEN_MAX_STEPS];
    size_t n_step;
    bool nfc; /* models with it normalize to NFC first (Qwen's, by their tokenizer.json) */
};

/* GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
size_t split_gpt2(const struct split_step *step, struct pretokens *p, const char *s, size_t n);
/* step->form */
size_t split_words(const struct split_step *step, struct pretokens *p, const char *s, size_t n);
/* step->lead? step->set{min,max} */
size_t split_run(const struct split_step *step, struct pretokens *p, const char *s, size_t n);
/* \s+$ */
size_t split_end_space(const struct split_step *step, struct pretokens *p, const char *s, size_t n);
/* \d{1,3}(?=(?:\d{3})*\b): digits by three from the right, where no word goes on behind them */
size_t split_word_triples(const struct split_step *step, struct pretokens *p, const char *s, size_t n);
/* the same whatever goes on behind them */
size_t split_triples(const struct split_step *step, struct pretokens *p, const char *s, size_t n);
/* (?=(\d{3})+(?!\d)): a cut before every three digits, counted from the right; nothing else is cut */
size_t split_before_triples(const struct split_step *step, struct pretokens *p, const char *s, size_t n);

/* Bytes of 's 't 're 've 'm 'll 'd at s, 0 when there is none; any_case: also in capitals and with long s. */
size_t contraction_length(const char *s, size_t n, bool any_case);
/* \s+(?!\S)|\s+ at white space: the whole run at the end of the text, else the run without its last character, which
 * then may join the word behind it; a single character stands alone. */
size_t space_length(const char *s, size_t n);

#endif
