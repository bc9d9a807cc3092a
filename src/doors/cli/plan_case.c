/* Options into a case. Owns the rules until they are closed. What always holds: what no option says stays open, so that
 * the case's own defaults are used and named. */
#include "doors/cli/plan_case.h"

#include <string.h>

#include "ground/base/str.h"

static void read_load(const struct param_set *args, struct plan_case *k)
{
    k->goal.prompt_tokens = (double)param_int(args, "prompt_tokens");
    k->goal.output_tokens = (double)param_int(args, "output_tokens");
    k->goal.ttft_s = param_float(args, "ttft_ms") / 1e3;
    k->goal.tpot_s = param_float(args, "tpot_ms") / 1e3;
    k->goal.max_load = param_float(args, "max_load");
    k->goal.spare = param_float(args, "spare");
    k->goal.cv = param_float(args, "answer_cv");
    k->demand.active_share = param_float(args, "active_share");
    k->demand.calls_person_day = param_float(args, "calls_person_day");
    k->demand.think_s = param_float(args, "think_s");
    k->demand.days_month = param_float(args, "days_month");
    k->demand.hours_day = param_float(args, "hours_day");
    k->demand.peak = param_float(args, "peak");
    if (param_is_set(args, "users")) k->demand.users = (double)param_int(args, "users");
    if (param_is_set(args, "calls_month")) k->demand.calls_month = param_float(args, "calls_month");
    if (param_is_set(args, "team")) k->demand.team = param_float(args, "team");
}

static enum compliance compliance_of(const char *name)
{
    if (!name) return COMPLIANCE_BY_DATA;
    return str_eq(name, "none") ? COMPLIANCE_NONE : str_eq(name, "mlps2") ? COMPLIANCE_MLPS2 : COMPLIANCE_MLPS3;
}

static void read_facts(const struct param_set *args, struct plan_case *k)
{
    const char *class = param_str(args, "data_class");
    if (class)
        k->facts[FACT_DATA_CLASS] = str_eq(class, "public")     ? DATA_PUBLIC
                                    : str_eq(class, "internal") ? DATA_INTERNAL
                                                                : DATA_SECRET;
    if (param_is_set(args, "engineers")) k->facts[FACT_ENGINEERS] = param_float(args, "engineers");
    if (param_is_set(args, "budget")) k->facts[FACT_BUDGET] = param_float(args, "budget");
    if (param_is_set(args, "customize")) k->facts[FACT_CUSTOMIZE] = param_bool(args, "customize");
    if (param_is_set(args, "generic")) k->facts[FACT_GENERIC] = param_bool(args, "generic");
    k->compliance = compliance_of(param_str(args, "compliance"));
    k->rented = param_bool(args, "rented");
    k->api = param_str(args, "api");
}

static int read_costs(const struct param_set *args, struct plan_case *k, struct err *e)
{
    for (int i = 0; i < N_COST; i++) {
        double value[4];
        const char *key = cost_input_info[i].key;
        size_t n = param_is_set(args, key) ? param_count(args, key) : 0;
        for (size_t j = 0; j < n && j < 4; j++) value[j] = param_float_at(args, key, j);
        if (n == 0) continue;
        int rc = cost_input_set(k->in, (enum cost_input)i, value, n, e);
        if (rc) return rc;
        k->set[i] = true;
    }
    return 0;
}

int plan_case_open(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                   const struct plan_system *system, struct plan_asked *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    plan_case_init(&out->at);
    out->at.catalogue = catalogue;
    out->at.system = system;
    out->at.rules = &out->rules;
    read_load(args, &out->at);
    read_facts(args, &out->at);
    int rc = read_costs(args, &out->at, e);
    return rc ? rc : decision_rules_open(&out->rules, c->home, param_str(args, "rules"), e);
}

void plan_case_close(struct plan_asked *a)
{
    decision_rules_free(&a->rules);
}

/* --- scenarios --- */

/* What the command line says goes over the file. */
static int overlay(struct param_set *s, const struct param *table, size_t n, const struct param_set *over,
                   struct err *e)
{
    json_t *values = param_to_json(over);
    int rc = values ? 0 : err_set(e, ERR_NOMEM, NULL, "cannot plan: out of memory");
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (param_is_set(over, table[i].name))
            rc = param_set_json(s, table[i].name, json_object_get(values, table[i].name), e);
    json_decref(values);
    return rc;
}

int plan_read_scenario(const struct param *table, size_t n, const char *path, const struct param_set *over,
                       struct param_set **out, struct err *e)
{
    *out = param_set_new(table, n);
    int rc = path ? param_set_yaml(*out, path, e) : 0;
    return rc ? rc : overlay(*out, table, n, over, e);
}

int plan_with_scenario(const struct param *table, size_t n, const struct param_set *args, struct param_set **out,
                       struct err *e)
{
    return plan_read_scenario(table, n, param_str(args, "run"), args, out, e);
}
