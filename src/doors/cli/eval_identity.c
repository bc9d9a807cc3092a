/* Identity of an evaluation. Owns nothing. What always holds: paths and times are not in it, so the same question asked
 * elsewhere is the same evaluation; prompt, sampling, build and every input by digest are. */
#include "doors/cli/eval_identity.h"

#include <string.h>

#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "ground/sys/machine.h"
#include "lifecycle/rules/matcher.h"

static const char *precision_text(enum precision p)
{
    static const char *const name[] = {"auto", "deterministic", "reference"};
    return name[p];
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot describe the evaluation: out of memory");
}

/* {"digest","scale"} of --adapter, or null. */
static int adapter_identity(const struct cli *c, struct registry *r, const char *adapter, json_t **out, struct err *e)
{
    struct cli_adapter a;
    char *path = NULL, hex[DIGEST_HEX_SIZE];
    *out = json_null();
    if (!adapter) return 0;
    int rc = cli_adapter_parse(&a, adapter, e);
    if (rc) return rc;
    rc = cli_model_path(c, a.path, &path, e);
    if (rc == 0) rc = registry_digest_path(r, path, hex, e);
    if (rc == 0) *out = json_pack("{s:s,s:f}", "digest", hex, "scale", (double)a.scale);
    mem_free(path);
    cli_adapter_deinit(&a);
    return rc || *out ? rc : no_memory(e);
}

static int template_identity(const struct cli_engine *x, json_t **out, struct err *e)
{
    struct vocab_source v;
    char hex[DIGEST_HEX_SIZE];
    *out = json_null();
    int rc = model_file_vocab(x->model.file, &v, e);
    if (rc || !v.chat_template) return rc;
    rc = digest_memory(v.chat_template, strlen(v.chat_template), hex, e);
    if (rc == 0) *out = json_string(hex);
    return rc || *out ? rc : no_memory(e);
}

/* The kernels that bits depend on: on one instruction set, products may be in bfloat16 or not, by the CPU's maker. */
static json_t *kernels_identity(const struct cli_engine *x)
{
    const struct dev *d = model_dev(x->model.model);
    return json_sprintf("%s%s", kern_isa_name(dev_isa(d)), dev_uses_bf16(d) ? ", bf16" : "");
}

static json_t *prompt_identity(const struct eval_options *o)
{
    return json_pack("{s:s,s:s,s:s?,s:O?}", "choices", choices_mode_name(o->choices), "template", o->prompt->source,
                     "system", o->prompt->system, "labels", o->choices == CHOICES_FREE ? NULL : o->prompt->labels);
}

static json_t *sampling_identity(const struct eval_options *o)
{
    const struct sampling *s = &o->sampling;
    if (s->greedy) return json_pack("{s:b,s:i}", "greedy", 1, "max_tokens", o->max_tokens);
    return json_pack("{s:b,s:i,s:f,s:i,s:f,s:I}", "greedy", 0, "max_tokens", o->max_tokens, "temperature",
                     (double)s->temperature, "top_k", s->top_k, "top_p", (double)s->top_p, "seed", (json_int_t)s->seed);
}

int eval_identity(const struct cli *c, struct registry *r, const struct cli_engine *x, const char *adapter,
                  const struct eval_options *o, json_t **out, struct err *e)
{
    char model[DIGEST_HEX_SIZE];
    json_t *lora = NULL, *chat = NULL;
    int rc = registry_digest_path(r, x->model.path, model, e);
    if (rc == 0) rc = adapter_identity(c, r, adapter, &lora, e);
    if (rc == 0) rc = template_identity(x, &chat, e);
    if (rc) {
        json_decref(lora);
        json_decref(chat);
        return rc;
    }
    *out = json_pack("{s:{s:s,s:I},s:s,s:o,s:o,s:o,s:o,s:i,s:i,s:s,s:s,s:s*,s:o,s:s}", "cases", "digest",
                     o->cases->digest, "n", (json_int_t)o->cases->n, "model", model, "adapter", lora, "chat_template",
                     chat, "prompt", prompt_identity(o), "sampling", sampling_identity(o), "batch", o->batch, "ctx",
                     engine_n_ctx(o->engine), "engine", cli_version(), "precision", precision_text(c->precision),
                     "kv_type", c->kv_type == DEV_KV_Q8_0 ? "q8_0" : NULL, "isa", kernels_identity(x), "matchers",
                     matcher_versions());
    return *out ? 0 : no_memory(e);
}

int eval_description(const struct cli *c, const struct cli_engine *x, const char *model, const char *adapter,
                     const char *dataset, const struct eval_options *o, const char *command, json_t **out,
                     struct err *e)
{
    struct machine m;
    char time[32];
    machine_describe(&m);
    clock_format_utc(clock_unix_ms(), time, sizeof time);
    *out = json_pack("{s:s,s:{s:{s:s,s:s},s:s?,s:{s:s,s:s*,s:s,s:I,s:I,s:I}},s:{s:s,s:i,s:s},s:s,s:O?}", "created",
                     time, "inputs", "model", "name", model, "path", x->model.path, "adapter", adapter, "cases", "path",
                     o->cases->path, "name", dataset, "digest", o->cases->digest, "n", (json_int_t)o->cases->n,
                     "n_total", (json_int_t)o->cases->n_total, "n_duplicate_text",
                     (json_int_t)o->cases->n_duplicate_text, "machine", "cpu", m.cpu_name, "threads", c->threads, "isa",
                     kern_isa_name(c->isa), "command", command, "labels", o->cases->labels);
    return *out ? 0 : no_memory(e);
}
