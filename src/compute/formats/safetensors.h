/* safetensors: reader for untrusted files, and an atomic writer of whole files. */
#ifndef FORMATS_SAFETENSORS_H
#define FORMATS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "compute/formats/model_file.h"
#include "ground/base/err.h"

struct safetensors;
/* Header and offsets are checked at open; tensor data is read by pread, thread-safe. Names and infos are borrowed. */
int safetensors_open(struct safetensors **out, const char *path, struct err *e) MUST_CHECK;
void safetensors_close(struct safetensors *s);
size_t safetensors_n_tensor(const struct safetensors *s);
const struct tensor_info *safetensors_tensor(const struct safetensors *s, size_t idx);
const struct tensor_info *safetensors_find(const struct safetensors *s, const char *name);
int safetensors_read(const struct safetensors *s, const struct tensor_info *t, void *p, uint64_t offset, size_t n,
                     struct err *e) MUST_CHECK;
/* A whole tensor as float32 (from F32, F16, BF16, F64), n = its number of values. */
int safetensors_read_f32(const struct safetensors *s, const struct tensor_info *t, float *p, size_t n,
                         struct err *e) MUST_CHECK;

struct safetensors_item {
    const char *name;
    enum tensor_type type;
    uint64_t shape[TENSOR_MAX_DIM];
    int n_dim;
    const void *data;
};
/* Atomic; tensors in the given order; metadata: pairs key, value, ... NULL (or NULL for none). */
int safetensors_save(const char *path, const struct safetensors_item *items, size_t n, const char *const *metadata,
                     struct err *e) MUST_CHECK;
/* The same where items[idx].data is NULL: make puts the n bytes of such a tensor into data, one tensor at a time, so
 * that one is in memory at once. */
typedef int (*safetensors_make_fn)(void *arg, size_t idx, void *data, size_t n_bytes, struct err *e);
int safetensors_save_made(const char *path, const struct safetensors_item *items, size_t n, const char *const *metadata,
                          safetensors_make_fn make, void *arg, struct err *e) MUST_CHECK;
/* The same, but piece puts bytes [at, at + n_bytes) of such a tensor into data, from its first piece to its last: none
 * is in memory as a whole. */
typedef int (*safetensors_piece_fn)(void *arg, size_t idx, uint64_t at, void *data, size_t n_bytes, struct err *e);
enum { SAFETENSORS_PIECE = 4 << 20 }; /* most bytes of one, a multiple of every type's */
int safetensors_save_pieces(const char *path, const struct safetensors_item *items, size_t n,
                            safetensors_piece_fn piece, void *arg, struct err *e) MUST_CHECK;

#endif
