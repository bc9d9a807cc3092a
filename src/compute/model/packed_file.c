/* Reading packed files. Owns the mapping. What always holds: nothing of a file is believed before its size, version and
 * the digest of its head are right, and no offset points out of it. */
#include "compute/model/packed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compute/model/packed_file_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

struct packed_file {
    struct packed_head *head;
    uint8_t *map;
    size_t size_bytes;
};

static int unusable(const char *path, const char *why, struct err *e)
{
    return err_set(e, ERR_INPUT, path, "cannot use packed file \"%s\": %s", path, why);
}

/* --- names --- */

static uint64_t add_word(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(1099511628211) ^ h >> 29;
}

int packed_file_path(const char *dir, const struct model_file *f, struct dev *d, char **path, struct err *e)
{
    uint64_t layout, h = UINT64_C(14695981039346656037);
    char name[64];
    if (!model_file_is_gguf(f)) {
        return err_set(e, ERR_UNSUPPORTED, model_file_path(f),
                       "cannot keep \"%s\" packed: it is no GGUF file, those alone are kept", model_file_path(f));
    }
    int rc = dev_layout(d, &layout, e);
    for (size_t i = 0; !rc && i < model_file_n_part(f); i++) {
        struct file_identity id;
        rc = model_file_identify(f, i, &id, e);
        if (!rc) {
            h = add_word(add_word(add_word(h, id.inode), id.size_bytes), id.mtime_ns);
        }
    }
    if (!rc) {
        snprintf(name, sizeof(name), "%016llx-%08x.packed", (unsigned long long)h, (unsigned)(layout ^ layout >> 32));
        *path = path_join(dir, name);
    }
    return rc;
}

/* --- the head --- */

int packed_head_digest(const struct packed_head *h, char hex[DIGEST_HEX_SIZE], struct err *e)
{
    struct packed_head first = *h;
    struct digest d;
    int rc = digest_begin(&d, e);
    if (rc) {
        return rc;
    }
    memset(first.head_digest, 0, sizeof(first.head_digest));
    digest_add(&d, &first, sizeof(first));
    digest_add(&d, h + 1, (size_t)h->data_at - sizeof(*h));
    digest_end(&d, hex);
    return 0;
}

/* Sizes that the rest is read by. */
static const char *head_fault(const struct packed_head *h, uint64_t size_bytes)
{
    if (memcmp(h->magic, PACKED_MAGIC, sizeof(h->magic)) != 0) {
        return "it is no packed file";
    }
    if (h->version != PACKED_VERSION) {
        return "it is of another version";
    }
    if (h->file_bytes != size_bytes) {
        return "it is cut short";
    }
    uint64_t tables = sizeof(*h) + (uint64_t)h->n_part * sizeof(struct file_identity) +
                      (uint64_t)h->n_entry * sizeof(struct packed_entry) + h->name_bytes;
    bool fits = tables <= h->data_at && h->data_at <= size_bytes && h->data_at <= PACKED_MAX_HEAD_BYTES;
    return fits && h->name_bytes > 0 ? NULL : "its head is damaged";
}

static const char *entry_fault(const struct packed_head *h)
{
    const struct packed_entry *t = packed_entries(h);
    bool good = packed_names(h)[h->name_bytes - 1] == '\0' && memchr(h->model_path, 0, sizeof(h->model_path)) != NULL;
    for (uint32_t i = 0; good && i < h->n_entry; i++) {
        good = t[i].name_at < h->name_bytes && t[i].type < QUANT_COUNT && t[i].at % PACKED_ALIGN == 0 &&
               t[i].at >= h->data_at && t[i].at <= h->file_bytes && t[i].n_bytes <= h->file_bytes - t[i].at;
    }
    return good ? NULL : "its head is damaged";
}

/* The head with its tables, checked (mem_free). */
static int read_head(int fd, const char *path, uint64_t size_bytes, struct packed_head **out, struct err *e)
{
    struct packed_head first;
    char hex[DIGEST_HEX_SIZE];
    if (size_bytes < sizeof(first)) {
        return unusable(path, "it is cut short", e);
    }
    int rc = file_pread(fd, path, &first, sizeof(first), 0, e);
    if (rc) {
        return rc;
    }
    const char *fault = head_fault(&first, size_bytes);
    if (fault) {
        return unusable(path, fault, e);
    }
    struct packed_head *h = mem_try_alloc((size_t)first.data_at);
    if (!h) {
        return err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory for its head", path);
    }
    rc = file_pread(fd, path, h, (size_t)first.data_at, 0, e);
    if (!rc) {
        rc = packed_head_digest(h, hex, e);
    }
    if (!rc && (memcmp(h, &first, sizeof(first)) != 0 || memcmp(hex, h->head_digest, sizeof(hex)) != 0)) {
        rc = unusable(path, "its head is damaged", e);
    }
    fault = rc ? NULL : entry_fault(h);
    if (fault) {
        rc = unusable(path, fault, e);
    }
    if (rc) {
        mem_free(h);
        return rc;
    }
    *out = h;
    return 0;
}

static int open_head(const char *path, int *fd, struct packed_head **h, struct err *e)
{
    uint64_t size_bytes;
    int rc = file_open_read(path, fd, &size_bytes, e);
    if (rc) {
        return rc;
    }
    rc = read_head(*fd, path, size_bytes, h, e);
    if (rc) {
        close(*fd);
    }
    return rc;
}

/* --- opening --- */

static int check_source(const struct packed_head *h, const char *path, const struct model_file *f, struct dev *d,
                        struct err *e)
{
    uint64_t layout;
    int rc = dev_layout(d, &layout, e);
    if (!rc && layout != h->layout) {
        rc = unusable(path, "its layout is another", e);
    }
    if (!rc && h->n_part != model_file_n_part(f)) {
        rc = unusable(path, "it is of another model file", e);
    }
    for (size_t i = 0; !rc && i < h->n_part; i++) {
        struct file_identity id;
        rc = model_file_identify(f, i, &id, e);
        if (!rc && memcmp(&id, &packed_parts(h)[i], sizeof(id)) != 0) {
            rc = unusable(path, "it is of another model file", e);
        }
    }
    return rc;
}

/* Pages are brought in at once: the first step reads all of them. */
static int map_file(struct packed_file *p, int fd, const char *path, struct err *e)
{
    p->size_bytes = (size_t)p->head->file_bytes;
    void *map = mmap(NULL, p->size_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED) {
        return err_set_errno(e, path, "cannot map \"%s\"", path);
    }
    p->map = map;
    return 0;
}

int packed_file_open(struct packed_file **out, const char *path, const struct model_file *f, struct dev *d,
                     struct err *e)
{
    int fd;
    struct packed_file *p = mem_alloc(sizeof(*p));
    int rc = open_head(path, &fd, &p->head, e);
    if (rc) {
        mem_free(p);
        return rc;
    }
    rc = check_source(p->head, path, f, d, e);
    if (!rc) {
        rc = map_file(p, fd, path, e);
    }
    close(fd);
    if (rc) {
        packed_file_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void packed_file_close(struct packed_file *p)
{
    if (!p) {
        return;
    }
    if (p->map) {
        munmap(p->map, p->size_bytes);
    }
    mem_free(p->head);
    mem_free(p);
}

/* Bytes of a packed matrix; 0: not of whole blocks. */
static uint64_t matrix_bytes(enum quant_type type, uint64_t n_out, uint64_t n_in)
{
    const struct quant *q = quants[type];
    uint64_t n_block = (n_in + (uint64_t)q->packed_k - 1) / (uint64_t)q->packed_k;
    return (n_out + KERN_ROWS - 1) / KERN_ROWS * n_block * q->packed_bytes;
}

void *packed_file_find(const struct packed_file *p, const char *name, enum quant_type type, size_t n_out, size_t n_in)
{
    const struct packed_entry *t = packed_entries(p->head);
    for (uint32_t i = 0; i < p->head->n_entry; i++) {
        if (str_eq(packed_names(p->head) + t[i].name_at, name)) {
            bool same = t[i].type == (uint32_t)type && t[i].n_out == n_out && t[i].n_in == n_in &&
                        t[i].n_bytes == matrix_bytes(type, n_out, n_in);
            return same ? p->map + t[i].at : NULL;
        }
    }
    return NULL;
}

/* --- describing --- */

/* The files of the model are those that were packed. Parts of a split stand beside each other: the first one is known
 * by its path, the others changed with it. */
static bool is_current(const struct packed_head *h)
{
    int fd;
    uint64_t size;
    struct file_identity id;
    struct err e;
    if (file_open_read(h->model_path, &fd, &size, &e)) {
        return false;
    }
    bool same = file_identify(fd, h->model_path, &id, &e) == 0 && memcmp(&id, packed_parts(h), sizeof(id)) == 0;
    close(fd);
    return same;
}

static int check_data(int fd, const char *path, const struct packed_head *h, struct err *e)
{
    enum { STEP = 1 << 20 };
    struct digest d;
    char hex[DIGEST_HEX_SIZE];
    uint8_t *buf = mem_alloc(STEP);
    int rc = digest_begin(&d, e);
    for (uint64_t at = h->data_at; !rc && at < h->file_bytes; at += STEP) {
        size_t n = (size_t)(h->file_bytes - at < STEP ? h->file_bytes - at : STEP);
        rc = file_pread(fd, path, buf, n, at, e);
        digest_add(&d, buf, n);
    }
    digest_end(&d, rc ? NULL : hex);
    mem_free(buf);
    return rc || memcmp(hex, h->data_digest, sizeof(hex)) == 0 ? rc : unusable(path, "its data are damaged", e);
}

static int check_model(const char *path, const struct packed_head *h, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    if (h->n_part != 1) {
        return 0;
    }
    int rc = digest_file(h->model_path, hex, NULL, e);
    return rc || memcmp(hex, h->model_digest, sizeof(hex)) == 0
               ? rc
               : unusable(path, "its model file has other contents than when it was packed", e);
}

int packed_file_describe(const char *path, bool check, struct packed_info *out, struct err *e)
{
    int fd;
    struct packed_head *h;
    int rc = open_head(path, &fd, &h, e);
    if (rc) {
        return rc;
    }
    *out = (struct packed_info){.size_bytes = h->file_bytes, .layout = h->layout, .is_current = is_current(h)};
    memcpy(out->model_path, h->model_path, sizeof(out->model_path));
    rc = check ? check_data(fd, path, h, e) : 0;
    if (!rc && check && out->is_current) {
        rc = check_model(path, h, e);
    }
    close(fd);
    mem_free(h);
    return rc;
}
