/* Opening models and adapters for commands. Owns the order in which the parts are made and freed; it knows no command.
 * What always holds: after a failure everything is closed again. */
#include "doors/cli/cli_model.h"

#include "doors/cli/adapter_origin.h"

#include <string.h>

#include "doors/cli/cli_packed.h"
#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

/* A tokenizer that this version does not support, or a template that it cannot use, is kept as the reason why there is
 * none; a broken vocabulary is an error. */
static int open_text(struct cli_model *m, struct err *e)
{
    struct vocab_source v = {0};
    struct err why = {0};
    int rc = model_file_vocab(m->file, &v, &why);
    if (!rc && v.model) rc = tokenizer_new(&m->tok, &v, &why);
    if (!rc && v.model && v.chat_template)
        rc = chat_template_new(&m->chat, v.chat_template, strlen(v.chat_template), &why);
    if (!rc) return 0;
    (void)err_wrap(&why, rc, "cannot open model \"%s\"", m->path);
    if (m->tok || rc == -ERR_UNSUPPORTED) {
        m->text_err = why;
        return 0;
    }
    if (e) *e = why;
    return rc;
}

int cli_model_open(struct cli_model *m, const struct cli *c, struct dev *d, const char *name, struct err *e)
{
    *m = (struct cli_model){0};
    double begin = clock_s();
    int rc = cli_model_path(c, name, &m->path, e);
    if (!rc) rc = model_file_open(&m->file, m->path, e);
    if (!rc) rc = open_text(m, e);
    if (!rc && d) rc = cli_packed_load(c, d, m->file, &m->model, e);
    m->load_s = clock_s() - begin;
    if (rc) cli_model_close(m);
    return rc;
}

void cli_model_close(struct cli_model *m)
{
    model_free(m->model);
    chat_template_free(m->chat);
    tokenizer_free(m->tok);
    model_file_close(m->file);
    mem_free(m->path);
    *m = (struct cli_model){0};
}

int cli_model_check_text(const struct cli_model *m, struct err *e)
{
    if (m->text_err.code && e) *e = m->text_err;
    return -m->text_err.code;
}

int cli_model_need_text(const struct cli_model *m, const char *what, struct err *e)
{
    if (m->tok) return 0;
    int rc = cli_model_check_text(m, e);
    if (rc) return rc;
    return err_set(e, ERR_UNSUPPORTED, m->path, "cannot %s with \"%s\": it has no tokenizer", what, m->path);
}

int cli_model_need_chat(const struct cli_model *m, const char *what, struct err *e)
{
    int rc = cli_model_need_text(m, what, e);
    if (rc || m->chat) return rc;
    rc = cli_model_check_text(m, e);
    if (rc) return rc;
    return err_set(e, ERR_UNSUPPORTED, m->path, "cannot %s with \"%s\": it has no chat template", what, m->path);
}

static int parse_part(struct cli_adapter *a, const char *part, const char *text, struct err *e)
{
    double scale;
    if (str_starts(part, "name=") && part[5] && !a->name) {
        a->name = mem_strdup(part + 5);
    } else if (str_starts(part, "model=") && part[6] && !a->model) {
        a->model = mem_strdup(part + 6);
    } else if (str_starts(part, "scale=") && str_to_double(part + 6, &scale) && scale >= -100 && scale <= 100) {
        a->scale = (float)scale;
    } else if (str_eq(part, "check=no")) {
        a->unchecked = true;
    } else {
        return err_set(
            e, ERR_USAGE, text,
            "cannot use adapter \"%s\": \"%s\" is not name=NAME, model=MODEL, check=no or scale=NUMBER (-100 to 100)",
            text, part);
    }
    return 0;
}

int cli_adapter_parse(struct cli_adapter *a, const char *text, struct err *e)
{
    *a = (struct cli_adapter){.scale = 1.0f};
    const char *end = strchrnul(text, ',');
    a->path = mem_strndup(text, (size_t)(end - text));
    int rc = *a->path ? 0 : err_set(e, ERR_USAGE, text, "cannot use adapter \"%s\": the path is empty", text);
    while (!rc && *end) {
        const char *begin = end + 1;
        end = strchrnul(begin, ',');
        char *part = mem_strndup(begin, (size_t)(end - begin));
        rc = parse_part(a, part, text, e);
        mem_free(part);
    }
    if (rc) cli_adapter_deinit(a);
    return rc;
}

void cli_adapter_deinit(struct cli_adapter *a)
{
    mem_free(a->path);
    mem_free(a->name);
    mem_free(a->model);
    *a = (struct cli_adapter){0};
}

int cli_adapter_load(const struct cli *c, const struct cli_adapter *a, const struct cli_model *m, struct adapter **out,
                     struct err *e)
{
    char *path = NULL;
    int rc = cli_model_path(c, a->path, &path, e);
    if (!rc) rc = adapter_load(out, m->model, path, e);
    if (!rc && !a->unchecked) {
        rc = adapter_origin_check(path, m->file, a->merging, e);
        if (rc) {
            adapter_free(*out);
            *out = NULL;
        }
    }
    if (!rc && a->scale != 1.0f) adapter_set_scale(*out, a->scale);
    mem_free(path);
    return rc;
}
