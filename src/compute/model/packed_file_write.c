/* Writing packed files: the head is put together in memory, then everything goes into a file of another name that is
 * renamed when it is on the disk. Two writers each write their own; the last rename counts, and both are whole. */
#include <stdio.h>
#include <string.h>

#include "compute/model/model_int.h"
#include "compute/model/packed_file_int.h"
#include "ground/base/mem.h"

static size_t padded(size_t n)
{
    return round_up(n, PACKED_ALIGN);
}

uint64_t packed_file_bytes(const struct model *m)
{
    uint64_t n = sizeof(struct packed_head) + (1 << 16); /* padding, and what is known of the parts */
    for (size_t i = 0; i < m->n_bound; i++) {
        n += sizeof(struct packed_entry) + strlen(m->bound[i].name) + 1 + padded(dev_mat_bytes(m->bound[i].mat));
    }
    return n;
}

static size_t name_bytes(const struct model *m)
{
    size_t n = 1;
    for (size_t i = 0; i < m->n_bound; i++) {
        n += strlen(m->bound[i].name) + 1;
    }
    return n;
}

/* Entries and names behind the parts; returns the end of the file. */
static uint64_t put_entries(struct packed_head *h, struct packed_entry *t, char *names, const struct model *m)
{
    uint64_t at = h->data_at;
    uint32_t name_at = 0;
    for (size_t i = 0; i < m->n_bound; i++) {
        const struct dev_mat *mat = m->bound[i].mat;
        size_t n = dev_mat_bytes(mat), len = strlen(m->bound[i].name) + 1;
        t[i] = (struct packed_entry){.at = at,
                                     .n_bytes = n,
                                     .n_out = dev_mat_n_out(mat),
                                     .n_in = dev_mat_n_in(mat),
                                     .type = (uint32_t)dev_mat_type(mat),
                                     .name_at = name_at};
        memcpy(names + name_at, m->bound[i].name, len);
        name_at += (uint32_t)len;
        at += padded(n);
    }
    return at;
}

/* fn sees all bytes behind the head, in order. */
static int each_data(const struct model *m, int (*fn)(void *arg, const void *p, size_t n, struct err *e), void *arg,
                     struct err *e)
{
    static const uint8_t zeros[PACKED_ALIGN];
    int rc = 0;
    for (size_t i = 0; !rc && i < m->n_bound; i++) {
        size_t n = dev_mat_bytes(m->bound[i].mat);
        rc = fn(arg, dev_mat_packed(m->bound[i].mat), n, e);
        if (!rc && padded(n) > n) {
            rc = fn(arg, zeros, padded(n) - n, e);
        }
    }
    return rc;
}

static int add_to_digest(void *arg, const void *p, size_t n, struct err *e)
{
    (void)e;
    digest_add(arg, p, n);
    return 0;
}

static int write_to_file(void *arg, const void *p, size_t n, struct err *e)
{
    return file_atomic_write(arg, p, n, e);
}

static int digest_parts(const struct model_file *f, char hex[DIGEST_HEX_SIZE], struct err *e)
{
    char part[DIGEST_HEX_SIZE];
    struct digest d;
    if (model_file_n_part(f) == 1) {
        return digest_file(model_file_part_path(f, 0), hex, NULL, e);
    }
    int rc = digest_begin(&d, e);
    for (size_t i = 0; !rc && i < model_file_n_part(f); i++) {
        rc = digest_file(model_file_part_path(f, i), part, NULL, e);
        digest_add(&d, part, sizeof(part));
    }
    digest_end(&d, rc ? NULL : hex);
    return rc;
}

static int put_digests(struct packed_head *h, const struct model *m, const struct model_file *f, struct err *e)
{
    struct digest d;
    int rc = digest_parts(f, h->model_digest, e);
    if (!rc) {
        rc = digest_begin(&d, e);
    }
    if (!rc) {
        rc = each_data(m, add_to_digest, &d, e);
        digest_end(&d, h->data_digest);
    }
    return rc ? rc : packed_head_digest(h, h->head_digest, e);
}

/* Absolute, so that it means the same later; a path that is too long is left out and the file counts as outdated. */
static int put_path(struct packed_head *h, const struct model_file *f, struct err *e)
{
    char *path;
    int rc = path_absolute(model_file_part_path(f, 0), &path, e);
    if (!rc) {
        if (strlen(path) < sizeof(h->model_path)) {
            memcpy(h->model_path, path, strlen(path));
        }
        mem_free(path);
    }
    return rc;
}

static int make_head(struct packed_head **out, const struct model *m, const struct model_file *f, struct err *e)
{
    size_t n_part = model_file_n_part(f), n_name = name_bytes(m);
    size_t n = sizeof(struct packed_head) + n_part * sizeof(struct file_identity) +
               m->n_bound * sizeof(struct packed_entry) + n_name;
    struct packed_head *h = mem_try_alloc(padded(n));
    if (!h) {
        return err_set(e, ERR_NOMEM, NULL, "cannot keep a model packed: out of memory");
    }
    *h = (struct packed_head){.version = PACKED_VERSION,
                              .n_part = (uint32_t)n_part,
                              .n_entry = (uint32_t)m->n_bound,
                              .name_bytes = (uint32_t)n_name,
                              .data_at = padded(n)};
    memcpy(h->magic, PACKED_MAGIC, sizeof(h->magic));
    struct file_identity *part = (void *)(h + 1);
    struct packed_entry *entry = (void *)(part + n_part);
    int rc = 0;
    for (size_t i = 0; !rc && i < n_part; i++) {
        rc = model_file_identify(f, i, &part[i], e);
    }
    h->file_bytes = put_entries(h, entry, (char *)(entry + m->n_bound), m);
    rc = rc ? rc : dev_layout(m->dev, &h->layout, e);
    rc = rc ? rc : put_path(h, f, e);
    rc = rc ? rc : put_digests(h, m, f, e);
    if (rc) {
        mem_free(h);
        return rc;
    }
    *out = h;
    return 0;
}

int packed_file_write(const char *path, const struct model *m, const struct model_file *f, struct err *e)
{
    struct packed_head *h = NULL;
    struct file_atomic out;
    int rc = make_head(&h, m, f, e);
    if (rc) {
        return rc;
    }
    rc = file_atomic_begin(&out, path, e);
    if (!rc) {
        rc = file_atomic_write(&out, h, (size_t)h->data_at, e);
        rc = rc ? rc : each_data(m, write_to_file, &out, e);
        if (rc) {
            file_atomic_abort(&out);
        } else {
            rc = file_atomic_commit(&out, e);
        }
    }
    mem_free(h);
    return rc;
}
