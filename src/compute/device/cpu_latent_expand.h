/* Private to the CPU device: keys and values of compressed caches, made for segments of many rows. */
#ifndef DEVICE_CPU_LATENT_EXPAND_H
#define DEVICE_CPU_LATENT_EXPAND_H

#include "compute/device/cpu_attention.h"
#include "compute/device/latent.h"

enum { CPU_EXPAND_TOK = 512 }; /* most rows of an item */

/* Are keys and values made for this segment? heads NULL: never. */
bool cpu_latent_expands(const struct dev *d, const struct dev_latent_heads *heads, const struct dev_segment *s);
/* Worker scratch of cpu_latent_attend. */
size_t cpu_latent_expand_bytes(const struct dev_latent_shape *s);
/* An item of one head and up to CPU_EXPAND_TOK tokens of such a segment. Queries have d_nope values where others have
 * the latent's, out has d_value values where others have the latent's. */
void cpu_latent_attend(const struct attention *p, const struct item *it, int worker);

#endif
