/* Shared by the files that compute rows of the seed tables. */
#ifndef PLAN_SEED_TABLE_INT_H
#define PLAN_SEED_TABLE_INT_H

#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/seed_table.h"

/* The next row, with its claim. */
struct seed_row *seed_row_add(struct seed_rows *rows, enum seed_table table, const char *claim_en,
                              const char *claim_zh);
#define SEED_SAY(r, en, zh, ...)                                         \
    do {                                                                 \
        snprintf((r)->reason_en, sizeof(r)->reason_en, en, __VA_ARGS__); \
        snprintf((r)->reason_zh, sizeof(r)->reason_zh, zh, __VA_ARGS__); \
    } while (0)

/* A system for a claim: tensor parallel over all cards under vLLM for types of GPUs, layers under llama.cpp for GGUF.
 */
int seed_system(const struct catalogue *c, const char *model, const char *quant, const char *hardware, int count,
                struct plan_system *out, struct err *e) MUST_CHECK;

/* The rows of a part; errors of the catalogue. */
int seed_rows_inference(const struct catalogue *c, struct seed_rows *rows, struct err *e) MUST_CHECK;
int seed_rows_training(const struct catalogue *c, struct seed_rows *rows, struct err *e) MUST_CHECK;
int seed_rows_money(const struct catalogue *c, struct seed_rows *rows, struct err *e) MUST_CHECK;
int seed_rows_deployment(const struct catalogue *c, struct seed_rows *rows, struct err *e) MUST_CHECK;

#endif
