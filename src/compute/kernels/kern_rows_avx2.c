/* Row operations of the forward pass for AVX2: the shared body rows_vec.h on this file's vectors. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/rows_vec.h"

void kern_rows_fill_avx2(struct kern *k)
{
    rows_fill(k);
}
#endif
