/* The splitters. Classes of characters come from unicode.h; allocates nothing; never looks beyond the text. */
#include "compute/text/pretoken.h"

#include <stdio.h>
#include <string.h>

#include "compute/text/unicode.h"
#include "compute/text/utf8.h"
#include "ground/base/str.h"

/* Names of model files by what they split with (the values of tokenizer.ggml.pre in llama.cpp). */
static const char *const gpt2_names[] = {
    "gpt-2",      "gpt2",         "phi-2",      "gigachat",    "jina-es",  "jina-de",         "jina-v2-es",
    "jina-v2-de", "jina-v2-code", "jina-v1-en", "roberta-bpe", "a.x-4.0",  "mellum",          "modern-bert",
    "mpt",        "olmo",         "jais",       "exaone4",     "trillion", "granite-docling",
};
static const char *const smollm_names[] = {
    "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2",
};

static bool listed(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(names[i], name)) {
            return true;
        }
    }
    return false;
}

/* "a, b, c" of one table behind what is in out. */
static void list_names(const char *const *names, size_t n, char *out, size_t size)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(out);
        snprintf(out + at, size - at, "%s%s", at ? ", " : "", names[i]);
    }
}

int pretoken_kind_find(const char *name, enum pretoken_kind *kind, struct err *e)
{
    char known[400] = "";
    if (name && listed(gpt2_names, N_ELEM(gpt2_names), name)) {
        *kind = PRETOKEN_GPT2;
        return 0;
    }
    if (name && listed(smollm_names, N_ELEM(smollm_names), name)) {
        *kind = PRETOKEN_SMOLLM;
        return 0;
    }
    list_names(gpt2_names, N_ELEM(gpt2_names), known, sizeof known);
    list_names(smollm_names, N_ELEM(smollm_names), known, sizeof known);
    if (!name || !*name) {
        return err_set(e, ERR_UNSUPPORTED, "tokenizer.ggml.pre",
                       "cannot use the tokenizer: the model does not name its pre-tokenizer; supported are %s", known);
    }
    return err_set(e, ERR_UNSUPPORTED, name,
                   "cannot use the tokenizer: pre-tokenizer \"%.64s\" is not supported; supported are %s", name, known);
}

enum char_class { LETTER, NUMBER, SPACE, SYMBOL };

/* Class of the character at s; *len its bytes. */
static enum char_class classify(const char *s, size_t n, size_t *len)
{
    uint32_t cp;
    *len = utf8_decode(s, n, &cp);
    if (cp == UTF8_BAD) {
        return SYMBOL;
    }
    if (unicode_is_letter(cp)) {
        return LETTER;
    }
    if (unicode_is_number(cp)) {
        return NUMBER;
    }
    return unicode_is_space(cp) ? SPACE : SYMBOL;
}

/* Bytes of the run of one class from pos. */
static size_t run_length(const char *s, size_t n, enum char_class want)
{
    size_t i = 0, len;
    while (i < n && classify(s + i, n - i, &len) == want) {
        i += len;
    }
    return i;
}

/* 's 't 're 've 'm 'll 'd, lower case only; 0 when there is none. */
static size_t contraction_length(const char *s, size_t n)
{
    if (n >= 2 && (s[1] == 's' || s[1] == 't' || s[1] == 'm' || s[1] == 'd')) {
        return 2;
    }
    if (n >= 3 && (memcmp(s + 1, "re", 2) == 0 || memcmp(s + 1, "ve", 2) == 0 || memcmp(s + 1, "ll", 2) == 0)) {
        return 3;
    }
    return 0;
}

/* \s+(?!\S)|\s+ : the whole run at the end of the text, else the run without its last character, which then may join
 * the word behind it; a single character stands alone. */
static size_t space_length(const char *s, size_t n)
{
    size_t end = 0, last = 0, len;
    while (end < n && classify(s + end, n - end, &len) == SPACE) {
        last = end;
        end += len;
    }
    return end == n || last == 0 ? end : last;
}

static size_t gpt2_length(const char *s, size_t n)
{
    size_t len;
    if (s[0] == '\'') {
        len = contraction_length(s, n);
        if (len) {
            return len;
        }
    }
    size_t skip = s[0] == ' ' && n > 1 ? 1 : 0;
    enum char_class c = classify(s + skip, n - skip, &len);
    if (c == SPACE) {
        return space_length(s, n);
    }
    return skip + run_length(s + skip, n - skip, c);
}

void pretokens_init(struct pretokens *p, enum pretoken_kind kind, const char *text, size_t n)
{
    *p = (struct pretokens){.kind = kind, .text = text, .n = n, .segment_end = kind == PRETOKEN_GPT2 ? n : 0};
}

/* smollm: the next segment is one number character, or all up to the next one. */
static void next_segment(struct pretokens *p)
{
    size_t end = p->pos, len;
    while (end < p->n) {
        if (classify(p->text + end, p->n - end, &len) == NUMBER) {
            end += end == p->pos ? len : 0;
            break;
        }
        end += len;
    }
    p->segment_end = end;
}

bool pretokens_next(struct pretokens *p, const char **piece, size_t *n)
{
    if (p->pos == p->n) {
        return false;
    }
    if (p->pos == p->segment_end) {
        next_segment(p);
    }
    *piece = p->text + p->pos;
    *n = gpt2_length(*piece, p->segment_end - p->pos);
    p->pos += *n;
    return true;
}
