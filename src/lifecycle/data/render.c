/* Conversations to token ids and mask. What always holds: a byte is trained only if it stands between the generation
 * prompt of an assistant turn and the end of that turn. Where turns are is found in turns.c. */
#include "lifecycle/data/render.h"

#include <string.h>

#include "compute/text/chat_prompt.h"
#include "ground/base/buf.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "lifecycle/data/message.h"
#include "lifecycle/data/render_int.h"

enum { ARGUMENTS_MAX_BYTES = 16 << 20 };

void trained_tokens_deinit(struct trained_tokens *t)
{
    token_list_deinit(&t->ids);
    mem_free(t->trained);
    *t = (struct trained_tokens){0};
}

/* --- what the template can take --- */

/* Whether the variable reasoning_content of an answer comes out. */
static bool shows_thoughts(const struct chat_template *t)
{
    struct rendered out = {0};
    struct err ignored;
    json_t *vars = json_pack("{s:[{s:s,s:s},{s:s,s:s,s:s}]}", "messages", "role", "user", "content", "a", "role",
                             "assistant", "content", "b", "reasoning_content", "(thoughtmark)");
    bool shown = vars != NULL && chat_template_render(t, vars, false, &out, &ignored) == 0 &&
                 memmem(out.text, out.n, "(thoughtmark)", 13) != NULL;
    rendered_deinit(&out);
    json_decref(vars);
    return shown;
}

void conversation_renderer_init(struct conversation_renderer *r, const struct chat_template *tmpl,
                                const struct tokenizer *tok)
{
    *r = (struct conversation_renderer){.tmpl = tmpl, .tok = tok};
    if (tmpl == NULL) return;
    chat_caps_probe(tmpl, &r->caps);
    r->shows_thoughts = shows_thoughts(tmpl);
}

/* What the template would leave out without a word is refused. */
static int check_caps(const struct conversation_renderer *r, const struct conversation *c, const char *where,
                      struct err *e)
{
    const char *what = json_array_size(c->tools) > 0 && !r->caps.tools ? "descriptions of tools" : NULL;
    for (size_t i = 0; i < json_array_size(c->messages); i++) {
        const json_t *m = json_array_get(c->messages, i);
        if (message_has_calls(m) && !r->caps.tool_calls) what = "calls of tools";
        if (message_has_role(m, "tool") && !r->caps.tool_results) what = "results of tools";
    }
    if (what == NULL) return 0;
    return err_set(e, ERR_INPUT, where, "cannot use %s: the model's chat template shows no %s", where, what);
}

static int arguments_to_text(json_t *message)
{
    size_t i;
    json_t *call;
    json_array_foreach(json_object_get(message, "tool_calls"), i, call)
    {
        json_t *f = json_object_get(call, "function");
        struct buf text;
        buf_init(&text, ARGUMENTS_MAX_BYTES);
        int rc = json_format(json_object_get(f, "arguments"), JSON_LINE, &text);
        if (rc == 0) rc = json_object_set_new(f, "arguments", json_stringn(text.data, text.len));
        buf_deinit(&text);
        if (rc != 0) return -ERR_NOMEM;
    }
    return 0;
}

/* Thoughts in front of the answer, as models write them themselves. */
static int fold_thoughts(json_t *message)
{
    const char *thoughts = json_string_value(json_object_get(message, "reasoning_content"));
    if (thoughts == NULL) return 0;
    json_t *all =
        json_sprintf("<think>\n%s\n</think>\n\n%s", thoughts, json_string_value(json_object_get(message, "content")));
    if (all == NULL || json_object_set_new(message, "content", all) != 0) return -ERR_NOMEM;
    return json_object_del(message, "reasoning_content");
}

int conversation_prepare(const struct conversation_renderer *r, const struct conversation *c, const char *where,
                         json_t **messages, struct err *e)
{
    int rc = check_caps(r, c, where, e);
    if (rc != 0) return rc;
    *messages = json_deep_copy(c->messages);
    for (size_t i = 0; rc == 0 && i < json_array_size(*messages); i++) {
        json_t *m = json_array_get(*messages, i);
        if (r->caps.arguments_text) rc = arguments_to_text(m);
        if (rc == 0 && !r->shows_thoughts) rc = fold_thoughts(m);
    }
    return rc == 0 && *messages != NULL ? 0 : err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where);
}

/* --- tokens --- */

struct piece {
    bool trained, from_user;
    size_t turn; /* where trained */
};
struct pieces {
    struct text_span *span;
    struct piece *piece;
    size_t *token_end;
    size_t n;
};

static void pieces_deinit(struct pieces *p)
{
    mem_free(p->span);
    mem_free(p->piece);
    mem_free(p->token_end);
}

/* Cut the spans where turns begin and end. No token crosses the beginning of a turn that is asked for: the model gets
 * what comes before, encoded alone. */
static int cut_spans(const struct rendered *text, const struct turns *t, struct pieces *p)
{
    size_t max = text->n_span + 2 * t->n, at = 0, k = 0;
    p->span = mem_try_array(max, sizeof(*p->span));
    p->piece = mem_try_array(max, sizeof(*p->piece));
    p->token_end = mem_try_array(max, sizeof(*p->token_end));
    if (p->span == NULL || p->piece == NULL || p->token_end == NULL) return -ERR_NOMEM;
    for (size_t i = 0; i < text->n_span; i++) {
        const struct text_span *s = &text->span[i];
        size_t end = at + s->n;
        while (at < end) {
            while (k < t->n && at >= t->turn[k].end) k++;
            bool trained = k < t->n && at >= t->turn[k].begin;
            size_t border = k == t->n ? end
                            : trained ? t->turn[k].end
                                      : t->turn[k].begin,
                   to = border < end ? border : end;
            p->span[p->n] = (struct text_span){.text = text->text + at,
                                               .n = to - at,
                                               .from_user = s->from_user,
                                               .apart = trained && t->turn[k].is_asked && at == t->turn[k].begin};
            p->piece[p->n++] = (struct piece){trained, s->from_user, k};
            at = to;
        }
    }
    return 0;
}

/* After a turn's text: train up to the end token that the template writes, if it comes before other people's text. */
static bool train_turn_end(const struct conversation_renderer *r, const struct pieces *p, size_t i,
                           struct trained_tokens *out)
{
    size_t bound = i;
    while (bound + 1 < p->n && !p->piece[bound + 1].from_user && !p->piece[bound + 1].trained) bound++;
    size_t from = p->token_end[i], to = p->token_end[bound], at = from;
    while (at < to && !tokenizer_is_control(r->tok, out->ids.ids[at])) at++;
    if (at == to || !tokenizer_is_end(r->tok, out->ids.ids[at])) return false;
    for (size_t k = from; k <= at; k++) out->trained[k] = true;
    return true;
}

/* Tokens [from, to) of a turn that calls tools: up to its end token, and no further. True: that was it. */
static bool train_call(const struct conversation_renderer *r, size_t from, size_t to, struct trained_tokens *out)
{
    for (size_t k = from; k < to; k++) {
        out->trained[k] = true;
        if (tokenizer_is_end(r->tok, out->ids.ids[k])) return true;
    }
    return false;
}

static void train_pieces(const struct conversation_renderer *r, const struct pieces *p, const struct turns *t,
                         struct trained_tokens *out)
{
    bool ended = false; /* the call in hand */
    for (size_t i = 0; i < p->n; i++) {
        const struct piece *piece = &p->piece[i];
        size_t from = i == 0 ? 0 : p->token_end[i - 1], to = p->token_end[i];
        if (!piece->trained) continue;
        bool begins = i == 0 || !p->piece[i - 1].trained || p->piece[i - 1].turn != piece->turn;
        bool goes_on = i + 1 < p->n && p->piece[i + 1].trained && p->piece[i + 1].turn == piece->turn;
        if (begins) ended = false;
        if (t->turn[piece->turn].is_call) {
            ended = ended || train_call(r, from, to, out);
            out->n_open += !goes_on && !ended;
            continue;
        }
        for (size_t k = from; k < to; k++) out->trained[k] = true;
        if (!goes_on && !train_turn_end(r, p, i, out)) out->n_open++;
    }
}

static int tokens_of(const struct conversation_renderer *r, const struct rendered *text, const struct pieces *p,
                     const struct turns *t, struct trained_tokens *out, struct err *e)
{
    const struct rendered cut = {.text = text->text, .n = text->n, .span = p->span, .n_span = p->n};
    int rc = chat_prompt_encode(r->tok, &cut, &out->ids, p->token_end, e);
    if (rc != 0) return rc;
    out->trained = mem_try_array(out->ids.n + 1, sizeof(bool));
    if (out->trained == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot render a conversation: out of memory");
    train_pieces(r, p, t, out);
    for (size_t i = 0; i < out->ids.n; i++) out->n_trained += out->trained[i];
    while (out->n_given < out->ids.n && !out->trained[out->n_given]) out->n_given++;
    return 0;
}

static int render_turns(const struct conversation_renderer *r, const struct conversation *c, json_t *messages,
                        const char *where, struct trained_tokens *out, struct err *e)
{
    struct rendered text = {0};
    struct turns turns = {0};
    struct pieces pieces = {0};
    int rc = conversation_text(r, c, messages, false, &text, e);
    if (rc != 0) return err_wrap(e, rc, "cannot use %s", where);
    turns.turn = mem_try_array(json_array_size(messages), sizeof(*turns.turn));
    rc = turns.turn == NULL ? err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where)
                            : turns_find(r, c, messages, &text, where, &turns, e);
    if (rc == 0 && cut_spans(&text, &turns, &pieces) != 0)
        rc = err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where);
    if (rc == 0) rc = tokens_of(r, &text, &pieces, &turns, out, e);
    if (rc == 0 && out->n_trained == 0)
        rc = err_set(e, ERR_INPUT, where, "cannot use %s: no token of it is trained", where);
    pieces_deinit(&pieces);
    mem_free(turns.turn);
    rendered_deinit(&text);
    return rc;
}

int conversation_render(const struct conversation_renderer *r, const struct conversation *c, const char *where,
                        struct trained_tokens *out, struct err *e)
{
    json_t *messages = NULL;
    trained_tokens_deinit(out);
    int rc = conversation_prepare(r, c, where, &messages, e);
    if (rc == 0) rc = render_turns(r, c, messages, where, out, e);
    json_decref(messages);
    return rc;
}
