/* SHA-256 through OpenSSL's EVP interface. Owns the context between begin and end. OpenSSL appears in this file only.
 */
#include "ground/sys/digest.h"

#include <errno.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"

enum { READ_BYTES = 1 << 18 };

static int fail(struct err *e)
{
    return err_set(e, ERR_INTERNAL, "sha256", "cannot compute SHA-256: the OpenSSL library refuses it");
}

int digest_begin(struct digest *d, struct err *e)
{
    d->state = EVP_MD_CTX_new();
    if (d->state && EVP_DigestInit_ex(d->state, EVP_sha256(), NULL) == 1) return 0;
    digest_end(d, NULL);
    return fail(e);
}

void digest_add(struct digest *d, const void *p, size_t n)
{
    EVP_DigestUpdate(d->state, p, n); /* cannot fail after a successful init */
}

void digest_end(struct digest *d, char hex[DIGEST_HEX_SIZE])
{
    static const char digit[] = "0123456789abcdef";
    unsigned char sum[EVP_MAX_MD_SIZE] = {0};
    if (hex) {
        EVP_DigestFinal_ex(d->state, sum, NULL);
        for (size_t i = 0; i < 32; i++) {
            hex[2 * i] = digit[sum[i] >> 4];
            hex[2 * i + 1] = digit[sum[i] & 15];
        }
        hex[64] = '\0';
    }
    EVP_MD_CTX_free(d->state);
    d->state = NULL;
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
