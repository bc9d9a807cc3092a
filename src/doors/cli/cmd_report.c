/* report: stored evaluations and training runs as one document. */
#include <stdio.h>

#include "doors/cli/cli.h"
#include "doors/cli/command_text.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/report/document.h"
#include "lifecycle/eval/report.h"

extern const struct command cmd_report;

enum { MAX_REPORT = 512 * 1024 * 1024 };

static const struct param params[] = {
    {"run", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED | PARAM_REST, NULL, 0, 0, NULL, NULL, "RUN",
     "run directories: the first evaluation is the base; training runs add their loss curve",
     "运行目录：第一个评测为基准；训练目录提供损失曲线"},
    {"out", PARAM_STRING, PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "FILE",
     "report; .html, .md, .csv or .json by its ending", "报告文件，按扩展名 .html、.md、.csv 或 .json"},
    {"margin", PARAM_FLOAT, 0, NULL, 0, 1, NULL, "0.02", "X", "largest acceptable loss, as a fraction",
     "可接受的最大下降（小数）"},
    {"floor", PARAM_FLOAT, 0, NULL, 0, 1, NULL, NULL, "X", "lowest acceptable score of the new model",
     "新模型的最低可接受成绩"},
    {"bom", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "CSV with a byte order mark, as some spreadsheets need it",
     "CSV 文件带字节顺序标记，便于某些电子表格软件识别"},
};

static int check_ending(const char *path, struct err *e)
{
    static const char *const known[] = {".html", ".md", ".csv", ".json"};
    for (size_t i = 0; i < N_ELEM(known); i++)
        if (str_ends(path, known[i])) return 0;
    if (str_ends(path, ".pdf"))
        return err_set(e, ERR_UNSUPPORTED, path,
                       "cannot write \"%s\": this version writes no PDF; print the .html of it in a browser", path);
    return err_set(e, ERR_USAGE, path, "cannot write \"%s\": its ending must be .html, .md, .csv or .json", path);
}

static int render_document(const struct report_input *in, bool html, struct buf *out, struct err *e)
{
    json_t *doc;
    int rc = report_compose(in, &doc, e);
    if (rc) return rc;
    rc = html ? report_html(doc, out, e) : report_markdown(doc, out, e);
    json_decref(doc);
    return rc;
}

static int render_json(const struct report_input *in, struct buf *out, struct err *e)
{
    json_t *o;
    int rc = report_to_json(in, &o, e);
    if (rc) return rc;
    rc = json_format(o, JSON_PRETTY, out);
    json_decref(o);
    return rc ? err_set(e, -rc, NULL, "cannot write the report: longer than %d bytes", MAX_REPORT) : 0;
}

static int render(const struct report_input *in, const char *path, bool bom, struct buf *out, struct err *e)
{
    if (str_ends(path, ".json")) return render_json(in, out, e);
    if (str_ends(path, ".csv")) return report_to_csv(in, bom, out, e);
    return render_document(in, str_ends(path, ".html"), out, e);
}

static int load(struct report_input *in, const struct param_set *args, struct err *e)
{
    struct gate gate = {.margin = param_float(args, "margin"), .has_floor = param_is_set(args, "floor")};
    if (gate.has_floor) gate.floor = param_float(args, "floor");
    size_t n = param_count(args, "run");
    const char **dirs = mem_alloc((n + 1) * sizeof *dirs);
    for (size_t i = 0; i < n; i++) dirs[i] = param_str_at(args, "run", i);
    int rc = report_load(in, dirs, n, &gate, e);
    mem_free(dirs);
    return rc;
}

static void print(const struct cli *c, const char *path, size_t bytes)
{
    if (c->json)
        cli_print_json(json_pack("{s:s,s:I}", "path", path, "bytes", (json_int_t)bytes));
    else
        printf("%s\n", path);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    const char *path = param_str(args, "out");
    struct buf command, out;
    struct report_input in = {.lang = c->lang};
    int rc = check_ending(path, e);
    if (rc) return rc;
    buf_init(&command, 1 << 20);
    buf_init(&out, MAX_REPORT);
    if (command_text("report", params, N_ELEM(params), args, &command))
        rc = err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path);
    in.command = command.data;
    if (rc == 0) rc = load(&in, args, e);
    if (rc == 0) rc = render(&in, path, param_bool(args, "bom"), &out, e);
    if (rc == 0) rc = file_write_atomic(path, out.data, out.len, e);
    if (rc == 0) print(c, path, out.len);
    report_input_deinit(&in);
    buf_deinit(&command);
    buf_deinit(&out);
    return rc;
}

const struct command cmd_report = {
    .name = "report",
    .summary_en = "write evaluations and training runs as HTML, Markdown, CSV or JSON",
    .summary_zh = "将评测与训练结果写成 HTML、Markdown、CSV 或 JSON 报告",
    .usage = "RUN... --out F.html|F.md|F.csv|F.json [--margin 0.02] [--floor X]",
    .example = "tailor report runs/base runs/tuned runs/tune --out report.html",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
