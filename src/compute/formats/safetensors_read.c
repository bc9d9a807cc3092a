/* The safetensors reader: 8 bytes of length, a JSON header, then the tensors without holes.
 * Owns the open file and its table of tensors. What always holds: ranges are inside the file, ascending without holes
 * or overlaps, and each is exactly as long as its shape and type say. The format's own limit of 100 MB on the header is
 * kept, and the header is measured before a JSON parser sees it. */
#include "compute/formats/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compute/formats/formats_int.h"
#include "ground/base/file.h"
#include "ground/base/str.h"

/* {"dtype":"F32","shape":[1],"data_offsets":[0,4]}: brackets and commas of one tensor of 4 dimensions in the fewest
 * bytes; a header with more of them a byte is not one of tensors. */
enum { HEADER_DEPTH = 3, BYTES_PER_MARK = 3 };

struct safetensors {
    char *path;
    int fd;
    uint64_t size_bytes;
    struct arena names;
    struct stored_tensor *tensor; /* by offset */
    size_t n_tensor;
    struct name_index index;
};

static const char *name_at(const void *items, size_t idx)
{
    const struct stored_tensor *t = items;
    return t[idx].info.name;
}

static int find_type(const char *dtype)
{
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        if (str_eq(tensor_type_to_safetensors((enum tensor_type)t), dtype)) {
            return t;
        }
    }
    return -1;
}

/* A JSON integer of at least 0. */
static bool get_count(const json_t *j, uint64_t *out)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(j);
    return true;
}

static int parse_shape(const struct safetensors *s, struct tensor_info *t, const json_t *shape, struct err *e)
{
    if (!json_is_array(shape)) {
        return err_set(e, ERR_INPUT, s->path, "cannot read \"%s\": tensor \"%.64s\" has no array \"shape\"", s->path,
                       t->name);
    }
    if (json_array_size(shape) > TENSOR_MAX_DIM) {
        return err_set(e, ERR_UNSUPPORTED, s->path,
                       "cannot read \"%s\": tensor \"%.64s\" has %zu dimensions, at most %d are supported", s->path,
                       t->name, json_array_size(shape), (int)TENSOR_MAX_DIM);
    }
    t->n_dim = (int)json_array_size(shape);
    for (int d = 0; d < t->n_dim; d++) {
        if (!get_count(json_array_get(shape, (size_t)d), &t->shape[d])) {
            return err_set(e, ERR_INPUT, s->path,
                           "cannot read \"%s\": shape of tensor \"%.64s\" must hold integers of at least 0", s->path,
                           t->name);
        }
    }
    return 0;
}

/* data_begin: where tensor data starts in the file. */
static int parse_offsets(const struct safetensors *s, struct stored_tensor *t, const json_t *offsets,
                         uint64_t data_begin, struct err *e)
{
    uint64_t begin;
    uint64_t end;
    uint64_t room = s->size_bytes - data_begin;
    if (json_array_size(offsets) != 2 || !get_count(json_array_get(offsets, 0), &begin) ||
        !get_count(json_array_get(offsets, 1), &end) || begin > end || end > room) {
        return err_set(e, ERR_INPUT, s->path,
                       "cannot read \"%s\": data_offsets of tensor \"%.64s\" must be [begin, end] within %" PRIu64
                       " bytes",
                       s->path, t->info.name, room);
    }
    if (end - begin != t->info.n_bytes) {
        return err_set(e, ERR_INPUT, s->path,
                       "cannot read \"%s\": data_offsets of tensor \"%.64s\" span %" PRIu64
                       " bytes, its shape and type take %" PRIu64,
                       s->path, t->info.name, end - begin, t->info.n_bytes);
    }
    t->offset = data_begin + begin;
    return 0;
}

static int parse_tensor(struct safetensors *s, const char *name, const json_t *j, uint64_t data_begin, struct err *e)
{
    struct stored_tensor *t = &s->tensor[s->n_tensor];
    const char *dtype = json_string_value(json_object_get(j, "dtype"));
    size_t len = strlen(name);
    if (len == 0 || len > LIMIT_NAME_BYTES || !dtype) {
        return err_set(e, ERR_INPUT, s->path,
                       "cannot read \"%s\": tensor \"%.64s\" needs a name of 1 to %d bytes and a string \"dtype\"",
                       s->path, name, (int)LIMIT_NAME_BYTES);
    }
    t->info.name = arena_strndup(&s->names, name, len);
    if (!t->info.name) {
        return err_set(e, ERR_NOMEM, s->path, "cannot read \"%s\": out of memory", s->path);
    }
    int type = find_type(dtype);
    if (type < 0) {
        return err_set(e, ERR_UNSUPPORTED, s->path,
                       "cannot read \"%s\": tensor \"%.64s\" has dtype \"%.16s\", which is not known", s->path, name,
                       dtype);
    }
    t->info.type = (enum tensor_type)type;
    int rc = parse_shape(s, &t->info, json_object_get(j, "shape"), e);
    if (rc) {
        return rc;
    }
    if (!tensor_n_bytes(t->info.type, t->info.shape, t->info.n_dim, &t->info.n_bytes)) {
        return err_set(e, ERR_INPUT, s->path, "cannot read \"%s\": tensor \"%.64s\" has 2^48 values or more", s->path,
                       name);
    }
    rc = parse_offsets(s, t, json_object_get(j, "data_offsets"), data_begin, e);
    s->n_tensor += rc == 0;
    return rc;
}

static int check_metadata(const struct safetensors *s, json_t *meta, struct err *e)
{
    const char *key;
    json_t *value;
    bool plain = json_is_object(meta);
    json_object_foreach(meta, key, value)
    {
        plain = plain && json_is_string(value);
    }
    return plain ? 0
                 : err_set(e, ERR_INPUT, s->path, "cannot read \"%s\": __metadata__ must be an object of strings",
                           s->path);
}

static int by_offset(const void *a, const void *b)
{
    const struct stored_tensor *x = a;
    const struct stored_tensor *y = b;
    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    return (x->info.n_bytes > y->info.n_bytes) - (x->info.n_bytes < y->info.n_bytes); /* empty ones first */
}

/* The format leaves no hole: each tensor begins where the one before ends, the last ends with the file. */
static int check_holes(struct safetensors *s, uint64_t data_begin, struct err *e)
{
    uint64_t end = data_begin;
    qsort(s->tensor, s->n_tensor, sizeof *s->tensor, by_offset);
    for (size_t i = 0; i < s->n_tensor; i++) {
        const struct stored_tensor *t = &s->tensor[i];
        if (t->offset != end) {
            return err_set(e, ERR_INPUT, s->path,
                           "cannot read \"%s\": tensor \"%.64s\" begins at byte %" PRIu64
                           ", the one before ends at %" PRIu64,
                           s->path, t->info.name, t->offset, end);
        }
        end += t->info.n_bytes;
    }
    if (end != s->size_bytes) {
        return err_set(e, ERR_INPUT, s->path, "cannot read \"%s\": tensors end at byte %" PRIu64 " of %" PRIu64,
                       s->path, end, s->size_bytes);
    }
    return 0;
}

static int parse_header(struct safetensors *s, json_t *header, uint64_t data_begin, struct err *e)
{
    const char *name;
    json_t *value;
    size_t n = json_object_size(header);
    if (n > LIMIT_TENSORS) {
        return err_set(e, ERR_LIMIT, s->path, "cannot read \"%s\": %zu tensors, at most %d", s->path, n,
                       (int)LIMIT_TENSORS);
    }
    s->tensor = mem_try_array(n ? n : 1, sizeof *s->tensor);
    if (!s->tensor) {
        return err_set(e, ERR_NOMEM, s->path, "cannot read \"%s\": out of memory for %zu tensors", s->path, n);
    }
    json_object_foreach(header, name, value)
    {
        bool meta = str_eq(name, "__metadata__");
        int rc = meta ? check_metadata(s, value, e) : parse_tensor(s, name, value, data_begin, e);
        if (rc) {
            return rc;
        }
    }
    int rc = check_holes(s, data_begin, e);
    size_t dup;
    if (!rc && name_index_init(&s->index, s->tensor, s->n_tensor, name_at, &dup)) {
        rc = err_set(e, ERR_NOMEM, s->path, "cannot read \"%s\": out of memory", s->path);
    }
    return rc;
}

/* The header as JSON. Its text and the parser's copy are gone before tensors are read. */
static int load_header(const struct safetensors *s, json_t **header, uint64_t *data_begin, struct err *e)
{
    uint64_t n;
    int depth;
    size_t n_mark;
    if (s->size_bytes < sizeof n) {
        return err_set(e, ERR_INPUT, s->path, "cannot read \"%s\": %" PRIu64 " bytes are no safetensors file", s->path,
                       s->size_bytes);
    }
    int rc = file_pread(s->fd, s->path, &n, sizeof n, 0, e);
    if (rc) {
        return rc;
    }
    if (n > LIMIT_SAFETENSORS_HEADER || n > s->size_bytes - sizeof n) {
        return err_set(e, ERR_INPUT, s->path,
                       "cannot read \"%s\": header of %" PRIu64 " bytes, at most %d and the file's %" PRIu64, s->path,
                       n, (int)LIMIT_SAFETENSORS_HEADER, s->size_bytes);
    }
    char *text = mem_try_alloc((size_t)n + 1);
    if (!text) {
        return err_set(e, ERR_NOMEM, s->path, "cannot read \"%s\": out of memory for its header", s->path);
    }
    rc = file_pread(s->fd, s->path, text, (size_t)n, sizeof n, e);
    if (!rc) {
        json_measure(text, (size_t)n, &depth, &n_mark);
        if (text[0] != '{' || depth > HEADER_DEPTH || n_mark > n / BYTES_PER_MARK + 2) {
            rc = err_set(e, ERR_INPUT, s->path, "cannot read \"%s\": its header is no JSON object of tensors", s->path);
        }
    }
    rc = rc ? rc : json_parse_object(header, s->path, text, (size_t)n, 0, e);
    mem_free(text);
    *data_begin = sizeof n + n;
    return rc;
}

int safetensors_open(struct safetensors **out, const char *path, struct err *e)
{
    *out = NULL;
    struct safetensors *s = mem_alloc(sizeof *s);
    json_t *header = NULL;
    uint64_t data_begin = 0;
    s->path = mem_strdup(path);
    s->fd = -1;
    arena_init(&s->names, SIZE_MAX / 2);
    int rc = file_open_read(path, &s->fd, &s->size_bytes, e);
    if (rc) {
        s->fd = -1;
    }
    rc = rc ? rc : load_header(s, &header, &data_begin, e);
    rc = rc ? rc : parse_header(s, header, data_begin, e);
    json_decref(header);
    if (rc) {
        safetensors_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void safetensors_close(struct safetensors *s)
{
    if (!s) {
        return;
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    name_index_deinit(&s->index);
    mem_free(s->tensor);
    arena_deinit(&s->names);
    mem_free(s->path);
    mem_free(s);
}

size_t safetensors_n_tensor(const struct safetensors *s)
{
    return s->n_tensor;
}

const struct tensor_info *safetensors_tensor(const struct safetensors *s, size_t idx)
{
    return &s->tensor[idx].info;
}

const struct tensor_info *safetensors_find(const struct safetensors *s, const char *name)
{
    size_t i = name_index_find(&s->index, s->tensor, name_at, name);
    return i < s->n_tensor ? &s->tensor[i].info : NULL;
}

int safetensors_read(const struct safetensors *s, const struct tensor_info *t, void *p, uint64_t offset, size_t n,
                     struct err *e)
{
    const struct stored_tensor *x = (const struct stored_tensor *)t; /* info is its first member */
    if (offset > t->n_bytes || n > t->n_bytes - offset) {
        return err_set(e, ERR_INTERNAL, t->name, "cannot read tensor \"%s\": %zu bytes at %" PRIu64 " of %" PRIu64,
                       t->name, n, offset, t->n_bytes);
    }
    return file_pread(s->fd, s->path, p, n, x->offset + offset, e);
}

int safetensors_take_file(struct safetensors *s, uint64_t *size_bytes)
{
    int fd = s->fd;
    *size_bytes = s->size_bytes;
    s->fd = -1;
    return fd;
}
