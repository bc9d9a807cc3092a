/* The interview. Owns nothing. What always holds: an answer that is taken is a value that the option takes. */
#include "doors/cli/plan_ask.h"

#include <stdio.h>
#include <string.h>

#include "doors/cli/message_zh.h"
#include "ground/base/buf.h"
#include "ground/base/str.h"

enum { MAX_ANSWER = 200, MAX_TRIES = 3 };

static const struct question {
    const char *name, *otherwise; /* option; default, "" leaves it open */
    const char *en, *zh, *why_en, *why_zh;
} questions[] = {
    {"team", "50", "How many people may use it?", "有多少人会使用？",
     "with the calls of a person a day it gives the volume and how many are in conversation at a time",
     "结合每人每天的调用次数，得出调用量与同时对话数"},
    {"calls_month", "", "How many calls a month, if you know?", "每月调用次数（如果知道）？",
     "from the bill of an API or the log of a program; otherwise it follows from the people",
     "可取自 API 账单或程序日志；不填则由人数推算"},
    {"prompt_tokens", "1000", "How long is a prompt, in tokens?", "提示词多长（词元）？",
     "a page of text is about 500 to 700 tokens; documents that are looked up count, too",
     "一页文字约 500 至 700 个词元；检索带入的文档也计入"},
    {"output_tokens", "500", "How long is an answer, in tokens?", "回答多长（词元）？",
     "a label is 5, a paragraph 150, a page 600", "一个标签约 5，一段约 150，一页约 600"},
    {"data_class", "internal", "What is the data: public, internal or secret?",
     "数据级别：public、internal 还是 secret？",
     "secret: it may not leave the company; that alone decides for machines of your own",
     "secret：不得离开公司；仅此一项就决定自建"},
    {"ttft_ms", "2000", "After how many milliseconds at the latest should an answer begin?", "回答最迟多少毫秒内开始？",
     "people in a chat wait one to three seconds; a nightly run can wait a minute",
     "聊天中人们能等 1 至 3 秒；夜间批处理可等一分钟"},
    {"engineers", "0", "How many engineers of your own can look after models?", "有多少自有工程师能运维模型？",
     "in full-time people, 0.5 is half of one", "按全职人数计，0.5 为半个人"},
    {"budget", "", "What may be spent on the purchase, in CNY?", "采购预算多少元？", "leave it empty where it is open",
     "未定则留空"},
    {"customize", "no", "Must the model be tuned deeply on data of your field (yes or no)?",
     "是否需要深度定制（yes 或 no）？", "vertical fine-tuning needs weights of your own", "垂直领域微调需要自有权重"},
    {"generic", "no", "Is the use general questions and answers without special demands (yes or no)?",
     "用例是否为通用问答、无特殊要求（yes 或 no）？", "then any API does", "若是，任何 API 都能胜任"},
};

/* One line without its end; false at the end of input. */
static bool read_line(char *out, size_t size)
{
    if (!fgets(out, (int)size, stdin)) return false;
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

/* Truth values are spoken of as yes and no. */
static const char *as_value(const char *answer)
{
    if (str_eq(answer, "yes") || str_eq(answer, "y") || str_eq(answer, "是")) return "true";
    if (str_eq(answer, "no") || str_eq(answer, "n") || str_eq(answer, "否")) return "false";
    return answer;
}

static int ask(const struct cli *c, struct param_set *set, const struct question *q, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < MAX_TRIES; i++) {
        char answer[MAX_ANSWER];
        fprintf(stderr, "%s\n  %s\n  [%s] ", cli_text(c, q->en, q->zh), cli_text(c, q->why_en, q->why_zh),
                q->otherwise);
        fflush(stderr);
        if (!read_line(answer, sizeof answer) || !answer[0]) snprintf(answer, sizeof answer, "%s", q->otherwise);
        fputc('\n', stderr);
        if (!answer[0]) return 0;
        rc = param_set_text(set, q->name, as_value(answer), e);
        if (rc == 0) return 0;
        cli_print_message(c->lang, "", "", e->msg);
    }
    return rc;
}

/* Only what was answered or given: a file to keep. */
static int show_scenario(const struct cli *c, const struct param_set *set, struct err *e)
{
    json_t *all = param_to_json(set);
    const char *key;
    json_t *value;
    if (!all) return err_set(e, ERR_NOMEM, NULL, "cannot plan: out of memory");
    fprintf(stderr, "%s\n",
            cli_text(c, "as a scenario, for --run FILE.yaml:", "写成方案文件，可用 --run FILE.yaml 再次使用："));
    json_object_foreach(all, key, value)
    {
        if (!param_is_set(set, key) || str_eq(key, "ask")) continue;
        if (json_is_string(value))
            fprintf(stderr, "%s: %s\n", key, json_string_value(value));
        else if (json_is_number(value))
            fprintf(stderr, "%s: %.10g\n", key, json_number_value(value));
        else if (json_is_boolean(value))
            fprintf(stderr, "%s: %s\n", key, json_is_true(value) ? "true" : "false");
    }
    fputc('\n', stderr);
    json_decref(all);
    return 0;
}

int plan_ask(const struct cli *c, struct param_set *set, struct err *e)
{
    for (size_t i = 0; i < N_ELEM(questions); i++) {
        if (param_is_set(set, questions[i].name)) continue;
        int rc = ask(c, set, &questions[i], e);
        if (rc) return rc;
    }
    return show_scenario(c, set, e);
}
