/* What the weights of a file take in memory, before they are read: compared with what is free, since a process that
 * takes more than there is would be killed in the middle of its work. Says what would fit instead. */
#include <stdio.h>

#include "compute/model/model_int.h"
#include "ground/base/str.h"

enum { READING_BYTES = 16 << 20 }; /* pieces of the file while they are packed, tables of names */

/* Bits a weight of the types that a model may be quantized to, finest first. */
static const struct {
    const char *name;
    double bits;
} steps[] = {{"Q8_0", 8.5}, {"Q6_K", 6.5625}, {"Q5_K", 5.5}, {"Q4_0", 4.5}, {"Q3_K", 3.4375}, {"Q2_K", 2.625}};

/* Rows are packed in groups of 16; vectors become float32. */
static uint64_t tensor_bytes(const struct tensor_info *t)
{
    if (t->n_dim < 2) {
        return t->n_dim == 1 ? t->shape[0] * sizeof(float) : sizeof(float);
    }
    uint64_t n_out = t->shape[t->n_dim - 2], padded = (n_out + KERN_ROWS - 1) / KERN_ROWS * KERN_ROWS;
    return n_out ? t->n_bytes / n_out * padded : 0;
}

/* The same after quantizing what is larger than that. */
static uint64_t tensor_bytes_as(const struct tensor_info *t, double bits)
{
    const struct tensor_type_info *type = tensor_type_info(t->type);
    uint64_t now = tensor_bytes(t);
    if (t->n_dim < 2 || t->shape[t->n_dim - 1] % KERN_K != 0) {
        return now;
    }
    double n_value = (double)now / (double)type->block_bytes * type->block_len;
    uint64_t then = (uint64_t)(n_value * bits / 8);
    return then < now ? then : now;
}

static uint64_t file_bytes_as(const struct model_file *f, double bits)
{
    uint64_t n = READING_BYTES;
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        n += tensor_bytes_as(model_file_tensor(f, i), bits);
    }
    return n;
}

uint64_t model_plan_bytes(const struct model_file *f)
{
    return file_bytes_as(f, 64); /* nothing becomes smaller */
}

/* The finest step that fits, or the last one. */
static void advise(const struct model_file *f, uint64_t need, uint64_t free_bytes, char *out, size_t size)
{
    size_t i = 0;
    while (i + 1 < N_ELEM(steps) &&
           (file_bytes_as(f, steps[i].bits) >= need || file_bytes_as(f, steps[i].bits) > free_bytes)) {
        i++;
    }
    char text[32];
    uint64_t bytes = file_bytes_as(f, steps[i].bits);
    str_format_bytes(bytes, text, sizeof(text));
    snprintf(out, size, "%s%s of this model would need %s; --memory none tries all the same",
             bytes > free_bytes ? "even " : "", steps[i].name, text);
}

int model_check_memory(const struct dev *d, const struct model_file *f, struct err *e)
{
    uint64_t need = model_plan_bytes(f), free_bytes = dev_memory_free(d);
    if (need <= free_bytes) {
        return 0;
    }
    char what[320], advice[160];
    snprintf(what, sizeof(what), "cannot load \"%.290s\"", model_file_path(f));
    advise(f, need, free_bytes, advice, sizeof(advice));
    return dev_memory_lack(d, need, what, advice, e);
}
