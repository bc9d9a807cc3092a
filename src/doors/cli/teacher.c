/* Teachers. Owns the model that is loaded here. What always holds: no model is asked whose licence was not looked at.
 */
#include "doors/cli/teacher.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { LICENCE_SIZE = 128 };

/* --- the licence --- */

/* Where what is known of the licence comes from. */
struct found_licence {
    char name[LICENCE_SIZE]; /* "" : nothing is known */
    const char *from;        /* "catalogue", "model file", "statement" */
};

static int find_in_catalogue(const struct cli *c, const char *model, struct found_licence *l, struct err *e)
{
    struct catalogue catalogue;
    char room[LICENCE_SIZE];
    int rc = catalogue_open(&catalogue, c->home, NULL, e);
    const char *licence = rc == 0 ? licence_of_model(&catalogue, model, room, sizeof(room)) : NULL;
    if (licence != NULL) {
        snprintf(l->name, sizeof(l->name), "%s", licence);
        l->from = "catalogue";
    }
    catalogue_free(&catalogue);
    return rc;
}

/* A model file says its own name and, where its maker did, its licence. */
static int find_in_file(const struct cli *c, const struct cli_model *m, const char *model, struct found_licence *l,
                        struct err *e)
{
    const json_t *all = model_file_metadata(m->file);
    const char *name = json_string_value(json_object_get(all, "general.name"));
    const char *licence = json_string_value(json_object_get(all, "general.license"));
    int rc = name != NULL ? find_in_catalogue(c, name, l, e) : 0;
    if (rc == 0 && l->name[0] == '\0') rc = find_in_catalogue(c, m->path, l, e);
    if (rc == 0 && l->name[0] == '\0') rc = find_in_catalogue(c, model, l, e);
    if (rc != 0 || l->name[0] != '\0' || licence == NULL || *licence == '\0') return rc;
    snprintf(l->name, sizeof(l->name), "%s", licence);
    l->from = "model file";
    return 0;
}

static int forbidden(const struct teacher *t, const char *shown, const char *licence, struct err *e)
{
    bool zh = t->cli->lang == LANG_ZH && t->rule.text_zh[0] != '\0';
    return err_set(e, ERR_CONFLICT, shown, "cannot learn from \"%s\": its licence, %s, forbids it: %s", shown, licence,
                   zh ? t->rule.text_zh : t->rule.text_en);
}

/* The catalogue's word goes before the user's; the user's fills what the catalogue does not know. */
static int check_licence(struct teacher *t, struct found_licence *l, const char *shown, struct err *e)
{
    const char *said = t->o->licence;
    int rc = l->name[0] != '\0' ? licence_find(t->cli->home, l->name, &t->rule, e) : 0;
    if (rc == 0 && t->rule.outputs == LICENCE_FORBIDS) return forbidden(t, shown, l->name, e);
    if (rc != 0 || t->rule.outputs != LICENCE_UNKNOWN) return rc;
    if (said == NULL && l->name[0] == '\0')
        return err_set(e, ERR_USAGE, "licence",
                       "cannot learn from \"%s\": its licence is not known; --licence states it, and that it allows "
                       "training on what the model writes",
                       shown);
    if (said == NULL)
        return err_set(e, ERR_USAGE, "licence",
                       "cannot learn from \"%s\": whether its licence, %s, allows training on what it writes is not "
                       "known; --licence states that it does",
                       shown, l->name);
    snprintf(l->name, sizeof(l->name), "%s", said);
    l->from = "statement";
    rc = licence_find(t->cli->home, said, &t->rule, e);
    return rc == 0 && t->rule.outputs == LICENCE_FORBIDS ? forbidden(t, shown, said, e) : rc;
}

/* --- a model of this machine --- */

static bool is_first_of_its_kind(const struct ask_call *call, size_t i)
{
    return i == 0 || call[i].messages != call[i - 1].messages;
}

static int submit(struct teacher *t, const struct ask_call *c, int max_tokens, struct sequence **out, struct err *e)
{
    struct token_list ids = {0};
    const struct conversation conversation = {c->messages, json_array_size(c->messages), NULL, NULL};
    int rc = conversation_prompt_ids(&t->renderer, &conversation, "the row", &ids, e);
    struct sequence_request rq = {.ids = ids.ids,
                                  .n_id = ids.n,
                                  .max_tokens = max_tokens,
                                  .adapter = -1,
                                  .choices = t->choices,
                                  .sampling = {.greedy = !(c->temperature > 0),
                                               .temperature = c->temperature > 0 ? (float)c->temperature : 1,
                                               .top_p = (float)c->top_p,
                                               .repetition_penalty = 1,
                                               .seed = c->seed}};
    if (rc == 0) rc = engine_submit(t->engine.engine, &rq, out, e);
    token_list_deinit(&ids);
    return rc;
}

static int run_all(struct teacher *t, struct err *e)
{
    int alive;
    do {
        alive = engine_step(t->engine.engine, e);
        if (alive > 0 && cli_interrupted()) {
            engine_cancel_all(t->engine.engine);
            return err_set(e, ERR_INTERRUPTED, t->o->model, "interrupted; the same command goes on from there");
        }
    } while (alive > 0);
    return alive;
}

static void release(struct teacher *t, struct sequence **s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sequence_release(t->engine.engine, s[i]);
        s[i] = NULL;
    }
}

/* Where several samples of a question are asked, its prompt is computed once, ahead of them. */
static int compute_prompts(struct teacher *t, const struct ask_call *call, size_t n, struct sequence **s, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i + 1 < n; i++) {
        struct err ignored; /* the question itself will say it */
        if (is_first_of_its_kind(call, i) && call[i + 1].messages == call[i].messages &&
            submit(t, &call[i], 1, &s[i], &ignored) != 0)
            s[i] = NULL;
    }
    rc = run_all(t, e);
    release(t, s, n);
    return rc;
}

static void take_answer(struct ask_call *c, const struct sequence *s)
{
    struct sequence_result r;
    sequence_get(s, &r);
    if (r.reason != FINISH_STOP && r.reason != FINISH_LENGTH) {
        c->rc = err_set(&c->err, ERR_INTERNAL, NULL, "cannot go on with the answer: it cannot be computed");
        c->own_fault = true;
        return;
    }
    c->text = mem_strndup(r.text != NULL ? r.text : "", r.text_len);
    c->truncated = r.reason == FINISH_LENGTH;
}

static int ask_here(void *arg, const struct ask_place *place, struct ask_call *call, size_t n, struct err *e)
{
    struct teacher *t = arg;
    struct sequence **s = mem_try_array(n, sizeof(struct sequence *));
    (void)place;
    if (s == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot ask %zu questions: out of memory", n);
    int rc = compute_prompts(t, call, n, s, e);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        call[i].rc = submit(t, &call[i], call[i].max_tokens, &s[i], &call[i].err);
        call[i].own_fault = call[i].rc != 0;
        if (call[i].rc == -ERR_NOMEM) rc = err_set(e, ERR_NOMEM, NULL, "%s", call[i].err.msg);
    }
    if (rc == 0) rc = run_all(t, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (call[i].rc == 0) take_answer(&call[i], s[i]);
    release(t, s, n);
    mem_free(s);
    return rc;
}

static int open_here(struct teacher *t, struct err *e)
{
    const struct cli_model *m = &t->engine.model;
    int rc = cli_engine_load(&t->engine, t->cli, t->o->model, NULL, e);
    if (rc == 0) rc = cli_model_need_chat(m, "answer as a teacher", e);
    if (rc != 0) return rc;
    struct engine_options o = {
        .n_ctx = cli_engine_context(&t->engine, t->o->n_ctx), .max_batch = t->o->n_at_once, .prefix_cache = true};
    conversation_renderer_init(&t->renderer, m->chat, m->tok);
    t->asker = (struct asker){t, ask_here};
    if (t->o->n_label > 0) rc = choice_set_new(&t->choices, m->tok, t->o->label, t->o->n_label, e);
    return rc == 0 ? cli_engine_start(&t->engine, &o, e) : rc;
}

/* --- both --- */

static int open_remote(struct teacher *t, struct err *e)
{
    const struct teacher_options *o = t->o;
    t->remote = (struct remote_chat){t->cli,
                                     {.url = o->model,
                                      .model = o->name,
                                      .key_env = o->key_env,
                                      .key_file = o->key_file,
                                      .timeout_s = o->timeout_s,
                                      .n_retry = o->n_retry,
                                      .n_connection = o->n_connection}};
    t->asker = (struct asker){&t->remote, remote_chat_ask};
    if (o->name != NULL) return 0;
    return err_set(e, ERR_USAGE, "teacher_model", "cannot ask \"%s\": --teacher-model says which model there",
                   o->model);
}

static int describe(struct teacher *t, const struct found_licence *l, struct err *e)
{
    char fingerprint[MODEL_FINGERPRINT_SIZE] = "", *pinned = NULL;
    bool is_file = !t->is_remote && file_exists(t->o->model);
    int rc = t->is_remote ? 0 : model_file_fingerprint(t->engine.model.file, fingerprint, e);
    if (rc == 0 && !t->is_remote && !is_file) rc = cli_model_pin(t->cli, t->o->model, &pinned, e);
    if (rc != 0) return rc;
    const char *model = t->is_remote ? t->o->name : is_file ? path_base(t->o->model) : pinned;
    t->description = json_pack(
        "{s:s,s:s?,s:s?,s:s,s:s,s:s,s:s,s:s}", "model", model, "url", t->is_remote ? t->o->model : NULL, "fingerprint",
        t->is_remote ? NULL : fingerprint, "licence", l->name, "licence_from", l->from, "outputs",
        licence_outputs_name(t->rule.outputs), "condition", t->rule.text_en, "source", t->rule.source);
    mem_free(pinned);
    return t->description != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "cannot describe the teacher: out of memory");
}

int teacher_open(struct teacher *t, const struct cli *c, const struct teacher_options *o, struct err *e)
{
    struct found_licence l = {.from = ""};
    struct cli_model head = {0};
    *t = (struct teacher){.cli = c, .o = o, .is_remote = remote_chat_is_address(o->model)};
    int rc = t->is_remote ? open_remote(t, e) : cli_model_open(&head, c, NULL, o->model, e);
    if (rc == 0) rc = t->is_remote ? find_in_catalogue(c, o->name, &l, e) : find_in_file(c, &head, o->model, &l, e);
    cli_model_close(&head);
    if (rc == 0) rc = check_licence(t, &l, t->is_remote ? o->name : o->model, e);
    if (rc == 0 && !t->is_remote) rc = open_here(t, e);
    return rc == 0 ? describe(t, &l, e) : rc;
}

void teacher_close(struct teacher *t)
{
    cli_engine_close(&t->engine);
    choice_set_free(t->choices);
    json_decref(t->description);
    t->description = NULL;
}
