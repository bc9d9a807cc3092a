/* Text of an answer: detokenization and stop texts, which may lie across tokens. Owns the bytes; it decides nothing
 * about tokens. What always holds: the visible part only grows, consists of whole characters, holds no stop text and
 * does not end in what may become one; memory is taken once, at the start. */
#include "compute/engine/answer_text_int.h"

#include <string.h>

#include "ground/base/mem.h"

int answer_text_init(struct answer_text *a, const struct tokenizer *t, size_t cap_bytes, const char *const *stop,
                     size_t n_stop, struct err *e)
{
    *a = (struct answer_text){.stop = stop, .n_stop = n_stop, .cap = cap_bytes};
    if (!t)
        return n_stop ? err_set(e, ERR_UNSUPPORTED, "stop", "cannot use stop texts: the model has no tokenizer") : 0;
    for (size_t i = 0; i < n_stop; i++) {
        size_t n = strlen(stop[i]);
        if (!n) return err_set(e, ERR_INPUT, "stop", "cannot use an empty stop text");
        a->max_stop = n > a->max_stop ? n : a->max_stop;
    }
    detokenizer_init(&a->detok, t, false);
    a->data = mem_try_alloc(cap_bytes + 1);
    if (!a->data) return err_set(e, ERR_NOMEM, NULL, "cannot keep an answer of %zu bytes: out of memory", cap_bytes);
    return 0;
}

void answer_text_deinit(struct answer_text *a)
{
    mem_free(a->data);
    *a = (struct answer_text){0};
}

/* The first stop text that ends after `from`: its offset, or SIZE_MAX. */
static size_t find_stop(const struct answer_text *a, size_t from)
{
    size_t begin = from > a->max_stop ? from - a->max_stop : 0, first = SIZE_MAX;
    for (size_t i = 0; i < a->n_stop; i++) {
        const char *hit = memmem(a->data + begin, a->len - begin, a->stop[i], strlen(a->stop[i]));
        if (hit && (size_t)(hit - a->data) < first) first = (size_t)(hit - a->data);
    }
    return first;
}

/* Length of the longest end of the text that a stop text begins with. */
static size_t held_back(const struct answer_text *a)
{
    size_t longest = 0;
    for (size_t i = 0; i < a->n_stop; i++) {
        size_t n = strlen(a->stop[i]) - 1;
        for (n = n < a->len ? n : a->len; n > longest; n--)
            if (!memcmp(a->data + a->len - n, a->stop[i], n)) {
                longest = n;
                break;
            }
    }
    return longest;
}

static int append(struct answer_text *a, const struct buf *bytes)
{
    size_t from = a->len;
    if (bytes->len > a->cap - a->len) return -ERR_LIMIT;
    if (bytes->len) memcpy(a->data + a->len, bytes->data, bytes->len);
    a->len += bytes->len;
    size_t stop = a->n_stop ? find_stop(a, from) : SIZE_MAX;
    if (stop != SIZE_MAX) {
        a->len = a->n_visible = stop;
        return 1;
    }
    size_t visible = a->len - (a->n_stop ? held_back(a) : 0);
    a->n_visible = visible > a->n_visible ? visible : a->n_visible;
    return 0;
}

int answer_text_push(struct answer_text *a, int32_t id, struct buf *scratch)
{
    if (!a->data) return 0;
    buf_clear(scratch);
    int rc = detokenizer_push(&a->detok, id, scratch);
    return rc ? rc : append(a, scratch);
}

int answer_text_finish(struct answer_text *a, struct buf *scratch)
{
    if (!a->data) return 0;
    buf_clear(scratch);
    int rc = detokenizer_finish(&a->detok, scratch);
    if (!rc) rc = append(a, scratch);
    if (!rc) a->n_visible = a->len;
    return rc;
}
