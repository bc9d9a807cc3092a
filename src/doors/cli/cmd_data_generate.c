/* data generate: a teacher answers rows that nobody answered yet. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "doors/cli/cli_data.h"
#include "doors/cli/progress.h"
#include "doors/cli/teacher.h"
#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/data/generate.h"

extern const struct command cmd_data_generate;

enum { SCHEMA_MAX_BYTES = 1 << 20 };

/* clang-format off */
static const struct param params[] = {
    {"input", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "INPUT",
     "rows without answers, .jsonl, .json or .csv: conversations in any form, or texts in one column",
     "没有答案的数据行（.jsonl、.json 或 .csv）：任一形式的对话，或某一列中的文本"},
    {"column", PARAM_STRING, 0, NULL, 0, 0, NULL, "text", "NAME",
     "of rows that are no conversation: what is asked stands here", "不是对话的数据行：提问所在的列"},
    {"teacher", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL|URL",
     "path or name of a model here, or the base address of an OpenAI-compatible API (http://127.0.0.1:8321/v1)",
     "本机模型的路径或名称，或 OpenAI 兼容接口的基地址（http://127.0.0.1:8321/v1）"},
    {"teacher_model", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "NAME",
     "at an address: the name of the model there", "使用地址时：该处模型的名称"},
    {"key_env", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "NAME",
     "environment variable that holds the key of the address", "存放接口密钥的环境变量"},
    {"key_file", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "file that holds the key of the address", "存放接口密钥的文件"},
    {"licence", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT",
     "states the teacher's licence where the catalogue does not know it, and that it allows training on its answers",
     "目录中没有教师模型的许可证时由您声明，并声明它允许用其回答训练"},
    {"system", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT",
     "system message of rows that have none; it stays in the training rows", "没有系统消息的数据行所用的系统消息；会保留在训练数据中"},
    {"samples", PARAM_INT, 0, NULL, 1, 256, NULL, "1", "N", "answers asked for each row", "每行要求的回答数"},
    {"temperature", PARAM_FLOAT, 0, NULL, 0, 100, NULL, "0.7", "X",
     "of the answers; 0: the most likely tokens", "回答的温度；0 为取概率最大的词元"},
    {"top_p", PARAM_FLOAT, PARAM_ABOVE, NULL, 0, 1, NULL, "1", "X",
     "draw from the smallest set of tokens with this probability together", "在累计概率达到它的最小词元集合中采样"},
    {"max_tokens", PARAM_INT, 0, "tokens", 1, 1e6, NULL, "512", "N",
     "longest answer; one that reaches it is refused", "回答的最大长度；达到此长度的回答不采用"},
    {"seed", PARAM_INT, 0, NULL, 0, 2147483647, NULL, "0", "N", "of the answers", "回答的种子"},
    {"min_chars", PARAM_INT, 0, "characters", 0, 1e9, NULL, "0", "N", "shortest answer that is kept", "采用的最短回答"},
    {"max_chars", PARAM_INT, 0, "characters", 0, 1e9, NULL, "0", "N",
     "longest answer that is kept; 0: any", "采用的最长回答；0 为不限"},
    {"match", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "PATTERN",
     "keep answers in which this PCRE2 pattern is found", "只采用含有此 PCRE2 模式的回答"},
    {"labels", PARAM_LIST, 0, NULL, 0, 0, NULL, NULL, "A,B,...",
     "keep answers that are one of these, whatever their case and quotes; a model here is held to them",
     "只采用为其中之一的回答（不计大小写与引号）；本机模型只能从中作答"},
    {"answer_format", PARAM_CHOICE, 0, NULL, 0, 0, "text|json|object|array", "text", NULL,
     "keep answers that are JSON: any value, an object, an array", "只采用 JSON 回答：任意值、对象、数组"},
    {"schema", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "keep answers that are JSON as this JSON Schema says", "只采用符合此 JSON Schema 的 JSON 回答"},
    {"agree", PARAM_FLOAT, 0, NULL, 0, 1, NULL, "0.5", "X",
     "share of the samples that must say the same", "须一致的回答所占比例"},
    {"distinct", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL,
     "refuse answers that an earlier row was given", "不采用与前面某行相同的回答"},
    {"keep_repeated", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL,
     "ask rows, too, that ask what an earlier one does", "与前面某行提问相同的数据行也要求回答"},
    {"limit", PARAM_INT, 0, "rows", 0, 1e9, NULL, "0", "N", "only the first N rows; 0: all", "只处理前 N 行；0 为全部"},
    {"batch", PARAM_INT, 0, NULL, 1, 1024, NULL, "16", "N",
     "answers made at once by a model here; questions in the journal at once", "本机模型同时生成的回答数；一次写入日志的提问数"},
    {"ctx", PARAM_INT, 0, "tokens", 0, 1e7, NULL, "0", "N",
     "context of a model here; 0: as it was trained, at most 8192", "本机模型的上下文；0 为训练时的长度，至多 8192"},
    {"timeout", PARAM_INT, 0, "s", 1, 3600, NULL, "120", "N",
     "to connect to an address, and for an answer to begin", "连接地址及等待回答的时限"},
    {"retries", PARAM_INT, 0, NULL, 0, 20, NULL, "3", "N",
     "after failures of an address that may pass", "地址暂时失败后的重试次数"},
    {"connections", PARAM_INT, 0, NULL, 1, 64, NULL, "4", "N", "questions to an address at once", "同时向地址提出的问题数"},
    {"out", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "DIR",
     "directory for train.jsonl, refused.jsonl, answers.jsonl and manifest.json; one that was interrupted goes on",
     "输出目录：train.jsonl、refused.jsonl、answers.jsonl、manifest.json；被中断的会继续"},
};
/* clang-format on */

/* What lives as long as the command. */
struct session {
    const struct cli *c;
    const struct param_set *args;
    struct cli_data data;
    struct teacher_options teacher_options;
    struct teacher teacher;
    json_t *schema;
    const char **label;
    struct generate_options o;
    struct progress progress;
};

static bool interrupted(void *arg)
{
    (void)arg;
    return cli_interrupted();
}

static void show_progress(void *arg, uint64_t n_row, uint64_t n_kept)
{
    struct session *s = arg;
    char note[64];
    snprintf(note, sizeof(note), cli_text(s->c, "%llu kept", "采用 %llu 行"), (unsigned long long)n_kept);
    progress_update(&s->progress, (double)n_row, note);
}

/* --- options --- */

static void read_teacher(struct session *s)
{
    const struct param_set *args = s->args;
    s->teacher_options = (struct teacher_options){.model = param_str(args, "teacher"),
                                                  .name = param_str(args, "teacher_model"),
                                                  .licence = param_str(args, "licence"),
                                                  .key_env = param_str(args, "key_env"),
                                                  .key_file = param_str(args, "key_file"),
                                                  .timeout_s = (int)param_int(args, "timeout"),
                                                  .n_retry = (int)param_int(args, "retries"),
                                                  .n_connection = (int)param_int(args, "connections"),
                                                  .n_at_once = (int)param_int(args, "batch"),
                                                  .n_ctx = param_int(args, "ctx")};
}

static int read_rules(struct session *s, struct err *e)
{
    const char *format = param_str(s->args, "answer_format"), *schema = param_str(s->args, "schema");
    struct answer_rules *r = &s->o.rules;
    size_t n = param_count(s->args, "labels");
    int rc = schema != NULL ? json_read_file(schema, SCHEMA_MAX_BYTES, &s->schema, e) : 0;
    s->label = mem_alloc((n + 1) * sizeof(*s->label));
    for (size_t i = 0; i < n; i++) s->label[i] = param_str_at(s->args, "labels", i);
    *r = (struct answer_rules){.min_chars = (size_t)param_int(s->args, "min_chars"),
                               .max_chars = (size_t)param_int(s->args, "max_chars"),
                               .match = param_str(s->args, "match"),
                               .label = s->label,
                               .n_label = n,
                               .json_kind = str_eq(format, "text")   ? NULL
                                            : str_eq(format, "json") ? "value"
                                                                     : format,
                               .schema = s->schema,
                               .agree = param_float(s->args, "agree")};
    s->teacher_options.label = s->label;
    s->teacher_options.n_label = n;
    if (rc == 0 && n > 0 && (r->json_kind != NULL || schema != NULL))
        rc = err_set(e, ERR_USAGE, "labels", "cannot use --labels with --answer-format or --schema: a label is a text");
    return rc;
}

static int read_options(struct session *s, struct err *e)
{
    const struct param_set *args = s->args;
    s->o = (struct generate_options){.dir = param_str(args, "out"),
                                     .column = param_str(args, "column"),
                                     .system = param_str(args, "system"),
                                     .n_sample = (int)param_int(args, "samples"),
                                     .temperature = param_float(args, "temperature"),
                                     .top_p = param_float(args, "top_p"),
                                     .max_tokens = (int)param_int(args, "max_tokens"),
                                     .seed = (uint64_t)param_int(args, "seed"),
                                     .limit = (size_t)param_int(args, "limit"),
                                     .n_at_once = (int)param_int(args, "batch"),
                                     .keep_repeated = param_bool(args, "keep_repeated"),
                                     .distinct = param_bool(args, "distinct"),
                                     .arg = s,
                                     .interrupted = interrupted,
                                     .progress = show_progress};
    if (s->o.n_sample > 1 && !(s->o.temperature > 0))
        return err_set(e, ERR_USAGE, "temperature",
                       "cannot use %d samples at temperature 0: all would be the same answer", s->o.n_sample);
    read_teacher(s);
    return read_rules(s, e);
}

/* --- results --- */

static json_t *result_json(const struct session *s, const struct generate_result *r, double seconds)
{
    char *train = path_join(s->o.dir, "train.jsonl");
    json_t *v = json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:o,s:O,s:b,s:f}", "path", s->o.dir, "train", train, "rows",
        (json_int_t)r->n_row, "asked", (json_int_t)r->n_asked, "kept", (json_int_t)r->n_verdict[ANSWER_KEPT], "refused",
        (json_int_t)(r->n_row - r->n_verdict[ANSWER_KEPT]), "verdicts", generate_verdicts(r), "samples",
        (json_int_t)r->n_sample, "samples_valid", (json_int_t)r->n_valid, "agreement", json_finite(r->agreement),
        "teacher", s->teacher.description, "was_complete", r->was_complete, "seconds", seconds);
    mem_free(train);
    return v;
}

static const char *reason_text(const struct cli *c, enum answer_verdict v)
{
    static const struct {
        const char *en, *zh;
    } text[ANSWER_N_VERDICT] = {
        [ANSWER_ROW] = {"the row cannot be read or asked", "数据行无法读取或提问"},
        [ANSWER_REPEATED] = {"an earlier row asks the same", "与前面某行的提问相同"},
        [ANSWER_FAILED] = {"the teacher could not answer", "教师模型未能回答"},
        [ANSWER_TRUNCATED] = {"cut at --max-tokens", "在 --max-tokens 处被截断"},
        [ANSWER_EMPTY] = {"empty", "空回答"},
        [ANSWER_SHORT] = {"shorter than --min-chars", "短于 --min-chars"},
        [ANSWER_LONG] = {"longer than --max-chars", "长于 --max-chars"},
        [ANSWER_PATTERN] = {"without --match", "不含 --match"},
        [ANSWER_LABEL] = {"none of --labels", "不在 --labels 中"},
        [ANSWER_FORMAT] = {"not of --answer-format or --schema", "不符合 --answer-format 或 --schema"},
        [ANSWER_DISAGREE] = {"too few samples agree", "一致的回答过少"},
        [ANSWER_SAME] = {"an answer that was given before", "与前面某行的回答相同"},
    };
    return cli_text(c, text[v].en, text[v].zh);
}

static void print_teacher(const struct session *s)
{
    const json_t *d = s->teacher.description;
    const struct licence_rule *rule = &s->teacher.rule;
    printf(cli_text(s->c, "teacher %s, licence %s (%s)\n", "教师 %s，许可证 %s（%s）\n"),
           json_string_value(json_object_get(d, "model")), json_string_value(json_object_get(d, "licence")),
           str_eq(json_string_value(json_object_get(d, "licence_from")), "statement")
               ? cli_text(s->c, "as you state", "由您声明")
               : cli_text(s->c, "as the catalogue or the model file says", "据目录或模型文件"));
    if (rule->outputs == LICENCE_CONDITIONS)
        printf(cli_text(s->c, "its condition: %s\n", "其条件：%s\n"), cli_text(s->c, rule->text_en, rule->text_zh));
}

static void print_result(const struct session *s, const struct generate_result *r, double seconds)
{
    const struct cli *c = s->c;
    if (c->json) {
        cli_print_json(result_json(s, r, seconds));
        return;
    }
    if (r->was_complete) printf("%s\n", cli_text(c, "all rows were done already", "所有数据行此前已完成"));
    printf(cli_text(c, "%llu rows, %llu asked, %llu kept\n", "共 %llu 行，提问 %llu 行，采用 %llu 行\n"),
           (unsigned long long)r->n_row, (unsigned long long)r->n_asked, (unsigned long long)r->n_verdict[ANSWER_KEPT]);
    for (int v = ANSWER_KEPT + 1; v < ANSWER_N_VERDICT; v++)
        if (r->n_verdict[v] > 0)
            printf("%8llu  %s\n", (unsigned long long)r->n_verdict[v], reason_text(c, (enum answer_verdict)v));
    if (s->o.n_sample > 1 && !isnan(r->agreement))
        printf(cli_text(c, "samples that agree: %.0f %% (mean over the rows)\n", "一致的回答：%.0f%%（各行平均）\n"),
               100 * r->agreement);
    print_teacher(s);
    printf("%s/train.jsonl\n", s->o.dir);
}

static int generate(struct session *s, struct err *e)
{
    struct generate_result r;
    double begin = clock_s();
    s->o.teacher = s->teacher.description;
    s->o.asker = s->teacher.asker;
    progress_begin(&s->progress, s->c, cli_text(s->c, "asking the teacher", "教师作答"), cli_text(s->c, "rows", "行"),
                   0, (double)s->o.limit);
    int rc = generate_run(&s->o, &r, e);
    progress_end(&s->progress);
    if (rc == 0) print_result(s, &r, clock_s() - begin);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct session s = {.c = c, .args = args};
    int rc = read_options(&s, e);
    if (rc == 0) rc = cli_data_find(&s.data, c, param_str(args, "input"), "train.jsonl", e);
    s.o.input = s.data.path;
    if (rc == 0) rc = teacher_open(&s.teacher, c, &s.teacher_options, e);
    if (rc == 0) rc = generate(&s, e);
    teacher_close(&s.teacher);
    cli_data_deinit(&s.data);
    json_decref(s.schema);
    mem_free(s.label);
    return rc;
}

const struct command cmd_data_generate = {
    .name = "data generate",
    .summary_en = "have a teacher model answer rows that nobody answered yet, and keep what passes your rules",
    .summary_zh = "让教师模型回答尚无答案的数据行，保留符合规则的部分",
    .usage = "INPUT --teacher MODEL|URL [--teacher-model NAME] [--samples N] [--labels A,B] [--match PATTERN] "
             "[--agree X] --out DIR",
    .example = "tailor data generate questions.jsonl --teacher smollm2 --samples 5 --agree 0.6 --out answered",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
