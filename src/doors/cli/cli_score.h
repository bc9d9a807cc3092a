/* How well a model predicts given tokens, alone or beside a second model: what perplexity and the ladder print. */
#ifndef CLI_CLI_SCORE_H
#define CLI_CLI_SCORE_H

#include "doors/cli/cli_engine.h"

struct cli_score {
    struct cli_engine *x, *other; /* started engines; other is the reference, or NULL */
    size_t n_vocab;               /* of both */
    /* results, sums over n_predicted tokens */
    double nll, kld, max_kld;
    uint64_t n_predicted, n_same_top;
    /* the text in hand */
    const int32_t *ids;
    size_t n_id;
    float *kept; /* [n_id][n_vocab] logits of the reference */
};
/* Add one text, a context of its own: -log p of every token but the first, and at the same positions the KL divergence
 * of x from other. -ERR_INTERRUPTED when the user asked to end. */
int cli_score_text(struct cli_score *m, const struct token_list *ids, struct err *e) MUST_CHECK;

#endif
