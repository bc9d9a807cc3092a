/* plan: which models fit this machine or given hardware, and how fast they would be. */
#include "doors/cli/cli.h"
#include "doors/cli/plan_local.h"
#include "doors/cli/plan_target.h"
#include "lifecycle/plan/quant.h"

extern const struct command cmd_plan;

static const struct param params[] = {
    {"model", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "MODEL",
     "model on disk or in the registry (measured now), or a name of the catalogue",
     "磁盘或注册表中的模型（现场测量），或目录中的名称"},
    {"quant", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "Q",
     "type of the weights: BF16, Q8_0, Q4_K_M, Q4_0, FP8, AWQ ...", "权重类型：BF16、Q8_0、Q4_K_M、Q4_0、FP8、AWQ ……"},
    {"users", PARAM_INT, 0, NULL, 1, 100000, NULL, "1", "N", "conversations at a time", "同时进行的对话数"},
    {"prompt_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "512", "N", "length of a prompt", "提示词长度"},
    {"output_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "128", "N", "length of an answer", "回答长度"},
    {"measure", PARAM_BOOL, 0, NULL, 0, 0, NULL, "true", NULL, "time the model at hand, so that predictions rest on it",
     "对手头的模型计时，使预测以实测为准"},
    {"catalog", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "CSV file or folder whose rows go over the catalogue's", "CSV 文件或目录，其中的行覆盖内置目录"},
    {"hardware", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "H",
     "cards or machines of the catalogue instead of this machine (`tailor catalog hardware` lists them)",
     "目录中的显卡或机器，而不是本机（`tailor catalog hardware` 列出）"},
    {"count", PARAM_INT, 0, NULL, 1, 4096, NULL, "1", "N", "how many of it", "其数量"},
    {"tp", PARAM_INT, 0, NULL, 1, 8, NULL, NULL, "N",
     "cards that share every matrix (tensor parallel); otherwise as many as the heads allow",
     "共同计算每个矩阵的卡数（张量并行）；未给出时按注意力头数取最大"},
    {"pp", PARAM_INT, 0, NULL, 1, 1024, NULL, NULL, "N", "groups of layers, one after the other, on cards of their own",
     "按层切分的组数，各组在自己的卡上依次计算"},
    {"stack", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "S",
     "serving software: tuned (TensorRT-LLM, tuned vLLM or SGLang), vllm, vllm-0.6, llama.cpp, tailor",
     "推理软件：tuned（TensorRT-LLM、调优的 vLLM 或 SGLang）、vllm、vllm-0.6、llama.cpp、tailor"},
    {"kv", PARAM_STRING, 0, NULL, 0, 0, NULL, "fp16", "TYPE", "type of cached keys and values: fp16, fp8, int8, q8_0",
     "缓存的键和值的类型：fp16、fp8、int8、q8_0"},
    {"calls_month", PARAM_INT, PARAM_REFUSED, NULL, 0, 1e15, NULL, NULL, "N", "calls a month", "每月调用次数"},
    {"data_class", PARAM_STRING, PARAM_REFUSED, NULL, 0, 0, NULL, NULL, "CLASS", "public, internal or secret",
     "数据级别：public、internal 或 secret"},
    {"team", PARAM_INT, PARAM_REFUSED, NULL, 0, 1e9, NULL, NULL, "N", "people who share it", "使用人数"},
    {"engineers", PARAM_FLOAT, PARAM_REFUSED, NULL, 0, 1e6, NULL, NULL, "X", "people who run it", "运维人数"},
};

void plan_load_of(const struct param_set *args, struct plan_load *l)
{
    *l = (struct plan_load){(int)param_int(args, "users"), (int)param_int(args, "prompt_tokens"),
                            (int)param_int(args, "output_tokens")};
}

int plan_quant_of(const struct param_set *args, const struct plan_quant *otherwise, const struct plan_quant **out,
                  struct err *e)
{
    const char *name = param_str(args, "quant");
    *out = name ? plan_quant_find(name) : otherwise;
    return *out ? 0
                : err_set(e, ERR_USAGE, "quant", "cannot plan for type \"%s\": known are %s", name, plan_quant_names());
}

/* Options that say how cards are used mean nothing for this machine. */
static int refuse_without_hardware(const struct param_set *args, struct err *e)
{
    static const char *const names[] = {"count", "tp", "pp", "stack", "kv"};
    for (size_t i = 0; i < N_ELEM(names); i++)
        if (param_is_set(args, names[i]))
            return err_set(e, ERR_USAGE, names[i], "cannot plan with --%s alone: --hardware is needed", names[i]);
    return 0;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue catalogue;
    bool here = !param_str(args, "hardware");
    int rc = here ? refuse_without_hardware(args, e) : 0;
    if (rc) return rc;
    rc = catalogue_open(&catalogue, c->home, param_str(args, "catalog"), e);
    if (rc == 0) rc = here ? plan_local_run(c, args, &catalogue, e) : plan_target_run(c, args, &catalogue, e);
    catalogue_free(&catalogue);
    return rc;
}

const struct command cmd_plan = {
    .name = "plan",
    .summary_en = "which models fit this machine or other hardware, and how fast they would be",
    .summary_zh = "哪些模型能在本机或其他硬件上运行，速度如何",
    .usage = "[--model M] [--quant Q] [--hardware H [--count N]] [--users N] [--prompt-tokens N] [--output-tokens N]",
    .example = "tailor plan --model smollm2",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
