/* GGUF as a model: the first file, and the other files of a split beside it, made one table of tensors.
 * Fills a struct model_file. A split is NAME-00001-of-0000N.gguf with split.no and split.count in every file;
 * hyper-parameters and vocabulary are in the first. */
#include "compute/formats/formats_int.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/str.h"

/* Take the tensors and the descriptor of a parsed file; tensor names stay in the arena of g. */
static int take_tensors(struct model_file *f, struct gguf_file *g, const char *path, struct err *e)
{
    size_t n = f->n_tensor + g->n_tensor;
    struct stored_tensor *t = n <= LIMIT_TENSORS ? mem_try_realloc(f->tensor, (n ? n : 1) * sizeof *t) : NULL;
    if (!t) {
        return err_set(e, n > LIMIT_TENSORS ? ERR_LIMIT : ERR_NOMEM, path,
                       "cannot open \"%s\": %zu tensors are too many", path, n);
    }
    f->tensor = t;
    for (size_t i = 0; i < g->n_tensor; i++) {
        t[f->n_tensor] = g->tensor[i];
        t[f->n_tensor].part = (uint32_t)f->n_part;
        f->n_tensor++;
    }
    mem_free(g->tensor);
    g->tensor = NULL;
    int fd = g->fd;
    g->fd = -1;
    return model_add_part(f, path, fd, g->size_bytes, e);
}

static int64_t split_count(const struct gguf_file *g)
{
    int64_t n = 0;
    return gguf_get_int(g, "split.count", &n) ? n : 0;
}

/* The path of part idx (from 0) of n, from the path of the first; false when the name is not that of a first part. */
static bool part_path(const char *first, int64_t idx, int64_t n, char *out, size_t size)
{
    char tail[40];
    snprintf(tail, sizeof tail, "-%05d-of-%05d.gguf", 1, (int)n);
    size_t stem = strlen(first) - strlen(tail);
    if (!str_ends(first, tail)) {
        return false;
    }
    int len = snprintf(out, size, "%.*s-%05d-of-%05d.gguf", (int)stem, first, (int)idx + 1, (int)n);
    return len > 0 && (size_t)len < size;
}

/* One further file of a split. Its names move into the arena of f, so that the parsed header can be let go. */
static int open_part(struct model_file *f, const char *path, int64_t idx, int64_t n, struct err *e)
{
    struct gguf_file g;
    int64_t no = -1;
    int rc = gguf_file_open(&g, path, e);
    if (rc) {
        return err_wrap(e, rc, "part %lld of %lld", (long long)idx + 1, (long long)n);
    }
    if (split_count(&g) != n || !gguf_get_int(&g, "split.no", &no) || no != idx) {
        rc = err_set(e, ERR_INPUT, path, "cannot open \"%s\": says split.no %lld of %lld, %lld of %lld would be right",
                     path, (long long)no, (long long)split_count(&g), (long long)idx, (long long)n);
    }
    for (size_t i = 0; !rc && i < g.n_tensor; i++) {
        const char *name = g.tensor[i].info.name;
        g.tensor[i].info.name = arena_strndup(&f->names, name, strlen(name));
        if (!g.tensor[i].info.name) {
            rc = err_set(e, ERR_NOMEM, path, "cannot open \"%s\": out of memory", path);
        }
    }
    rc = rc ? rc : take_tensors(f, &g, path, e);
    gguf_file_close(&g);
    return rc;
}

static int open_split(struct model_file *f, const char *path, struct err *e)
{
    char name[4096];
    int64_t n = split_count(&f->gguf);
    int64_t no = 0;
    int64_t n_tensor;
    if (n <= 1) {
        return 0;
    }
    gguf_get_int(&f->gguf, "split.no", &no);
    if (n > LIMIT_PARTS || no != 0) {
        return err_set(e, ERR_INPUT, path,
                       "cannot open \"%s\": part %lld of a split of %lld files, the first of at most %d would be right",
                       path, (long long)no + 1, (long long)n, (int)LIMIT_PARTS);
    }
    for (int64_t i = 1; i < n; i++) {
        if (!part_path(path, i, n, name, sizeof name)) {
            return err_set(e, ERR_INPUT, path,
                           "cannot open \"%s\": first of %lld files, its name must end in -00001-of-%05d.gguf", path,
                           (long long)n, (int)n);
        }
        int rc = open_part(f, name, i, n, e);
        if (rc) {
            return rc;
        }
    }
    if (gguf_get_int(&f->gguf, "split.tensors.count", &n_tensor) && (uint64_t)n_tensor != f->n_tensor) {
        return err_set(e, ERR_INPUT, path,
                       "cannot open \"%s\": the split has %zu tensors, split.tensors.count says %lld", path,
                       f->n_tensor, (long long)n_tensor);
    }
    return 0;
}

int model_open_gguf(struct model_file *f, const char *path, struct err *e)
{
    int rc = gguf_file_open(&f->gguf, path, e);
    if (rc) {
        return rc;
    }
    f->is_gguf = true;
    f->metadata = gguf_metadata_json(&f->gguf);
    if (!f->metadata) {
        return err_set(e, ERR_NOMEM, path, "cannot open \"%s\": out of memory for its metadata", path);
    }
    rc = take_tensors(f, &f->gguf, path, e);
    rc = rc ? rc : open_split(f, path, e);
    f->vocab_rc = rc ? 0 : gguf_vocab(&f->gguf, &f->hf.mem, &f->vocab, &f->vocab_err);
    if (f->vocab_rc) {
        err_wrap(&f->vocab_err, f->vocab_rc, "vocabulary of \"%s\"", path);
    }
    return rc;
}
