/* SHA-256 of memory, streams and files, by OpenSSL (hardware speed), as lower-case hex; and git's SHA-1 of a file, by
 * which hubs name files that are not large. */
#ifndef SYS_DIGEST_H
#define SYS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"

enum { DIGEST_HEX_SIZE = 65 }; /* 64 digits and the NUL */

/* A digest in the making: begin, add any number of times, then end (with hex NULL to give up). */
struct digest {
    void *state;
};
/* -ERR_INTERNAL when the library refuses SHA-256. */
int digest_begin(struct digest *d, struct err *e) MUST_CHECK;
/* Append n bytes. */
void digest_add(struct digest *d, const void *p, size_t n);
/* Write the digest of all that was added and free the state; hex NULL only frees. */
void digest_end(struct digest *d, char hex[DIGEST_HEX_SIZE]);

/* Digest of n bytes. */
int digest_memory(const void *p, size_t n, char hex[DIGEST_HEX_SIZE], struct err *e) MUST_CHECK;
/* Digest of a regular file, read to its end; *size_bytes (when not NULL) is what was read. */
int digest_file(const char *path, char hex[DIGEST_HEX_SIZE], uint64_t *size_bytes, struct err *e) MUST_CHECK;

enum { DIGEST_GIT_HEX_SIZE = 41 }; /* 40 digits and the NUL */
/* The id that git gives a file of these contents: SHA-1 of "blob SIZE", a NUL and the bytes. */
int digest_git_blob(const char *path, char hex[DIGEST_GIT_HEX_SIZE], struct err *e) MUST_CHECK;

#endif
