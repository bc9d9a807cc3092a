/* models list, models show: what the registry holds of models and adapters. */
#include "doors/cli/cli.h"
#include "doors/cli/registry_print.h"

extern const struct command cmd_models_list, cmd_models_show;

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
