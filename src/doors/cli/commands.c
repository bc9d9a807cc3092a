/* The table of commands, in the order of help: as a model goes through its life. A new command is its file, its line in
 * the list of declarations and its line in the table. */
#include "doors/cli/cli.h"

extern const struct command cmd_logits, cmd_generate, cmd_chat, cmd_perplexity, cmd_embed;
extern const struct command cmd_inspect, cmd_make_model, cmd_quantize, cmd_imatrix;
extern const struct command cmd_tokenize, cmd_detokenize, cmd_template;
extern const struct command cmd_bench, cmd_serve;
extern const struct command cmd_tune, cmd_merge, cmd_export;
extern const struct command cmd_pull, cmd_import, cmd_data_import, cmd_data_generate, cmd_data_list, cmd_data_show,
    cmd_models_list, cmd_models_show;
extern const struct command cmd_models_alias, cmd_cache_list, cmd_cache_write, cmd_cache_remove;
extern const struct command cmd_eval, cmd_compare, cmd_report, cmd_plan, cmd_runs_list, cmd_runs_show, cmd_runs_diff;
extern const struct command cmd_plan_validate, cmd_plan_tune, cmd_catalog_models, cmd_catalog_hardware,
    cmd_catalog_prices, cmd_catalog_add, cmd_catalog_update, cmd_catalog_add_model;
extern const struct command cmd_plan_simulate, cmd_plan_seed_table, cmd_plan_diff;
extern const struct command cmd_completion, cmd_help, cmd_version;

/* clang-format off */
const struct command *const commands[] = {
    &cmd_plan, &cmd_plan_simulate, &cmd_plan_seed_table, &cmd_plan_diff, &cmd_plan_validate, &cmd_plan_tune,
    &cmd_catalog_models, &cmd_catalog_hardware, &cmd_catalog_prices,
    &cmd_catalog_add, &cmd_catalog_update, &cmd_catalog_add_model,
    &cmd_pull, &cmd_import, &cmd_models_list, &cmd_models_show, &cmd_models_alias,
    &cmd_inspect, &cmd_bench, &cmd_quantize, &cmd_imatrix,
    &cmd_data_import, &cmd_data_generate, &cmd_data_list, &cmd_data_show, &cmd_tune, &cmd_merge,
    &cmd_export,
    &cmd_eval, &cmd_compare, &cmd_report, &cmd_runs_list, &cmd_runs_show, &cmd_runs_diff, &cmd_perplexity,
    &cmd_serve, &cmd_chat, &cmd_generate, &cmd_embed,
    &cmd_tokenize, &cmd_detokenize, &cmd_template, &cmd_logits, &cmd_make_model,
    &cmd_cache_list, &cmd_cache_write, &cmd_cache_remove,
    &cmd_help, &cmd_version, &cmd_completion,
    NULL,
};

const struct command_section command_sections[] = {
    {"plan", "Select", "选"},
    {"data import", "Tune", "训"},
    {"eval", "Test", "测"},
    {"serve", "Use", "用"},
    {"tokenize", "Look inside", "细看"},
    {"help", "Tailor itself", "Tailor 本身"},
    {NULL, NULL, NULL},
};

const struct command_group command_groups[] = {
    {"catalog", "what the planner knows: models, hardware, prices", "规划器所知：模型、硬件、价格"},
    {"models", "the models and adapters that the registry holds", "注册表中的模型与适配器"},
    {"cache", "models in packed form, which processes share", "打包形式的模型，可由多个进程共用"},
    {"data", "datasets: versions made of checked tables", "数据集：由检查过的数据表生成的版本"},
    {"runs", "the directories that tune and eval wrote", "tune 与 eval 写出的运行目录"},
    {NULL, NULL, NULL},
};
/* clang-format on */
