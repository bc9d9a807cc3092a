/* The choice of experts of one token: scores, groups, the best, their weights. Element-wise steps have one arithmetic,
 * so the choice is the same on every instruction set for the same logits. */
#include "compute/device/cpu_route.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "compute/kernels/kmath.h"

/* What experts are compared by, and which may be chosen no more. */
struct field {
    float choice[DEV_MAX_EXPERT];
    bool taken[DEV_MAX_EXPERT];
};

static void to_scores(const struct kern *k, const struct dev_router *r, float *logits, size_t n)
{
    if (!r->sigmoid) {
        k->softmax(logits, n, 1.0f);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        logits[i] = 1.0f / (1.0f + kmath_expf(-logits[i]));
    }
}

/* The best of [begin, end) that is not taken; end when all are. */
static size_t best_of(const struct field *f, size_t begin, size_t end)
{
    size_t best = end;
    for (size_t i = begin; i < end; i++) {
        if (!f->taken[i] && (best == end || f->choice[i] > f->choice[best])) {
            best = i;
        }
    }
    return best;
}

static float group_value(const struct dev_router *r, struct field *f, size_t begin, size_t end)
{
    size_t first = best_of(f, begin, end);
    if (!r->sigmoid || end - begin < 2) {
        return f->choice[first];
    }
    f->taken[first] = true;
    size_t second = best_of(f, begin, end);
    f->taken[first] = false;
    return f->choice[first] + f->choice[second];
}

/* Experts outside the best groups count as taken. */
static void keep_groups(const struct dev_router *r, struct field *f, size_t n)
{
    size_t n_group = (size_t)r->n_group, size = n / n_group;
    struct field groups;
    for (size_t g = 0; g < n_group; g++) {
        groups.choice[g] = group_value(r, f, g * size, (g + 1) * size);
        groups.taken[g] = false;
    }
    for (int i = 0; i < r->n_group_used; i++) {
        groups.taken[best_of(&groups, 0, n_group)] = true;
    }
    for (size_t i = 0; i < n; i++) {
        f->taken[i] = !groups.taken[i / size];
    }
}

static void weigh(const struct dev_router *r, const float *score, const int32_t *chosen, float *weight)
{
    float sum = 0;
    for (int i = 0; i < r->n_used; i++) {
        weight[i] = score[chosen[i]];
        sum += weight[i];
    }
    float by = r->renormalize ? r->scale / (sum + 1e-20f) : r->scale;
    for (int i = 0; i < r->n_used; i++) {
        weight[i] *= by;
    }
}

void cpu_route(const struct kern *k, const struct dev_router *r, size_t n_expert, float *logits, int32_t *chosen,
               float *weight)
{
    assert(n_expert <= DEV_MAX_EXPERT);
    struct field f;
    to_scores(k, r, logits, n_expert);
    memcpy(f.choice, logits, n_expert * sizeof(float));
    memset(f.taken, 0, n_expert * sizeof(f.taken[0]));
    if (r->bias) {
        k->add(f.choice, r->bias, n_expert);
    }
    if (r->n_group > 1) {
        keep_groups(r, &f, n_expert);
    }
    for (int i = 0; i < r->n_used; i++) {
        size_t best = best_of(&f, 0, n_expert);
        assert(best < n_expert); /* a router that chooses more than its groups hold is refused when it is bound */
        f.taken[best] = true;
        chosen[i] = (int32_t)best;
    }
    weigh(r, logits, chosen, weight);
}
