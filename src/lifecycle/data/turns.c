/* Finds turns. Owns the way from a message to its place in the rendered text: the conversation is rendered a second
 * time with a mark after the text of every answer; where the marks appear is where the texts end, and apart from the
 * marks both renderings must be equal, or the row is refused. A call of tools has no text of its own: it begins where
 * asking for it ends, and lies before the message that follows it. */
#include <stdio.h>
#include <string.h>

#include "compute/text/chat_prompt.h"
#include "ground/base/mem.h"
#include "lifecycle/data/message.h"
#include "lifecycle/data/render_int.h"

enum { MARK_SIZE = 48 };

static int no_memory(const char *where, struct err *e)
{
    return err_set(e, ERR_NOMEM, where, "cannot use %s: out of memory", where);
}

int conversation_text(const struct conversation_renderer *r, const struct conversation *c, json_t *messages,
                      bool generation, struct rendered *out, struct err *e)
{
    json_t *vars = c->variables != NULL ? json_copy((json_t *)(uintptr_t)c->variables) : json_object();
    int rc = 0;
    if (vars == NULL || json_object_set(vars, "messages", messages) != 0 ||
        (c->tools != NULL && json_object_set(vars, "tools", (json_t *)(uintptr_t)c->tools) != 0))
        rc = err_set(e, ERR_NOMEM, NULL, "cannot render a conversation: out of memory");
    if (rc == 0) rc = chat_prompt_render(r->tmpl, r->tok, vars, generation, out, e);
    json_decref(vars);
    return rc;
}

/* --- marks --- */

static const char *content_of(const json_t *message)
{
    return json_string_value(json_object_get(message, "content"));
}

static int set_content(json_t *message, json_t *content)
{
    return content == NULL ? -ERR_NOMEM : json_object_set_new(message, "content", content);
}

/* Put mark after the last character of content that is not white space, so that trimming does not move it. */
static int mark_end(json_t *message, const char *mark)
{
    const char *content = content_of(message);
    size_t n = strlen(content);
    while (n > 0 && strchr(" \t\r\n", content[n - 1]) != NULL) n--;
    return set_content(message, json_sprintf("%.*s%s%s", (int)n, content, mark, content + n));
}

static int mark_begin(json_t *message, const char *mark)
{
    const char *content = content_of(message);
    size_t n = strspn(content, " \t\r\n");
    return set_content(message, json_sprintf("%.*s%s%s", (int)n, content, mark, content + n));
}

static bool is_answer(const json_t *messages, size_t i)
{
    return message_has_role(json_array_get(messages, i), "assistant");
}

static bool is_call(const json_t *messages, size_t i)
{
    return message_has_calls(json_array_get(messages, i));
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

/* The messages with a mark behind every answer that is trained and is no call; new. *n_mark of them. */
static json_t *mark_answers(const struct conversation *c, const json_t *messages, const char *mark, size_t *n_mark)
{
    json_t *marked = json_deep_copy(messages);
    *n_mark = 0;
    for (size_t i = c->n_prompt; i < json_array_size(marked); i++) {
        if (!is_answer(marked, i) || is_call(marked, i)) continue;
        ++*n_mark;
        if (mark_end(json_array_get(marked, i), mark) == 0) continue;
        json_decref(marked);
        return NULL;
    }
    return marked;
}

/* Ends of marked answers, in order; both renderings must be equal but for the marks. */
static int find_ends(const struct conversation_renderer *r, const struct conversation *c, const json_t *messages,
                     const struct rendered *plain, const char *where, size_t *end, struct err *e)
{
    char mark[MARK_SIZE];
    size_t n_want, n = 0, from = 0, at = 0;
    struct rendered text = {0};
    choose_mark(plain, mark);
    json_t *marked = mark_answers(c, messages, mark, &n_want);
    int rc = marked == NULL ? no_memory(where, e) : conversation_text(r, c, marked, false, &text, e);
    json_decref(marked);
    if (rc != 0) return rc;
    for (const char *m; (m = find(text.text + from, text.n - from, mark)) != NULL && n < n_want;) {
        size_t len = (size_t)(m - text.text) - from;
        if (at + len > plain->n || memcmp(plain->text + at, text.text + from, len) != 0) break;
        at += len;
        from += len + strlen(mark);
        end[n++] = at;
    }
    if (n != n_want || plain->n - at != text.n - from || memcmp(plain->text + at, text.text + from, plain->n - at) != 0)
        rc = err_set(e, ERR_INPUT, where,
                     "cannot use %s: the template does not show every assistant message once and in order, so what is "
                     "trained cannot be told from the rest",
                     where);
    rendered_deinit(&text);
    return rc;
}

/* White space at the end of the assistant's text, where the template keeps it. */
static size_t blank_length(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && strchr(" \t\r\n", p[i]) != NULL && p[i] != '\0') i++;
    return i;
}

/* --- where asking for answer i ends --- */

static json_t *first_messages(const json_t *messages, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < n; i++) {
        if (json_array_append(list, json_array_get(messages, i)) == 0) continue;
        json_decref(list);
        return NULL;
    }
    return list;
}

/* Length of the rendering of what comes before message i as an answer to it is asked for, where that is how plain
 * begins; 0: it is not, or the template refuses an unfinished conversation. *is_bare: the template has no generation
 * prompt. */
static int prompt_length(const struct conversation_renderer *r, const struct conversation *c, const json_t *messages,
                         size_t i, const struct rendered *plain, size_t *out, bool *is_bare)
{
    struct rendered prompt = {0}, bare = {0};
    struct err ignored;
    json_t *before = first_messages(messages, i);
    *out = 0;
    *is_bare = false;
    if (before == NULL) return -ERR_NOMEM;
    if (conversation_text(r, c, before, true, &prompt, &ignored) == 0 &&
        conversation_text(r, c, before, false, &bare, &ignored) == 0 && prompt.n >= bare.n && prompt.n <= plain->n &&
        memcmp(prompt.text, plain->text, prompt.n) == 0)
        *out = prompt.n;
    *is_bare = prompt.n == bare.n;
    rendered_deinit(&prompt);
    rendered_deinit(&bare);
    json_decref(before);
    return 0;
}

/* The span that holds the last byte begins the turn, unless the template knows a generation prompt and that ends before
 * it: then all that follows the prompt is the model's to write (an empty block of thoughts, a space). Without such a
 * prompt white space is, but no name of a role. */
static int find_text(const struct conversation_renderer *r, const struct conversation *c, const json_t *messages,
                     size_t i_message, const struct rendered *plain, const char *where, struct turn *t, struct err *e)
{
    size_t at = 0, last = t->end, n_prompt;
    bool is_bare;
    t->begin = t->end;
    for (size_t i = 0; i < plain->n_span; at += plain->span[i++].n) {
        size_t span_end = at + plain->span[i].n;
        if (last <= at || last > span_end) continue;
        t->begin = at;
        if (plain->span[i].from_user) t->end = last + blank_length(plain->text + last, span_end - last);
    }
    if (prompt_length(r, c, messages, i_message, plain, &n_prompt, &is_bare) != 0) return no_memory(where, e);
    t->is_asked = n_prompt > 0 && n_prompt <= t->begin &&
                  (!is_bare || n_prompt + blank_length(plain->text + n_prompt, t->begin - n_prompt) == t->begin);
    if (t->is_asked) t->begin = n_prompt;
    return 0;
}

/* --- calls --- */

/* Where the content of message i begins in plain; plain's end when there is no message i. */
static int content_begin(const struct conversation_renderer *r, const struct conversation *c, const json_t *messages,
                         size_t i, const struct rendered *plain, const char *where, size_t *out, struct err *e)
{
    char mark[MARK_SIZE];
    struct rendered text = {0};
    *out = plain->n;
    if (i == json_array_size(messages)) return 0;
    choose_mark(plain, mark);
    json_t *marked = json_deep_copy(messages);
    int rc = marked == NULL || mark_begin(json_array_get(marked, i), mark) != 0
                 ? no_memory(where, e)
                 : conversation_text(r, c, marked, false, &text, e);
    json_decref(marked);
    if (rc != 0) return rc;
    const char *at = find(text.text, text.n, mark);
    size_t n = at == NULL ? 0 : (size_t)(at - text.text);
    if (at == NULL || n > plain->n || memcmp(text.text, plain->text, n) != 0)
        rc = err_set(e, ERR_INPUT, where,
                     "cannot use %s: the template does not show message %zu, so where the call before it ends cannot "
                     "be told",
                     where, i + 1);
    *out = n;
    rendered_deinit(&text);
    return rc;
}

static int find_call(const struct conversation_renderer *r, const struct conversation *c, const json_t *messages,
                     size_t i, const struct rendered *plain, const char *where, struct turn *t, struct err *e)
{
    bool is_bare; /* a call begins with no name of a role */
    t->is_call = true;
    if (prompt_length(r, c, messages, i, plain, &t->begin, &is_bare) != 0) return no_memory(where, e);
    if (t->begin == 0)
        return err_set(e, ERR_INPUT, where,
                       "cannot use %s: the template asks for an answer in another way than it shows the calls of "
                       "message %zu",
                       where, i + 1);
    t->is_asked = true;
    return content_begin(r, c, messages, i + 1, plain, where, &t->end, e);
}

int turns_find(const struct conversation_renderer *r, const struct conversation *c, const json_t *messages,
               const struct rendered *plain, const char *where, struct turns *t, struct err *e)
{
    size_t *end = mem_try_array(json_array_size(messages), sizeof(*end)), k = 0;
    int rc = end == NULL ? no_memory(where, e) : find_ends(r, c, messages, plain, where, end, e);
    t->n = 0;
    for (size_t i = c->n_prompt; rc == 0 && i < json_array_size(messages); i++) {
        if (!is_answer(messages, i)) continue;
        struct turn *turn = &t->turn[t->n++];
        *turn = (struct turn){0};
        if (is_call(messages, i)) {
            rc = find_call(r, c, messages, i, plain, where, turn, e);
        } else {
            turn->end = end[k++];
            rc = find_text(r, c, messages, i, plain, where, turn, e);
        }
        if (t->n > 1 && turn->begin < turn[-1].end) turn->begin = turn[-1].end;
    }
    mem_free(end);
    return rc;
}
