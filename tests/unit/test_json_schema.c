/* JSON Schema: values by the keywords that are known, schemas that are refused and why, checks that would never end,
 * and the published tests of the 2020-12 draft where they are present. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/text/json_schema.h"
#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

static json_t *parsed(const char *text)
{
    json_t *v = NULL;
    struct err e;
    if (json_parse(text, strlen(text), "test", &v, &e) != 0) fail_msg("%s: %s", text, e.msg);
    return v;
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *value;
        bool fits;
    } cases[] = {
        {"{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":1}},"
         "\"additionalProperties\":false}",
         "{\"a\":1.0}", true},
        {"{\"required\":[\"a\"]}", "{\"b\":1}", false},
        {"{\"properties\":{\"a\":{\"maximum\":2}}}", "{\"a\":3}", false},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"b\":2}", false},
        {"{\"patternProperties\":{\"^x\":{}},\"additionalProperties\":false}", "{\"xy\":1}", true},
        {"{\"enum\":[1,\"a\",null]}", "null", true},
        {"{\"enum\":[1,[2]]}", "[2.0]", true},
        {"{\"const\":{\"a\":[1]}}", "{\"a\":[2]}", false},
        {"{\"maxLength\":2}", "\"\\u4f60\\u597d\"", true},
        {"{\"maxLength\":2}", "\"abc\"", false},
        {"{\"multipleOf\":0.0001}", "0.0075", true},
        {"{\"multipleOf\":2}", "7", false},
        {"{\"uniqueItems\":true}", "[1,2,1.0]", false},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", "3", false},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", "1", true},
        {"{\"if\":{\"const\":1},\"then\":{\"const\":2}}", "1", false},
        {"{\"contains\":{\"const\":1},\"maxContains\":1}", "[1,1]", false},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"integer\"}}", "[\"a\",1,\"b\"]", false},
        {"{\"$defs\":{\"t\":{\"properties\":{\"next\":{\"$ref\":\"#/$defs/t\"},\"v\":{\"type\":\"integer\"}}}},"
         "\"$ref\":\"#/$defs/t\"}",
         "{\"next\":{\"next\":{\"v\":\"x\"}}}", false},
        {"{\"propertyNames\":{\"pattern\":\"^a\"}}", "{\"b\":1}", false},
        {"{\"pattern\":\"^a+$\"}", "\"aab\"", false},
        {"false", "1", false},
    };
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        json_t *schema = parsed(cases[i].schema), *v = parsed(cases[i].value);
        struct json_schema *s;
        struct err e;
        bool fits;
        if (json_schema_new(&s, schema, "the schema", &e) != 0) fail_msg("%s: %s", cases[i].schema, e.msg);
        if (json_schema_check(s, v, &fits, &e) != 0) fail_msg("%s: %s", cases[i].schema, e.msg);
        if (fits != cases[i].fits) fail_msg("%s of %s: %d", cases[i].schema, cases[i].value, fits);
        json_schema_free(s);
        json_decref(schema);
        json_decref(v);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *why;
    } cases[] = {
        {"{\"properties\":{\"a\":{\"format\":\"date\"}}}",
         "cannot use reward 1: keyword \"format\" at \"#/properties/a/format\" is not checked; a pattern would be"},
        {"{\"typ\":\"object\"}", "cannot use reward 1: keyword \"typ\" at \"#/typ\" is not checked"},
        {"{\"type\":\"text\"}", "null, boolean, object, array, number, string or integer is needed"},
        {"{\"minLength\":-1}", "a whole number from 0 on is needed at \"#/minLength\""},
        {"{\"multipleOf\":0}", "a number above 0 is needed"},
        {"{\"items\":[{}]}", "a schema (an object, true or false) is needed at \"#/items\""},
        {"{\"$ref\":\"#/$defs/x\"}", "$ref \"#/$defs/x\" leads to nothing in this schema"},
        {"{\"$ref\":\"http://example.com/s\"}", "leads to nothing in this schema"},
        {"{\"$defs\":{\"a\":{\"$id\":\"x\"}}}", "keyword \"$id\" at \"#/$defs/a/$id\" is not checked"},
        {"{\"pattern\":\"(\"}", "pattern"},
        {"{\"required\":[1]}", "a list of strings is needed"},
        {"7", "a schema (an object, true or false) is needed at \"#\""},
        {"{\"unevaluatedProperties\":false}", "is not checked"},
    };
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        json_t *schema = parsed(cases[i].schema);
        struct json_schema *s = NULL;
        struct err e = {0};
        int rc = json_schema_new(&s, schema, "reward 1", &e);
        if (rc == 0 || strstr(e.msg, cases[i].why) == NULL) fail_msg("%s: %d %s", cases[i].schema, rc, e.msg);
        assert_null(s);
        json_decref(schema);
    }
}

/* A schema that is its own part, and one whose pattern never comes to an end. */
static void test_endless(void **state)
{
    (void)state;
    static const char *const endless[][2] = {
        {"{\"$ref\":\"#\"}", "1"},
        {"{\"allOf\":[{\"$ref\":\"#\"}]}", "1"},
        {"{\"pattern\":\"^(a+)+$\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\""},
    };
    for (size_t i = 0; i < N_ELEM(endless); i++) {
        json_t *schema = parsed(endless[i][0]), *v = parsed(endless[i][1]);
        struct json_schema *s;
        struct err e;
        bool fits;
        assert_int_equal(json_schema_new(&s, schema, "s", &e), 0);
        assert_int_equal(json_schema_check(s, v, &fits, &e), -ERR_LIMIT);
        assert_false(fits);
        json_schema_free(s);
        json_decref(schema);
        json_decref(v);
    }
    /* every pair of many items is compared */
    json_t *many = json_array(), *unique = parsed("{\"uniqueItems\":true}");
    for (int i = 0; i < 5000; i++) json_array_append_new(many, json_integer(i));
    struct json_schema *s;
    struct err e;
    bool fits;
    assert_int_equal(json_schema_new(&s, unique, "s", &e), 0);
    assert_int_equal(json_schema_check(s, many, &fits, &e), -ERR_LIMIT);
    json_schema_free(s);
    json_decref(many);
    json_decref(unique);
}

/* --- the published tests --- */

struct tally {
    int passed, refused;
};

/* Keywords that are refused by name, each with the reason in json_schema.h. */
static bool is_known_gap(const char *msg)
{
    static const char *const gap[] = {
        "format",        "$dynamicRef",      "$dynamicAnchor",        "$anchor",          "$vocabulary",
        "$id",           "unevaluatedItems", "unevaluatedProperties", "contentMediaType", "contentEncoding",
        "contentSchema", "additionalItems",  "dependencies"};
    for (size_t i = 0; i < N_ELEM(gap); i++) {
        char word[64];
        snprintf(word, sizeof(word), "keyword \"%s\"", gap[i]);
        if (strstr(msg, word) != NULL) return true;
    }
    return strstr(msg, "leads to nothing in this schema") != NULL;
}

static void run_group(const json_t *group, const char *file, struct tally *t)
{
    struct json_schema *s;
    struct err e = {0};
    size_t i;
    json_t *test;
    const json_t *tests = json_object_get(group, "tests");
    const char *name = json_string_value(json_object_get(group, "description"));
    if (json_schema_new(&s, json_object_get(group, "schema"), "schema", &e) != 0) {
        /* "keyword" stands for a member of no meaning in a few schemas on purpose */
        if (!is_known_gap(e.msg) && strstr(e.msg, "is not checked") == NULL &&
            strstr(e.msg, "unknown property after") == NULL) /* of Unicode, by its name in ECMAScript */
            fail_msg("%s, %s: %s", file, name, e.msg);
        t->refused += (int)json_array_size(tests);
        return;
    }
    json_array_foreach(tests, i, test)
    {
        bool fits, valid = json_is_true(json_object_get(test, "valid"));
        if (json_schema_check(s, json_object_get(test, "data"), &fits, &e) != 0) fail_msg("%s: %s", file, e.msg);
        if (fits != valid)
            fail_msg("%s, %s, %s: %d", file, name, json_string_value(json_object_get(test, "description")), fits);
        t->passed++;
    }
    json_schema_free(s);
}

static void test_suite(void **state)
{
    (void)state;
    static const char dir[] = "../shared/data/jsonschema-tests/draft2020-12";
    struct err e;
    struct tally t = {0, 0};
    char **name;
    size_t n;
    if (!file_is_dir(dir)) {
        print_message("skip: the published JSON Schema tests are not here\n");
        skip();
    }
    assert_int_equal(file_list_dir(dir, &name, &n, &e), 0);
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(dir, name[i]);
        size_t k;
        json_t *groups = json_load_file(path, JSON_ALLOW_NUL, NULL), *group; /* with a NUL that our reader refuses */
        assert_non_null(groups);
        if (!str_eq(name[i], "vocabulary.json")) /* dialects of one's own are not for us */
            json_array_foreach(groups, k, group) run_group(group, name[i], &t);
        json_decref(groups);
        mem_free(path);
        mem_free(name[i]);
    }
    mem_free(name);
    print_message("%d of the published tests pass, the schemas of %d are refused\n", t.passed, t.refused);
    assert_true(t.passed > 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
