/* GGUF v2 and v3: a reader for files that nobody vouches for, and a writer.
 * (Model code uses model_file.h; this is for those who must see the container: inspect, writer, tests.) */
#ifndef FORMATS_GGUF_H
#define FORMATS_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/formats/model_file.h"
#include "ground/base/err.h"

enum gguf_value_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
};

/* Writer. Keys and tensors are declared first, then begin writes the header, then tensor data follows in the declared
 * order, streamed. Atomic: the file appears under its name at commit. */
struct gguf_writer;
/* Nothing is created on disk before begin. */
int gguf_writer_new(struct gguf_writer **out, const char *path, struct err *e) MUST_CHECK;
void gguf_writer_free(struct gguf_writer *w); /* without commit: nothing remains */
/* Declarations. -ERR_LIMIT, -ERR_NOMEM, -ERR_INPUT; the first failure is kept and told by begin. */
int gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v) MUST_CHECK;
int gguf_put_f32(struct gguf_writer *w, const char *key, float v) MUST_CHECK;
int gguf_put_bool(struct gguf_writer *w, const char *key, bool v) MUST_CHECK;
int gguf_put_str(struct gguf_writer *w, const char *key, const char *v, size_t len) MUST_CHECK;
/* elements: n fixed-size values of the given type, or for GGUF_STRING an array of const char * with lens (NULL:
 * strlen). */
int gguf_put_array(struct gguf_writer *w, const char *key, enum gguf_value_type type, const void *elements,
                   const uint32_t *lens, size_t n) MUST_CHECK;
/* shape row-major, outermost first (reversed in the file, as GGUF wants it). */
int gguf_put_tensor(struct gguf_writer *w, const char *name, enum tensor_type type, const uint64_t *shape,
                    int n_dim) MUST_CHECK;
/* The metadata of an open model: of a GGUF its keys as they are but for those in skip (NULL-terminated) and the keys of
 * a split; of a Hugging Face directory the keys that say the same as config.json and its tokenizer.
 * -ERR_UNSUPPORTED for a tokenizer that GGUF cannot describe. */
int gguf_put_metadata(struct gguf_writer *w, const struct model_file *f, const char *const *skip,
                      struct err *e) MUST_CHECK;
/* The keys of hyper-parameters alone; name: general.name. -ERR_NOMEM. */
int gguf_put_params(struct gguf_writer *w, const struct model_params *p, const char *name) MUST_CHECK;
/* Declared keys of our own, under "tailor.". */
size_t gguf_n_own_key(const struct gguf_writer *w);
/* Write the header. A name declared twice is -ERR_INPUT. */
int gguf_writer_begin(struct gguf_writer *w, struct err *e) MUST_CHECK;
/* The next n bytes of tensor data (padding between tensors is written by itself). */
int gguf_write_data(struct gguf_writer *w, const void *p, size_t n, struct err *e) MUST_CHECK;
/* The file under its name, durable; every declared tensor must have been written. Then only free. */
int gguf_writer_commit(struct gguf_writer *w, struct err *e) MUST_CHECK;

#endif
