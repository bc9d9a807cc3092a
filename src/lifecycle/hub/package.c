/* Finding the one model in a package and unpacking it. Owns the list of files while it works. What always holds:
 * nothing is written before it is known what belongs to the model and that it has room. */
#include "lifecycle/hub/package.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/hub/choose.h"
#include "lifecycle/hub/listing.h"
#include "lifecycle/hub/package_int.h"
#include "lifecycle/hub/staging.h"

enum { SUMS_MAX_BYTES = 1 << 20, MAX_PIECES = 10000 };

/* The files that make the model, in order. */
struct chosen {
    const struct packed_file **file;
    size_t n;
    const char *source;
    char *join; /* name of the file that all of them are pieces of; NULL: each is a file */
};

/* --- pieces --- */

static int compare_pieces(const void *a, const void *b)
{
    const struct packed_file *const *x = a, *const *y = b;
    size_t n;
    int i = package_piece(path_base((*x)->name), &n), j = package_piece(path_base((*y)->name), &n);
    return (i > j) - (i < j);
}

static int check_pieces(struct chosen *c, struct err *e)
{
    size_t n_stem;
    qsort(c->file, c->n, sizeof *c->file, compare_pieces);
    int first = package_piece(path_base(c->file[0]->name), &n_stem);
    for (size_t i = 0; i < c->n; i++) {
        int number = package_piece(path_base(c->file[i]->name), &n_stem);
        if (first > 1 || number != first + (int)i)
            return err_set(
                e, ERR_INPUT, c->source,
                "cannot import \"%s\": piece %d of \"%s\" is missing; put all packages into one directory and "
                "import that",
                c->source, first > 1 ? 0 : first + (int)i, c->join);
    }
    return 0;
}

static int choose_pieces(struct chosen *c, const struct package *p, struct err *e)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t n_stem;
        const char *base = path_base(p->file[i].name);
        if (package_piece(base, &n_stem) < 0) continue;
        if (!c->join) c->join = mem_strndup(base, n_stem);
        if (strlen(c->join) != n_stem || memcmp(c->join, base, n_stem) != 0)
            return err_set(e, ERR_INPUT, c->source, "cannot import \"%s\": it has pieces of \"%s\" and of \"%.*s\"",
                           c->source, c->join, (int)n_stem, base);
        if (c->n == MAX_PIECES)
            return err_set(e, ERR_LIMIT, c->source, "cannot import \"%s\": more than %d pieces", c->source,
                           (int)MAX_PIECES);
        c->file[c->n++] = &p->file[i];
    }
    return c->n ? check_pieces(c, e) : 0;
}

/* --- a directory in the package --- */

static bool has_file(const struct package *p, const char *prefix, size_t n_prefix, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strncmp(p->file[i].name, prefix, n_prefix) == 0 && str_eq(p->file[i].name + n_prefix, name)) return true;
    return false;
}

static bool is_weights(const char *name)
{
    return str_ends(name, ".safetensors") || str_ends(name, ".safetensors.index.json");
}

static int choose_dir(struct chosen *c, const struct package *p, struct err *e)
{
    static const char *const config[] = {"config.json", "adapter_config.json"};
    static const char *const weights[] = {"model.safetensors", "model.safetensors.index.json",
                                          "adapter_model.safetensors"};
    const char *dir = NULL;
    size_t n_dir = 0;
    for (size_t i = 0; i < p->n; i++) {
        const char *name = p->file[i].name, *base = path_base(name);
        size_t n = (size_t)(base - name);
        bool is = false;
        for (size_t k = 0; k < N_ELEM(weights) && (str_eq(base, config[0]) || str_eq(base, config[1])); k++)
            is |= has_file(p, name, n, weights[k]);
        if (is && dir && (n != n_dir || memcmp(dir, name, n) != 0))
            return err_set(e, ERR_INPUT, c->source,
                           "cannot import \"%s\": it has several models, in \"%.*s\" and \"%.*s\"", c->source,
                           (int)n_dir, dir, (int)n, name);
        if (is) dir = name;
        if (is) n_dir = n;
    }
    for (size_t i = 0; dir && i < p->n; i++) {
        const char *base = p->file[i].name + n_dir;
        if (strncmp(p->file[i].name, dir, n_dir) != 0) continue;
        if (hub_is_companion(base) || (is_weights(base) && !strchr(base, '/'))) c->file[c->n++] = &p->file[i];
    }
    return 0;
}

/* --- GGUF files --- */

static int choose_gguf(struct chosen *c, const struct package *p, struct err *e)
{
    size_t n_model = 0;
    for (size_t i = 0; i < p->n; i++) {
        const char *base = path_base(p->file[i].name);
        int part;
        size_t n_stem;
        if (!str_ends(base, ".gguf") || strcasestr(base, "mmproj")) continue;
        (void)hub_split_parts(base, &part, &n_stem);
        n_model += part == 1;
        c->file[c->n++] = &p->file[i];
    }
    if (n_model > 1)
        return err_set(e, ERR_INPUT, c->source, "cannot import \"%s\": it has %zu GGUF models, name the file of one",
                       c->source, n_model);
    return 0;
}

static int choose(struct chosen *c, const struct package *p, struct err *e)
{
    int rc = choose_pieces(c, p, e);
    if (rc == 0 && c->n == 0) rc = choose_dir(c, p, e);
    if (rc == 0 && c->n == 0) rc = choose_gguf(c, p, e);
    if (rc == 0 && c->n == 0)
        rc = err_set(
            e, ERR_INPUT, c->source,
            "cannot import \"%s\": a GGUF file, its pieces (.gguf.part00 ...) or config.json with safetensors must be "
            "in it",
            c->source);
    return rc;
}

/* --- unpacking --- */

static int check_room(const struct chosen *c, const char *dir, struct err *e)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->n; i++)
        if (__builtin_add_overflow(sum, c->file[i]->size, &sum)) sum = UINT64_MAX;
    return hub_check_space(dir, sum, c->source, e);
}

/* n files one behind the other into dir/name. */
static int write_file(const struct packed_file *const *file, size_t n, const char *dir, const char *name, struct err *e)
{
    char *path = path_join(dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), rc = 0;
    if (fd < 0) rc = err_set_errno(e, path, "cannot write \"%s\"", path);
    for (size_t i = 0; rc == 0 && i < n; i++) rc = package_copy(file[i], fd, path, e);
    if (rc == 0 && fsync(fd)) rc = err_set_errno(e, path, "cannot write \"%s\" to disk", path);
    if (fd >= 0) close(fd);
    mem_free(path);
    return rc;
}

/* The line "DIGEST  NAME" of a SHA256SUMS; false: there is none. */
static bool find_sum(const char *text, const char *name, char hex[DIGEST_HEX_SIZE])
{
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\r\n");
        const char *at = line + 64;
        if (n > 66 && line[64] == ' ' && (at[1] == ' ' || at[1] == '*') && strlen(name) == n - 66 &&
            memcmp(line + 66, name, n - 66) == 0) {
            char digits[DIGEST_HEX_SIZE];
            memcpy(digits, line, 64);
            digits[64] = '\0';
            return hub_take_sha256(digits, hex);
        }
        line += n + strspn(line + n, "\r\n");
    }
    return false;
}

static int check_joined(const struct package *p, const struct chosen *c, const char *dir, struct err *e)
{
    char want[DIGEST_HEX_SIZE] = "", found[DIGEST_HEX_SIZE];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        struct buf text;
        if (!str_eq(path_base(p->file[i].name), "SHA256SUMS")) continue;
        buf_init(&text, SUMS_MAX_BYTES);
        rc = package_text(&p->file[i], &text, e);
        if (rc == 0 && !find_sum(text.data, c->join, want)) want[0] = '\0';
        buf_deinit(&text);
    }
    if (rc || !want[0]) return rc;
    char *path = path_join(dir, c->join);
    rc = digest_file(path, found, NULL, e);
    mem_free(path);
    if (rc == 0 && !str_eq(found, want))
        rc = err_set(e, ERR_INPUT, c->source, "cannot use \"%s\": joined it has the SHA-256 %s, SHA256SUMS says %s",
                     c->join, found, want);
    return rc;
}

static int unpack(const struct package *p, const char *source, const char *dir, struct err *e)
{
    struct chosen c = {.source = source, .file = mem_alloc((p->n + 1) * sizeof *c.file)};
    int rc = choose(&c, p, e);
    if (rc == 0) rc = check_room(&c, dir, e);
    if (rc == 0 && c.join) {
        rc = write_file(c.file, c.n, dir, c.join, e);
        if (rc == 0) rc = check_joined(p, &c, dir, e);
    }
    for (size_t i = 0; rc == 0 && !c.join && i < c.n; i++)
        rc = write_file(&c.file[i], 1, dir, hub_flat_name(c.file[i]->name), e);
    mem_free(c.file);
    mem_free(c.join);
    return rc;
}

int package_unpack(const char *path, const char *dir, struct err *e)
{
    struct package p = {.n = 0};
    int rc = package_add(&p, path, e);
    if (rc == 0) rc = unpack(&p, path, dir, e);
    package_deinit(&p);
    return rc;
}

/* What may belong to a model whose other files lie elsewhere. */
static bool is_part_of_model(const char *flat)
{
    return hub_is_companion(flat) || is_weights(flat) || str_ends(flat, ".gguf");
}

int package_unpack_tar(const char *path, const char *dir, struct err *e)
{
    struct package p = {.n = 0};
    struct chosen c = {.source = path};
    int rc = package_add_tar(&p, path, e);
    if (rc == 0) c.file = mem_alloc((p.n + 1) * sizeof *c.file);
    for (size_t i = 0; rc == 0 && i < p.n; i++)
        if (is_part_of_model(hub_flat_name(p.file[i].name))) c.file[c.n++] = &p.file[i];
    if (rc == 0) rc = check_room(&c, dir, e);
    for (size_t i = 0; rc == 0 && i < c.n; i++) rc = write_file(&c.file[i], 1, dir, hub_flat_name(c.file[i]->name), e);
    mem_free(c.file);
    package_deinit(&p);
    return rc;
}
