/* The probes. Each is one conversation; most are told by a mark in the text, switches by two texts that differ.
 * Rendering has its own limits on steps and memory, so a hostile template cannot hold a probe up. */
#include "compute/text/chat_caps.h"

#include <string.h>

#include "ground/base/attr.h"

#define ASK    "{\"role\":\"user\",\"content\":\"askmark\"}"
#define RESULT "{\"role\":\"tool\",\"name\":\"callmark\",\"tool_call_id\":\"call00001\",\"content\":\"resultmark\"}"
#define CALL(content, arguments)                                                  \
    "{\"role\":\"assistant\",\"content\":" content                                \
    ",\"tool_calls\":[{\"id\":\"call00001\",\"type\":\"function\",\"function\":{" \
    "\"name\":\"callmark\",\"arguments\":" arguments "}}]}"
#define TOOLS                                                                                                       \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"toolmark\",\"description\":\"d\",\"parameters\":{" \
    "\"type\":\"object\",\"properties\":{\"argmark\":{\"type\":\"string\",\"description\":\"d\"}},\"required\":["   \
    "\"argmark\"]}}}]"

/* The text of a conversation with bos_token and eos_token, in *r; false when the template refuses it. */
static bool probe(const struct chat_template *t, const char *conversation, struct rendered *r)
{
    struct err e = {0};
    json_t *vars = json_loads(conversation, 0, NULL);
    int rc = -1;
    *r = (struct rendered){0};
    if (vars && !json_object_set_new(vars, "bos_token", json_string("")) &&
        !json_object_set_new(vars, "eos_token", json_string(""))) {
        rc = chat_template_render(t, vars, true, r, &e);
    }
    json_decref(vars);
    return rc == 0;
}

/* Whether the text holds `mark`, and not `without` (or NULL). */
static bool shows(const struct chat_template *t, const char *conversation, const char *mark, const char *without)
{
    struct rendered r;
    bool found = probe(t, conversation, &r) && strstr(r.text, mark) && !(without && strstr(r.text, without));
    rendered_deinit(&r);
    return found;
}

static bool differ(const struct chat_template *t, const char *one, const char *other)
{
    struct rendered a, b;
    bool both = probe(t, one, &a);
    both = probe(t, other, &b) && both;
    bool same = both && a.n == b.n && (a.n == 0 || memcmp(a.text, b.text, a.n) == 0);
    rendered_deinit(&a);
    rendered_deinit(&b);
    return both && !same;
}

static bool ends_in_thinking(const struct chat_template *t)
{
    struct rendered r;
    bool found = false;
    if (probe(t, "{\"messages\":[" ASK "]}", &r)) {
        const char *think = strstr(r.text, "<think>");
        found = think && !strstr(think, "</think>");
    }
    rendered_deinit(&r);
    return found;
}

static const char *find_switch(const struct chat_template *t)
{
#define WITH(variable) "{\"messages\":[" ASK "]," variable "}"
    if (differ(t, WITH("\"enable_thinking\":true"), WITH("\"enable_thinking\":false"))) {
        return "enable_thinking";
    }
    if (differ(t, WITH("\"thinking\":true"), WITH("\"thinking\":false"))) {
        return "thinking";
    }
    return differ(t, WITH("\"reasoning_effort\":\"low\""), WITH("\"reasoning_effort\":\"high\"")) ? "reasoning_effort"
                                                                                                  : NULL;
#undef WITH
}

bool chat_caps_system_role(const struct chat_template *t)
{
    return shows(t, "{\"messages\":[{\"role\":\"system\",\"content\":\"systemmark\"}," ASK "]}", "systemmark", NULL);
}

/* Calls with their arguments as an object or as JSON text, in answers with empty content or none: templates differ. */
static void probe_calls(const struct chat_template *t, struct chat_caps *out)
{
#define HISTORY(content, arguments) "{\"messages\":[" ASK "," CALL(content, arguments) "," RESULT "]" TOOLS "}"
#define OBJECT                      "{\"argmark\":\"valuemark\"}"
#define TEXT                        "\"{\\\"argmark\\\":\\\"valuemark\\\"}\""
    static const char *const history[] = {HISTORY("\"\"", OBJECT), HISTORY("null", OBJECT), HISTORY("\"\"", TEXT),
                                          HISTORY("null", TEXT)};
    size_t i = 0;
    while (i < N_ELEM(history) && !shows(t, history[i], "valuemark", NULL)) {
        i++;
    }
    out->tool_calls = i < N_ELEM(history);
    out->arguments_text = out->tool_calls && i >= 2;
    out->tool_results = shows(t, history[out->tool_calls ? i : 0], "resultmark", NULL);
#undef HISTORY
#undef OBJECT
#undef TEXT
}

void chat_caps_probe(const struct chat_template *t, struct chat_caps *out)
{
    *out = (struct chat_caps){.system_role = chat_caps_system_role(t)};
    out->tools = shows(t, "{\"messages\":[" ASK "]" TOOLS "}", "toolmark", NULL);
    probe_calls(t, out);
    out->typed_content = shows(t,
                               "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                               "\"partmark\"}]}]}",
                               "partmark", "'partmark'");
    out->reasoning = ends_in_thinking(t) ||
                     shows(t,
                           "{\"messages\":[" ASK ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":"
                           "\"reasonmark\"}]}",
                           "reasonmark", NULL);
    out->thinking_switch = find_switch(t);
}

json_t *chat_caps_json(const struct chat_caps *c)
{
    const char *arguments = !c->tool_calls ? NULL : c->arguments_text ? "text" : "object";
    return json_pack("{s:b, s:b, s:b, s:s?, s:b, s:b, s:b, s:s?}", "system_role", c->system_role, "tools", c->tools,
                     "tool_calls", c->tool_calls, "tool_arguments", arguments, "tool_results", c->tool_results,
                     "typed_content", c->typed_content, "reasoning", c->reasoning, "thinking_switch",
                     c->thinking_switch);
}
