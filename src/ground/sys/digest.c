/* SHA-256 (and git's SHA-1) through OpenSSL's EVP interface. Owns the context between begin and end. OpenSSL appears in
 * this file only.
 */
#include "ground/sys/digest.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"

enum { READ_BYTES = 1 << 18 };

static int begin(struct digest *d, const EVP_MD *kind, const char *name, struct err *e)
{
    d->state = EVP_MD_CTX_new();
    if (d->state && EVP_DigestInit_ex(d->state, kind, NULL) == 1) return 0;
    digest_end(d, NULL);
    return err_set(e, ERR_INTERNAL, name, "cannot compute %s: the OpenSSL library refuses it", name);
}

int digest_begin(struct digest *d, struct err *e)
{
    return begin(d, EVP_sha256(), "SHA-256", e);
}

void digest_add(struct digest *d, const void *p, size_t n)
{
    EVP_DigestUpdate(d->state, p, n); /* cannot fail after a successful init */
}

static void end(struct digest *d, char *hex)
{
    static const char digit[] = "0123456789abcdef";
    unsigned char sum[EVP_MAX_MD_SIZE] = {0};
    unsigned n = 0;
    if (hex) {
        EVP_DigestFinal_ex(d->state, sum, &n);
        for (size_t i = 0; i < n; i++) {
            hex[2 * i] = digit[sum[i] >> 4];
            hex[2 * i + 1] = digit[sum[i] & 15];
        }
        hex[2 * n] = '\0';
    }
    EVP_MD_CTX_free(d->state);
    d->state = NULL;
}

void digest_end(struct digest *d, char hex[DIGEST_HEX_SIZE])
{
    end(d, hex);
}

int digest_memory(const void *p, size_t n, char hex[DIGEST_HEX_SIZE], struct err *e)
{
    struct digest d;
    int rc = digest_begin(&d, e);
    if (rc) return rc;
    digest_add(&d, p, n);
    digest_end(&d, hex);
    return 0;
}

static int add_fd(struct digest *d, int fd, const char *path, uint64_t *size_bytes, struct err *e)
{
    char *chunk = mem_try_realloc(NULL, READ_BYTES);
    if (!chunk) return err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    uint64_t total = 0;
    ssize_t n;
    while ((n = read(fd, chunk, READ_BYTES)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        digest_add(d, chunk, (size_t)n);
        total += (uint64_t)n;
    }
    int rc = n < 0 ? err_set_errno(e, path, "cannot read \"%s\"", path) : 0;
    mem_free(chunk);
    if (size_bytes) *size_bytes = total;
    return rc;
}

int digest_file(const char *path, char hex[DIGEST_HEX_SIZE], uint64_t *size_bytes, struct err *e)
{
    int fd;
    int rc = file_open_read(path, &fd, NULL, e);
    if (rc) return rc;
    struct digest d;
    rc = digest_begin(&d, e);
    if (rc == 0) {
        rc = add_fd(&d, fd, path, size_bytes, e);
        digest_end(&d, rc ? NULL : hex);
    }
    close(fd);
    return rc;
}

int digest_git_blob(const char *path, char hex[DIGEST_GIT_HEX_SIZE], struct err *e)
{
    struct digest d;
    char head[40];
    int fd;
    uint64_t size, n_read;
    int rc = file_open_read(path, &fd, &size, e);
    if (rc) return rc;
    rc = begin(&d, EVP_sha1(), "SHA-1", e);
    if (rc == 0) {
        digest_add(&d, head, (size_t)snprintf(head, sizeof head, "blob %llu", (unsigned long long)size) + 1);
        rc = add_fd(&d, fd, path, &n_read, e);
        end(&d, rc ? NULL : hex);
    }
    close(fd);
    return rc;
}
