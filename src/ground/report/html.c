/* Documents as HTML. Owns nothing. What always holds: whatever a text holds, it comes out as text; the file asks
 * nothing of the network, which its content policy states too. */
#include <math.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/report/report_int.h"

const char *block_str(const json_t *block, const char *key)
{
    const char *s = json_string_value(json_object_get(block, key));
    return s ? s : "";
}

const json_t *block_list(const json_t *block, const char *key)
{
    const json_t *v = json_object_get(block, key);
    return json_is_array(v) ? v : NULL;
}

double block_num(const json_t *v)
{
    double x = json_number_value(v);
    return isfinite(x) ? x : 0;
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

int html_text(struct buf *out, const char *s)
{
    int rc = 0;
    for (; rc == 0 && *s; s++) {
        const char *name = entity(*s);
        bool control = (unsigned char)*s < 0x20 && *s != '\n' && *s != '\t';
        if (name)
            rc = buf_add_str(out, name);
        else
            rc = control ? buf_add_str(out, "\xEF\xBF\xBD") : buf_add_char(out, *s);
    }
    return rc;
}

/* Pieces in order: markup as it is, then text escaped, then markup; NULL text is left out. */
static int wrap(struct buf *out, const char *before, const char *text, const char *after)
{
    int rc = buf_add_str(out, before);
    if (rc == 0 && text) rc = html_text(out, text);
    return rc ? rc : buf_add_str(out, after);
}

static int html_verdict(const json_t *b, struct buf *out)
{
    const char *state = block_str(b, "state");
    const char *tone = str_eq(state, "PASS") ? "good" : str_eq(state, "FAIL") ? "bad" : "open";
    int rc = buf_printf(out, "<section class=\"verdict %s\">", tone);
    if (rc == 0) rc = wrap(out, "<p class=\"state\">", block_str(b, "label"), "</p>");
    if (rc == 0) rc = wrap(out, "<div><p class=\"what\">", block_str(b, "title"), "</p>");
    return rc ? rc : wrap(out, "<p>", block_str(b, "text"), "</p></div></section>\n");
}

static int html_facts(const json_t *b, struct buf *out)
{
    const json_t *rows = block_list(b, "rows");
    int rc = buf_add_str(out, "<dl>");
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = json_string_value(json_array_get(row, 0)),
                   *value = json_string_value(json_array_get(row, 1));
        rc = wrap(out, "<dt>", name ? name : "", "</dt>");
        if (rc == 0) rc = wrap(out, "<dd>", value ? value : "", "</dd>");
    }
    return rc ? rc : buf_add_str(out, "</dl>\n");
}

static bool is_right(const json_t *columns, size_t i)
{
    return json_is_true(json_object_get(json_array_get(columns, i), "right"));
}

static int html_table(const json_t *b, struct buf *out)
{
    const json_t *columns = block_list(b, "columns"), *rows = block_list(b, "rows");
    int rc = buf_add_str(out, "<div class=\"scroll\"><table>");
    if (rc == 0 && block_str(b, "caption")[0]) rc = wrap(out, "<caption>", block_str(b, "caption"), "</caption>");
    if (rc == 0) rc = buf_add_str(out, "<thead><tr>");
    for (size_t i = 0; rc == 0 && i < json_array_size(columns); i++)
        rc = wrap(out, is_right(columns, i) ? "<th class=\"n\">" : "<th>",
                  block_str(json_array_get(columns, i), "text"), "</th>");
    if (rc == 0) rc = buf_add_str(out, "</tr></thead><tbody>\n");
    for (size_t r = 0; rc == 0 && r < json_array_size(rows); r++) {
        const json_t *row = json_array_get(rows, r);
        rc = buf_add_str(out, "<tr>");
        for (size_t i = 0; rc == 0 && i < json_array_size(row); i++) {
            const char *cell = json_string_value(json_array_get(row, i));
            rc = wrap(out, is_right(columns, i) ? "<td class=\"n\">" : "<td>", cell ? cell : "", "</td>");
        }
        if (rc == 0) rc = buf_add_str(out, "</tr>\n");
    }
    return rc ? rc : buf_add_str(out, "</tbody></table></div>\n");
}

static double largest_count(const json_t *counts)
{
    double most = 1;
    for (size_t r = 0; r < json_array_size(counts); r++)
        for (size_t k = 0; k < json_array_size(json_array_get(counts, r)); k++)
            most = fmax(most, block_num(json_array_get(json_array_get(counts, r), k)));
    return most;
}

static int matrix_row(const json_t *row, size_t idx, double most, struct buf *out)
{
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < json_array_size(row); k++) {
        double n = block_num(json_array_get(row, k));
        if (n > 0)
            rc = buf_printf(out, "<td class=\"%s\" style=\"--s:%.0f%%\">%.0f</td>", k == idx ? "hit" : "miss",
                            15 + 60 * sqrt(n / most), n);
        else
            rc = buf_add_str(out, "<td class=\"nil\">\xC2\xB7</td>");
    }
    return rc;
}

/* A matrix as a table: a cell is tinted by its share of the largest count; column numbers stand for the labels of rows,
 * since labels are long, and the columns past the rows keep their names. */
static int html_matrix(const json_t *b, struct buf *out)
{
    const json_t *rows = block_list(b, "rows"), *columns = block_list(b, "columns"), *counts = block_list(b, "counts");
    double most = largest_count(counts);
    int rc = buf_add_str(out, "<div class=\"scroll\"><table class=\"matrix\">");
    if (rc == 0) rc = wrap(out, "<thead><tr><th>", block_str(b, "row_title"), " \xE2\x86\x93 ");
    if (rc == 0) rc = wrap(out, "", block_str(b, "column_title"), " \xE2\x86\x92</th>");
    for (size_t k = 0; rc == 0 && k < json_array_size(columns); k++) {
        const char *name = json_string_value(json_array_get(columns, k));
        if (k < json_array_size(rows))
            rc = buf_printf(out, "<th class=\"n\">%zu</th>", k + 1);
        else
            rc = wrap(out, "<th class=\"n\">", name ? name : "", "</th>");
    }
    if (rc == 0) rc = buf_add_str(out, "</tr></thead><tbody>\n");
    for (size_t r = 0; rc == 0 && r < json_array_size(rows); r++) {
        const char *name = json_string_value(json_array_get(rows, r));
        rc = buf_printf(out, "<tr><th><span class=\"idx\">%zu</span> ", r + 1);
        if (rc == 0) rc = wrap(out, "", name ? name : "", "</th>");
        if (rc == 0) rc = matrix_row(json_array_get(counts, r), r, most, out);
        if (rc == 0) rc = buf_add_str(out, "</tr>\n");
    }
    return rc ? rc : buf_add_str(out, "</tbody></table></div>\n");
}

static int html_blocks(const json_t *blocks, int depth, struct buf *out, struct err *e);

static int html_details(const json_t *b, int depth, struct buf *out, struct err *e)
{
    const char *begin = json_is_true(json_object_get(b, "open")) ? "<details open><summary>" : "<details><summary>";
    int rc = wrap(out, begin, block_str(b, "summary"), "</summary>\n");
    if (rc == 0) rc = html_blocks(block_list(b, "blocks"), depth + 1, out, e);
    return rc ? rc : buf_add_str(out, "</details>\n");
}

static int html_block(const json_t *b, int depth, struct buf *out, struct err *e)
{
    const char *type = block_str(b, "type");
    if (str_eq(type, "verdict")) return html_verdict(b, out);
    if (str_eq(type, "heading")) return wrap(out, "<h2>", block_str(b, "text"), "</h2>\n");
    if (str_eq(type, "text")) return wrap(out, "<p>", block_str(b, "text"), "</p>\n");
    if (str_eq(type, "code")) return wrap(out, "<pre>", block_str(b, "text"), "</pre>\n");
    if (str_eq(type, "facts")) return html_facts(b, out);
    if (str_eq(type, "table")) return html_table(b, out);
    if (str_eq(type, "intervals")) return svg_intervals(b, out);
    if (str_eq(type, "lines")) return svg_lines(b, out);
    if (str_eq(type, "matrix")) return html_matrix(b, out);
    if (str_eq(type, "details") && depth < 4) return html_details(b, depth, out, e);
    return err_set(e, ERR_INPUT, type, "cannot render a report block of type \"%s\"", type);
}

static int html_blocks(const json_t *blocks, int depth, struct buf *out, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(blocks); i++)
        rc = html_block(json_array_get(blocks, i), depth, out, e);
    return rc;
}

int report_html(const json_t *doc, struct buf *out, struct err *e)
{
    bool zh = str_eq(block_str(doc, "lang"), "zh");
    int rc = buf_printf(
        out,
        "<!doctype html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n",
        zh ? "zh-CN" : "en");
    if (rc == 0) rc = wrap(out, "<title>", block_str(doc, "title"), "</title>\n<style>");
    if (rc == 0) rc = buf_add_str(out, report_style);
    if (rc == 0) rc = wrap(out, "</style></head><body><main>\n<h1>", block_str(doc, "title"), "</h1>\n");
    if (rc == 0) rc = html_blocks(block_list(doc, "blocks"), 0, out, e);
    if (rc == 0) rc = buf_add_str(out, "</main></body></html>\n");
    return rc == -ERR_LIMIT || rc == -ERR_NOMEM
               ? err_set(e, -rc, NULL, "cannot write the report: longer than %zu bytes", out->max)
               : rc;
}
