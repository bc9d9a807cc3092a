/* Finding a command by its one or two words. Owns nothing. */
#include "doors/cli/command_find.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/str.h"

/* How many words of the line the name is, 0 when they differ. */
static int words_match(const char *name, int n, char *const *word)
{
    const char *space = strchr(name, ' ');
    if (!space) return str_eq(name, word[0]);
    size_t len = (size_t)(space - name);
    bool first = strlen(word[0]) == len && memcmp(name, word[0], len) == 0;
    return first && n > 1 && str_eq(space + 1, word[1]) ? 2 : 0;
}

static const char *nearest_command(const char *word)
{
    const char *best = NULL;
    int best_distance = (int)strlen(word) / 3 + 2;
    for (const struct command *const *c = commands; *c; c++) {
        int d = str_distance(word, (*c)->name);
        if (d < best_distance) {
            best_distance = d;
            best = (*c)->name;
        }
    }
    return best;
}

/* "import, list" for the word "data"; empty when no command begins with the word. */
static void second_words(const char *word, char *out, size_t size)
{
    size_t n = strlen(word), len = 0;
    out[0] = '\0';
    for (const struct command *const *c = commands; *c; c++) {
        if (str_starts((*c)->name, word) && (*c)->name[n] == ' ' && len + 64 < size)
            len += (size_t)snprintf(out + len, size - len, "%s%.60s", len ? ", " : "", (*c)->name + n + 1);
    }
}

static int unknown(int n, char *const *word, struct err *e)
{
    char joined[160], second[256];
    second_words(word[0], second, sizeof second);
    snprintf(joined, sizeof joined, "%s%s%s", word[0], n > 1 ? " " : "", n > 1 ? word[1] : "");
    if (second[0] && n > 1)
        return err_set(e, ERR_USAGE, word[1], "cannot run \"%s\": one of %s is needed after %s", joined, second,
                       word[0]);
    if (second[0])
        return err_set(e, ERR_USAGE, word[0], "cannot run \"%s\": one of %s is needed after it", word[0], second);
    const char *near = nearest_command(n > 1 ? joined : word[0]);
    near = near ? near : nearest_command(word[0]);
    if (near)
        return err_set(e, ERR_USAGE, word[0], "cannot run \"%s\": there is no such command, did you mean %s?", word[0],
                       near);
    return err_set(e, ERR_USAGE, word[0], "cannot run \"%s\": there is no such command, `tailor help` lists them",
                   word[0]);
}

int command_find(int n, char *const *word, const struct command **out, int *n_word, struct err *e)
{
    *n_word = 0;
    if (n == 0) return err_set(e, ERR_USAGE, "", "cannot run: a command is missing, `tailor help` lists them");
    for (const struct command *const *c = commands; *c; c++) {
        int match = words_match((*c)->name, n, word);
        if (match > *n_word) {
            *out = *c;
            *n_word = match;
        }
    }
    return *n_word ? 0 : unknown(n, word, e);
}
