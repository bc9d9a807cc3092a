/* The files of a generation. Owns the journal's descriptor. What always holds: a line that was added is there after a
 * crash; train.jsonl and the manifest that says "done" appear whole, the manifest last. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"
#include "lifecycle/data/generate_int.h"
#include "lifecycle/data/message.h"

enum { LINE_MAX_BYTES = 256 << 20, MANIFEST_MAX_BYTES = 64 << 20 };

static int no_memory(const char *path, struct err *e)
{
    return err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path);
}

/* --- the manifest --- */

static int write_manifest(const struct generate_options *o, const json_t *identity, const char *state, json_t *more,
                          struct err *e)
{
    char *path = path_join(o->dir, "manifest.json");
    json_t *m = json_pack("{s:s,s:i,s:s,s:O,s:O}", "kind", "generation", "schema", 1, "state", state, "teacher",
                          o->teacher, "identity", identity);
    int rc = m == NULL || (more != NULL && json_object_update(m, more) != 0) ? no_memory(path, e) : 0;
    if (rc == 0) rc = json_write_file(path, m, e);
    json_decref(m);
    mem_free(path);
    return rc;
}

/* The first member of two identities that differs; "" where none does. */
static const char *differing(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)a, key, v) if (!json_equal(v, json_object_get(b, key))) return key;
    return "";
}

static int compare(const struct generate_options *o, const json_t *identity, const json_t *m,
                   enum generate_state *state, struct err *e)
{
    const char *kind = json_string_value(json_object_get(m, "kind"));
    const char *other = differing(identity, json_object_get(m, "identity"));
    if (!str_eq(kind, "generation"))
        return err_set(e, ERR_CONFLICT, o->dir,
                       "cannot generate data into \"%s\": its manifest.json is of another kind; choose another --out",
                       o->dir);
    if (*other != '\0')
        return err_set(e, ERR_CONFLICT, o->dir,
                       "cannot generate data into \"%s\": what is there was made with another %s; choose another --out",
                       o->dir, other);
    *state = str_eq(json_string_value(json_object_get(m, "state")), "done") ? GENERATE_DONE : GENERATE_RUNNING;
    return 0;
}

int generate_dir_open(const struct generate_options *o, const json_t *identity, enum generate_state *state,
                      struct err *e)
{
    char *path = path_join(o->dir, "manifest.json");
    json_t *m = NULL;
    *state = GENERATE_NEW;
    int rc = file_mkdirs(o->dir, e);
    bool exists = file_exists(path);
    if (rc == 0 && exists) rc = json_read_file(path, MANIFEST_MAX_BYTES, &m, e);
    if (rc == 0 && exists) rc = compare(o, identity, m, state, e);
    if (rc == 0 && !exists) rc = write_manifest(o, identity, "running", NULL, e);
    json_decref(m);
    mem_free(path);
    return rc;
}

/* --- the journal --- */

/* Where the last whole line ends. */
static int find_end(int fd, const char *path, off_t *end, struct err *e)
{
    enum { CHUNK = 1 << 16 };
    off_t size = lseek(fd, 0, SEEK_END);
    char *chunk = mem_alloc(CHUNK);
    int rc = size < 0 ? err_set_errno(e, path, "cannot read \"%s\"", path) : 0;
    for (*end = size; rc == 0 && *end > 0;) {
        size_t n = *end < CHUNK ? (size_t)*end : CHUNK;
        rc = file_pread(fd, path, chunk, n, (uint64_t)(*end - (off_t)n), e);
        const char *last = rc == 0 ? memrchr(chunk, '\n', n) : NULL;
        if (last != NULL) {
            *end -= (off_t)(n - (size_t)(last - chunk) - 1);
            break;
        }
        *end -= (off_t)n;
    }
    mem_free(chunk);
    return rc;
}

static int mend(const struct generate_journal *j, struct err *e)
{
    off_t end;
    int rc = find_end(j->fd, j->path, &end, e);
    if (rc == 0 && ftruncate(j->fd, end) != 0) rc = err_set_errno(e, j->path, "cannot mend \"%s\"", j->path);
    return rc;
}

typedef int (*record_fn)(void *arg, json_t *record, struct err *e);

static int read_lines(const char *path, record_fn take, void *arg, struct err *e)
{
    struct json_lines lines;
    json_t *record;
    int rc = json_lines_open(&lines, path, LINE_MAX_BYTES, e);
    if (rc != 0) return rc;
    while ((rc = json_lines_next(&lines, &record, e)) == 1) {
        rc = take(arg, record, e);
        json_decref(record);
        if (rc != 0) break;
    }
    json_lines_close(&lines);
    return rc;
}

int generate_journal_open(struct generate_journal *j, const char *dir,
                          int (*take)(void *arg, json_t *record, struct err *e), void *arg, struct err *e)
{
    j->path = path_join(dir, "answers.jsonl");
    j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (j->fd < 0) return err_set_errno(e, j->path, "cannot open \"%s\"", j->path);
    if (flock(j->fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(e, ERR_CONFLICT, dir, "cannot generate data into \"%s\": another process is at it", dir);
    int rc = mend(j, e);
    if (rc == 0) rc = read_lines(j->path, take, arg, e);
    return rc != 0 ? rc : file_sync_dir(dir, e);
}

int generate_journal_add(struct generate_journal *j, const struct buf *lines, struct err *e)
{
    return file_append_sync(j->fd, j->path, lines->data, lines->len, e);
}

void generate_journal_close(struct generate_journal *j)
{
    if (j->fd >= 0) close(j->fd);
    mem_free(j->path);
    *j = (struct generate_journal){.fd = -1};
}

/* --- counts --- */

json_t *generate_verdicts(const struct generate_result *r)
{
    json_t *verdicts = json_object();
    for (int v = 0; v < ANSWER_N_VERDICT; v++)
        if (json_object_set_new(verdicts, answer_verdict_name((enum answer_verdict)v),
                                json_integer((json_int_t)r->n_verdict[v])) != 0)
            break;
    return verdicts;
}

static json_t *counts(const struct generate_result *r)
{
    uint64_t kept = r->n_verdict[ANSWER_KEPT];
    return json_pack("{s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:o}", "rows", (json_int_t)r->n_row, "asked", (json_int_t)r->n_asked,
                     "kept", (json_int_t)kept, "refused", (json_int_t)(r->n_row - kept), "verdicts",
                     generate_verdicts(r), "samples", (json_int_t)r->n_sample, "samples_valid", (json_int_t)r->n_valid,
                     "agreement", json_finite(r->agreement));
}

int generate_counts_read(const char *dir, struct generate_result *out, struct err *e)
{
    char *path = path_join(dir, "manifest.json");
    json_t *m = NULL;
    int rc = json_read_file(path, MANIFEST_MAX_BYTES, &m, e);
    const json_t *c = json_object_get(m, "counts"), *agreement = json_object_get(c, "agreement");
    out->n_row = (uint64_t)json_integer_value(json_object_get(c, "rows"));
    out->n_before = out->n_row;
    out->n_asked = (uint64_t)json_integer_value(json_object_get(c, "asked"));
    out->n_sample = (uint64_t)json_integer_value(json_object_get(c, "samples"));
    out->n_valid = (uint64_t)json_integer_value(json_object_get(c, "samples_valid"));
    out->agreement = json_is_number(agreement) ? json_number_value(agreement) : (double)NAN;
    for (int v = 0; v < ANSWER_N_VERDICT; v++)
        out->n_verdict[v] = (uint64_t)json_integer_value(
            json_object_get(json_object_get(c, "verdicts"), answer_verdict_name((enum answer_verdict)v)));
    json_decref(m);
    mem_free(path);
    return rc;
}

/* --- what comes out --- */

struct output {
    const struct generate_options *o;
    struct file_atomic file[2]; /* kept, refused */
    struct digest digest[2];
    struct buf line;
};

/* The conversation and its answer, with where it comes from. */
static json_t *train_row(const struct generate_options *o, const json_t *record)
{
    json_t *messages = json_copy(json_object_get(record, "messages"));
    const char *answer = json_string_value(json_object_get(record, "answer"));
    if (json_array_append_new(messages, message_new("assistant", answer)) != 0) {
        json_decref(messages);
        return NULL;
    }
    return json_pack("{s:o,s:O,s:O,s:O,s:O}", "messages", messages, "line", json_object_get(record, "line"),
                     "agreement", json_object_get(record, "agreement"), "teacher", json_object_get(o->teacher, "model"),
                     "licence", json_object_get(o->teacher, "licence"));
}

static json_t *refused_row(const struct generate_options *o, const json_t *record)
{
    const json_t *samples = json_object_get(record, "samples"), *reason = json_object_get(record, "reason");
    return json_pack("{s:s,s:O,s:O,s:O?,s:O?}", "file", o->input, "line", json_object_get(record, "line"), "verdict",
                     json_object_get(record, "verdict"), "reason", reason, "samples", samples);
}

static int take_record(void *arg, json_t *record, struct err *e)
{
    struct output *out = arg;
    bool kept = json_object_get(record, "answer") != NULL;
    int which = kept ? 0 : 1;
    json_t *row = kept ? train_row(out->o, record) : refused_row(out->o, record);
    buf_clear(&out->line);
    int rc = row == NULL || json_format(row, JSON_LINE, &out->line) != 0 || buf_add_char(&out->line, '\n') != 0
                 ? no_memory(out->file[which].path, e)
                 : file_atomic_write(&out->file[which], out->line.data, out->line.len, e);
    if (rc == 0) digest_add(&out->digest[which], out->line.data, out->line.len);
    json_decref(row);
    return rc;
}

static int write_outputs(struct output *out, const char *journal, char hex[2][DIGEST_HEX_SIZE], struct err *e)
{
    static const char *const name[2] = {"train.jsonl", "refused.jsonl"};
    int rc = 0, n_begun = 0;
    for (; rc == 0 && n_begun < 2; n_begun++) {
        char *path = path_join(out->o->dir, name[n_begun]);
        rc = digest_begin(&out->digest[n_begun], e);
        if (rc == 0) rc = file_atomic_begin(&out->file[n_begun], path, e);
        if (rc != 0) digest_end(&out->digest[n_begun], NULL);
        mem_free(path);
        if (rc != 0) break;
    }
    if (rc == 0) rc = read_lines(journal, take_record, out, e);
    for (int i = 0; i < n_begun; i++) {
        digest_end(&out->digest[i], rc == 0 ? hex[i] : NULL);
        if (rc == 0)
            rc = file_atomic_commit(&out->file[i], e);
        else
            file_atomic_abort(&out->file[i]);
    }
    return rc;
}

int generate_finish(const struct generate_options *o, const json_t *identity, const struct generate_result *r,
                    struct err *e)
{
    struct output out = {.o = o};
    char hex[2][DIGEST_HEX_SIZE], time[32];
    char *journal = path_join(o->dir, "answers.jsonl");
    buf_init(&out.line, LINE_MAX_BYTES);
    int rc = write_outputs(&out, journal, hex, e);
    clock_format_utc(clock_unix_ms(), time, sizeof(time));
    json_t *more = rc != 0 ? NULL
                           : json_pack("{s:s,s:o,s:{s:s,s:s}}", "finished", time, "counts", counts(r), "outputs",
                                       "train.jsonl", hex[0], "refused.jsonl", hex[1]);
    if (rc == 0) rc = more != NULL ? write_manifest(o, identity, "done", more, e) : no_memory(o->dir, e);
    json_decref(more);
    buf_deinit(&out.line);
    mem_free(journal);
    return rc;
}
