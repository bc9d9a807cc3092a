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

enum { MODEL_MAX_LAYER = 1024, MODEL_MAX_FREQ = 512, MODEL_MAX_ROPE = 2 };

/* Rotary positions: frequency i is theta^(-2i/n_rot) / factor[i]; cos and sin are multiplied by magnitude. */
struct model_rope {
    double theta;
    float factor[MODEL_MAX_FREQ]; /* [n_rot/2] from scaling of any kind; 1 when unscaled */
    float magnitude;              /* 1 but for YaRN and longrope */
    /* How factors of YaRN came about; factor 0: they did not. */
    struct {
        double factor, n_ctx_orig, beta_fast, beta_slow;
    } yarn;
    /* Longrope: beyond n_ctx_short positions these factors instead of the others; 0: there are none. */
    int n_ctx_short;
    float long_factor[MODEL_MAX_FREQ];
};

/* What differs from layer to layer. */
struct model_layer_params {
    int window;   /* > 0: a token sees so many positions, its own among them */
    int chunk;    /* > 0: positions are cut into chunks of so many, a token sees its own */
    int rope;     /* index into rope[], -1: no rotation */
    bool experts; /* a mixture of experts in place of the feed-forward part */
};

enum activation { ACTIVATION_SILU, ACTIVATION_GELU_TANH };
enum qk_norm {
    QK_NORM_NONE,
    QK_NORM_HEAD,   /* of each head of q and k, before the rotation; weights [d_head] */
    QK_NORM_FULL,   /* of all of q and all of k */
    QK_NORM_ROTATED /* of each head after the rotation, where there is one; without weights */
};

/* Mixtures of experts, of the layers that have one (device/experts.h says how a router chooses). */
struct model_experts {
    int n_expert;     /* 0: there are none */
    int n_used, n_ff; /* chosen for a token; width of one */
    int n_shared;     /* width of the one that every token uses besides, 0: none */
    bool shared_gate; /* its output is multiplied by a sigmoid of its input */
    int n_group, n_group_used;
    bool sigmoid, has_bias, renormalize, weighs_input;
    float scale;
};

/* A compressed cache of keys and values (device/latent.h). */
struct model_latent {
    int n_latent;        /* 0: keys and values are kept as they are */
    int q_rank;          /* queries come from a latent of their own; 0: from the input */
    int d_nope, d_value; /* values of a query head that are not rotated (d_head = d_nope + n_rot); of a value head */
};

/* Hyper-parameters of the families that Tailor computes: everything that the forward pass must know. */
struct model_params {
    char architecture[32]; /* GGUF's name: "llama", "qwen2" ...; HF model_type is mapped to it */
    int n_layer, n_embd, n_head, n_kv_head, d_head, n_ff, n_vocab, n_ctx_train;
    int n_rot; /* rotated values of a head */
    float rms_eps;
    bool rope_halves;   /* pairs (i, i + n_rot/2) as Hugging Face stores them; false: (2i, 2i+1), GGUF llama */
    bool tied_head;     /* the output matrix is the embedding */
    int bos_id, eos_id; /* -1: none */

    bool norm_before, norm_after; /* of attention and feed-forward: their input, their output */
    enum qk_norm qk_norm;
    enum activation activation;
    bool fused;            /* q, k, v are the rows of one tensor; gate, up of another */
    float embedding_scale; /* embeddings are multiplied by it */
    float residual_scale;  /* both branches are, before they join the residual stream */
    float attn_scale;      /* scores are */
    float logit_scale;     /* logits are */
    float attn_softcap;    /* c > 0: scores s become c tanh(s / c) */
    float logit_softcap;   /* the same of logits */

    /* Queries of layers without rotation are multiplied by 1 + scale * ln(floor((pos + 1) / floor) + 1). */
    int temperature_floor; /* 0: they are not */
    float temperature_scale;

    struct model_experts experts;
    struct model_latent latent;

    int n_rope;
    struct model_rope rope[MODEL_MAX_ROPE];
    struct model_layer_params layer[MODEL_MAX_LAYER]; /* [n_layer] */
};

struct model_file;

/* Open a GGUF file (or the first file of a split), a Hugging Face directory, or a tokenizer.json or tokenizer.model
 * alone.
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
/* A number (SHA-256, hex) that tells its tensors from those of another model: their names, types, shapes and pieces of
 * each, so that it takes milliseconds. */
enum { MODEL_FINGERPRINT_SIZE = 65 };
int model_file_fingerprint(const struct model_file *f, char hex[MODEL_FINGERPRINT_SIZE], struct err *e) MUST_CHECK;
bool model_file_is_gguf(const struct model_file *f); /* else a Hugging Face directory or tokenizer.json */
/* Hyper-parameters, checked (heads > 0, n_embd, ranges ...). -ERR_UNSUPPORTED for a family without a forward pass,
 * -ERR_INPUT for a vocabulary-only file. */
int model_file_params(const struct model_file *f, struct model_params *p, struct err *e) MUST_CHECK;
/* What an encoder of the BERT family is made of: learned positions, post-norm layers, GELU, every token sees all. */
struct encoder_params {
    int n_layer, n_embd, n_head, n_ff, n_vocab, n_ctx; /* n_ctx: learned positions */
    int n_token_type;                                  /* rows of the token types' embedding, 0: none */
    float norm_eps;
};
/* Whether the file is such an encoder (by its architecture). */
bool model_file_is_encoder(const struct model_file *f);
/* -ERR_INPUT: broken or out of range; -ERR_UNSUPPORTED: an option that is not computed, by its name. */
int model_file_encoder(const struct model_file *f, struct encoder_params *p, struct err *e) MUST_CHECK;

/* How the vectors of tokens become the one of a text. */
enum pooling { POOLING_NONE, POOLING_MEAN, POOLING_CLS, POOLING_LAST };
struct embedding_params {
    enum pooling pooling; /* POOLING_NONE: the file does not say */
    bool normalize;       /* to length 1 */
    int max_tok;          /* of a text, its ends included; 0: not said */
};
/* From GGUF keys, or 1_Pooling/config.json, modules.json and sentence_bert_config.json of a directory.
 * -ERR_UNSUPPORTED for a way of pooling that is none of these. */
int model_file_embedding(const struct model_file *f, struct embedding_params *p, struct err *e) MUST_CHECK;

/* Whether there is a forward pass for this architecture (GGUF's name). */
bool model_architecture_known(const char *name);
/* The names of all that there are, "llama, qwen2 ...": for messages. */
const char *model_architectures(char *out, size_t size);
/* A tensor "blk.N.PART.weight" that a layer has. */
struct layer_tensor {
    const char *part;
    int n_dim;
    uint64_t shape[3]; /* row-major, outermost first */
    bool has_bias;     /* it may have a bias of shape[0] values */
    bool only_bias;    /* "blk.N.PART.bias" alone is there, of this shape */
};
struct layer_tensors {
    struct layer_tensor at[32];
    size_t n;
};
/* The tensors of a layer of a model with these hyper-parameters. */
void model_layer_tensors(const struct model_params *p, int layer, struct layer_tensors *l);
/* Hyper-parameters of a model that is made, not read: what is true of every model of an architecture (false: it is not
 * known); when the sizes are filled in, the layers as the architecture has them, window being that of layers that slide
 * (0: none), with the usual scale of scores. */
bool model_params_begin(struct model_params *p, const char *architecture);
void model_params_layers(struct model_params *p, int window);
/* Whether a GGUF of this architecture keeps the rows of q and k in rotary pairs (2i, 2i+1), where Hugging Face keeps
 * halves. */
bool model_architecture_permutes(const char *name);
/* GGUF metadata, or config.json, as JSON (borrowed). Arrays longer than 64 elements
 * stand there as {"array": true, "type": "string", "n": 49152}; bytes that are not UTF-8 as U+FFFD. */
const json_t *model_file_metadata(const struct model_file *f);

/* Tensors in file order; infos are borrowed. */
size_t model_file_n_tensor(const struct model_file *f);
const struct tensor_info *model_file_tensor(const struct model_file *f, size_t idx); /* idx < n_tensor */
/* By GGUF name, also for Hugging Face directories; NULL when absent. */
const struct tensor_info *model_file_find(const struct model_file *f, const char *name);
/* The bytes of the tensor stand in a file as model_file_read gives them, so that small pieces cost no more than large.
 */
bool tensor_is_stored(const struct tensor_info *t);
/* Raw bytes [offset, offset + n) of a tensor into p. Thread-safe. */
int model_file_read(const struct model_file *f, const struct tensor_info *t, void *p, uint64_t offset, size_t n,
                    struct err *e) MUST_CHECK;

/* Blocks (single values of unblocked types) among n_bytes of raw tensor data that hold a NaN or an infinite value or
 * scale. Integers count none. *first (when not NULL): the number of the first one, left alone when there is none. */
uint64_t tensor_count_bad(enum tensor_type t, const void *data, size_t n_bytes, uint64_t *first);

/* What is done to text before it is split, bits of vocab_source.normalize; in this order. */
enum normalize {
    NORMALIZE_CLEAN = 1 << 0,   /* no control characters; white space becomes spaces (BERT's clean_text) */
    NORMALIZE_CJK = 1 << 1,     /* spaces around ideographs (BERT) */
    NORMALIZE_NFC = 1 << 2,     /* canonical composition */
    NORMALIZE_NFD = 1 << 3,     /* canonical decomposition */
    NORMALIZE_ACCENTS = 1 << 4, /* decomposed, without nonspacing marks */
    NORMALIZE_LOWER = 1 << 5,   /* lower case, character by character */
    NORMALIZE_SPACES = 1 << 6,  /* U+2581 for spaces (SentencePiece) */
};
/* Where a space is put in front of the text. */
enum space_prefix {
    SPACE_PREFIX_NONE,
    SPACE_PREFIX_EVERY, /* of every stretch between special tokens */
    SPACE_PREFIX_FIRST, /* at the beginning of the text only */
};
/* How an added token takes part of the text around it, bits of vocab_source.match. */
enum token_match {
    TOKEN_MATCH_LSTRIP = 1, /* white space before it belongs to it */
    TOKEN_MATCH_RSTRIP = 2, /* and behind it */
    TOKEN_MATCH_WORD = 4,   /* only where no word goes on before or behind it */
};

/* What text/ needs, from GGUF metadata or from tokenizer.json + tokenizer_config.json. All borrowed. */
struct vocab_source {
    const char
        *model;      /* "gpt2" (byte-level BPE), "llama" (SentencePiece BPE), "bert" (WordPiece); NULL: no tokenizer */
    const char *pre; /* pre-tokenizer name; for tokenizer.json mapped from its regexes, NULL when unknown */
    size_t n_token;
    const char *const *token; /* [n_token] NUL-terminated; byte-level BPE: GPT-2's byte characters; WordPiece: U+2581 in
                               * front of what begins a word, "##" is not there */
    const uint32_t *token_len; /* [n_token] */
    const float *score;        /* [n_token] or NULL */
    const uint8_t *match;      /* [n_token] bits of enum token_match, or NULL */
    /* [n_token] GGUF token types (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte) or NULL */
    const int32_t *type;
    size_t n_merge;
    const char *const *merge;                           /* [n_merge] "left right" */
    int bos_id, eos_id, eot_id, eom_id, unk_id, pad_id; /* -1: none */
    bool add_bos, add_eos;
    enum space_prefix space_prefix;
    bool prefix_unless_space;  /* not where the text begins with a space */
    unsigned normalize;        /* bits of enum normalize */
    const char *unsupported;   /* what this vocabulary needs and no tokenizer does, in words; NULL: nothing */
    bool ignore_merges;        /* a pre-token in the vocabulary is emitted whole */
    const char *chat_template; /* Jinja text or NULL */
};
/* -ERR_INPUT when the vocabulary contradicts itself (array lengths, special ids); no tokenizer is no error (model
 * NULL). */
int model_file_vocab(const struct model_file *f, struct vocab_source *v, struct err *e) MUST_CHECK;

#endif
