/* Conversions for AVX2: the shared body convert_vec.h on this file's vectors. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/convert_vec.h"

void kern_convert_fill_avx2(struct kern *k)
{
    convert_fill(k);
}
#endif
