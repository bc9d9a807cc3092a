/* plan tune: memory and time that tuning a model takes, before it is begun. */
#include <math.h>
#include <stdio.h>

#include "doors/cli/catalog_params.h"
#include "doors/cli/cli.h"
#include "doors/cli/plan_machine.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/sys/machine.h"
#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/read_model.h"
#include "lifecycle/plan/training.h"

extern const struct command cmd_plan_tune;

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "name of the catalogue, or a model on disk or in the registry", "目录中的名称，或磁盘、注册表中的模型"},
    {"method", PARAM_CHOICE, 0, NULL, 0, 0, "full|full-bf16|lora|qlora", "qlora", NULL,
     "what is trained: all weights (mixed precision, or 16 bits throughout), or adapters on a base of 16 or 4 bits",
     "训练的部分：全部权重（混合精度，或全程 16 位），或在 16 位、4 位基座上的适配器"},
    {"trainer", PARAM_CHOICE, 0, NULL, 0, 0, "tailor|python", NULL, NULL,
     "tailor: this program, on CPUs; python: PyTorch with PEFT and DeepSpeed, on GPUs; otherwise by the hardware",
     "tailor：本程序，CPU；python：PyTorch 与 PEFT、DeepSpeed，GPU；未给出时由硬件决定"},
    {"rank", PARAM_INT, 0, NULL, 1, 4096, NULL, "16", "N", "rank of the adapters", "适配器的秩"},
    {"batch_size", PARAM_INT, 0, "rows", 1, 100000, NULL, "1", "N", "rows at a time on a card", "每张卡同时处理的行数"},
    {"max_length", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "2048", "N", "length of a row", "每行的长度"},
    {"checkpointing", PARAM_BOOL, 0, NULL, 0, 0, NULL, "true", NULL,
     "compute activations again instead of keeping them", "重新计算激活值而不保存"},
    {"quant", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "Q", "type of the base with lora and qlora",
     "lora 与 qlora 的基座类型"},
    {"hardware", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "H", "hardware of the catalogue instead of this machine",
     "目录中的硬件，而不是本机"},
    {"count", PARAM_INT, 0, NULL, 1, 4096, NULL, "1", "N", "cards that share weights and optimizer (ZeRO-3, FSDP)",
     "共同保存权重与优化器状态的卡数（ZeRO-3、FSDP）"},
    {"tokens", PARAM_FLOAT, PARAM_ABOVE, "tokens", 0, 1e15, NULL, NULL, "N",
     "tokens to train on in all: says how long it takes", "训练的词元总数：用于估计时间"},
    PARAM_CATALOG,
};

struct asked {
    struct catalogue catalogue;
    struct arena arena;
    const struct plan_model *model;
    struct plan_model own;
    const struct plan_hardware *hardware; /* NULL: this machine */
    struct plan_training training;
    double usable_bytes;
};

static int pick_model(const struct cli *c, struct asked *a, const char *name, struct err *e)
{
    char *path;
    a->model = catalogue_model(&a->catalogue, name);
    if (a->model) return 0;
    if (cli_model_path(c, name, &path, NULL)) return catalogue_need_model(&a->catalogue, name, &a->model, e);
    int rc = plan_model_read(path, name, &a->arena, &a->own, e);
    a->model = &a->own;
    mem_free(path);
    return rc;
}

static int pick_trainer(struct asked *a, const struct param_set *args, struct err *e)
{
    const char *trainer = param_str(args, "trainer"), *id = param_str(args, "hardware");
    int rc = id ? catalogue_need_hardware(&a->catalogue, id, &a->hardware, e) : 0;
    if (rc) return rc;
    bool cpu = !a->hardware || a->hardware->kind == PLAN_CPU;
    bool tailor = trainer ? str_eq(trainer, "tailor") : cpu;
    if (tailor && !cpu)
        return err_set(e, ERR_USAGE, "trainer", "cannot plan tuning with this program on \"%s\": it computes on CPUs",
                       id);
    a->training.trainer = tailor ? PLAN_TRAINER_TAILOR : PLAN_TRAINER_PYTHON;
    return 0;
}

static int pick_base(struct asked *a, const struct param_set *args, struct err *e)
{
    const char *name = param_str(args, "quant");
    a->training.base = name ? plan_quant_find(name) : NULL;
    return !name || a->training.base
               ? 0
               : err_set(e, ERR_USAGE, "quant", "cannot plan for type \"%s\": known are %s", name, plan_quant_names());
}

static int ask(const struct cli *c, const struct param_set *args, struct asked *a, struct err *e)
{
    static const char *const methods[] = {"full", "full-bf16", "lora", "qlora"};
    struct machine machine;
    struct plan_training *t = &a->training;
    *t = (struct plan_training){.rank = (int)param_int(args, "rank"),
                                .batch = (int)param_int(args, "batch_size"),
                                .max_length = (int)param_int(args, "max_length"),
                                .shards = (int)param_int(args, "count"),
                                .checkpointing = param_bool(args, "checkpointing")};
    for (size_t i = 0; i < N_ELEM(methods); i++)
        if (str_eq(methods[i], param_str(args, "method"))) t->method = (enum plan_method)i;
    int rc = catalogue_open(&a->catalogue, c->home, param_str(args, "catalog"), e);
    if (rc == 0) rc = pick_model(c, a, param_str(args, "model"), e);
    if (rc == 0) rc = pick_trainer(a, args, e);
    if (rc == 0) rc = pick_base(a, args, e);
    machine_describe(&machine);
    a->usable_bytes = a->hardware ? 0.985 * 0x1p30 * a->hardware->memory_gb : (double)machine.memory_available_bytes;
    return rc;
}

/* This machine as a row of hardware: what its cores compute and read now. */
static int measure_here(const struct cli *c, struct plan_hardware *out, struct err *e)
{
    struct plan_floors f;
    int rc = plan_measure_floors(c, &f, e);
    if (rc == 0)
        *out =
            (struct plan_hardware){.fp32_tflops = fmax(f.fp32_gflops, f.bf16_gflops) / 1e3, .read_gb_s = f.read_gb_s};
    return rc;
}

/* 0 where no tokens are given. */
static int find_seconds(const struct cli *c, const struct asked *a, const struct param_set *args, double *out,
                        struct err *e)
{
    struct plan_hardware here;
    *out = 0;
    if (!param_is_set(args, "tokens")) return 0;
    int rc = a->hardware ? 0 : measure_here(c, &here, e);
    if (rc == 0)
        *out = plan_training_s(a->model, &a->training, a->hardware ? a->hardware : &here, param_float(args, "tokens"));
    return rc;
}

static void show(const struct cli *c, const struct asked *a, const struct plan_training_memory *m, double time_s)
{
    bool fits = m->total_bytes <= a->usable_bytes;
    if (c->json) {
        cli_print_json(json_pack("{s:s,s:b,s:{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f},s:f,s:o}", "model", a->model->name,
                                 "fits", fits, "memory", "weights_bytes", m->weights_bytes, "gradient_bytes",
                                 m->gradient_bytes, "optimizer_bytes", m->optimizer_bytes, "adapter_bytes",
                                 m->adapter_bytes, "activation_bytes", m->activation_bytes, "logits_bytes",
                                 m->logits_bytes, "framework_bytes", m->framework_bytes, "total_bytes", m->total_bytes,
                                 "usable_bytes", a->usable_bytes, "adapter_params", m->adapter_params, "seconds",
                                 time_s > 0 ? json_real(time_s) : json_null()));
        return;
    }
    const struct {
        const char *en, *zh;
        double bytes;
    } part[] = {{"weights", "权重", m->weights_bytes},
                {"gradients", "梯度", m->gradient_bytes},
                {"optimizer", "优化器", m->optimizer_bytes},
                {"adapter with optimizer", "适配器及其优化器", m->adapter_bytes},
                {"activations", "激活值", m->activation_bytes},
                {"logits", "输出层", m->logits_bytes},
                {"program", "程序与框架", m->framework_bytes},
                {"in all, on a card or machine", "每卡或每机合计", m->total_bytes}};
    for (size_t i = 0; i < N_ELEM(part); i++)
        if (part[i].bytes > 0) {
            const char *name = cli_text(c, part[i].en, part[i].zh);
            printf("%s%*s %8.2f GB\n", name, str_padding(name, 30), "", part[i].bytes * 1e-9);
        }
    printf(cli_text(c, "%s: %.1f GB are usable\n", "%s：可用 %.1f GB\n"),
           fits ? cli_text(c, "fits", "放得下") : cli_text(c, "does not fit", "放不下"), a->usable_bytes * 1e-9);
    if (time_s > 0)
        printf(a->training.trainer == PLAN_TRAINER_TAILOR
                   ? cli_text(c, "about %.1f hours (0.35 of the arithmetic, as a run here reached)\n",
                              "约 %.1f 小时（按算力的 0.35，为实测一次所达到）\n")
                   : cli_text(c, "about %.1f hours (0.35 to 0.45 of nominal arithmetic)\n",
                              "约 %.1f 小时（按标称算力的 0.35 至 0.45）\n"),
               time_s / 3600);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct asked a = {0};
    struct plan_training_memory m;
    double time_s = 0;
    arena_init(&a.arena, 1 << 20);
    int rc = ask(c, args, &a, e);
    if (rc == 0) rc = plan_training_of(a.model, &a.training, &m, e);
    if (rc == 0) rc = find_seconds(c, &a, args, &time_s, e);
    if (rc == 0) show(c, &a, &m, time_s);
    catalogue_free(&a.catalogue);
    arena_deinit(&a.arena);
    return rc;
}

const struct command cmd_plan_tune = {
    .name = "plan tune",
    .summary_en = "memory and time that tuning a model takes",
    .summary_zh = "微调一个模型所需的内存与时间",
    .usage = "--model MODEL [--method M] [--hardware H [--count N]] [--max-length N] [--batch-size N] [--tokens N]",
    .example = "tailor plan tune --model Qwen2.5-7B --method qlora --hardware RTX4090",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
