/* Scenarios. Owns what a case opened until it is closed. */
#include "doors/cli/plan_scenario.h"

#include <stdio.h>

#include "doors/cli/plan_local.h"
#include "ground/base/file.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/report/document.h"
#include "lifecycle/plan/plan_report.h"

enum { MAX_REPORT = 64 * 1024 * 1024 };

static int find_system(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                       struct plan_scenario *s, struct err *e)
{
    s->replicas = 1;
    if (!param_str(args, "hardware"))
        return plan_local_system(c, args, catalogue, &s->load, &s->measured, &s->system, e);
    int rc = plan_target_of(c, args, catalogue, true, &s->target, e);
    if (rc) return rc;
    s->system = s->target.system;
    s->replicas = param_is_set(args, "count") ? s->target.replicas : 0;
    return 0;
}

int plan_scenario_open(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                       struct plan_scenario *out, struct err *e)
{
    plan_load_of(args, &out->load);
    int rc = find_system(c, args, catalogue, out, e);
    if (rc) return rc;
    plan_forecast_of(&out->system, &out->load, out->replicas > 0 ? out->replicas : 1, &out->forecast);
    rc = plan_case_open(c, args, catalogue, &out->system, &out->asked, e);
    out->asked.at.replicas = out->replicas;
    return rc ? rc : plan_assess(&out->asked.at, &out->verdict, e);
}

void plan_scenario_close(struct plan_scenario *s)
{
    plan_case_close(&s->asked);
}

/* --- the report --- */

static int render_json(const struct plan_scenario *s, struct buf *out, struct err *e)
{
    json_t *o = plan_forecast_json(&s->system, &s->forecast), *more = plan_verdict_json(&s->asked.at, &s->verdict);
    int rc = !o || !more || json_object_update(o, more) ? -ERR_NOMEM : json_format(o, JSON_PRETTY, out);
    json_decref(o);
    json_decref(more);
    return rc ? err_set(e, -rc, NULL, "cannot write the report: longer than %d bytes", MAX_REPORT) : 0;
}

static int render(const struct cli *c, const struct plan_scenario *s, const char *path, struct buf *out, struct err *e)
{
    struct plan_report r = {&s->asked.at, &s->verdict, &s->forecast, c->lang};
    json_t *doc;
    if (str_ends(path, ".json")) return render_json(s, out, e);
    if (str_ends(path, ".csv")) return plan_report_csv(&r, out, e);
    if (!str_ends(path, ".html") && !str_ends(path, ".md"))
        return err_set(e, ERR_USAGE, path, "cannot write \"%s\": its ending must be .html, .md, .csv or .json", path);
    int rc = plan_report_compose(&r, &doc, e);
    if (rc) return rc;
    rc = str_ends(path, ".html") ? report_html(doc, out, e) : report_markdown(doc, out, e);
    json_decref(doc);
    return rc;
}

int plan_scenario_write(const struct cli *c, const struct plan_scenario *s, const char *path, struct err *e)
{
    struct buf out;
    buf_init(&out, MAX_REPORT);
    int rc = render(c, s, path, &out, e);
    if (rc == 0) rc = file_write_atomic(path, out.data, out.len, e);
    if (rc == 0 && c->json)
        cli_print_json(json_pack("{s:s,s:I}", "path", path, "bytes", (json_int_t)out.len));
    else if (rc == 0)
        printf("%s\n", path);
    buf_deinit(&out);
    return rc;
}
