/* Gradients and the optimizer for AVX-512: the shared body train_vec.h on this file's vectors. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/train_vec.h"

void kern_train_fill_avx512(struct kern *k)
{
    train_fill(k);
}
#endif
