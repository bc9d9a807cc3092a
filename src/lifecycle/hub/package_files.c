/* What lies where in packages, and copying it out. Owns the list. What always holds: names in it are safe. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ground/archive/archive_name.h"
#include "ground/archive/tar.h"
#include "ground/archive/zip.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/hub/package_int.h"

enum { MAX_FILES = 1 << 17, RECORD_MAX_BYTES = 16 << 20, CHUNK_BYTES = 1 << 20 };

void package_deinit(struct package *p)
{
    for (size_t i = 0; i < p->n; i++) {
        mem_free(p->file[i].container);
        mem_free(p->file[i].name);
    }
    mem_free(p->file);
    *p = (struct package){.n = 0};
}

static int add(struct package *p, const char *container, const char *name, bool is_zipped, uint64_t begin,
               uint64_t size, struct err *e)
{
    if (p->n == MAX_FILES)
        return err_set(e, ERR_LIMIT, container, "cannot use the archive \"%s\": more than %d files", container,
                       (int)MAX_FILES);
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        struct packed_file *f = mem_try_realloc(p->file, cap * sizeof *f);
        if (!f) return err_set(e, ERR_NOMEM, container, "cannot use the archive \"%s\": out of memory", container);
        p->file = f;
        p->cap = cap;
    }
    p->file[p->n++] = (struct packed_file){.container = mem_strdup(container),
                                           .name = mem_strdup(name),
                                           .is_zipped = is_zipped,
                                           .begin = begin,
                                           .size = size};
    return 0;
}

/* --- wheels --- */

static int base64url(char c)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c ? strchr(digit, c) : NULL;
    return at ? (int)(at - digit) : -1;
}

/* 43 digits of base 64 are the 32 bytes of a SHA-256. */
static bool sha256_of_base64(const char *text, size_t n, char hex[DIGEST_HEX_SIZE])
{
    static const char digit[] = "0123456789abcdef";
    unsigned bits = 0, n_bit = 0;
    size_t n_hex = 0;
    while (n > 43 && text[n - 1] == '=') n--;
    if (n != 43) return false;
    for (size_t i = 0; i < n; i++) {
        int v = base64url(text[i]);
        if (v < 0) return false;
        bits = (bits << 6 | (unsigned)v) & 0xfff;
        for (n_bit += 6; n_bit >= 4 && n_hex < 64; n_bit -= 4) hex[n_hex++] = digit[bits >> (n_bit - 4) & 15];
    }
    hex[64] = '\0';
    return true;
}

void package_take_record(struct package *p, size_t from, const char *text)
{
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\r\n");
        const char *hash = memmem(line, n, ",sha256=", 8), *digits = hash ? hash + 8 : NULL;
        size_t n_name = hash ? (size_t)(hash - line) : 0;
        for (size_t i = from; hash && i < p->n; i++) {
            struct packed_file *f = &p->file[i];
            if (strlen(f->name) != n_name || memcmp(f->name, line, n_name) != 0) continue;
            if (!sha256_of_base64(digits, strcspn(digits, ",\r\n"), f->sha256)) f->sha256[0] = '\0';
        }
        line += n + strspn(line + n, "\r\n");
    }
}

static int add_zip(struct package *p, const char *path, struct err *e)
{
    struct zip_reader *z;
    size_t from = p->n;
    int rc = zip_reader_open(&z, path, e);
    if (rc) return rc;
    for (size_t i = 0; rc == 0 && i < zip_reader_n_entry(z); i++) {
        const struct zip_entry *entry = zip_reader_entry(z, i);
        rc = add(p, path, entry->name, true, 0, entry->size, e);
    }
    for (size_t i = 0; rc == 0 && i < zip_reader_n_entry(z); i++) {
        const struct zip_entry *entry = zip_reader_entry(z, i);
        struct buf text;
        if (!str_ends(entry->name, ".dist-info/RECORD")) continue;
        buf_init(&text, RECORD_MAX_BYTES);
        rc = zip_reader_text(z, entry, &text, e);
        if (rc == 0) package_take_record(p, from, text.data);
        buf_deinit(&text);
    }
    zip_reader_close(z);
    return rc;
}

int package_add_tar(struct package *p, const char *path, struct err *e)
{
    struct tar_reader t;
    int rc = tar_open(&t, path, e);
    if (rc) return rc;
    while ((rc = tar_next(&t, e)) == 1) {
        rc = add(p, path, t.name, false, t.begin, t.size, e);
        if (rc) break;
    }
    tar_close(&t);
    return rc;
}

/* --- what a path is --- */

int package_piece(const char *name, size_t *n_stem)
{
    static const char mark[] = ".gguf.part";
    const char *at = strstr(name, mark);
    uint64_t number;
    if (!at || at == name || strlen(at) > strlen(mark) + 4 || !str_to_u64(at + strlen(mark), &number)) return -1;
    if (at[strlen(mark)] < '0' || at[strlen(mark)] > '9') return -1; /* a sign */
    *n_stem = (size_t)(at - name) + strlen(".gguf");
    return (int)number;
}

enum path_kind { KIND_OTHER, KIND_ZIP, KIND_TAR, KIND_PIECE };

static enum path_kind kind_of(const char *path)
{
    unsigned char head[512] = {0};
    int fd;
    uint64_t size;
    size_t n_stem;
    if (package_piece(path_base(path), &n_stem) >= 0) return KIND_PIECE;
    if (file_is_dir(path) || file_open_read(path, &fd, &size, NULL)) return KIND_OTHER;
    bool read = size >= 4 && file_pread(fd, path, head, size < sizeof head ? (size_t)size : sizeof head, 0, NULL) == 0;
    close(fd);
    if (read && memcmp(head, "PK\3\4", 4) == 0) return KIND_ZIP;
    if (read && memcmp(head + 257, "ustar", 5) == 0) return KIND_TAR;
    return KIND_OTHER;
}

static int add_file(struct package *p, const char *path, enum path_kind kind, struct err *e)
{
    int fd;
    uint64_t size;
    if (kind == KIND_ZIP) return add_zip(p, path, e);
    if (kind == KIND_TAR) return package_add_tar(p, path, e);
    int rc = file_open_read(path, &fd, &size, e);
    if (rc) return rc;
    close(fd);
    return add(p, path, path_base(path), false, 0, size, e);
}

/* Calls add (or nothing, with p NULL) for each package of a directory; *n counts them. A directory with a GGUF file is
 * a model, whatever else lies there. */
static int walk_dir(struct package *p, const char *dir, size_t *n, struct err *e)
{
    char **names;
    size_t n_name;
    bool is_model = false;
    *n = 0;
    int rc = file_list_dir(dir, &names, &n_name, e);
    if (rc) return rc;
    for (size_t i = 0; i < n_name; i++) {
        char *path = path_join(dir, names[i]);
        enum path_kind kind = rc ? KIND_OTHER : kind_of(path);
        *n += kind != KIND_OTHER;
        is_model |= str_ends(names[i], ".gguf");
        bool sums = str_eq(names[i], "SHA256SUMS") && !file_is_dir(path);
        if (rc == 0 && p && (kind != KIND_OTHER || sums)) rc = add_file(p, path, kind, e);
        mem_free(path);
        mem_free(names[i]);
    }
    mem_free(names);
    if (is_model) *n = 0;
    return rc;
}

bool package_is_one(const char *path)
{
    static const char *const model[] = {"config.json", "adapter_config.json", "tokenizer.json"};
    size_t n = 0;
    if (!file_is_dir(path)) return file_exists(path) && kind_of(path) != KIND_OTHER;
    for (size_t i = 0; i < N_ELEM(model); i++) {
        char *file = path_join(path, model[i]);
        bool has = file_exists(file);
        mem_free(file);
        if (has) return false;
    }
    return walk_dir(NULL, path, &n, NULL) == 0 && n > 0;
}

int package_add(struct package *p, const char *path, struct err *e)
{
    size_t n;
    return file_is_dir(path) ? walk_dir(p, path, &n, e) : add_file(p, path, kind_of(path), e);
}

/* --- copying out --- */

struct copy {
    const struct packed_file *f;
    int fd; /* -1: into text */
    const char *path;
    struct buf *text;
    struct digest digest;
};

static int take_bytes(void *arg, const void *p, size_t n, struct err *e)
{
    struct copy *c = arg;
    const char *from = p;
    digest_add(&c->digest, p, n);
    if (c->fd < 0)
        return buf_add(c->text, p, n) ? err_set(e, ERR_LIMIT, c->f->name, "cannot read \"%s\": more than %zu bytes",
                                                c->f->name, c->text->max)
                                      : 0;
    while (n > 0) {
        ssize_t w = write(c->fd, from, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return err_set_errno(e, c->path, "cannot write \"%s\"", c->path);
        from += w;
        n -= (size_t)w;
    }
    return 0;
}

static int copy_zipped(struct copy *c, struct err *e)
{
    struct zip_reader *z;
    int rc = zip_reader_open(&z, c->f->container, e);
    if (rc) return rc;
    rc = err_set(NULL, ERR_INPUT, NULL, "gone");
    for (size_t i = 0; i < zip_reader_n_entry(z); i++) {
        const struct zip_entry *entry = zip_reader_entry(z, i);
        if (str_eq(entry->name, c->f->name)) rc = zip_reader_unpack(z, entry, take_bytes, c, e);
    }
    zip_reader_close(z);
    return rc;
}

static int copy_range(struct copy *c, struct err *e)
{
    int fd;
    int rc = file_open_read(c->f->container, &fd, NULL, e);
    if (rc) return rc;
    char *chunk = mem_alloc(CHUNK_BYTES);
    for (uint64_t at = 0; rc == 0 && at < c->f->size;) {
        size_t n = c->f->size - at < CHUNK_BYTES ? (size_t)(c->f->size - at) : CHUNK_BYTES;
        rc = file_pread(fd, c->f->container, chunk, n, c->f->begin + at, e);
        if (rc == 0) rc = take_bytes(c, chunk, n, e);
        at += n;
    }
    mem_free(chunk);
    close(fd);
    return rc;
}

static int copy(struct copy *c, struct err *e)
{
    char found[DIGEST_HEX_SIZE];
    int rc = digest_begin(&c->digest, e);
    if (rc) return rc;
    rc = c->f->is_zipped ? copy_zipped(c, e) : copy_range(c, e);
    digest_end(&c->digest, rc ? NULL : found);
    if (rc == 0 && c->f->sha256[0] && !str_eq(found, c->f->sha256))
        rc = err_set(e, ERR_INPUT, c->f->container,
                     "cannot use the archive \"%s\": \"%s\" has the SHA-256 %s, it promises %s", c->f->container,
                     c->f->name, found, c->f->sha256);
    return rc;
}

int package_copy(const struct packed_file *f, int fd, const char *path, struct err *e)
{
    struct copy c = {.f = f, .fd = fd, .path = path};
    return copy(&c, e);
}

int package_text(const struct packed_file *f, struct buf *text, struct err *e)
{
    struct copy c = {.f = f, .fd = -1, .text = text};
    int rc = copy(&c, e);
    return rc == 0 && buf_add(text, "", 0)
               ? err_set(e, ERR_NOMEM, f->name, "cannot read \"%s\": out of memory", f->name)
               : rc;
}
