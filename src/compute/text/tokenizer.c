/* Building a tokenizer from a vocabulary, and look-ups in it. The vocabulary comes from a file that nobody vouches for:
 * counts, lengths and ids are checked here, and what cannot be used is an error that says what. After tokenizer_new
 * nothing changes any more. Encoding is in encode.c, decoding in detokenize.c. */
#include "compute/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "compute/text/byte_map.h"
#include "compute/text/pretoken_int.h"
#include "compute/text/tokenizer_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { MAX_TOKENS = 1 << 24, MAX_TOKEN_BYTES = 1 << 15 };

/* GGUF token types. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_BYTE = 6 };

/* "end of sentence" between full-width bars, with U+2581 for the spaces */
#define DEEPSEEK_END \
    "<\xEF\xBD\x9C"  \
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"

/* Tokens that end a turn or a text in one family or another, whatever ids the file declares. They count as control
 * tokens however the file types them. */
static const char *const end_texts[] = {
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>",    "<|eom_id|>",         "<|end|>",         "<|end_of_text|>",
    "<|return|>", "<|call|>",      "<end_of_turn>", "<end_of_utterance>", "<|end_of_role|>", "<EOT>",
    "_<EOT>",     "<|turn_end|>",  "<turn|>",       DEEPSEEK_END,
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot use the tokenizer: out of memory");
}

static int check_id(int id, size_t n_token, const char *name, struct err *e)
{
    if (id < -1 || (id >= 0 && (size_t)id >= n_token)) {
        return err_set(e, ERR_INPUT, name, "cannot use the tokenizer: %s is %d, the vocabulary has %zu tokens", name,
                       id, n_token);
    }
    return 0;
}

/* The kind by the name that GGUF gives it. */
static int find_kind(const struct vocab_source *v, enum tokenizer_kind *kind, struct err *e)
{
    const char *name = v->model ? v->model : "";
    if (str_eq(name, "gpt2")) {
        *kind = TOKENIZER_BYTES;
    } else if (str_eq(name, "llama") || str_eq(name, "gemma4")) {
        *kind = TOKENIZER_CHARS;
    } else if (str_eq(name, "bert")) {
        *kind = TOKENIZER_WORDS;
    } else {
        return err_set(
            e, ERR_UNSUPPORTED, "tokenizer.ggml.model",
            "cannot use the tokenizer: model \"%.64s\" is not supported; supported are gpt2 (byte-level BPE), "
            "llama and gemma4 (SentencePiece BPE) and bert (WordPiece)",
            name);
    }
    if (v->unsupported) {
        return err_set(e, ERR_UNSUPPORTED, v->unsupported, "cannot use the tokenizer: %s is not supported",
                       v->unsupported);
    }
    if (*kind == TOKENIZER_CHARS && !v->score && v->n_merge == 0) {
        return err_set(e, ERR_INPUT, "tokenizer.ggml.scores",
                       "cannot use the tokenizer: its tokens have neither scores nor merges");
    }
    return 0;
}

static int check_source(const struct vocab_source *v, struct err *e)
{
    if (v->n_token == 0 || v->n_token > MAX_TOKENS) {
        return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens", "cannot use the tokenizer: %zu tokens, expected 1 to %d",
                       v->n_token, MAX_TOKENS);
    }
    for (size_t i = 0; i < v->n_token; i++) {
        if (v->token_len[i] > MAX_TOKEN_BYTES) {
            return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens",
                           "cannot use the tokenizer: token %zu has %u bytes, at most %d are accepted", i,
                           v->token_len[i], MAX_TOKEN_BYTES);
        }
    }
    const struct {
        const char *name;
        int id;
    } ids[] = {{"bos_token_id", v->bos_id},
               {"eos_token_id", v->eos_id},
               {"eot_token_id", v->eot_id},
               {"eom_token_id", v->eom_id},
               {"unknown_token_id", v->unk_id}};
    for (size_t i = 0; i < N_ELEM(ids); i++) {
        int rc = check_id(ids[i].id, v->n_token, ids[i].name, e);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int alloc_tokens(struct tokenizer *t, const struct vocab_source *v)
{
    size_t total = 0;
    for (size_t i = 0; i < v->n_token; i++) {
        total += 2 * (size_t)v->token_len[i] + 1;
    }
    t->n_token = v->n_token;
    t->text = mem_try_array(v->n_token, sizeof *t->text);
    t->bytes = mem_try_array(v->n_token, sizeof *t->bytes);
    t->n_text = mem_try_array(v->n_token, sizeof *t->n_text);
    t->n_bytes = mem_try_array(v->n_token, sizeof *t->n_bytes);
    t->flags = mem_try_array(v->n_token, sizeof *t->flags);
    t->blob = mem_try_alloc(total);
    return t->text && t->bytes && t->n_text && t->n_bytes && t->flags && t->blob ? 0 : -ERR_NOMEM;
}

/* A token "<0x0A>" of type byte; -1 for any other. */
static int byte_of_token(const struct vocab_source *v, size_t id)
{
    static const char hex[] = "0123456789ABCDEF0123456789abcdef";
    const char *s = v->token[id];
    if (!v->type || v->type[id] != TYPE_BYTE || v->token_len[id] != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') {
        return -1;
    }
    const char *high = strchr(hex, s[3]), *low = strchr(hex, s[4]);
    return high && low ? (int)((high - hex) % 16 * 16 + (low - hex) % 16) : -1;
}

static uint8_t flags_of_type(const struct vocab_source *v, size_t id)
{
    int type = v->type ? v->type[id] : TYPE_NORMAL;
    if (type == TYPE_CONTROL || type == TYPE_UNKNOWN) {
        return TOKEN_CONTROL;
    }
    return type == TYPE_USER_DEFINED ? TOKEN_USER_DEFINED : byte_of_token(v, id) >= 0 ? TOKEN_BYTE : 0;
}

/* What a token without U+2581 for spaces is; at most as long as its text. */
static size_t unescape_spaces(const char *s, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        bool mark = n - i >= 3 && memcmp(s + i, "\xE2\x96\x81", 3) == 0;
        out[len++] = mark ? ' ' : s[i];
        i += mark ? 3 : 1;
    }
    return len;
}

/* The bytes that a token stands for, written to out; false: those of its text. */
static bool spell_out(const struct tokenizer *t, const struct vocab_source *v, size_t id, char *out, size_t *n_out)
{
    const char *s = v->token[id];
    size_t n = v->token_len[id];
    if (t->flags[id] & TOKEN_BYTE) {
        *out = (char)byte_of_token(v, id);
        *n_out = 1;
        return true;
    }
    if (t->flags[id] & TOKEN_CONTROL) {
        return false;
    }
    if (t->kind != TOKENIZER_BYTES) {
        *n_out = unescape_spaces(s, n, out);
        return true;
    }
    return t->flags[id] == 0 && byte_map_unspell(s, n, out, n_out);
}

/* Copies the texts; a normal token stands for the bytes it spells, a special one for its text. */
static int copy_tokens(struct tokenizer *t, const struct vocab_source *v)
{
    char *p = t->blob;
    for (size_t i = 0; i < v->n_token; i++) {
        size_t n = v->token_len[i], n_bytes = n;
        memcpy(p, v->token[i], n);
        t->text[i] = t->bytes[i] = p;
        t->n_text[i] = (uint32_t)n;
        t->flags[i] = flags_of_type(v, i);
        p += n;
        if (spell_out(t, v, i, p, &n_bytes)) {
            t->bytes[i] = p;
            p += n_bytes;
        } else {
            n_bytes = n;
        }
        t->n_bytes[i] = (uint32_t)n_bytes;
    }
    if (token_index_init(&t->by_text, v->n_token)) {
        return -ERR_NOMEM;
    }
    for (size_t i = 0; i < v->n_token; i++) {
        token_index_put(&t->by_text, t->text[i], t->n_text[i], (uint32_t)i);
    }
    return 0;
}

static void mark_ends(struct tokenizer *t, const struct vocab_source *v)
{
    const int ids[] = {v->eos_id, v->eot_id, v->eom_id};
    for (size_t i = 0; i < N_ELEM(ids); i++) {
        if (ids[i] >= 0) {
            t->flags[ids[i]] |= TOKEN_END;
        }
    }
    for (size_t i = 0; i < N_ELEM(end_texts); i++) {
        int id = tokenizer_find(t, end_texts[i]);
        if (id >= 0) {
            t->flags[id] = (uint8_t)((t->flags[id] & ~TOKEN_USER_DEFINED) | TOKEN_CONTROL | TOKEN_END);
            t->bytes[id] = t->text[id];
            t->n_bytes[id] = t->n_text[id];
        }
    }
}

static int longer_first(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static bool is_special(const struct tokenizer *t, size_t id)
{
    return (t->flags[id] & (TOKEN_CONTROL | TOKEN_USER_DEFINED)) && t->n_text[id] > 0;
}

/* For every first byte the distinct lengths of special tokens, longest first. */
static int index_special(struct tokenizer *t)
{
    struct special_starts *s = &t->special;
    uint32_t count[256] = {0}, n = 0;
    for (size_t i = 0; i < t->n_token; i++) {
        if (is_special(t, i)) {
            count[(unsigned char)t->text[i][0]]++;
            n++;
        }
    }
    s->length = mem_try_array((size_t)n + 1, sizeof *s->length);
    if (!s->length) {
        return -ERR_NOMEM;
    }
    uint32_t fill[256];
    for (uint32_t b = 0, from = 0; b < 256; b++) {
        fill[b] = from;
        from += count[b];
    }
    for (size_t i = 0; i < t->n_token; i++) {
        if (is_special(t, i)) {
            s->length[fill[(unsigned char)t->text[i][0]]++] = t->n_text[i];
        }
    }
    uint32_t out = 0;
    for (uint32_t b = 0, at = 0; b < 256; b++) {
        qsort(s->length + at, count[b], sizeof *s->length, longer_first);
        s->from[b] = out;
        for (uint32_t k = 0; k < count[b]; k++) {
            uint32_t len = s->length[at + k];
            if (out == s->from[b] || s->length[out - 1] != len) {
                s->length[out++] = len;
            }
        }
        at += count[b];
    }
    s->from[256] = out;
    return 0;
}

int64_t special_match(const struct tokenizer *t, const char *s, size_t n, size_t max_control)
{
    unsigned char first = (unsigned char)s[0];
    for (uint32_t i = t->special.from[first]; i < t->special.from[first + 1]; i++) {
        size_t len = t->special.length[i];
        int64_t id = len <= n ? token_index_find(&t->by_text, s, len) : -1;
        if (id < 0) {
            continue;
        }
        if ((t->flags[id] & TOKEN_USER_DEFINED) || ((t->flags[id] & TOKEN_CONTROL) && len <= max_control)) {
            return id;
        }
    }
    return -1;
}

/* Whether no spelling goes on over a space: none has U+2581 behind another character. */
static bool spaces_begin_words(const struct token_index *x)
{
    for (size_t i = 0; i <= x->mask; i++) {
        const char *s = x->slot[i].text;
        for (size_t k = 1; s && k + 3 <= x->slot[i].n; k++) {
            if (memcmp(s + k, "\xE2\x96\x81", 3) == 0 && (k < 3 || memcmp(s + k - 3, "\xE2\x96\x81", 3) != 0)) {
                return false;
            }
        }
    }
    return true;
}

/* The token of each byte. */
static void find_bytes(struct tokenizer *t, const struct vocab_source *v)
{
    for (int b = 0; b < 256; b++) {
        uint32_t s = t->bpe.byte_symbol[b];
        t->byte_id[b] = t->kind == TOKENIZER_BYTES && s < t->n_token ? (int32_t)s : -1;
    }
    for (size_t i = 0; t->kind == TOKENIZER_CHARS && i < t->n_token; i++) {
        if (t->flags[i] & TOKEN_BYTE) {
            t->byte_id[byte_of_token(v, i)] = (int32_t)i;
        }
    }
}

/* The merges, and the token of each single byte. */
static int build_bpe(struct tokenizer *t, const struct vocab_source *v, struct err *e)
{
    bool *usable = mem_try_array(v->n_token, sizeof *usable);
    if (!usable) {
        return no_memory(e);
    }
    for (size_t i = 0; i < v->n_token; i++) {
        usable[i] = !(t->flags[i] & (TOKEN_CONTROL | TOKEN_BYTE)) && v->token_len[i] > 0;
    }
    enum bpe_kind kind = t->kind == TOKENIZER_BYTES ? BPE_BYTES : v->n_merge > 0 ? BPE_CHARS : BPE_SCORES;
    int rc = bpe_init(&t->bpe, kind, v, t->text, usable, e);
    mem_free(usable);
    if (rc) {
        return rc;
    }
    find_bytes(t, v);
    if (t->kind == TOKENIZER_CHARS) {
        t->split_at_space = (t->normalize & NORMALIZE_SPACES) && spaces_begin_words(&t->bpe.symbol);
    } else if (!v->ignore_merges) {
        token_index_deinit(&t->bpe.symbol); /* only whole pre-tokens are looked up there */
    }
    return 0;
}

/* What to write for a byte that has no token: the unknown token where the vocabulary has a real one (some name a
 * control token so, which text from users must not become), else U+FFFD. */
static int find_missing(struct tokenizer *t, const struct vocab_source *v, struct err *e)
{
    bool unknown = v->unk_id >= 0 && (t->kind != TOKENIZER_BYTES || (v->type && v->type[v->unk_id] == TYPE_UNKNOWN));
    if (unknown && !(t->flags[v->unk_id] & TOKEN_END)) {
        t->unk_id = v->unk_id;
        t->missing[t->n_missing++] = v->unk_id;
        return 0;
    }
    if (t->kind == TOKENIZER_WORDS) {
        return err_set(e, ERR_INPUT, "tokenizer.ggml.unknown_token_id",
                       "cannot use the tokenizer: WordPiece needs an unknown token for words that it cannot spell");
    }
    struct bpe_work w = {0};
    if (bpe_run(&t->bpe, &w, "\xEF\xBF\xBD", 3)) {
        bpe_work_deinit(&w);
        return no_memory(e);
    }
    for (uint32_t i = 0; i != UINT32_MAX; i = w.sym[i].next) {
        if (w.sym[i].symbol < t->n_token) {
            t->missing[t->n_missing++] = (int32_t)w.sym[i].symbol;
        } else {
            t->n_missing = 0;
            break;
        }
    }
    bpe_work_deinit(&w);
    return 0;
}

/* Text becomes no control token, however its words are spelled. */
static int index_words(struct tokenizer *t)
{
    if (token_index_init(&t->words, t->n_token)) {
        return -ERR_NOMEM;
    }
    for (size_t i = 0; i < t->n_token; i++) {
        if (!(t->flags[i] & TOKEN_CONTROL)) {
            token_index_put(&t->words, t->text[i], t->n_text[i], (uint32_t)i);
        }
    }
    return 0;
}

static int copy_match(struct tokenizer *t, const struct vocab_source *v)
{
    if (!v->match) {
        return 0;
    }
    t->match = mem_try_array(v->n_token, sizeof *t->match);
    for (size_t i = 0; t->match && i < v->n_token; i++) {
        t->match[i] = v->match[i];
    }
    return t->match ? 0 : -ERR_NOMEM;
}

static int build(struct tokenizer *t, const struct vocab_source *v, struct err *e)
{
    t->bos_id = v->bos_id;
    t->eos_id = v->eos_id;
    t->unk_id = -1;
    t->add_bos = v->add_bos && v->bos_id >= 0;
    t->add_eos = v->add_eos && v->eos_id >= 0;
    t->normalize = v->normalize | (t->pretoken && t->pretoken->nfc ? NORMALIZE_NFC : 0);
    t->space_prefix = v->space_prefix;
    t->prefix_unless_space = v->prefix_unless_space;
    if (alloc_tokens(t, v) || copy_tokens(t, v) || copy_match(t, v)) {
        return no_memory(e);
    }
    for (size_t i = 0; i < t->n_token; i++) {
        bool longer = !(t->flags[i] & TOKEN_CONTROL) && t->n_text[i] > t->max_token_bytes;
        t->max_token_bytes = longer ? t->n_text[i] : t->max_token_bytes;
    }
    mark_ends(t, v);
    if (index_special(t)) {
        return no_memory(e);
    }
    if (t->kind == TOKENIZER_WORDS && index_words(t)) {
        return no_memory(e);
    }
    int rc = t->kind == TOKENIZER_WORDS ? 0 : build_bpe(t, v, e);
    return rc ? rc : find_missing(t, v, e);
}

int tokenizer_new(struct tokenizer **out, const struct vocab_source *v, struct err *e)
{
    enum tokenizer_kind kind = TOKENIZER_BYTES;
    const struct pretoken_rule *rule = NULL;
    int rc = find_kind(v, &kind, e);
    rc = rc ? rc : check_source(v, e);
    if (!rc && (kind == TOKENIZER_BYTES || str_eq(v->model, "gemma4"))) {
        rc = pretoken_find(kind == TOKENIZER_BYTES ? v->pre : "gemma4", &rule, e);
    }
    if (rc) {
        return rc;
    }
    struct tokenizer *t = mem_try_alloc(sizeof *t);
    if (!t) {
        return no_memory(e);
    }
    t->kind = kind;
    t->pretoken = rule;
    rc = build(t, v, e);
    if (rc) {
        tokenizer_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t) {
        return;
    }
    mem_free(t->text);
    mem_free(t->n_text);
    mem_free(t->bytes);
    mem_free(t->n_bytes);
    mem_free(t->flags);
    mem_free(t->match);
    mem_free(t->blob);
    mem_free(t->special.length);
    token_index_deinit(&t->by_text);
    token_index_deinit(&t->words);
    bpe_deinit(&t->bpe);
    mem_free(t);
}

size_t tokenizer_n_vocab(const struct tokenizer *t)
{
    return t->n_token;
}

int tokenizer_token(const struct tokenizer *t, int32_t id, bool with_special, const char **bytes, size_t *n)
{
    if (id < 0 || (size_t)id >= t->n_token) {
        return -ERR_INPUT;
    }
    bool hidden = (t->flags[id] & TOKEN_CONTROL) && !with_special;
    *bytes = hidden ? "" : t->bytes[id];
    *n = hidden ? 0 : t->n_bytes[id];
    return 0;
}

bool tokenizer_is_control(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_token && (t->flags[id] & TOKEN_CONTROL);
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_token && (t->flags[id] & TOKEN_END);
}

int tokenizer_bos(const struct tokenizer *t)
{
    return t->bos_id;
}

int tokenizer_eos(const struct tokenizer *t)
{
    return t->eos_id;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->add_bos;
}

int tokenizer_find(const struct tokenizer *t, const char *text)
{
    return (int)token_index_find(&t->by_text, text, strlen(text));
}
