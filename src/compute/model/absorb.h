/* Training an adapter that will be merged into a quantized file: the model computes with the codes that the merged file
 * will hold. After every step the codes of the base move by scale * B A, to the nearest that the base's own scales
 * allow, and A and B take the gradients that the matrix would have (straight-through, Bengio et al. 2013). So what is
 * evaluated while it trains is, bit for bit, what `merge` writes. */
#ifndef MODEL_ABSORB_H
#define MODEL_ABSORB_H

#include "compute/formats/model_file.h"
#include "compute/model/adapter.h"

struct absorber;
/* Reads the rows of the matrices that the adapter sits on, which are kept beside the packed ones. From now on m
 * computes with the adapter in its codes, and a adds nothing of its own. Both must outlive it; m stays as it is when it
 * is freed. -ERR_UNSUPPORTED names a matrix whose type has no codes to move, an adapter with magnitudes, a base that is
 * no GGUF or is packed already. */
int absorber_new(struct absorber **out, struct model *m, const struct model_file *f, struct adapter *a,
                 struct err *e) MUST_CHECK;
void absorber_free(struct absorber *x);
/* After the adapter's parameters changed (adapter_update first). */
void absorber_update(struct absorber *x);

/* Whether the adapter sits on a tensor of the file, whose codes then move. -ERR_UNSUPPORTED as above. */
int absorb_check(const struct model_file *f, const struct model *m, const struct adapter *a, struct err *e) MUST_CHECK;
/* Rows [row0, row0 + n_row) of a tensor as they stand in the file, moved in place; false: the adapter does not sit
 * there. */
bool absorb_rows(const struct model *m, const struct adapter *a, const struct tensor_info *t, void *rows, size_t row0,
                 size_t n_row);

#endif
