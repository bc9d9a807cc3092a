/* The names that the steps of normalization have in files. */
#include <stdio.h>
#include <string.h>

#include "compute/formats/formats_int.h"
#include "ground/base/attr.h"

static const struct {
    const char *name;
    unsigned bit;
} step[] = {{"clean", NORMALIZE_CLEAN},  {"cjk", NORMALIZE_CJK},         {"nfc", NORMALIZE_NFC},
            {"nfd", NORMALIZE_NFD},      {"accents", NORMALIZE_ACCENTS}, {"lower", NORMALIZE_LOWER},
            {"spaces", NORMALIZE_SPACES}};

void vocab_normalize_format(unsigned bits, char out[96])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_ELEM(step); i++) {
        if (bits & step[i].bit) {
            n += (size_t)snprintf(out + n, 96 - n, "%s%s", n ? "," : "", step[i].name);
        }
    }
}

bool vocab_normalize_parse(const char *text, unsigned *bits)
{
    *bits = 0;
    while (*text) {
        size_t n = strcspn(text, ","), i = 0;
        while (i < N_ELEM(step) && (strlen(step[i].name) != n || memcmp(step[i].name, text, n) != 0)) {
            i++;
        }
        if (i == N_ELEM(step)) {
            return false;
        }
        *bits |= step[i].bit;
        text += n + (text[n] == ',');
    }
    return true;
}
