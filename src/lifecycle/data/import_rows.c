/* Import of training rows that are ready-made. Owns the text of the rows while it runs. What always holds: the rows
 * that come out are those that went in, in their order; each was checked. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"
#include "lifecycle/data/dataset_int.h"
#include "lifecycle/data/example.h"
#include "lifecycle/data/row_weight.h"
#include "lifecycle/data/token_row.h"

enum { MAX_LINE = 64 * 1024 * 1024, MAX_ROWS = 50 * 1000 * 1000, MAX_TEACHERS = 256 };

const char *dataset_format_name(enum dataset_format f)
{
    static const char *const name[] = {"table", "chat", "tokens"};
    return name[f];
}

/* Rows of a conversation, whatever their form (example.h). */
static bool is_conversation(const json_t *row)
{
    static const char *const mark[][2] = {{"messages", NULL},
                                          {"conversations", NULL},
                                          {"prompt", "completion"},
                                          {"chosen", "rejected"},
                                          {"instruction", "output"}};
    for (size_t i = 0; i < N_ELEM(mark); i++)
        if (json_object_get(row, mark[i][0]) && (!mark[i][1] || json_object_get(row, mark[i][1]))) return true;
    return false;
}

int dataset_format_find(const char *path, enum dataset_format *out, struct err *e)
{
    struct json_lines lines;
    json_t *row = NULL;
    *out = DATASET_TABLE;
    if (!str_ends(path, ".jsonl")) return 0;
    int rc = json_lines_open(&lines, path, MAX_LINE, e);
    if (rc) return rc;
    rc = json_lines_next(&lines, &row, e);
    if (rc == 0) rc = err_set(e, ERR_INPUT, path, "cannot import \"%s\": it holds no rows", path);
    if (rc == 1 && is_conversation(row))
        *out = DATASET_CHAT;
    else if (rc == 1 && json_object_get(row, "ids") && json_object_get(row, "labels"))
        *out = DATASET_TOKENS;
    json_decref(row);
    json_lines_close(&lines);
    return rc < 0 ? rc : 0;
}

struct rows {
    struct buf text; /* the rows, one a line */
    char (*digest)[DIGEST_HEX_SIZE];
    size_t n, cap;
    struct token_row token;
    json_t *teachers; /* owned: [{"teacher", "licence", "rows"}], of rows that name whose answers they are */
};

/* As the method will read it that its members speak of. */
static int check_conversation(const json_t *row, const char *where, struct err *e)
{
    struct example x = {0};
    enum row_verdict v;
    enum example_kind kind = json_object_get(row, "chosen")                   ? EXAMPLE_PAIR
                             : json_is_boolean(json_object_get(row, "label")) ? EXAMPLE_JUDGED
                                                                              : EXAMPLE_ANSWER;
    double weight;
    int rc = example_read(&x, row, FORM_ANY, kind, where, &v, e);
    example_deinit(&x);
    return rc ? rc : row_weight_read(row, kind, where, &weight, e);
}

static int check_row(struct rows *r, enum dataset_format format, const json_t *row, const char *where, struct err *e)
{
    if (format == DATASET_CHAT) return check_conversation(row, where, e);
    double weight;
    int rc = token_row_read(&r->token, row, INT32_MAX, where, e); /* the vocabulary is known when a model is */
    if (rc == 0) rc = row_weight_read(row, EXAMPLE_ANSWER, where, &weight, e);
    return rc ? rc : token_row_check_target(&r->token, where, e);
}

static json_t *find_teacher(const json_t *teachers, const json_t *teacher, const json_t *licence)
{
    size_t i;
    json_t *t;
    json_array_foreach(teachers, i, t) if (json_equal(json_object_get(t, "teacher"), teacher) &&
                                           json_equal(json_object_get(t, "licence"), licence)) return t;
    return NULL;
}

/* Whose answers a row holds (generate.h): the dataset goes on saying so where its rows are not looked at. */
static int note_teacher(struct rows *r, const json_t *row, const char *where, struct err *e)
{
    json_t *teacher = json_object_get(row, "teacher"), *licence = json_object_get(row, "licence");
    if (!json_is_string(teacher) || !json_is_string(licence)) return 0;
    json_t *t = find_teacher(r->teachers, teacher, licence);
    if (!t && json_array_size(r->teachers) == MAX_TEACHERS)
        return err_set(e, ERR_LIMIT, where,
                       "cannot import %s: more than %d teachers and licences are named by the rows", where,
                       MAX_TEACHERS);
    if (!t) {
        t = json_pack("{s:O,s:O,s:i}", "teacher", teacher, "licence", licence, "rows", 0);
        if (json_array_append_new(r->teachers, t))
            return err_set(e, ERR_NOMEM, where, "cannot import %s: out of memory", where);
    }
    json_t *n = json_object_get(t, "rows");
    json_integer_set(n, json_integer_value(n) + 1);
    return 0;
}

static int keep_row(struct rows *r, const struct json_lines *lines, const json_t *row, struct err *e)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 1024;
        void *grown = r->n < MAX_ROWS ? mem_try_realloc(r->digest, cap * sizeof *r->digest) : NULL;
        if (!grown)
            return err_set(e, ERR_LIMIT, lines->path, "cannot import \"%s\": %zu rows fill the memory (at most %d)",
                           lines->path, r->n, MAX_ROWS);
        r->digest = grown;
        r->cap = cap;
    }
    if (buf_add(&r->text, lines->text, lines->text_len) || buf_add_char(&r->text, '\n'))
        return err_set(e, ERR_LIMIT, lines->path, "cannot import \"%s\": more than %d bytes, or out of memory",
                       lines->path, DATASET_MAX_BYTES);
    return json_digest(row, r->digest[r->n++], e);
}

static int read_rows(struct rows *r, enum dataset_format format, const char *path, struct err *e)
{
    struct json_lines lines;
    json_t *row;
    int rc = json_lines_open(&lines, path, MAX_LINE, e);
    if (rc) return rc;
    while ((rc = json_lines_next(&lines, &row, e)) == 1) {
        char where[300];
        snprintf(where, sizeof where, "\"%.250s\" line %llu", path, (unsigned long long)lines.line_no);
        rc = check_row(r, format, row, where, e);
        if (rc == 0) rc = note_teacher(r, row, where, e);
        if (rc == 0) rc = keep_row(r, &lines, row, e);
        json_decref(row);
        if (rc) break;
    }
    json_lines_close(&lines);
    if (rc == 0 && r->n == 0) rc = err_set(e, ERR_INPUT, path, "cannot import \"%s\": it holds no rows", path);
    return rc;
}

static int by_digest(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Rows whose JSON says the same as that of an earlier one; reorders the digests. */
static size_t count_duplicates(struct rows *r)
{
    size_t n = 0;
    qsort(r->digest, r->n, sizeof *r->digest, by_digest);
    for (size_t i = 1; i < r->n; i++) n += str_eq(r->digest[i - 1], r->digest[i]);
    return n;
}

static int write_rows(struct rows *r, const struct import_options *o, enum dataset_format format, json_t **manifest,
                      struct err *e)
{
    json_t *inputs = json_array(), *outputs = json_array();
    char *path = path_join(o->out_dir, "manifest.json");
    int rc = file_mkdirs(o->out_dir, e);
    if (rc == 0) rc = dataset_add_input(inputs, "train", o->train_path, e);
    if (rc == 0) rc = dataset_write_output(o->out_dir, "train.jsonl", &r->text, r->n, outputs, e);
    *manifest = rc ? NULL
                   : json_pack("{s:s,s:s,s:s,s:O,s:O,s:{s:I,s:I,s:I}}", "kind", "dataset", "name", o->suite, "format",
                               dataset_format_name(format), "inputs", inputs, "outputs", outputs, "counts",
                               "train_rows", (json_int_t)r->n, "train_kept", (json_int_t)r->n, "train_duplicates_kept",
                               (json_int_t)count_duplicates(r));
    if (rc == 0 && json_array_size(r->teachers) > 0 && json_object_set(*manifest, "teachers", r->teachers))
        rc = err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path);
    if (rc == 0) rc = dataset_seal(*manifest, e);
    if (rc == 0) rc = json_write_file(path, *manifest, e);
    if (rc) {
        json_decref(*manifest);
        *manifest = NULL;
    }
    json_decref(inputs);
    json_decref(outputs);
    mem_free(path);
    return rc;
}

int dataset_import_rows(const struct import_options *o, enum dataset_format format, json_t **manifest, struct err *e)
{
    struct rows r = {.teachers = json_array()};
    buf_init(&r.text, DATASET_MAX_BYTES);
    int rc = dataset_check_place(o->out_dir, e);
    if (rc == 0) rc = read_rows(&r, format, o->train_path, e);
    if (rc == 0) rc = write_rows(&r, o, format, manifest, e);
    buf_deinit(&r.text);
    json_decref(r.teachers);
    mem_free(r.digest);
    token_row_deinit(&r.token);
    return rc;
}
