/* What comparing steps work with: memory for scores, and for KTO the rows on which the divergence is estimated. */
#include <string.h>

#include "ground/base/mem.h"
#include "lifecycle/train/preference.h"

enum { OTHER_SEARCH = 64 };

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot tune: no memory for the scores of the answers");
}

/* --- KTO: prompts with the answers of other rows --- */

static bool same_prompt(const struct train_rows *r, size_t a, size_t b)
{
    size_t n = train_row_given(r, a);
    return n == train_row_given(r, b) && memcmp(r->ids + r->start[a], r->ids + r->start[b], n * sizeof(*r->ids)) == 0;
}

/* The next row with another prompt, else the next row. */
static size_t other_row(const struct train_rows *r, size_t row)
{
    for (size_t k = 1; k < r->n_row && k <= OTHER_SEARCH; k++)
        if (!same_prompt(r, row, (row + k) % r->n_row)) return (row + k) % r->n_row;
    return (row + 1) % r->n_row;
}

/* Prompt of row a, answer of row b, cut at `most` tokens. */
static int add_other(struct train_rows *out, const struct train_rows *r, size_t a, size_t b, size_t most,
                     struct token_row *t)
{
    size_t n_prompt = train_row_given(r, a), from = train_row_given(r, b), n_answer = train_row_len(r, b) - from;
    if (n_prompt + n_answer > most) n_answer = most - n_prompt;
    if (token_row_reserve(t, n_prompt + n_answer) != 0) return -ERR_NOMEM;
    for (size_t i = 0; i < n_prompt; i++) {
        t->ids[i] = r->ids[r->start[a] + i];
        t->labels[i] = LABEL_NONE;
    }
    memcpy(t->ids + n_prompt, r->ids + r->start[b] + from, n_answer * sizeof(*t->ids));
    memcpy(t->labels + n_prompt, r->labels + r->start[b] + from, n_answer * sizeof(*t->labels));
    return train_rows_add(out, t->ids, t->labels, n_prompt + n_answer, r->line[a]);
}

static int make_others(struct train_rows *out, const struct train_rows *r, const char *path, struct err *e)
{
    struct token_row t = {0};
    *out = (struct train_rows){.unit = 1};
    if (r->n_row < 2)
        return err_set(
            e, ERR_INPUT, path,
            "cannot tune with \"%s\" and method kto: it has 1 row, and the divergence is estimated on answers to "
            "other rows; 2 are needed",
            path);
    int rc = 0;
    for (size_t i = 0; i < r->n_row && rc == 0; i++) rc = add_other(out, r, i, other_row(r, i), r->longest, &t);
    token_row_deinit(&t);
    return rc == 0 ? 0 : no_memory(e);
}

/* --- memory --- */

static int make_scored(struct scored *s, const struct train_rows *rows, struct packer *pack, bool reference,
                       struct err *e)
{
    *s = (struct scored){.rows = rows, .pack = pack};
    pack->own = true;
    s->logp = mem_try_array(rows->n_row, sizeof(*s->logp));
    s->slope = mem_try_array(rows->n_row, sizeof(*s->slope));
    if (reference) s->reference = mem_try_array(rows->n_row, sizeof(*s->reference));
    return s->logp == NULL || s->slope == NULL || (reference && s->reference == NULL) ? no_memory(e) : 0;
}

static int make_other(struct trainer *t, struct train_rows *other, struct packer *pack, struct scored *s,
                      const struct train_rows *rows, const char *path, struct err *e)
{
    int rc = make_others(other, rows, path, e);
    if (rc == 0)
        rc = packer_init(pack, other, (size_t)t->cfg->batch_size, (size_t)t->cfg->token_budget, t->cfg->packing, e);
    return rc == 0 ? make_scored(s, other, pack, true, e) : rc;
}

int preference_setup(struct trainer *t, struct err *e)
{
    const struct train_config *c = t->cfg;
    struct preference *p = mem_try_alloc(sizeof(*p));
    bool reference = method_has_reference(&c->method), has_eval = c->eval_data != NULL;
    t->preference = p;
    if (p == NULL) return no_memory(e);
    int rc = make_scored(&p->train, &t->rows, &t->pack, reference, e);
    if (rc == 0 && has_eval) rc = make_scored(&p->eval, &t->eval_rows, &t->eval_pack, reference, e);
    if (rc != 0 || c->method.kind != METHOD_KTO) return rc;
    rc = make_other(t, &p->other_rows, &p->other_pack, &p->other, &t->rows, c->data, e);
    if (rc == 0 && has_eval)
        rc = make_other(t, &p->other_eval_rows, &p->other_eval_pack, &p->other_eval, &t->eval_rows, c->eval_data, e);
    return rc;
}

static void free_scored(struct scored *s)
{
    mem_free(s->reference);
    mem_free(s->logp);
    mem_free(s->slope);
}

void preference_free(struct preference *p)
{
    if (p == NULL) return;
    free_scored(&p->train);
    free_scored(&p->eval);
    free_scored(&p->other);
    free_scored(&p->other_eval);
    packer_deinit(&p->other_pack);
    packer_deinit(&p->other_eval_pack);
    train_rows_deinit(&p->other_rows);
    train_rows_deinit(&p->other_eval_rows);
    mem_free(p);
}

void preference_extent(const struct trainer *t, size_t *n_tok, size_t *n_segment, size_t *n_target)
{
    const struct preference *p = t->preference;
    const struct packer *const pack[] = {&t->pack, &t->eval_pack, &p->other_pack, &p->other_eval_pack};
    *n_tok = *n_segment = *n_target = 0;
    for (size_t i = 0; i < N_ELEM(pack); i++) {
        if (pack[i]->cap_id > *n_tok) *n_tok = pack[i]->cap_id;
        if (pack[i]->cap_segment > *n_segment) *n_segment = pack[i]->cap_segment;
        if (pack[i]->cap_target > *n_target) *n_target = pack[i]->cap_target;
    }
}
