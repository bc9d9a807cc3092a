/* tokenize: text to ids. A file is taken byte by byte: nothing about its newlines or its encoding is changed. */
#include <stdio.h>
#include <string.h>

#include "compute/text/tokenizer.h"
#include "doors/cli/cli.h"
#include "doors/cli/cli_tokenizer.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

enum { FILE_MAX_BYTES = 1 << 28 };

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model, or a vocabulary alone", "模型的路径或名称，也可以只是词表"},
    {"text", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "S", "text to tokenize", "要切分的文本"},
    {"file", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE", "file whose bytes are tokenized as they are",
     "按原始字节切分的文件"},
    {"raw", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL,
     "add nothing at the ends, and leave text that looks like a special token text",
     "首尾不添加任何词元，形似特殊词元的文本按普通文本处理"},
};

static void print_ids(const struct cli *c, const struct token_list *l)
{
    if (c->json) {
        json_t *ids = json_array();
        for (size_t i = 0; i < l->n; i++) {
            json_array_append_new(ids, json_integer(l->ids[i]));
        }
        cli_print_json(json_pack("{s:o}", "ids", ids));
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        printf("%s%d", i ? "," : "", (int)l->ids[i]);
    }
    printf("\n");
}

/* The text of --text (borrowed) or --file (in *owned). */
static int read_text(const struct param_set *args, const char **text, size_t *n, char **owned, struct err *e)
{
    *owned = NULL;
    int rc = param_need_one(args, "tokenize", "text", "file", e);
    if (rc) {
        return rc;
    }
    if (param_is_set(args, "text")) {
        *text = param_str(args, "text");
        *n = strlen(*text);
        return 0;
    }
    rc = file_read_all(param_str(args, "file"), FILE_MAX_BYTES, owned, n, e);
    *text = *owned;
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    const char *text = NULL;
    char *owned;
    size_t n = 0;
    struct tokenizer *t = NULL;
    struct token_list ids = {0};
    int rc = read_text(args, &text, &n, &owned, e);
    if (!rc) {
        rc = cli_tokenizer_open(c, param_str(args, "model"), &t, e);
    }
    if (!rc) {
        unsigned flags = param_bool(args, "raw") ? 0 : TOKENIZE_SPECIAL | TOKENIZE_ENDS;
        rc = tokenizer_encode(t, text, n, flags, &ids, e);
    }
    if (!rc) {
        print_ids(c, &ids);
    }
    token_list_deinit(&ids);
    tokenizer_free(t);
    mem_free(owned);
    return rc;
}

const struct command cmd_tokenize = {
    .name = "tokenize",
    .summary_en = "turn text into token ids",
    .summary_zh = "把文本切分为词元编号",
    .usage = "MODEL (--text S | --file F) [--raw]",
    .example = "tailor tokenize model.gguf --text \"Hello world\"",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
