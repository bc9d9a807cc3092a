/* The catalogue. Owns the sheets that its files were read into and the rows parsed from them; rows point into texts of
 * the sheets' arena. What always holds: every row was checked, and a name appears once. */
#include "lifecycle/plan/catalogue.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/plan/catalogue_data.h"
#include "lifecycle/plan/hardware_name.h"
#include "lifecycle/plan/sheet.h"

enum { MAX_TEXT_BYTES = 64 * 1024 * 1024, N_TABLE = 3 };

struct catalogue_text {
    struct arena arena;
    struct sheet sheet[N_TABLE];
};

static const struct row_table *const tables[N_TABLE] = {&row_models, &row_hardware, &row_prices};

static int read_embedded(struct sheet *s, struct err *e)
{
    size_t n;
    const char *text = catalogue_data(s->table->file, &n);
    return sheet_read_memory(s, s->table->file, text, n, e);
}

/* A folder's file where it has one. */
static int read_folder(struct sheet *s, const char *folder, struct err *e)
{
    char *path = path_join(folder, s->table->file);
    int rc = file_exists(path) ? sheet_read(s, path, NULL, e) : 0;
    mem_free(path);
    return rc;
}

static int read_given(struct catalogue_text *t, const char *given, struct err *e)
{
    const struct row_table *table;
    int rc = 0;
    if (file_is_dir(given)) {
        for (size_t i = 0; rc == 0 && i < N_TABLE; i++) rc = read_folder(&t->sheet[i], given, e);
        return rc;
    }
    rc = sheet_table_of(given, &table, e);
    for (size_t i = 0; rc == 0 && i < N_TABLE; i++)
        if (tables[i] == table) rc = sheet_read(&t->sheet[i], given, NULL, e);
    return rc;
}

static int read_layers(struct catalogue_text *t, const char *home, const char *given, struct err *e)
{
    char *folder = home ? path_join(home, "catalog") : NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < N_TABLE; i++) {
        rc = read_embedded(&t->sheet[i], e);
        if (rc == 0 && folder) rc = read_folder(&t->sheet[i], folder, e);
    }
    mem_free(folder);
    return rc || !given ? rc : read_given(t, given, e);
}

static int parse_rows(const struct sheet *s, void **rows, size_t *n, struct err *e)
{
    char *at = *rows = mem_try_array(s->n ? s->n : 1, s->table->row_size);
    if (!at)
        return err_set(e, ERR_NOMEM, s->table->name, "cannot read the catalogue of %s: out of memory", s->table->name);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        rc = row_parse(s->table, sheet_row(s, i), s->table->name, at + i * s->table->row_size, e);
    *n = s->n;
    return rc;
}

int catalogue_open(struct catalogue *c, const char *home, const char *given, struct err *e)
{
    struct catalogue_text *t = mem_alloc(sizeof *t);
    void *rows[N_TABLE] = {NULL};
    size_t *counts[N_TABLE] = {&c->n_model, &c->n_hardware, &c->n_price};
    *c = (struct catalogue){.text = t};
    arena_init(&t->arena, MAX_TEXT_BYTES);
    for (size_t i = 0; i < N_TABLE; i++) sheet_init(&t->sheet[i], tables[i], &t->arena);
    int rc = read_layers(t, home, given, e);
    for (size_t i = 0; rc == 0 && i < N_TABLE; i++) rc = parse_rows(&t->sheet[i], &rows[i], counts[i], e);
    c->model = rows[0];
    c->hardware = rows[1];
    c->price = rows[2];
    return rc;
}

void catalogue_free(struct catalogue *c)
{
    mem_free(c->model);
    mem_free(c->hardware);
    mem_free(c->price);
    for (size_t i = 0; c->text && i < N_TABLE; i++) sheet_deinit(&c->text->sheet[i]);
    if (c->text) arena_deinit(&c->text->arena);
    mem_free(c->text);
    *c = (struct catalogue){0};
}

const struct plan_model *catalogue_model(const struct catalogue *c, const char *name)
{
    for (size_t i = 0; i < c->n_model; i++)
        if (strcasecmp(c->model[i].name, name) == 0) return &c->model[i];
    for (size_t i = 0; i < c->n_model; i++)
        if (c->model[i].hf_id[0] && strcasecmp(c->model[i].hf_id, name) == 0) return &c->model[i];
    return NULL;
}

const struct plan_hardware *catalogue_hardware(const struct catalogue *c, const char *id)
{
    for (size_t i = 0; i < c->n_hardware; i++)
        if (strcasecmp(c->hardware[i].id, id) == 0) return &c->hardware[i];
    return NULL;
}

const struct plan_price *catalogue_price(const struct catalogue *c, const char *provider, const char *model)
{
    const struct plan_price *found = NULL;
    for (size_t i = 0; i < c->n_price; i++) {
        const struct plan_price *p = &c->price[i];
        if ((provider && strcasecmp(p->provider, provider) != 0) || strcasecmp(p->model, model) != 0) continue;
        if (!found || strcmp(p->date, found->date) > 0) found = p;
    }
    return found;
}

/* The nearest of n names, NULL when none is near. */
static const char *nearest(const char *word, const char *(*name)(const struct catalogue *, size_t),
                           const struct catalogue *c, size_t n)
{
    const char *best = NULL;
    int least = str_distance_max(word) + 1;
    for (size_t i = 0; i < n; i++) {
        int d = str_mistyped(word, name(c, i));
        if (d < least) least = d, best = name(c, i);
    }
    return best;
}

static const char *model_name(const struct catalogue *c, size_t i)
{
    return c->model[i].name;
}

static const char *hardware_id(const struct catalogue *c, size_t i)
{
    return c->hardware[i].id;
}

static int unknown(const char *what, const char *name, const char *near, const char *list, struct err *e)
{
    return near ? err_set(e, ERR_NOT_FOUND, name, "cannot find %s \"%s\" in the catalogue, did you mean %s?", what,
                          name, near)
                : err_set(e, ERR_NOT_FOUND, name,
                          "cannot find %s \"%s\" in the catalogue; `tailor catalog %s` lists it", what, name, list);
}

int catalogue_need_model(const struct catalogue *c, const char *name, const struct plan_model **out, struct err *e)
{
    *out = catalogue_model(c, name);
    return *out ? 0 : unknown("model", name, nearest(name, model_name, c, c->n_model), "models", e);
}

static int not_clear(const char *name, const struct hardware_matches *m, struct err *e)
{
    char list[200] = "";
    for (size_t i = 0, len = 0; i < m->n && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", m->listed[i]->id);
    return err_set(e, ERR_NOT_FOUND, name, "cannot tell which hardware \"%s\" is: it may be one of %s", name, list);
}

int catalogue_need_hardware(const struct catalogue *c, const char *id, const struct plan_hardware **out, struct err *e)
{
    struct hardware_matches m;
    hardware_match(c, id, &m);
    *out = m.one;
    if (m.one) return 0;
    if (m.n > 0) return not_clear(id, &m, e);
    return unknown("hardware", id, nearest(id, hardware_id, c, c->n_hardware), "hardware", e);
}
