/* What a model takes of a machine: memory by arithmetic, speed as a share of the machine's measured floors.
 *
 * Decode reads every weight once a step: step bytes / (read bandwidth x share). Prefill is arithmetic: operations a
 * token / (arithmetic floor x share). The shares are assumed (PLAN_SHARE_*) until a model was measured on this machine;
 * then they are what that measurement says. */
#ifndef PLAN_PREDICT_H
#define PLAN_PREDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "lifecycle/plan/shapes.h"

/* Types that models are served in. */
struct plan_quant {
    const char *name;   /* "Q4_0" */
    double matrix_bits; /* bits a weight of a layer's matrices, scales included */
    double head_bits;   /* of embedding and head: quantizers keep these finer than 4 bits */
    bool four_bit;
};
const struct plan_quant *plan_quant_find(const char *name); /* NULL: unknown */
/* The known names, "F32, F16, ...": for errors. */
const char *plan_quant_names(void);

/* Floors of a machine with all threads; 0 where it has none. */
struct plan_floors {
    double read_gb_s, fp32_gflops, int8_gops, int4_int8_gops, bf16_gflops;
};
/* Shares of the floors where nothing was measured: what the first measurements of this program showed or better. */
#define PLAN_SHARE_DECODE  0.75
#define PLAN_SHARE_PREFILL 0.40
struct plan_shares {
    double decode, prefill;
    bool measured;
};

struct plan_load { /* what is asked of the model */
    int users;     /* sequences at a time, >= 1 */
    int prompt_tokens, output_tokens;
};

struct plan_memory {
    uint64_t weights_bytes, kv_bytes, overhead_bytes, total_bytes;
};
/* weights_bytes 0: by shape and type, else as given (a file at hand). */
void plan_memory(const struct model_shape *s, const struct plan_quant *q, uint64_t weights_bytes,
                 const struct plan_load *l, struct plan_memory *m);
uint64_t plan_kv_token_bytes(const struct model_shape *s); /* keys and values of one token, float16 */

/* What a step reads and computes; given for a loaded model, else by shape and type. */
struct plan_work {
    double step_bytes; /* weights that one decode step reads */
    double layer_params, head_params;
};
void plan_work(const struct model_shape *s, const struct plan_quant *q, struct plan_work *w);

struct plan_speed {
    double prefill_tok_s, decode_tok_s; /* of one sequence */
    double ttft_ms, tpot_ms;            /* under the load: prompt of one user; a step of all users */
};
/* Needs floors above 0 where the type uses them. */
void plan_speed(const struct model_shape *s, const struct plan_quant *q, const struct plan_work *w,
                const struct plan_floors *f, const struct plan_shares *share, const struct plan_load *l,
                struct plan_speed *out);
/* The shares that make the prediction equal to a measurement (n_prompt tokens of prefill; decode at a context). */
void plan_calibrate(const struct model_shape *s, const struct plan_quant *q, const struct plan_work *w,
                    const struct plan_floors *f, int n_prompt, double prefill_tok_s, int context, double decode_tok_s,
                    struct plan_shares *out);
/* Most sequences of the load whose keys and values fit into what memory the rest leaves; 0 when nothing fits. */
uint64_t plan_max_users(const struct model_shape *s, const struct plan_memory *m, const struct plan_load *l,
                        uint64_t memory_bytes);

#endif
