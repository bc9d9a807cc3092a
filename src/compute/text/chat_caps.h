/* What a chat template can take, found out by rendering small conversations with marks in them and looking where the
 * marks come out. A template is a program: nothing else says reliably what it does. */
#ifndef TEXT_CHAT_CAPS_H
#define TEXT_CHAT_CAPS_H

#include <jansson.h>
#include <stdbool.h>

#include "compute/text/chat_template.h"

struct chat_caps {
    bool system_role;    /* a system message is shown */
    bool tools;          /* descriptions of tools are shown */
    bool tool_calls;     /* calls in the answers before are shown */
    bool arguments_text; /* arguments of calls must be JSON text; else objects are taken */
    bool tool_results;   /* messages of the role "tool" are shown */
    bool typed_content;  /* content may be a list of parts */
    bool reasoning;      /* the variable reasoning_content of an answer is shown, or thinking begins the answer */
    /* The variable that switches thinking: "enable_thinking", "thinking", "reasoning_effort"; NULL: none does. */
    const char *thinking_switch;
};
/* A template that refuses all probes can do nothing. */
void chat_caps_probe(const struct chat_template *t, struct chat_caps *out);
/* The one of them that asking needs: chat_caps.system_role. */
bool chat_caps_system_role(const struct chat_template *t);
/* {"system_role", "tools", "tool_calls", "tool_arguments": "object" or "text" or null, "tool_results", "typed_content",
 * "reasoning", "thinking_switch"}, new. */
json_t *chat_caps_json(const struct chat_caps *c);

#endif
