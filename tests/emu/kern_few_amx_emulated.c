/* kern_few_amx.c on emulated tiles, under another name. */
#include "amx_emulated.h"
#define kern_amx_product_few kern_amx_product_few_emulated
#include "../../src/compute/kernels/kern_few_amx.c"
