/* What commands that write a model or an adapter have in common: the place, and the result. */
#ifndef CLI_WRITTEN_H
#define CLI_WRITTEN_H

#include "compute/convert/mix.h"
#include "doors/cli/cli.h"

/* -ERR_CONFLICT when something is at out. */
int written_check_place(const char *out, struct err *e) MUST_CHECK;
/* The type that matrices of a Hugging Face directory have, as a mix: F32, F16 or BF16; F16 where they are quantized. */
const struct mix *written_mix(const struct model_file *f);
/* Print path and bytes of the file, or of the files in the directory. */
void written_print(const struct cli *c, const char *out);

#endif
