/* Tar headers (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU's L and base-256 sizes). Owns the descriptor between open and
 * close. What always holds: every header's checksum was right, every entry lies inside the file. */
#include "ground/archive/tar.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/archive/archive_name.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { BLOCK = 512, LONG_MAX_BYTES = 1 << 16 };
/* Fields of a header: where, how long. */
enum {
    NAME_AT = 0,
    NAME_LEN = 100,
    SIZE_AT = 124,
    SUM_AT = 148,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    PREFIX_AT = 345,
    PREFIX_LEN = 155
};

int tar_open(struct tar_reader *t, const char *path, struct err *e)
{
    *t = (struct tar_reader){.fd = -1};
    int rc = file_open_read(path, &t->fd, &t->size_bytes, e);
    if (rc)
        t->fd = -1;
    else
        t->path = mem_strdup(path);
    return rc;
}

void tar_close(struct tar_reader *t)
{
    if (t->fd >= 0) close(t->fd);
    mem_free(t->path);
    *t = (struct tar_reader){.fd = -1};
}

static int bad(const struct tar_reader *t, const char *why, struct err *e)
{
    return err_set(e, ERR_INPUT, t->path, "cannot use the archive \"%s\": %s (near byte %llu)", t->path, why,
                   (unsigned long long)t->next);
}

/* Octal with spaces or NUL around it, or base 256 with the top bit set. */
static bool read_number(const unsigned char *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    if (p[0] & 0x80) {
        v = p[0] & 0x7f;
        for (i = 1; i < n; i++) {
            if (v >> 55) return false;
            v = v << 8 | p[i];
        }
        *out = v;
        return true;
    }
    while (i < n && p[i] == ' ') i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) v = v << 3 | (uint64_t)(p[i] - '0');
    *out = v;
    return i == n || p[i] == ' ' || p[i] == '\0';
}

static bool sum_is_right(const unsigned char *h)
{
    uint64_t said, sum = 0;
    for (int i = 0; i < BLOCK; i++) sum += i >= SUM_AT && i < SUM_AT + 8 ? ' ' : h[i];
    return read_number(h + SUM_AT, 8, &said) && said == sum;
}

static void header_name(const unsigned char *h, char *out, size_t size)
{
    bool ustar = memcmp(h + MAGIC_AT, "ustar", 6) == 0; /* with the NUL: GNU's "ustar " has no prefix */
    int n_prefix = ustar ? (int)strnlen((const char *)h + PREFIX_AT, PREFIX_LEN) : 0;
    int n_name = (int)strnlen((const char *)h + NAME_AT, NAME_LEN);
    snprintf(out, size, "%.*s%s%.*s", n_prefix, (const char *)h + PREFIX_AT, n_prefix ? "/" : "", n_name,
             (const char *)h + NAME_AT);
}

/* What the entries before a file say about it. */
struct told {
    char name[1025]; /* "": nothing */
    bool has_size;
    uint64_t size;
};

static bool take_record(struct told *told, const char *key, size_t n_key, const char *value, size_t n)
{
    char digits[24];
    if (n_key == 4 && memcmp(key, "path", 4) == 0) {
        if (n >= sizeof told->name || memchr(value, '\0', n)) return false;
        memcpy(told->name, value, n);
        told->name[n] = '\0';
    } else if (n_key == 4 && memcmp(key, "size", 4) == 0) {
        if (n >= sizeof digits) return false;
        memcpy(digits, value, n);
        digits[n] = '\0';
        told->has_size = true;
        return str_to_u64(digits, &told->size);
    }
    return true;
}

/* pax: records "LENGTH KEY=VALUE\n" one after another. */
static bool take_pax(struct told *told, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t len = 0, i = at;
        for (; i < n && text[i] >= '0' && text[i] <= '9' && len < LONG_MAX_BYTES; i++)
            len = len * 10 + (size_t)(text[i] - '0');
        if (i == at || i >= n || text[i] != ' ' || len > n - at || len < i - at + 3 || text[at + len - 1] != '\n')
            return false;
        const char *key = text + i + 1, *end = text + at + len - 1, *eq = memchr(key, '=', (size_t)(end - key));
        if (!eq || !take_record(told, key, (size_t)(eq - key), eq + 1, (size_t)(end - eq - 1))) return false;
        at += len;
    }
    return true;
}

static int take_told(struct tar_reader *t, struct told *told, char type, uint64_t size, struct err *e)
{
    if (size > LONG_MAX_BYTES) return bad(t, "an extended header is too large", e);
    char *text = mem_alloc((size_t)size + 1);
    int rc = file_pread(t->fd, t->path, text, (size_t)size, t->next + BLOCK, e);
    bool good = true;
    if (rc == 0 && type == 'L') {
        good = strlen(text) < sizeof told->name;
        if (good) memcpy(told->name, text, strlen(text) + 1);
    } else if (rc == 0 && type == 'x') {
        good = take_pax(told, text, (size_t)size);
    }
    mem_free(text);
    return rc || good ? rc : bad(t, "an extended header is broken", e);
}

/* 1: it is a file and stands in t; 0: pass over it. */
static int take_entry(struct tar_reader *t, const struct told *told, const unsigned char *h, uint64_t size,
                      struct err *e)
{
    char type = (char)h[TYPE_AT];
    if (told->name[0])
        memcpy(t->name, told->name, sizeof t->name);
    else
        header_name(h, t->name, sizeof t->name);
    while (str_starts(t->name, "./")) memmove(t->name, t->name + 2, strlen(t->name + 2) + 1);
    if (type == '5' || type == 'g' || !t->name[0]) return 0;
    if (type != '0' && type != '\0' && type != '7')
        return bad(t, "it holds links or devices, files alone are taken", e);
    if (!archive_name_is_safe(t->name)) return bad(t, "a name leads out of it", e);
    t->begin = t->next + BLOCK;
    t->size = size;
    return 1;
}

int tar_next(struct tar_reader *t, struct err *e)
{
    unsigned char h[BLOCK];
    static const unsigned char zero[BLOCK];
    struct told told = {.has_size = false};
    while (t->next < t->size_bytes) {
        uint64_t size;
        if (t->size_bytes - t->next < BLOCK) return bad(t, "it ends within a header", e);
        int rc = file_pread(t->fd, t->path, h, BLOCK, t->next, e);
        if (rc) return rc;
        if (memcmp(h, zero, BLOCK) == 0) return 0;
        if (!sum_is_right(h) || !read_number(h + SIZE_AT, 12, &size)) return bad(t, "a header has a wrong checksum", e);
        char type = (char)h[TYPE_AT];
        bool about_next = type == 'L' || type == 'x' || type == 'K';
        if (told.has_size && !about_next) size = told.size;
        if (size > t->size_bytes - t->next - BLOCK) return bad(t, "an entry is longer than the file", e);
        rc = about_next ? take_told(t, &told, type, size, e) : take_entry(t, &told, h, size, e);
        if (!about_next) told = (struct told){.has_size = false};
        t->next += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
        if (rc) return rc;
    }
    return 0;
}
