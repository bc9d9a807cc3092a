/* The one check of names from outside. Owns nothing. */
#include "ground/archive/archive_name.h"

#include <string.h>

#include "ground/base/str.h"

enum { NAME_MAX_BYTES = 1024, COMPONENT_MAX_BYTES = 255 };

static bool component_is_safe(const char *s, size_t n)
{
    if (n == 0 || n > COMPONENT_MAX_BYTES || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
        return false;
    for (size_t i = 0, len; i < n; i += len) {
        len = (size_t)str_utf8_char(s + i, n - i);
        if (len == 0 || (unsigned char)s[i] < 0x20 || s[i] == 0x7f || s[i] == '\\') return false;
    }
    return true;
}

bool archive_name_is_safe(const char *name)
{
    if (strlen(name) > NAME_MAX_BYTES) return false;
    for (;; name++) {
        size_t n = strcspn(name, "/");
        if (!component_is_safe(name, n)) return false;
        name += n;
        if (!*name) return true;
    }
}
