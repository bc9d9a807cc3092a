/* What the formats know of an architecture: its names, its tensors, and its hyper-parameters from either container.
 * One file a family (arch_llama.c ...); arch.c holds the table and what families share. Adding one:
 * docs/add-architecture.md. Private to this folder. */
#ifndef FORMATS_ARCH_INT_H
#define FORMATS_ARCH_INT_H

#include "compute/formats/formats_int.h"

struct arch;

/* --- hyper-parameters from GGUF keys: gguf_params.c --- */

struct gguf_reader {
    const struct model_file *f;
    const char *arch; /* in front of every key */
    struct err *e;
    char key[96];
};
/* An integer key from 0 on; initial < 0: it must be there. */
int gguf_read_int(struct gguf_reader *r, const char *name, int initial, int *out) MUST_CHECK;
/* A number above 0. */
int gguf_read_float(struct gguf_reader *r, const char *name, double initial, double *out) MUST_CHECK;
int gguf_read_scale(struct gguf_reader *r, const char *name, float *out) MUST_CHECK; /* stays where the key is absent */
int gguf_refuse(struct gguf_reader *r, const char *name, const char *why) MUST_CHECK;
/* The key behind the architecture's name; good until the next one. */
const char *gguf_reader_key(struct gguf_reader *r, const char *name);
/* Keys that no reader of this architecture understands and that would change the computation (arch_options.c). */
int gguf_check_options(struct gguf_reader *r, const struct arch *a, const struct model_params *p) MUST_CHECK;

/* --- hyper-parameters from config.json: hf_config.c, hf_rope.c --- */

struct config_reader {
    const struct arch *arch;
    const json_t *config;
    const char *path;
    const char *model_type;
    struct err *e;
};
/* A member that is there and not null. */
const json_t *config_member(const json_t *object, const char *key);
/* The rotary facts: rope_parameters of transformers 5, else the older rope_scaling; NULL: neither is there. */
const json_t *config_rope(const struct config_reader *r);
/* initial < 0: it must be there. */
int config_read_int(const struct config_reader *r, const char *key, int initial, int *out) MUST_CHECK;
/* A number above 0; initial <= 0: it must be there. */
int config_read_float(const struct config_reader *r, const json_t *object, const char *key, double initial,
                      double *out) MUST_CHECK;
int config_read_scale(const struct config_reader *r, const char *key, float *out) MUST_CHECK; /* stays where absent */
int config_refuse(const struct config_reader *r, const char *key, const char *why) MUST_CHECK;
/* Members that no reader of this architecture understands, or of a kind that it would take for absent
 * (arch_options.c). */
int config_check_options(const struct config_reader *r) MUST_CHECK;
/* Which layers rotate: "no_rope_layers" (1 where one does), or all but every interval-th ("no_rope_layer_interval"). */
int config_read_no_rope(const struct config_reader *r, struct model_params *p, int interval) MUST_CHECK;
/* "sliding_attention", "full_attention" or "chunked_attention" for each layer, where "layer_types" is there: sets
 * window and chunk of every layer from the two given; else leaves the layers as they are. */
int config_read_layer_types(const struct config_reader *r, struct model_params *p, int window, int chunk) MUST_CHECK;
/* Windows of Qwen: from max_window_layers on, where the config asks for them. */
int qwen_read_windows(const struct config_reader *r, struct model_params *p) MUST_CHECK;
/* One set of rotary positions: `rope` is rope_parameters (or an entry of it) or rope_scaling, NULL: none; theta_key
 * stands in it, or else in the config. Needs n_rot, n_ctx_train. */
int config_read_rope(const struct config_reader *r, const json_t *rope, const char *theta_key, double theta_default,
                     struct model_params *p, struct model_rope *out) MUST_CHECK;

/* --- scaling of rotary positions: rope_scaling.c --- */

/* All factors and the magnitude 1. */
void rope_unscaled(struct model_rope *r, double theta);
struct yarn {
    double factor, n_ctx_orig, beta_fast, beta_slow;
    bool truncate; /* the ramp begins and ends at whole frequencies */
};
/* Factors of YaRN (Peng et al. 2023, section 3.2); the magnitude is 0.1 ln(factor) + 1. */
void rope_yarn(struct model_rope *r, int n_rot, const struct yarn *y);
/* Factors of Llama 3: wavelengths above n_ctx_orig / low are stretched, below n_ctx_orig / high kept, between blended.
 */
void rope_llama3(struct model_rope *r, int n_rot, double factor, double low, double high, double n_ctx_orig);

/* --- keys of a GGUF that is written: gguf_put_model.c --- */

/* A failed declaration is kept by the writer and told by gguf_writer_begin, so these return nothing. */
struct gguf_keys {
    struct gguf_writer *w;
    const struct model_params *p;
    const struct vocab_source *v;
    bool failed;
};
void gguf_keys_int(struct gguf_keys *k, const char *name, int value); /* below the architecture's name */
void gguf_keys_float(struct gguf_keys *k, const char *name, double value);
void gguf_keys_bool(struct gguf_keys *k, const char *name, bool value);
void gguf_keys_whole_text(struct gguf_keys *k, const char *key, const char *text); /* a whole key; NULL: nothing */
/* Keys of an encoder, and of how the vectors of tokens become one: gguf_put_embedding.c. */
void gguf_put_encoder(struct gguf_keys *k, const struct encoder_params *p, const char *name);
void gguf_put_embedding(struct gguf_keys *k, const struct embedding_params *p);

/* --- tensors --- */

/* Append a matrix [n_out][n_in], a vector [n], a stack of matrices [n_mat][n_out][n_in]. */
void tensors_add_matrix(struct layer_tensors *l, const char *part, int n_out, int n_in);
void tensors_add_vector(struct layer_tensors *l, const char *part, int n);
void tensors_add_stack(struct layer_tensors *l, const char *part, int n_mat, int n_out, int n_in);
/* The parts of dense layers, by what the hyper-parameters say. */
void tensors_add_norms(struct layer_tensors *l, const struct model_params *p);
void tensors_add_attention(struct layer_tensors *l, const struct model_params *p);
void tensors_add_ffn(struct layer_tensors *l, const struct model_params *p);
/* A mixture of experts, or the dense part where the layer has none. */
void tensors_add_ffn_or_experts(struct layer_tensors *l, const struct model_params *p, int layer);

/* --- mixtures of experts: arch_experts.c --- */

/* What every router has where the file does not say: no groups, a scale of 1. */
void experts_init(struct model_params *p);
/* n experts of a width as one; INT32_MAX when that is too wide. */
int experts_width(int n, int width);
/* Ranges; -ERR_INPUT. */
int experts_check(const struct model_params *p, const char *path, struct err *e) MUST_CHECK;
/* The usual keys, checked; what stands in p->experts is kept where there are none. No experts: nothing. */
int gguf_read_experts(struct gguf_reader *r, struct model_params *p) MUST_CHECK;
/* Numbers and widths of experts, and norm_topk_prob where it is there; experts_check is the caller's. */
int config_read_experts(const struct config_reader *r, struct model_params *p, const char *width_key) MUST_CHECK;
/* Keys that all families share; usual_norm: whether readers of these alone renormalize weights. */
void gguf_put_experts(struct gguf_keys *k, bool usual_norm);
/* Whether "blk.LAYER.NAME" is there. */
bool arch_has_tensor(const struct model_file *f, int layer, const char *name);

/* --- the architecture --- */

struct arch {
    const char *name;          /* GGUF's */
    const char *model_type[3]; /* Hugging Face's */
    bool gguf_pairs;           /* a GGUF rotates pairs (2i, 2i+1) */
    bool gguf_permutes;        /* and its rows of q and k were permuted for that */
    bool scale_has_key;        /* a key of the family gives the scale of scores */
    bool window_has_key;       /* and one the window that other programs read too */
    bool longrope;             /* it reads the two tensors of factors in a GGUF */
    bool has_experts;          /* it reads expert_count and what belongs to it */
    bool own_heads;            /* it reads the sizes of heads itself */
    bool own_magnitude;        /* YaRN leaves the magnitude of rotation at 1 */
    bool plus_one;             /* norm weights of Hugging Face files lack the 1 that they are used with */
    /* What is true of every model of the family; after this the readers fill in the rest. */
    void (*init)(struct model_params *p);
    /* What layers do, where the file does not say: by their number and the one window of the file, 0 for none. NULL:
     * all alike, with this window, rotated by rope[0]. */
    void (*layers)(struct model_params *p, int window);
    /* The keys of the family, after the common ones (layers has run). May be NULL. */
    int (*from_gguf)(struct gguf_reader *r, struct model_params *p);
    int (*from_config)(const struct config_reader *r, struct model_params *p);
    int n_ctx_default; /* of its configuration class in transformers */
    /* Names below "layers.N." that differ from the common ones, pairs {Hugging Face, GGUF}, ended by NULL; may be NULL.
     */
    const char *const (*hf_name)[2];
    /* What a layer has; NULL: norms, attention and a dense feed-forward. */
    void (*layer_tensors)(const struct model_params *p, int layer, struct layer_tensors *l);
    /* Keys of the family for a GGUF that is written, beside the common ones. May be NULL. */
    void (*put_gguf)(struct gguf_keys *k);
};
const struct arch *arch_find(const char *name);            /* NULL: not known */
const struct arch *arch_find_model_type(const char *type); /* the same, by Hugging Face's name */
/* Fill p with what is common to all and the family's own; then arch->layers. */
void arch_init(const struct arch *a, struct model_params *p);
void arch_layers(const struct arch *a, struct model_params *p, int window);
void arch_layer_tensors(const struct arch *a, const struct model_params *p, int layer, struct layer_tensors *l);
/* The names of Hugging Face's model types, for messages. */
const char *arch_model_types(char *out, size_t size);

extern const struct arch arch_llama, arch_qwen2, arch_qwen3, arch_gemma2, arch_gemma3, arch_phi3, arch_smollm3,
    arch_granite, arch_olmo2, arch_qwen2moe, arch_qwen3moe, arch_deepseek2, arch_llama4;

#endif
