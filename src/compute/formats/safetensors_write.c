/* The safetensors writer: whole files, atomic, tensors in the given order. Owns nothing after it returns.
 * The header is padded with spaces to a multiple of 8, so that tensor data is aligned as the format advises. */
#include "compute/formats/safetensors.h"

#include "compute/formats/formats_int.h"
#include "ground/base/buf.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

static json_t *metadata_object(const char *const *pairs)
{
    json_t *j = json_object();
    for (size_t i = 0; j && pairs[i] && pairs[i + 1]; i += 2) {
        if (json_object_set_new(j, pairs[i], json_string(pairs[i + 1]))) {
            json_decref(j);
            return NULL;
        }
    }
    return j;
}

static json_t *shape_array(const struct safetensors_item *t)
{
    json_t *j = json_array();
    for (int d = 0; j && d < t->n_dim; d++) {
        if (json_array_append_new(j, json_integer((json_int_t)t->shape[d]))) {
            json_decref(j);
            return NULL;
        }
    }
    return j;
}

/* Add one tensor to the header; *offset moves to its end. */
static int add_item(json_t *header, const char *path, const struct safetensors_item *t, uint64_t *offset, struct err *e)
{
    uint64_t n_bytes;
    const char *dtype = tensor_type_to_safetensors(t->type);
    if (!dtype) {
        return err_set(e, ERR_UNSUPPORTED, t->name, "cannot write \"%s\": safetensors has no type %s (tensor \"%s\")",
                       path, tensor_type_info(t->type)->name, t->name);
    }
    if (t->n_dim < 0 || t->n_dim > TENSOR_MAX_DIM || !tensor_n_bytes(t->type, t->shape, t->n_dim, &n_bytes)) {
        return err_set(e, ERR_INPUT, t->name, "cannot write \"%s\": tensor \"%s\" has an impossible shape", path,
                       t->name);
    }
    if (json_object_get(header, t->name)) {
        return err_set(e, ERR_INPUT, t->name, "cannot write \"%s\": tensor \"%s\" is given twice", path, t->name);
    }
    json_t *j = json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtype, "shape", shape_array(t), "data_offsets",
                          (json_int_t)*offset, (json_int_t)(*offset + n_bytes));
    if (!j || json_object_set_new(header, t->name, j)) {
        return err_set(e, ERR_INPUT, t->name, "cannot write \"%s\": tensor name \"%s\" is not UTF-8, or out of memory",
                       path, t->name);
    }
    *offset += n_bytes;
    return 0;
}

static int append(const char *p, size_t n, void *text)
{
    return buf_add(text, p, n);
}

/* Where the data of tensors comes from that are given without: one of both. */
struct source {
    safetensors_make_fn make;
    safetensors_piece_fn piece;
    void *arg;
};

static int make_piece(const struct source *s, size_t idx, uint64_t at, void *data, size_t n_bytes, struct err *e)
{
    return s->piece ? s->piece(s->arg, idx, at, data, n_bytes, e) : s->make(s->arg, idx, data, n_bytes, e);
}

/* One tensor: its data, or what its source gives for it. */
static int write_item(struct file_atomic *f, const struct safetensors_item *item, size_t idx, const struct source *s,
                      struct err *e)
{
    uint64_t n_bytes = 0;
    if (!tensor_n_bytes(item->type, item->shape, item->n_dim, &n_bytes) || !n_bytes) {
        return 0;
    }
    if (item->data) {
        return file_atomic_write(f, item->data, (size_t)n_bytes, e);
    }
    size_t most = (size_t)n_bytes;
    if (s->piece && most > SAFETENSORS_PIECE) most = SAFETENSORS_PIECE;
    void *data = mem_try_alloc(most);
    int rc = data ? 0
                  : err_set(e, ERR_NOMEM, item->name, "cannot write tensor \"%s\": no memory for %llu bytes",
                            item->name, (unsigned long long)most);
    for (uint64_t at = 0; !rc && at < n_bytes; at += most) {
        size_t n = n_bytes - at < most ? (size_t)(n_bytes - at) : most;
        rc = make_piece(s, idx, at, data, n, e);
        rc = rc ? rc : file_atomic_write(f, data, n, e);
    }
    mem_free(data);
    return rc;
}

static int write_items(struct file_atomic *f, const struct buf *header, const struct safetensors_item *items, size_t n,
                       const struct source *s, struct err *e)
{
    static const char spaces[8] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    uint64_t len = header->len;
    uint64_t padded = (len + 7) / 8 * 8;
    int rc = file_atomic_write(f, &padded, sizeof padded, e);
    rc = rc ? rc : file_atomic_write(f, header->data, header->len, e);
    rc = rc || padded == len ? rc : file_atomic_write(f, spaces, (size_t)(padded - len), e);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = write_item(f, &items[i], i, s, e);
    }
    return rc;
}

static int save(const char *path, const struct safetensors_item *items, size_t n, const char *const *metadata,
                const struct source *s, struct err *e)
{
    uint64_t offset = 0;
    int rc = 0;
    struct file_atomic f;
    struct buf text;
    json_t *header = json_object();
    if (header && metadata && json_object_set_new(header, "__metadata__", metadata_object(metadata))) {
        rc = err_set(e, ERR_INPUT, path, "cannot write \"%s\": metadata is not UTF-8, or out of memory", path);
    }
    for (size_t i = 0; !rc && i < n; i++) {
        rc = add_item(header, path, &items[i], &offset, e);
    }
    buf_init(&text, LIMIT_SAFETENSORS_HEADER);
    if (!rc && (!header || json_dump_callback(header, append, &text, JSON_COMPACT))) {
        rc = err_set(e, ERR_LIMIT, path, "cannot write \"%s\": its header passes %d bytes, or out of memory", path,
                     (int)LIMIT_SAFETENSORS_HEADER);
    }
    rc = rc ? rc : file_atomic_begin(&f, path, e);
    if (!rc) {
        rc = write_items(&f, &text, items, n, s, e);
        if (rc) {
            file_atomic_abort(&f);
        } else {
            rc = file_atomic_commit(&f, e);
        }
    }
    json_decref(header);
    buf_deinit(&text);
    return rc;
}

int safetensors_save(const char *path, const struct safetensors_item *items, size_t n, const char *const *metadata,
                     struct err *e)
{
    return safetensors_save_made(path, items, n, metadata, NULL, NULL, e);
}

int safetensors_save_made(const char *path, const struct safetensors_item *items, size_t n, const char *const *metadata,
                          safetensors_make_fn make, void *arg, struct err *e)
{
    return save(path, items, n, metadata, &(struct source){.make = make, .arg = arg}, e);
}

int safetensors_save_pieces(const char *path, const struct safetensors_item *items, size_t n,
                            safetensors_piece_fn piece, void *arg, struct err *e)
{
    return save(path, items, n, NULL, &(struct source){.piece = piece, .arg = arg}, e);
}
