/* Private to the room: what is to be written, tensor by tensor, before anything is. */
#ifndef CONVERT_PLAN_INT_H
#define CONVERT_PLAN_INT_H

#include "compute/convert/quantize_model.h"
#include "compute/formats/gguf.h"

struct planned {
    const struct tensor_info *src;
    enum tensor_type type; /* to be written */
    enum quant_type quant; /* the same for the kernels; copied tensors may have a type that these do not know */
    bool copy;             /* the bytes as they are */
    bool made;             /* the values come from quantize_options.source */
    bool matrix;           /* counts for the error */
    uint64_t n_row;        /* of n_in values; n_mat stacked matrices */
    uint64_t n_in, n_mat;
    uint64_t d_head;     /* > 0: rows (of a vector: values) of each head change from halves to pairs */
    const float *weight; /* [n_mat][n_in] or NULL */
};

struct plan {
    struct planned *tensor;
    size_t n_tensor;
    /* Factors of frequencies, written behind the others as tensors of n_rope values. */
    struct {
        const char *name;
        float factor[MODEL_MAX_FREQ];
    } rope[2];
    int n_rope_tensor;
    uint64_t n_rope;
    double n_value; /* of all tensors */
    uint64_t max_n_in;
};

/* Fills plan and the counts of result. Free with plan_deinit also after a failure. */
int plan_init(struct plan *plan, const struct model_file *f, const struct quantize_options *opt,
              struct quantize_result *result, struct err *e) MUST_CHECK;
void plan_deinit(struct plan *plan);
/* Declare all keys and tensors in w; how many keys are our own. */
int plan_declare(const struct plan *plan, const struct model_file *f, const struct mix *mix, struct gguf_writer *w,
                 size_t *n_own_key, struct err *e) MUST_CHECK;

#endif
