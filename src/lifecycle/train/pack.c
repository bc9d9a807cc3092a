/* Lays out micro-batches. Rows are sorted; a range of sorted rows shares the smallest of the common prefixes of its
 * neighbours, so the tree is built by cutting ranges at their minima. What always holds: the tokens of every row, up to
 * the one before its last trained label, are those of the segments on the way from the root to its own, and every row
 * keeps one token at least for itself. */
#include "lifecycle/train/pack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"

size_t packer_max_segment(size_t batch_rows)
{
    return 2 * batch_rows; /* a tree with so many leaves */
}

size_t packer_max_tok(const struct train_rows *rows, size_t batch_rows, size_t budget)
{
    size_t all = batch_rows < rows->n_row ? batch_rows : rows->n_row, total, longest = train_rows_longest_unit(rows);
    if (!mul_size(all, rows->longest, &total) || total > budget) total = budget;
    return total > longest ? total : longest;
}

void packer_deinit(struct packer *p)
{
    mem_free(p->order);
    mem_free(p->ids);
    mem_free(p->target_row);
    mem_free(p->target);
    mem_free(p->weight);
    mem_free(p->mass);
    mem_free(p->of_row);
    mem_free(p->segment);
    *p = (struct packer){0};
}

/* A position brings one target, but for the last of a shared segment, which brings one for every branch; a tree with
 * n leaves has less than 2 n branches. */
int packer_init(struct packer *p, const struct train_rows *rows, size_t n_example, size_t budget, bool share,
                struct err *e)
{
    size_t batch_rows;
    *p = (struct packer){.rows = rows, .share = share, .budget = budget};
    if (!mul_size(n_example, rows->unit, &batch_rows) || batch_rows > rows->n_row) batch_rows = rows->n_row;
    p->cap_row = batch_rows;
    p->cap_id = packer_max_tok(rows, batch_rows, budget);
    p->cap_segment = packer_max_segment(batch_rows);
    p->cap_target = p->cap_id + 2 * batch_rows;
    p->order = mem_try_array(batch_rows, sizeof(*p->order));
    p->ids = mem_try_array(p->cap_id, sizeof(*p->ids));
    p->target_row = mem_try_array(p->cap_target, sizeof(*p->target_row));
    p->target = mem_try_array(p->cap_target, sizeof(*p->target));
    p->weight = mem_try_array(p->cap_target, sizeof(*p->weight));
    p->mass = mem_try_array(p->cap_target, sizeof(*p->mass));
    p->of_row = mem_try_array(p->cap_target, sizeof(*p->of_row));
    p->segment = mem_try_array(p->cap_segment, sizeof(*p->segment));
    if (p->order != NULL && p->ids != NULL && p->target_row != NULL && p->target != NULL && p->weight != NULL &&
        p->mass != NULL && p->of_row != NULL && p->segment != NULL)
        return 0;
    packer_deinit(p);
    return err_set(e, ERR_NOMEM, NULL, "cannot lay out micro-batches of %zu rows: out of memory", batch_rows);
}

/* --- order and common prefixes --- */

static int compare_rows(const void *a, const void *b, void *arg)
{
    const struct train_rows *r = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    size_t nx = r->n_input[x], ny = r->n_input[y], n = nx < ny ? nx : ny;
    const int32_t *ix = r->ids + r->start[x], *iy = r->ids + r->start[y];
    const int32_t *lx = r->labels + r->start[x], *ly = r->labels + r->start[y];
    for (size_t i = 0; i < n; i++) {
        if (ix[i] != iy[i]) return ix[i] < iy[i] ? -1 : 1;
        if (lx[i] != ly[i]) return lx[i] < ly[i] ? -1 : 1;
    }
    if (nx != ny) return nx < ny ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Common prefix, in ids and labels, of the rows at i - 1 and i of the order, one token of each left out. */
static size_t common_prefix(const struct packer *p, size_t i)
{
    const struct train_rows *r = p->rows;
    uint32_t x = p->order[i - 1], y = p->order[i];
    size_t nx = r->n_input[x], ny = r->n_input[y], n = (nx < ny ? nx : ny) - 1, k = 0;
    const int32_t *ix = r->ids + r->start[x], *iy = r->ids + r->start[y];
    const int32_t *lx = r->labels + r->start[x], *ly = r->labels + r->start[y];
    while (k < n && ix[k] == iy[k] && lx[k] == ly[k] && !(p->own && lx[k + 1] != LABEL_NONE)) k++;
    return k;
}

/* Examples are sorted by their first rows. Numbers of examples may stand where those of their rows will: the last one
 * is spread out first. */
void packer_begin(struct packer *p, const uint32_t *example, size_t n)
{
    size_t unit = p->rows->unit;
    assert(n * unit <= p->cap_row);
    memmove(p->order, example, n * sizeof(*example));
    for (size_t i = n; i-- > 0;) {
        uint32_t first = (uint32_t)(p->order[i] * unit);
        for (size_t k = 0; k < unit; k++) p->order[i * unit + k] = first + (uint32_t)k;
    }
    if (p->share) {
        struct train_rows rows = *p->rows;
        qsort_r(p->order, n, unit * sizeof(*p->order), compare_rows, &rows);
    }
    p->n = n * unit;
    p->next = 0;
}

/* --- the tree --- */

static void add_target(struct packer *p, size_t at, int32_t label, uint32_t row, size_t first)
{
    for (size_t i = first; i < p->n_target; i++) {
        if (p->target[i] != label) continue;
        p->mass[i] += p->rows->weight[row];
        return;
    }
    assert(p->n_target < p->cap_target);
    p->target_row[p->n_target] = (int32_t)at;
    p->target[p->n_target] = label;
    p->of_row[p->n_target] = row;
    p->mass[p->n_target++] = p->rows->weight[row];
}

/* Tokens [from, to) that rows [lo, hi) of the order have in common, as one segment; returns its number. */
static int add_segment(struct packer *p, size_t lo, size_t hi, size_t from, size_t to, int parent)
{
    const struct train_rows *r = p->rows;
    size_t at = p->n_id;
    assert(p->n_segment < p->cap_segment && at + (to - from) <= p->cap_id);
    memcpy(p->ids + at, r->ids + r->start[p->order[lo]] + from, (to - from) * sizeof(*p->ids));
    p->n_id += to - from;
    p->segment[p->n_segment] = (struct tape_segment){.n_tok = (int)(to - from), .parent = parent};
    for (size_t i = from; i < to; i++, at++) {
        size_t first = p->n_target;
        for (size_t k = lo; k < hi; k++) {
            uint32_t row = p->order[k];
            int32_t label = r->labels[r->start[row] + i + 1];
            if (label != LABEL_NONE) add_target(p, at, label, row, first);
        }
    }
    return (int)p->n_segment++;
}

static void build(struct packer *p, size_t lo, size_t hi, size_t depth, int parent)
{
    if (hi - lo == 1 || !p->share) {
        for (size_t k = lo; k < hi; k++) add_segment(p, k, k + 1, depth, p->rows->n_input[p->order[k]], parent);
        return;
    }
    size_t least = SIZE_MAX;
    for (size_t k = lo + 1; k < hi; k++) {
        size_t n = common_prefix(p, k);
        if (n < least) least = n;
    }
    if (least >= depth + PREFIX_MIN) {
        parent = add_segment(p, lo, hi, depth, least, parent);
        depth = least;
    }
    size_t from = lo;
    for (size_t k = lo + 1; k <= hi; k++) {
        if (k < hi && common_prefix(p, k) > least) continue;
        build(p, from, k, depth, parent);
        from = k;
    }
}

/* Tokens of build(lo, hi, depth) without laying them out. */
static size_t measure(const struct packer *p, size_t lo, size_t hi, size_t depth)
{
    size_t n_tok = 0, least = SIZE_MAX, from = lo;
    if (hi - lo == 1 || !p->share) {
        for (size_t k = lo; k < hi; k++) n_tok += p->rows->n_input[p->order[k]] - depth;
        return n_tok;
    }
    for (size_t k = lo + 1; k < hi; k++) {
        size_t n = common_prefix(p, k);
        if (n < least) least = n;
    }
    if (least >= depth + PREFIX_MIN) {
        n_tok += least - depth;
        depth = least;
    }
    for (size_t k = lo + 1; k <= hi; k++) {
        if (k < hi && common_prefix(p, k) > least) continue;
        n_tok += measure(p, from, k, depth);
        from = k;
    }
    return n_tok;
}

/* --- parts --- */

/* Rows of the next part: all that are left, or an equal share of their examples that keeps to the budget. */
static size_t part_rows(const struct packer *p)
{
    size_t unit = p->rows->unit, n = (p->n - p->next) / unit, n_tok;
    while (n > 1 && (n_tok = measure(p, p->next, p->next + n * unit, 0)) > p->budget) {
        size_t parts = (n_tok + p->budget - 1) / p->budget, share = (n + parts - 1) / parts;
        n = share < n ? share : n - 1;
    }
    return n * unit;
}

bool packer_next(struct packer *p, double denominator)
{
    if (p->next == p->n) return false;
    size_t n = part_rows(p);
    p->n_id = p->n_segment = p->n_target = 0;
    p->part = p->next;
    build(p, p->next, p->next + n, 0, -1);
    p->next += n;
    for (size_t i = 0; i < p->n_target; i++) p->weight[i] = (float)(p->mass[i] / denominator);
    p->batch = (struct tape_batch){.ids = p->ids,
                                   .n_tok = (int)p->n_id,
                                   .segment = p->segment,
                                   .n_segment = (int)p->n_segment,
                                   .row = p->target_row,
                                   .target = p->target,
                                   .weight = p->weight,
                                   .n_target = (int)p->n_target};
    return true;
}
