/* The rows of the seed tables, part by part. Owns nothing. */
#include "lifecycle/plan/seed_table.h"

#include <assert.h>
#include <stdio.h>

#include "lifecycle/plan/seed_table_int.h"

const char *const seed_verdict_name[] = {"holds", "holds with limits", "over-sized", "wrong", "depends"};
const char *const seed_verdict_en[] = {"holds", "holds with limits", "over-sized", "wrong", "depends"};
const char *const seed_verdict_zh[] = {"成立", "有条件成立", "配置过高", "不成立", "视情况而定"};

struct seed_row *seed_row_add(struct seed_rows *rows, enum seed_table table, const char *claim_en, const char *claim_zh)
{
    assert(rows->n < SEED_MAX_ROWS);
    struct seed_row *r = &rows->row[rows->n++];
    *r = (struct seed_row){.table = table, .claim_en = claim_en, .claim_zh = claim_zh};
    return r;
}

int seed_system(const struct catalogue *c, const char *model, const char *quant, const char *hardware, int count,
                struct plan_system *out, struct err *e)
{
    const struct plan_model *m = NULL;
    const struct plan_hardware *h = NULL;
    const struct plan_quant *q = plan_quant_find(quant);
    int rc = catalogue_need_model(c, model, &m, e);
    if (rc == 0) rc = catalogue_need_hardware(c, hardware, &h, e);
    if (rc) return rc;
    bool gguf = q->gguf && q->linear_bits < 16;
    struct plan_layout layout = {gguf ? 1 : count, gguf ? count : 1, 16};
    return plan_system_init(out, m, q, h, &layout, plan_stack_usual(h, gguf), e);
}

int seed_rows_compute(const struct catalogue *c, struct seed_rows *out, struct err *e)
{
    out->n = 0;
    int rc = seed_rows_inference(c, out, e);
    if (rc == 0) rc = seed_rows_training(c, out, e);
    if (rc == 0) rc = seed_rows_money(c, out, e);
    return rc ? rc : seed_rows_deployment(c, out, e);
}
