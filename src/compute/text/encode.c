/* Text to ids: special tokens are cut out first, longest first; the text between them is split by the pre-tokenizer,
 * and each piece merges. Control tokens are recognized in trusted text only, which is how text from users can never
 * become one. Whatever fails, the caller's list is as it was before. */
#include <string.h>

#include "compute/text/bpe.h"
#include "compute/text/pretoken.h"
#include "compute/text/tokenizer.h"
#include "compute/text/tokenizer_int.h"
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
    struct token_list *out;
    struct bpe_work work;
    struct err *e;
};

static int out_of_memory(struct encoder *c)
{
    return err_set(c->e, ERR_NOMEM, NULL, "cannot tokenize: out of memory");
}

/* One more id, which stands for the next n bytes. */
static int emit(struct encoder *c, int32_t id, size_t n)
{
    c->covered += n;
    while (c->i_end < c->n_span && c->end_byte < c->covered) {
        if (c->span_end) {
            c->span_end[c->i_end] = c->out->n;
        }
        c->i_end++;
        c->end_byte += c->i_end < c->n_span ? c->span[c->i_end].n : 0;
    }
    return token_list_add(c->out, id) ? out_of_memory(c) : 0;
}

/* A byte that has no token. */
static int emit_missing(struct encoder *c, unsigned char byte)
{
    if (c->t->n_missing == 0) {
        return err_set(
            c->e, ERR_INPUT, NULL,
            "cannot tokenize: the vocabulary has no token for byte 0x%02X, none for U+FFFD and no unknown token", byte);
    }
    int rc = 0;
    for (int i = 0; !rc && i < c->t->n_missing; i++) {
        rc = emit(c, c->t->missing[i], i == 0 ? 1 : 0);
    }
    return rc;
}

/* Bytes that no merge made a token of. */
static int emit_bytes(struct encoder *c, const char *s, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        int id = c->t->byte_id[(unsigned char)s[i]];
        rc = id >= 0 ? emit(c, id, 1) : emit_missing(c, (unsigned char)s[i]);
    }
    return rc;
}

static int encode_piece(struct encoder *c, const char *s, size_t n)
{
    if (bpe_run(&c->t->bpe, &c->work, s, n)) {
        return out_of_memory(c);
    }
    for (uint32_t i = 0, at = 0; i != UINT32_MAX; i = c->work.sym[i].next) {
        const struct bpe_symbol *sym = &c->work.sym[i];
        int rc = sym->symbol < c->t->n_token ? emit(c, (int32_t)sym->symbol, sym->n_bytes)
                                             : emit_bytes(c, s + at, sym->n_bytes);
        if (rc) {
            return rc;
        }
        at += sym->n_bytes;
    }
    return 0;
}

/* Text between special tokens. */
static int encode_plain(struct encoder *c, const char *s, size_t n)
{
    struct pretokens p;
    const char *piece;
    size_t len;
    pretokens_init(&p, c->t->pretoken, s, n);
    while (pretokens_next(&p, &piece, &len)) {
        int rc = encode_piece(c, piece, len);
        if (rc) {
            return rc;
        }
    }
    return 0;
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

static int encode_text(struct encoder *c)
{
    size_t plain = 0; /* where the text since the last special token begins */
    for (size_t i = 0; i < c->n;) {
        unsigned char b = (unsigned char)c->text[i];
        if (c->t->special.from[b] == c->t->special.from[b + 1]) {
            i++;
            continue;
        }
        int64_t id = special_match(c->t, c->text + i, c->n - i, trusted_length(c, i));
        if (id < 0) {
            i++;
            continue;
        }
        int rc = encode_plain(c, c->text + plain, i - plain);
        if (!rc) {
            rc = emit(c, (int32_t)id, c->t->n_text[id]);
        }
        if (rc) {
            return rc;
        }
        i += c->t->n_text[id];
        plain = i;
    }
    return encode_plain(c, c->text + plain, c->n - plain);
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
