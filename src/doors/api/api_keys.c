/* API keys: reading the file, and comparing in constant time. Owns no secret but the accepted keys, which are never
 * logged. */
#include <string.h>
#include <strings.h>

#include "doors/api/api_int.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

enum { KEY_FILE_MAX_BYTES = 1 << 20 };

/* Equal, in time that depends on the lengths alone. */
static bool same_key(const char *a, size_t n_a, const char *b, size_t n_b)
{
    volatile unsigned char different = n_a != n_b;
    for (size_t i = 0; i < n_a; i++) different |= (unsigned char)(a[i] ^ b[n_b ? i % n_b : 0]);
    return !different;
}

bool api_key_good(const struct api *a, const char *authorization)
{
    if (!a->n_key) return true;
    if (!authorization || strncasecmp(authorization, "Bearer ", 7)) return false;
    const char *given = authorization + 7 + strspn(authorization + 7, " ");
    size_t n = strlen(given);
    while (n && given[n - 1] == ' ') n--;
    bool good = false;
    for (size_t i = 0; i < a->n_key; i++) good |= same_key(given, n, a->key[i], strlen(a->key[i]));
    return good;
}

int api_keys_load(const char *path, char ***key, size_t *n, struct err *e)
{
    char *text;
    size_t size;
    *key = NULL;
    *n = 0;
    int rc = file_read_all(path, KEY_FILE_MAX_BYTES, &text, &size, e);
    if (rc) return rc;
    size_t n_line = 1;
    for (size_t i = 0; i < size; i++) n_line += text[i] == '\n';
    *key = mem_alloc(n_line * sizeof(**key));
    for (char *line = text; line < text + size;) {
        char *end = line + strcspn(line, "\n");
        size_t begin = strspn(line, " \t\r"), len = (size_t)(end - line);
        while (len > begin && strchr(" \t\r", line[len - 1])) len--;
        if (len > begin && line[begin] != '#') (*key)[(*n)++] = mem_strndup(line + begin, len - begin);
        line = end + 1;
    }
    memset(text, 0, size);
    mem_free(text);
    if (*n) return 0;
    mem_free(*key);
    *key = NULL;
    return err_set(e, ERR_INPUT, path, "cannot use the API keys of \"%s\": it holds none (one a line is needed)", path);
}
