/* Conversations to ids. Owns the one rule about BOS and which variables a template gets from the model; rendering and
 * tokenizing are done elsewhere. What always holds: at most one BOS stands at the start, none is added twice. */
#include "compute/text/chat_prompt.h"

#include <stdint.h>
#include <string.h>

static int set_token_text(json_t *vars, const char *name, const struct tokenizer *tok, int id)
{
    const char *bytes;
    size_t n;
    if (id < 0 || json_object_get(vars, name) || tokenizer_token(tok, id, true, &bytes, &n)) return 0;
    json_t *text = json_stringn(bytes, n); /* NULL when it is not UTF-8: then the variable stays undefined */
    return text ? json_object_set_new(vars, name, text) : 0;
}

int chat_prompt_render(const struct chat_template *t, const struct tokenizer *tok, const json_t *vars,
                       bool add_generation_prompt, struct rendered *out, struct err *e)
{
    json_t *all = json_object();
    int rc = -1;
    if (all && !json_object_update(all, (json_t *)(uintptr_t)vars) &&
        !set_token_text(all, "bos_token", tok, tokenizer_bos(tok)) &&
        !set_token_text(all, "eos_token", tok, tokenizer_eos(tok)))
        rc = chat_template_render(t, all, add_generation_prompt, out, e);
    else
        rc = err_set(e, ERR_NOMEM, NULL, "cannot prepare the variables of a chat template: out of memory");
    json_decref(all);
    return rc;
}

int chat_prompt_encode(const struct tokenizer *tok, const struct rendered *r, struct token_list *out, size_t *span_end,
                       struct err *e)
{
    size_t begin = out->n;
    int bos = tokenizer_bos(tok);
    int rc = tokenizer_encode_spans(tok, r->span, r->n_span, out, span_end, e);
    if (rc || bos < 0 || !tokenizer_adds_bos(tok) || (out->n > begin && out->ids[begin] == bos)) return rc;
    if (token_list_add(out, bos)) return err_set(e, ERR_NOMEM, NULL, "cannot tokenize a conversation: out of memory");
    memmove(out->ids + begin + 1, out->ids + begin, (out->n - begin - 1) * sizeof(*out->ids));
    out->ids[begin] = bos;
    for (size_t i = 0; span_end && i < r->n_span; i++) span_end[i]++;
    return 0;
}

int chat_prompt_ids(const struct chat_template *t, const struct tokenizer *tok, const json_t *vars,
                    bool add_generation_prompt, struct token_list *out, struct err *e)
{
    struct rendered r = {0};
    int rc = chat_prompt_render(t, tok, vars, add_generation_prompt, &r, e);
    if (!rc) rc = chat_prompt_encode(tok, &r, out, NULL, e);
    rendered_deinit(&r);
    return rc;
}
