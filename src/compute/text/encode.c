/* Text to ids: special tokens are cut out first, longest first; the text between them is normalized, split, and each
 * piece merges or is looked up. Control tokens are recognized in trusted text only, which is how text from users can
 * never become one. Whatever fails, the caller's list is as it was before. */
#include <string.h>

#include "compute/text/bpe.h"
#include "compute/text/normalize.h"
#include "compute/text/pretoken.h"
#include "compute/text/tokenizer.h"
#include "compute/text/tokenizer_int.h"
#include "compute/text/unicode.h"
#include "compute/text/utf8.h"
#include "compute/text/wordpiece.h"
#include "ground/base/mem.h"

enum { MAX_TEXT_BYTES = 1 << 30 };

void token_list_deinit(struct token_list *l)
{
    mem_free(l->ids);
    *l = (struct token_list){0};
}

int token_list_add(struct token_list *l, int32_t id)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        int32_t *ids = mem_try_realloc(l->ids, cap * sizeof *ids);
        if (!ids) {
            return -ERR_NOMEM;
        }
        l->ids = ids;
        l->cap = cap;
    }
    l->ids[l->n++] = id;
    return 0;
}

/* One call: the whole text, the spans it is made of, and how far the ids in out reach. */
struct encoder {
    const struct tokenizer *t;
    const char *text;
    size_t n;
    const struct text_span *span;
    size_t n_span;
    size_t covered;             /* bytes of text that are ids in out */
    size_t i_end, end_byte;     /* next span whose end is to be noted, and where it ends */
    size_t i_trust, trust_byte; /* span that holds the byte looked at, and where it begins */
    size_t *span_end;           /* or NULL */
    size_t i_apart, apart_byte; /* next span that stands apart, and where it begins; n_span: none */
    size_t cut;                 /* where text was cut last before such a span; SIZE_MAX: nowhere */
    struct token_list *out;
    struct bpe_work work;
    size_t fragment;          /* where the stretch between special tokens begins that is being encoded */
    struct normalized normal; /* its text */
    size_t unknown_until;     /* what was covered when the last unknown token was given out */
    struct err *e;
};

static int out_of_memory(struct encoder *c)
{
    return err_set(c->e, ERR_NOMEM, NULL, "cannot tokenize: out of memory");
}

/* One more id, which stands for the text up to byte `covered`. */
static int emit(struct encoder *c, int32_t id, size_t covered)
{
    c->covered = covered;
    while (c->i_end < c->n_span && c->end_byte < c->covered) {
        if (c->span_end) {
            c->span_end[c->i_end] = c->out->n;
        }
        c->i_end++;
        c->end_byte += c->i_end < c->n_span ? c->span[c->i_end].n : 0;
    }
    return token_list_add(c->out, id) ? out_of_memory(c) : 0;
}

/* An id for the normalized text of the stretch up to pos. */
static int emit_to(struct encoder *c, int32_t id, size_t pos)
{
    return emit(c, id, c->fragment + normalized_origin(&c->normal, pos));
}

/* A byte that has no token. Unknown characters of SentencePiece in a row are one. */
static int emit_missing(struct encoder *c, unsigned char byte, size_t pos)
{
    const struct tokenizer *t = c->t;
    if (t->n_missing == 0) {
        return err_set(
            c->e, ERR_INPUT, NULL,
            "cannot tokenize: the vocabulary has no token for byte 0x%02X, none for U+FFFD and no unknown token", byte);
    }
    if (t->kind == TOKENIZER_CHARS && c->unknown_until == c->covered && c->covered > 0) {
        c->covered = c->fragment + normalized_origin(&c->normal, pos);
        c->unknown_until = c->covered;
        return 0;
    }
    int rc = 0;
    for (int i = 0; !rc && i < t->n_missing; i++) {
        rc = emit_to(c, t->missing[i], pos);
    }
    c->unknown_until = c->covered;
    return rc;
}

/* Bytes [from, from + n) of the normalized text, which no merge made a token of. A character falls back to its bytes
 * only if all of them are there. */
static int emit_bytes(struct encoder *c, size_t from, size_t n)
{
    const char *s = c->normal.text + from;
    int rc = 0;
    if (c->t->kind == TOKENIZER_CHARS) {
        for (size_t i = 0; i < n; i++) {
            if (c->t->byte_id[(unsigned char)s[i]] < 0) {
                return emit_missing(c, (unsigned char)s[i], from + n);
            }
        }
    }
    for (size_t i = 0; !rc && i < n; i++) {
        int id = c->t->byte_id[(unsigned char)s[i]];
        rc = id >= 0 ? emit_to(c, id, from + i + 1) : emit_missing(c, (unsigned char)s[i], from + i + 1);
    }
    return rc;
}

/* Bytes [from, from + n) of the normalized text, within which BPE merges. */
static int encode_piece(struct encoder *c, size_t from, size_t n)
{
    if (bpe_run(&c->t->bpe, &c->work, c->normal.text + from, n)) {
        return out_of_memory(c);
    }
    for (uint32_t i = 0; i != UINT32_MAX; i = c->work.sym[i].next) {
        const struct bpe_symbol *sym = &c->work.sym[i];
        int rc = sym->symbol < c->t->n_token ? emit_to(c, (int32_t)sym->symbol, from + i + sym->n_bytes)
                                             : emit_bytes(c, from + i, sym->n_bytes);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int encode_pretokens(struct encoder *c)
{
    struct pretokens p;
    const char *piece;
    size_t len;
    pretokens_init(&p, c->t->pretoken, c->normal.text, c->normal.n);
    while (pretokens_next(&p, &piece, &len)) {
        int rc = encode_piece(c, (size_t)(piece - c->normal.text), len);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static bool is_mark(const char *s, size_t n)
{
    return n >= 3 && memcmp(s, "\xE2\x96\x81", 3) == 0;
}

/* Where the next run of U+2581 behind other text begins, or the end: no token goes on over that place. */
static size_t word_end(const char *s, size_t n, size_t from)
{
    size_t i = from;
    while (is_mark(s + i, n - i)) {
        i += 3;
    }
    while (i < n && !is_mark(s + i, n - i)) {
        i++;
    }
    return i;
}

static int encode_chars(struct encoder *c)
{
    size_t n = c->normal.n;
    if (c->t->pretoken) {
        return encode_pretokens(c);
    }
    for (size_t from = 0; from < n;) {
        size_t end = c->t->split_at_space ? word_end(c->normal.text, n, from) : n;
        int rc = encode_piece(c, from, end - from);
        if (rc) {
            return rc;
        }
        from = end;
    }
    return 0;
}

static int encode_words(struct encoder *c)
{
    struct word_piece piece[WORDPIECE_MAX_PIECES];
    const char *s = c->normal.text;
    size_t pos = 0, begin;
    while (wordpiece_next_word(s, c->normal.n, &pos, &begin)) {
        size_t n = wordpiece_split(&c->t->words, c->t->max_token_bytes, s + begin, pos - begin, piece);
        int rc = n ? 0 : emit_to(c, c->t->unk_id, pos);
        for (size_t i = 0; !rc && i < n; i++) {
            rc = emit_to(c, piece[i].id, begin + piece[i].end);
        }
        if (rc) {
            return rc;
        }
    }
    return 0;
}

/* Text [from, to) between special tokens. */
static int encode_plain(struct encoder *c, size_t from, size_t to)
{
    const struct tokenizer *t = c->t;
    if (from == to) {
        return 0;
    }
    bool prefix = t->space_prefix == SPACE_PREFIX_EVERY || (t->space_prefix == SPACE_PREFIX_FIRST && from == 0);
    prefix = prefix && !(t->prefix_unless_space && c->text[from] == ' ') && from != c->cut;
    c->fragment = from;
    if (normalize(t->normalize, prefix, c->text + from, to - from, &c->normal)) {
        return out_of_memory(c);
    }
    int rc = t->kind == TOKENIZER_BYTES   ? encode_pretokens(c)
             : t->kind == TOKENIZER_CHARS ? encode_chars(c)
                                          : encode_words(c);
    normalized_deinit(&c->normal);
    return rc;
}

/* How many bytes from `at` on belong to spans that are not from users. `at` never goes back. */
static size_t trusted_length(struct encoder *c, size_t at)
{
    while (at >= c->trust_byte + c->span[c->i_trust].n) {
        c->trust_byte += c->span[c->i_trust++].n;
    }
    size_t end = c->trust_byte;
    for (size_t i = c->i_trust; i < c->n_span && !c->span[i].from_user; i++) {
        end += c->span[i].n;
        if (end - at > UINT16_MAX) {
            break; /* longer than any token */
        }
    }
    return end > at ? end - at : 0;
}

/* Whether the character at byte i, or the one that ends there, goes on a word. */
static bool word_at(const struct encoder *c, size_t i, bool before)
{
    enum { WORD = UNICODE_L | UNICODE_M | UNICODE_ND | UNICODE_NL | UNICODE_PC };
    size_t begin = i;
    if (before) {
        while (begin > 0 && i - begin < UTF8_MAX_BYTES) {
            begin--;
            if (((unsigned char)c->text[begin] & 0xC0) != 0x80) {
                break;
            }
        }
    }
    uint32_t cp;
    if (before ? begin == i : i == c->n) {
        return false;
    }
    utf8_decode(c->text + begin, c->n - begin, &cp);
    return cp != UTF8_BAD && (unicode_category(cp) & WORD);
}

/* White space in front of byte i, not before `least`: where it begins. Behind it: where it ends. */
static size_t space_begin(const struct encoder *c, size_t i, size_t least)
{
    while (i > least) {
        size_t begin = i - 1;
        while (begin > least && ((unsigned char)c->text[begin] & 0xC0) == 0x80 && i - begin < UTF8_MAX_BYTES) {
            begin--;
        }
        uint32_t cp;
        if (utf8_decode(c->text + begin, i - begin, &cp) != i - begin || !unicode_is_space(cp)) {
            break;
        }
        i = begin;
    }
    return i;
}

static size_t space_end(const struct encoder *c, size_t i)
{
    while (i < c->n) {
        uint32_t cp;
        size_t len = utf8_decode(c->text + i, c->n - i, &cp);
        if (!unicode_is_space(cp)) {
            break;
        }
        i += len;
    }
    return i;
}

/* The special token at byte i, -1 for none. */
static int64_t find_special(struct encoder *c, size_t i)
{
    const struct tokenizer *t = c->t;
    unsigned char b = (unsigned char)c->text[i];
    if (t->special.from[b] == t->special.from[b + 1]) {
        return -1;
    }
    int64_t id = special_match(t, c->text + i, c->n - i, trusted_length(c, i));
    bool alone = id >= 0 && t->match && (t->match[id] & TOKEN_MATCH_WORD);
    return alone && (word_at(c, i, true) || word_at(c, i + t->n_text[id], false)) ? -1 : id;
}

/* From span i_apart, which begins at apart_byte, to the next one that stands apart. */
static void find_apart(struct encoder *c)
{
    while (c->i_apart < c->n_span && !c->span[c->i_apart].apart) {
        c->apart_byte += c->span[c->i_apart++].n;
    }
}

/* The text since the last special token ends where a span stands apart. */
static int cut_apart(struct encoder *c, size_t i, size_t *plain)
{
    int rc = encode_plain(c, *plain, i);
    c->cut = *plain < i ? i : c->cut;
    *plain = i;
    c->apart_byte += c->span[c->i_apart++].n;
    find_apart(c);
    return rc;
}

static int encode_text(struct encoder *c)
{
    const struct tokenizer *t = c->t;
    size_t plain = 0; /* where the text since the last special token begins */
    c->cut = SIZE_MAX;
    find_apart(c);
    for (size_t i = 0; i < c->n;) {
        while (c->i_apart < c->n_span && i >= c->apart_byte) {
            int rc = cut_apart(c, i, &plain);
            if (rc) {
                return rc;
            }
        }
        int64_t id = find_special(c, i);
        if (id < 0) {
            i++;
            continue;
        }
        unsigned match = t->match ? t->match[id] : 0;
        int rc = encode_plain(c, plain, match & TOKEN_MATCH_LSTRIP ? space_begin(c, i, plain) : i);
        i += t->n_text[id];
        i = match & TOKEN_MATCH_RSTRIP ? space_end(c, i) : i;
        rc = rc ? rc : emit(c, (int32_t)id, i);
        if (rc) {
            return rc;
        }
        plain = i;
    }
    return encode_plain(c, plain, c->n);
}

static int run(struct encoder *c)
{
    size_t before = c->out->n;
    c->end_byte = c->n_span > 0 ? c->span[0].n : 0;
    int rc = encode_text(c);
    for (; !rc && c->span_end && c->i_end < c->n_span; c->i_end++) {
        c->span_end[c->i_end] = c->out->n;
    }
    bpe_work_deinit(&c->work);
    normalized_deinit(&c->normal);
    if (rc) {
        c->out->n = before;
    }
    return rc;
}

static int check_size(size_t n, struct err *e)
{
    if (n > MAX_TEXT_BYTES) {
        return err_set(e, ERR_LIMIT, NULL, "cannot tokenize: the text has %zu bytes, at most %d are accepted", n,
                       MAX_TEXT_BYTES);
    }
    return 0;
}

/* BOS in front of the ids from `begin` on, EOS behind them, where the model wants them and the text has not spelled
 * them. */
static int add_ends(const struct tokenizer *t, struct token_list *out, size_t begin)
{
    if (t->add_bos && (out->n == begin || out->ids[begin] != t->bos_id)) {
        if (token_list_add(out, t->bos_id)) {
            return -ERR_NOMEM;
        }
        memmove(out->ids + begin + 1, out->ids + begin, (out->n - 1 - begin) * sizeof *out->ids);
        out->ids[begin] = t->bos_id;
    }
    if (t->add_eos && (out->n == begin || out->ids[out->n - 1] != t->eos_id)) {
        return token_list_add(out, t->eos_id);
    }
    return 0;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags, struct token_list *out,
                     struct err *e)
{
    int rc = check_size(n, e);
    if (rc) {
        return rc;
    }
    size_t begin = out->n;
    struct text_span span = {.text = text, .n = n, .from_user = !(flags & TOKENIZE_SPECIAL)};
    struct encoder c = {.t = t, .text = text, .n = n, .span = &span, .n_span = 1, .out = out, .e = e};
    rc = run(&c);
    if (!rc && (flags & TOKENIZE_ENDS) && add_ends(t, out, begin)) {
        out->n = begin;
        rc = out_of_memory(&c);
    }
    return rc;
}

/* Sum of the spans' lengths, limited. */
static int total_size(const struct text_span *span, size_t n_span, size_t *total, struct err *e)
{
    *total = 0;
    for (size_t i = 0; i < n_span; i++) {
        int rc = check_size(span[i].n, e);
        if (!rc) {
            *total += span[i].n;
            rc = check_size(*total, e);
        }
        if (rc) {
            return rc;
        }
    }
    return 0;
}

int tokenizer_encode_spans(const struct tokenizer *t, const struct text_span *span, size_t n_span,
                           struct token_list *out, size_t *span_end, struct err *e)
{
    size_t total;
    int rc = total_size(span, n_span, &total, e);
    if (rc) {
        return rc;
    }
    char *text = mem_try_alloc(total + 1);
    struct encoder c = {
        .t = t, .text = text, .n = total, .span = span, .n_span = n_span, .span_end = span_end, .out = out, .e = e};
    if (!text) {
        return out_of_memory(&c);
    }
    size_t at = 0;
    for (size_t i = 0; i < n_span; i++) {
        if (span[i].n > 0) {
            memcpy(text + at, span[i].text, span[i].n);
        }
        at += span[i].n;
    }
    rc = run(&c);
    mem_free(text);
    return rc;
}
