/* Methods of training beside SFT: what they are told, and their losses with derivatives, as functions of the
 * log-probabilities that a model gives to answers. No model and no memory here. */
#ifndef TRAIN_METHOD_H
#define TRAIN_METHOD_H

#include <stdbool.h>

#include "ground/base/err.h"
#include "ground/param/param.h"

enum method { METHOD_SFT, METHOD_DPO, METHOD_ORPO, METHOD_KTO };

struct method_config {
    enum method kind;
    bool ipo;                                    /* DPO with the loss of IPO */
    double beta;                                 /* DPO, KTO */
    double lambda;                               /* ORPO */
    double desirable_weight, undesirable_weight; /* KTO */
};
/* -ERR_USAGE names a field that the method does not have, and adapter full where a reference is needed. */
int method_config_read(struct method_config *c, const struct param_set *s, struct err *e) MUST_CHECK;

/* The method compares with the model without adapter. */
bool method_has_reference(const struct method_config *c);
/* Log-probabilities are means over the tokens of an answer; else their sums. */
bool method_uses_mean(const struct method_config *c);
/* How the loss of an optimizer step is divided, in words. */
const char *method_denominator(const struct method_config *c);

/* What is known of one example. of: 0 the chosen answer (or the one that is judged), 1 the rejected. */
struct method_input {
    double logp[2], reference[2]; /* of the answer under the policy, and with the adapter off */
    bool desirable;               /* KTO */
    double kl;                    /* KTO: estimate of the divergence from the reference, at least 0 */
};
/* Its loss, without the part that is an SFT loss (ORPO); the derivative by logp; the implicit rewards. */
struct method_output {
    double loss, slope[2], reward[2];
};
/* DPO: Rafailov et al. 2023, eq. 7. IPO: Azar et al. 2023, eq. 17. ORPO: Hong et al. 2024, eq. 7. KTO: Ethayarajh et
 * al. 2024, eq. 8. */
void method_loss(const struct method_config *c, const struct method_input *in, struct method_output *out);

#endif
