/* A LoRA or DoRA adapter: all its parameters in one flat float32 array (AdamW, checkpoints and reductions see one
 * array), and views of it for every matrix it sits on. PEFT directories are read and written; where the base keeps Q
 * and K rows in rotary pairs (GGUF llama) the rows of B are permuted at the border, so files are always in Hugging
 * Face's order. */
#ifndef MODEL_ADAPTER_H
#define MODEL_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/model/model.h"
#include "ground/base/err.h"

enum adapter_site { SITE_Q, SITE_K, SITE_V, SITE_O, SITE_GATE, SITE_UP, SITE_DOWN, SITE_COUNT };
/* "q_proj" ... "down_proj", as PEFT's target_modules spell them. */
extern const char *const adapter_site_name[SITE_COUNT];
int adapter_site_find(const char *name); /* -1: unknown */

/* What a matrix carries; rank 0: nothing. */
struct adapter_target {
    int rank;
    float alpha;
};

struct adapter_options {
    int rank;
    float alpha;
    bool use_rslora; /* scale = alpha / sqrt(rank), else alpha / rank */
    unsigned sites;  /* bit SITE_x: targeted */
    uint64_t seed;   /* A: Kaiming uniform(a = sqrt 5) as PEFT, B: zeros */
    bool use_dora;   /* magnitudes, at first the lengths of the base's rows (struct dev_lora) */
    /* [n_layer][SITE_COUNT] where matrices differ: what each of them carries instead (read by adapter_new only, sites
     * is not looked at); NULL: all sites alike */
    const struct adapter_target *target;
};

/* A fresh adapter: with B zero it changes nothing until it is trained. */
int adapter_new(struct adapter **out, const struct model *m, const struct adapter_options *opt,
                struct err *e) MUST_CHECK;
/* A PEFT directory (adapter_config.json, adapter_model.safetensors), or the file of a GGUF LoRA. -ERR_UNSUPPORTED names
 * what cannot be computed (modules_to_save, embeddings); -ERR_INPUT a shape that does not fit the model. */
int adapter_load(struct adapter **out, const struct model *m, const char *dir, struct err *e) MUST_CHECK;
/* PEFT layout, written atomically (the directory appears complete or not at all, replacing an older one).
 * base_name: value of base_model_name_or_path. metadata: pairs key, value ... NULL kept in the config under "tailor".
 */
int adapter_save(const struct adapter *a, const char *dir, const char *base_name, const char *const *metadata,
                 struct err *e) MUST_CHECK;
void adapter_free(struct adapter *a);

/* As it was made or loaded (sites: those that any layer has; target: NULL); the number of float32 parameters, those of
 * padding included. */
const struct adapter_options *adapter_get_options(const struct adapter *a);
size_t adapter_n_param(const struct adapter *a);
/* Parameters of an adapter of one rank on all matrices of m. */
size_t adapter_count(const struct model *m, int rank);
/* The largest rank of its matrices; what one of them carries. */
int adapter_max_rank(const struct adapter *a);
/* The first layer that it changes. */
int adapter_first_layer(const struct adapter *a);
struct adapter_target adapter_target_at(const struct adapter *a, int layer, enum adapter_site site);
/* All parameters, and gradients of the same layout (allocated at first call of adapter_grads): device memory. */
float *adapter_params(struct adapter *a);
int adapter_grads(struct adapter *a, float **out, struct err *e) MUST_CHECK;
/* After the parameters changed. */
void adapter_update(struct adapter *a);
/* What model code multiplies with; NULL where the adapter does not sit. grad members NULL before adapter_grads. */
const struct dev_lora *adapter_lora(const struct adapter *a, int layer, enum adapter_site site);
struct dev_proj_grad adapter_grad(const struct adapter *a, int layer, enum adapter_site site);
/* The values of a tensor of the file (its GGUF name) with the adapter in it: out[n] host memory (NULL: none), rows as
 * the model has them, so that a model made of such tensors computes what m does with a. -ERR_NOT_FOUND: it does not sit
 * there. */
int adapter_merged(const struct adapter *a, const struct model *m, const char *name, float *out, size_t n,
                   struct err *e) MUST_CHECK;
/* The same values without an adapter. */
int adapter_unmerged(const struct model *m, const char *name, float *out, size_t n, struct err *e) MUST_CHECK;
/* An adapter as a GGUF for other programs; what that format cannot say is folded in (rsLoRA) or refused (magnitudes).
 */
int adapter_save_gguf(const struct adapter *a, const char *path, struct err *e) MUST_CHECK;
/* The scale becomes factor times what rank and alpha give (interface.md: --adapter A,scale=S). */
void adapter_set_scale(struct adapter *a, float factor);

#endif
