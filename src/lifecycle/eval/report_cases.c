/* Sections of a report about cases: confusion, and what changed. Owns nothing. What always holds: every counted case is
 * in exactly one cell of the matrix, answers that are none of the labels in a column of their own. */
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/eval/report_int.h"
#include "lifecycle/rules/fold.h"

enum { MAX_LABELS = 60, MAX_LISTED = 200 };

static size_t find_label(const json_t *labels, const char *s, size_t n)
{
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const json_t *l = json_array_get(labels, i);
        if (json_string_length(l) == n && memcmp(json_string_value(l), s, n) == 0) return i;
    }
    return json_array_size(labels);
}

/* counts[n_label][n_label + 1]; the last column: none of the labels. */
static void count_cells(const struct eval_result *r, const json_t *labels, size_t *counts)
{
    size_t n = json_array_size(labels);
    for (size_t i = 0; i < json_array_size(r->records); i++) {
        const json_t *record = json_array_get(r->records, i);
        const char *expected = record_str(record, "expected"), *output = record_str(record, "output");
        size_t row = find_label(labels, expected, strlen(expected)), len;
        const char *answer = fold_trim(output, strlen(output), &len);
        if (record_counts(record) && row < n) counts[row * (n + 1) + find_label(labels, answer, len)]++;
    }
}

static json_t *cells_json(const size_t *counts, size_t n)
{
    json_t *rows = json_array();
    for (size_t r = 0; r < n; r++) {
        json_t *row = json_array();
        for (size_t k = 0; k <= n; k++)
            if (json_array_append_new(row, json_integer((json_int_t)counts[r * (n + 1) + k]))) {
                json_decref(row);
                json_decref(rows);
                return NULL;
            }
        if (json_array_append_new(rows, row)) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

void compose_confusion(struct composer *c, size_t idx)
{
    const struct eval_result *r = &c->in->eval[idx];
    json_t *labels = json_object_get(r->manifest, "labels");
    size_t n = json_array_size(labels);
    char name[32];
    if (n == 0 || n > MAX_LABELS) return;
    size_t *counts = mem_try_array(n * (n + 1), sizeof *counts);
    json_t *columns = json_deep_copy(labels);
    if (!counts || !columns || json_array_append_new(columns, json_string(compose_text(c, "other", "其他")))) {
        c->failed = true;
    } else {
        count_cells(r, labels, counts);
        compose_eval_name(c, idx, name, sizeof name);
        compose_add(c, json_pack("{s:s,s:o}", "type", "heading", "text",
                                 compose_printf(compose_text(c, "Confusion: %s", "混淆矩阵：%s"), name)));
        compose_add(c, json_pack("{s:s,s:O,s:O,s:o,s:s,s:s}", "type", "matrix", "rows", labels, "columns", columns,
                                 "counts", cells_json(counts, n), "row_title", compose_text(c, "expected", "标准答案"),
                                 "column_title", compose_text(c, "answered", "模型回答")));
        compose_add(
            c,
            json_pack("{s:s,s:s}", "type", "text", "text",
                      compose_text(c,
                                   "Columns are numbered like the rows; \"other\" counts answers that are none of the "
                                   "labels.",
                                   "列号与行号对应；“其他”为不属于任何标签的回答。")));
    }
    json_decref(columns);
    mem_free(counts);
}

static json_t *text_of(const json_t *record, const char *key)
{
    json_t *v = json_object_get(record, key);
    if (json_is_string(v)) return json_incref(v);
    struct buf line;
    buf_init(&line, 1 << 26);
    json_t *text = v && json_format(v, JSON_LINE, &line) == 0 ? json_stringn(line.data, line.len) : json_string("");
    buf_deinit(&line);
    return text;
}

enum change { CHANGE_BROKEN, CHANGE_FIXED, CHANGE_STILL_WRONG };

static bool is_change(const struct case_pair *p, enum change kind)
{
    double base = record_score(p->base), fresh = record_score(p->fresh);
    if (kind == CHANGE_STILL_WRONG) return base < 1 && fresh < 1 && base >= fresh && base <= fresh;
    return kind == CHANGE_FIXED ? fresh > base : fresh < base;
}

/* Cases of a kind, at most MAX_LISTED of them; returns how many there are. */
static size_t list_changes(struct composer *c, const struct comparison *cmp, enum change kind, json_t *rows)
{
    size_t n = 0;
    for (size_t i = 0; i < cmp->n_pair; i++) {
        const struct case_pair *p = &cmp->pair[i];
        if (!is_change(p, kind)) continue;
        if (n++ < MAX_LISTED &&
            json_array_append_new(rows, json_pack("[s,o,o,o,o]", record_str(p->base, "id"), text_of(p->base, "input"),
                                                  text_of(p->base, "expected"), text_of(p->base, "output"),
                                                  text_of(p->fresh, "output"))))
            c->failed = true;
    }
    return n;
}

static void changes(struct composer *c, const struct comparison *cmp, enum change kind, const char *what)
{
    json_t *rows = json_array();
    size_t n = list_changes(c, cmp, kind, rows);
    json_t *table =
        json_pack("{s:s,s:[{s:s},{s:s},{s:s},{s:s},{s:s}],s:O}", "type", "table", "columns", "text",
                  compose_text(c, "id", "编号"), "text", compose_text(c, "Input", "题目"), "text",
                  compose_text(c, "Expected", "标准答案"), "text", compose_text(c, "Base answered", "基准的回答"),
                  "text", compose_text(c, "New answered", "新模型的回答"), "rows", rows);
    json_t *summary = n > MAX_LISTED
                          ? compose_printf(compose_text(c, "%s: %zu cases, the first %d", "%s：%zu 题，列出前 %d 题"),
                                           what, n, MAX_LISTED)
                          : compose_printf(compose_text(c, "%s: %zu cases", "%s：%zu 题"), what, n);
    compose_add(c, json_pack("{s:s,s:o,s:b,s:[o]}", "type", "details", "summary", summary, "open",
                             kind == CHANGE_BROKEN, "blocks", table));
    json_decref(rows);
}

void compose_changes(struct composer *c, const struct comparison *cmp)
{
    compose_heading(c, compose_text(c, "Cases that changed", "结果变化的题目"));
    changes(c, cmp, CHANGE_BROKEN, compose_text(c, "Broken", "由对变错"));
    changes(c, cmp, CHANGE_FIXED, compose_text(c, "Fixed", "由错变对"));
    changes(c, cmp, CHANGE_STILL_WRONG, compose_text(c, "Wrong in both", "两次都错"));
}
