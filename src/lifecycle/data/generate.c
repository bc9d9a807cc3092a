/* The run of a generation. Owns the rows in hand and what was asked and answered so far. What always holds: rows go
 * into the journal in the order of the file, so its lines are the beginning of the file; a row whose teacher could not
 * be reached, and all behind it, are not in it and are asked again. */
#include "lifecycle/data/generate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"
#include "lifecycle/data/example.h"
#include "lifecycle/data/generate_int.h"
#include "lifecycle/data/message.h"
#include "lifecycle/data/row_file.h"

enum { JOURNAL_STREAM = 0x67656e, LINES_MAX_BYTES = 1 << 30, WHERE_SIZE = 320 };

/* A row of the file between reading and the journal. */
struct pending {
    uint64_t line;
    json_t *messages; /* owned; NULL: it is not asked */
    enum answer_verdict verdict;
    size_t first_call;
    char reason[512]; /* "": none */
};

struct job {
    const struct generate_options *o;
    struct generate_result *r;
    struct answer_filter *filter;
    struct generate_journal journal;
    struct row_file file;
    json_t *asked, *given; /* sets: digests of conversations, answers that were kept */
    struct pending *row;   /* [cap_row] */
    size_t n_row, cap_row;
    struct ask_call *call; /* [cap_row * n_sample] */
    size_t n_call;
    double agreement;
    uint64_t n_agreement;
    bool ended; /* the file is */
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot generate data: out of memory");
}

/* --- what is counted, of new rows and of those in the journal alike --- */

static enum answer_verdict verdict_of(const char *name)
{
    for (int v = 0; v < ANSWER_N_VERDICT; v++)
        if (str_eq(name, answer_verdict_name((enum answer_verdict)v))) return (enum answer_verdict)v;
    return ANSWER_N_VERDICT;
}

static int remember(struct job *g, const json_t *record, struct err *e)
{
    char digest[DIGEST_HEX_SIZE];
    const json_t *messages = json_object_get(record, "messages");
    const char *answer = json_string_value(json_object_get(record, "answer"));
    int rc = messages != NULL ? json_digest(messages, digest, e) : 0;
    if (rc == 0 && messages != NULL && json_object_set_new(g->asked, digest, json_true()) != 0) rc = no_memory(e);
    if (rc == 0 && answer != NULL && g->o->distinct && json_object_set_new(g->given, answer, json_true()) != 0)
        rc = no_memory(e);
    return rc;
}

static int count(void *arg, json_t *record, struct err *e)
{
    struct job *g = arg;
    struct generate_result *r = g->r;
    enum answer_verdict v = verdict_of(json_string_value(json_object_get(record, "verdict")));
    const json_t *samples = json_object_get(record, "samples"), *agreement = json_object_get(record, "agreement");
    if (v == ANSWER_N_VERDICT || json_integer_value(json_object_get(record, "row")) != (json_int_t)r->n_row + 1)
        return err_set(e, ERR_INPUT, g->journal.path, "cannot go on with \"%s\": line %llu is not of this generation",
                       g->journal.path, (unsigned long long)r->n_row + 1);
    r->n_row++;
    r->n_verdict[v]++;
    if (samples != NULL) {
        r->n_asked++;
        r->n_sample += json_array_size(samples);
        r->n_valid += (uint64_t)json_integer_value(json_object_get(record, "valid"));
    }
    if (json_number_value(agreement) > 0) {
        g->agreement += json_number_value(agreement);
        g->n_agreement++;
        r->agreement = g->agreement / (double)g->n_agreement;
    }
    return remember(g, record, e);
}

/* --- a row of the file as what is asked --- */

static bool has_form(const json_t *row)
{
    static const char *const mark[] = {"messages", "conversations", "instruction", "prompt", "chosen"};
    for (size_t i = 0; i < N_ELEM(mark); i++)
        if (json_object_get(row, mark[i]) != NULL) return true;
    return false;
}

static int read_text(const struct job *g, const json_t *row, const char *where, json_t **messages, struct err *e)
{
    const char *text = json_string_value(json_object_get(row, g->o->column));
    if (text == NULL || text[strspn(text, " \t\r\n")] == '\0')
        return err_set(e, ERR_INPUT, where,
                       "cannot ask %s: it has no messages, prompt or instruction, and no text in \"%s\"", where,
                       g->o->column);
    *messages = json_array();
    return json_array_append_new(*messages, message_new("user", text)) == 0 ? 0 : no_memory(e);
}

static int read_form(const json_t *row, const char *where, json_t **messages, struct err *e)
{
    struct example x = {0};
    enum row_verdict v;
    int rc = example_read(&x, row, FORM_ANY, EXAMPLE_PROMPT, where, &v, e);
    if (rc == 0 && (x.tools != NULL || x.variables != NULL))
        rc = err_set(e, ERR_INPUT, where, "cannot ask %s: tools and chat_template_kwargs are not put to a teacher",
                     where);
    if (rc == 0) *messages = json_incref(x.messages);
    example_deinit(&x);
    return rc;
}

static int put_system(const struct job *g, json_t *messages, struct err *e)
{
    const json_t *first = json_array_get(messages, 0);
    if (g->o->system == NULL || message_has_role(first, "system") || message_has_role(first, "developer")) return 0;
    return json_array_insert_new(messages, 0, message_new("system", g->o->system)) == 0 ? 0 : no_memory(e);
}

static int read_messages(const struct job *g, const json_t *row, const char *where, json_t **messages, struct err *e)
{
    int rc = has_form(row) ? read_form(row, where, messages, e) : read_text(g, row, where, messages, e);
    return rc == 0 ? put_system(g, *messages, e) : rc;
}

static void refuse(struct pending *p, enum answer_verdict v, const char *why)
{
    json_decref(p->messages);
    p->messages = NULL;
    p->verdict = v;
    snprintf(p->reason, sizeof(p->reason), "%s", why);
}

static int take_row(struct job *g, struct pending *p, const json_t *row, struct err *e)
{
    char where[WHERE_SIZE], digest[DIGEST_HEX_SIZE];
    struct err why = {0};
    snprintf(where, sizeof(where), "\"%.250s\" line %llu", g->o->input, (unsigned long long)p->line);
    int rc = read_messages(g, row, where, &p->messages, &why);
    if (rc == -ERR_NOMEM) return no_memory(e);
    if (rc != 0) {
        refuse(p, ANSWER_ROW, why.msg);
        return 0;
    }
    rc = json_digest(p->messages, digest, e);
    if (rc != 0) return rc;
    if (json_object_get(g->asked, digest) != NULL && !g->o->keep_repeated) {
        refuse(p, ANSWER_REPEATED, "");
        return 0;
    }
    return json_object_set_new(g->asked, digest, json_true()) == 0 ? 0 : no_memory(e);
}

/* The next row of the file into *p; false: there is none. */
static int next_row(struct job *g, struct pending *p, bool *got, struct err *e)
{
    json_t *row = NULL;
    struct err why = {0};
    int rc = row_file_next(&g->file, &row, &why);
    *p = (struct pending){.line = g->file.line_no};
    *got = rc != 0;
    bool refused = rc == -ERR_INPUT || rc == -ERR_LIMIT;
    if (rc < 0 && (!refused || g->file.is_broken)) {
        if (e != NULL) *e = why;
        return rc;
    }
    if (refused) refuse(p, ANSWER_ROW, why.msg);
    rc = rc == 1 ? take_row(g, p, row, e) : 0;
    json_decref(row);
    return rc;
}

static int skip_done(struct job *g, struct err *e)
{
    json_t *row;
    for (uint64_t i = 0; i < g->r->n_before; i++) {
        struct err why = {0};
        int rc = row_file_next(&g->file, &row, &why); /* refused rows have their line in the journal, too */
        json_decref(row);
        if (rc == 0 || (rc < 0 && g->file.is_broken))
            return err_set(e, ERR_CONFLICT, g->o->input, "cannot go on with \"%s\": it has fewer rows than before",
                           g->o->input);
    }
    return 0;
}

/* --- asking --- */

static void add_calls(struct job *g, struct pending *p, uint64_t number)
{
    const struct generate_options *o = g->o;
    p->first_call = g->n_call;
    for (int i = 0; i < o->n_sample; i++)
        g->call[g->n_call++] = (struct ask_call){.messages = p->messages,
                                                 .temperature = o->temperature,
                                                 .top_p = o->top_p,
                                                 .max_tokens = o->max_tokens,
                                                 .seed = rng_u64(o->seed ^ JOURNAL_STREAM, number, (uint64_t)i)};
}

static void forget_rows(struct job *g)
{
    for (size_t i = 0; i < g->n_row; i++) json_decref(g->row[i].messages);
    for (size_t i = 0; i < g->n_call; i++) mem_free(g->call[i].text);
    g->n_row = g->n_call = 0;
}

static int read_batch(struct job *g, struct err *e)
{
    const struct generate_options *o = g->o;
    forget_rows(g);
    while (g->n_row < g->cap_row && !g->ended) {
        struct pending *p = &g->row[g->n_row];
        uint64_t number = g->r->n_row + g->n_row + 1;
        bool got = false;
        if (o->limit > 0 && number > o->limit) {
            g->ended = true;
            break;
        }
        int rc = next_row(g, p, &got, e);
        if (rc != 0) return rc;
        g->ended = !got;
        if (!got) break;
        g->n_row++;
        if (p->messages != NULL) add_calls(g, p, number);
    }
    return 0;
}

/* --- answers --- */

static int choose(struct job *g, struct pending *p, struct answer_choice *c, struct err *e)
{
    size_t n = (size_t)g->o->n_sample;
    struct answer_sample *s = mem_try_array(n, sizeof(*s));
    if (s == NULL) return no_memory(e);
    for (size_t i = 0; i < n; i++) {
        const struct ask_call *k = &g->call[p->first_call + i];
        s[i] = (struct answer_sample){k->text, k->text != NULL ? strlen(k->text) : 0, k->truncated};
        if (k->rc != 0 && p->reason[0] == '\0') snprintf(p->reason, sizeof(p->reason), "%s", k->err.msg);
    }
    struct err why = {0};
    int rc = answer_filter_choose(g->filter, s, n, c, &why);
    mem_free(s);
    if (rc == -ERR_LIMIT) { /* a pattern without end: it cannot be told of this answer that it fits */
        *c = (struct answer_choice){.verdict = ANSWER_PATTERN};
        snprintf(p->reason, sizeof(p->reason), "%s", why.msg);
        return 0;
    }
    if (rc != 0 && e != NULL) *e = why;
    if (rc == 0 && c->verdict == ANSWER_KEPT && g->o->distinct && json_object_get(g->given, c->text) != NULL) {
        c->verdict = ANSWER_SAME;
        mem_free(c->text);
        c->text = NULL;
    }
    return rc;
}

static json_t *samples_json(const struct job *g, const struct pending *p)
{
    json_t *all = json_array();
    for (int i = 0; i < g->o->n_sample; i++) {
        const char *text = g->call[p->first_call + (size_t)i].text;
        json_t *v = text != NULL ? json_string(text) : NULL; /* what is no UTF-8 cannot be kept */
        if (json_array_append_new(all, v != NULL ? v : json_null()) != 0) break;
    }
    return all;
}

/* The journal's record of a row; NULL without memory. */
static json_t *record_of(struct job *g, const struct pending *p, const struct answer_choice *c)
{
    json_t *v = json_pack("{s:I,s:I,s:s}", "row", (json_int_t)g->r->n_row + 1, "line", (json_int_t)p->line, "verdict",
                          answer_verdict_name(p->verdict));
    int rc = 0;
    if (p->messages != NULL) {
        rc |= json_object_set(v, "messages", p->messages);
        rc |= json_object_set_new(v, "samples", samples_json(g, p));
        rc |= json_object_set_new(v, "valid", json_integer((json_int_t)c->n_valid));
        rc |= json_object_set_new(v, "agreement", json_finite(c->agreement));
    }
    if (c->text != NULL) rc |= json_object_set_new(v, "answer", json_string(c->text));
    if (p->reason[0] != '\0') rc |= json_object_set_new(v, "reason", json_string(p->reason));
    if (rc == 0) return v;
    json_decref(v);
    return NULL;
}

static int note_row(struct job *g, struct pending *p, struct buf *lines, struct err *e)
{
    struct answer_choice c = {.verdict = p->verdict};
    int rc = p->messages != NULL ? choose(g, p, &c, e) : 0;
    if (rc != 0) return rc;
    p->verdict = c.verdict;
    str_make_printable(p->reason);
    json_t *record = record_of(g, p, &c);
    rc = record == NULL ? no_memory(e) : count(g, record, e);
    if (rc == 0 && (json_format(record, JSON_LINE, lines) != 0 || buf_add_char(lines, '\n') != 0)) rc = no_memory(e);
    json_decref(record);
    mem_free(c.text);
    return rc;
}

/* The call of a row that failed because nobody was there to answer; NULL: none. */
static const struct ask_call *lost_call(const struct job *g, const struct pending *p)
{
    for (int i = 0; p->messages != NULL && i < g->o->n_sample; i++) {
        const struct ask_call *k = &g->call[p->first_call + (size_t)i];
        if (k->rc != 0 && !k->own_fault) return k;
    }
    return NULL;
}

/* The rows in hand into the journal, up to the first that the teacher was lost at. */
static int note_batch(struct job *g, struct err *e)
{
    struct buf lines;
    const struct ask_call *lost = NULL;
    int rc = 0;
    buf_init(&lines, LINES_MAX_BYTES);
    for (size_t i = 0; rc == 0 && i < g->n_row; i++) {
        lost = lost_call(g, &g->row[i]);
        if (lost != NULL) break;
        rc = note_row(g, &g->row[i], &lines, e);
    }
    if (rc == 0 && lines.len > 0) rc = generate_journal_add(&g->journal, &lines, e);
    buf_deinit(&lines);
    if (rc == 0 && g->o->progress != NULL) g->o->progress(g->o->arg, g->r->n_row, g->r->n_verdict[ANSWER_KEPT]);
    if (rc != 0 || lost == NULL) return rc;
    if (e != NULL) {
        *e = lost->err;
        e->code = ERR_IO; /* whatever it said: it cannot be had */
    }
    return err_wrap(e, -ERR_IO, "cannot ask the teacher after %llu rows, the same command goes on",
                    (unsigned long long)g->r->n_row);
}

static int ask_all(struct job *g, struct err *e)
{
    const struct generate_options *o = g->o;
    int rc = 0;
    while (rc == 0 && !g->ended) {
        if (o->interrupted != NULL && o->interrupted(o->arg))
            return err_set(e, ERR_INTERRUPTED, o->dir,
                           "interrupted after %llu rows; the same command goes on from there",
                           (unsigned long long)g->r->n_row);
        rc = read_batch(g, e);
        if (rc == 0 && g->n_call > 0) rc = o->asker.ask(o->asker.arg, NULL, g->call, g->n_call, e);
        if (rc == 0) rc = note_batch(g, e);
    }
    forget_rows(g);
    return rc;
}

/* --- the whole --- */

static int make_room(struct job *g, struct err *e)
{
    size_t n_sample = (size_t)g->o->n_sample;
    g->cap_row = (size_t)g->o->n_at_once / n_sample;
    if (g->cap_row == 0) g->cap_row = 1;
    g->row = mem_try_array(g->cap_row, sizeof(*g->row));
    g->call = mem_try_array(g->cap_row * n_sample, sizeof(*g->call));
    g->asked = json_object();
    g->given = json_object();
    bool good = g->row != NULL && g->call != NULL && g->asked != NULL && g->given != NULL;
    return good ? answer_filter_new(&g->filter, &g->o->rules, e) : no_memory(e);
}

static int run(struct job *g, struct err *e)
{
    int rc = generate_journal_open(&g->journal, g->o->dir, count, g, e);
    if (rc != 0) return rc;
    g->r->n_before = g->r->n_row;
    rc = row_file_open(&g->file, g->o->input, e);
    if (rc == 0) rc = skip_done(g, e);
    if (rc == 0) rc = ask_all(g, e);
    row_file_close(&g->file);
    return rc;
}

static json_t *rules_json(const struct answer_rules *r)
{
    json_t *labels = json_array();
    for (size_t i = 0; i < r->n_label; i++) json_array_append_new(labels, json_string(r->label[i]));
    return json_pack("{s:I,s:I,s:s?,s:o,s:s?,s:O?,s:f}", "min_chars", (json_int_t)r->min_chars, "max_chars",
                     (json_int_t)r->max_chars, "match", r->match, "labels", labels, "format", r->json_kind, "schema",
                     r->schema, "agree", r->agree);
}

/* All that the result depends on. */
static int make_identity(const struct generate_options *o, json_t **out, struct err *e)
{
    char digest[DIGEST_HEX_SIZE];
    int rc = digest_file(o->input, digest, NULL, e);
    if (rc != 0) return rc;
    *out = json_pack("{s:s,s:s,s:s?,s:O,s:i,s:f,s:f,s:i,s:I,s:I,s:b,s:b,s:o}", "input_sha256", digest, "column",
                     o->column, "system", o->system, "teacher", o->teacher, "samples", o->n_sample, "temperature",
                     o->temperature, "top_p", o->top_p, "max_tokens", o->max_tokens, "seed", (json_int_t)o->seed,
                     "limit", (json_int_t)o->limit, "keep_repeated", o->keep_repeated, "distinct", o->distinct, "rules",
                     rules_json(&o->rules));
    return *out != NULL ? 0 : no_memory(e);
}

static int check_kept(const struct generate_options *o, const struct generate_result *r, struct err *e)
{
    if (r->n_row == 0)
        return err_set(e, ERR_INPUT, o->input, "cannot generate data from \"%s\": it has no rows", o->input);
    return 0;
}

static int go(struct job *g, const json_t *identity, struct err *e)
{
    enum generate_state state;
    int rc = make_room(g, e);
    if (rc == 0) rc = generate_dir_open(g->o, identity, &state, e);
    if (rc != 0) return rc;
    g->r->was_complete = state == GENERATE_DONE;
    if (g->r->was_complete) return generate_counts_read(g->o->dir, g->r, e);
    rc = run(g, e);
    if (rc == 0) rc = check_kept(g->o, g->r, e);
    if (rc == 0) rc = generate_finish(g->o, identity, g->r, e);
    return rc;
}

int generate_run(const struct generate_options *o, struct generate_result *out, struct err *e)
{
    struct job g = {.o = o, .r = out, .journal = {.fd = -1}};
    json_t *identity = NULL;
    *out = (struct generate_result){.agreement = (double)NAN};
    int rc = make_identity(o, &identity, e);
    if (rc == 0) rc = go(&g, identity, e);
    generate_journal_close(&g.journal);
    answer_filter_free(g.filter);
    json_decref(identity);
    json_decref(g.asked);
    json_decref(g.given);
    mem_free(g.row);
    mem_free(g.call);
    return rc;
}
