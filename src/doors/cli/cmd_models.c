/* models list, models show, models alias: what the registry holds of models and adapters, and what its aliases mean. */
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "doors/cli/cli.h"
#include "doors/cli/registry_print.h"
#include "govern/registry/registry.h"

extern const struct command cmd_models_list, cmd_models_show, cmd_models_alias;

static int run_list(const struct cli *c, const struct param_set *args, struct err *e)
{
    static const char *const kinds[] = {"model", "adapter", NULL};
    (void)args;
    return registry_print_list(c, kinds, "models", e);
}

static const struct param show_params[] = {
    {"name", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "NAME[:VERSION|@ALIAS]",
     "name in the registry", "注册名"},
};

static int run_show(const struct cli *c, const struct param_set *args, struct err *e)
{
    return registry_print_show(c, param_str(args, "name"), e);
}

static const struct param alias_params[] = {
    {"name", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "NAME", "name in the registry",
     "注册名"},
    {"alias", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "ALIAS",
     "the alias, as in NAME@ALIAS", "别名，用作 NAME@ALIAS"},
    {"version", PARAM_INT, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 1, 1e9, NULL, NULL, "VERSION",
     "the version that it shall mean", "要指向的版本"},
    {"expect", PARAM_INT, 0, NULL, 0, 1e9, NULL, NULL, "VERSION",
     "move it only when it means this version now; 0: when it does not exist",
     "仅当它目前指向此版本时才移动；0：仅当它尚不存在"},
    {"reason", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT", "why, kept in the history", "原因，记入历史"},
};

/* Who moves it: the user that the system knows this process by. */
static void find_actor(char *out, size_t size)
{
    struct passwd entry, *found = NULL;
    char text[4096];
    uid_t uid = geteuid();
    if (getpwuid_r(uid, &entry, text, sizeof text, &found) == 0 && found)
        snprintf(out, size, "%s", found->pw_name);
    else
        snprintf(out, size, "uid %lu", (unsigned long)uid);
}

static void print_move(const struct cli *c, const struct alias_move *m, int from)
{
    if (c->json) {
        cli_print_json(json_pack("{s:s,s:s,s:i,s:i,s:s,s:s?}", "name", m->name, "alias", m->alias, "version",
                                 m->version, "from", from, "actor", m->actor, "reason", m->reason));
        return;
    }
    if (from == 0)
        printf("%s@%s -> %d\n", m->name, m->alias, m->version);
    else if (from == m->version)
        printf(cli_text(c, "%s@%s -> %d (it was there already)\n", "%s@%s -> %d（原本如此）\n"), m->name, m->alias,
               m->version);
    else
        printf(cli_text(c, "%s@%s -> %d (it was %d)\n", "%s@%s -> %d（原为 %d）\n"), m->name, m->alias, m->version,
               from);
}

static int run_alias(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct registry *r;
    char actor[128];
    int from = 0;
    struct alias_move m = {.name = param_str(args, "name"),
                           .alias = param_str(args, "alias"),
                           .version = (int)param_int(args, "version"),
                           .expected_version = param_is_set(args, "expect") ? (int)param_int(args, "expect") : -1,
                           .actor = actor,
                           .reason = param_str(args, "reason")};
    find_actor(actor, sizeof actor);
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    rc = registry_move_alias(r, &m, &from, e);
    registry_close(r);
    if (rc == 0) print_move(c, &m, from);
    return rc;
}

const struct command cmd_models_list = {
    .name = "models list",
    .summary_en = "models and adapters in the registry",
    .summary_zh = "注册表中的模型与适配器",
    .usage = "",
    .example = "tailor models list",
    .run = run_list,
};

const struct command cmd_models_show = {
    .name = "models show",
    .summary_en = "files, digests and history of a model",
    .summary_zh = "模型的文件、摘要与历史",
    .usage = "NAME[:VERSION|@ALIAS]",
    .example = "tailor models show smollm2",
    .params = show_params,
    .n_param = N_ELEM(show_params),
    .run = run_show,
};

const struct command cmd_models_alias = {
    .name = "models alias",
    .summary_en = "let an alias of a model mean a version, or another one than before",
    .summary_zh = "让模型的别名指向某个版本，或改指另一个版本",
    .usage = "NAME ALIAS VERSION [--expect VERSION] [--reason TEXT]",
    .example = "tailor models alias support-bot production 2 --expect 1 --reason \"better by 4 points\"",
    .params = alias_params,
    .n_param = N_ELEM(alias_params),
    .run = run_alias,
};
