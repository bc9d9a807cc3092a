/* Places and results of merge and export. */
#include "doors/cli/written.h"

#include <stdio.h>
#include <sys/stat.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

int written_check_place(const char *out, struct err *e)
{
    return file_exists(out) ? err_set(e, ERR_CONFLICT, out, "cannot write \"%s\": something is there", out) : 0;
}

const struct mix *written_mix(const struct model_file *f)
{
    const struct tensor_info *t = model_file_find(f, "token_embd.weight");
    const char *type = t != NULL ? tensor_type_info(t->type)->name : "F16";
    return mix_find(str_eq(type, "F32") || str_eq(type, "BF16") ? type : "F16");
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static uint64_t size_of_dir(const char *path)
{
    char **name;
    size_t n;
    uint64_t sum = 0;
    struct err ignored; /* a size is not worth a failure */
    if (file_list_dir(path, &name, &n, &ignored) != 0) return 0;
    for (size_t i = 0; i < n; i++) {
        char *file = path_join(path, name[i]);
        sum += size_of(file);
        mem_free(file);
        mem_free(name[i]);
    }
    mem_free(name);
    return sum;
}

void written_print(const struct cli *c, const char *out)
{
    char size[32];
    uint64_t bytes = file_is_dir(out) ? size_of_dir(out) : size_of(out);
    if (c->json) {
        cli_print_json(json_pack("{s:s,s:I}", "path", out, "bytes", (json_int_t)bytes));
        return;
    }
    str_format_bytes(bytes, size, sizeof(size));
    printf("%s: %s\n", out, size);
}
