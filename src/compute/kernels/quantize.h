/* Quantizers that search: blocks whose weighted squared error is as small as a search of some hundred candidates finds,
 * where struct quant's quantize rounds as the format's reference does (Q4_0 .. Q8_0).
 *
 * The error is sum w[i] * (x[i] - x'[i])^2; w is how much input i of the matrix matters, as an importance matrix has it
 * (mean square of the activations), or all ones. Same bits on every instruction set. */
#ifndef KERNELS_QUANTIZE_H
#define KERNELS_QUANTIZE_H

#include <stddef.h>

#include "compute/kernels/kern.h"

/* n values, a multiple of the type's block_len. weight [n] or NULL: all equal. Weights that are negative or not finite
 * count as zero; 1 % of their mean is added to each, so that inputs that were never seen keep their values roughly.
 * Values that are not finite count as zero. */
typedef void (*quantize_fn)(void *blocks, const float *x, const float *weight, size_t n);

/* The searching quantizer of a type at a level; NULL for types that have none (floats, read-only types). */
quantize_fn quantize_find(enum kern_isa isa, enum quant_type type);

#endif
