/* Sections of a report about how its numbers came to be: prompts, training, exclusions, origin. Owns nothing. */
#include <stdio.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/eval/report_int.h"

/* --- what was asked --- */

static const char *mode_text(const struct composer *c, const char *mode)
{
    if (str_eq(mode, "constrained"))
        return compose_text(c, "labels listed in the prompt, answer forced to be one of them",
                            "提示词中列出标签，回答只能是其中之一");
    if (str_eq(mode, "listed"))
        return compose_text(c, "labels listed in the prompt, answer free", "提示词中列出标签，自由回答");
    return compose_text(c, "labels not mentioned, answer free", "提示词中不列出标签，自由回答");
}

static json_t *sampling_text(const struct composer *c, const json_t *sampling)
{
    int max_tokens = (int)json_integer_value(json_object_get(sampling, "max_tokens"));
    if (json_is_true(json_object_get(sampling, "greedy")))
        return compose_printf(compose_text(c, "greedy, at most %d tokens", "贪心解码，最多 %d 个词元"), max_tokens);
    return compose_printf(
        compose_text(c, "temperature %g, seed %lld, at most %d tokens", "温度 %g，种子 %lld，最多 %d 个词元"),
        json_number_value(json_object_get(sampling, "temperature")),
        (long long)json_integer_value(json_object_get(sampling, "seed")), max_tokens);
}

static void setup_of(struct composer *c, size_t idx)
{
    const json_t *identity = json_object_get(c->in->eval[idx].manifest, "identity");
    const json_t *prompt = json_object_get(identity, "prompt");
    json_t *rows = json_array();
    char name[32];
    compose_eval_name(c, idx, name, sizeof name);
    compose_fact(c, rows, name, json_string(mode_text(c, record_str(prompt, "choices"))));
    compose_fact(c, rows, compose_text(c, "Sampling", "解码"), sampling_text(c, json_object_get(identity, "sampling")));
    const char *system = json_string_value(json_object_get(prompt, "system"));
    compose_fact(c, rows, compose_text(c, "System message", "系统消息"),
                 json_string(system ? system : compose_text(c, "none given", "未指定")));
    compose_add(c, json_pack("{s:s,s:o}", "type", "facts", "rows", rows));
    compose_add(c, json_pack("{s:s,s:s}", "type", "code", "text", record_str(prompt, "template")));
}

/* A member of an evaluation's identity, in words. */
static const char *identity_text(const struct composer *c, const char *key)
{
    static const struct {
        const char *key, *en, *zh;
    } name[] = {{"cases", "cases", "测试题"},         {"model", "model", "模型"},
                {"adapter", "adapter", "适配器"},     {"chat_template", "chat template", "对话模板"},
                {"prompt", "prompt", "提示词"},       {"sampling", "sampling", "解码"},
                {"batch", "batch", "批量"},           {"ctx", "context", "上下文长度"},
                {"engine", "build", "版本"},          {"precision", "precision", "计算精度"},
                {"isa", "instruction set", "指令集"}, {"matchers", "matchers", "评判规则"}};
    for (size_t i = 0; i < N_ELEM(name); i++)
        if (str_eq(name[i].key, key)) return compose_text(c, name[i].en, name[i].zh);
    return key;
}

static void differences(struct composer *c, const struct comparison *cmp)
{
    struct buf list;
    buf_init(&list, 4096);
    int rc = buf_add_str(&list, compose_text(c, "The evaluations differ in: ", "两次评测的不同之处："));
    for (size_t i = 0; rc == 0 && i < json_array_size(cmp->differs); i++) {
        if (i) rc = buf_add_str(&list, compose_text(c, ", ", "、"));
        if (rc == 0) rc = buf_add_str(&list, identity_text(c, json_string_value(json_array_get(cmp->differs, i))));
    }
    if (rc == 0)
        compose_add(c, json_pack("{s:s,s:s}", "type", "text", "text", list.data));
    else
        c->failed = true;
    buf_deinit(&list);
}

void compose_setup(struct composer *c)
{
    compose_heading(c, compose_text(c, "What was asked", "提问方式"));
    for (size_t i = 0; i < c->in->n_eval; i++) setup_of(c, i);
    for (size_t i = 0; i < c->in->n_cmp; i++)
        if (json_array_size(c->in->cmp[i].differs)) differences(c, &c->in->cmp[i]);
}

/* --- training --- */

static json_t *bytes_text(double bytes)
{
    char text[32];
    str_format_bytes((uint64_t)bytes, text, sizeof text);
    return json_string(text);
}

static void training_facts(struct composer *c, const struct training *t)
{
    static const struct {
        const char *key, *en, *zh;
        int decimals; /* -1: a size in bytes */
    } fact[] = {{"steps", "Steps", "步数", 0},
                {"train_loss", "Training loss", "训练损失", 4},
                {"eval_loss", "Evaluation loss", "验证损失", 4},
                {"score", "Score on cases", "测试题得分", 4},
                {"tok_s", "Tokens per second", "每秒词元数", 0},
                {"seconds", "Seconds", "用时（秒）", 1},
                {"peak_rss_bytes", "Peak memory", "内存峰值", -1}};
    json_t *rows = json_array();
    compose_fact(c, rows, compose_text(c, "Run", "运行目录"), json_string(t->dir));
    for (size_t i = 0; i < N_ELEM(fact); i++) {
        const json_t *v = json_object_get(t->done, fact[i].key);
        if (!json_is_number(v)) continue;
        double x = json_number_value(v);
        compose_fact(c, rows, compose_text(c, fact[i].en, fact[i].zh),
                     fact[i].decimals < 0 ? bytes_text(x) : compose_printf("%.*f", fact[i].decimals, x));
    }
    if (!t->done)
        compose_fact(c, rows, compose_text(c, "State", "状态"), json_string(compose_text(c, "not finished", "未完成")));
    compose_add(c, json_pack("{s:s,s:o}", "type", "facts", "rows", rows));
}

void compose_training(struct composer *c, const struct training *t)
{
    json_t *series = json_pack("[{s:s,s:O}]", "label", compose_text(c, "training loss", "训练损失"), "points", t->loss);
    compose_heading(c, compose_text(c, "Training", "训练"));
    if (json_array_size(t->eval_loss) &&
        json_array_append_new(series, json_pack("{s:s,s:O}", "label", compose_text(c, "evaluation loss", "验证损失"),
                                                "points", t->eval_loss)))
        c->failed = true;
    compose_add(c, json_pack("{s:s,s:o,s:s,s:s}", "type", "lines", "series", series, "x", compose_text(c, "step", "步"),
                             "y", compose_text(c, "loss", "损失")));
    if (json_array_size(t->score))
        compose_add(c, json_pack("{s:s,s:[{s:s,s:O}],s:s,s:s}", "type", "lines", "series", "label",
                                 compose_text(c, "score on eval_cases", "eval_cases 得分"), "points", t->score, "x",
                                 compose_text(c, "step", "步"), "y", compose_text(c, "score", "得分")));
    training_facts(c, t);
    if (t->yaml)
        compose_add(c, json_pack("{s:s,s:s,s:[{s:s,s:s}]}", "type", "details", "summary",
                                 compose_text(c, "All settings (run.yaml)", "全部设置（run.yaml）"), "blocks", "type",
                                 "code", "text", t->yaml));
}

/* --- what was left out --- */

/* The manifest beside the case file, when it made that file: its digest stands among the outputs. */
static json_t *dataset_of(const struct eval_result *r)
{
    const json_t *cases = json_object_get(json_object_get(r->manifest, "inputs"), "cases");
    const char *path = record_str(cases, "path");
    char *dir = mem_strndup(path, (size_t)(path_base(path) - path)),
         *at = path_join(dir[0] ? dir : ".", "manifest.json");
    json_t *m = NULL;
    bool same = false;
    if (json_read_file(at, 1 << 26, &m, NULL)) m = NULL;
    const json_t *outputs = json_object_get(m, "outputs");
    for (size_t i = 0; i < json_array_size(outputs); i++)
        same = same || str_eq(record_str(json_array_get(outputs, i), "digest"), record_str(cases, "digest"));
    mem_free(dir);
    mem_free(at);
    if (same) return m;
    json_decref(m);
    return NULL;
}

static void dataset_facts(struct composer *c, json_t *rows)
{
    static const struct {
        const char *key, *en, *zh;
    } fact[] = {{"train_rows", "Training rows read", "读入的训练数据"},
                {"train_duplicates", "Left out: repeated", "去除：重复"},
                {"train_test_overlaps", "Left out: also in the test table", "去除：与测试数据重叠"},
                {"train_kept", "Training rows kept", "保留的训练数据"},
                {"test_rows", "Test rows read", "读入的测试数据"},
                {"test_beyond_per_label", "Left out: beyond the rows per label", "去除：超出每个标签的行数"},
                {"test_kept", "Test cases", "测试题"}};
    json_t *m = dataset_of(&c->in->eval[0]);
    for (size_t i = 0; m && i < N_ELEM(fact); i++)
        compose_fact(c, rows, compose_text(c, fact[i].en, fact[i].zh),
                     compose_printf("%lld", (long long)json_integer_value(
                                                json_object_get(json_object_get(m, "counts"), fact[i].key))));
    json_decref(m);
}

void compose_exclusions(struct composer *c)
{
    json_t *rows = json_array();
    compose_heading(c, compose_text(c, "Counted and left out", "计入与排除"));
    dataset_facts(c, rows);
    for (size_t i = 0; i < c->in->n_eval; i++) {
        const struct eval_summary *s = &c->in->eval[i].sum;
        char name[32];
        compose_eval_name(c, i, name, sizeof name);
        compose_fact(
            c, rows, name,
            compose_printf(
                compose_text(
                    c,
                    "%zu scored, %zu counted as wrong without a readable answer; not scored: %zu "
                    "failed on our side, %zu with a faulty expectation%s",
                    "%zu 题已评分，%zu 题因无法读取回答计为错误；未评分：%zu 题运行失败，%zu 题标准答案有误%s"),
                s->by_state[CASE_SCORED], s->by_state[CASE_MODEL_FAILED], s->by_state[CASE_INFRA_FAILED],
                s->by_state[CASE_GOLD_BAD],
                eval_result_partial(&c->in->eval[i])
                    ? compose_text(c, "; PARTIAL: cut by --limit", "；部分评测（--limit）")
                    : ""));
    }
    compose_add(c, json_pack("{s:s,s:o}", "type", "facts", "rows", rows));
}

/* --- where it came from --- */

static void origin_of(struct composer *c, size_t idx)
{
    const json_t *m = c->in->eval[idx].manifest, *identity = json_object_get(m, "identity");
    const char *adapter = record_str(json_object_get(identity, "adapter"), "digest");
    json_t *rows = json_array();
    char name[32];
    compose_eval_name(c, idx, name, sizeof name);
    compose_fact(c, rows, name, json_string(c->in->eval[idx].dir));
    compose_fact(c, rows, compose_text(c, "Evaluation", "评测"), json_string(record_str(m, "identity_sha256")));
    compose_fact(c, rows, compose_text(c, "Model", "模型"), json_string(record_str(identity, "model")));
    if (adapter[0]) compose_fact(c, rows, compose_text(c, "Adapter", "适配器"), json_string(adapter));
    compose_fact(c, rows, compose_text(c, "Cases", "测试题"),
                 json_string(record_str(json_object_get(identity, "cases"), "digest")));
    compose_fact(c, rows, compose_text(c, "Build", "版本"),
                 compose_printf(compose_text(c, "%s, %s, %s", "%s，%s，%s"), record_str(identity, "engine"),
                                record_str(identity, "isa"), record_str(identity, "precision")));
    compose_fact(c, rows, compose_text(c, "Machine", "机器"),
                 compose_printf(compose_text(c, "%s, %s", "%s，%s"), record_str(json_object_get(m, "machine"), "cpu"),
                                record_str(m, "finished")));
    compose_add(c, json_pack("{s:s,s:o}", "type", "facts", "rows", rows));
    compose_add(c, json_pack("{s:s,s:s}", "type", "code", "text", record_str(m, "command")));
}

void compose_origin(struct composer *c)
{
    compose_heading(c, compose_text(c, "Origin and reproduction", "来源与复现"));
    for (size_t i = 0; i < c->in->n_eval; i++) origin_of(c, i);
    if (c->in->command) compose_add(c, json_pack("{s:s,s:s}", "type", "code", "text", c->in->command));
}
