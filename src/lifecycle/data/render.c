/* Conversations to token ids and mask. Owns the way from a message to its place in the rendered text: the conversation
 * is rendered a second time with a mark after the text of every assistant message; where the marks appear is where the
 * texts end, and apart from the marks both renderings must be equal, or the row is refused. What always holds: a byte
 * is trained only if it stands between the generation prompt of an assistant turn and the end of that turn. */
#include "lifecycle/data/render.h"

#include <stdio.h>
#include <string.h>

#include "compute/text/chat_prompt.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"

enum { MAX_MESSAGES = 4096, MARK_SIZE = 48 };

/* Bytes [begin, end) of the rendered text that the assistant wrote. */
struct turn {
    size_t begin, end;
};
struct turns {
    struct turn *turn;
    size_t n;
};

void trained_tokens_deinit(struct trained_tokens *t)
{
    token_list_deinit(&t->ids);
    mem_free(t->trained);
    *t = (struct trained_tokens){0};
}

/* --- the row --- */

static int check_message(const json_t *m, size_t i, const char *where, struct err *e)
{
    static const char *const known[] = {"system", "user", "assistant", "tool", "developer"};
    const char *role = NULL, *content = NULL;
    char at[256];
    snprintf(at, sizeof(at), "%s, message %zu", where, i + 1);
    int rc = json_get_str(m, "role", &role, at, e);
    if (rc == 0) rc = json_get_str(m, "content", &content, at, e);
    if (rc != 0) return rc;
    bool is_known = false;
    for (size_t k = 0; k < N_ELEM(known); k++) is_known = is_known || strcmp(role, known[k]) == 0;
    if (!is_known)
        return err_set(e, ERR_INPUT, where,
                       "cannot use %s: role \"%s\" is none of system, user, assistant, tool, developer", at, role);
    if (strcmp(role, "assistant") == 0 && content[strspn(content, " \t\r\n")] == '\0')
        return err_set(e, ERR_INPUT, where, "cannot use %s: the assistant's text is empty", at);
    return 0;
}

static int check_messages(const json_t *messages, const char *where, struct err *e)
{
    size_t n = json_array_size(messages), n_assistant = 0;
    if (n == 0 || n > MAX_MESSAGES)
        return err_set(e, ERR_INPUT, where, "cannot use %s: %zu messages, 1 to %d are accepted", where, n,
                       MAX_MESSAGES);
    for (size_t i = 0; i < n; i++) {
        int rc = check_message(json_array_get(messages, i), i, where, e);
        if (rc != 0) return rc;
        const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
        n_assistant += strcmp(role, "assistant") == 0;
    }
    if (n_assistant == 0)
        return err_set(e, ERR_INPUT, where, "cannot use %s: it has no message of the assistant, so nothing to train",
                       where);
    return 0;
}

/* The row's messages: new reference. */
static int row_messages(const json_t *row, const char *where, json_t **out, struct err *e)
{
    int rc;
    if (json_object_get(row, "messages") != NULL) {
        const json_t *list;
        rc = json_get_array(row, "messages", &list, where, e);
        if (rc == 0) *out = json_deep_copy(list);
    } else {
        const char *prompt = NULL, *completion = NULL;
        rc = json_get_str(row, "prompt", &prompt, where, e);
        if (rc != 0)
            return err_set(e, ERR_INPUT, where, "cannot use %s: it has neither messages nor prompt and completion",
                           where);
        rc = json_get_str(row, "completion", &completion, where, e);
        if (rc == 0)
            *out = json_pack("[{s:s,s:s},{s:s,s:s}]", "role", "user", "content", prompt, "role", "assistant", "content",
                             completion);
    }
    if (rc == 0 && *out == NULL) rc = err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where);
    if (rc == 0) rc = check_messages(*out, where, e);
    return rc;
}

int conversation_check(const json_t *row, const char *where, struct err *e)
{
    json_t *messages = NULL;
    int rc = row_messages(row, where, &messages, e);
    json_decref(messages);
    return rc;
}

/* --- rendering --- */

static int render(const struct conversation_renderer *r, const json_t *row, json_t *messages, bool generation,
                  struct rendered *out, struct err *e)
{
    json_t *vars = json_pack("{s:O}", "messages", messages), *tools = json_object_get(row, "tools");
    int rc = 0;
    if (vars == NULL || (tools != NULL && json_object_set(vars, "tools", tools) != 0))
        rc = err_set(e, ERR_NOMEM, NULL, "cannot render a conversation: out of memory");
    if (rc == 0) rc = chat_prompt_render(r->tmpl, r->tok, vars, generation, out, e);
    json_decref(vars);
    return rc;
}

/* Put mark after the last character of content that is not white space, so that trimming does not move it. */
static int mark_message(json_t *message, const char *mark)
{
    const char *content = json_string_value(json_object_get(message, "content"));
    size_t n = strlen(content);
    while (n > 0 && strchr(" \t\r\n", content[n - 1]) != NULL) n--;
    json_t *marked = json_sprintf("%.*s%s%s", (int)n, content, mark, content + n);
    return marked == NULL ? -ERR_NOMEM : json_object_set_new(message, "content", marked);
}

static bool is_assistant(const json_t *messages, size_t i)
{
    return strcmp(json_string_value(json_object_get(json_array_get(messages, i), "role")), "assistant") == 0;
}

static const char *find(const char *text, size_t n, const char *what)
{
    return memmem(text, n, what, strlen(what));
}

/* A mark that stands nowhere in text. */
static void choose_mark(const struct rendered *text, char mark[MARK_SIZE])
{
    unsigned salt = 0;
    do snprintf(mark, MARK_SIZE, "(turn-end-%u)", salt++);
    while (find(text->text, text->n, mark) != NULL);
}

/* The rendering with marks; both must be equal but for them. Fills in the ends of turns. */
static int find_ends(const struct conversation_renderer *r, const json_t *row, const json_t *messages,
                     const struct rendered *plain, const char *where, struct turns *t, struct err *e)
{
    char mark[MARK_SIZE];
    choose_mark(plain, mark);
    json_t *marked = json_deep_copy(messages);
    struct rendered text = {0};
    size_t n_mark = strlen(mark), n_assistant = 0, from = 0, at = 0;
    int rc = marked == NULL ? err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where) : 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(marked); i++) {
        if (!is_assistant(marked, i)) continue;
        n_assistant++;
        if (mark_message(json_array_get(marked, i), mark) != 0)
            rc = err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where);
    }
    if (rc == 0) rc = render(r, row, marked, false, &text, e);
    if (rc != 0) goto out;
    for (const char *m; (m = find(text.text + from, text.n - from, mark)) != NULL && t->n < n_assistant;) {
        size_t n = (size_t)(m - text.text) - from;
        if (at + n > plain->n || memcmp(plain->text + at, text.text + from, n) != 0) break;
        at += n;
        from += n + n_mark;
        t->turn[t->n++].end = at;
    }
    if (t->n != n_assistant || plain->n - at != text.n - from ||
        memcmp(plain->text + at, text.text + from, plain->n - at) != 0)
        rc = err_set(e, ERR_INPUT, where,
                     "cannot use %s: the template does not show every assistant message once and in order, so what is "
                     "trained cannot be told from the rest",
                     where);
out:
    rendered_deinit(&text);
    json_decref(marked);
    return rc;
}

/* White space at the end of the assistant's text, where the template keeps it. */
static size_t blank_length(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && strchr(" \t\r\n", p[i]) != NULL && p[i] != '\0') i++;
    return i;
}

/* The span that holds the last byte begins the turn, unless the template knows a generation prompt and that ends before
 * it: then all that follows the prompt is the model's to write (an empty block of thoughts, a space). */
static int find_begin(const struct conversation_renderer *r, const json_t *row, const json_t *messages,
                      size_t i_message, const struct rendered *plain, struct turn *t)
{
    size_t at = 0, last = t->end;
    t->begin = t->end;
    for (size_t i = 0; i < plain->n_span; at += plain->span[i++].n) {
        size_t span_end = at + plain->span[i].n;
        if (last <= at || last > span_end) continue;
        t->begin = at;
        if (plain->span[i].from_user) t->end = last + blank_length(plain->text + last, span_end - last);
    }
    json_t *before = json_array();
    if (before == NULL) return -ERR_NOMEM;
    for (size_t i = 0; i < i_message; i++) {
        if (json_array_append(before, json_array_get(messages, i)) != 0) {
            json_decref(before);
            return -ERR_NOMEM;
        }
    }
    struct rendered prompt = {0}, bare = {0};
    struct err ignored; /* a template may refuse an unfinished conversation: the span it is then */
    if (render(r, row, before, true, &prompt, &ignored) == 0 && render(r, row, before, false, &bare, &ignored) == 0 &&
        prompt.n > bare.n && prompt.n <= t->begin && memcmp(prompt.text, plain->text, prompt.n) == 0)
        t->begin = prompt.n;
    rendered_deinit(&prompt);
    rendered_deinit(&bare);
    json_decref(before);
    return 0;
}

static int find_turns(const struct conversation_renderer *r, const json_t *row, const json_t *messages,
                      const struct rendered *plain, const char *where, struct turns *t, struct err *e)
{
    int rc = find_ends(r, row, messages, plain, where, t, e);
    for (size_t i = 0, k = 0; rc == 0 && i < json_array_size(messages); i++) {
        if (!is_assistant(messages, i)) continue;
        if (find_begin(r, row, messages, i, plain, &t->turn[k]) != 0)
            return err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where);
        if (k > 0 && t->turn[k].begin < t->turn[k - 1].end) t->turn[k].begin = t->turn[k - 1].end;
        k++;
    }
    return rc;
}

/* --- tokens --- */

struct piece {
    bool trained, from_user;
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

/* Cut the spans where turns begin and end. */
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
            p->span[p->n] = (struct text_span){.text = text->text + at, .n = to - at, .from_user = s->from_user};
            p->piece[p->n++] = (struct piece){trained, s->from_user};
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

static int tokens_of(const struct conversation_renderer *r, const struct rendered *text, const struct pieces *p,
                     struct trained_tokens *out, struct err *e)
{
    const struct rendered cut = {.text = text->text, .n = text->n, .span = p->span, .n_span = p->n};
    int rc = chat_prompt_encode(r->tok, &cut, &out->ids, p->token_end, e);
    if (rc != 0) return rc;
    out->trained = mem_try_array(out->ids.n + 1, sizeof(bool));
    if (out->trained == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot render a conversation: out of memory");
    for (size_t i = 0; i < p->n; i++) {
        if (!p->piece[i].trained) continue;
        for (size_t k = i == 0 ? 0 : p->token_end[i - 1]; k < p->token_end[i]; k++) out->trained[k] = true;
        bool turn_goes_on = i + 1 < p->n && p->piece[i + 1].trained;
        if (!turn_goes_on && !train_turn_end(r, p, i, out)) out->n_open++;
    }
    for (size_t i = 0; i < out->ids.n; i++) out->n_trained += out->trained[i];
    return 0;
}

int conversation_render(const struct conversation_renderer *r, const json_t *row, const char *where,
                        struct trained_tokens *out, struct err *e)
{
    json_t *messages = NULL;
    struct rendered text = {0};
    struct turns turns = {0};
    struct pieces pieces = {0};
    trained_tokens_deinit(out);
    int rc = row_messages(row, where, &messages, e);
    if (rc != 0) goto out;
    if ((rc = render(r, row, messages, false, &text, e)) != 0) {
        err_wrap(e, rc, "cannot use %s", where);
        goto out;
    }
    turns.turn = mem_try_array(json_array_size(messages), sizeof(*turns.turn));
    if (turns.turn == NULL) {
        rc = err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where);
        goto out;
    }
    if ((rc = find_turns(r, row, messages, &text, where, &turns, e)) != 0) goto out;
    rc = cut_spans(&text, &turns, &pieces);
    if (rc != 0) rc = err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where);
    if (rc == 0) rc = tokens_of(r, &text, &pieces, out, e);
    if (rc == 0 && out->n_trained == 0)
        rc = err_set(e, ERR_INPUT, where, "cannot use %s: no token of it is trained", where);
out:
    pieces_deinit(&pieces);
    mem_free(turns.turn);
    rendered_deinit(&text);
    json_decref(messages);
    return rc;
}
