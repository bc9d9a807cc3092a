/* The catalogue. Owns its rows. What always holds: shapes are positive and small enough that products of them fit 64
 * bits. */
#include "lifecycle/plan/shapes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/table/csv.h"

enum { N_FIELD = 9, MAX_MODELS = 10000 };

static const struct {
    const char *column;
    int64_t max;
} field[N_FIELD] = {{"n_layer", 1000},     {"n_embd", 1000000},        {"n_head", 10000},
                    {"n_kv_head", 10000},  {"d_head", 10000},          {"n_ff", 10000000},
                    {"n_vocab", 10000000}, {"n_ctx_train", 100000000}, {"tied_head", 1}};

/* A column that a catalogue may lack. */
static void read_optional(const struct csv_reader *r, const char *name, char *out, size_t size)
{
    int column = csv_column(r, name, NULL);
    snprintf(out, size, "%s", column < 0 ? "" : r->field[column].text);
}

static int read_shape(const struct csv_reader *r, const char *path, const int column[N_FIELD + 1],
                      struct model_shape *s, struct err *e)
{
    int64_t v[N_FIELD];
    for (size_t i = 0; i < N_FIELD; i++) {
        const char *text = r->field[column[i]].text;
        int64_t min = i + 1 < N_FIELD;
        if (!str_to_i64(text, &v[i]) || v[i] < min || v[i] > field[i].max)
            return err_set(e, ERR_INPUT, path,
                           "cannot read \"%s\" line %llu: %s is \"%s\", a whole number from %lld to %lld is "
                           "needed",
                           path, (unsigned long long)r->line_no, field[i].column, text, (long long)min,
                           (long long)field[i].max);
    }
    *s = (struct model_shape){.n_layer = (int)v[0],
                              .n_embd = (int)v[1],
                              .n_head = (int)v[2],
                              .n_kv_head = (int)v[3],
                              .d_head = (int)v[4],
                              .n_ff = (int)v[5],
                              .n_vocab = (int)v[6],
                              .n_ctx_train = (int)v[7],
                              .tied_head = v[8] == 1};
    snprintf(s->name, sizeof s->name, "%s", r->field[column[N_FIELD]].text);
    read_optional(r, "architecture", s->architecture, sizeof s->architecture);
    read_optional(r, "pre_tokenizer", s->pre_tokenizer, sizeof s->pre_tokenizer);
    return 0;
}

static int find_columns(const struct csv_reader *r, int column[N_FIELD + 1], struct err *e)
{
    for (size_t i = 0; i <= N_FIELD; i++) {
        column[i] = csv_column(r, i < N_FIELD ? field[i].column : "model", e);
        if (column[i] < 0) return column[i];
    }
    return 0;
}

static int add_shape(struct shapes *c, const struct model_shape *s, const char *path, struct err *e)
{
    struct model_shape *item = c->n < MAX_MODELS ? mem_try_realloc(c->item, (c->n + 1) * sizeof *item) : NULL;
    if (!item)
        return err_set(e, ERR_LIMIT, path, "cannot read \"%s\": more than %d models or out of memory", path,
                       MAX_MODELS);
    c->item = item;
    c->item[c->n++] = *s;
    return 0;
}

int shapes_load(struct shapes *c, const char *path, struct err *e)
{
    struct csv_reader r;
    struct model_shape s;
    int column[N_FIELD + 1];
    *c = (struct shapes){0};
    int rc = csv_open(&r, path, e);
    if (rc == 0) rc = find_columns(&r, column, e);
    while (rc == 0 && (rc = csv_next(&r, e)) == 1) {
        rc = read_shape(&r, path, column, &s, e);
        if (rc == 0) rc = add_shape(c, &s, path, e);
    }
    csv_close(&r);
    if (rc) shapes_free(c);
    return rc;
}

void shapes_free(struct shapes *c)
{
    mem_free(c->item);
    *c = (struct shapes){0};
}

const struct model_shape *shapes_find(const struct shapes *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcasecmp(c->item[i].name, name) == 0) return &c->item[i];
    return NULL;
}

void shape_of_params(const struct model_params *p, const char *name, struct model_shape *s)
{
    *s = (struct model_shape){.n_layer = p->n_layer,
                              .n_embd = p->n_embd,
                              .n_head = p->n_head,
                              .n_kv_head = p->n_kv_head,
                              .d_head = p->d_head,
                              .n_ff = p->n_ff,
                              .n_vocab = p->n_vocab,
                              .n_ctx_train = p->n_ctx_train,
                              .tied_head = p->tied_head,
                              .n_latent = p->latent.n_latent ? p->latent.n_latent + p->n_rot : 0};
    snprintf(s->name, sizeof s->name, "%.63s", name);
    snprintf(s->architecture, sizeof s->architecture, "%s", p->architecture);
}
