/* plan seed-table: claims of two guides beside what the planner computes. */
#include <stdio.h>

#include "doors/cli/cli.h"
#include "doors/cli/print_wrapped.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/seed_table.h"

extern const struct command cmd_plan_seed_table;

static const struct param params[] = {
    {"catalog", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "CSV file or folder whose rows go over the catalogue's", "CSV 文件或目录，其中的行覆盖内置目录"},
};

static json_t *rows_json(const struct seed_rows *rows)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rows->n; i++) {
        const struct seed_row *r = &rows->row[i];
        (void)json_array_append_new(
            list, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "table", r->table == SEED_SIZES ? "sizes" : "deployment",
                            "claim", r->claim_en, "claim_zh", r->claim_zh, "verdict", seed_verdict_name[r->verdict],
                            "reason", r->reason_en, "reason_zh", r->reason_zh));
    }
    return json_pack("{s:o}", "rows", list);
}

static void print_rows(const struct cli *c, const struct seed_rows *rows, enum seed_table table)
{
    for (size_t i = 0; i < rows->n; i++) {
        const struct seed_row *r = &rows->row[i];
        if (r->table != table) continue;
        print_wrapped("%s\n  %s: %s\n", cli_text(c, r->claim_en, r->claim_zh),
                      cli_text(c, seed_verdict_en[r->verdict], seed_verdict_zh[r->verdict]),
                      cli_text(c, r->reason_en, r->reason_zh));
    }
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue catalogue;
    struct seed_rows *rows = mem_alloc(sizeof *rows);
    int rc = catalogue_open(&catalogue, c->home, param_str(args, "catalog"), e);
    if (rc == 0) rc = seed_rows_compute(&catalogue, rows, e);
    if (rc == 0 && c->json) cli_print_json(rows_json(rows));
    if (rc == 0 && !c->json) {
        printf("%s\n\n", cli_text(c, "The guide to model sizes (training, inference for ten users, cost)",
                                  "模型规模指南（训练、10 用户推理、成本）"));
        print_rows(c, rows, SEED_SIZES);
        printf("\n%s\n\n", cli_text(c, "The account of private deployment", "私有化部署的真实成本"));
        print_rows(c, rows, SEED_DEPLOYMENT);
    }
    catalogue_free(&catalogue);
    mem_free(rows);
    return rc;
}

const struct command cmd_plan_seed_table = {
    .name = "plan seed-table",
    .summary_en = "what two guides say of sizes, hardware and cost, beside what is computed here",
    .summary_zh = "将两份指南中关于规模、硬件与成本的说法与本程序的计算对照",
    .usage = "",
    .example = "tailor plan seed-table",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
