/* A training run read back for reports. Owns what it loads. What always holds: only whole event lines are used, so a
 * run that goes on while the report is made does no harm. */
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/eval/report.h"

enum { MAX_EVENTS = 1 << 30, MAX_YAML = 1 << 20 };

static int add_point(json_t *list, const json_t *event, const char *what)
{
    json_t *y = json_object_get(event, what), *step = json_object_get(event, "step");
    if (!json_is_number(y) || !json_is_number(step)) return 0;
    return json_array_append_new(list, json_pack("[O,O]", step, y));
}

static int take_event(struct training *t, json_t *event)
{
    const char *kind = record_str(event, "event");
    if (str_eq(kind, "step")) return add_point(t->loss, event, "loss");
    if (str_eq(kind, "eval")) return add_point(t->eval_loss, event, "loss") | add_point(t->score, event, "score");
    if (str_eq(kind, "done")) {
        json_decref(t->done);
        t->done = json_incref(event);
    }
    return 0;
}

static int read_events(struct training *t, const char *path, struct err *e)
{
    char *text;
    size_t n;
    int rc = file_read_all(path, MAX_EVENTS, &text, &n, e);
    if (rc) return rc;
    for (size_t at = 0; rc == 0 && at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        json_t *event;
        if (!end) break;
        rc = json_parse(text + at, (size_t)(end - text) - at, path, &event, e);
        if (rc) break;
        if (take_event(t, event)) rc = err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
        json_decref(event);
        at = (size_t)(end - text) + 1;
    }
    mem_free(text);
    return rc;
}

int training_load(struct training *t, const char *dir, struct err *e)
{
    *t = (struct training){
        .dir = mem_strdup(dir), .loss = json_array(), .eval_loss = json_array(), .score = json_array()};
    char *events = path_join(dir, "events.jsonl"), *yaml = path_join(dir, "run.yaml");
    int rc = read_events(t, events, e);
    if (rc == 0 && file_exists(yaml)) rc = file_read_all(yaml, MAX_YAML, &t->yaml, NULL, e);
    mem_free(events);
    mem_free(yaml);
    return rc;
}

void training_deinit(struct training *t)
{
    mem_free(t->dir);
    mem_free(t->yaml);
    json_decref(t->loss);
    json_decref(t->eval_loss);
    json_decref(t->score);
    json_decref(t->done);
    *t = (struct training){0};
}
