/* Rows in memory. Owns their arrays. What always holds: a row has a label behind its first token that is trained, and
 * n_input tokens lead up to its last one. How rows come in from files is in row_door.c. */
#include "lifecycle/train/rows.h"

#include <string.h>

#include "ground/base/mem.h"

static const size_t max_rows = UINT32_MAX - 1;

void train_rows_deinit(struct train_rows *r)
{
    mem_free(r->ids);
    mem_free(r->labels);
    mem_free(r->start);
    mem_free(r->n_input);
    mem_free(r->line);
    mem_free(r->desirable);
    mem_free(r->weight);
    json_decref(r->columns);
    buf_deinit(&r->refused);
    *r = (struct train_rows){0};
}

static int grow(void *pp, size_t n, size_t size)
{
    void **p = pp;
    size_t bytes;
    if (!mul_size(n, size, &bytes)) return -ERR_NOMEM;
    void *q = mem_try_realloc(*p, bytes);
    if (q == NULL) return -ERR_NOMEM;
    *p = q;
    return 0;
}

static int reserve(struct train_rows *r, size_t n_id)
{
    if (r->n_row + 2 > r->cap_row) {
        size_t cap = r->cap_row == 0 ? 256 : 2 * r->cap_row;
        if (grow(&r->start, cap, sizeof(*r->start)) != 0 || grow(&r->line, cap, sizeof(*r->line)) != 0 ||
            grow(&r->n_input, cap, sizeof(*r->n_input)) != 0 || grow(&r->desirable, cap, sizeof(*r->desirable)) != 0 ||
            grow(&r->weight, cap, sizeof(*r->weight)) != 0)
            return -ERR_NOMEM;
        r->cap_row = cap;
    }
    if (r->n_id + n_id > r->cap_id) {
        size_t cap = 2 * (r->n_id + n_id);
        if (grow(&r->ids, cap, sizeof(*r->ids)) != 0 || grow(&r->labels, cap, sizeof(*r->labels)) != 0)
            return -ERR_NOMEM;
        r->cap_id = cap;
    }
    return 0;
}

int train_rows_add(struct train_rows *r, const int32_t *ids, const int32_t *labels, size_t n, uint32_t line)
{
    if (r->n_row >= max_rows || reserve(r, n) != 0) return -ERR_NOMEM;
    memcpy(r->ids + r->n_id, ids, n * sizeof(*ids));
    memcpy(r->labels + r->n_id, labels, n * sizeof(*labels));
    r->labels[r->n_id] = LABEL_NONE;
    uint32_t last = 1;
    for (size_t i = 1; i < n; i++) {
        if (labels[i] == LABEL_NONE) continue;
        r->n_target++;
        last = (uint32_t)i;
    }
    r->n_input[r->n_row] = last;
    r->start[r->n_row] = r->n_id;
    r->desirable[r->n_row] = true;
    r->weight[r->n_row] = 1;
    r->line[r->n_row++] = line;
    r->n_id += n;
    r->start[r->n_row] = r->n_id;
    if (n > r->longest) r->longest = n;
    return 0;
}

size_t train_row_targets(const struct train_rows *r, size_t row)
{
    size_t n = 0;
    for (size_t i = r->start[row] + 1; i < r->start[row + 1]; i++) n += r->labels[i] != LABEL_NONE;
    return n;
}

double train_row_target_weight(const struct train_rows *r, size_t row)
{
    return r->weight[row] * (double)train_row_targets(r, row);
}

size_t train_row_given(const struct train_rows *r, size_t row)
{
    size_t i = r->start[row] + 1;
    while (i < r->start[row + 1] && r->labels[i] == LABEL_NONE) i++;
    return i - r->start[row];
}

size_t train_rows_longest_unit(const struct train_rows *r)
{
    size_t longest = 0;
    for (size_t i = 0; i < r->n_row; i += r->unit) {
        size_t n = r->start[i + r->unit] - r->start[i];
        if (n > longest) longest = n;
    }
    return longest;
}

json_t *train_rows_verdicts(const struct train_rows *r)
{
    json_t *counts = json_object();
    for (int v = 0; v < ROW_N_VERDICT; v++) {
        json_t *n = json_integer((json_int_t)r->n_verdict[v]);
        if (json_object_set_new(counts, row_verdict_name((enum row_verdict)v), n) == 0) continue;
        json_decref(counts);
        return NULL;
    }
    return counts;
}
