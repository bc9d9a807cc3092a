/* A teacher of `data generate`: a model of this machine or one behind an address, its licence, and how it is asked. */
#ifndef CLI_TEACHER_H
#define CLI_TEACHER_H

#include "doors/cli/cli_engine.h"
#include "doors/cli/remote_chat.h"
#include "lifecycle/data/render.h"
#include "lifecycle/plan/licence.h"
#include "lifecycle/rules/asker.h"

struct teacher_options {
    const char *model;   /* path or registry name, or an address */
    const char *name;    /* at an address: the model's name there */
    const char *licence; /* what the user says of it; NULL: nothing */
    const char *key_env, *key_file;
    int timeout_s, n_retry, n_connection;
    int n_at_once;            /* questions, here */
    const char *const *label; /* [n_label] a model here is held to answer with one of these; n_label 0: free */
    size_t n_label;
    int64_t n_ctx; /* here; 0: as the model was trained, at most 8192 */
};

struct teacher {
    const struct cli *cli;
    const struct teacher_options *o;
    struct remote_chat remote;
    struct cli_engine engine; /* here */
    bool is_remote;
    struct conversation_renderer renderer;
    struct choice_set *choices; /* NULL: free */
    struct licence_rule rule;
    json_t *description; /* {"model", "licence", "licence_from", "outputs", ...}, for rows and manifest */
    struct asker asker;
};
/* Look at the licence first, then load the model. -ERR_CONFLICT: the licence forbids training on what it writes;
 * -ERR_USAGE: it is not known, and o->licence does not say it; what opening a model can end with. Stays where it is;
 * teacher_close in any case. */
int teacher_open(struct teacher *t, const struct cli *c, const struct teacher_options *o, struct err *e) MUST_CHECK;
void teacher_close(struct teacher *t);

#endif
