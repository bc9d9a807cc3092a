/* Ids back to text, as a stream: only whole characters come out, so that every chunk is valid UTF-8. At most three
 * bytes of an unfinished character wait for the next token. Bytes that can become no character are one U+FFFD each
 * piece. */
#include <string.h>

#include "compute/text/tokenizer.h"
#include "compute/text/tokenizer_int.h"
#include "compute/text/utf8.h"

static const char replacement[] = "\xEF\xBF\xBD";

void detokenizer_init(struct detokenizer *d, const struct tokenizer *t, bool with_special)
{
    *d = (struct detokenizer){.t = t, .with_special = with_special};
}

void detokenizer_follow(struct detokenizer *d, int32_t id)
{
    const struct tokenizer *t = d->t;
    enum space_prefix where = t->kind == TOKENIZER_BYTES ? SPACE_PREFIX_NONE : t->space_prefix;
    where = t->kind == TOKENIZER_WORDS ? SPACE_PREFIX_EVERY : where; /* U+2581 begins every word, also the first */
    bool special = id >= 0 && (size_t)id < t->n_token && (t->flags[id] & (TOKEN_CONTROL | TOKEN_USER_DEFINED));
    d->drop_space = id < 0 ? where != SPACE_PREFIX_NONE : special && where == SPACE_PREFIX_EVERY;
}

/* Whole characters of s to out; the beginning of one that may still be completed to pending. */
static int put(struct detokenizer *d, const char *s, size_t n, struct buf *out)
{
    size_t i = 0;
    d->n_pending = 0;
    while (i < n) {
        uint32_t cp;
        size_t len = utf8_decode(s + i, n - i, &cp);
        int rc;
        if (cp != UTF8_BAD) {
            rc = buf_add(out, s + i, len);
        } else {
            bool open;
            len = utf8_broken(s + i, n - i, &open);
            if (open) {
                memcpy(d->pending, s + i, len);
                d->n_pending = len;
                return 0;
            }
            rc = buf_add(out, replacement, 3);
        }
        if (rc) {
            return rc;
        }
        i += len;
    }
    return 0;
}

int detokenizer_push(struct detokenizer *d, int32_t id, struct buf *out)
{
    const char *bytes;
    size_t n;
    int rc = tokenizer_token(d->t, id, d->with_special, &bytes, &n);
    if (!rc) {
        bool drop = d->drop_space && n > 0 && *bytes == ' ';
        bytes += drop;
        n -= drop;
        detokenizer_follow(d, id);
    }
    /* The pending character first: at most 3 bytes, and as many of the token as could complete it. */
    while (!rc && d->n_pending > 0 && n > 0) {
        char joined[UTF8_MAX_BYTES];
        size_t old = d->n_pending;
        memcpy(joined, d->pending, old);
        joined[old] = *bytes;
        bool open = false;
        uint32_t cp;
        size_t len = utf8_decode(joined, old + 1, &cp);
        if (cp == UTF8_BAD) {
            len = utf8_broken(joined, old + 1, &open);
        }
        if (!open && len <= old) { /* the new byte does not belong to it */
            d->n_pending = 0;
            rc = buf_add(out, replacement, 3);
            continue;
        }
        rc = put(d, joined, old + 1, out);
        bytes++;
        n--;
    }
    return rc || n == 0 ? rc : put(d, bytes, n, out);
}

int detokenizer_finish(struct detokenizer *d, struct buf *out)
{
    bool had = d->n_pending > 0;
    d->n_pending = 0;
    return had ? buf_add(out, replacement, 3) : 0;
}
