/* Reading texts for measurements. Owns how the fields of a row become one text and the text its ids. */
#include "doors/cli/cli_texts.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/json/json.h"

enum { ROW_MAX_BYTES = 1 << 24 };

/* The fields of a row, joined by newlines. */
static int row_text(const json_t *row, const char *fields, const char *where, struct buf *out, struct err *e)
{
    char name[128];
    buf_clear(out);
    for (const char *at = fields; *at;) {
        size_t n = strcspn(at, "+");
        const char *text;
        if (!n || n >= sizeof(name))
            return err_set(e, ERR_USAGE, "field", "cannot use field \"%s\": names joined by + are needed", fields);
        memcpy(name, at, n);
        name[n] = '\0';
        int rc = json_get_str(row, name, &text, where, e);
        if (rc) return rc;
        if ((at != fields && buf_add_char(out, '\n')) || buf_add_str(out, text))
            return err_set(e, ERR_LIMIT, where, "cannot use %s: its text is longer than %zu bytes", where, out->max);
        at += n;
        if (*at && !*++at)
            return err_set(e, ERR_USAGE, "field", "cannot use field \"%s\": a name is missing after the last +",
                           fields);
    }
    return 0;
}

int cli_rows_each(const char *path, const char *fields, cli_row_fn fn, void *arg, struct err *e)
{
    struct json_lines lines;
    struct buf text;
    int rc = json_lines_open(&lines, path, ROW_MAX_BYTES, e);
    if (rc) return rc;
    buf_init(&text, ROW_MAX_BYTES);
    json_t *row = NULL;
    while ((rc = json_lines_next(&lines, &row, e)) > 0) {
        char where[512];
        snprintf(where, sizeof(where), "\"%.400s\" line %llu", path, (unsigned long long)lines.line_no);
        rc = row_text(row, fields, where, &text, e);
        if (!rc) rc = fn(arg, text.data ? text.data : "", text.len, where, e);
        json_decref(row);
        if (rc) break;
    }
    buf_deinit(&text);
    json_lines_close(&lines);
    return rc;
}

struct reader {
    const struct cli_model *m;
    cli_text_fn fn;
    void *arg;
};

static int take_row(void *arg, const char *text, size_t n, const char *where, struct err *e)
{
    const struct reader *r = arg;
    struct token_list ids = {0};
    int bos = tokenizer_bos(r->m->tok), rc = 0;
    if (tokenizer_adds_bos(r->m->tok) && bos >= 0 && token_list_add(&ids, bos))
        rc = err_set(e, ERR_NOMEM, NULL, "cannot tokenize: out of memory");
    if (!rc) rc = tokenizer_encode(r->m->tok, text, n, 0, &ids, e);
    if (!rc) rc = r->fn(r->arg, &ids, where, e);
    token_list_deinit(&ids);
    return rc;
}

int cli_texts_each(const struct cli_model *m, const char *path, const char *fields, cli_text_fn fn, void *arg,
                   struct err *e)
{
    struct reader r = {.m = m, .fn = fn, .arg = arg};
    return cli_rows_each(path, fields, take_row, &r, e);
}
