/* data import, data list, data show: dataset versions. */
#include <stdio.h>
#include <string.h>

#include "doors/cli/cli.h"
#include "doors/cli/registry_print.h"
#include "govern/registry/registry.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/data/dataset.h"

extern const struct command cmd_data_import, cmd_data_list, cmd_data_show;

static const struct param params[] = {
    {"train", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "TRAIN",
     "training table, .csv or .jsonl, or ready-made training rows, .jsonl",
     "训练数据表（.csv 或 .jsonl），或现成的训练数据（.jsonl）"},
    {"format", PARAM_CHOICE, 0, NULL, 0, 0, "auto|table|chat|tokens", "auto", NULL,
     "what TRAIN holds; chat: conversations in any form, preferences, judged answers; tokens: rows with ids and "
     "labels; "
     "auto: by its first row",
     "TRAIN 的内容；chat：任一形式的对话、偏好数据、带 label 的答案；tokens：含 ids 与 labels "
     "的行；auto：按第一行判断"},
    {"test", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE", "test table; its texts are removed from training",
     "测试数据表；其中的文本会从训练数据中去除"},
    {"text_column", PARAM_STRING, 0, NULL, 0, 0, NULL, "text", "NAME", "column of the texts", "文本所在的列"},
    {"label_column", PARAM_STRING, 0, NULL, 0, 0, NULL, "label", "NAME", "column of the labels", "标签所在的列"},
    {"test_per_label", PARAM_INT, 0, "rows", 1, 10000000, NULL, NULL, "N", "only the first N test rows of each label",
     "每个标签只取前 N 行测试数据"},
    {"name", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "NAME", "name of the dataset (default: from OUT)",
     "数据集名称（默认取自输出目录）"},
    {"text_lang", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "LANG", "language of the texts, noted in the cases",
     "文本语言，记入测试题"},
    {"system", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT", "system message of every training row",
     "每条训练数据的系统消息"},
    {"out", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "DIR",
     "directory for train.jsonl, cases.jsonl and manifest.json", "输出目录：train.jsonl、cases.jsonl、manifest.json"},
};

static int64_t count(const json_t *manifest, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(manifest, "counts"), key));
}

static void print_table(const struct cli *c, const json_t *manifest)
{
    printf(cli_text(c, "training: %lld of %lld rows kept; left out %lld repeated, %lld that stand in the test table\n",
                    "训练数据：保留 %lld/%lld 行；去除重复 %lld 行，去除与测试重叠 %lld 行\n"),
           (long long)count(manifest, "train_kept"), (long long)count(manifest, "train_rows"),
           (long long)count(manifest, "train_duplicates"), (long long)count(manifest, "train_test_overlaps"));
    if (count(manifest, "label_conflicts"))
        printf(cli_text(c, "warning: %lld repeated rows carry another label\n", "警告：%lld 行重复数据的标签不一致\n"),
               (long long)count(manifest, "label_conflicts"));
    printf(cli_text(c, "test: %lld of %lld rows; %zu labels\n", "测试：%lld/%lld 行；%zu 个标签\n"),
           (long long)count(manifest, "test_kept"), (long long)count(manifest, "test_rows"),
           json_array_size(json_object_get(manifest, "labels")));
}

/* Their names come from the rows: nothing in them reaches the terminal as a command. */
static void print_teachers(const struct cli *c, const json_t *teachers)
{
    size_t i;
    const json_t *t;
    json_array_foreach(teachers, i, t)
    {
        char name[120], licence[200];
        snprintf(name, sizeof(name), "%s", json_string_value(json_object_get(t, "teacher")));
        snprintf(licence, sizeof(licence), "%s", json_string_value(json_object_get(t, "licence")));
        str_make_printable(name);
        str_make_printable(licence);
        printf(cli_text(c, "%lld rows by teacher %s, licence %s\n", "%lld 行由教师模型 %s 回答，许可证 %s\n"),
               (long long)json_integer_value(json_object_get(t, "rows")), name, licence);
    }
}

static void print_rows(const struct cli *c, const json_t *manifest)
{
    printf(cli_text(c, "training: %lld %s rows taken as they are; %lld of them repeat an earlier one\n",
                    "训练数据：%lld 行（%s），原样保留；其中 %lld 行与前面的重复\n"),
           (long long)count(manifest, "train_kept"), json_string_value(json_object_get(manifest, "format")),
           (long long)count(manifest, "train_duplicates_kept"));
    print_teachers(c, json_object_get(manifest, "teachers"));
}

static void print(const struct cli *c, const struct registered *r, const char *dir, json_t *manifest)
{
    const json_t *labels = json_object_get(manifest, "labels");
    if (c->json) {
        cli_print_json(json_pack("{s:s,s:i,s:s,s:s,s:O,s:O,s:O?,s:O?,s:O}", "name", r->name, "version", r->version,
                                 "digest", r->digest, "path", dir, "format", json_object_get(manifest, "format"),
                                 "counts", json_object_get(manifest, "counts"), "labels", labels, "teachers",
                                 json_object_get(manifest, "teachers"), "outputs",
                                 json_object_get(manifest, "outputs")));
        return;
    }
    if (labels)
        print_table(c, manifest);
    else
        print_rows(c, manifest);
    printf("%s  sha256:%.12s\n", dir, r->digest);
}

static int register_dataset(const struct cli *c, const char *name, const char *dir, json_t *manifest,
                            struct registered *r, struct err *e)
{
    struct registry *registry;
    int rc = registry_open(&registry, c->home, e);
    if (rc) return rc;
    json_t *bare = json_copy(manifest); /* an object is named by the digest of what it says, which cannot hold itself */
    rc = bare && json_object_del(bare, "digest") == 0
             ? registry_put_dataset(registry, name, bare, dir, r, e)
             : err_set(e, ERR_NOMEM, name, "cannot register \"%s\": out of memory", name);
    json_decref(bare);
    registry_close(registry);
    return rc;
}

/* What only a table has cannot be asked of ready-made rows. */
static int refuse_table_options(const struct param_set *args, enum dataset_format format, struct err *e)
{
    static const char *const name[] = {"test", "text_column", "label_column", "test_per_label", "text_lang", "system"};
    for (size_t i = 0; i < N_ELEM(name); i++)
        if (param_is_set(args, name[i]))
            return err_set(e, ERR_USAGE, name[i],
                           "cannot use %s: \"%s\" holds ready-made rows (%s), it is for tables of texts and labels",
                           name[i], param_str(args, "train"), dataset_format_name(format));
    return 0;
}

static int import(const struct import_options *o, const struct param_set *args, json_t **manifest, struct err *e)
{
    const char *name = param_str(args, "format");
    enum dataset_format format = DATASET_TABLE;
    int rc = str_eq(name, "auto") ? dataset_format_find(o->train_path, &format, e) : 0;
    if (str_eq(name, "chat")) format = DATASET_CHAT;
    if (str_eq(name, "tokens")) format = DATASET_TOKENS;
    if (rc == 0 && format == DATASET_TABLE) return dataset_import(o, manifest, e);
    if (rc == 0) rc = refuse_table_options(args, format, e);
    return rc ? rc : dataset_import_rows(o, format, manifest, e);
}

static int run_import(const struct cli *c, const struct param_set *args, struct err *e)
{
    const char *out = param_str(args, "out"), *name = param_str(args, "name");
    struct import_options o = {.train_path = param_str(args, "train"),
                               .test_path = param_str(args, "test"),
                               .text_column = param_str(args, "text_column"),
                               .label_column = param_str(args, "label_column"),
                               .suite = name ? name : path_base(out),
                               .lang = param_str(args, "text_lang"),
                               .system = param_str(args, "system"),
                               .out_dir = out};
    if (param_is_set(args, "test_per_label")) o.test_per_label = (size_t)param_int(args, "test_per_label");
    if (!o.suite[0]) return err_set(e, ERR_USAGE, "name", "cannot name the dataset after \"%s\": give --name", out);
    json_t *manifest = NULL;
    struct registered r;
    int rc = import(&o, args, &manifest, e);
    if (rc == 0) rc = register_dataset(c, o.suite, out, manifest, &r, e);
    if (rc == 0) print(c, &r, out, manifest);
    json_decref(manifest);
    return rc;
}

static int run_list(const struct cli *c, const struct param_set *args, struct err *e)
{
    static const char *const kinds[] = {"dataset", NULL};
    (void)args;
    return registry_print_list(c, kinds, "datasets", e);
}

static const struct param show_params[] = {
    {"name", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "NAME[:VERSION|@ALIAS]",
     "name of the dataset", "数据集名称"},
};

static int run_show(const struct cli *c, const struct param_set *args, struct err *e)
{
    return registry_print_show(c, param_str(args, "name"), e);
}

const struct command cmd_data_import = {
    .name = "data import",
    .summary_en = "check tables of texts and labels, or training rows, one by one and make a dataset version of them",
    .summary_zh = "逐行检查文本与标签的数据表或现成的训练数据，生成数据集版本",
    .usage =
        "TRAIN [--format F] [--test FILE] [--text-column NAME] [--label-column NAME] [--test-per-label N] --out DIR",
    .example = "tailor data import train.csv --test test.csv --label-column intent --out bank",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run_import,
};

const struct command cmd_data_list = {
    .name = "data list",
    .summary_en = "dataset versions in the registry",
    .summary_zh = "注册表中的数据集版本",
    .usage = "",
    .example = "tailor data list",
    .run = run_list,
};

const struct command cmd_data_show = {
    .name = "data show",
    .summary_en = "what a dataset version was made of",
    .summary_zh = "数据集版本的来源与计数",
    .usage = "NAME[:VERSION|@ALIAS]",
    .example = "tailor data show banking77",
    .params = show_params,
    .n_param = N_ELEM(show_params),
    .run = run_show,
};
