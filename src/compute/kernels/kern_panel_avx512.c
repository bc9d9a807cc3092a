/* Float readers of packed weights for AVX-512: the shared body panel_vec.h on this file's vectors. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/panel_vec.h"

void kern_panel_fill_avx512(struct kern *k)
{
    panel_fill(k);
}
#endif
