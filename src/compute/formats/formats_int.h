/* What the files of formats/ share: the type codes of the containers, limits on untrusted input, and the open model.
 * Private to this folder (and to its fuzz targets). */
#ifndef FORMATS_FORMATS_INT_H
#define FORMATS_FORMATS_INT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/formats/gguf.h"
#include "compute/formats/model_file.h"
#include "compute/formats/safetensors.h"
#include "ground/base/err.h"
#include "ground/base/mem.h"

enum {
    LIMIT_KEYS = 1 << 16,
    LIMIT_TENSORS = 1 << 20,
    LIMIT_KEY_BYTES = 1 << 16,
    LIMIT_NAME_BYTES = 1024,
    LIMIT_STRING_BYTES = 16 << 20,
    LIMIT_PARTS = 1024,
    LIMIT_SAFETENSORS_HEADER = 100 * 1000 * 1000,
    LIMIT_JSON_FILE = 128 << 20,
    LIMIT_CONFIG_FILE = 1 << 20,
    LIMIT_JSON_DEPTH = 64,
    SHOWN_ARRAY_LEN = 64, /* longer arrays are summarized in the metadata */
};
#define LIMIT_TENSOR_VALUES ((uint64_t)1 << 48)

/* ggml's number of a type and back; -1 when there is none. */
int tensor_type_to_ggml(enum tensor_type t);
int tensor_type_from_ggml(uint32_t ggml);
/* n values of a float type (F32, F16, BF16, F64) at raw, in float32. */
void float_values(enum tensor_type type, const unsigned char *raw, float *p, size_t n);
/* safetensors spelling of a type; NULL when that container has none. */
const char *tensor_type_to_safetensors(enum tensor_type t);
/* Bytes of a tensor; false when the product passes LIMIT_TENSOR_VALUES or the last dimension is no whole block. */
bool tensor_n_bytes(enum tensor_type t, const uint64_t *shape, int n_dim, uint64_t *n_bytes);

/* Names in sorted order, for lookup and for finding duplicates in n log n whatever the input. */
struct name_index {
    uint32_t *order; /* [n] positions, sorted by name */
    size_t n;
};
typedef const char *(*name_at_fn)(const void *items, size_t idx);
/* *dup is the position of a name that stands twice, or n. */
int name_index_init(struct name_index *x, const void *items, size_t n, name_at_fn name_at, size_t *dup) MUST_CHECK;
void name_index_deinit(struct name_index *x);
/* Position of a name, or n. */
size_t name_index_find(const struct name_index *x, const void *items, name_at_fn name_at, const char *name);

/* A new JSON string of any bytes; what is not UTF-8 becomes U+FFFD. NULL without memory. */
json_t *json_from_bytes(const char *s, size_t n);
bool bytes_are_utf8(const char *s, size_t n);
/* Deepest nesting of brackets outside strings, and how many of [ { , there are: seen before a parser allocates. */
void json_measure(const char *s, size_t n, int *depth, size_t *n_mark);
/* A JSON object from text: duplicates refused, depth and density limited; the message names path and line.
 * flags: 0, or JSON_DECODE_INT_AS_REAL for files that hold integers past 2^63. */
int json_parse_object(json_t **out, const char *path, const char *text, size_t n, size_t flags,
                      struct err *e) MUST_CHECK;
/* The same from a file of at most max_bytes. */
int json_load_object(json_t **out, const char *path, size_t max_bytes, size_t flags, struct err *e) MUST_CHECK;

/* One metadata value. Arrays: fixed-size elements as they stand in the file (data), strings as pointers and lengths. */
struct gguf_value {
    enum gguf_value_type type;
    union {
        uint64_t u; /* U8 U16 U32 U64 BOOL */
        int64_t i;  /* I8 I16 I32 I64 */
        double f;   /* F32 F64 */
        struct {
            const char *p;
            uint32_t len;
        } str;
        struct {
            enum gguf_value_type type;
            size_t n;
            const void *data;        /* [n] packed elements */
            const char *const *str;  /* [n] GGUF_STRING */
            const uint32_t *str_len; /* [n] */
        } arr;
    };
};
struct gguf_kv {
    const char *key;
    struct gguf_value v;
};

/* A tensor and where its bytes are. */
struct hf_packed;
struct hf_made;
struct stored_tensor {
    struct tensor_info info; /* first: callers hold a pointer to it */
    uint32_t part;
    uint64_t offset;                /* in the file of the part */
    const struct hf_packed *packed; /* the rows are made from these when they are read; NULL: the bytes are the rows */
    const struct hf_made *made;     /* the same (hf_made.h) */
    bool plus_one;                  /* a float vector of type stored_type: read as F32, one added to each value */
    enum tensor_type stored_type;
};

/* The parsed header of one GGUF file. Strings live in mem. */
struct gguf_file {
    int fd;
    uint64_t size_bytes;
    uint32_t version;
    uint64_t alignment;
    struct arena mem;
    struct gguf_kv *kv;
    size_t n_kv;
    struct name_index kv_index;
    struct stored_tensor *tensor; /* offsets from the start of the file */
    size_t n_tensor;
};
int gguf_file_open(struct gguf_file *g, const char *path, struct err *e) MUST_CHECK;
void gguf_file_close(struct gguf_file *g);
const struct gguf_value *gguf_find(const struct gguf_file *g, const char *key);
/* Typed access: false when the key is absent or of another type. Integers of every width are accepted. */
bool gguf_get_int(const struct gguf_file *g, const char *key, int64_t *out);
bool gguf_get_float(const struct gguf_file *g, const char *key, double *out);
bool gguf_get_bool(const struct gguf_file *g, const char *key, bool *out);
const char *gguf_get_str(const struct gguf_file *g, const char *key);
/* Bytes of an element of a fixed-size type; 0 for strings, arrays and unknown types. */
size_t gguf_type_size(uint32_t type);
const char *gguf_type_name(uint32_t type);
/* All metadata as a new JSON object; NULL without memory. */
json_t *gguf_metadata_json(const struct gguf_file *g);
/* Declare a key with a value that was read. */
int gguf_put_value(struct gguf_writer *w, const char *key, const struct gguf_value *v) MUST_CHECK;
/* Keys of ours for what GGUF's tokenizer keys cannot say; other programs ignore them. */
#define TAILOR_NORMALIZE     "tailor.tokenizer.normalize"
#define TAILOR_PREFIX_FIRST  "tailor.tokenizer.space_prefix_first"
#define TAILOR_PREFIX_UNLESS "tailor.tokenizer.space_prefix_unless_space"
#define TAILOR_LSTRIP        "tailor.tokenizer.lstrip_ids"
#define TAILOR_RSTRIP        "tailor.tokenizer.rstrip_ids"
#define TAILOR_SINGLE_WORD   "tailor.tokenizer.single_word_ids"
/* And for what its keys of embedding models leave out. */
#define TAILOR_EMBEDDING_NORMALIZE  "tailor.embedding.normalize"
#define TAILOR_EMBEDDING_MAX_TOKENS "tailor.embedding.max_tokens"
/* Bits of enum normalize as names with commas, and back; parse is false for a name that is none. */
void vocab_normalize_format(unsigned bits, char out[96]);
bool vocab_normalize_parse(const char *text, unsigned *bits);
/* Scores by the order of merges: minus the rank of the first merge that makes a token; others stay as they are. False
 * without memory. */
bool vocab_scores_of_merges(const struct vocab_source *v, float *score);
/* -ERR_* as model_file_params; n_part files hold the tensors of f. */
int gguf_params(const struct model_file *f, struct model_params *p, struct err *e) MUST_CHECK;
/* Strings are borrowed from g; what must be made new lives in mem. */
int gguf_vocab(const struct gguf_file *g, struct arena *mem, struct vocab_source *v, struct err *e) MUST_CHECK;

/* The open descriptor, now the caller's, and its size: a model keeps the file and lets the table go. */
int safetensors_take_file(struct safetensors *s, uint64_t *size_bytes);

/* One file that holds tensor data. */
struct model_part {
    char *path;
    int fd;
    uint64_t size_bytes;
};

/* A Hugging Face directory beside its tensors. Strings of the vocabulary live in mem. */
struct hf_vocab {
    struct arena mem;
    struct vocab_source v;
};

struct model_file {
    char *path;
    bool is_gguf;
    struct gguf_file gguf; /* is_gguf: the first file */
    json_t *config;        /* Hugging Face: config.json */
    json_t *metadata;      /* shown to users */
    struct model_part *part;
    size_t n_part;
    struct arena names; /* tensor names of Hugging Face directories */
    struct stored_tensor *tensor;
    size_t n_tensor;
    struct name_index index;
    struct hf_vocab hf;
    int vocab_rc; /* outcome of reading the vocabulary, given to whoever asks for it */
    struct err vocab_err;
    struct vocab_source vocab;
};

/* How a Hugging Face directory is quantized, from quantization_config. */
struct hf_quant {
    enum { HF_PLAIN, HF_GPTQ, HF_AWQ, HF_FP8 } method;
    int group;         /* inputs that share a scale; 0: all of a row */
    bool zero_is_less; /* GPTQ stores zero points less one */
    int block_out, block_in;
};
/* HF_PLAIN without a quantization_config; -ERR_UNSUPPORTED names what is not understood and what would be. */
int hf_quant_parse(const json_t *config, const char *path, struct hf_quant *q, struct err *e) MUST_CHECK;

/* A matrix stored as several tensors. */
struct hf_packed {
    struct hf_quant quant;
    struct stored_tensor code, zero, scale, group_of; /* group_of: GPTQ's g_idx when groups are not in order */
    bool in_order;
    uint64_t n_out, n_in;
    uint64_t group, n_group; /* inputs a group, groups a row */
};
/* Replace the parts of quantized matrices in the tensor table of f by the matrices, in a type that kernels know and
 * that keeps the values: Q4_0 (all zero points 8), Q5_0 (any zero points), F16 (groups out of order, rounded as float16
 * products are), F32 (scales that are no float16), BF16 (FP8 with block scales, rounded as DeepSeek's own code does).
 */
int hf_quant_bind(struct model_file *f, struct err *e) MUST_CHECK;
/* Bytes [offset, offset + n) of the rows of such a matrix. Thread-safe. */
int hf_packed_read(const struct model_file *f, const struct stored_tensor *t, void *p, uint64_t offset, size_t n,
                   struct err *e) MUST_CHECK;
/* Zero points as they are subtracted, of groups [g0, g0 + n_g) and outputs [o0, o0 + n_o), both from multiples of 8. */
int hf_packed_zeros(const struct model_file *f, const struct hf_packed *x, uint64_t g0, size_t n_g, uint64_t o0,
                    size_t n_o, uint8_t *zero, struct err *e) MUST_CHECK;
/* Scales of the same, as float32. */
int hf_packed_scales(const struct model_file *f, const struct hf_packed *x, uint64_t g0, size_t n_g, uint64_t o0,
                     size_t n_o, float *scale, struct err *e) MUST_CHECK;

/* Fill f from a GGUF file (and the others of its split), a directory, a tokenizer.json. */
int model_open_gguf(struct model_file *f, const char *path, struct err *e) MUST_CHECK;
int model_open_hf(struct model_file *f, const char *path, struct err *e) MUST_CHECK;
int model_open_tokenizer_json(struct model_file *f, const char *path, struct err *e) MUST_CHECK;
/* Add a part and take fd. */
int model_add_part(struct model_file *f, const char *path, int fd, uint64_t size_bytes, struct err *e) MUST_CHECK;
/* Build the name index over f->tensor; a duplicate is an error. */
int model_index_tensors(struct model_file *f, struct err *e) MUST_CHECK;

/* Hyper-parameters of a config.json; needs no tensors, so p->tied_head is the config's word alone. */
int hf_config_params(const json_t *config, const char *path, struct model_params *p, struct err *e) MUST_CHECK;
int hf_params(const struct model_file *f, struct model_params *p, struct err *e) MUST_CHECK;
/* Vocabulary of tokenizer.json; tokenizer_config, special tokens and config may be NULL. */
int hf_vocab_parse(struct hf_vocab *h, const char *path, const json_t *tokenizer, const json_t *tokenizer_config,
                   const json_t *config, struct err *e) MUST_CHECK;
/* The files of dir that make a vocabulary: tokenizer.json, else tokenizer.model; a directory with neither leaves
 * v.model NULL. */
int hf_vocab_load(struct hf_vocab *h, const char *dir, const json_t *config, struct err *e) MUST_CHECK;
/* Whether a tokenizer.json works on bytes that are spelled as characters. */
bool hf_is_byte_level(const json_t *tokenizer);
/* Normalizer and pre-tokenizer of a tokenizer.json, for a v whose model is set: pre, normalize, space_prefix; what is
 * not known is named in unsupported. */
void hf_read_preparation(const json_t *tokenizer, struct vocab_source *v);
/* A tokenizer.model of SentencePiece as it stands. */
struct spm_model {
    size_t n;
    const char **text; /* [n] */
    uint32_t *len;
    float *score;  /* finite */
    int32_t *type; /* as in GGUF */
    int unk_id, bos_id, eos_id, pad_id;
    bool is_bpe, space_behind, maps_chars, dummy_prefix, joins_spaces, escapes_spaces;
};
/* Everything lives in mem. -ERR_INPUT when it is none or broken. */
int spm_model_parse(struct spm_model *m, struct arena *mem, const char *path, const void *data, size_t n,
                    struct err *e) MUST_CHECK;
/* The same as a vocabulary; tokenizer_config (may be NULL) adds tokens and a template. What no tokenizer of ours does
 * (other kinds than BPE, normalizers other than identity) is named in v.unsupported. */
int spm_vocab_parse(struct hf_vocab *h, const char *path, const void *data, size_t n, const json_t *tokenizer_config,
                    const json_t *config, struct err *e) MUST_CHECK;
/* Fill f from a tokenizer.model. */
int model_open_sentencepiece(struct model_file *f, const char *path, struct err *e) MUST_CHECK;
/* GGUF name of a tensor in out, or false when it has none. a: the architecture of the directory, NULL when unknown. */
struct arch;
bool hf_tensor_name(const struct arch *a, const char *hf, char *out, size_t size);
/* The same for encoders of the BERT family. */
bool hf_encoder_tensor_name(const char *hf, char *out, size_t size);
/* What such checkpoints carry beside the encoder: the pooler and the heads of its training, numbers of positions. */
bool hf_encoder_drops(const char *hf);

/* Ranges of the sizes alone: after it loops over layers and frequencies stay within their arrays. */
int params_check_sizes(const struct model_params *p, const char *path, struct err *e) MUST_CHECK;
/* Ranges and divisibility that every family needs. */
int params_check(const struct model_params *p, const char *path, struct err *e) MUST_CHECK;
/* Shapes of the tensors against the hyper-parameters: embedding, norms, projections of every layer. */
int params_check_tensors(const struct model_file *f, const struct model_params *p, struct err *e) MUST_CHECK;

#endif
