/* The command line as a source of values: --name value, --name=value, --flag, --no-flag, positionals, "--". */
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/param/param_int.h"

struct args {
    int argc;
    char *const *argv;
    int at;
    size_t next_positional; /* index in the table from which the next one is looked for */
};

static bool has_flag(const struct param_set *s, const char *name)
{
    size_t idx;
    return param_find(s, name, &idx, NULL) == 0;
}

/* --no-NAME of a truth value: the index of NAME. */
static bool find_negated(const struct param_set *s, const char *name, size_t *idx)
{
    return str_starts(name, "no-") && !has_flag(s, name) && param_find(s, name + 3, idx, NULL) == 0 &&
           s->table[*idx].type == PARAM_BOOL;
}

/* The value of an option: behind '=', or the next argument. */
static int option_value(struct args *a, const char *shown, const char *equals, const struct param *p,
                        const char **value, struct err *e)
{
    *value = equals ? equals + 1 : NULL;
    if (!*value && p->type == PARAM_BOOL) *value = "true";
    if (*value) return 0;
    char need[256];
    param_needed(p, need, sizeof need);
    const char *next = a->at + 1 < a->argc ? a->argv[a->at + 1] : NULL;
    if (!next)
        return err_set(e, ERR_USAGE, p->name, "cannot set \"%s\": a value is missing, %s is needed", shown, need);
    if (str_starts(next, "--"))
        return err_set(e, ERR_USAGE, p->name,
                       "cannot set \"%s\": the option \"%s\" stands where %s is needed (%s=VALUE takes any value)",
                       shown, next, need, shown);
    a->at++;
    *value = next;
    return 0;
}

static int take_option(struct param_set *s, struct args *a, const char *arg, struct err *e)
{
    const char *equals = strchr(arg, '=');
    char *name = mem_strndup(arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg));
    char shown[PARAM_NAME_SIZE];
    size_t idx;
    const char *value;
    int rc;
    if (!equals && find_negated(s, name, &idx)) {
        rc = param_set_text(s, s->table[idx].name, "false", e);
        goto out;
    }
    rc = param_find(s, name, &idx, e);
    if (rc) goto out;
    param_shown_name(&s->table[idx], true, shown);
    if ((s->table[idx].flags & PARAM_ONCE) && s->value[idx].source == s->source) {
        rc = err_set(e, ERR_USAGE, s->table[idx].name, "cannot set \"%s\" a second time: one is possible", shown);
        goto out;
    }
    rc = option_value(a, shown, equals, &s->table[idx], &value, e);
    if (rc == 0) rc = param_set_text(s, s->table[idx].name, value, e);
out:
    mem_free(name);
    return rc;
}

static int take_positional(struct param_set *s, struct args *a, const char *arg, struct err *e)
{
    size_t i = a->next_positional;
    while (i < s->n && !(s->table[i].flags & PARAM_POSITIONAL)) i++;
    if (i == s->n) return err_set(e, ERR_USAGE, arg, "cannot use argument \"%s\": there is no place for it", arg);
    bool rest = s->table[i].flags & PARAM_REST;
    a->next_positional = rest ? i : i + 1;
    return param_put_text(s, i, arg, !rest || s->value[i].source != s->source, e);
}

int param_set_args(struct param_set *s, int argc, char *const *argv, struct err *e)
{
    struct args a = {.argc = argc, .argv = argv};
    bool flags_ended = false;
    int rc = 0;
    param_begin_source(s, true);
    for (; a.at < argc && rc == 0; a.at++) {
        const char *arg = argv[a.at];
        if (flags_ended || arg[0] != '-' || !arg[1])
            rc = take_positional(s, &a, arg, e);
        else if (strcmp(arg, "--") == 0)
            flags_ended = true;
        else if (arg[1] == '-')
            rc = take_option(s, &a, arg, e);
        else
            rc = err_set(
                e, ERR_USAGE, arg,
                "cannot use argument \"%s\": options begin with two dashes; \"--\" before it takes it as it is", arg);
    }
    return rc;
}
