/* The made-up vocabulary. Owns the strings while they are put into the writer.
 * Tokens are distinct because words begin with the space character and the fillers do not, and fillers of a length are
 * counted through. Every token but the first 259 is the result of exactly one merge, so ranks and ids run together. */
#include "doors/cli/random_vocab.h"

#include <stdio.h>
#include <string.h>

#include "compute/text/byte_map.h"
#include "ground/base/mem.h"

#define SPACE "\xc4\xa0" /* byte 0x20 as byte-level BPE spells it */

static const char *const control[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

static const char chat_template[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/* Common words: text in English gets about the token count that a trained vocabulary of this kind would give it. */
static const char *const words[] = {
    "the",     "of",     "and",    "to",       "in",        "is",    "that",    "it",      "was",      "for",
    "on",      "are",    "as",     "with",     "his",       "they",  "at",      "be",      "this",     "from",
    "have",    "or",     "by",     "one",      "had",       "not",   "but",     "what",    "all",      "were",
    "when",    "we",     "there",  "can",      "an",        "your",  "which",   "their",   "said",     "if",
    "do",      "will",   "each",   "about",    "how",       "up",    "out",     "them",    "then",     "she",
    "many",    "some",   "so",     "these",    "would",     "other", "into",    "has",     "more",     "her",
    "two",     "like",   "him",    "see",      "time",      "could", "no",      "make",    "than",     "first",
    "been",    "its",    "who",    "now",      "people",    "my",    "made",    "over",    "did",      "down",
    "only",    "way",    "find",   "use",      "may",       "water", "long",    "little",  "very",     "after",
    "words",   "called", "just",   "where",    "most",      "know",  "get",     "through", "back",     "much",
    "before",  "also",   "around", "another",  "came",      "come",  "work",    "three",   "word",     "must",
    "because", "does",   "part",   "even",     "place",     "well",  "such",    "here",    "take",     "why",
    "things",  "help",   "put",    "years",    "different", "away",  "again",   "off",     "went",     "old",
    "number",  "great",  "tell",   "men",      "say",       "small", "every",   "found",   "still",    "between",
    "name",    "should", "answer", "question", "model",     "card",  "account", "payment", "transfer", "money"};

struct vocab {
    const char **token;
    const char **merge; /* merge[i] makes token[RANDOM_VOCAB_MIN + i] */
    int32_t *type;
    size_t n, max, n_merge;
    struct arena mem;
};

/* One more merge and its token; false when the vocabulary is full. */
static bool add_merge(struct vocab *v, const char *left, const char *right)
{
    char text[64];
    if (v->n == v->max) {
        return false;
    }
    int n = snprintf(text, sizeof text, "%s %s", left, right);
    v->merge[v->n_merge++] = arena_strndup(&v->mem, text, (size_t)n);
    n = snprintf(text, sizeof text, "%s%s", left, right);
    v->token[v->n++] = arena_strndup(&v->mem, text, (size_t)n);
    return true;
}

static bool has_token(const struct vocab *v, size_t first, const char *text)
{
    for (size_t i = first; i < v->n; i++) {
        if (!strcmp(v->token[i], text)) {
            return true;
        }
    }
    return false;
}

static void add_bytes(struct vocab *v)
{
    for (size_t i = 0; i < sizeof control / sizeof control[0]; i++) {
        v->type[v->n] = 3;
        v->token[v->n++] = control[i];
    }
    for (int byte = 0; byte < 256; byte++) {
        char in = (char)byte;
        char text[8];
        size_t n = byte_map_spell(&in, 1, text);
        v->token[v->n++] = arena_strndup(&v->mem, text, n);
    }
}

/* " t", " th", " the": the merges that build each word from its left. */
static void add_words(struct vocab *v)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char left[64] = SPACE;
        for (const char *p = words[i]; *p; p++) {
            char right[2] = {*p, '\0'};
            char whole[64];
            snprintf(whole, sizeof whole, "%.60s%s", left, right);
            if (!has_token(v, RANDOM_VOCAB_MIN, whole) && !add_merge(v, left, right)) {
                return;
            }
            memcpy(left, whole, sizeof left);
        }
    }
}

/* n letters that number idx spells in base 26, as a string. */
static void spell(int idx, int n, char out[3])
{
    static const char letter[] = "abcdefghijklmnopqrstuvwxyz";
    out[n] = '\0';
    for (int i = n - 1; i >= 0; i--, idx /= 26) {
        out[i] = letter[idx % 26];
    }
}

/* Fillers: all pairs of letters, then pair + letter, then pair + pair (26^2 + 26^3 + 26^4 = 475,228 tokens). */
static void add_fillers(struct vocab *v)
{
    static const int length[][2] = {{1, 1}, {2, 1}, {2, 2}}; /* letters of the left and the right half */
    for (size_t kind = 0; kind < sizeof length / sizeof length[0]; kind++) {
        int n_left = length[kind][0] == 1 ? 26 : 26 * 26;
        int n_right = length[kind][1] == 1 ? 26 : 26 * 26;
        for (int i = 0; i < n_left * n_right; i++) {
            char left[3];
            char right[3];
            spell(i / n_right, length[kind][0], left);
            spell(i % n_right, length[kind][1], right);
            if (!add_merge(v, left, right)) {
                return;
            }
        }
    }
}

static int put_keys(struct gguf_writer *w, const struct vocab *v)
{
    int rc = gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    rc = rc ? rc : gguf_put_str(w, "tokenizer.ggml.pre", "smollm", 6);
    rc = rc ? rc : gguf_put_array(w, "tokenizer.ggml.tokens", GGUF_STRING, v->token, NULL, v->n);
    rc = rc ? rc : gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, v->type, NULL, v->n);
    rc = rc ? rc : gguf_put_array(w, "tokenizer.ggml.merges", GGUF_STRING, v->merge, NULL, v->n_merge);
    rc = rc ? rc : gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    rc = rc ? rc : gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
    rc = rc ? rc : gguf_put_u32(w, "tokenizer.ggml.padding_token_id", 0);
    rc = rc ? rc : gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    rc = rc ? rc : gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", false);
    return rc ? rc : gguf_put_str(w, "tokenizer.chat_template", chat_template, strlen(chat_template));
}

int random_vocab_put(struct gguf_writer *w, size_t n_vocab, struct err *e)
{
    struct vocab v = {.max = n_vocab};
    if (n_vocab < RANDOM_VOCAB_MIN) {
        return err_set(e, ERR_INPUT, "n_vocab", "cannot make a vocabulary of %zu tokens, %d or more would be right",
                       n_vocab, (int)RANDOM_VOCAB_MIN);
    }
    v.token = mem_alloc(n_vocab * sizeof *v.token);
    v.merge = mem_alloc(n_vocab * sizeof *v.merge);
    v.type = mem_alloc(n_vocab * sizeof *v.type);
    for (size_t i = 0; i < n_vocab; i++) {
        v.type[i] = 1;
    }
    arena_init(&v.mem, n_vocab * 256);
    add_bytes(&v);
    add_words(&v);
    add_fillers(&v);
    int rc = 0;
    if (v.n < n_vocab) {
        rc = err_set(e, ERR_INPUT, "n_vocab", "cannot make a vocabulary of %zu tokens, at most %zu", n_vocab, v.n);
    } else if (put_keys(w, &v)) {
        rc = err_set(e, ERR_NOMEM, "n_vocab", "cannot make a vocabulary of %zu tokens: out of memory", n_vocab);
    }
    arena_deinit(&v.mem);
    mem_free(v.token);
    mem_free(v.merge);
    mem_free(v.type);
    return rc;
}
