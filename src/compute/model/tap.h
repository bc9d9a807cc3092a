/* A tap on the forward pass: whoever sets one sees the inputs of every matrix product of a step, row by row. What an
 * importance matrix is made of; a step without one pays a comparison an operation. */
#ifndef MODEL_TAP_H
#define MODEL_TAP_H

#include <stddef.h>

#include "compute/model/adapter.h"

struct model_tap {
    /* x[n_in] in host memory, valid during the call: what the matrix at a site of a layer is multiplied with. Sites
     * that share an input are told once, by the first of them: SITE_Q (q, k, v), SITE_O, SITE_GATE (gate, up),
     * SITE_DOWN. layer MODEL_TAP_HEAD: the input of the output matrix (site SITE_COUNT). */
    void (*fn)(void *arg, int layer, enum adapter_site site, const float *x, size_t n_in);
    void *arg;
};
enum { MODEL_TAP_HEAD = -1 };

#endif
