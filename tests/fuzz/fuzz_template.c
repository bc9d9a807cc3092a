/* Fuzz target: any bytes as a chat template, and what parses rendered with a conversation that has a bit of everything.
 * Nothing may crash or hang; errors carry a message; spans cover the text, which is valid UTF-8. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "compute/text/chat_template.h"
#include "compute/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char conversation[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": "
                                   "\"user\", \"content\": \" Gr\\u00fc\\u00dfe \\ud83c\\udf0f\\n\"},"
                                   "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"name\": \"f\", "
                                   "\"arguments\": {\"a\": [1, 2.5, true, null]}}]},"
                                   "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"it's\"}]}], "
                                   "\"tools\": [{\"function\": {\"name\": \"f\"}}],"
                                   "\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"d\": {\"b\": 1, \"A\": 2}, "
                                   "\"l\": [3, 1, 2], \"s\": \"a,b \\u03a3\", \"n\": 7}";

static void check(const struct rendered *r)
{
    size_t at = 0;
    for (size_t i = 0; i < r->n_span; i++) {
        if (r->span[i].text != r->text + at || r->span[i].n == 0) {
            abort();
        }
        at += r->span[i].n;
    }
    if (at != r->n || r->text[r->n] != '\0' || !utf8_valid(r->text, r->n)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct chat_template *t;
    struct rendered r;
    struct err e = {0};
    if (chat_template_new(&t, (const char *)data, n, &e)) {
        if (!e.msg[0]) {
            abort();
        }
        return 0;
    }
    json_t *vars = json_loads(conversation, 0, NULL);
    if (chat_template_render(t, vars, true, &r, &e) == 0) {
        check(&r);
    } else if (!e.msg[0] || r.text) {
        abort();
    }
    rendered_deinit(&r);
    json_decref(vars);
    chat_template_free(t);
    return 0;
}
