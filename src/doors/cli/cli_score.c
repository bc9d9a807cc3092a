/* Perplexity and KL divergence over texts. Owns the logits of the reference while one text is compared; sums are
 * double.
 */
#include "doors/cli/cli_score.h"

#include <math.h>
#include <string.h>

#include "ground/base/mem.h"

/* log(sum(exp(x))) in double: max + log of the sum of exp(x - max). */
static double log_sum_exp(const float *x, size_t n)
{
    float best = x[0];
    double sum = 0;
    for (size_t i = 1; i < n; i++) best = x[i] > best ? x[i] : best;
    for (size_t i = 0; i < n; i++) sum += (double)expf(x[i] - best);
    return (double)best + log(sum);
}

static size_t most_likely(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) best = x[i] > x[best] ? i : best;
    return best;
}

/* KL(p || q) of two rows of logits, p the reference. */
static double divergence(const float *p, double p_lse, const float *q, double q_lse, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double log_p = (double)p[i] - p_lse;
        sum += exp(log_p) * (log_p - ((double)q[i] - q_lse));
    }
    return sum > 0 ? sum : 0;
}

static int keep_rows(void *arg, int first_pos, int n_row, const float *logits, struct err *e)
{
    struct cli_score *m = arg;
    (void)e;
    memcpy(m->kept + (size_t)first_pos * m->n_vocab, logits, (size_t)n_row * m->n_vocab * sizeof(float));
    return 0;
}

static int score_rows(void *arg, int first_pos, int n_row, const float *logits, struct err *e)
{
    struct cli_score *m = arg;
    for (int i = 0; i < n_row; i++) {
        size_t pos = (size_t)(first_pos + i);
        const float *row = logits + (size_t)i * m->n_vocab;
        if (pos + 1 == m->n_id) break;
        double lse = log_sum_exp(row, m->n_vocab);
        m->nll += lse - (double)row[m->ids[pos + 1]];
        m->n_predicted++;
        if (!m->kept) continue;
        const float *other = m->kept + pos * m->n_vocab;
        double kld = divergence(other, log_sum_exp(other, m->n_vocab), row, lse, m->n_vocab);
        m->kld += kld;
        m->max_kld = kld > m->max_kld ? kld : m->max_kld;
        m->n_same_top += most_likely(other, m->n_vocab) == most_likely(row, m->n_vocab);
    }
    return cli_interrupted()
               ? err_set(e, ERR_INTERRUPTED, NULL, "interrupted after %llu tokens", (unsigned long long)m->n_predicted)
               : 0;
}

int cli_score_text(struct cli_score *m, const struct token_list *ids, struct err *e)
{
    m->ids = ids->ids;
    m->n_id = ids->n;
    if (ids->n < 2) return 0; /* nothing to predict */
    int rc = 0;
    if (m->other) {
        size_t n_value;
        m->kept = mul_size(ids->n, m->n_vocab, &n_value) ? mem_try_array(n_value, sizeof(float)) : NULL;
        if (!m->kept)
            return err_set(e, ERR_NOMEM, NULL, "cannot keep %zu rows of logits for the comparison: out of memory",
                           ids->n);
        rc = engine_logits(m->other->engine, ids->ids, ids->n, -1, keep_rows, m, e);
    }
    if (!rc) rc = engine_logits(m->x->engine, ids->ids, ids->n, cli_engine_adapter(m->x), score_rows, m, e);
    mem_free(m->kept);
    m->kept = NULL;
    return rc;
}
