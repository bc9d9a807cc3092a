/* Rows in tokens form. Owns the buffer. What always holds after a successful read: ids are inside the vocabulary,
 * labels too or LABEL_NONE, and there are as many of both. */
#include "lifecycle/data/token_row.h"

#include "ground/base/mem.h"
#include "ground/json/json.h"

static int grow(int32_t **p, size_t n)
{
    size_t bytes;
    int32_t *q = mul_size(n, sizeof(**p), &bytes) ? mem_try_realloc(*p, bytes) : NULL;
    if (q == NULL) return -ERR_NOMEM;
    *p = q;
    return 0;
}

int token_row_reserve(struct token_row *b, size_t n)
{
    if (n <= b->cap) return 0;
    if (grow(&b->ids, n) != 0 || grow(&b->labels, n) != 0) return -ERR_NOMEM;
    b->cap = n;
    return 0;
}

void token_row_deinit(struct token_row *b)
{
    mem_free(b->ids);
    mem_free(b->labels);
    *b = (struct token_row){0};
}

static int read_numbers(const json_t *list, const char *key, int lowest, int n_vocab, int32_t *out, const char *where,
                        struct err *e)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        json_int_t x = json_integer_value(v);
        bool is_none = lowest < 0 && x == LABEL_NONE;
        if (!json_is_integer(v) || (!is_none && (x < 0 || x >= n_vocab)))
            return err_set(e, ERR_INPUT, where, "cannot use %s: %s[%zu] is %s%lld, 0 to %d%s are accepted", where, key,
                           i, json_is_integer(v) ? "" : "no integer, read as ", (long long)x, n_vocab - 1,
                           lowest < 0 ? " and -100" : "");
        out[i] = (int32_t)x;
    }
    return 0;
}

int token_row_read(struct token_row *b, const json_t *row, int n_vocab, const char *where, struct err *e)
{
    const json_t *ids, *labels;
    int rc = json_get_array(row, "ids", &ids, where, e);
    if (rc == 0) rc = json_get_array(row, "labels", &labels, where, e);
    if (rc != 0) return rc;
    b->n = json_array_size(ids);
    if (b->n != json_array_size(labels))
        return err_set(e, ERR_INPUT, where, "cannot use %s: %zu ids and %zu labels", where, b->n,
                       json_array_size(labels));
    if (token_row_reserve(b, b->n) != 0) return err_set(e, ERR_NOMEM, where, "cannot read %s: out of memory", where);
    rc = read_numbers(ids, "ids", 0, n_vocab, b->ids, where, e);
    return rc != 0 ? rc : read_numbers(labels, "labels", LABEL_NONE, n_vocab, b->labels, where, e);
}

int token_row_check_target(const struct token_row *b, const char *where, struct err *e)
{
    for (size_t i = 1; i < b->n; i++)
        if (b->labels[i] != LABEL_NONE) return 0;
    return err_set(e, ERR_INPUT, where, "cannot use %s: no token of it is trained", where);
}
