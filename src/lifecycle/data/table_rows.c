/* Rows of texts and labels from CSV or JSON Lines. Owns their strings. What always holds: text and label are trimmed,
 * not empty, and folded is the form in which two rows are called the same. */
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/table/csv.h"
#include "lifecycle/data/dataset.h"
#include "lifecycle/rules/fold.h"

enum { MAX_ROWS = 50 * 1000 * 1000, MAX_TEXT = 16 * 1024 * 1024 };

static char *trimmed(const char *s, size_t n)
{
    size_t len;
    const char *from = fold_trim(s, n, &len);
    return mem_strndup(from, len);
}

static int check_row(const struct labelled *row, const char *path, struct err *e)
{
    if (row->text[0] && row->label[0]) return 0;
    return err_set(e, ERR_INPUT, path, "cannot import \"%s\" line %zu: the %s is empty", path, row->line_no,
                   row->text[0] ? "label" : "text");
}

static int grow(struct labelled_list *l, const char *path, struct err *e)
{
    if (l->n < l->cap) return 0;
    size_t cap = l->cap ? 2 * l->cap : 1024;
    struct labelled *item = l->n < MAX_ROWS ? mem_try_realloc(l->item, cap * sizeof *item) : NULL;
    if (!item)
        return err_set(e, ERR_LIMIT, path, "cannot import \"%s\": %zu rows fill the memory (at most %d)", path, l->n,
                       MAX_ROWS);
    l->item = item;
    l->cap = cap;
    return 0;
}

static int add_row(struct labelled_list *l, const char *path, uint64_t line_no, const struct csv_field *text,
                   const struct csv_field *label, struct err *e)
{
    struct buf folded;
    int rc = grow(l, path, e);
    if (rc) return rc;
    buf_init(&folded, MAX_TEXT);
    rc = fold_text(text->text, text->n, &folded);
    if (rc) {
        buf_deinit(&folded);
        return err_set(e, -rc, path, "cannot import \"%s\" line %llu: the text is too long (at most %d bytes)", path,
                       (unsigned long long)line_no, MAX_TEXT);
    }
    struct labelled *row = &l->item[l->n++];
    *row = (struct labelled){.text = trimmed(text->text, text->n),
                             .label = trimmed(label->text, label->n),
                             .folded = buf_take(&folded, NULL),
                             .line_no = (size_t)line_no};
    return check_row(row, path, e);
}

static int read_csv(struct labelled_list *l, const char *path, const char *text, const char *label, struct err *e)
{
    struct csv_reader r;
    int rc = csv_open(&r, path, e);
    int text_idx = rc ? rc : csv_column(&r, text, e);
    int label_idx = text_idx < 0 ? text_idx : csv_column(&r, label, e);
    rc = label_idx < 0 ? label_idx : 0;
    while (rc == 0 && (rc = csv_next(&r, e)) == 1)
        rc = add_row(l, path, r.line_no, &r.field[text_idx], &r.field[label_idx], e);
    csv_close(&r);
    return rc;
}

static int read_jsonl_row(struct labelled_list *l, const char *path, uint64_t line_no, const json_t *row,
                          const char *text, const char *label, struct err *e)
{
    char where[300];
    struct csv_field t = {0}, c = {0};
    snprintf(where, sizeof where, "\"%.250s\" line %llu", path, (unsigned long long)line_no);
    int rc = json_get_str(row, text, &t.text, where, e);
    if (rc == 0) rc = json_get_str(row, label, &c.text, where, e);
    if (rc) return rc;
    t.n = strlen(t.text);
    c.n = strlen(c.text);
    return add_row(l, path, line_no, &t, &c, e);
}

static int read_jsonl(struct labelled_list *l, const char *path, const char *text, const char *label, struct err *e)
{
    struct json_lines lines;
    json_t *row;
    int rc = json_lines_open(&lines, path, MAX_TEXT, e);
    if (rc) return rc;
    while ((rc = json_lines_next(&lines, &row, e)) == 1) {
        rc = read_jsonl_row(l, path, lines.line_no, row, text, label, e);
        json_decref(row);
        if (rc) break;
    }
    json_lines_close(&lines);
    return rc;
}

int labelled_list_read(struct labelled_list *l, const char *path, const char *text_column, const char *label_column,
                       struct err *e)
{
    *l = (struct labelled_list){0};
    int rc;
    if (str_ends(path, ".csv"))
        rc = read_csv(l, path, text_column, label_column, e);
    else if (str_ends(path, ".jsonl"))
        rc = read_jsonl(l, path, text_column, label_column, e);
    else
        return err_set(e, ERR_INPUT, path, "cannot import \"%s\": its name ends in neither .csv nor .jsonl", path);
    if (rc == 0 && l->n == 0) rc = err_set(e, ERR_INPUT, path, "cannot import \"%s\": it holds no rows", path);
    return rc;
}

void labelled_list_deinit(struct labelled_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        mem_free(l->item[i].text);
        mem_free(l->item[i].label);
        mem_free(l->item[i].folded);
    }
    mem_free(l->item);
    *l = (struct labelled_list){0};
}
