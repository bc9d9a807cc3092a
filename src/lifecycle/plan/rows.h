/* Rows of the catalogue: models, hardware and prices as facts, each with source and confidence.
 *
 * A row is filled from CSV by the tables in rows.c. Texts are owned by the catalogue that holds the row, never NULL
 * ("": not known). A number of 0 means not known, except where 0 is a value (layers of a kind, experts, a missing
 * link). */
#ifndef PLAN_ROWS_H
#define PLAN_ROWS_H

#include <stdbool.h>
#include <stddef.h>

struct plan_model {
    const char *name, *provider, *hf_id, *version;
    const char *architecture, *pre_tokenizer; /* as GGUF names them */
    const char *licence, *modality, *languages, *release_date;
    const char *openness, *local_deployment, *tuning_ease;
    const char *attention;    /* MHA, GQA, MQA, MLA: for people, the formulas read the dimensions */
    const char *params_basis; /* "published" or "computed" */
    const char *params_gap;   /* why the dimensions do not add up to the published total */
    const char *noted, *source, *confidence, *notes;
    double params_total_b, params_active_b; /* published, in 1e9 */
    int n_layer, n_embd, n_head, n_kv_head, d_head, n_vocab, n_ctx;
    int n_ff;                                         /* of a dense layer */
    int n_layer_full, n_layer_window, n_layer_linear; /* together n_layer */
    int window;                                       /* tokens that a window layer sees */
    int q_lora, kv_lora, d_rope, d_nope, d_v;         /* MLA; kv_lora 0: plain attention */
    int indexer_bytes;         /* that a layer keeps of a token beside MLA (an index for sparse attention) */
    double linear_state_bytes; /* of one sequence, all linear layers */
    int n_expert, n_expert_used, n_expert_shared, n_ff_expert, n_ff_shared;
    int n_layer_dense; /* layers without experts in a model with experts */
    bool tied_head;
    double kv_bytes_token_f16, kv_bytes_token_f16_full; /* as the source states; all layers, full-attention layers */
};

enum plan_kind { PLAN_CONSUMER, PLAN_WORKSTATION, PLAN_DATACENTER, PLAN_NPU, PLAN_MAC, PLAN_CPU };

/* One card, one Mac or one CPU board with its memory. */
struct plan_hardware {
    const char *id, *name, *vendor, *kind_text, *interconnect, *rmb_basis, *price_basis;
    const char *noted, *source, *confidence, *notes;
    enum plan_kind kind;
    double memory_gb, read_gb_s;                                       /* nominal */
    double fp32_tflops, fp16_tflops, fp16_fp16acc_tflops, bf16_tflops; /* dense, fp32 accumulation but for fp16acc */
    double int8_tops, fp8_tflops, fp4_tflops;
    double power_w, link_gb_s; /* link: one direction, 0: none */
    int launch_year;
    double launch_price_usd;
    double price_usd_low, price_usd_high, price_cny_low, price_cny_high; /* 2026 */
    double rent_usd_h_low, rent_usd_h_high;
};

/* Price of an API, a million tokens. */
struct plan_price {
    const char *provider, *model, *open_weights, *catalogue_model, *native_currency, *date, *source, *confidence,
        *notes;
    double input_usd, output_usd, cached_usd; /* cached 0: not known, then as input */
    double input_cny, output_cny, cached_cny;
};

#endif
