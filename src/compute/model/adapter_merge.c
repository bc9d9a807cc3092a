/* Matrices with an adapter in them, by the names of a file's tensors. */
#include <stdio.h>

#include "compute/model/adapter_int.h"
#include "compute/model/weights_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

/* The layer whose tensor `name` holds a site, -1: none does. */
static int layer_of(const struct model_params *p, enum adapter_site site, const char *name)
{
    char own[96];
    int layer = -1;
    if (sscanf(name, "blk.%5d.", &layer) != 1 || layer < 0 || layer >= p->n_layer) {
        return -1;
    }
    snprintf(own, sizeof(own), "blk.%d.%s.weight", layer, model_site_place(p, site).part);
    return str_eq(own, name) ? layer : -1;
}

/* A site's rows among those of its tensor; as the base has them where the adapter (NULL: none) leaves them out. */
static int put_rows(const struct adapter *a, const struct model *m, int layer, enum adapter_site site, float *out,
                    size_t n, struct err *e)
{
    const struct dev_lora *l = a ? adapter_lora(a, layer, site) : NULL;
    const struct dev_mat *w = m->layer[layer].w[site];
    size_t n_value = dev_mat_n_out(w) * dev_mat_n_in(w);
    size_t at = model_site_place(&m->params, site).row0 * dev_mat_n_in(w);
    float *tmp;
    if (at + n_value > n) {
        return err_set(e, ERR_INTERNAL, NULL, "cannot merge: a matrix of %zu values is too small", n);
    }
    int rc = dev_alloc(m->dev, &tmp, n_value, e);
    if (rc) {
        return rc;
    }
    if (l) {
        dev_lora_merge(m->dev, l, w, tmp);
    } else {
        dev_mat_get(m->dev, w, tmp);
    }
    dev_read(m->dev, out + at, tmp, n_value);
    dev_release(m->dev, tmp);
    return 0;
}

static bool sits_on(const struct adapter *a, const char *name)
{
    bool sits = false;
    for (int s = 0; s < SITE_COUNT; s++) {
        int layer = layer_of(&a->params, (enum adapter_site)s, name);
        sits = sits || (layer >= 0 && adapter_lora(a, layer, (enum adapter_site)s));
    }
    return sits;
}

static int put_sites(const struct adapter *a, const struct model *m, const char *name, float *out, size_t n,
                     struct err *e)
{
    int rc = 0;
    for (int s = 0; !rc && s < SITE_COUNT; s++) {
        int layer = layer_of(&m->params, (enum adapter_site)s, name);
        rc = layer >= 0 ? put_rows(a, m, layer, (enum adapter_site)s, out, n, e) : 0;
    }
    return rc;
}

int adapter_merged(const struct adapter *a, const struct model *m, const char *name, float *out, size_t n,
                   struct err *e)
{
    if (!sits_on(a, name)) {
        return err_set(e, ERR_NOT_FOUND, name, "cannot merge into tensor \"%s\": the adapter does not sit there", name);
    }
    return out ? put_sites(a, m, name, out, n, e) : 0;
}

int adapter_unmerged(const struct model *m, const char *name, float *out, size_t n, struct err *e)
{
    return put_sites(NULL, m, name, out, n, e);
}
