/* A model on disk, whatever its container: GGUF (also the first file of a split) or a Hugging Face directory with
 * config.json and safetensors. What differs between containers ends here: tensor names are GGUF's
 * ("blk.0.attn_q.weight"), hyper-parameters are one struct, quantization types are kernels' enum.
 *
 * Everything read is untrusted: counts, ranges, offsets, overlaps and sizes are checked against limits before use.
 * Tensor data is read by pread, never mapped. */
#ifndef FORMATS_MODEL_FILE_H
#define FORMATS_MODEL_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"

enum { TENSOR_MAX_DIM = 4 };

/* Element types of files, whether or not kernels can compute them. */
enum tensor_type {
    TENSOR_F32,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_F64,
    TENSOR_I8,
    TENSOR_I16,
    TENSOR_I32,
    TENSOR_I64,
    TENSOR_U8,
    TENSOR_BOOL,
    TENSOR_Q4_0,
    TENSOR_Q4_1,
    TENSOR_Q5_0,
    TENSOR_Q5_1,
    TENSOR_Q8_0,
    TENSOR_Q8_1,
    TENSOR_Q2_K,
    TENSOR_Q3_K,
    TENSOR_Q4_K,
    TENSOR_Q5_K,
    TENSOR_Q6_K,
    TENSOR_Q8_K,
    TENSOR_IQ4_NL,
    TENSOR_IQ4_XS,
    TENSOR_MXFP4,
    TENSOR_F8_E4M3,
    TENSOR_F8_E5M2,
    TENSOR_U16,
    TENSOR_U32,
    TENSOR_U64,
    TENSOR_IQ2_XXS,
    TENSOR_IQ2_XS,
    TENSOR_IQ2_S,
    TENSOR_IQ3_XXS,
    TENSOR_IQ3_S,
    TENSOR_IQ1_S,
    TENSOR_IQ1_M,
    TENSOR_TQ1_0,
    TENSOR_TQ2_0,
    TENSOR_TYPE_COUNT
};
struct tensor_type_info {
    const char *name;   /* as GGUF or safetensors spell it: "F32", "Q4_K" */
    int block_len;      /* values a block */
    size_t block_bytes; /* bytes a block */
};
/* Facts about a type; t must be one of the enum. */
const struct tensor_type_info *tensor_type_info(enum tensor_type t);
/* A type by its name, upper case as in the table; -1 when unknown. */
int tensor_type_find(const char *name);

struct tensor_info {
    const char *name;
    enum tensor_type type;
    int n_dim;
    uint64_t shape[TENSOR_MAX_DIM]; /* row-major, outermost first: a weight is [n_out][n_in] */
    uint64_t n_bytes;
};

/* Hyper-parameters of the families that Tailor computes. */
struct model_params {
    char architecture[32]; /* GGUF's name: "llama", "qwen2" ...; HF model_type is mapped to it */
    int n_layer, n_embd, n_head, n_kv_head, d_head, n_ff, n_vocab, n_ctx_train;
    int n_rot; /* rotated values of a head */
    float rms_eps;
    double rope_theta;
    bool rope_halves;       /* pairs (i, i + n_rot/2) as Hugging Face stores them; false: (2i, 2i+1), GGUF llama */
    float rope_factor[512]; /* [n_rot/2] divide frequency i by this (llama3 scaling, linear scaling); 1 when unscaled */
    bool tied_head;         /* the output matrix is the embedding */
    int sliding_window;     /* 0: none */
    int bos_id, eos_id;     /* -1: none */
};

struct model_file;

/* Open a GGUF file (or the first file of a split), a Hugging Face directory, or a tokenizer.json alone.
 * -ERR_NOT_FOUND, -ERR_INPUT (broken; the message says where), -ERR_UNSUPPORTED. */
int model_file_open(struct model_file **out, const char *path, struct err *e) MUST_CHECK;
/* Close files and free everything borrowed from f; NULL is fine. */
void model_file_close(struct model_file *f);

const char *model_file_path(const struct model_file *f); /* as given to open */
uint64_t model_file_size(const struct model_file *f);    /* bytes on disk, all parts that hold tensors */
/* The files that hold tensors: how many, which one (borrowed), and what tells it from another. */
size_t model_file_n_part(const struct model_file *f);
const char *model_file_part_path(const struct model_file *f, size_t part);
struct file_identity;
int model_file_identify(const struct model_file *f, size_t part, struct file_identity *out, struct err *e) MUST_CHECK;
bool model_file_is_gguf(const struct model_file *f); /* else a Hugging Face directory or tokenizer.json */
/* Hyper-parameters, checked (heads > 0, n_embd, ranges ...). -ERR_UNSUPPORTED for a family without a forward pass,
 * -ERR_INPUT for a vocabulary-only file. */
int model_file_params(const struct model_file *f, struct model_params *p, struct err *e) MUST_CHECK;
/* Whether there is a forward pass for this architecture (GGUF's name). */
bool model_architecture_known(const char *name);
/* GGUF metadata, or config.json, as JSON (borrowed). Arrays longer than 64 elements
 * stand there as {"array": true, "type": "string", "n": 49152}; bytes that are not UTF-8 as U+FFFD. */
const json_t *model_file_metadata(const struct model_file *f);

/* Tensors in file order; infos are borrowed. */
size_t model_file_n_tensor(const struct model_file *f);
const struct tensor_info *model_file_tensor(const struct model_file *f, size_t idx); /* idx < n_tensor */
/* By GGUF name, also for Hugging Face directories; NULL when absent. */
const struct tensor_info *model_file_find(const struct model_file *f, const char *name);
/* Raw bytes [offset, offset + n) of a tensor into p. Thread-safe. */
int model_file_read(const struct model_file *f, const struct tensor_info *t, void *p, uint64_t offset, size_t n,
                    struct err *e) MUST_CHECK;

/* Blocks (single values of unblocked types) among n_bytes of raw tensor data that hold a NaN or an infinite value or
 * scale. Integers count none. *first (when not NULL): the number of the first one, left alone when there is none. */
uint64_t tensor_count_bad(enum tensor_type t, const void *data, size_t n_bytes, uint64_t *first);

/* What text/ needs, from GGUF metadata or from tokenizer.json + tokenizer_config.json. All borrowed. */
struct vocab_source {
    const char *model; /* "gpt2" (byte-level BPE), "llama" (SentencePiece BPE), ...; NULL: no tokenizer */
    const char *pre;   /* pre-tokenizer name; for tokenizer.json mapped from its regexes, NULL when unknown */
    size_t n_token;
    const char *const *token;  /* [n_token] NUL-terminated; byte-level BPE: GPT-2's byte characters */
    const uint32_t *token_len; /* [n_token] */
    const float *score;        /* [n_token] or NULL */
    /* [n_token] GGUF token types (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte) or NULL */
    const int32_t *type;
    size_t n_merge;
    const char *const *merge;                           /* [n_merge] "left right" */
    int bos_id, eos_id, eot_id, eom_id, unk_id, pad_id; /* -1: none */
    bool add_bos, add_eos, add_space_prefix;
    bool ignore_merges;        /* a pre-token in the vocabulary is emitted whole */
    const char *chat_template; /* Jinja text or NULL */
};
/* -ERR_INPUT when the vocabulary contradicts itself (array lengths, special ids); no tokenizer is no error (model
 * NULL). */
int model_file_vocab(const struct model_file *f, struct vocab_source *v, struct err *e) MUST_CHECK;

#endif
