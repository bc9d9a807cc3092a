/* What a model takes of the memory of one replica, by arithmetic on its dimensions.
 *
 * Bytes are exact products; what is fitted (workspace, framework) is named in memory.c with its source. Sums are over
 * all cards of a replica unless "a card" is said. */
#ifndef PLAN_MEMORY_H
#define PLAN_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "lifecycle/plan/rows.h"
#include "lifecycle/plan/speed.h"

/* Parameters in ones (not 1e9), by the dimensions. */
struct plan_params {
    double linear; /* layers, experts among them, without norms */
    double expert; /* of these the routed experts */
    double embed;  /* embedding and head */
    double head;   /* what a token's logits need: vocabulary x width */
    double active; /* layers' parameters that one token's products use */
};
void plan_params_of(const struct plan_model *m, struct plan_params *out);
/* linear + embed. */
double plan_params_total(const struct plan_model *m);

/* Bits of the output matrix: a type whose blocks its width does not fill gives way to a finer one. */
double plan_head_bits(const struct plan_model *m, const struct plan_quant *q);
/* Weight bytes of a format. */
double plan_weight_bytes(const struct plan_model *m, const struct plan_quant *q);
/* Cache bytes that a pass reads of one sequence of n_tok tokens (windows and linear layers counted as they are). */
double plan_kv_sequence_bytes(const struct plan_model *m, double n_tok, double kv_bits);
/* Bytes that are kept for it, over all cards: the same in pages of 16 tokens and the state of linear layers; with MLA
 * or fewer key-value heads than cards more than once (layout NULL: one card). */
double plan_kv_bytes(const struct plan_model *m, double n_tok, double kv_bits, const struct plan_layout *layout);
/* The same for n sequences of equal length under this program: layers of full attention keep all pages, layers with a
 * window what their windows span, a pass's prompts, and an eighth of the pages for prefixes that come again
 * (near_wanted in engine.c). */
double plan_kv_tailor_bytes(const struct plan_model *m, double n_seq, double n_tok, double kv_bits, double pass_tokens);
/* False when the formulas do not cover the model's cache (compressed caches): the numbers above are then a bound. */
bool plan_kv_known(const struct plan_model *m);

struct plan_load { /* what is asked of the model */
    int users;     /* sequences at a time, >= 1 */
    int prompt_tokens, output_tokens;
};

struct plan_memory {
    double weights_bytes, kv_bytes;          /* over all cards; the cache at full length of prompt and answer */
    double workspace_bytes, framework_bytes; /* over all cards */
    double total_bytes;
    double usable_bytes;                        /* that the stack may use of all cards */
    double worst_card_bytes, usable_card_bytes; /* layers are shared out whole: one card has most */
    double max_sequences;     /* of the load that fit beside the rest at full length; 0: the weights alone do not fit */
    double running_sequences; /* the same at mean length (prompt and half of the answer): what a busy server runs */
    bool fits;                /* weights, workspace, framework and the load's cache */
};
/* The load on one replica. */
void plan_memory_of(const struct plan_system *s, const struct plan_load *l, struct plan_memory *out);

#endif
