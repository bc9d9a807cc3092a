/* The ladder. Owns the texts it scores on, the file of the step in hand (removed before the next) and the rows of the
 * table. The source model stays loaded: it is the reference of every KL divergence. */
#include "doors/cli/ladder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compute/convert/quantize_model.h"
#include "compute/measure/bench.h"
#include "doors/cli/cli_score.h"
#include "doors/cli/cli_texts.h"
#include "doors/cli/progress.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { N_PREFILL = 256, N_DECODE = 64, N_REPEAT = 3, N_OWN = 6, OWN_TOK = 160 };

/* From many bits to few; what the field calls by these names. */
static const char *const steps[] = {"Q8_0",   "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_0",   "Q4_K_M", "Q4_1",
                                    "Q4_K_S", "Q4_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"};

struct texts {
    struct token_list *list;
    size_t n;
};

struct ladder {
    const struct cli *c;
    const struct ladder_options *opt;
    struct cli_engine source;
    struct texts texts;
    char *path; /* of the step in hand */
    json_t *rows;
};

static int add_text(void *arg, const struct token_list *ids, const char *where, struct err *e)
{
    struct texts *t = arg;
    struct token_list copy = {0};
    (void)where;
    struct token_list *grown = mem_try_realloc(t->list, (t->n + 1) * sizeof *grown);
    if (!grown) return err_set(e, ERR_NOMEM, NULL, "cannot hold the texts: out of memory");
    t->list = grown;
    for (size_t i = 0; i < ids->n; i++) {
        if (token_list_add(&copy, ids->ids[i])) {
            token_list_deinit(&copy);
            return err_set(e, ERR_NOMEM, NULL, "cannot hold the texts: out of memory");
        }
    }
    t->list[t->n++] = copy;
    return 0;
}

/* A text of the model's own, drawn from its whole distribution; the seeds are the numbers of the texts. */
static int write_text(struct ladder *l, int idx, struct err *e)
{
    int bos = model_params(l->source.model.model)->bos_id;
    int32_t first = bos >= 0 ? bos : 0;
    struct sequence *s;
    struct sequence_result r;
    struct sequence_request request = {.ids = &first,
                                       .n_id = 1,
                                       .max_tokens = OWN_TOK,
                                       .ignore_eos = true,
                                       .adapter = -1,
                                       .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1}};
    request.sampling.seed = (uint64_t)idx;
    int rc = cli_engine_run(&l->source, &request, &s, e);
    if (rc) return rc;
    struct token_list ids = {0};
    sequence_get(s, &r);
    rc = token_list_add(&ids, first);
    for (size_t i = 0; i < r.n_id && !rc; i++) rc = token_list_add(&ids, r.ids[i]);
    rc = rc ? err_set(e, ERR_NOMEM, NULL, "cannot hold the texts: out of memory") : add_text(&l->texts, &ids, "", e);
    token_list_deinit(&ids);
    sequence_release(l->source.engine, s);
    return rc;
}

static int take_texts(struct ladder *l, struct err *e)
{
    if (l->opt->file) {
        int rc = cli_model_need_text(&l->source.model, "measure on texts", e);
        return rc ? rc : cli_texts_each(&l->source.model, l->opt->file, l->opt->field, add_text, &l->texts, e);
    }
    int rc = 0;
    for (int i = 0; i < N_OWN && !rc; i++) rc = write_text(l, i, e);
    return rc;
}

static int start(struct ladder *l, struct cli_engine *x, struct err *e)
{
    size_t longest = N_PREFILL + 1;
    for (size_t i = 0; i < l->texts.n; i++) longest = l->texts.list[i].n > longest ? l->texts.list[i].n : longest;
    int n_ctx = longest > OWN_TOK + 1 ? (int)longest : OWN_TOK + 1;
    struct engine_options opt = {.n_ctx = n_ctx, .max_batch = 1};
    engine_free(x->engine);
    x->engine = NULL;
    return cli_engine_start(x, &opt, e);
}

static int score(struct ladder *l, struct cli_engine *x, bool is_source, json_t *row, struct err *e)
{
    struct cli_score m = {
        .x = x, .other = is_source ? NULL : &l->source, .n_vocab = (size_t)model_params(x->model.model)->n_vocab};
    int rc = 0;
    for (size_t i = 0; i < l->texts.n && !rc; i++) rc = cli_score_text(&m, &l->texts.list[i], e);
    if (rc) return rc;
    if (!m.n_predicted) return err_set(e, ERR_INPUT, "file", "cannot measure the ladder: no text has two tokens");
    double n = (double)m.n_predicted;
    json_object_set_new(row, "perplexity", json_finite(exp(m.nll / n)));
    if (!is_source) {
        json_object_set_new(row, "mean_kld", json_finite(m.kld / n));
        json_object_set_new(row, "max_kld", json_finite(m.max_kld));
        json_object_set_new(row, "same_top", json_finite((double)m.n_same_top / n));
    }
    return 0;
}

static int speed(struct cli_engine *x, json_t *row, struct err *e)
{
    int n_vocab = model_params(x->model.model)->n_vocab;
    double prefill = 0, decode = 0;
    int rc = bench_prefill(x->engine, n_vocab, N_PREFILL, N_REPEAT, cli_interrupted, &prefill, e);
    if (!rc) rc = bench_decode(x->engine, x->model.model, 1, 16, N_DECODE, N_REPEAT, cli_interrupted, &decode, NULL, e);
    json_object_set_new(row, "prefill_tok_s", json_finite(prefill));
    json_object_set_new(row, "decode_tok_s", json_finite(decode));
    return rc;
}

static int measure(struct ladder *l, struct cli_engine *x, bool is_source, json_t *row, struct err *e)
{
    int rc = start(l, x, e);
    rc = rc ? rc : score(l, x, is_source, row, e);
    return rc ? rc : speed(x, row, e);
}

static bool go_on(void *arg, double done, double total, const char *tensor)
{
    (void)arg, (void)done, (void)total, (void)tensor;
    return !cli_interrupted();
}

static int step(struct ladder *l, const char *type, struct err *e)
{
    struct cli_engine x;
    struct quantize_result r;
    struct quantize_options opt = {.mix = mix_find(type),
                                   .imatrix = l->opt->imatrix,
                                   .n_thread = l->c->threads,
                                   .isa = l->c->isa,
                                   .progress = go_on};
    json_t *row = json_pack("{s:s}", "type", type);
    int rc = quantize_model(l->source.model.file, l->path, &opt, &r, e);
    rc = rc ? rc : cli_engine_load(&x, l->c, l->path, NULL, e);
    if (!rc) {
        json_object_set_new(row, "bytes", json_integer((json_int_t)r.bytes));
        json_object_set_new(row, "rmse", json_finite(r.rmse));
        rc = measure(l, &x, false, row, e);
        cli_engine_close(&x);
    }
    unlink(l->path);
    json_array_append_new(l->rows, row);
    return rc;
}

/* The source comes first; its texts are made before its engine is measured. */
static int source_row(struct ladder *l, struct err *e)
{
    json_t *row = json_pack("{s:s, s:I}", "type", "source", "bytes", (json_int_t)model_file_size(l->source.model.file));
    int rc = start(l, &l->source, e);
    rc = rc ? rc : take_texts(l, e);
    rc = rc ? rc : measure(l, &l->source, true, row, e);
    json_array_append_new(l->rows, row);
    return rc;
}

static int climb(struct ladder *l, struct err *e)
{
    struct progress p;
    progress_begin(&p, l->c, cli_text(l->c, "ladder", "阶梯"), cli_text(l->c, "steps", "级"), 0, N_ELEM(steps) + 1);
    int rc = source_row(l, e);
    for (size_t i = 0; i < N_ELEM(steps) && !rc; i++) {
        progress_update(&p, (double)i + 1, steps[i]);
        rc = step(l, steps[i], e);
    }
    progress_end(&p);
    return rc;
}

static void print_cell(const json_t *row, const char *key, int n_digit)
{
    const json_t *v = json_object_get(row, key);
    if (json_is_number(v))
        printf(" %12.*f", n_digit, json_number_value(v));
    else
        printf(" %12s", "-");
}

static void print_head(const struct cli *c)
{
    const char *const head[] = {cli_text(c, "size", "大小"),          cli_text(c, "perplexity", "困惑度"),
                                cli_text(c, "mean KLD", "平均 KLD"),  cli_text(c, "same top", "首选相同"),
                                cli_text(c, "prefill/s", "预填充/s"), cli_text(c, "decode/s", "解码/s")};
    const char *type = cli_text(c, "type", "类型");
    printf("%s%*s", type, str_padding(type, 8), "");
    for (size_t i = 0; i < N_ELEM(head); i++) printf(" %*s%s", str_padding(head[i], 12), "", head[i]);
    printf("\n");
}

static void print_table(const struct ladder *l)
{
    size_t i;
    json_t *row;
    const struct cli *c = l->c;
    print_head(c);
    json_array_foreach(l->rows, i, row)
    {
        char size[16];
        str_format_bytes((uint64_t)json_integer_value(json_object_get(row, "bytes")), size, sizeof size);
        printf("%-8s %12s", json_string_value(json_object_get(row, "type")), size);
        print_cell(row, "perplexity", 3);
        print_cell(row, "mean_kld", 5);
        print_cell(row, "same_top", 3);
        print_cell(row, "prefill_tok_s", 0);
        print_cell(row, "decode_tok_s", 1);
        printf("\n");
    }
    if (!l->opt->file)
        printf("%s\n", cli_text(c, "measured on texts that the source model wrote; --file measures on yours",
                                "在源模型自己生成的文本上测得；用 --file 指定您的文本"));
}

int ladder_run(const struct cli *c, const struct ladder_options *opt, struct err *e)
{
    char name[64];
    struct ladder l = {.c = c, .opt = opt, .rows = json_array()};
    snprintf(name, sizeof name, "ladder-%ld.gguf", (long)getpid());
    l.path = path_join(c->home, name);
    int rc = cli_engine_load(&l.source, c, opt->model, NULL, e);
    if (!rc) {
        rc = climb(&l, e);
        if (!rc && c->json)
            cli_print_json(json_pack("{s:s, s:O}", "model", opt->model, "ladder", l.rows));
        else if (!rc)
            print_table(&l);
        cli_engine_close(&l.source);
    }
    for (size_t i = 0; i < l.texts.n; i++) token_list_deinit(&l.texts.list[i]);
    mem_free(l.texts.list);
    mem_free(l.path);
    json_decref(l.rows);
    return rc;
}
