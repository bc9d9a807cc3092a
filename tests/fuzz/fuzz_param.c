/* Fuzz target: any bytes as a YAML run file; what is accepted must be written and read back as the same values. */
#include <stdint.h>
#include <stdlib.h>

#include "ground/base/buf.h"
#include "ground/param/param.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct param table[] = {
    {.name = "base", .type = PARAM_STRING, .help_en = "", .help_zh = ""},
    {.name = "rank", .type = PARAM_INT, .min = 1, .max = 1024, .initial = "16", .help_en = "", .help_zh = ""},
    {.name = "lr", .type = PARAM_FLOAT, .min = 0, .max = 1, .help_en = "", .help_zh = ""},
    {.name = "packing", .type = PARAM_BOOL, .help_en = "", .help_zh = ""},
    {.name = "schedule", .type = PARAM_CHOICE, .choices = "constant|cosine", .help_en = "", .help_zh = ""},
    {.name = "target_modules", .type = PARAM_LIST, .help_en = "", .help_zh = ""},
    {.name = "betas", .type = PARAM_FLOATS, .help_en = "", .help_zh = ""},
    {.name = "batch", .type = PARAM_INTS, .help_en = "", .help_zh = ""},
    {.name = "adapter", .type = PARAM_STRING, .flags = PARAM_REPEAT, .help_en = "", .help_zh = ""},
};

static void check_round_trip(const struct param_set *a)
{
    struct param_set *b = param_set_new(table, N_ELEM(table));
    struct buf yaml;
    buf_init(&yaml, 1 << 24);
    if (param_to_yaml(a, &yaml) || param_set_yaml_text(b, "again", yaml.data, yaml.len, NULL)) abort();
    json_t *ja = param_to_json(a), *jb = param_to_json(b);
    if (!json_equal(ja, jb)) abort();
    json_decref(ja);
    json_decref(jb);
    buf_deinit(&yaml);
    param_set_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct param_set *s = param_set_new(table, N_ELEM(table));
    struct err e = {0};
    int rc = param_set_yaml_text(s, "fuzz.yaml", (const char *)data, n, &e);
    if (rc < 0 && !e.msg[0]) abort(); /* every refusal has its reason */
    if (rc == 0) check_round_trip(s);
    param_set_free(s);
    return 0;
}
