/* Lists of candidates: the k best, the smallest set of enough probability, the draw. Owns the order (more likely first,
 * the lower id among equals) and the arithmetic of probabilities. Nothing here allocates. */
#include "compute/engine/candidates_int.h"

#include <math.h>
#include <string.h>

/* x = k ln 2 + r, Taylor series of degree 13 for |r| <= ln 2 / 2. Not libm's, whose bits depend on the instruction set.
 */
double nucleus_exp(double x)
{
    static const double inverse[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
    if (!(x > -700.0)) return 0.0;
    double k = (double)(int)(x * 1.4426950408889634 - 0.5);
    double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double y = inverse[0];
    for (size_t i = 1; i < sizeof(inverse) / sizeof(inverse[0]); i++) y = y * r + inverse[i];
    uint64_t bits = (uint64_t)((int)k + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof(scale));
    return y * scale;
}

static bool better(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate x = *a;
    *a = *b;
    *b = x;
}

/* Restore a heap whose root was replaced. worst_first: the root is the least likely candidate, else the most likely. */
static void sift_down(struct candidate *h, size_t n, size_t i, bool worst_first)
{
    struct candidate x = h[i];
    for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && better(h[child + 1], h[child]) != worst_first) child++;
        if (better(h[child], x) == worst_first) break;
        h[i] = h[child];
        i = child;
    }
    h[i] = x;
}

static void make_heap(struct candidate *h, size_t n, bool worst_first)
{
    for (size_t i = n / 2; i-- > 0;) sift_down(h, n, i, worst_first);
}

void best_k_offer(struct best_k *b, struct candidate c)
{
    if (b->n < b->k) {
        b->kept[b->n++] = c;
        if (b->n == b->k) make_heap(b->kept, b->k, true);
    } else if (better(c, b->kept[0])) {
        b->kept[0] = c;
        sift_down(b->kept, b->k, 0, true);
    }
}

float best_k_bound(const struct best_k *b)
{
    return b->n == b->k ? b->kept[0].logit : -INFINITY;
}

double nucleus_weight(const struct nucleus *u, float logit)
{
    return nucleus_exp(((double)logit - (double)u->best) * u->inv_temperature);
}

/* Does the next best token still belong to the set? */
static bool take(struct nucleus *u, float logit)
{
    double w = nucleus_weight(u, logit);
    if (u->sum > 0 && (u->sum >= u->enough || w < u->least)) return false;
    u->sum += w;
    return true;
}

/* The best are popped from a heap until the set is full. They end up in the list's tail, worst first, and are turned
 * round to its head. */
size_t nucleus_cut(struct nucleus *u, struct candidate *c, size_t n)
{
    size_t left = n;
    make_heap(c, n, false);
    while (left > 0 && take(u, c[0].logit)) {
        swap(&c[0], &c[--left]);
        sift_down(c, left, 0, false);
    }
    for (size_t i = 0, j = n; i + 1 < j; i++) swap(&c[i], &c[--j]);
    return n - left;
}

int32_t nucleus_draw(const struct nucleus *u, const struct candidate *c, size_t n, double draw)
{
    int32_t last = c[0].id; /* of those that can be drawn: rounding may leave a rest behind the last one */
    for (size_t i = 0; i < n; i++) {
        double w = nucleus_weight(u, c[i].logit);
        if (draw < w) return c[i].id;
        draw -= w;
        if (w > 0) last = c[i].id;
    }
    return last;
}
