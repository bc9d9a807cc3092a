/* The runner. Owns the journal and the sequences in flight. What always holds: a record is durable before the next case
 * takes its place; the final files are written once, in the order of the cases, from the journal's records. */
#include "lifecycle/eval/run.h"

#include <string.h>
#include <unistd.h>

#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"
#include "lifecycle/eval/judge.h"

enum { MAX_PROMPT = 64 * 1024 * 1024, MAX_MANIFEST = 64 * 1024 * 1024 };

struct slot {
    struct sequence *seq; /* NULL: free */
    size_t case_idx;
    struct asked asked;
};

struct run {
    const struct eval_options *o;
    struct eval_journal journal;
    json_t *done; /* records by id */
    struct slot *slot;
    struct choice_set *choices;
    size_t next, n_done;
    double right, counted; /* for progress */
    struct buf text;
};

/* --- recording --- */

static void count(struct run *r, const json_t *record)
{
    r->n_done++;
    if (!record_counts(record)) return;
    r->counted += 1;
    r->right += record_score(record);
}

/* Journal a record and keep it; takes the reference. */
static int keep(struct run *r, json_t *record, struct err *e)
{
    int rc = eval_journal_add(&r->journal, record, e);
    if (rc == 0 && json_object_set(r->done, record_str(record, "id"), record))
        rc = err_set(e, ERR_NOMEM, NULL, "cannot keep the results: out of memory");
    if (rc == 0) {
        count(r, record);
        if (r->o->progress)
            r->o->progress(r->o->arg, r->n_done, r->o->cases->n, r->counted > 0 ? r->right / r->counted : 0);
    }
    json_decref(record);
    return rc;
}

static int keep_failed(struct run *r, const struct eval_case *c, enum case_state state, const char *reason,
                       struct err *e)
{
    json_t *record;
    int rc = judge_failed(c, state, reason, &record, e);
    return rc ? rc : keep(r, record, e);
}

/* --- asking --- */

/* Submit case idx into a slot. A prompt that does not fit the model is the model's failure; any other error ends the
 * run: it would hit every case. */
static int submit(struct run *r, struct slot *s, size_t idx, struct err *e)
{
    const struct eval_case *c = &r->o->cases->item[idx];
    struct token_list ids = {0};
    *s = (struct slot){.case_idx = idx};
    int rc = prompt_build(r->o->prompt, c, &ids, &r->text, e);
    if (rc == 0) rc = digest_memory(r->text.data, r->text.len, s->asked.prompt_hash, e);
    if (rc == 0) {
        struct sequence_request q = {.ids = ids.ids,
                                     .n_id = ids.n,
                                     .max_tokens = r->o->max_tokens,
                                     .adapter = r->o->adapter,
                                     .sampling = r->o->sampling,
                                     .choices = r->choices};
        s->asked.n_prompt = ids.n;
        struct err too_long = {0};
        rc = engine_submit(r->o->engine, &q, &s->seq, &too_long);
        if (rc == -ERR_LIMIT) {
            s->seq = NULL;
            rc = keep_failed(r, c, CASE_MODEL_FAILED, too_long.msg, e);
        } else if (rc && e) {
            *e = too_long;
        }
    }
    token_list_deinit(&ids);
    return rc;
}

/* The next case that has no record yet goes into the slot; none left: the slot stays free. */
static int fill_slot(struct run *r, struct slot *s, struct err *e)
{
    const struct case_set *cases = r->o->cases;
    while (!s->seq && r->next < cases->n) {
        const struct eval_case *c = &cases->item[r->next++];
        int rc = 0;
        if (json_object_get(r->done, c->id)) continue;
        if (c->gold_bad)
            rc = keep_failed(r, c, CASE_GOLD_BAD, c->gold_bad, e);
        else
            rc = submit(r, s, r->next - 1, e);
        if (rc) return rc;
    }
    return 0;
}

static int finish_slot(struct run *r, struct slot *s, const struct sequence_result *result, struct err *e)
{
    const struct eval_case *c = &r->o->cases->item[s->case_idx];
    json_t *record;
    int rc;
    if (result->reason == FINISH_ERROR || result->reason == FINISH_CANCELLED)
        rc = judge_failed(c, CASE_INFRA_FAILED, "the engine could not compute the answer", &record, e);
    else
        rc = judge_answer(c, &s->asked, result, &record, e);
    sequence_release(r->o->engine, s->seq);
    s->seq = NULL;
    return rc ? rc : keep(r, record, e);
}

/* Judge what ended and refill; *alive counts the slots in use afterwards. */
static int turn_over(struct run *r, int *alive, struct err *e)
{
    *alive = 0;
    for (int i = 0; i < r->o->batch; i++) {
        struct slot *s = &r->slot[i];
        struct sequence_result result;
        int rc = 0;
        if (s->seq) {
            sequence_get(s->seq, &result);
            if (result.reason != FINISH_NONE) rc = finish_slot(r, s, &result, e);
        }
        if (rc == 0) rc = fill_slot(r, s, e);
        if (rc) return rc;
        *alive += s->seq != NULL;
    }
    return 0;
}

static int ask_all(struct run *r, struct err *e)
{
    for (;;) {
        int alive;
        int rc = turn_over(r, &alive, e);
        if (rc || alive == 0) return rc;
        if (r->o->interrupted && r->o->interrupted())
            return err_set(e, ERR_INTERRUPTED, r->o->dir,
                           "interrupted after %zu of %zu cases; the same command goes on from there", r->n_done,
                           r->o->cases->n);
        rc = engine_step(r->o->engine, e);
        if (rc < 0) return rc;
    }
}

/* --- the directory --- */

static int write_manifest(const struct eval_options *o, const char *state, const json_t *more, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    char *path = path_join(o->dir, "manifest.json");
    int rc = json_digest(o->identity, hex, e);
    json_t *m =
        rc ? NULL
           : json_pack("{s:s,s:i,s:s,s:s,s:O,s:b}", "kind", "evaluation", "schema", 1, "state", state,
                       "identity_sha256", hex, "identity", o->identity, "partial", o->cases->n < o->cases->n_total);
    if (rc == 0 && (!m || json_object_update((json_t *)m, (json_t *)(uintptr_t)o->description) ||
                    (more && json_object_update(m, (json_t *)(uintptr_t)more))))
        rc = err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path);
    if (rc == 0) rc = json_write_file(path, m, e);
    json_decref(m);
    mem_free(path);
    return rc;
}

/* The members of two identities that differ, for people. */
static void differing(const json_t *a, const json_t *b, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (void *it = json_object_iter((json_t *)(uintptr_t)a); it;
         it = json_object_iter_next((json_t *)(uintptr_t)a, it)) {
        const char *key = json_object_iter_key(it);
        size_t n = strlen(key);
        if (json_equal(json_object_iter_value(it), json_object_get(b, key)) || at + n + 3 >= size) continue;
        if (at) out[at++] = ',', out[at++] = ' ';
        memcpy(out + at, key, n + 1);
        at += n;
    }
}

/* What a manifest of another kind says that the directory is. */
static const char *kind_for_people(const char *kind)
{
    return str_eq(kind, "tune") ? "a tuning run" : str_eq(kind, "dataset") ? "a dataset" : "no evaluation";
}

int eval_dir_check(const char *dir, struct err *e)
{
    char *path = path_join(dir, "manifest.json");
    json_t *m = NULL;
    int rc =
        file_exists(dir) && !file_is_dir(dir)
            ? err_set(e, ERR_CONFLICT, dir, "cannot evaluate into \"%s\": it is a file, a directory is needed", dir)
            : 0;
    if (rc == 0 && file_exists(path)) rc = json_read_file(path, MAX_MANIFEST, &m, e);
    if (rc == 0 && m && !str_eq(record_str(m, "kind"), "evaluation"))
        rc = err_set(e, ERR_CONFLICT, dir, "cannot evaluate into \"%s\": it is %s; choose another --out", dir,
                     kind_for_people(record_str(m, "kind")));
    json_decref(m);
    mem_free(path);
    return rc;
}

/* What DIR holds: *state "" (nothing), "running" or "done" of this same evaluation; anything else is a conflict. */
static int look(const struct eval_options *o, char state[16], struct err *e)
{
    char *path = path_join(o->dir, "manifest.json"), names[200];
    json_t *m = NULL;
    int rc = 0;
    state[0] = '\0';
    if (file_exists(path)) {
        rc = json_read_file(path, MAX_MANIFEST, &m, e);
        const json_t *identity = json_object_get(m, "identity");
        if (rc == 0 && !json_equal(identity, o->identity)) {
            differing(o->identity, identity, names, sizeof names);
            rc = err_set(e, ERR_CONFLICT, o->dir,
                         "cannot evaluate into \"%s\": it holds another evaluation (other %s); choose "
                         "another --out",
                         o->dir, names);
        }
        const char *s = record_str(m, "state");
        if (rc == 0 && strlen(s) < 16) memcpy(state, s, strlen(s) + 1);
        json_decref(m);
    }
    mem_free(path);
    return rc;
}

static json_t *in_order(const struct run *r)
{
    json_t *all = json_array();
    for (size_t i = 0; i < r->o->cases->n; i++) {
        json_t *record = json_object_get(r->done, r->o->cases->item[i].id);
        if (record && json_array_append(all, record)) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *describe_summary(const struct eval_summary *s)
{
    json_t *states = json_object();
    for (int i = 0; i < CASE_STATE_COUNT; i++)
        (void)json_object_set_new(states, case_state_name((enum case_state)i),
                                  json_integer((json_int_t)s->by_state[i]));
    char time[32];
    clock_format_utc(clock_unix_ms(), time, sizeof time);
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:o,s:f,s:f,s:{s:{s:f,s:f,s:f}}}", "finished", time, "n", (json_int_t)s->n,
                     "n_scored", (json_int_t)s->n_scored, "n_error", (json_int_t)s->n_error, "n_cluster",
                     (json_int_t)s->mean.n_cluster, "states", states, "worst", s->worst, "best", s->best, "metrics",
                     "accuracy", "value", s->mean.mean, "low", s->accuracy.low, "high", s->accuracy.high);
}

static int finish(struct run *r, struct err *e)
{
    struct eval_summary sum;
    json_t *records = in_order(r), *more = NULL;
    int rc = records ? eval_summarize(records, &sum, e) : err_set(e, ERR_NOMEM, NULL, "cannot sum up: out of memory");
    if (rc == 0) rc = eval_records_write(r->o->dir, records, e);
    if (rc == 0) {
        more = describe_summary(&sum);
        rc = write_manifest(r->o, "done", more, e);
    }
    if (rc == 0) (void)unlink(r->journal.path); /* everything in it is in cases.jsonl now */
    json_decref(more);
    json_decref(records);
    return rc;
}

static int make_choices(struct run *r, struct err *e)
{
    const json_t *labels = r->o->prompt->labels;
    size_t n = json_array_size(labels);
    if (r->o->choices != CHOICES_CONSTRAINED) return 0;
    const char **text = mem_try_array(n + 1, sizeof *text);
    if (!text) return err_set(e, ERR_NOMEM, NULL, "cannot list %zu choices: out of memory", n);
    for (size_t i = 0; i < n; i++) text[i] = json_string_value(json_array_get(labels, i));
    int rc = choice_set_new(&r->choices, r->o->tok, text, n, e);
    mem_free(text);
    return rc;
}

static void recount(struct run *r)
{
    const char *id;
    json_t *record;
    json_object_foreach(r->done, id, record) count(r, record);
}

static int go(struct run *r, struct err *e)
{
    int rc = make_choices(r, e);
    if (rc == 0) rc = write_manifest(r->o, "running", NULL, e);
    if (rc == 0) rc = eval_journal_open(&r->journal, r->o->dir, &r->done, e);
    if (rc) return rc;
    recount(r);
    rc = ask_all(r, e);
    for (int i = 0; i < r->o->batch; i++)
        if (r->slot[i].seq) {
            engine_cancel(r->o->engine, r->slot[i].seq);
            sequence_release(r->o->engine, r->slot[i].seq);
        }
    if (rc == 0) rc = finish(r, e);
    eval_journal_close(&r->journal);
    json_decref(r->done);
    return rc;
}

int eval_run(const struct eval_options *o, struct eval_result *result, bool *reused, struct err *e)
{
    char state[16];
    struct run r = {.o = o};
    *result = (struct eval_result){0};
    int rc = case_set_runnable(o->cases, e);
    if (rc == 0) rc = eval_dir_check(o->dir, e);
    if (rc == 0) rc = file_mkdirs(o->dir, e);
    if (rc == 0) rc = look(o, state, e);
    if (rc) return rc;
    *reused = str_eq(state, "done");
    if (!*reused) {
        r.slot = mem_alloc((size_t)o->batch * sizeof *r.slot);
        buf_init(&r.text, MAX_PROMPT);
        rc = go(&r, e);
        buf_deinit(&r.text);
        choice_set_free(r.choices);
        mem_free(r.slot);
    }
    return rc ? rc : eval_result_load(result, o->dir, e);
}
