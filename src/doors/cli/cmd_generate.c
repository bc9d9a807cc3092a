/* generate: one answer to ids, a text or a conversation. */
#include <stdio.h>

#include "doors/cli/cli_engine.h"
#include "doors/cli/cli_prompt.h"
#include "doors/cli/cli_sampling.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
    {"ids", PARAM_INTS, 0, NULL, 0, 2147483647, NULL, NULL, "1,2,3", "prompt as token ids", "以词元编号给出的提示词"},
    {"prompt", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT", "prompt as raw text to continue", "要续写的原始文本"},
    {"messages", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "conversation as JSON, put through the model's template", "JSON 格式的对话，经模型模板渲染"},
    {"max_tokens", PARAM_INT, 0, "tokens", 1, 1048576, NULL, "512", "N", "longest answer", "回答的最大长度"},
    {"ctx", PARAM_INT, 0, "tokens", 2, 1048576, NULL, NULL, "N", "longest prompt and answer together",
     "提示词与回答合计的最大长度"},
    {"ignore_eos", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "go on after end tokens", "遇到结束词元时继续"},
    {"stop", PARAM_STRING, PARAM_REPEAT, NULL, 0, 0, NULL, NULL, "TEXT", "end the answer before this text",
     "在该文本之前结束回答"},
    {"choice", PARAM_STRING, PARAM_REPEAT, NULL, 0, 0, NULL, NULL, "TEXT", "the answer is one of these texts",
     "回答只能是这些文本之一"},
    {"adapter", PARAM_STRING, PARAM_ONCE, NULL, 0, 0, NULL, NULL, "A[,scale=S]", "LoRA adapter on top of the model",
     "叠加在模型上的 LoRA 适配器"},
    CLI_SAMPLING_PARAMS,
};

static int read_ids(const struct param_set *args, struct token_list *out, struct err *e)
{
    for (size_t i = 0; i < param_count(args, "ids"); i++)
        if (token_list_add(out, (int32_t)param_int_at(args, "ids", i)))
            return err_set(e, ERR_NOMEM, NULL, "cannot hold the prompt: out of memory");
    return 0;
}

static int check_args(const struct param_set *args, struct err *e)
{
    int n = param_is_set(args, "ids") + param_is_set(args, "prompt") + param_is_set(args, "messages");
    return n == 1 ? 0
                  : err_set(e, ERR_USAGE, NULL, "cannot generate: %s of --ids, --prompt and --messages must be given",
                            n ? "only one" : "one");
}

static int read_prompt(const struct cli_engine *x, const struct param_set *args, struct token_list *out, struct err *e)
{
    if (param_is_set(args, "ids")) return read_ids(args, out, e);
    if (param_is_set(args, "prompt")) return cli_prompt_text(&x->model, param_str(args, "prompt"), out, e);
    return cli_prompt_messages(&x->model, param_str(args, "messages"), out, e);
}

/* Texts of the repeated option --stop as one array (mem_free; the texts are borrowed). */
static const char **stop_texts(const struct param_set *args)
{
    size_t n = param_count(args, "stop");
    const char **list = mem_alloc((n + 1) * sizeof(*list));
    for (size_t i = 0; i < n; i++) list[i] = param_str_at(args, "stop", i);
    return list;
}

static int read_choices(const struct cli_engine *x, const struct param_set *args, struct choice_set **out,
                        struct err *e)
{
    size_t n = param_count(args, "choice");
    if (!n) return 0;
    int rc = cli_model_need_text(&x->model, "limit the answer to choices", e);
    if (rc) return rc;
    const char **list = mem_alloc(n * sizeof(*list));
    for (size_t i = 0; i < n; i++) list[i] = param_str_at(args, "choice", i);
    rc = choice_set_new(out, x->model.tok, list, n, e);
    mem_free(list);
    return rc;
}

static json_t *ids_json(const struct sequence_result *r)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < r->n_id; i++) json_array_append_new(ids, json_integer(r->ids[i]));
    return ids;
}

/* Tokens a second, null when there were none: the time is then nobody's. */
static json_t *rate_json(size_t n_tok, double seconds)
{
    return n_tok ? json_finite((double)n_tok / seconds) : json_null();
}

static void print_result(const struct sequence *s)
{
    struct sequence_result r;
    sequence_get(s, &r);
    json_t *timings =
        json_pack("{s:o, s:o, s:o}", "prompt_tok_s", rate_json(r.n_prompt - r.n_cached, r.prefill_s), "decode_tok_s",
                  rate_json(r.n_decoded, r.decode_s), "ttft_ms", json_finite(r.ttft_s * 1e3));
    cli_print_json(json_pack("{s:o, s:o, s:s, s:o}", "ids", ids_json(&r), "text",
                             r.text ? json_stringn(r.text, r.text_len) : json_null(), "finish_reason",
                             finish_reason_name(r.reason), "timings", timings));
}

static int answer(struct cli_engine *x, const struct cli *c, struct sequence_request *r, struct err *e)
{
    struct cli_stream stream = {0};
    struct sequence *s = NULL;
    if (!c->json) {
        r->fn = cli_stream_token;
        r->arg = &stream;
    }
    int rc = cli_engine_run(x, r, &s, e);
    if (stream.begun) putchar('\n');
    if (!rc && c->json) print_result(s);
    sequence_release(x->engine, s);
    return rc;
}

/* Context for this one answer: no more pages than it needs. */
static int start(struct cli_engine *x, const struct param_set *args, size_t n_prompt, struct err *e)
{
    int64_t wanted =
        param_is_set(args, "ctx") ? param_int(args, "ctx") : (int64_t)n_prompt + param_int(args, "max_tokens");
    int trained = model_params(x->model.model)->n_ctx_train;
    if (!param_is_set(args, "ctx") && trained > 1 && wanted > trained) wanted = trained;
    struct engine_options opt = {.n_ctx = cli_engine_context(x, wanted), .max_batch = 1};
    return cli_engine_start(x, &opt, e);
}

static int generate(struct cli_engine *x, const struct cli *c, const struct param_set *args,
                    const struct sampling *sampling, struct err *e)
{
    struct token_list ids = {0};
    struct choice_set *choices = NULL;
    const char **stop = stop_texts(args);
    struct sequence_request r = {.max_tokens = (int)param_int(args, "max_tokens"),
                                 .ignore_eos = param_bool(args, "ignore_eos"),
                                 .adapter = cli_engine_adapter(x),
                                 .sampling = *sampling,
                                 .stop = stop,
                                 .n_stop = param_count(args, "stop")};
    int rc = read_prompt(x, args, &ids, e);
    if (!rc) rc = read_choices(x, args, &choices, e);
    if (!rc) rc = start(x, args, ids.n, e);
    r.ids = ids.ids;
    r.n_id = ids.n;
    r.choices = choices;
    if (!rc) rc = answer(x, c, &r, e);
    choice_set_free(choices);
    token_list_deinit(&ids);
    mem_free(stop);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct cli_engine x;
    struct sampling sampling;
    int rc = check_args(args, e);
    if (!rc) rc = cli_sampling(args, &sampling, e);
    if (rc) return rc;
    rc = cli_engine_load(&x, c, param_str(args, "model"), param_str(args, "adapter"), e);
    if (rc) return rc;
    rc = generate(&x, c, args, &sampling, e);
    cli_engine_close(&x);
    return rc;
}

const struct command cmd_generate = {
    .name = "generate",
    .summary_en = "answer ids, a text or a conversation",
    .summary_zh = "对词元、文本或对话生成回答",
    .usage = "MODEL (--ids 1,2,3 | --prompt TEXT | --messages FILE) [--max-tokens N] [--greedy | --temperature X ...]",
    .example = "tailor generate model.gguf --prompt \"The sky is\" --max-tokens 20 --greedy",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
