/* Claims of hardware for answering ten users, by memory and speed. Owns nothing. */
#include <math.h>
#include <stdio.h>

#include "lifecycle/plan/seed_table_int.h"

enum { USERS = 10, PROMPT = 1000, ANSWER = 500 };
#define NEARLY        0.75 /* of the users: what fewer cards must carry for more to be too many */
#define READING_TOK_S 5    /* slower than people read */

struct claim {
    const char *en, *zh, *model, *quant, *hardware;
    int count;
};

static const struct claim claims[] = {
    {"1.5B FP16 on an RTX 3060, ten users", "1.5B FP16 在 RTX 3060 上，10 用户", "Qwen2.5-1.5B", "BF16", "RTX3060", 1},
    {"1.5B INT8 on an RTX 3060, ten users", "1.5B INT8 在 RTX 3060 上，10 用户", "Qwen2.5-1.5B", "INT8", "RTX3060", 1},
    {"1.5B INT8 on a CPU, ten users", "1.5B INT8 在 CPU 上，10 用户", "Qwen2.5-1.5B", "Q8_0", "i9-13900K", 1},
    {"7B INT4 on an RTX 3060, ten users", "7B INT4 在 RTX 3060 上，10 用户", "Qwen2.5-7B", "AWQ", "RTX3060", 1},
    {"7B INT4 on an RTX 4060, ten users", "7B INT4 在 RTX 4060 上，10 用户", "Qwen2.5-7B", "AWQ", "RTX4060", 1},
    {"14B INT4 on an RTX 4070, ten users", "14B INT4 在 RTX 4070 上，10 用户", "Qwen2.5-14B", "AWQ", "RTX4070", 1},
    {"14B INT4 on an RTX 4080, ten users", "14B INT4 在 RTX 4080 上，10 用户", "Qwen2.5-14B", "AWQ", "RTX4080", 1},
    {"32B INT4 on 2 x RTX 4090, ten users", "32B INT4 在 2 张 RTX 4090 上，10 用户", "Qwen2.5-32B", "AWQ", "RTX4090",
     2},
    {"32B INT4 on an A100, ten users", "32B INT4 在单张 A100 上，10 用户", "Qwen2.5-32B", "AWQ", "A100-80", 1},
    {"70B INT4 on 2 x A100 80 GB, ten users", "70B INT4 在 2 张 A100 80GB 上，10 用户", "Llama-3.3-70B", "AWQ",
     "A100-80", 2},
    {"671B INT4 on 6 x A100 or more, ten users", "671B INT4 在 6 张以上 A100 上，10 用户", "DeepSeek-R1", "AWQ",
     "A100-80", 6},
};

struct carried {
    double sequences, tok_s, weights_gib;
};

static struct carried carry(const struct plan_system *s)
{
    struct plan_load l = {USERS, PROMPT, ANSWER};
    struct plan_memory m;
    struct plan_point p;
    plan_memory_of(s, &l, &m);
    plan_point_at(s, PROMPT, ANSWER, USERS, fmax(1, m.running_sequences), &p);
    return (struct carried){m.max_sequences, 1 / p.tpot_s, m.weights_bytes / 0x1p30};
}

/* Whether half of the cards would do, nearly. */
static bool half_does(const struct catalogue *c, const struct claim *x, struct carried *half)
{
    struct plan_system s;
    if (x->count < 2 || seed_system(c, x->model, x->quant, x->hardware, x->count / 2, &s, NULL)) return false;
    *half = carry(&s);
    return half->sequences >= NEARLY * USERS && half->tok_s >= READING_TOK_S;
}

static void judge(const struct catalogue *c, const struct claim *x, const struct plan_system *s, struct seed_row *r)
{
    struct carried full = carry(s), half;
    if (full.sequences < USERS) {
        r->verdict = SEED_WRONG;
        SEED_SAY(r, "weights take %.1f GiB; what is left holds %.0f conversations of 1,500 tokens, not ten",
                 "权重占 %.1f GiB；剩余显存只容得下 %.0f 个 1500 词元的对话，不足 10 个", full.weights_gib,
                 full.sequences);
    } else if (half_does(c, x, &half)) {
        r->verdict = SEED_OVERSIZED;
        SEED_SAY(r,
                 "weights %.1f GiB; %d card already carries %.0f conversations of 1,500 tokens at %.0f tokens/s each, "
                 "%d carry %.0f",
                 "权重 %.1f GiB；%d 张卡已可容纳 %.0f 个 1500 词元的对话、每个 %.0f 词元/秒，%d 张可容纳 %.0f 个",
                 half.weights_gib, x->count / 2, half.sequences, half.tok_s, x->count, full.sequences);
    } else {
        bool slow = full.tok_s < 2 * READING_TOK_S, tight = full.sequences < 2 * USERS;
        r->verdict = slow || tight ? SEED_LIMITS : SEED_HOLDS;
        SEED_SAY(r,
                 "weights %.1f GiB; room for %.0f conversations of 1,500 tokens; ten at a time get %.0f tokens/s each",
                 "权重 %.1f GiB；可容纳 %.0f 个 1500 词元的对话；同时 10 个时每个 %.0f 词元/秒", full.weights_gib,
                 full.sequences, full.tok_s);
    }
}

/* A number of cards that does not divide the heads cannot share the matrices. */
static int judge_division(const struct catalogue *c, const struct claim *x, struct seed_row *r, struct err *e)
{
    const struct plan_model *m;
    const struct plan_hardware *h;
    int rc = catalogue_need_model(c, x->model, &m, e), next = x->count;
    if (rc == 0) rc = catalogue_need_hardware(c, x->hardware, &h, e);
    if (rc) return rc;
    while (m->n_head % next || next & (next - 1)) next++;
    double weights = plan_weight_bytes(m, plan_quant_find(x->quant)) / 0x1p30;
    r->verdict = SEED_WRONG;
    SEED_SAY(
        r,
        "the weights, %.0f GiB, would fit into %d x %.0f GB, but %d cards do not divide the %d heads: %d is the real "
        "minimum",
        "权重 %.0f GiB 可放入 %d x %.0f GB，但 %d 张卡不能整除 %d 个注意力头：实际至少需要 %d 张", weights, x->count,
        h->memory_gb, x->count, m->n_head, next);
    return 0;
}

int seed_rows_inference(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    for (size_t i = 0; i < N_ELEM(claims); i++) {
        const struct claim *x = &claims[i];
        struct plan_system s;
        struct seed_row *r = seed_row_add(rows, SEED_SIZES, x->en, x->zh);
        const struct plan_model *m;
        int rc = catalogue_need_model(c, x->model, &m, e);
        if (rc) return rc;
        if (m->n_head % x->count)
            rc = judge_division(c, x, r, e);
        else if ((rc = seed_system(c, x->model, x->quant, x->hardware, x->count, &s, e)) == 0)
            judge(c, x, &s, r);
        if (rc) return rc;
    }
    return 0;
}
