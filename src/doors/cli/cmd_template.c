/* template: a conversation as the model will see it. The template comes from a model or from a file; only its text and
 * the two tokens that templates speak of are taken from a model, so any kind of tokenizer will do. */
#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "compute/text/chat_caps.h"
#include "compute/text/chat_template.h"
#include "doors/cli/cli.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"

enum { TEMPLATE_MAX_BYTES = 1 << 20, CONVERSATION_MAX_BYTES = 1 << 26 };

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model whose template is used", "使用其模板的模型的路径或名称"},
    {"template", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "F.jinja", "file of a Jinja template", "Jinja 模板文件"},
    {"file", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "CONVERSATION.json",
     "conversation: an object with messages and other variables, or a list of messages",
     "对话：含 messages 及其他变量的对象，或消息列表"},
    {"add_generation_prompt", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "end with the start of an answer",
     "以回答的开头结尾"},
};

/* The conversation as an object of variables. */
static int read_conversation(const char *path, json_t **vars, struct err *e)
{
    int rc = json_read_file(path, CONVERSATION_MAX_BYTES, vars, e);
    if (!rc && json_is_array(*vars)) {
        *vars = json_pack("{s:o}", "messages", *vars);
    }
    if (!rc && !json_is_object(*vars)) {
        json_decref(*vars);
        *vars = NULL;
        rc = err_set(e, ERR_INPUT, path,
                     "cannot use \"%s\": it holds neither an object with messages nor a list of them", path);
    }
    return rc;
}

/* A variable that the conversation does not set itself. */
static void set_token(json_t *vars, const char *name, const struct vocab_source *v, int id)
{
    if (id >= 0 && (size_t)id < v->n_token && !json_object_get(vars, name)) {
        json_t *text = json_stringn(v->token[id], v->token_len[id]);
        if (text) { /* NULL: not UTF-8, then the template has to do without */
            json_object_set_new(vars, name, text);
        }
    }
}

static int template_of_file(const struct model_file *f, json_t *vars, struct chat_template **out, struct err *e)
{
    struct vocab_source v;
    int rc = model_file_vocab(f, &v, e);
    if (rc) {
        return rc;
    }
    if (!v.chat_template) {
        const char *path = model_file_path(f);
        return err_set(e, ERR_UNSUPPORTED, path, "cannot render a conversation with \"%s\": it has no chat template",
                       path);
    }
    set_token(vars, "bos_token", &v, v.bos_id);
    set_token(vars, "eos_token", &v, v.eos_id);
    return chat_template_new(out, v.chat_template, strlen(v.chat_template), e);
}

static int template_of_model(const struct cli *c, const char *model, json_t *vars, struct chat_template **out,
                             struct err *e)
{
    char *path;
    struct model_file *f;
    int rc = cli_model_path(c, model, &path, e);
    if (rc) {
        return rc;
    }
    rc = model_file_open(&f, path, e);
    mem_free(path);
    if (rc) {
        return rc;
    }
    rc = template_of_file(f, vars, out, e);
    model_file_close(f);
    return rc;
}

static int load_template(const struct cli *c, const struct param_set *args, json_t *vars, struct chat_template **out,
                         struct err *e)
{
    char *source;
    size_t n;
    if (param_is_set(args, "model")) {
        return template_of_model(c, param_str(args, "model"), vars, out, e);
    }
    const char *path = param_str(args, "template");
    int rc = file_read_all(path, TEMPLATE_MAX_BYTES, &source, &n, e);
    if (rc) {
        return rc;
    }
    rc = chat_template_new(out, source, n, e);
    mem_free(source);
    return rc ? err_wrap(e, rc, "\"%s\"", path) : 0;
}

static int render(const struct cli *c, const struct param_set *args, json_t *vars, struct err *e)
{
    struct chat_template *t = NULL;
    struct rendered r = {0};
    int rc = load_template(c, args, vars, &t, e);
    rc = rc ? rc : chat_template_render(t, vars, param_bool(args, "add_generation_prompt"), &r, e);
    if (!rc && c->json) {
        struct chat_caps caps;
        chat_caps_probe(t, &caps);
        cli_print_json(
            json_pack("{s:o, s:o}", "text", json_stringn(r.text, r.n), "capabilities", chat_caps_json(&caps)));
    } else if (!rc) {
        fwrite(r.text, 1, r.n, stdout);
    }
    rendered_deinit(&r);
    chat_template_free(t);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    json_t *vars;
    int rc = param_need_one(args, "render", "model", "template", e);
    rc = rc ? rc : read_conversation(param_str(args, "file"), &vars, e);
    if (rc) {
        return rc;
    }
    rc = render(c, args, vars, e);
    json_decref(vars);
    return rc;
}

const struct command cmd_template = {
    .name = "template",
    .summary_en = "render a conversation with a chat template",
    .summary_zh = "用对话模板渲染一段对话",
    .usage = "(MODEL | --template F.jinja) --file CONVERSATION.json [--add-generation-prompt]",
    .example = "tailor template model.gguf --file conversation.json --add-generation-prompt",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
