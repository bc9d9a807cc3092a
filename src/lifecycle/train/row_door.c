/* Rows come in. Owns what happens to each of them: read, understood, rendered, measured, compared with those before,
 * and given a verdict. What always holds: rows read = the sum of all verdicts; every id is inside the vocabulary; a
 * refused row leaves nothing behind but its record. */
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/data/row_file.h"
#include "lifecycle/data/row_weight.h"
#include "lifecycle/train/row_set.h"

enum { REFUSED_MAX_BYTES = 256 << 20, WHERE_SIZE = 320 };

struct door {
    const struct train_rows_source *s;
    struct train_rows *out;
    struct row_file file;
    struct row_set seen;
    struct example example;
    struct trained_tokens chat;
    struct token_row row;
    char where[WHERE_SIZE]; /* the row in hand */
};

static int no_memory(const struct door *d, struct err *e)
{
    return err_set(e, ERR_NOMEM, d->s->path, "cannot read %s: out of memory", d->where);
}

/* --- verdicts --- */

static int record_refusal(struct door *d, enum row_verdict v, const char *reason)
{
    struct train_rows *r = d->out;
    json_t *record = json_pack("{s:s,s:I,s:s,s:s}", "file", d->s->path, "line", (json_int_t)d->file.line_no, "verdict",
                               row_verdict_name(v), "reason", reason);
    int rc = record == NULL ? -ERR_NOMEM : json_format(record, JSON_LINE, &r->refused);
    json_decref(record);
    if (rc == 0) rc = buf_add_char(&r->refused, '\n');
    return rc;
}

/* The row is left out: an error where the run is strict. why is what the error will be then. */
static int refuse(struct door *d, enum row_verdict v, const struct err *why, struct err *e)
{
    struct train_rows *r = d->out;
    r->n_verdict[v]++;
    r->n_refused++;
    if (r->first_refusal[0] == '\0') snprintf(r->first_refusal, sizeof(r->first_refusal), "%s", why->msg);
    if (d->s->strict || (v == ROW_OVER_LENGTH && d->s->too_long == TOO_LONG_REFUSE)) {
        if (e != NULL) *e = *why;
        return -why->code;
    }
    if (record_refusal(d, v, why->msg) == 0) return 0;
    return err_set(e, ERR_LIMIT, d->s->path,
                   "cannot use \"%s\": too many of its rows are refused (%llu so far), first: %s", d->s->path,
                   (unsigned long long)r->n_refused, r->first_refusal);
}

/* --- one row of tokens into out --- */

static int take_tokens(struct door *d, bool *truncated, enum row_verdict *v, struct err *e)
{
    const struct train_rows_source *s = d->s;
    if (d->row.n > s->max_length && s->too_long != TOO_LONG_TRUNCATE) {
        *v = ROW_OVER_LENGTH;
        return err_set(
            e, ERR_INPUT, d->where,
            "cannot use %s: it has %zu tokens, max_length is %zu (too_long: drop leaves such rows out, truncate "
            "cuts them)",
            d->where, d->row.n, s->max_length);
    }
    if (d->row.n > s->max_length) {
        d->row.n = s->max_length;
        *truncated = true;
    }
    *v = ROW_EMPTY_TARGET;
    int rc = token_row_check_target(&d->row, d->where, e);
    if (rc != 0) return rc;
    *v = ROW_KEPT;
    if (train_rows_add(d->out, d->row.ids, d->row.labels, d->row.n, (uint32_t)d->file.line_no) != 0)
        return no_memory(d, e);
    return 0;
}

static int take_conversation(struct door *d, const json_t *messages, bool *truncated, enum row_verdict *v,
                             struct err *e)
{
    struct conversation c = {messages, d->example.n_prompt, d->example.tools, d->example.variables};
    *v = ROW_UNRENDERED;
    int rc = conversation_render(&d->s->renderer, &c, d->where, &d->chat, e);
    if (rc != 0) return rc;
    if (token_row_reserve(&d->row, d->chat.ids.n) != 0) return no_memory(d, e);
    d->row.n = d->chat.ids.n;
    d->out->n_open_turn += (uint64_t)d->chat.n_open;
    for (size_t i = 0; i < d->row.n; i++) {
        d->row.ids[i] = d->chat.ids.ids[i];
        d->row.labels[i] = d->chat.trained[i] ? d->row.ids[i] : LABEL_NONE;
    }
    return take_tokens(d, truncated, v, e);
}

/* A prompt: nothing of it is trained, and its columns are kept for those who judge answers. */
static int take_prompt(struct door *d, const json_t *row, enum row_verdict *v, struct err *e)
{
    struct conversation c = {d->example.messages, d->example.n_prompt, d->example.tools, d->example.variables};
    struct token_list ids = {0};
    *v = ROW_UNRENDERED;
    int rc = conversation_prompt_ids(&d->s->renderer, &c, d->where, &ids, e);
    if (rc == 0 && ids.n > d->s->max_length) {
        *v = ROW_OVER_LENGTH;
        rc = err_set(e, ERR_INPUT, d->where, "cannot use %s: its prompt has %zu tokens, max_length leaves %zu",
                     d->where, ids.n, d->s->max_length);
    }
    if (rc == 0 && token_row_reserve(&d->row, ids.n) != 0) rc = no_memory(d, e);
    for (size_t i = 0; rc == 0 && i < ids.n; i++) {
        d->row.ids[i] = ids.ids[i];
        d->row.labels[i] = LABEL_NONE;
    }
    if (rc == 0 && train_rows_add(d->out, d->row.ids, d->row.labels, ids.n, (uint32_t)d->file.line_no) != 0)
        rc = no_memory(d, e);
    if (rc == 0 && json_array_append(d->out->columns, (json_t *)(uintptr_t)row) != 0) rc = no_memory(d, e);
    token_list_deinit(&ids);
    return rc;
}

static int take_chat(struct door *d, const json_t *row, bool *truncated, enum row_verdict *v, struct err *e)
{
    int rc = example_read(&d->example, row, d->s->form, d->s->kind, d->where, v, e);
    if (rc == 0 && d->s->kind == EXAMPLE_PROMPT) return take_prompt(d, row, v, e);
    if (rc == 0) rc = take_conversation(d, d->example.messages, truncated, v, e);
    if (rc == 0 && d->s->kind == EXAMPLE_PAIR) rc = take_conversation(d, d->example.rejected, truncated, v, e);
    if (rc == 0) d->out->desirable[d->out->n_row - 1] = d->s->kind != EXAMPLE_JUDGED || d->example.desirable;
    return rc;
}

static int take_ids(struct door *d, const json_t *row, bool *truncated, enum row_verdict *v, struct err *e)
{
    *v = ROW_BAD_FIELDS;
    int rc = token_row_read(&d->row, row, d->s->n_vocab, d->where, e);
    return rc != 0 ? rc : take_tokens(d, truncated, v, e);
}

static int take_token_row(struct door *d, const json_t *row, bool *truncated, enum row_verdict *v, struct err *e)
{
    if (d->s->kind == EXAMPLE_PAIR) {
        const json_t *chosen, *rejected;
        *v = ROW_BAD_FIELDS;
        int rc = json_get_object(row, "chosen", &chosen, d->where, e);
        if (rc == 0) rc = json_get_object(row, "rejected", &rejected, d->where, e);
        if (rc == 0) rc = take_ids(d, chosen, truncated, v, e);
        return rc != 0 ? rc : take_ids(d, rejected, truncated, v, e);
    }
    bool desirable = true;
    *v = ROW_BAD_FIELDS;
    int rc = d->s->kind == EXAMPLE_JUDGED ? json_get_bool(row, "label", &desirable, d->where, e) : 0;
    if (rc == 0) rc = take_ids(d, row, truncated, v, e);
    if (rc == 0) d->out->desirable[d->out->n_row - 1] = desirable;
    return rc;
}

/* --- one example --- */

/* Forget the rows from `first` on. */
static void take_back(struct train_rows *r, size_t first, uint64_t n_open)
{
    for (size_t i = first; i < r->n_row; i++) r->n_target -= train_row_targets(r, i);
    r->n_id = first < r->n_row ? r->start[first] : r->n_id;
    r->n_row = first;
    while (json_array_size(r->columns) > first) json_array_remove(r->columns, first);
    r->n_open_turn = n_open;
}

static bool pair_is_same(const struct train_rows *r, size_t first)
{
    size_t n = train_row_len(r, first);
    return n == train_row_len(r, first + 1) &&
           memcmp(r->ids + r->start[first], r->ids + r->start[first + 1], n * sizeof(*r->ids)) == 0;
}

/* The weight of the row that was just added; 0: it is to be left out. */
static int weigh(struct door *d, const json_t *row, double *weight, enum row_verdict *v, struct err *e)
{
    *v = ROW_BAD_FIELDS;
    int rc = row_weight_read(row, d->s->kind, d->where, weight, e);
    if (rc == 0 && *weight > 0) d->out->weight[d->out->n_row - 1] = *weight;
    return rc;
}

/* What the rows that were just added are, beside kept. */
static int compare(struct door *d, size_t first, bool truncated, enum row_verdict *v, struct err *e)
{
    bool is_old;
    *v = ROW_NO_CONTRAST;
    if (d->s->kind == EXAMPLE_PAIR && pair_is_same(d->out, first))
        return err_set(e, ERR_INPUT, d->where, "cannot use %s: chosen and rejected are the same tokens%s", d->where,
                       truncated ? " up to max_length" : "");
    if (row_set_add(&d->seen, d->out, first, &is_old) != 0) return no_memory(d, e);
    *v = is_old ? ROW_DUPLICATE : truncated ? ROW_TRUNCATED : ROW_KEPT;
    if (!is_old) return 0;
    if (d->s->drop_duplicates)
        return err_set(e, ERR_INPUT, d->where, "cannot use %s: it says what an earlier row says", d->where);
    *v = ROW_DUPLICATE_KEPT;
    return 0;
}

static bool is_fatal(const struct err *e)
{
    return e->code == ERR_NOMEM || e->code == ERR_IO || e->code == ERR_INTERNAL;
}

static int take_example(struct door *d, const json_t *row, struct err *e)
{
    struct train_rows *r = d->out;
    size_t first = r->n_row;
    uint64_t n_open = r->n_open_turn;
    bool truncated = false;
    double weight = 1;
    enum row_verdict v = ROW_KEPT;
    struct err why = {0};
    int rc = d->s->is_chat ? take_chat(d, row, &truncated, &v, &why) : take_token_row(d, row, &truncated, &v, &why);
    if (rc == 0) rc = weigh(d, row, &weight, &v, &why);
    bool left_out = rc == 0 && !(weight > 0);
    if (left_out) v = ROW_WEIGHT_ZERO;
    if (rc == 0 && !left_out) rc = compare(d, first, truncated, &v, &why);
    if (rc == 0) r->n_verdict[v]++;
    if (rc == 0 && !left_out) {
        r->n_weighted += weight < 1 || weight > 1;
        return 0;
    }
    take_back(r, first, n_open);
    if (left_out) return 0;
    if (is_fatal(&why)) {
        if (e != NULL) *e = why;
        return rc;
    }
    return refuse(d, v, &why, e);
}

/* --- the file --- */

static int take_rows(struct door *d, struct err *e)
{
    struct err why = {0};
    json_t *row;
    int rc = 0, got;
    while (rc == 0 && (got = row_file_next(&d->file, &row, &why)) != 0) {
        bool refused = got == -ERR_INPUT || got == -ERR_LIMIT;
        snprintf(d->where, sizeof(d->where), "\"%.250s\" line %llu", d->s->path, (unsigned long long)d->file.line_no);
        if (got < 0 && (!refused || d->file.is_broken)) {
            if (e != NULL) *e = why;
            return got;
        }
        d->out->n_read++;
        rc = got == 1 ? take_example(d, row, e) : refuse(d, ROW_UNREADABLE, &why, e);
        json_decref(row);
    }
    return rc;
}

static int check_left(const struct door *d, struct err *e)
{
    const struct train_rows *r = d->out;
    if (r->n_row > 0) return 0;
    if (r->n_verdict[ROW_WEIGHT_ZERO] == r->n_read && r->n_read > 0)
        return err_set(e, ERR_INPUT, d->s->path, "cannot tune with \"%s\": all of its %llu rows have weight 0",
                       d->s->path, (unsigned long long)r->n_read);
    if (r->n_read == 0) return err_set(e, ERR_INPUT, d->s->path, "cannot tune with \"%s\": it has no rows", d->s->path);
    return err_set(e, ERR_INPUT, d->s->path, "cannot tune with \"%s\": none of its %llu rows can be used, first: %s",
                   d->s->path, (unsigned long long)r->n_read, r->first_refusal);
}

/* A row too long may have been the longest so far, and was taken back. */
static void measure(struct train_rows *r)
{
    r->longest = 0;
    for (size_t i = 0; i < r->n_row; i++)
        if (train_row_len(r, i) > r->longest) r->longest = train_row_len(r, i);
}

int train_rows_load(struct train_rows *out, const struct train_rows_source *s, struct err *e)
{
    struct door d = {.s = s, .out = out};
    *out = (struct train_rows){.unit = s->kind == EXAMPLE_PAIR ? 2 : 1};
    buf_init(&out->refused, REFUSED_MAX_BYTES);
    if (s->kind == EXAMPLE_PROMPT) out->columns = json_array();
    int rc = row_file_open(&d.file, s->path, e);
    if (rc == 0) rc = take_rows(&d, e);
    if (rc == 0) rc = check_left(&d, e);
    measure(out);
    row_file_close(&d.file);
    row_set_deinit(&d.seen);
    example_deinit(&d.example);
    trained_tokens_deinit(&d.chat);
    token_row_deinit(&d.row);
    if (rc != 0) train_rows_deinit(out);
    return rc;
}
