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

const struct command_group *command_group_find(const char *word)
{
    for (const struct command_group *g = command_groups; g->name; g++)
        if (str_eq(g->name, word)) return g;
    return NULL;
}

bool command_is_below(const struct command *cmd, const char *first)
{
    return str_starts(cmd->name, first) && cmd->name[strlen(first)] == ' ';
}

bool command_in_group(const struct command *cmd, const struct command_group *group)
{
    return command_is_below(cmd, group->name);
}

/* What words may have been meant to be: a command, or a group. */
static const char *nearest(const char *words)
{
    const char *best = NULL;
    int limit = str_distance_max(words) + 1;
    for (const struct command *const *c = commands; *c; c++) {
        int d = str_mistyped(words, (*c)->name);
        if (d < limit) best = (*c)->name;
        if (d < limit) limit = d;
    }
    for (const struct command_group *g = command_groups; g->name; g++) {
        int d = str_mistyped(words, g->name);
        if (d < limit) best = g->name;
        if (d < limit) limit = d;
    }
    return best;
}

/* "import, list" of a group. */
static void second_words(const struct command_group *group, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (const struct command *const *c = commands; *c; c++)
        if (command_in_group(*c, group) && len + 64 < size)
            len += (size_t)snprintf(out + len, size - len, "%s%.60s", len ? ", " : "",
                                    (*c)->name + strlen(group->name) + 1);
}

static int unknown(int n, char *const *word, struct err *e)
{
    char joined[160], second[256];
    const struct command_group *group = command_group_find(word[0]);
    snprintf(joined, sizeof joined, "%s%s%s", word[0], n > 1 ? " " : "", n > 1 ? word[1] : "");
    if (group) {
        second_words(group, second, sizeof second);
        return err_set(e, ERR_USAGE, word[n > 1], "cannot run \"%s\": one of %s is needed after %s", joined, second,
                       word[0]);
    }
    const char *near = nearest(joined);
    near = near ? near : nearest(word[0]);
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
