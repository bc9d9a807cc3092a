/* Weights into a Hugging Face directory: values as the model computes with them, in the types that the directory had.
 */
#include "compute/formats/hf_write.h"
#include "compute/model/weights_int.h"

#include "ground/base/mem.h"

/* n values of a tensor in a type that holds them: they were rounded to it already. */
static int put_values(void *arg, const char *name, enum tensor_type type, void *out, size_t n, struct err *e)
{
    const struct weights *w = arg;
    int q = quant_find(tensor_type_info(type)->name);
    if (type == TENSOR_F32) return weights_read(w, name, out, n, e);
    if (q < 0) return -ERR_NOT_FOUND;
    float *value = mem_try_array(n, sizeof(float));
    int rc = value != NULL ? weights_read(w, name, value, n, e)
                           : err_set(e, ERR_NOMEM, name, "cannot write tensor \"%s\": out of memory", name);
    if (rc == 0) quants[q]->quantize(out, value, n);
    mem_free(value);
    return rc;
}

int weights_save(const struct weights *w, const struct model_file *f, const char *dir, struct err *e)
{
    struct weights mine = *w;
    return hf_write(f, dir, put_values, &mine, e);
}
