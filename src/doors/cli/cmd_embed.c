/* embed: texts to vectors. Rows of a file are embedded in runs, so that a file of any length takes the memory of one.
 */
#include <stdio.h>
#include <string.h>

#include "doors/cli/cli_embedder.h"
#include "doors/cli/cli_texts.h"
#include "doors/cli/options.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { RUN_TEXTS = 64 };

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model", "模型的路径或名称"},
    {"text", PARAM_STRING, PARAM_REPEAT, NULL, 0, 0, NULL, NULL, "S", "text to embed; may be repeated",
     "要转成向量的文本；可以重复"},
    {"file", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "F.jsonl", "rows of texts, JSON Lines",
     "文本行，JSON Lines 格式"},
    {"field", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "NAME[+NAME]",
     "fields of a row that are the text, joined by newlines", "组成文本的字段，用换行连接"},
    {"pooling", PARAM_CHOICE, 0, NULL, 0, 0, "mean|cls|last", NULL, "P",
     "how the vectors of tokens become one; without it as the model says",
     "如何把各词元的向量合成一个；不给则按模型自己的说明"},
    {"dimensions", PARAM_INT, 0, NULL, 1, 65536, NULL, NULL, "N", "keep the first so many values", "只保留前若干个值"},
    {"truncate", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "cut texts that are too long, instead of an error",
     "截断过长的文本，而不是报错"},
};

/* Texts waiting for a run, and what is said of all. */
struct embedding {
    const struct cli *c;
    struct embedder *m;
    bool truncate;
    int n_embd; /* values that are kept */
    char *text[RUN_TEXTS];
    size_t len[RUN_TEXTS], n;
    float *out;
    size_t n_text, n_tok;
    json_t *list; /* NULL: printed as they come */
};

static json_t *vector_json(const float *x, int n)
{
    json_t *v = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(v, json_real((double)x[i]));
    return v;
}

static void show(const struct embedding *x, const float *v)
{
    for (int i = 0; i < x->n_embd; i++) printf("%s%.6g", i ? "," : "", (double)v[i]);
    putchar('\n');
}

static void drop_texts(struct embedding *x)
{
    for (size_t i = 0; i < x->n; i++) mem_free(x->text[i]);
    x->n = 0;
}

static int run_texts(struct embedding *x, struct err *e)
{
    struct embedder_text text[RUN_TEXTS];
    size_t n_tok = 0;
    for (size_t i = 0; i < x->n; i++) text[i] = (struct embedder_text){x->text[i], x->len[i]};
    int rc = embedder_run(x->m, text, x->n, x->truncate, x->n_embd, x->out, &n_tok, e);
    for (size_t i = 0; !rc && i < x->n; i++) {
        const float *v = x->out + i * (size_t)x->n_embd;
        if (x->list)
            json_array_append_new(x->list, vector_json(v, x->n_embd));
        else
            show(x, v);
    }
    x->n_text += x->n;
    x->n_tok += n_tok;
    drop_texts(x);
    return !rc && cli_interrupted() ? err_set(e, ERR_INTERRUPTED, NULL, "interrupted after %zu texts", x->n_text) : rc;
}

static int take_text(void *arg, const char *text, size_t n, const char *where, struct err *e)
{
    struct embedding *x = arg;
    (void)where;
    x->text[x->n] = mem_strndup(text, n);
    x->len[x->n++] = n;
    return x->n == RUN_TEXTS ? run_texts(x, e) : 0;
}

static int embed_all(struct embedding *x, const struct param_set *args, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < param_count(args, "text"); i++) {
        const char *s = param_str_at(args, "text", i);
        rc = take_text(x, s, strlen(s), "", e);
    }
    if (!rc && param_is_set(args, "file"))
        rc = cli_rows_each(param_str(args, "file"), param_str(args, "field"), take_text, x, e);
    if (!rc && x->n) rc = run_texts(x, e);
    return rc;
}

static int check_args(const struct param_set *args, struct err *e)
{
    int rc = param_need_one(args, "embed", "text", "file", e);
    if (!rc && param_is_set(args, "file") && !param_is_set(args, "field"))
        rc = err_set(e, ERR_USAGE, "field", "cannot go on: --field is missing, NAME[+NAME] is needed");
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct cli_embedder m = {0};
    struct dev *d = NULL;
    struct embedding x = {.c = c, .truncate = param_bool(args, "truncate")};
    int rc = check_args(args, e);
    if (!rc) rc = cli_device(c, &d, e);
    if (!rc) rc = cli_embedder_open(&m, c, d, param_str(args, "model"), param_str(args, "pooling"), e);
    if (!rc) {
        int n = embedder_n_embd(m.embedder), want = (int)param_int(args, "dimensions");
        x.m = m.embedder;
        x.n_embd = param_is_set(args, "dimensions") ? want : n;
        x.list = c->json ? json_array() : NULL;
        x.out = mem_alloc((size_t)RUN_TEXTS * (size_t)(n > x.n_embd ? n : x.n_embd) * sizeof(*x.out));
        rc = embed_all(&x, args, e);
    }
    if (!rc && c->json)
        cli_print_json(json_pack("{s:i, s:I, s:I, s:O}", "n_embd", x.n_embd, "n_text", (json_int_t)x.n_text, "n_tok",
                                 (json_int_t)x.n_tok, "embeddings", x.list));
    drop_texts(&x);
    json_decref(x.list);
    mem_free(x.out);
    cli_embedder_close(&m);
    dev_free(d);
    return rc;
}

const struct command cmd_embed = {
    .name = "embed",
    .summary_en = "turn texts into vectors",
    .summary_zh = "把文本转成向量",
    .usage =
        "MODEL (--text S... | --file F.jsonl --field NAME) [--pooling mean|cls|last] [--dimensions N] [--truncate]",
    .example = "tailor embed all-MiniLM-L6-v2 --text \"a sentence\" --json",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
