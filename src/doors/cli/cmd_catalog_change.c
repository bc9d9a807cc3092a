/* catalog add, catalog update, catalog add-model: rows of one's own, in the home, over those of the program. */
#include <stdio.h>
#include <string.h>

#include "doors/cli/catalog_params.h"
#include "doors/cli/cli.h"
#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/age.h"
#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/read_model.h"
#include "lifecycle/plan/shelf.h"

extern const struct command cmd_catalog_add, cmd_catalog_update, cmd_catalog_add_model;

struct shown {
    const struct cli *c;
    json_t *changes; /* with --json */
};

static void show_change(void *at, const struct shelf_change *change)
{
    struct shown *s = at;
    if (s->c->json) {
        json_array_append_new(s->changes,
                              json_pack("{s:s,s:s?,s:s?,s:s?}", "row", change->name, "column", change->column, "was",
                                        change->column ? change->was : NULL, "is", change->column ? change->is : NULL));
        return;
    }
    if (change->column)
        printf("~ %s %s: \"%s\" -> \"%s\"\n", change->name, change->column, change->was, change->is);
    else
        printf(cli_text(s->c, "+ %s (new)\n", "+ %s（新增）\n"), change->name);
}

static void show_result(const struct shown *s, const struct shelf_result *r, const char *date, bool dry)
{
    if (s->c->json) {
        cli_print_json(json_pack("{s:O,s:I,s:I,s:I,s:s,s:s,s:b}", "changes", s->changes, "added",
                                 (json_int_t)r->n_added, "changed", (json_int_t)r->n_changed, "same",
                                 (json_int_t)r->n_same, "file", r->file, "date", date, "written",
                                 !dry && r->n_added + r->n_changed > 0));
        return;
    }
    printf(cli_text(s->c, "%zu new, %zu changed, %zu as they were", "新增 %zu 行，变更 %zu 行，未变 %zu 行"),
           r->n_added, r->n_changed, r->n_same);
    if (dry)
        printf("%s", cli_text(s->c, "; nothing was written", "；未写入"));
    else if (r->n_added + r->n_changed)
        printf(cli_text(s->c, "; dated %s in catalog/%s of the home", "；日期 %s，已写入主目录的 catalog/%s"), date,
               r->file);
    putchar('\n');
}

/* --- add --- */

static const struct param add_params[] = {
    {"table", PARAM_CHOICE, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, "models|hardware|prices", NULL, "TABLE",
     "models, hardware or prices", "models、hardware 或 prices"},
    {"values", PARAM_STRING, PARAM_POSITIONAL | PARAM_REST | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "COLUMN=VALUE",
     "columns as `tailor catalog ... --json` names them; those that are not given stay as they are",
     "列名同 `tailor catalog ... --json`；未给出的列保持原样"},
    PARAM_DRY,
};

static int run_add(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct shown shown = {c, json_array()};
    struct shelf_result result;
    char date[11];
    size_t n = param_count(args, "values");
    const char **pairs = mem_alloc((n + 1) * sizeof *pairs);
    bool dry = param_bool(args, "dry_run");
    for (size_t i = 0; i < n; i++) pairs[i] = param_str_at(args, "values", i);
    plan_today(clock_unix_ms(), date);
    int rc = shelf_add(c->home, row_table_find(param_str(args, "table")), pairs, n, date, dry, show_change, &shown,
                       &result, e);
    if (rc == 0) show_result(&shown, &result, date, dry);
    mem_free(pairs);
    json_decref(shown.changes);
    return rc;
}

/* --- update --- */

static const struct param update_params[] = {
    {"file", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "FILE",
     "CSV of models, hardware or prices; its columns say which", "模型、硬件或价格的 CSV；由其列名判断是哪一种"},
    PARAM_DRY,
};

static int run_update(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct shown shown = {c, json_array()};
    struct shelf_result result;
    char date[11];
    bool dry = param_bool(args, "dry_run");
    plan_today(clock_unix_ms(), date);
    int rc = shelf_update(c->home, param_str(args, "file"), date, dry, show_change, &shown, &result, e);
    if (rc == 0) show_result(&shown, &result, date, dry);
    json_decref(shown.changes);
    return rc;
}

/* --- add-model --- */

static const struct param model_params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "GGUF file, Hugging Face directory, config.json or registry name",
     "GGUF 文件、Hugging Face 目录、config.json 或注册名"},
    {"name", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "NAME", "its name in the catalogue; otherwise that of the file",
     "在目录中的名称；未给出时取文件名"},
    PARAM_DRY,
};

/* The last part of the path, without what every file of its kind ends with. */
static char *name_of(const char *path, const char *given)
{
    const char *base = path_base(path);
    if (given) return mem_strdup(given);
    const char *dot = strrchr(base, '.');
    bool known = dot && (strcmp(dot, ".gguf") == 0 || strcmp(dot, ".json") == 0);
    return mem_strndup(base, known ? (size_t)(dot - base) : strlen(base));
}

static int add_model(const struct cli *c, const char *path, const char *name, bool dry, struct err *e)
{
    struct shown shown = {c, json_array()};
    struct shelf_result result;
    struct plan_model m;
    struct arena arena;
    char date[11];
    arena_init(&arena, 1 << 20);
    plan_today(clock_unix_ms(), date);
    int rc = plan_model_read(path, name, &arena, &m, e);
    if (rc == 0) {
        m.params_total_b = plan_params_total(&m) / 1e9;
        struct plan_params p;
        plan_params_of(&m, &p);
        m.params_active_b = (p.active + p.embed) / 1e9;
        m.source = path_base(path);
        m.confidence = "read from the file";
        rc = shelf_add_row(c->home, &row_models, &m, date, dry, show_change, &shown, &result, e);
    }
    if (rc == 0) show_result(&shown, &result, date, dry);
    json_decref(shown.changes);
    arena_deinit(&arena);
    return rc;
}

static int run_add_model(const struct cli *c, const struct param_set *args, struct err *e)
{
    char *path;
    int rc = cli_model_path(c, param_str(args, "model"), &path, e);
    if (rc) return rc;
    char *name = name_of(param_str(args, "model"), param_str(args, "name"));
    rc = add_model(c, path, name, param_bool(args, "dry_run"), e);
    mem_free(name);
    mem_free(path);
    return rc;
}

const struct command cmd_catalog_add = {
    .name = "catalog add",
    .summary_en = "add a row to the catalogue, or change columns of one",
    .summary_zh = "向目录添加一行，或修改某行的列",
    .usage = "models|hardware|prices COLUMN=VALUE... [--dry-run]",
    .example = "tailor catalog add hardware id=H100 price2026_rmb_low=190000",
    .params = add_params,
    .n_param = N_ELEM(add_params),
    .run = run_add,
};

const struct command cmd_catalog_update = {
    .name = "catalog update",
    .summary_en = "put the rows of a CSV file over the catalogue, showing what changes",
    .summary_zh = "用 CSV 文件的行更新目录，并显示变更",
    .usage = "FILE [--dry-run]",
    .example = "tailor catalog update prices-2026-12.csv --dry-run",
    .params = update_params,
    .n_param = N_ELEM(update_params),
    .run = run_update,
};

const struct command cmd_catalog_add_model = {
    .name = "catalog add-model",
    .summary_en = "add a model at hand to the catalogue, with its dimensions",
    .summary_zh = "把手头的模型连同维度加入目录",
    .usage = "MODEL [--name NAME] [--dry-run]",
    .example = "tailor catalog add-model models/our-7b/config.json --name our-7b",
    .params = model_params,
    .n_param = N_ELEM(model_params),
    .run = run_add_model,
};
