/* From which level of instruction sets a test tries them all. */
#ifndef TESTS_LEVELS_H
#define TESTS_LEVELS_H

#include "compute/kernels/kern.h"

/* Sanitized, the best level stands for all of them: the code around the kernels is the same, and ten times as slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FIRST_LEVEL ((int)kern_isa_detect())
#else
#define FIRST_LEVEL ((int)KERN_SCALAR)
#endif

#endif
