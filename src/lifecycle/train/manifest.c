/* Manifests of runs. What always holds: everything that the adapter's bits depend on has a digest under "inputs". */
#include "lifecycle/train/manifest.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"
#include "ground/sys/machine.h"

static int put(json_t *obj, const char *key, json_t *value, struct err *e)
{
    if (value != NULL && json_object_set_new(obj, key, value) == 0) return 0;
    return err_set(e, ERR_NOMEM, key, "cannot write the manifest: out of memory");
}

/* --- digests of files and directories --- */

static int digest_entry(struct digest *d, const char *dir, const char *name, uint64_t *total, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    uint64_t size = 0;
    char *path = path_join(dir, name);
    int rc = file_is_dir(path) ? 0 : digest_file(path, hex, &size, e);
    if (rc == 0 && !file_is_dir(path)) {
        digest_add(d, name, strlen(name) + 1);
        digest_add(d, hex, DIGEST_HEX_SIZE);
        *total += size;
    }
    mem_free(path);
    return rc;
}

/* Names and digests of the files in a directory, in the order of names. */
static int digest_dir(const char *dir, char hex[DIGEST_HEX_SIZE], uint64_t *total, struct err *e)
{
    char **name;
    size_t n;
    struct digest d;
    int rc = file_list_dir(dir, &name, &n, e);
    if (rc != 0) return rc;
    rc = digest_begin(&d, e);
    for (size_t i = 0; i < n && rc == 0; i++) rc = digest_entry(&d, dir, name[i], total, e);
    if (rc == 0) digest_end(&d, hex);
    for (size_t i = 0; i < n; i++) mem_free(name[i]);
    mem_free(name);
    return rc;
}

/* said: the field as it stands in run.yaml, a registry name perhaps; noted where it is not the path itself. */
static int put_file(json_t *inputs, const char *key, const char *path, const char *said, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    uint64_t size = 0;
    if (path == NULL) return 0;
    int rc = file_is_dir(path) ? digest_dir(path, hex, &size, e) : digest_file(path, hex, &size, e);
    if (rc != 0) return rc;
    return put(inputs, key,
               json_pack("{s:s,s:s*,s:s,s:I}", "path", path, "name", str_eq(said, path) ? NULL : said, "sha256", hex,
                         "bytes", (json_int_t)size),
               e);
}

static int put_text(json_t *inputs, const char *key, const char *text, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    if (text == NULL) return 0;
    int rc = digest_memory(text, strlen(text), hex, e);
    return rc != 0 ? rc : put(inputs, key, json_pack("{s:s}", "sha256", hex), e);
}

/* --- parts --- */

/* All fields but those that name places or cannot change the result. */
static int put_config(json_t *inputs, const struct train_request *rq, struct err *e)
{
    static const char *const apart[] = {"base",   "data",    "eval_data", "eval_cases",   "adapter_init", "adapters",
                                        "output", "threads", "recompute", "memory_limit", "save_every",   "preset"};
    json_t *fields = param_to_json(rq->fields);
    char hex[DIGEST_HEX_SIZE];
    if (fields == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot write the manifest: out of memory");
    json_t *shown = json_object();
    int rc = shown == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot write the manifest: out of memory") : 0;
    for (size_t i = 0; rc == 0 && i < train_n_param; i++) {
        json_t *v = json_object_get(fields, train_params[i].name);
        bool skip = v == NULL;
        for (size_t k = 0; k < N_ELEM(apart); k++) skip = skip || str_eq(train_params[i].name, apart[k]);
        if (!skip) rc = put(shown, train_params[i].name, json_incref(v), e);
    }
    if (rc == 0) rc = json_digest(shown, hex, e);
    if (rc == 0) rc = put(inputs, "config", json_pack("{s:s}", "sha256", hex), e);
    json_decref(shown);
    json_decref(fields);
    return rc;
}

/* In `reference` the bits are the same on every instruction set, elsewhere they may differ, and in `auto` also with
 * what the CPU computes in bfloat16. */
static int put_arithmetic(json_t *inputs, const struct dev *d, struct err *e)
{
    static const char *const name[] = {
        [PRECISION_AUTO] = "auto", [PRECISION_DETERMINISTIC] = "deterministic", [PRECISION_REFERENCE] = "reference"};
    enum precision p = dev_precision(d);
    char text[64];
    snprintf(text, sizeof(text), "%s%s%s%s", name[p], p == PRECISION_REFERENCE ? "" : " on ",
             p == PRECISION_REFERENCE ? "" : kern_isa_name(dev_isa(d)), dev_uses_bf16(d) ? ", bf16" : "");
    return put(inputs, "arithmetic", json_pack("{s:s}", "kind", text), e);
}

static int put_stack(json_t *inputs, const struct train_request *rq, struct err *e)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < rq->config->n_adapter; i++) {
        char key[32];
        snprintf(key, sizeof(key), "adapters[%d]", i);
        rc = put_file(inputs, key, rq->config->adapters[i], param_str_at(rq->fields, "adapters", (size_t)i), e);
    }
    return rc;
}

static int make_inputs(const struct train_request *rq, json_t *inputs, struct err *e)
{
    const struct train_config *c = rq->config;
    const struct param_set *f = rq->fields;
    int rc = put_file(inputs, "base", model_file_path(rq->file), param_str(f, "base"), e);
    if (rc == 0) rc = put_file(inputs, "data", c->data, param_str(f, "data"), e);
    if (rc == 0) rc = put_file(inputs, "eval_data", c->eval_data, param_str(f, "eval_data"), e);
    if (rc == 0) rc = put_file(inputs, "eval_cases", c->eval_cases, param_str(f, "eval_cases"), e);
    if (rc == 0) rc = put_file(inputs, "adapter_init", c->adapter_init, param_str(f, "adapter_init"), e);
    if (rc == 0) rc = put_stack(inputs, rq, e);
    if (rc == 0) rc = put_text(inputs, "template", rq->template_text, e);
    if (rc == 0) rc = put_config(inputs, rq, e);
    if (rc == 0) rc = put_arithmetic(inputs, model_dev(rq->model), e);
    return rc;
}

static json_t *rows_json(const struct train_rows *r)
{
    return json_pack("{s:I,s:I,s:I,s:o,s:I,s:I,s:I,s:I}", "read", (json_int_t)r->n_read, "used",
                     (json_int_t)(r->n_row / r->unit), "refused", (json_int_t)r->n_refused, "verdicts",
                     train_rows_verdicts(r), "tokens", (json_int_t)r->n_id, "target_tokens", (json_int_t)r->n_target,
                     "longest", (json_int_t)r->longest, "turns_without_end_token", (json_int_t)r->n_open_turn);
}

static int make_rest(const struct train_request *rq, const struct train_rows *rows, const struct train_rows *eval,
                     json_t *m, struct err *e)
{
    struct machine machine;
    char now[32];
    machine_describe(&machine);
    clock_format_utc(clock_unix_ms(), now, sizeof(now));
    int rc = put(m, "rows", rows_json(rows), e);
    if (rc == 0 && eval != NULL) rc = put(m, "eval_rows", rows_json(eval), e);
    if (rc == 0) rc = put(m, "denominator", json_string(method_denominator(&rq->config->method)), e);
    if (rc == 0) rc = put(m, "version", json_string(rq->version), e);
    if (rc == 0) rc = put(m, "cpu", json_string(machine.cpu_name), e);
    if (rc == 0) rc = put(m, "isa", json_string(kern_isa_name(dev_isa(model_dev(rq->model)))), e);
    if (rc == 0) rc = put(m, "threads", json_integer(dev_n_thread(model_dev(rq->model))), e);
    if (rc == 0) rc = put(m, "created", json_string(now), e);
    return rc;
}

int manifest_make(const struct train_request *rq, const struct train_rows *rows, const struct train_rows *eval,
                  json_t **out, struct err *e)
{
    json_t *m = json_object(), *inputs = json_object();
    int rc = m == NULL || inputs == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot write the manifest: out of memory") : 0;
    if (rc == 0) rc = put(m, "kind", json_string("tune"), e);
    if (rc == 0) rc = make_inputs(rq, inputs, e);
    if (rc == 0) rc = put(m, "inputs", json_incref(inputs), e);
    if (rc == 0) rc = make_rest(rq, rows, eval, m, e);
    json_decref(inputs);
    if (rc != 0) json_decref(m);
    *out = rc == 0 ? m : NULL;
    return rc;
}

static const char *content_of(const json_t *input)
{
    const char *hex = json_string_value(json_object_get(input, "sha256"));
    return hex != NULL ? hex : json_string_value(json_object_get(input, "kind"));
}

int manifest_digest(const json_t *manifest, char hex[65], struct err *e)
{
    json_t *content = json_object();
    const char *key;
    json_t *input;
    int rc = content == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot read the manifest: out of memory") : 0;
    json_object_foreach(json_object_get(manifest, "inputs"), key, input)
    {
        if (rc == 0) rc = put(content, key, json_string(content_of(input)), e);
    }
    if (rc == 0) rc = json_digest(content, hex, e);
    json_decref(content);
    return rc;
}

int manifest_compare(const json_t *was, const json_t *now, const char *run, struct err *e)
{
    const json_t *a = json_object_get(was, "inputs"), *b = json_object_get(now, "inputs");
    const char *key;
    json_t *input;
    json_object_foreach((json_t *)(uintptr_t)b, key, input)
    {
        const char *before = content_of(json_object_get(a, key)), *after = content_of(input);
        if (!str_eq(before, after))
            return err_set(e, ERR_CONFLICT, key, "cannot resume \"%s\": its %s was %.16s, now it is %.16s", run, key,
                           before == NULL ? "not given" : before, after);
    }
    json_object_foreach((json_t *)(uintptr_t)a, key, input)
    {
        if (json_object_get(b, key) == NULL)
            return err_set(e, ERR_CONFLICT, key, "cannot resume \"%s\": its %s was %.16s, now it is not given", run,
                           key, content_of(input));
    }
    return 0;
}
