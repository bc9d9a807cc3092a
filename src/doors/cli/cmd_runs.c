/* runs list, runs show: the run directories that were recorded. */
#include <stdio.h>

#include "doors/cli/cli.h"
#include "govern/registry/registry.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

extern const struct command cmd_runs_list, cmd_runs_show;

static const char *kind_text(const struct cli *c, const char *kind)
{
    if (c->lang == LANG_ZH && str_eq(kind, "tune")) return "微调";
    return c->lang == LANG_ZH && str_eq(kind, "eval") ? "评测" : kind;
}

static void print_row(const struct cli *c, const json_t *row)
{
    const char *kind = kind_text(c, json_string_value(json_object_get(row, "kind")));
    printf("%s  %s%*s  %s%s\n", json_string_value(json_object_get(row, "time")), kind, str_padding(kind, 6), "",
           json_string_value(json_object_get(row, "path")),
           json_is_true(json_object_get(row, "exists")) ? "" : cli_text(c, "  (gone)", "（已不存在）"));
}

static int run_list(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct registry *r;
    json_t *list = NULL;
    (void)args;
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    rc = registry_runs(r, &list, e);
    registry_close(r);
    if (rc) return rc;
    if (c->json) {
        cli_print_json(json_pack("{s:o}", "runs", list));
        return EXIT_OK;
    }
    puts(json_array_size(list) == 0
             ? cli_text(c, "nothing yet", "暂无内容")
             : cli_text(c, "time                  kind    directory", "时间                  类别    目录"));
    for (size_t i = 0; i < json_array_size(list); i++) print_row(c, json_array_get(list, i));
    json_decref(list);
    return EXIT_OK;
}

static const struct param show_params[] = {
    {"run", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "DIR", "run directory",
     "运行目录"},
};

static int run_show(const struct cli *c, const struct param_set *args, struct err *e)
{
    const char *dir = param_str(args, "run");
    char *path = path_join(dir, "manifest.json");
    json_t *manifest = NULL;
    struct buf text;
    buf_init(&text, 1 << 26);
    int rc = file_exists(path) ? json_read_file(path, 1 << 26, &manifest, e)
                               : err_set(e, ERR_NOT_FOUND, dir, "cannot show run \"%s\": it has no manifest.json", dir);
    mem_free(path);
    if (rc == 0 && c->json)
        cli_print_json(json_incref(manifest));
    else if (rc == 0 && json_format(manifest, JSON_PRETTY, &text) == 0)
        fputs(text.data, stdout);
    json_decref(manifest);
    buf_deinit(&text);
    return rc;
}

const struct command cmd_runs_list = {
    .name = "runs list",
    .summary_en = "run directories, newest first",
    .summary_zh = "运行目录，最新的在前",
    .usage = "",
    .example = "tailor runs list",
    .run = run_list,
};

const struct command cmd_runs_show = {
    .name = "runs show",
    .summary_en = "the manifest of a run",
    .summary_zh = "运行的清单",
    .usage = "DIR",
    .example = "tailor runs show runs/base",
    .params = show_params,
    .n_param = N_ELEM(show_params),
    .run = run_show,
};
