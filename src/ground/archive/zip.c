/* Zip archives through libzip. Owns the archive and the list of its files while open. What always holds: a listed name
 * is safe and stands once; no more bytes come out of an entry than its directory says. */
#include "ground/archive/zip.h"

#include <stdlib.h>
#include <string.h>

#include <zip.h>

#include "ground/archive/archive_name.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { MAX_ENTRIES = 65536, CHUNK_BYTES = 1 << 18 };

struct zip_reader {
    zip_t *zip;
    char *path;
    struct zip_entry *entry; /* names are libzip's */
    size_t n_entry;
};

static int refuse(const struct zip_reader *z, const char *name, const char *why, struct err *e)
{
    char shown[128];
    snprintf(shown, sizeof shown, "%s", name);
    str_cut_utf8(shown);
    str_make_printable(shown);
    return err_set(e, ERR_INPUT, z->path, "cannot use the archive \"%s\": its entry \"%s\" %s", z->path, shown, why);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct zip_entry *)a)->name, ((const struct zip_entry *)b)->name);
}

static int add_entry(struct zip_reader *z, zip_uint64_t i, struct err *e)
{
    zip_stat_t st;
    if (zip_stat_index(z->zip, i, ZIP_FL_ENC_RAW, &st) || !st.name)
        return err_set(e, ERR_INPUT, z->path, "cannot use the archive \"%s\": entry %llu cannot be read", z->path,
                       (unsigned long long)i);
    if (str_ends(st.name, "/") && archive_name_is_safe(st.name) == false && st.size == 0) {
        char *dir = mem_strndup(st.name, strlen(st.name) - 1);
        bool safe = archive_name_is_safe(dir);
        mem_free(dir);
        return safe ? 0 : refuse(z, st.name, "has a name that leads out of it", e);
    }
    if (!archive_name_is_safe(st.name)) return refuse(z, st.name, "has a name that leads out of it", e);
    if (!(st.valid & ZIP_STAT_SIZE) || st.size > INT64_MAX) return refuse(z, st.name, "has no size", e);
    if (st.valid & ZIP_STAT_ENCRYPTION_METHOD && st.encryption_method != ZIP_EM_NONE)
        return refuse(z, st.name, "is encrypted", e);
    z->entry[z->n_entry++] = (struct zip_entry){.name = st.name, .size = st.size, .index = i};
    return 0;
}

static int list_entries(struct zip_reader *z, struct err *e)
{
    zip_int64_t n = zip_get_num_entries(z->zip, 0);
    if (n < 0 || n > MAX_ENTRIES)
        return err_set(e, ERR_LIMIT, z->path, "cannot use the archive \"%s\": %lld entries, at most %d", z->path,
                       (long long)n, (int)MAX_ENTRIES);
    z->entry = mem_try_array((size_t)n + 1, sizeof *z->entry);
    if (!z->entry) return err_set(e, ERR_NOMEM, z->path, "cannot use the archive \"%s\": out of memory", z->path);
    int rc = 0;
    for (zip_int64_t i = 0; rc == 0 && i < n; i++) rc = add_entry(z, (zip_uint64_t)i, e);
    if (rc == 0 && z->n_entry) qsort(z->entry, z->n_entry, sizeof *z->entry, compare_names);
    for (size_t i = 1; rc == 0 && i < z->n_entry; i++)
        if (str_eq(z->entry[i].name, z->entry[i - 1].name)) rc = refuse(z, z->entry[i].name, "stands in it twice", e);
    return rc;
}

int zip_reader_open(struct zip_reader **out, const char *path, struct err *e)
{
    int code = 0;
    struct zip_reader *z = mem_alloc(sizeof *z);
    z->path = mem_strdup(path);
    z->zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    int rc = 0;
    if (!z->zip) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        rc = err_set(e, code == ZIP_ER_NOENT ? ERR_NOT_FOUND : ERR_INPUT, path,
                     "cannot use the archive \"%s\": no whole zip file (%s)", path, zip_error_strerror(&error));
        zip_error_fini(&error);
    }
    if (rc == 0) rc = list_entries(z, e);
    if (rc)
        zip_reader_close(z);
    else
        *out = z;
    return rc;
}

void zip_reader_close(struct zip_reader *z)
{
    if (!z) return;
    if (z->zip) zip_discard(z->zip);
    mem_free(z->entry);
    mem_free(z->path);
    mem_free(z);
}

size_t zip_reader_n_entry(const struct zip_reader *z)
{
    return z->n_entry;
}

const struct zip_entry *zip_reader_entry(const struct zip_reader *z, size_t idx)
{
    return &z->entry[idx];
}

static int copy_out(const struct zip_reader *z, const struct zip_entry *entry, zip_file_t *file, zip_sink sink,
                    void *arg, struct err *e)
{
    char *chunk = mem_alloc(CHUNK_BYTES);
    uint64_t left = entry->size;
    zip_int64_t n = 0;
    int rc = 0;
    while (rc == 0 && (n = zip_fread(file, chunk, CHUNK_BYTES)) > 0) {
        if ((uint64_t)n > left) break;
        left -= (uint64_t)n;
        rc = sink(arg, chunk, (size_t)n, e);
    }
    mem_free(chunk);
    if (rc == 0 && n < 0) rc = refuse(z, entry->name, "is damaged", e); /* its CRC too */
    if (rc == 0 && (n > 0 || left > 0)) rc = refuse(z, entry->name, "has another size than its directory says", e);
    return rc;
}

int zip_reader_unpack(struct zip_reader *z, const struct zip_entry *entry, zip_sink sink, void *arg, struct err *e)
{
    zip_file_t *file = zip_fopen_index(z->zip, entry->index, 0);
    if (!file) return refuse(z, entry->name, "cannot be unpacked", e);
    int rc = copy_out(z, entry, file, sink, arg, e);
    (void)zip_fclose(file);
    return rc;
}

static int add_text(void *arg, const void *p, size_t n, struct err *e)
{
    struct buf *text = arg;
    return buf_add(text, p, n) ? err_set(e, ERR_LIMIT, NULL, "cannot read an entry: more than %zu bytes", text->max)
                               : 0;
}

int zip_reader_text(struct zip_reader *z, const struct zip_entry *entry, struct buf *text, struct err *e)
{
    int rc = zip_reader_unpack(z, entry, add_text, text, e);
    return rc == 0 && buf_add(text, "", 0) ? err_set(e, ERR_NOMEM, NULL, "cannot read an entry: out of memory") : rc;
}
