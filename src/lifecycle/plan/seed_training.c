/* Claims of hardware for training, by the memory of each method. Owns nothing. */
#include <stdio.h>
#include <string.h>

#include "lifecycle/plan/seed_table_int.h"
#include "lifecycle/plan/training.h"

/* Rank 16 on rows of up to 1,024 tokens, one at a time, activations recomputed; cards share weights, gradients and
 * optimizer. */
enum { RANK = 16, LENGTH = 1024 };

struct claim {
    const char *en, *zh, *model, *hardware;
    int count;
};

static const struct claim claims[] = {
    {"training 1.5B on an RTX 3060", "在 RTX 3060 上训练 1.5B", "Qwen2.5-1.5B", "RTX3060", 1},
    {"training 7B on one RTX 3090", "在单张 RTX 3090 上训练 7B", "Qwen2.5-7B", "RTX3090", 1},
    {"training 7B on one RTX 4090", "在单张 RTX 4090 上训练 7B", "Qwen2.5-7B", "RTX4090", 1},
    {"training 14B on one RTX 4090", "在单张 RTX 4090 上训练 14B", "Qwen2.5-14B", "RTX4090", 1},
    {"training 14B on 2 x RTX 3080", "在 2 张 RTX 3080 上训练 14B", "Qwen2.5-14B", "RTX3080", 2},
    {"training 32B on 2 x RTX 4090", "在 2 张 RTX 4090 上训练 32B", "Qwen2.5-32B", "RTX4090", 2},
    {"training 32B on one A100 40 GB", "在单张 A100 40GB 上训练 32B", "Qwen2.5-32B", "A100-40", 1},
    {"training 70B on 2 x A100 80 GB", "在 2 张 A100 80GB 上训练 70B", "Llama-3.3-70B", "A100-80", 2},
    {"training 671B on 8 x A100 80 GB or more", "在 8 张以上 A100 80GB 上训练 671B", "DeepSeek-R1", "A100-80", 8},
};

static int bytes_a_card(const struct plan_model *m, enum plan_method method, int cards, double *out, struct err *e)
{
    struct plan_training t = {
        .method = method, .rank = RANK, .batch = 1, .max_length = LENGTH, .shards = cards, .checkpointing = true};
    struct plan_training_memory r;
    int rc = plan_training_of(m, &t, &r, e);
    *out = r.total_bytes / 1e9;
    return rc;
}

static int judge(const struct catalogue *c, const struct claim *x, struct seed_row *r, struct err *e)
{
    const struct plan_model *m = NULL;
    const struct plan_hardware *h = NULL;
    double full = 0, lora = 0, qlora = 0;
    int rc = catalogue_need_model(c, x->model, &m, e);
    if (rc == 0) rc = catalogue_need_hardware(c, x->hardware, &h, e);
    if (rc == 0) rc = bytes_a_card(m, PLAN_FULL, x->count, &full, e);
    if (rc == 0) rc = bytes_a_card(m, PLAN_LORA, x->count, &lora, e);
    if (rc == 0) rc = bytes_a_card(m, PLAN_QLORA, x->count, &qlora, e);
    if (rc) return rc;
    double has = h->memory_gb * 0.97 * 1.073741824; /* what a card of so many GiB offers, in GB */
    r->verdict = full <= has ? SEED_HOLDS : qlora <= has ? SEED_LIMITS : SEED_WRONG;
    const char *en = full <= has    ? "every method fits"
                     : lora <= has  ? "adapters only (LoRA, QLoRA)"
                     : qlora <= has ? "QLoRA only"
                                    : "nothing fits";
    const char *zh = full <= has    ? "各种方法均可"
                     : lora <= has  ? "仅适配器（LoRA、QLoRA）"
                     : qlora <= has ? "仅 QLoRA"
                                    : "均放不下";
    snprintf(r->reason_en, sizeof r->reason_en,
             "%s: a card takes %.0f GB in full, %.0f GB with LoRA, %.0f GB with QLoRA (4-bit), of %.0f GB", en, full,
             lora, qlora, has);
    snprintf(r->reason_zh, sizeof r->reason_zh,
             "%s：每卡全量训练需 %.0f GB，LoRA %.0f GB，QLoRA（4 位）%.0f GB，可用 %.0f GB", zh, full, lora, qlora,
             has);
    return 0;
}

int seed_rows_training(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    for (size_t i = 0; i < N_ELEM(claims); i++) {
        int rc = judge(c, &claims[i], seed_row_add(rows, SEED_SIZES, claims[i].en, claims[i].zh), e);
        if (rc) return rc;
    }
    return 0;
}
