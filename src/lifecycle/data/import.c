/* Dataset import. Owns the tables while it runs. What always holds: rows in = rows kept + rows counted under a reason,
 * for training and test alike; no kept training text stands in the test table. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/data/dataset_int.h"

struct counts {
    size_t train_rows, train_kept, duplicates, label_conflicts, overlaps;
    size_t test_rows, test_kept, test_beyond;
};

struct import {
    const struct import_options *o;
    struct labelled_list train, test;
    struct counts n;
    bool *keep_train, *keep_test;
    json_t *labels; /* of kept training rows, in byte order */
};

/* Rows of both tables in one order: by folded text, test rows first, then as they stand in the file. */
struct entry {
    const char *folded;
    size_t idx;
    bool test;
};

static int by_text(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->folded, y->folded);
    if (order) return order;
    if (x->test != y->test) return x->test ? -1 : 1;
    return (x->idx > y->idx) - (x->idx < y->idx);
}

static void mark_run(struct import *m, const struct entry *run, size_t n)
{
    bool in_test = run[0].test, taken = false;
    const char *label = NULL;
    for (size_t i = 0; i < n; i++) {
        if (run[i].test) continue;
        const struct labelled *row = &m->train.item[run[i].idx];
        if (in_test) {
            m->n.overlaps++;
        } else if (taken) {
            m->n.duplicates++;
        } else {
            m->keep_train[run[i].idx] = true;
            m->n.train_kept++;
            taken = true;
        }
        if (label && !str_eq(label, row->label)) m->n.label_conflicts++;
        label = row->label;
    }
}

static int mark_train(struct import *m, struct err *e)
{
    size_t n = m->train.n + m->test.n;
    struct entry *all = mem_try_array(n, sizeof *all);
    m->keep_train = mem_try_array(m->train.n, sizeof *m->keep_train);
    if (!all || !m->keep_train) {
        mem_free(all);
        return err_set(e, ERR_NOMEM, m->o->train_path, "cannot import \"%s\": out of memory", m->o->train_path);
    }
    for (size_t i = 0; i < m->train.n; i++) all[i] = (struct entry){m->train.item[i].folded, i, false};
    for (size_t i = 0; i < m->test.n; i++) all[m->train.n + i] = (struct entry){m->test.item[i].folded, i, true};
    qsort(all, n, sizeof *all, by_text);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && str_eq(all[i].folded, all[end].folded); end++) {
        }
        mark_run(m, all + i, end - i);
    }
    m->n.train_rows = m->train.n;
    mem_free(all);
    return 0;
}

/* --- labels --- */

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Distinct labels of a table in byte order: borrowed strings, *n of them; NULL without memory. */
static const char **distinct_labels(const struct labelled_list *l, size_t *n)
{
    const char **label = mem_try_array(l->n, sizeof *label);
    *n = 0;
    if (!label) return NULL;
    for (size_t i = 0; i < l->n; i++) label[i] = l->item[i].label;
    qsort(label, l->n, sizeof *label, by_string);
    for (size_t i = 0; i < l->n; i++)
        if (*n == 0 || !str_eq(label[*n - 1], label[i])) label[(*n)++] = label[i];
    return label;
}

static size_t find_label(const char **label, size_t n, const char *s)
{
    const char **at = bsearch(&s, label, n, sizeof *label, by_string);
    return at ? (size_t)(at - label) : n;
}

/* The first test_per_label rows of each label; a label that training lacks is an error: it could never be right. */
static int mark_test(struct import *m, const char **label, size_t n_label, struct err *e)
{
    size_t *seen = mem_try_array(n_label, sizeof *seen);
    m->keep_test = mem_try_array(m->test.n ? m->test.n : 1, sizeof *m->keep_test);
    int rc = seen && m->keep_test
                 ? 0
                 : err_set(e, ERR_NOMEM, m->o->test_path, "cannot import \"%s\": out of memory", m->o->test_path);
    m->n.test_rows = m->test.n;
    for (size_t i = 0; rc == 0 && i < m->test.n; i++) {
        size_t k = find_label(label, n_label, m->test.item[i].label);
        if (k == n_label) {
            rc = err_set(e, ERR_INPUT, m->test.item[i].label,
                         "cannot import \"%s\" line %zu: label \"%s\" stands in no "
                         "training row",
                         m->o->test_path, m->test.item[i].line_no, m->test.item[i].label);
            break;
        }
        bool keep = m->o->test_per_label == 0 || seen[k] < m->o->test_per_label;
        seen[k] += keep;
        m->keep_test[i] = keep;
        m->n.test_kept += keep;
        m->n.test_beyond += !keep;
    }
    mem_free(seen);
    return rc;
}

static int mark_rows(struct import *m, struct err *e)
{
    int rc = mark_train(m, e);
    if (rc) return rc;
    size_t n_label;
    const char **label = distinct_labels(&m->train, &n_label);
    m->labels = label ? json_array() : NULL;
    rc = m->labels ? mark_test(m, label, n_label, e)
                   : err_set(e, ERR_NOMEM, m->o->train_path, "cannot import \"%s\": out of memory", m->o->train_path);
    for (size_t i = 0; rc == 0 && i < n_label; i++)
        if (json_array_append_new(m->labels, json_string(label[i])))
            rc = err_set(e, ERR_NOMEM, m->o->train_path, "cannot import \"%s\": out of memory", m->o->train_path);
    mem_free(label);
    return rc;
}

/* --- output --- */

static json_t *message(const char *role, const char *content)
{
    return json_pack("{s:s,s:s}", "role", role, "content", content);
}

static json_t *train_row(const struct import *m, const struct labelled *row)
{
    json_t *list = json_array();
    if (m->o->system && json_array_append_new(list, message("system", m->o->system))) goto failed;
    if (json_array_append_new(list, message("user", row->text)) ||
        json_array_append_new(list, message("assistant", row->label)))
        goto failed;
    return json_pack("{s:o}", "messages", list);
failed:
    json_decref(list);
    return NULL;
}

static json_t *test_row(const struct import *m, const struct labelled *row, size_t number)
{
    char id[200];
    snprintf(id, sizeof id, "%.180s-%04zu", m->o->suite, number);
    json_t *c = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "id", id, "suite", m->o->suite, "task", "classification",
                          "cluster", id, "stratum", row->label, "input", row->text, "expected", row->label);
    if (c && m->o->lang && json_object_set_new(c, "lang", json_string(m->o->lang))) {
        json_decref(c);
        return NULL;
    }
    return c;
}

/* One kept row a line. */
static int format_rows(const struct import *m, bool test, struct buf *out)
{
    const struct labelled_list *l = test ? &m->test : &m->train;
    const bool *keep = test ? m->keep_test : m->keep_train;
    size_t number = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        if (!keep[i]) continue;
        json_t *row = test ? test_row(m, &l->item[i], number++) : train_row(m, &l->item[i]);
        rc = row ? json_format(row, JSON_LINE, out) : -ERR_NOMEM;
        if (rc == 0) rc = buf_add_char(out, '\n');
        json_decref(row);
    }
    return rc;
}

/* Write one file of the dataset and note it under outputs. */
static int write_rows(const struct import *m, bool test, json_t *outputs, struct err *e)
{
    static const char *const name[] = {"train.jsonl", "cases.jsonl"};
    struct buf b;
    buf_init(&b, DATASET_MAX_BYTES);
    int rc = format_rows(m, test, &b);
    if (rc)
        err_set(e, -rc, name[test], "cannot write \"%s\": out of memory or more than %d bytes", name[test],
                DATASET_MAX_BYTES);
    if (rc == 0)
        rc = dataset_write_output(m->o->out_dir, name[test], &b, test ? m->n.test_kept : m->n.train_kept, outputs, e);
    buf_deinit(&b);
    return rc;
}

static json_t *describe_counts(const struct counts *n)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "train_rows", (json_int_t)n->train_rows, "train_kept",
                     (json_int_t)n->train_kept, "train_duplicates", (json_int_t)n->duplicates, "train_test_overlaps",
                     (json_int_t)n->overlaps, "label_conflicts", (json_int_t)n->label_conflicts, "test_rows",
                     (json_int_t)n->test_rows, "test_kept", (json_int_t)n->test_kept, "test_beyond_per_label",
                     (json_int_t)n->test_beyond);
}

static int make_manifest(const struct import *m, json_t *inputs, json_t *outputs, json_t **out, struct err *e)
{
    json_t *params =
        json_pack("{s:s,s:s,s:I,s:s*}", "text_column", m->o->text_column, "label_column", m->o->label_column,
                  "test_per_label", (json_int_t)m->o->test_per_label, "system", m->o->system);
    *out = json_pack("{s:s,s:s,s:s,s:O,s:o,s:O,s:o,s:O}", "kind", "dataset", "name", m->o->suite, "format", "chat",
                     "inputs", inputs, "params", params, "outputs", outputs, "counts", describe_counts(&m->n), "labels",
                     m->labels);
    return dataset_seal(*out, e);
}

static int write_all(const struct import *m, json_t **manifest, struct err *e)
{
    json_t *inputs = json_array(), *outputs = json_array(), *all = NULL;
    char *path = path_join(m->o->out_dir, "manifest.json");
    int rc = file_mkdirs(m->o->out_dir, e);
    if (rc == 0) rc = dataset_add_input(inputs, "train", m->o->train_path, e);
    if (rc == 0) rc = dataset_add_input(inputs, "test", m->o->test_path, e);
    if (rc == 0) rc = write_rows(m, false, outputs, e);
    if (rc == 0 && m->o->test_path) rc = write_rows(m, true, outputs, e);
    if (rc == 0) rc = make_manifest(m, inputs, outputs, &all, e);
    if (rc == 0) rc = json_write_file(path, all, e);
    if (rc == 0) *manifest = json_incref(all);
    json_decref(inputs);
    json_decref(outputs);
    json_decref(all);
    mem_free(path);
    return rc;
}

/* A dataset without training rows is nothing to train on. */
static int check_kept(const struct import *m, struct err *e)
{
    if (m->n.train_kept > 0) return 0;
    return err_set(e, ERR_INPUT, m->o->train_path,
                   "cannot import \"%s\": none of its %zu rows is left, %zu stand in the test table", m->o->train_path,
                   m->n.train_rows, m->n.overlaps);
}

int dataset_import(const struct import_options *o, json_t **manifest, struct err *e)
{
    struct import m = {.o = o};
    int rc = dataset_check_place(o->out_dir, e);
    if (rc == 0) rc = labelled_list_read(&m.train, o->train_path, o->text_column, o->label_column, e);
    if (rc == 0 && o->test_path) rc = labelled_list_read(&m.test, o->test_path, o->text_column, o->label_column, e);
    if (rc == 0) rc = mark_rows(&m, e);
    if (rc == 0) rc = check_kept(&m, e);
    if (rc == 0) rc = write_all(&m, manifest, e);
    labelled_list_deinit(&m.train);
    labelled_list_deinit(&m.test);
    mem_free(m.keep_train);
    mem_free(m.keep_test);
    json_decref(m.labels);
    return rc;
}
