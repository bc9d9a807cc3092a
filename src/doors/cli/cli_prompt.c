/* Prompts of commands to ids. Owns the forms a prompt may be given in; BOS in conversations is chat_prompt's matter. */
#include "doors/cli/cli_prompt.h"

#include <string.h>

#include "compute/text/chat_prompt.h"
#include "ground/json/json.h"

enum { MESSAGES_MAX_BYTES = 1 << 26 };

int cli_prompt_text(const struct cli_model *m, const char *text, struct token_list *out, struct err *e)
{
    int rc = cli_model_need_text(m, "answer a text prompt", e);
    if (rc) return rc;
    int bos = tokenizer_bos(m->tok);
    if (tokenizer_adds_bos(m->tok) && bos >= 0 && token_list_add(out, bos))
        return err_set(e, ERR_NOMEM, NULL, "cannot tokenize the prompt: out of memory");
    return tokenizer_encode(m->tok, text, strlen(text), 0, out, e);
}

int cli_prompt_chat(const struct cli_model *m, const json_t *vars, struct token_list *out, struct err *e)
{
    int rc = cli_model_need_chat(m, "answer a conversation", e);
    return rc ? rc : chat_prompt_ids(m->chat, m->tok, vars, true, out, e);
}

int cli_prompt_messages(const struct cli_model *m, const char *path, struct token_list *out, struct err *e)
{
    json_t *vars = NULL;
    int rc = json_read_file(path, MESSAGES_MAX_BYTES, &vars, e);
    if (rc) return rc;
    if (json_is_array(vars)) vars = json_pack("{s:o}", "messages", vars);
    if (!json_is_array(json_object_get(vars, "messages")))
        rc = err_set(e, ERR_INPUT, path,
                     "cannot use \"%s\": it holds neither a list of messages nor an object with one", path);
    else
        rc = cli_prompt_chat(m, vars, out, e);
    json_decref(vars);
    return rc;
}
