/* chat: a conversation on the terminal, or line by line from standard input. Owns the history; the engine's prefix
 * cache makes every turn cost its own tokens only. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doors/cli/cli_engine.h"
#include "doors/cli/cli_prompt.h"
#include "doors/cli/cli_sampling.h"
#include "doors/cli/message_zh.h"
#include "ground/base/buf.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { LINE_MAX_BYTES = 1 << 22 };

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
    {"system", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT", "system message at the start", "开头的系统消息"},
    {"max_tokens", PARAM_INT, 0, "tokens", 1, 1048576, NULL, "1024", "N", "longest answer", "每个回答的最大长度"},
    {"ctx", PARAM_INT, 0, "tokens", 2, 1048576, NULL, NULL, "N", "longest conversation", "对话的最大长度"},
    {"adapter", PARAM_STRING, PARAM_ONCE, NULL, 0, 0, NULL, NULL, "A[,scale=S]", "LoRA adapter on top of the model",
     "叠加在模型上的 LoRA 适配器"},
    CLI_SAMPLING_PARAMS,
};

struct conversation {
    struct cli_engine *x;
    const struct cli *c;
    const struct param_set *args;
    struct sampling sampling;
    json_t *messages;
    bool talks; /* a person sits at the terminal */
};

static int add_message(struct conversation *v, const char *role, const char *text, size_t n, struct err *e)
{
    json_t *content = json_stringn(text, n);
    if (!content) return err_set(e, ERR_INPUT, role, "cannot use this text: it is not valid UTF-8");
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", content);
    return json_array_append_new(v->messages, message)
               ? err_set(e, ERR_NOMEM, NULL, "cannot keep the conversation: out of memory")
               : 0;
}

static int reset(struct conversation *v, struct err *e)
{
    json_array_clear(v->messages);
    const char *system = param_str(v->args, "system");
    return system ? add_message(v, "system", system, strlen(system), e) : 0;
}

static int answer_ids(struct conversation *v, const struct token_list *ids, struct err *e)
{
    struct cli_stream stream = {0};
    struct sequence_request r = {.ids = ids->ids,
                                 .n_id = ids->n,
                                 .max_tokens = (int)param_int(v->args, "max_tokens"),
                                 .adapter = cli_engine_adapter(v->x),
                                 .sampling = v->sampling};
    struct sequence *s = NULL;
    struct sequence_result result;
    if (!v->c->json) {
        r.fn = cli_stream_token;
        r.arg = &stream;
    }
    int rc = cli_engine_run(v->x, &r, &s, e);
    if (stream.begun) putchar('\n');
    if (rc) return rc;
    sequence_get(s, &result);
    rc = add_message(v, "assistant", result.text, result.text_len, e);
    if (!rc && v->c->json)
        cli_print_json(json_pack("{s:s%, s:s, s:I, s:I, s:I}", "text", result.text, result.text_len, "finish_reason",
                                 finish_reason_name(result.reason), "n_prompt", (json_int_t)result.n_prompt, "n_cached",
                                 (json_int_t)result.n_cached, "n_answer", (json_int_t)result.n_id));
    sequence_release(v->x->engine, s);
    v->sampling.seed++; /* the next turn draws anew, and a given seed still gives the same conversation */
    return rc;
}

/* One turn. A turn that fails is taken back, so that the conversation can go on. */
static int turn(struct conversation *v, const char *text, struct err *e)
{
    struct token_list ids = {0};
    size_t n_before = json_array_size(v->messages);
    json_t *vars = json_pack("{s:O}", "messages", v->messages);
    int rc = add_message(v, "user", text, strlen(text), e);
    if (!rc) rc = cli_prompt_chat(&v->x->model, vars, &ids, e);
    if (!rc) rc = answer_ids(v, &ids, e);
    json_decref(vars);
    token_list_deinit(&ids);
    while (rc && json_array_size(v->messages) > n_before)
        json_array_remove(v->messages, json_array_size(v->messages) - 1);
    return rc;
}

/* One line of input: 1 to go on, 0 to end, -ERR_*. */
static int take_line(struct conversation *v, const char *line, struct err *e)
{
    if (str_eq(line, "/exit")) return 0;
    if (!*line) return 1;
    int rc = str_eq(line, "/reset") ? reset(v, e) : turn(v, line, e);
    if (rc == -ERR_LIMIT && v->talks) { /* a person can start anew, a script must be told */
        cli_print_message(v->c->lang, "", "", e->msg);
        fprintf(stderr, "%s\n", cli_text(v->c, "/reset starts a new conversation", "/reset 开始新对话"));
        return 1;
    }
    return rc ? rc : 1;
}

/* One line without its end into line: 1, 0 at the end of the input, -ERR_LIMIT when it is too long. */
static int read_line(struct buf *line, struct err *e)
{
    int ch;
    buf_clear(line);
    while ((ch = getchar()) != EOF && ch != '\n')
        if (buf_add_char(line, (char)ch))
            return err_set(e, ERR_LIMIT, "standard input", "cannot read a line of more than %zu bytes", line->max);
    if (line->len && line->data[line->len - 1] == '\r') line->data[--line->len] = '\0';
    return ch != EOF || line->len > 0;
}

static int talk(struct conversation *v, struct err *e)
{
    struct buf line;
    int rc = 1;
    buf_init(&line, LINE_MAX_BYTES);
    if (v->talks)
        fprintf(stderr, "%s\n",
                cli_text(v->c, "/reset starts a new conversation, /exit ends", "/reset 开始新对话，/exit 结束"));
    while (rc > 0) {
        if (v->talks) fputs("> ", stderr);
        rc = read_line(&line, e);
        if (cli_interrupted())
            rc = err_set(e, ERR_INTERRUPTED, NULL, "interrupted");
        else if (rc > 0)
            rc = take_line(v, line.data ? line.data : "", e);
    }
    buf_deinit(&line);
    return rc;
}

static int run_conversation(struct cli_engine *x, const struct cli *c, const struct param_set *args, struct err *e)
{
    struct conversation v = {.x = x, .c = c, .args = args, .messages = json_array()};
    v.talks = isatty(STDIN_FILENO) && !c->json;
    int64_t wanted = param_is_set(args, "ctx") ? param_int(args, "ctx") : 0;
    struct engine_options opt = {.n_ctx = cli_engine_context(x, wanted), .max_batch = 1, .prefix_cache = true};
    int rc = cli_model_need_chat(&x->model, "hold a conversation", e);
    if (!rc) rc = cli_sampling(args, &v.sampling, e);
    if (!rc) rc = cli_engine_start(x, &opt, e);
    if (!rc) rc = reset(&v, e);
    if (!rc) rc = talk(&v, e);
    json_decref(v.messages);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct cli_engine x;
    int rc = cli_engine_load(&x, c, param_str(args, "model"), param_str(args, "adapter"), e);
    if (rc) return rc;
    rc = run_conversation(&x, c, args, e);
    cli_engine_close(&x);
    return rc;
}

const struct command cmd_chat = {
    .name = "chat",
    .summary_en = "talk to a model",
    .summary_zh = "与模型对话",
    .usage = "MODEL [--system TEXT] [--adapter A[,scale=S]] [--max-tokens N] [--temperature X ...]",
    .example = "tailor chat model.gguf --system \"Answer in one sentence.\"",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
