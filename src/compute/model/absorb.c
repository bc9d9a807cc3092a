/* Adapters within codes. Owns the rows of the base. What always holds: a matrix of the model is what its base's rows
 * give when they are moved by the adapter as it is, never moved twice. */
#include "compute/model/absorb.h"

#include <stdio.h>

#include "compute/model/adapter_int.h"
#include "compute/model/weights_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { NAME_BYTES = 96 };

struct absorber {
    struct model *m;
    struct adapter *a;
    void **rows; /* [n_layer][SITE_COUNT], NULL: the adapter does not sit there */
};

static void tensor_name(char out[NAME_BYTES], const struct model *m, int layer, enum adapter_site site)
{
    snprintf(out, NAME_BYTES, "blk.%d.%s.weight", layer, model_site_place(&m->params, site).part);
}

/* --- whether it can be done --- */

static int check_base(const struct model_file *f, const struct model *m, const struct adapter *a, struct err *e)
{
    const char *why = !model_file_is_gguf(f) ? "it is no GGUF file, whose quantized weights have codes to move"
                      : m->params.fused      ? "it keeps several matrices as one"
                      : a->opt.use_dora      ? "the adapter has magnitudes (DoRA), which no code can follow"
                                             : NULL;
    return why == NULL ? 0
                       : err_set(e, ERR_UNSUPPORTED, model_file_path(f), "cannot move the codes of \"%s\": %s",
                                 model_file_path(f), why);
}

static int check_matrix(const struct model_file *f, const struct model *m, int layer, enum adapter_site site,
                        struct err *e)
{
    char name[NAME_BYTES];
    tensor_name(name, m, layer, site);
    const struct tensor_info *t = model_file_find(f, name);
    int type = t != NULL ? quant_find(tensor_type_info(t->type)->name) : -1;
    if (type >= 0 && quants[type]->move != NULL && (int)dev_mat_type(m->layer[layer].w[site]) == type) return 0;
    return err_set(e, ERR_UNSUPPORTED, name,
                   "cannot move the codes of matrix \"%s\": it is %s, and only values that are even steps of one "
                   "scale can keep it (Q4_0, Q4_1, Q8_0)",
                   name, t != NULL ? tensor_type_info(t->type)->name : "missing");
}

int absorb_check(const struct model_file *f, const struct model *m, const struct adapter *a, struct err *e)
{
    int rc = check_base(f, m, a, e);
    for (int i = 0; rc == 0 && i < m->params.n_layer; i++)
        for (int s = 0; rc == 0 && s < SITE_COUNT; s++)
            if (adapter_lora(a, i, (enum adapter_site)s) != NULL) rc = check_matrix(f, m, i, (enum adapter_site)s, e);
    return rc;
}

/* --- in a model --- */

static int read_rows(struct absorber *x, const struct model_file *f, int layer, enum adapter_site site, struct err *e)
{
    char name[NAME_BYTES];
    tensor_name(name, x->m, layer, site);
    const struct tensor_info *t = model_file_find(f, name);
    void **to = &x->rows[(size_t)layer * SITE_COUNT + (size_t)site];
    *to = mem_try_alloc((size_t)t->n_bytes);
    if (*to == NULL)
        return err_set(e, ERR_NOMEM, name, "cannot keep the codes of matrix \"%s\": no memory for %llu bytes", name,
                       (unsigned long long)t->n_bytes);
    return model_file_read(f, t, *to, 0, (size_t)t->n_bytes, e);
}

static int take_all(struct absorber *x, const struct model_file *f, struct err *e)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < x->m->params.n_layer; i++) {
        for (int s = 0; rc == 0 && s < SITE_COUNT; s++) {
            struct dev_lora *l = adapter_view_at(x->a, i, (enum adapter_site)s)->lora;
            if (l == NULL) continue;
            rc = read_rows(x, f, i, (enum adapter_site)s, e);
            dev_lora_set_absorbed(l);
        }
    }
    return rc;
}

int absorber_new(struct absorber **out, struct model *m, const struct model_file *f, struct adapter *a, struct err *e)
{
    size_t n = (size_t)m->params.n_layer * SITE_COUNT;
    *out = NULL;
    int rc = absorb_check(f, m, a, e);
    if (rc == 0 && m->packed != NULL)
        rc = err_set(e, ERR_UNSUPPORTED, model_file_path(f),
                     "cannot move the codes of \"%s\": the weights come from a packed file, which is only read",
                     model_file_path(f));
    if (rc != 0) return rc;
    struct absorber *x = mem_alloc(sizeof(*x));
    *x = (struct absorber){.m = m, .a = a, .rows = mem_try_array(n, sizeof(*x->rows))};
    if (x->rows == NULL) rc = err_set(e, ERR_NOMEM, NULL, "cannot keep the codes of a model: out of memory");
    for (size_t i = 0; rc == 0 && i < n; i++) x->rows[i] = NULL;
    if (rc == 0) rc = take_all(x, f, e);
    if (rc != 0) {
        absorber_free(x);
        return rc;
    }
    absorber_update(x);
    *out = x;
    return 0;
}

void absorber_free(struct absorber *x)
{
    if (x == NULL) return;
    for (size_t i = 0; x->rows != NULL && i < (size_t)x->m->params.n_layer * SITE_COUNT; i++) mem_free(x->rows[i]);
    mem_free(x->rows);
    mem_free(x);
}

void absorber_update(struct absorber *x)
{
    for (int i = 0; i < x->m->params.n_layer; i++)
        for (int s = 0; s < SITE_COUNT; s++) {
            const void *rows = x->rows[(size_t)i * SITE_COUNT + (size_t)s];
            if (rows != NULL)
                dev_lora_absorb(x->m->dev, adapter_lora(x->a, i, (enum adapter_site)s), rows, x->m->layer[i].w[s]);
        }
}

/* --- in a file --- */

bool absorb_rows(const struct model *m, const struct adapter *a, const struct tensor_info *t, void *rows, size_t row0,
                 size_t n_row)
{
    char name[NAME_BYTES];
    int layer;
    if (sscanf(t->name, "blk.%5d.", &layer) != 1 || layer < 0 || layer >= m->params.n_layer) return false;
    for (int s = 0; s < SITE_COUNT; s++) {
        const struct dev_lora *l = adapter_lora(a, layer, (enum adapter_site)s);
        tensor_name(name, m, layer, (enum adapter_site)s);
        if (l == NULL || !str_eq(name, t->name)) continue;
        dev_lora_move(m->dev, l, (enum quant_type)quant_find(tensor_type_info(t->type)->name), rows, row0, n_row);
        return true;
    }
    return false;
}
