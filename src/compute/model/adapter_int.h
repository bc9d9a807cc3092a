/* Private to adapters: the flat array and its views. */
#ifndef MODEL_ADAPTER_INT_H
#define MODEL_ADAPTER_INT_H

#include "compute/model/adapter.h"
#include "compute/model/model_int.h"

enum { ADAPTER_MAX_RANK = 4096 };

/* Where a matrix of the adapter lies in the flat arrays: A [rank][n_in], B [n_out][rank], magnitudes [n_out] if any. */
struct adapter_view {
    size_t a, b, m; /* offsets, values */
    size_t n_in, n_out;
    struct adapter_target on; /* rank 0: the adapter does not sit here */
    struct dev_lora *lora;    /* NULL: the adapter does not sit here */
};

struct adapter {
    struct dev *dev;
    struct model_params params; /* of the base */
    struct adapter_options opt;
    size_t n_param;
    float *param, *grad;       /* [n_param] device memory; grad NULL until asked for */
    struct adapter_view *view; /* [n_layer][SITE_COUNT] */
};

static inline struct adapter_view *adapter_view_at(const struct adapter *a, int layer, enum adapter_site site)
{
    return &a->view[(size_t)layer * SITE_COUNT + (size_t)site];
}
/* Memory and views of an adapter, parameters zero. Options are checked here. */
int adapter_make(struct adapter **out, const struct model *m, const struct adapter_options *opt,
                 struct err *e) MUST_CHECK;
/* adapter_load of a file. */
int adapter_load_gguf(struct adapter **out, const struct model *m, const char *path, struct err *e) MUST_CHECK;
/* Rows of width values, of B (or magnitudes) of q and k, between Hugging Face's halves and the base's order; same-size
 * copy where nothing is permuted. */
void adapter_rows_to_hf(const struct adapter *a, enum adapter_site site, size_t width, float *dst, const float *src);
void adapter_rows_from_hf(const struct adapter *a, enum adapter_site site, size_t width, float *dst, const float *src);
/* A matrix as Hugging Face's model has it: that of one site, or, fused, the rows of several in order. */
struct adapter_module {
    const char *name; /* as target_modules spells it */
    enum adapter_site first;
    int n; /* sites from first on */
};
enum { ADAPTER_MAX_MODULE = 8 };
/* What a module carries on a layer: its targeted sites carry the same. rank 0: none is targeted. */
struct adapter_target adapter_module_target(const struct adapter *a, int layer, const struct adapter_module *m);
/* The modules of a base; *n of them, at most ADAPTER_MAX_MODULE. */
const struct adapter_module *adapter_modules(const struct model_params *p, int *n);
/* The sites of a module, as bits. */
static inline unsigned adapter_module_sites(const struct adapter_module *m)
{
    return ((1U << m->n) - 1) << m->first;
}
/* Outputs of all its sites, and its inputs. */
void adapter_module_shape(const struct model_params *p, const struct adapter_module *m, size_t *n_out, size_t *n_in);
/* What an adapter has on a matrix, as PEFT keeps it. */
enum adapter_part { ADAPTER_A, ADAPTER_B, ADAPTER_M, ADAPTER_PARTS };
/* Parts an adapter has: 2, with magnitudes 3. */
static inline int adapter_n_part(const struct adapter_options *o)
{
    return o->use_dora ? ADAPTER_PARTS : ADAPTER_M;
}
/* PEFT's name of a module: "model.layers.N.self_attn.q_proj". */
void adapter_module_name(char *out, size_t size, int layer, const struct adapter_module *m);
/* PEFT's key of a part: "base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight". */
void adapter_key(char *out, size_t size, int layer, const struct adapter_module *m, enum adapter_part part);

#endif
