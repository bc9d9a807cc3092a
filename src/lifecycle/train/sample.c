/* Shows a row. Keeps nothing. */
#include "lifecycle/train/sample.h"

enum { SHOWN_TOKENS = 512 };

static int add_token(const struct tokenizer *tok, struct detokenizer *d, int32_t id, struct buf *out)
{
    return tok == NULL ? buf_printf(out, " %d", id) : detokenizer_push(d, id, out);
}

int sample_format(const struct train_rows *r, size_t row, const struct tokenizer *tok, struct buf *out)
{
    struct detokenizer d;
    size_t n = train_row_len(r, row), shown = n < SHOWN_TOKENS ? n : SHOWN_TOKENS;
    const int32_t *ids = r->ids + r->start[row], *labels = r->labels + r->start[row];
    bool open = false;
    int rc = 0;
    if (tok != NULL) {
        detokenizer_init(&d, tok, true);
        detokenizer_follow(&d, -1);
    }
    for (size_t i = 0; i < shown && rc == 0; i++) {
        bool trained = labels[i] != LABEL_NONE;
        if (trained != open) rc = buf_add_str(out, trained ? "[[" : "]]");
        open = trained;
        if (rc == 0) rc = add_token(tok, &d, ids[i], out);
    }
    if (rc == 0 && tok != NULL) rc = detokenizer_finish(&d, out);
    if (rc == 0 && open) rc = buf_add_str(out, "]]");
    if (rc == 0 && shown < n) rc = buf_printf(out, " ... (%zu tokens more)", n - shown);
    return rc;
}
