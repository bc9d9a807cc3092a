/* Merging. Owns the matrix in hand: merged once, then read by rows. */
#include "compute/convert/merge.h"

#include <string.h>

#include "compute/formats/hf_write.h"
#include "compute/model/absorb.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

struct merger {
    const struct merge_input *in;
    const struct tensor_info *t; /* whose values are in hand; NULL: none */
    float *value;
};

static bool has_values(void *arg, const char *name)
{
    const struct merger *w = arg;
    struct err ignored; /* where it does not sit, the file's values stand */
    return adapter_merged(w->in->adapter, w->in->model, name, NULL, 0, &ignored) == 0;
}

/* The whole of a matrix; the one before is let go. */
static int take_matrix(struct merger *w, const char *name, struct err *e)
{
    const struct tensor_info *t = model_file_find(w->in->file, name);
    if (t == NULL || t->n_dim != 2) return err_set(e, ERR_INTERNAL, name, "cannot merge: no matrix \"%s\"", name);
    if (t == w->t) return 0;
    size_t n = (size_t)(t->shape[0] * t->shape[1]);
    mem_free(w->value);
    w->t = NULL;
    w->value = mem_try_array(n, sizeof(*w->value));
    if (w->value == NULL)
        return err_set(e, ERR_NOMEM, name, "cannot merge into tensor \"%s\": no memory for %zu values", name, n);
    int rc = adapter_merged(w->in->adapter, w->in->model, name, w->value, n, e);
    if (rc == 0) w->t = t;
    return rc;
}

static int take_rows(void *arg, const char *name, float *out, uint64_t row0, size_t n_row, struct err *e)
{
    struct merger *w = arg;
    int rc = take_matrix(w, name, e);
    if (rc != 0) return rc;
    size_t n_in = (size_t)w->t->shape[1];
    memcpy(out, w->value + row0 * n_in, n_row * n_in * sizeof(*out));
    return 0;
}

static bool has_none(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return false;
}

static void move_codes(void *arg, const struct tensor_info *t, void *rows, uint64_t row0, size_t n_row)
{
    const struct merge_input *in = arg;
    (void)absorb_rows(in->model, in->adapter, t, rows, (size_t)row0, n_row);
}

int merge_codes(const struct merge_input *in, const char *path, const struct quantize_options *opt,
                struct quantize_result *out, struct err *e)
{
    struct merge_input mine = *in;
    const struct quantize_source source = {.has = has_none, .bytes = move_codes, .arg = &mine};
    struct quantize_options with = *opt;
    with.mix = NULL;
    with.source = &source;
    int rc = absorb_check(in->file, in->model, in->adapter, e);
    return rc != 0 ? rc : quantize_model(in->file, path, &with, out, e);
}

int merge_gguf(const struct merge_input *in, const char *path, const struct quantize_options *opt,
               struct quantize_result *out, struct err *e)
{
    struct merger w = {.in = in};
    const struct quantize_source source = {.has = has_values, .rows = take_rows, .arg = &w};
    struct quantize_options with = *opt;
    with.source = &source;
    int rc = quantize_model(in->file, path, &with, out, e);
    mem_free(w.value);
    return rc;
}

static int put_values(void *arg, const char *name, enum tensor_type type, void *out, size_t n, struct err *e)
{
    const struct merge_input *in = arg;
    int q = quant_find(tensor_type_info(type)->name);
    if (q < 0 || adapter_merged(in->adapter, in->model, name, NULL, 0, e) != 0) return -ERR_NOT_FOUND;
    float *value = mem_try_array(n, sizeof(float));
    int rc = value != NULL
                 ? adapter_merged(in->adapter, in->model, name, value, n, e)
                 : err_set(e, ERR_NOMEM, name, "cannot merge into tensor \"%s\": no memory for %zu values", name, n);
    if (rc == 0) quants[q]->quantize(out, value, n);
    mem_free(value);
    return rc;
}

int merge_hf(const struct merge_input *in, const char *dir, struct err *e)
{
    struct merge_input mine = *in;
    return hf_write(in->file, dir, put_values, &mine, e);
}
