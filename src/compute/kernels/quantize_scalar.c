/* The searching quantizers in plain C: the definition, and what runs where no vectors are. */
#include "compute/kernels/vec_scalar.h"

#include "compute/kernels/quantize_vec.h"

void quantize_fill_scalar(quantize_fn table[QUANT_COUNT])
{
    quantize_fill(table);
}
