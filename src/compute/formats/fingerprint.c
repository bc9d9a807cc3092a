/* What tells a model from another without reading all of it: architecture, names, types and shapes of its tensors, and
 * a piece of the beginning and of the middle of each. The same weights in other types are another model. */
#include <string.h>

#include "compute/formats/model_file.h"
#include "ground/sys/digest.h"

enum { PIECE_BYTES = 4096 };

static int add_piece(struct digest *d, const struct model_file *f, const struct tensor_info *t, uint64_t offset,
                     struct err *e)
{
    uint8_t piece[PIECE_BYTES];
    uint64_t left = t->n_bytes - offset;
    size_t n = left < sizeof(piece) ? (size_t)left : sizeof(piece);
    /* whole blocks: rows that are made when they are read cannot be cut elsewhere */
    n -= n % tensor_type_info(t->type)->block_bytes;
    int rc = model_file_read(f, t, piece, offset, n, e);
    if (rc == 0) digest_add(d, piece, n);
    return rc;
}

static int add_tensor(struct digest *d, const struct model_file *f, const struct tensor_info *t, struct err *e)
{
    uint64_t block = tensor_type_info(t->type)->block_bytes, row = t->shape[0] > 0 ? t->n_bytes / t->shape[0] : 0;
    digest_add(d, t->name, strlen(t->name) + 1);
    digest_add(d, tensor_type_info(t->type)->name, strlen(tensor_type_info(t->type)->name) + 1);
    digest_add(d, t->shape, sizeof(t->shape));
    uint64_t middle = row >= block ? t->shape[0] / 2 * row : 0;
    int rc = add_piece(d, f, t, 0, e);
    return rc == 0 ? add_piece(d, f, t, middle, e) : rc;
}

int model_file_fingerprint(const struct model_file *f, char hex[MODEL_FINGERPRINT_SIZE], struct err *e)
{
    struct digest d;
    int rc = digest_begin(&d, e);
    if (rc != 0) return rc;
    for (size_t i = 0; rc == 0 && i < model_file_n_tensor(f); i++) rc = add_tensor(&d, f, model_file_tensor(f, i), e);
    digest_end(&d, rc == 0 ? hex : NULL);
    return rc;
}
