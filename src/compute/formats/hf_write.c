/* Writing a Hugging Face directory from another. What always holds: the directory under its final name is complete; of
 * the tensors one is in memory at a time. */
#include "compute/formats/hf_write.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "compute/formats/arch_int.h"
#include "compute/formats/safetensors.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { COPY_MAX_BYTES = 256 << 20 };

struct hf_item {
    const struct safetensors *file;
    const struct tensor_info *src;
    char name[LIMIT_NAME_BYTES + 1]; /* GGUF's */
    bool minus_one;                  /* values are kept less one */
};

struct hf_writer {
    const struct model_file *f;
    const struct arch *arch;
    hf_values_fn values;
    void *arg;
    struct safetensors **part;
    struct hf_item *item;
    struct safetensors_item *out;
    size_t n;
};

/* --- which tensors --- */

/* A head that the config declares tied is not one. */
static bool is_left_out(const struct hf_writer *w, const struct hf_item *x)
{
    return str_eq(x->name, "output.weight") && json_is_true(json_object_get(w->f->config, "tie_word_embeddings"));
}

static void add_tensor(struct hf_writer *w, const struct safetensors *file, const struct tensor_info *t)
{
    struct hf_item *x = &w->item[w->n];
    struct safetensors_item *out = &w->out[w->n];
    *x = (struct hf_item){.file = file, .src = t};
    if (!hf_tensor_name(w->arch, t->name, x->name, sizeof(x->name))) x->name[0] = '\0';
    if (is_left_out(w, x)) return;
    bool is_vector = t->n_dim == 1 && (t->type == TENSOR_F16 || t->type == TENSOR_BF16) && x->name[0] != '\0';
    x->minus_one = t->n_dim == 1 && w->arch != NULL && w->arch->plus_one && str_ends(x->name, "_norm.weight");
    *out = (struct safetensors_item){.name = t->name, .type = is_vector ? TENSOR_F32 : t->type, .n_dim = t->n_dim};
    memcpy(out->shape, t->shape, sizeof(out->shape));
    w->n++;
}

static int open_parts(struct hf_writer *w, struct err *e)
{
    size_t n_part = model_file_n_part(w->f), n = 0;
    w->part = mem_try_array(n_part, sizeof(struct safetensors *));
    int rc = w->part != NULL ? 0 : err_set(e, ERR_NOMEM, w->f->path, "cannot write the model: out of memory");
    for (size_t i = 0; rc == 0 && i < n_part; i++) {
        rc = safetensors_open(&w->part[i], model_file_part_path(w->f, i), e);
        if (rc == 0) n += safetensors_n_tensor(w->part[i]);
    }
    if (rc != 0) return rc;
    w->item = mem_try_array(n + 1, sizeof(*w->item));
    w->out = mem_try_array(n + 1, sizeof(*w->out));
    if (w->item == NULL || w->out == NULL)
        return err_set(e, ERR_NOMEM, w->f->path, "cannot write the model: out of memory");
    for (size_t i = 0; i < n_part; i++)
        for (size_t k = 0; k < safetensors_n_tensor(w->part[i]); k++)
            add_tensor(w, w->part[i], safetensors_tensor(w->part[i], k));
    return 0;
}

static void close_parts(struct hf_writer *w)
{
    for (size_t i = 0; w->part != NULL && i < model_file_n_part(w->f); i++) safetensors_close(w->part[i]);
    mem_free(w->part);
    mem_free(w->item);
    mem_free(w->out);
}

/* --- their values --- */

/* As they stand in the file; vectors, which are written in F32, converted. */
static int copy_values(const struct hf_item *x, const struct safetensors_item *out, void *data, size_t n_bytes,
                       struct err *e)
{
    if (out->type == x->src->type) return safetensors_read(x->file, x->src, data, 0, n_bytes, e);
    return safetensors_read_f32(x->file, x->src, data, n_bytes / sizeof(float), e);
}

static int make_tensor(void *arg, size_t idx, void *data, size_t n_bytes, struct err *e)
{
    const struct hf_writer *w = arg;
    const struct hf_item *x = &w->item[idx];
    const struct safetensors_item *out = &w->out[idx];
    size_t n = 1;
    for (int i = 0; i < out->n_dim; i++) n *= (size_t)out->shape[i];
    int rc = x->name[0] != '\0' ? w->values(w->arg, x->name, out->type, data, n, e) : -ERR_NOT_FOUND;
    if (rc == -ERR_NOT_FOUND) return copy_values(x, out, data, n_bytes, e);
    float *value = data;
    for (size_t i = 0; rc == 0 && i < n && x->minus_one; i++) value[i] -= 1.0f;
    return rc;
}

/* --- the directory --- */

/* What belongs to a model beside its tensors. */
static bool is_copied(const char *name)
{
    static const char *const end[] = {".json", ".jinja", ".model", ".txt"};
    bool fits = false;
    for (size_t i = 0; i < N_ELEM(end); i++) fits = fits || str_ends(name, end[i]);
    return fits && !str_ends(name, ".index.json");
}

static int copy_file(const char *from, const char *to, const char *name, struct err *e)
{
    char *src = path_join(from, name), *dst = path_join(to, name), *data = NULL;
    size_t n = 0;
    struct stat st;
    int rc = 0;
    if (stat(src, &st) == 0 && S_ISREG(st.st_mode)) {
        rc = file_read_all(src, COPY_MAX_BYTES, &data, &n, e);
        rc = rc ? rc : file_write_atomic(dst, data, n, e);
    }
    mem_free(data);
    mem_free(src);
    mem_free(dst);
    return rc;
}

static int copy_files(const char *from, const char *to, struct err *e)
{
    char **name;
    size_t n;
    int rc = file_list_dir(from, &name, &n, e);
    if (rc != 0) return rc;
    for (size_t i = 0; i < n; i++) {
        if (rc == 0 && is_copied(name[i])) rc = copy_file(from, to, name[i], e);
        mem_free(name[i]);
    }
    mem_free(name);
    return rc;
}

static int fill_dir(struct hf_writer *w, const char *dir, struct err *e)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    char *path = path_join(dir, "model.safetensors");
    int rc = file_mkdirs(dir, e);
    rc = rc ? rc : copy_files(w->f->path, dir, e);
    rc = rc ? rc : safetensors_save_made(path, w->out, w->n, metadata, make_tensor, w, e);
    rc = rc ? rc : file_sync_dir(dir, e);
    mem_free(path);
    return rc;
}

static int check_source(const struct model_file *f, const char *dir, struct err *e)
{
    if (file_exists(dir))
        return err_set(e, ERR_CONFLICT, dir, "cannot write the model \"%s\": something is there", dir);
    if (f->is_gguf || f->config == NULL)
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot write a Hugging Face directory from \"%s\": it is none itself", f->path);
    for (size_t i = 0; i < f->n_tensor; i++)
        if (f->tensor[i].packed != NULL || f->tensor[i].made != NULL)
            return err_set(
                e, ERR_UNSUPPORTED, f->path,
                "cannot write a Hugging Face directory from \"%s\": tensor \"%s\" is not kept there as it is "
                "computed with",
                f->path, f->tensor[i].info.name);
    return 0;
}

int hf_write(const struct model_file *f, const char *dir, hf_values_fn values, void *arg, struct err *e)
{
    struct hf_writer w = {.f = f, .values = values, .arg = arg};
    int rc = check_source(f, dir, e);
    if (rc != 0) return rc;
    w.arch = arch_find_model_type(json_string_value(json_object_get(f->config, "model_type")));
    size_t n = strlen(dir);
    char *tmp = mem_alloc(n + sizeof(".tmp")); /* a fixed name: what a crash left there is removed by the next one */
    snprintf(tmp, n + sizeof(".tmp"), "%s.tmp", dir);
    rc = file_remove_tree(tmp, e);
    rc = rc ? rc : open_parts(&w, e);
    rc = rc ? rc : fill_dir(&w, tmp, e);
    if (rc == 0 && rename(tmp, dir) != 0) rc = err_set_errno(e, dir, "cannot put the model \"%s\" in its place", dir);
    if (rc != 0) {
        err_rename(e, tmp, dir);
        if (file_remove_tree(tmp, NULL) != 0) rc = err_wrap(e, rc, "an unfinished copy is left beside it");
    }
    close_parts(&w);
    mem_free(tmp);
    return rc;
}
