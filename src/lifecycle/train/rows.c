/* Reads training rows. What always holds: every id is inside the vocabulary, every row has a trained token behind its
 * first, and what was left out is counted. */
#include "lifecycle/train/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/json/json.h"

enum { LINE_MAX_BYTES = 64 << 20 };
static const size_t max_rows = UINT32_MAX - 1;

void train_rows_deinit(struct train_rows *r)
{
    mem_free(r->ids);
    mem_free(r->labels);
    mem_free(r->start);
    mem_free(r->n_input);
    mem_free(r->line);
    *r = (struct train_rows){0};
}

static int grow(void *pp, size_t n, size_t size)
{
    void **p = pp;
    size_t bytes;
    if (!mul_size(n, size, &bytes)) return -ERR_NOMEM;
    void *q = mem_try_realloc(*p, bytes);
    if (q == NULL) return -ERR_NOMEM;
    *p = q;
    return 0;
}

static int reserve(struct train_rows *r, size_t n_id)
{
    if (r->n_row + 2 > r->cap_row) {
        size_t cap = r->cap_row == 0 ? 256 : 2 * r->cap_row;
        if (grow(&r->start, cap, sizeof(*r->start)) != 0 || grow(&r->line, cap, sizeof(*r->line)) != 0 ||
            grow(&r->n_input, cap, sizeof(*r->n_input)) != 0)
            return -ERR_NOMEM;
        r->cap_row = cap;
    }
    if (r->n_id + n_id > r->cap_id) {
        size_t cap = 2 * (r->n_id + n_id);
        if (grow(&r->ids, cap, sizeof(*r->ids)) != 0 || grow(&r->labels, cap, sizeof(*r->labels)) != 0)
            return -ERR_NOMEM;
        r->cap_id = cap;
    }
    return 0;
}

int train_rows_add(struct train_rows *r, const int32_t *ids, const int32_t *labels, size_t n, uint32_t line)
{
    if (r->n_row >= max_rows || reserve(r, n) != 0) return -ERR_NOMEM;
    memcpy(r->ids + r->n_id, ids, n * sizeof(*ids));
    memcpy(r->labels + r->n_id, labels, n * sizeof(*labels));
    r->labels[r->n_id] = LABEL_NONE;
    uint32_t last = 1;
    for (size_t i = 1; i < n; i++) {
        if (labels[i] == LABEL_NONE) continue;
        r->n_target++;
        last = (uint32_t)i;
    }
    r->n_input[r->n_row] = last;
    r->start[r->n_row] = r->n_id;
    r->line[r->n_row++] = line;
    r->n_id += n;
    r->start[r->n_row] = r->n_id;
    if (n > r->longest) r->longest = n;
    return 0;
}

/* --- one row --- */

struct row_buffer {
    struct trained_tokens chat;
    struct token_row row;
};

static int read_chat(struct row_buffer *b, const struct train_rows_source *s, const json_t *row, const char *where,
                     struct train_rows *r, struct err *e)
{
    int rc = conversation_render(&s->renderer, row, where, &b->chat, e);
    if (rc != 0) return rc;
    if (token_row_reserve(&b->row, b->chat.ids.n) != 0)
        return err_set(e, ERR_NOMEM, where, "cannot read %s: out of memory", where);
    b->row.n = b->chat.ids.n;
    r->n_open_turn += (uint64_t)b->chat.n_open;
    for (size_t i = 0; i < b->row.n; i++) {
        b->row.ids[i] = b->chat.ids.ids[i];
        b->row.labels[i] = b->chat.trained[i] ? b->row.ids[i] : LABEL_NONE;
    }
    return 0;
}

static int take_row(struct train_rows *r, struct row_buffer *b, const struct train_rows_source *s, const json_t *row,
                    uint64_t line, struct err *e)
{
    char where[320];
    snprintf(where, sizeof(where), "\"%.250s\" line %llu", s->path, (unsigned long long)line);
    int rc = s->is_chat ? read_chat(b, s, row, where, r, e) : token_row_read(&b->row, row, s->n_vocab, where, e);
    if (rc != 0) return rc;
    r->n_read++;
    if (b->row.n > s->max_length) {
        if (!s->drop_too_long)
            return err_set(e, ERR_INPUT, where,
                           "cannot use %s: it has %zu tokens, max_length is %zu (too_long: drop leaves such rows out)",
                           where, b->row.n, s->max_length);
        r->n_too_long++;
        return 0;
    }
    rc = token_row_check_target(&b->row, where, e);
    if (rc == 0 && train_rows_add(r, b->row.ids, b->row.labels, b->row.n, (uint32_t)line) != 0)
        rc = err_set(e, ERR_NOMEM, where, "cannot read %s: out of memory", where);
    return rc;
}

/* --- duplicates --- */

struct keyed_row {
    uint64_t hash;
    size_t row;
};

static int by_hash(const void *a, const void *b)
{
    const struct keyed_row *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* FNV-1a over the tokens of a row; equal hashes are compared in full. */
static uint64_t row_hash(const struct train_rows *r, size_t row)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = r->start[row]; i < r->start[row + 1]; i++) h = (h ^ (uint32_t)r->ids[i]) * 0x100000001b3u;
    return h;
}

static bool same_rows(const struct train_rows *r, size_t a, size_t b)
{
    size_t n = train_row_len(r, a);
    return n == train_row_len(r, b) && memcmp(r->ids + r->start[a], r->ids + r->start[b], n * sizeof(*r->ids)) == 0 &&
           memcmp(r->labels + r->start[a], r->labels + r->start[b], n * sizeof(*r->labels)) == 0;
}

static int count_duplicates(struct train_rows *r)
{
    struct keyed_row *key = mem_try_array(r->n_row, sizeof(*key));
    if (key == NULL) return -ERR_NOMEM;
    for (size_t i = 0; i < r->n_row; i++) key[i] = (struct keyed_row){row_hash(r, i), i};
    qsort(key, r->n_row, sizeof(*key), by_hash);
    for (size_t i = 1; i < r->n_row; i++)
        r->n_duplicate += key[i].hash == key[i - 1].hash && same_rows(r, key[i].row, key[i - 1].row);
    mem_free(key);
    return 0;
}

int train_rows_load(struct train_rows *out, const struct train_rows_source *s, struct err *e)
{
    struct json_lines lines;
    struct row_buffer b = {0};
    json_t *row = NULL;
    *out = (struct train_rows){0};
    int rc = json_lines_open(&lines, s->path, LINE_MAX_BYTES, e);
    if (rc != 0) return rc;
    while ((rc = json_lines_next(&lines, &row, e)) == 1) {
        rc = take_row(out, &b, s, row, lines.line_no, e);
        json_decref(row);
        if (rc != 0) break;
    }
    if (rc == 0 && out->n_row == 0)
        rc = err_set(e, ERR_INPUT, s->path, "cannot tune with \"%s\": it has no rows%s", s->path,
                     out->n_too_long > 0 ? " that are short enough" : "");
    if (rc == 0 && count_duplicates(out) != 0)
        rc = err_set(e, ERR_NOMEM, s->path, "cannot read \"%s\": out of memory", s->path);
    trained_tokens_deinit(&b.chat);
    token_row_deinit(&b.row);
    json_lines_close(&lines);
    if (rc != 0) train_rows_deinit(out);
    return rc;
}
