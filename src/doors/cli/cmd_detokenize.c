/* detokenize: ids to text, control tokens spelled out. Bytes that form no character become U+FFFD. */
#include <stdio.h>

#include "compute/text/tokenizer.h"
#include "doors/cli/cli.h"
#include "doors/cli/cli_tokenizer.h"

enum { TEXT_MAX_BYTES = 1 << 28 };

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "MODEL",
     "path or name of the model, or a vocabulary alone", "模型的路径或名称，也可以只是词表"},
    {"ids", PARAM_INTS, PARAM_REQUIRED, NULL, 0, 2147483647, NULL, NULL, "1,2,3", "token ids", "词元编号"},
};

static int detokenize(const struct tokenizer *t, const struct param_set *args, struct buf *text, struct err *e)
{
    struct detokenizer d;
    detokenizer_init(&d, t, true);
    detokenizer_follow(&d, -1);
    int rc = 0;
    for (size_t i = 0; !rc && i < param_count(args, "ids"); i++) {
        int64_t id = param_int_at(args, "ids", i);
        if (id < 0 || (size_t)id >= tokenizer_n_vocab(t)) {
            return err_set(e, ERR_INPUT, "--ids",
                           "cannot detokenize id %lld: the vocabulary has %zu tokens, 0 to %zu would be right",
                           (long long)id, tokenizer_n_vocab(t), tokenizer_n_vocab(t) - 1);
        }
        rc = detokenizer_push(&d, (int32_t)id, text);
    }
    rc = rc ? rc : detokenizer_finish(&d, text);
    return rc ? err_set(e, -rc, NULL, "cannot detokenize: the text is longer than %d bytes or out of memory",
                        TEXT_MAX_BYTES)
              : 0;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct tokenizer *t;
    struct buf text;
    int rc = cli_tokenizer_open(c, param_str(args, "model"), &t, e);
    if (rc) {
        return rc;
    }
    buf_init(&text, TEXT_MAX_BYTES);
    rc = detokenize(t, args, &text, e);
    if (!rc && c->json) {
        cli_print_json(json_pack("{s:o}", "text", json_stringn(text.data ? text.data : "", text.len)));
    } else if (!rc) {
        fwrite(text.data ? text.data : "", 1, text.len, stdout);
        printf("\n");
    }
    buf_deinit(&text);
    tokenizer_free(t);
    return rc;
}

const struct command cmd_detokenize = {
    .name = "detokenize",
    .summary_en = "turn token ids into text",
    .summary_zh = "把词元编号还原为文本",
    .usage = "MODEL --ids 1,2,3",
    .example = "tailor detokenize model.gguf --ids 19556,905",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
