/* cache list, cache write, cache remove: models in packed form. Owns the forms of the results only. */
#include <stdio.h>
#include <string.h>

#include "compute/model/packed_file.h"
#include "doors/cli/cli_engine.h"
#include "doors/cli/cli_packed.h"
#include "doors/cli/message_zh.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

extern const struct command cmd_cache_list, cmd_cache_write, cmd_cache_remove;

/* --- list --- */

static const struct param list_params[] = {
    {"check", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "read all data and compare them with their digests",
     "读取全部数据并与摘要核对"},
};

/* What is said of one file; code 0 in *why: nothing is wrong with it. */
static json_t *describe(const char *path, uint64_t layout, bool check, struct err *why)
{
    struct packed_info info = {.size_bytes = 0};
    *why = (struct err){0};
    int rc = packed_file_describe(path, check, &info, why);
    bool current = !rc && info.is_current && info.layout == layout;
    return json_pack("{s:s, s:s, s:I, s:b, s:s?}", "path", path, "model", info.model_path, "bytes",
                     (json_int_t)info.size_bytes, "current", current, "problem", rc ? why->msg : NULL);
}

static void print_row(const struct cli *c, const json_t *row)
{
    char size[32];
    const char *problem = json_string_value(json_object_get(row, "problem"));
    str_format_bytes((uint64_t)json_integer_value(json_object_get(row, "bytes")), size, sizeof(size));
    if (problem)
        cli_print_message(c->lang, "", "", problem);
    else
        printf("%10s  %s%s\n", size, json_string_value(json_object_get(row, "model")),
               json_is_true(json_object_get(row, "current")) ? "" : cli_text(c, "  (outdated)", "（已过时）"));
}

static int print_list(const struct cli *c, const char *dir, json_t *rows)
{
    size_t i;
    json_t *row;
    bool bad = false;
    json_array_foreach(rows, i, row) bad = bad || json_is_string(json_object_get(row, "problem"));
    if (c->json) {
        cli_print_json(json_pack("{s:s, s:O}", "directory", dir, "packed", rows));
        return bad ? EXIT_FAILED : EXIT_OK;
    }
    json_array_foreach(rows, i, row) print_row(c, row);
    if (json_array_size(rows) == 0) printf(cli_text(c, "no packed models in \"%s\"\n", "“%s”中没有打包的模型\n"), dir);
    return bad ? EXIT_FAILED : EXIT_OK;
}

static int run_list(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct dev *d = NULL;
    char **name = NULL, *dir = cli_packed_dir(c);
    size_t n = 0;
    uint64_t layout = 0;
    struct err why;
    json_t *rows = json_array();
    int rc = cli_device(c, &d, e);
    if (!rc) rc = dev_layout(d, &layout, e);
    if (!rc && file_is_dir(dir)) rc = file_list_dir(dir, &name, &n, e);
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(dir, name[i]);
        if (!rc && str_ends(path, ".packed"))
            json_array_append_new(rows, describe(path, layout, param_bool(args, "check"), &why));
        mem_free(path);
        mem_free(name[i]);
    }
    if (!rc) rc = print_list(c, dir, rows);
    mem_free(name);
    mem_free(dir);
    json_decref(rows);
    dev_free(d);
    return rc;
}

/* --- write --- */

static const struct param write_params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
};

static int run_write(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct cli afresh = *c;
    struct cli_engine x;
    char *path = NULL;
    afresh.packed_cache = PACKED_CACHE_OFF;
    int rc = cli_engine_load(&x, &afresh, param_str(args, "model"), NULL, e);
    if (rc) return rc;
    rc = cli_packed_write(c, x.model.model, x.model.file, &path, e);
    if (!rc && c->json)
        cli_print_json(json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)packed_file_bytes(x.model.model)));
    else if (!rc)
        printf("%s\n", path);
    mem_free(path);
    cli_engine_close(&x);
    return rc;
}

/* --- remove --- */

static const struct param remove_params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL, NULL, 0, 0, NULL, NULL, "MODEL", "path or name of the model",
     "模型的路径或名称"},
    {"outdated", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "those whose model is gone or another by now",
     "模型已不存在或已改变的"},
    {"all", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "all of them", "全部"},
};

/* Where the packed form of a model would be. */
static int packed_path_of(const struct cli *c, struct dev *d, const char *model, char **path, struct err *e)
{
    struct model_file *f = NULL;
    char *file = NULL, *dir = cli_packed_dir(c);
    int rc = cli_model_path(c, model, &file, e);
    if (!rc) rc = model_file_open(&f, file, e);
    if (!rc) rc = packed_file_path(dir, f, d, path, e);
    if (!rc && !file_exists(*path)) {
        rc = err_set(
            e, ERR_NOT_FOUND, model,
            "cannot find a packed form of \"%s\" as it is now: `tailor cache list` lists them, `tailor cache remove "
            "--outdated` removes those of what it was",
            model);
        mem_free(*path);
        *path = NULL;
    }
    model_file_close(f);
    mem_free(file);
    mem_free(dir);
    return rc;
}

/* Returns the number of files that are gone. */
static int remove_some(const struct cli *c, struct dev *d, const struct param_set *args, struct err *e)
{
    const char *model = param_str(args, "model");
    char *path = NULL;
    int rc = 0;
    if (!model && param_bool(args, "outdated")) return cli_packed_sweep(c, d, e);
    if (model)
        rc = packed_path_of(c, d, model, &path, e);
    else
        path = cli_packed_dir(c);
    char **name = NULL;
    size_t n = 1;
    if (!rc && !model) {
        n = 0;
        rc = file_is_dir(path) ? file_list_dir(path, &name, &n, e) : 0;
        for (size_t i = 0; i < n; i++) mem_free(name[i]);
        mem_free(name);
    }
    if (!rc) rc = file_remove_tree(path, e);
    mem_free(path);
    return rc ? rc : (int)n;
}

static int run_remove(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct dev *d;
    int n_way = (param_str(args, "model") != NULL) + param_bool(args, "outdated") + param_bool(args, "all");
    if (n_way != 1)
        return err_set(e, ERR_USAGE, NULL, "cannot remove packed models: MODEL, --outdated or --all is needed");
    int rc = cli_device(c, &d, e);
    if (rc) return rc;
    int n = remove_some(c, d, args, e);
    dev_free(d);
    if (n < 0) return n;
    if (c->json)
        cli_print_json(json_pack("{s:i}", "removed", n));
    else
        printf(cli_text(c, "%d removed\n", "删除了 %d 个\n"), n);
    return 0;
}

const struct command cmd_cache_list = {
    .name = "cache list",
    .summary_en = "models that are kept packed",
    .summary_zh = "保存有打包形式的模型",
    .usage = "[--check]",
    .example = "tailor cache list --check",
    .params = list_params,
    .n_param = N_ELEM(list_params),
    .run = run_list,
};

const struct command cmd_cache_write = {
    .name = "cache write",
    .summary_en = "keep a model packed, so that it loads faster and processes share it",
    .summary_zh = "保存模型的打包形式：加载更快，多个进程共用内存",
    .usage = "MODEL",
    .example = "tailor cache write model.gguf",
    .params = write_params,
    .n_param = N_ELEM(write_params),
    .run = run_write,
};

const struct command cmd_cache_remove = {
    .name = "cache remove",
    .summary_en = "remove packed models",
    .summary_zh = "删除打包的模型",
    .usage = "(MODEL | --outdated | --all)",
    .example = "tailor cache remove --outdated",
    .params = remove_params,
    .n_param = N_ELEM(remove_params),
    .run = run_remove,
};
