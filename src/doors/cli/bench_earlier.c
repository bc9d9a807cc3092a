/* Reading an earlier bench result and finding its rows again. */
#include "doors/cli/bench_earlier.h"

#include "ground/json/json.h"

enum { MAX_RESULT_BYTES = 1 << 20 };

static bool is_result(const json_t *o)
{
    return json_is_array(json_object_get(o, "prefill")) && json_is_array(json_object_get(o, "decode"));
}

int bench_earlier_read(const char *path, json_t **out, struct err *e)
{
    json_t *file;
    int rc = json_read_file(path, MAX_RESULT_BYTES, &file, e);
    if (rc) return rc;
    json_t *o = is_result(file) ? file : json_object_get(file, "tailor");
    if (is_result(o))
        *out = json_incref(o);
    else
        rc = err_set(
            e, ERR_INPUT, path,
            "cannot compare with \"%s\": it is no result of bench --json (no lists \"prefill\" and \"decode\")", path);
    json_decref(file);
    return rc;
}

static bool same_number(const json_t *a, const json_t *b, const char *key)
{
    return json_number_value(json_object_get(a, key)) == json_number_value(json_object_get(b, key));
}

void bench_earlier_compare(const json_t *earlier, const char *part, json_t *row)
{
    size_t i;
    json_t *old;
    json_array_foreach(json_object_get(earlier, part), i, old)
    {
        double before = json_number_value(json_object_get(old, "tok_s"));
        if (before > 0 && same_number(old, row, "n") && same_number(old, row, "batch") &&
            same_number(old, row, "context")) {
            double now = json_number_value(json_object_get(row, "tok_s"));
            json_object_set_new(row, "earlier_tok_s", json_real(before));
            json_object_set_new(row, "change", json_real(now / before - 1));
            return;
        }
    }
}
