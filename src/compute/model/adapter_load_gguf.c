/* Reading a GGUF LoRA: factors beside the tensors of a GGUF base, one alpha for all. The file says no targets, so they
 * are the tensors it has. Untrusted as any file; what cannot be computed is refused by name. */
#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "compute/kernels/kern.h"
#include "compute/model/adapter_int.h"
#include "compute/model/weights_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { NAME_BYTES = 96 };

struct lora_file {
    struct model_file *f;
    const char *path;
    const struct model_params *p;
    double alpha; /* 0: the factors are multiplied by nothing */
};

/* --- the header --- */

static int check_text(const struct lora_file *l, const char *key, const char *want, struct err *e)
{
    const char *said = json_string_value(json_object_get(model_file_metadata(l->f), key));
    return said && str_eq(said, want) ? 0
                                      : err_set(e, ERR_UNSUPPORTED, l->path,
                                                "cannot use adapter \"%s\": %s is \"%.60s\", \"%s\" would be right",
                                                l->path, key, said ? said : "", want);
}

static int read_header(struct lora_file *l, struct err *e)
{
    const json_t *alpha = json_object_get(model_file_metadata(l->f), "adapter.lora.alpha");
    int rc = check_text(l, "general.type", "adapter", e);
    rc = rc ? rc : check_text(l, "adapter.type", "lora", e);
    rc = rc ? rc : check_text(l, "general.architecture", l->p->architecture, e);
    if (rc) {
        return rc;
    }
    l->alpha = json_number_value(alpha);
    return json_is_number(alpha) && l->alpha >= 0 && l->alpha <= 1e9
               ? 0
               : err_set(e, ERR_INPUT, l->path,
                         "cannot use adapter \"%s\": adapter.lora.alpha is not a number from 0 to 1e9", l->path);
}

/* --- which matrices --- */

static void factor_name(char out[NAME_BYTES], const struct model_params *p, int layer, enum adapter_site site,
                        bool is_b)
{
    snprintf(out, NAME_BYTES, "blk.%d.%s.weight.lora_%c", layer, model_site_place(p, site).part, is_b ? 'b' : 'a');
}

/* Outputs of the whole tensor of which a site has rows. */
static size_t tensor_rows(const struct model_params *p, enum adapter_site site)
{
    size_t total = 0;
    const char *part = model_site_place(p, site).part;
    for (int s = 0; s < SITE_COUNT; s++) {
        size_t n_out, n_in;
        model_site_shape(p, (enum adapter_site)s, &n_out, &n_in);
        total += str_eq(model_site_place(p, (enum adapter_site)s).part, part) ? n_out : 0;
    }
    return total;
}

static int check_factor(const struct lora_file *l, const char *name, size_t n_row, size_t n_col, struct err *e)
{
    const struct tensor_info *t = model_file_find(l->f, name);
    if (!t) {
        return err_set(e, ERR_INPUT, l->path, "cannot use adapter \"%s\": tensor \"%s\" is missing", l->path, name);
    }
    if (t->n_dim != 2 || t->shape[0] != n_row || t->shape[1] != n_col) {
        return err_set(
            e, ERR_INPUT, l->path,
            "cannot use adapter \"%s\": tensor \"%s\" is %llu x %llu (%d dimensions), the model wants %zu x %zu",
            l->path, name, (unsigned long long)t->shape[0], (unsigned long long)(t->n_dim > 1 ? t->shape[1] : 1),
            t->n_dim, n_row, n_col);
    }
    return 0;
}

/* What the file has on a site; its rank is the rows of its A. */
static int find_target(const struct lora_file *l, int layer, enum adapter_site site, struct adapter_target *out,
                       size_t *n_known, struct err *e)
{
    char a[NAME_BYTES], b[NAME_BYTES];
    size_t n_out, n_in;
    model_site_shape(l->p, site, &n_out, &n_in);
    factor_name(a, l->p, layer, site, false);
    factor_name(b, l->p, layer, site, true);
    const struct tensor_info *t = model_file_find(l->f, a);
    if (!t && !model_file_find(l->f, b)) {
        return 0;
    }
    size_t rank = t && t->n_dim == 2 && t->shape[0] <= ADAPTER_MAX_RANK ? (size_t)t->shape[0] : 0;
    int rc = check_factor(l, a, rank, n_in, e);
    rc = rc ? rc : check_factor(l, b, tensor_rows(l->p, site), rank, e);
    *out = (struct adapter_target){(int)rank, l->alpha > 0 ? (float)l->alpha : (float)rank};
    *n_known += model_site_place(l->p, site).row0 == 0 ? 2 : 0;
    return rc;
}

static const char *stranger(const struct lora_file *l)
{
    for (size_t i = 0; i < model_file_n_tensor(l->f); i++) {
        const char *name = model_file_tensor(l->f, i)->name;
        int layer = -1;
        bool known = false, in_layer = sscanf(name, "blk.%5d.", &layer) == 1 && layer >= 0 && layer < l->p->n_layer;
        for (int s = 0; s < 2 * SITE_COUNT && !known && in_layer; s++) {
            char own[NAME_BYTES];
            factor_name(own, l->p, layer, (enum adapter_site)(s / 2), s % 2 == 1);
            known = str_eq(own, name);
        }
        if (!known) {
            return name;
        }
    }
    return "";
}

static int find_targets(const struct lora_file *l, struct adapter_target *target, struct adapter_options *opt,
                        struct err *e)
{
    size_t n_known = 0;
    int rc = 0;
    for (int i = 0; !rc && i < l->p->n_layer * SITE_COUNT; i++) {
        rc = find_target(l, i / SITE_COUNT, (enum adapter_site)(i % SITE_COUNT), &target[i], &n_known, e);
        if (!rc && opt->rank == 0) {
            opt->rank = target[i].rank;
            opt->alpha = target[i].alpha;
        }
    }
    opt->target = target;
    if (!rc && n_known != model_file_n_tensor(l->f)) {
        rc = err_set(e, ERR_UNSUPPORTED, l->path,
                     "cannot use adapter \"%s\": tensor \"%s\" belongs to no targeted matrix of the model", l->path,
                     stranger(l));
    }
    return rc;
}

/* --- values --- */

static int read_values(const struct lora_file *l, const struct tensor_info *t, float *out, struct err *e)
{
    const struct tensor_type_info *type = tensor_type_info(t->type);
    size_t n = (size_t)(t->shape[0] * t->shape[1]);
    int quant = quant_find(type->name);
    if (quant < 0 || type->block_len > 1) {
        return err_set(e, ERR_UNSUPPORTED, l->path,
                       "cannot use adapter \"%s\": tensor \"%s\" is of type %s, F32, F16 or BF16 would be right",
                       l->path, t->name, type->name);
    }
    void *raw = mem_try_array(n, type->block_bytes);
    int rc = raw ? model_file_read(l->f, t, raw, 0, n * type->block_bytes, e)
                 : err_set(e, ERR_NOMEM, l->path, "cannot read adapter \"%s\": out of memory", l->path);
    if (!rc) {
        quants[quant]->dequantize(out, raw, n);
    }
    mem_free(raw);
    return rc;
}

/* Rows of B in the order of the base in memory: a GGUF has pairs where one that came from Hugging Face has halves. */
static void put_b(struct adapter *a, enum adapter_site site, const struct adapter_view *v, const float *b, float *own)
{
    size_t dh = (size_t)a->params.d_head, rank = (size_t)v->on.rank;
    bool turn = a->params.rope_halves && site <= SITE_K && model_architecture_permutes(a->params.architecture);
    for (size_t r = 0; r < v->n_out; r++) {
        size_t i = r % dh, from = !turn ? r : r - i + (i < dh / 2 ? 2 * i : 2 * (i - dh / 2) + 1);
        memcpy(own + r * rank, b + from * rank, rank * sizeof(float));
    }
    dev_write(a->dev, a->param + v->b, own, v->n_out * rank);
}

static int read_site(struct adapter *a, const struct lora_file *l, int layer, enum adapter_site site, struct err *e)
{
    char name[NAME_BYTES];
    const struct adapter_view *v = adapter_view_at(a, layer, site);
    size_t rank = (size_t)v->on.rank, n_row = tensor_rows(l->p, site);
    size_t n = rank * (n_row > v->n_in ? n_row : v->n_in);
    float *x = mem_try_array(n, sizeof(float)), *own = mem_try_array(n, sizeof(float));
    int rc = x && own ? 0 : err_set(e, ERR_NOMEM, l->path, "cannot read adapter \"%s\": out of memory", l->path);
    if (!rc) {
        factor_name(name, l->p, layer, site, false);
        rc = read_values(l, model_file_find(l->f, name), x, e);
    }
    if (!rc) {
        dev_write(a->dev, a->param + v->a, x, rank * v->n_in);
        factor_name(name, l->p, layer, site, true);
        rc = read_values(l, model_file_find(l->f, name), x, e);
    }
    if (!rc) {
        put_b(a, site, v, x + model_site_place(l->p, site).row0 * rank, own);
    }
    mem_free(x);
    mem_free(own);
    return rc;
}

static int read_file(struct adapter **out, const struct model *m, struct lora_file *l, struct adapter_target *target,
                     struct err *e)
{
    struct adapter_options opt = {0};
    int rc = read_header(l, e);
    rc = rc ? rc : find_targets(l, target, &opt, e);
    rc = rc ? rc : adapter_make(out, m, &opt, e);
    for (int i = 0; !rc && i < l->p->n_layer * SITE_COUNT; i++) {
        if (target[i].rank > 0) {
            rc = read_site(*out, l, i / SITE_COUNT, (enum adapter_site)(i % SITE_COUNT), e);
        }
    }
    if (rc) {
        adapter_free(*out);
        *out = NULL;
        return rc;
    }
    adapter_update(*out);
    return 0;
}

int adapter_load_gguf(struct adapter **out, const struct model *m, const char *path, struct err *e)
{
    struct lora_file l = {.path = path, .p = model_params(m)};
    struct adapter_target *target = mem_try_array((size_t)l.p->n_layer * SITE_COUNT, sizeof(*target));
    *out = NULL;
    int rc = target ? model_file_open(&l.f, path, e)
                    : err_set(e, ERR_NOMEM, path, "cannot read adapter \"%s\": out of memory", path);
    if (!rc) {
        rc = model_file_is_gguf(l.f)
                 ? read_file(out, m, &l, target, e)
                 : err_set(e, ERR_INPUT, path, "cannot use adapter \"%s\": it is no GGUF file", path);
        model_file_close(l.f);
    }
    mem_free(target);
    return rc;
}
