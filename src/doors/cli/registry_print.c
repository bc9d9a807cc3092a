/* What the registry holds, on stdout. Owns nothing. */
#include "doors/cli/registry_print.h"

#include <stdio.h>
#include <string.h>

#include "govern/registry/registry.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

static int list_kinds(struct registry *r, const char *const *kinds, json_t *all, struct err *e)
{
    int rc = 0;
    for (; rc == 0 && *kinds; kinds++) {
        json_t *list;
        rc = registry_list(r, *kinds, &list, e);
        if (rc) break;
        for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
            json_t *row = json_array_get(list, i);
            if (json_object_set_new(row, "kind", json_string(*kinds)) || json_array_append(all, row))
                rc = err_set(e, ERR_NOMEM, NULL, "cannot list the registry: out of memory");
        }
        json_decref(list);
    }
    return rc;
}

enum { NAME_COLUMNS = 18, VERSION_COLUMNS = 4, KIND_COLUMNS = 8, SIZE_COLUMNS = 8 };

static void print_left(const char *text, int columns)
{
    printf("%s%*s  ", text, str_padding(text, columns), "");
}

static void print_right(const char *text, int columns)
{
    printf("%*s%s  ", str_padding(text, columns), "", text);
}

static void print_heads(const struct cli *c)
{
    print_left(cli_text(c, "name", "名称"), NAME_COLUMNS);
    print_right(cli_text(c, "ver.", "版本"), VERSION_COLUMNS);
    print_left(cli_text(c, "kind", "类别"), KIND_COLUMNS);
    print_right(cli_text(c, "size", "大小"), SIZE_COLUMNS);
    print_left("sha256", 12);
    puts(cli_text(c, "added", "加入时间"));
}

static const char *kind_text(const struct cli *c, const char *kind)
{
    if (c->lang == LANG_EN) return kind;
    if (str_eq(kind, "model")) return "模型";
    if (str_eq(kind, "adapter")) return "适配器";
    return str_eq(kind, "dataset") ? "数据集" : kind;
}

static void print_row(const struct cli *c, const json_t *row)
{
    char size[32], version_text[24];
    const char *key, *time = json_string_value(json_object_get(row, "time"));
    const json_t *version;
    str_format_bytes((uint64_t)json_integer_value(json_object_get(row, "bytes")), size, sizeof size);
    snprintf(version_text, sizeof version_text, "%lld", (long long)json_integer_value(json_object_get(row, "version")));
    print_left(json_string_value(json_object_get(row, "name")), NAME_COLUMNS);
    print_right(version_text, VERSION_COLUMNS);
    print_left(kind_text(c, json_string_value(json_object_get(row, "kind"))), KIND_COLUMNS);
    print_right(size, SIZE_COLUMNS);
    printf("%.12s  %s", json_string_value(json_object_get(row, "digest")), time);
    json_object_foreach(json_object_get(row, "aliases"), key, version)
        printf("  @%s=%lld", key, (long long)json_integer_value(version));
    putchar('\n');
}

int registry_print_list(const struct cli *c, const char *const *kinds, const char *key, struct err *e)
{
    struct registry *r;
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    json_t *all = json_array();
    rc = list_kinds(r, kinds, all, e);
    if (rc == 0 && c->json)
        cli_print_json(json_pack("{s:O}", key, all));
    else if (rc == 0 && json_array_size(all) == 0)
        puts(cli_text(c, "nothing yet", "暂无内容"));
    else if (rc == 0)
        print_heads(c);
    for (size_t i = 0; rc == 0 && !c->json && i < json_array_size(all); i++) print_row(c, json_array_get(all, i));
    json_decref(all);
    registry_close(r);
    return rc;
}

int registry_print_show(const struct cli *c, const char *ref, struct err *e)
{
    struct registry *r;
    struct buf text;
    json_t *manifest = NULL;
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    buf_init(&text, 1 << 26);
    rc = registry_show(r, ref, &manifest, e);
    if (rc == 0 && c->json)
        cli_print_json(json_incref(manifest));
    else if (rc == 0 && json_format(manifest, JSON_PRETTY, &text) == 0)
        fputs(text.data, stdout);
    if (manifest) json_decref(manifest);
    buf_deinit(&text);
    registry_close(r);
    return rc;
}

int registry_record_run(const struct cli *c, const char *kind, const char *dir, struct err *e)
{
    struct registry *r;
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    rc = registry_note_run(r, kind, dir, e);
    registry_close(r);
    return rc;
}
