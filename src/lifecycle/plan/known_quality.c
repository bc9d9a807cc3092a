/* Own evaluations. Owns the list of a book. What always holds: every entry is of the same cases. */
#include "lifecycle/plan/known_quality.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "govern/registry/registry.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/plan/read_model.h"

enum { MAX_MANIFEST = 1 << 20 };

/* --- which row a model is --- */

/* Length of a catalogue's name at the beginning of a word of text, 0: not in it. */
static size_t named_in(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = text; *p; p++) {
        bool open = p == text || !isalnum((unsigned char)p[-1]);
        if (open && strncasecmp(p, name, n) == 0 && !isalnum((unsigned char)p[n])) return n;
    }
    return 0;
}

static bool same_shape(const struct plan_model *a, const struct plan_model *b)
{
    return a->n_layer == b->n_layer && a->n_embd == b->n_embd && a->n_head == b->n_head &&
           a->n_kv_head == b->n_kv_head && a->d_head == b->d_head && a->n_expert == b->n_expert &&
           (a->n_ff == b->n_ff || a->n_ff_expert == b->n_ff_expert);
}

/* Dimensions of the file; false: they are not known, and its name has to do. */
static bool read_shape(const char *path, struct plan_model *out)
{
    struct arena arena;
    struct err ignored;
    arena_init(&arena, 1 << 20);
    bool ok = path && file_exists(path) && plan_model_read(path, "evaluated", &arena, out, &ignored) == 0;
    if (ok) plan_model_no_texts(out);
    arena_deinit(&arena);
    return ok;
}

const struct plan_model *quality_row_of(const struct catalogue *c, const char *name, const char *path)
{
    struct plan_model shape;
    const struct plan_model *by_shape = NULL, *by_name = NULL;
    bool known = read_shape(path, &shape);
    size_t n_shape = 0, longest = 0;
    for (size_t i = 0; i < c->n_model; i++) {
        const struct plan_model *m = &c->model[i];
        if (known && !same_shape(m, &shape)) continue;
        size_t n = named_in(name, m->name), in_file = path ? named_in(path_base(path), m->name) : 0;
        n = n > in_file ? n : in_file;
        if (n > longest) longest = n, by_name = m;
        n_shape++;
        by_shape = m;
    }
    if (by_name) return by_name;
    return known && n_shape == 1 ? by_shape : NULL;
}

/* --- runs --- */

/* The manifest of a finished evaluation of all of its cases; NULL: of none. New reference. */
static json_t *read_manifest(const json_t *run)
{
    struct err ignored;
    json_t *m = NULL;
    const char *dir = json_string_value(json_object_get(run, "path"));
    bool wanted =
        str_eq(json_string_value(json_object_get(run, "kind")), "eval") && json_is_true(json_object_get(run, "exists"));
    if (!wanted || !dir) return NULL;
    char *path = path_join(dir, "manifest.json");
    if (json_read_file(path, MAX_MANIFEST, &m, &ignored)) m = NULL;
    mem_free(path);
    bool whole = str_eq(json_string_value(json_object_get(m, "kind")), "evaluation") &&
                 str_eq(json_string_value(json_object_get(m, "state")), "done") &&
                 !json_is_true(json_object_get(m, "partial"));
    if (whole) return m;
    json_decref(m);
    return NULL;
}

static const json_t *input_of(const json_t *manifest, const char *key)
{
    return json_object_get(json_object_get(manifest, "inputs"), key);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static struct known_quality *entry_of(struct quality_book *b, const struct plan_model *m)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->of[i].model == m) return &b->of[i];
    return NULL;
}

static void add_run(struct quality_book *b, const struct catalogue *c, const char *dir, const json_t *manifest)
{
    const json_t *model = input_of(manifest, "model");
    const json_t *accuracy = json_object_get(json_object_get(manifest, "metrics"), "accuracy");
    const struct plan_model *m = quality_row_of(c, text_of(model, "name"), text_of(model, "path"));
    double value = json_number_value(json_object_get(accuracy, "value"));
    struct known_quality *at = m ? entry_of(b, m) : NULL;
    b->n_unknown += !m;
    if (!m || (at && at->accuracy >= value)) return;
    if (!at) at = &b->of[b->n++];
    *at = (struct known_quality){.model = m,
                                 .accuracy = value,
                                 .low = json_number_value(json_object_get(accuracy, "low")),
                                 .high = json_number_value(json_object_get(accuracy, "high")),
                                 .n = (long long)json_integer_value(json_object_get(manifest, "n")),
                                 .tuned = json_is_string(input_of(manifest, "adapter"))};
    snprintf(at->run, sizeof at->run, "%s", dir);
    snprintf(at->file, sizeof at->file, "%s", text_of(model, "name"));
    snprintf(at->time, sizeof at->time, "%s", text_of(manifest, "finished"));
}

/* Newest first: the first evaluation says which cases count. */
static void add_runs(struct quality_book *b, const struct catalogue *c, const json_t *runs)
{
    char digest[80] = "";
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        json_t *m = read_manifest(run);
        const json_t *cases = input_of(m, "cases");
        if (m && !digest[0]) {
            snprintf(digest, sizeof digest, "%s", text_of(cases, "digest"));
            snprintf(b->cases, sizeof b->cases, "%s", text_of(cases, "path"));
        }
        if (m && str_eq(digest, text_of(cases, "digest"))) add_run(b, c, text_of(run, "path"), m);
        json_decref(m);
    }
}

int quality_book_open(struct quality_book *b, const char *home, const struct catalogue *c, struct err *e)
{
    struct registry *r;
    json_t *runs = NULL;
    *b = (struct quality_book){.n = 0};
    if (!home || !file_exists(home)) return 0;
    int rc = registry_open(&r, home, e);
    if (rc) return rc;
    rc = registry_runs(r, &runs, e);
    registry_close(r);
    if (rc) return rc;
    b->of = mem_alloc((json_array_size(runs) + 1) * sizeof *b->of);
    add_runs(b, c, runs);
    json_decref(runs);
    return 0;
}

void quality_book_close(struct quality_book *b)
{
    mem_free(b->of);
    *b = (struct quality_book){.n = 0};
}

const struct known_quality *quality_of(const struct quality_book *b, const struct plan_model *m)
{
    for (size_t i = 0; b && i < b->n; i++)
        if (b->of[i].model == m) return &b->of[i];
    return NULL;
}
