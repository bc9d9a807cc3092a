/* Documents as Markdown, for chats and reviews. Owns nothing. What always holds: texts keep their line of the table,
 * and characters that mean something to Markdown or HTML are escaped. */
#include <string.h>

#include "ground/base/str.h"
#include "ground/report/report_int.h"

static int md_text(struct buf *out, const char *s)
{
    int rc = 0;
    for (; rc == 0 && *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '\n')
            rc = buf_add_str(out, "<br>");
        else if (c == '<')
            rc = buf_add_str(out, "&lt;");
        else if (c == '&')
            rc = buf_add_str(out, "&amp;");
        else if (c < 0x20)
            rc = buf_add_char(out, ' ');
        else if (strchr("\\`*_[]|#>~!", c))
            rc = buf_printf(out, "\\%c", c);
        else
            rc = buf_add_char(out, (char)c);
    }
    return rc;
}

static int wrap(struct buf *out, const char *before, const char *text, const char *after)
{
    int rc = buf_add_str(out, before);
    if (rc == 0) rc = md_text(out, text ? text : "");
    return rc ? rc : buf_add_str(out, after);
}

static int md_row(struct buf *out, const json_t *cells)
{
    int rc = buf_add_str(out, "|");
    for (size_t i = 0; rc == 0 && i < json_array_size(cells); i++)
        rc = wrap(out, " ", json_string_value(json_array_get(cells, i)), " |");
    return rc ? rc : buf_add_str(out, "\n");
}

static int md_table(const json_t *b, struct buf *out)
{
    const json_t *columns = block_list(b, "columns"), *rows = block_list(b, "rows");
    int rc = buf_add_str(out, "|");
    for (size_t i = 0; rc == 0 && i < json_array_size(columns); i++)
        rc = wrap(out, " ", block_str(json_array_get(columns, i), "text"), " |");
    if (rc == 0) rc = buf_add_str(out, "\n|");
    for (size_t i = 0; rc == 0 && i < json_array_size(columns); i++)
        rc = buf_add_str(out, json_is_true(json_object_get(json_array_get(columns, i), "right")) ? "---:|" : "---|");
    if (rc == 0) rc = buf_add_str(out, "\n");
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) rc = md_row(out, json_array_get(rows, i));
    return rc ? rc : buf_add_str(out, "\n");
}

static int md_facts(const json_t *b, const char *colon, struct buf *out)
{
    const json_t *rows = block_list(b, "rows");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
        rc = wrap(out, "- ", json_string_value(json_array_get(json_array_get(rows, i), 0)), colon);
        if (rc == 0) rc = wrap(out, "", json_string_value(json_array_get(json_array_get(rows, i), 1)), "\n");
    }
    return rc ? rc : buf_add_str(out, "\n");
}

static int md_intervals(const json_t *b, const char *colon, struct buf *out)
{
    const json_t *rows = block_list(b, "rows");
    bool is_signed = block_num(json_object_get(b, "min")) < 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
        const json_t *r = json_array_get(rows, i);
        rc = wrap(out, "- ", block_str(r, "label"), colon);
        if (rc == 0)
            rc = buf_printf(out, is_signed ? "%+.1f%s [%+.1f, %+.1f]\n" : "%.1f%s [%.1f, %.1f]\n",
                            100 * block_num(json_object_get(r, "value")), block_str(b, "unit"),
                            100 * block_num(json_object_get(r, "low")), 100 * block_num(json_object_get(r, "high")));
    }
    return rc ? rc : buf_add_str(out, "\n");
}

static int md_matrix(const json_t *b, struct buf *out)
{
    const json_t *rows = block_list(b, "rows"), *columns = block_list(b, "columns"), *counts = block_list(b, "counts");
    int rc = wrap(out, "| ", block_str(b, "row_title"), " \\\\ ");
    if (rc == 0) rc = wrap(out, "", block_str(b, "column_title"), " |");
    for (size_t k = 0; rc == 0 && k < json_array_size(columns); k++)
        rc = wrap(out, " ", json_string_value(json_array_get(columns, k)), " |");
    if (rc == 0) rc = buf_add_str(out, "\n|---|");
    for (size_t k = 0; rc == 0 && k < json_array_size(columns); k++) rc = buf_add_str(out, "---:|");
    if (rc == 0) rc = buf_add_str(out, "\n");
    for (size_t r = 0; rc == 0 && r < json_array_size(rows); r++) {
        rc = wrap(out, "| ", json_string_value(json_array_get(rows, r)), " |");
        for (size_t k = 0; rc == 0 && k < json_array_size(columns); k++)
            rc = buf_printf(out, " %.0f |", block_num(json_array_get(json_array_get(counts, r), k)));
        if (rc == 0) rc = buf_add_str(out, "\n");
    }
    return rc ? rc : buf_add_str(out, "\n");
}

/* A fence longer than any run of backticks in the text. */
static int md_code(const json_t *b, struct buf *out)
{
    const char *text = block_str(b, "text");
    size_t longest = 2, run = 0;
    for (const char *p = text; *p; p++) {
        run = *p == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i <= longest; i++) rc = buf_add_char(out, '`');
    if (rc == 0) rc = buf_printf(out, "\n%s\n", text);
    for (size_t i = 0; rc == 0 && i <= longest; i++) rc = buf_add_char(out, '`');
    return rc ? rc : buf_add_str(out, "\n\n");
}

/* The first and last point of each line, and what the axes are: Markdown has no plots. */
static int md_lines(const json_t *b, const char *colon, struct buf *out)
{
    const json_t *series = block_list(b, "series");
    int rc = wrap(out, "", block_str(b, "y"), " / ");
    if (rc == 0) rc = wrap(out, "", block_str(b, "x"), "\n\n");
    for (size_t i = 0; rc == 0 && i < json_array_size(series); i++) {
        const json_t *s = json_array_get(series, i), *points = block_list(s, "points");
        size_t n = json_array_size(points);
        rc = wrap(out, "- ", block_str(s, "label"), colon);
        if (rc == 0 && n)
            rc = buf_printf(out, "%.4g \xE2\x86\x92 %.4g", block_num(json_array_get(json_array_get(points, 0), 1)),
                            block_num(json_array_get(json_array_get(points, n - 1), 1)));
        if (rc == 0) rc = buf_add_str(out, "\n");
    }
    return rc ? rc : buf_add_str(out, "\n");
}

static int md_blocks(const json_t *blocks, const char *colon, int depth, struct buf *out, struct err *e);

static int md_block(const json_t *b, const char *colon, int depth, struct buf *out, struct err *e)
{
    const char *type = block_str(b, "type");
    if (str_eq(type, "verdict")) {
        int rc = wrap(out, "**", block_str(b, "label"), "** ");
        if (rc == 0) rc = wrap(out, "", block_str(b, "title"), colon);
        return rc ? rc : wrap(out, "", block_str(b, "text"), "\n\n");
    }
    if (str_eq(type, "heading")) return wrap(out, "## ", block_str(b, "text"), "\n\n");
    if (str_eq(type, "text")) return wrap(out, "", block_str(b, "text"), "\n\n");
    if (str_eq(type, "code")) return md_code(b, out);
    if (str_eq(type, "facts")) return md_facts(b, colon, out);
    if (str_eq(type, "table")) return md_table(b, out);
    if (str_eq(type, "intervals")) return md_intervals(b, colon, out);
    if (str_eq(type, "lines")) return md_lines(b, colon, out);
    if (str_eq(type, "matrix")) return md_matrix(b, out);
    if (str_eq(type, "details") && depth < 4) {
        int rc = wrap(out, "**", block_str(b, "summary"), "**\n\n");
        return rc ? rc : md_blocks(block_list(b, "blocks"), colon, depth + 1, out, e);
    }
    return err_set(e, ERR_INPUT, type, "cannot render a report block of type \"%s\"", type);
}

static int md_blocks(const json_t *blocks, const char *colon, int depth, struct buf *out, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(blocks); i++)
        rc = md_block(json_array_get(blocks, i), colon, depth, out, e);
    return rc;
}

int report_markdown(const json_t *doc, struct buf *out, struct err *e)
{
    const char *colon = str_eq(block_str(doc, "lang"), "zh") ? "：" : ": ";
    int rc = wrap(out, "# ", block_str(doc, "title"), "\n\n");
    if (rc == 0) rc = md_blocks(block_list(doc, "blocks"), colon, 0, out, e);
    return rc == -ERR_LIMIT || rc == -ERR_NOMEM
               ? err_set(e, -rc, NULL, "cannot write the report: longer than %zu bytes", out->max)
               : rc;
}
