/* Licences and outputs. Keeps nothing: the table is small and read when it is asked. */
#include "lifecycle/plan/licence.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/table/csv.h"
#include "lifecycle/plan/catalogue_data.h"

enum { NAME_SIZE = 128 };

const char *licence_outputs_name(enum licence_outputs o)
{
    static const char *const name[] = {"unknown", "yes", "conditions", "no"};
    return name[o];
}

/* --- the table --- */

struct columns {
    int licence, outputs, text_en, text_zh, source;
};

static int find_columns(const struct csv_reader *r, struct columns *c, struct err *e)
{
    struct {
        const char *name;
        int *at;
    } wanted[] = {{"licence", &c->licence},
                  {"outputs", &c->outputs},
                  {"text_en", &c->text_en},
                  {"text_zh", &c->text_zh},
                  {"source", &c->source}};
    for (size_t i = 0; i < N_ELEM(wanted); i++) {
        *wanted[i].at = csv_column(r, wanted[i].name, e);
        if (*wanted[i].at < 0) return *wanted[i].at;
    }
    return 0;
}

static int read_rule(const struct csv_reader *r, const struct columns *c, struct licence_rule *out, struct err *e)
{
    const char *word = r->field[c->outputs].text;
    for (int i = LICENCE_UNKNOWN; i <= LICENCE_FORBIDS; i++) {
        if (!str_eq(word, licence_outputs_name((enum licence_outputs)i))) continue;
        out->outputs = (enum licence_outputs)i;
        snprintf(out->text_en, sizeof(out->text_en), "%s", r->field[c->text_en].text);
        snprintf(out->text_zh, sizeof(out->text_zh), "%s", r->field[c->text_zh].text);
        str_cut_utf8(out->text_zh);
        snprintf(out->source, sizeof(out->source), "%s", r->field[c->source].text);
        return 0;
    }
    return err_set(e, ERR_INPUT, r->path,
                   "cannot read \"%s\" line %llu: outputs is \"%s\", yes, no, conditions or unknown is needed", r->path,
                   (unsigned long long)r->line_no, word);
}

/* Every row is read, so that a broken one is found whatever is asked. */
static int look_up(struct csv_reader *r, const char *licence, struct licence_rule *out, bool *found, struct err *e)
{
    struct columns c;
    int rc = find_columns(r, &c, e);
    while (rc == 0 && (rc = csv_next(r, e)) == 1) {
        struct licence_rule rule = {0};
        rc = read_rule(r, &c, &rule, e);
        if (rc != 0 || *found || strcasecmp(r->field[c.licence].text, licence) != 0) continue;
        *out = rule;
        *found = true;
    }
    return rc;
}

static int look_in_home(const char *home, const char *licence, struct licence_rule *out, bool *found, struct err *e)
{
    struct csv_reader r = {.fd = -1};
    char *folder = path_join(home, "catalog"), *path = path_join(folder, "licences.csv");
    int rc = 0;
    if (file_exists(path)) {
        rc = csv_open(&r, path, e);
        if (rc == 0) rc = look_up(&r, licence, out, found, e);
        csv_close(&r);
    }
    mem_free(folder);
    mem_free(path);
    return rc;
}

int licence_find(const char *home, const char *licence, struct licence_rule *out, struct err *e)
{
    struct csv_reader r = {.fd = -1};
    bool found = false;
    size_t n;
    *out = (struct licence_rule){0};
    int rc = home != NULL ? look_in_home(home, licence, out, &found, e) : 0;
    if (rc != 0 || found) return rc;
    const char *text = catalogue_data("licences.csv", &n);
    rc = csv_open_memory(&r, "licences.csv", text, n, e);
    if (rc == 0) rc = look_up(&r, licence, out, &found, e);
    csv_close(&r);
    return rc;
}

/* --- models --- */

/* Letters and digits alone, in lower case: "Qwen2.5-0.5B" and "qwen2.5_0.5b" are one name; the point counts, since 2.5
 * is not 25. */
static void plain_name(const char *name, char out[NAME_SIZE])
{
    size_t n = 0;
    for (; *name != '\0' && n + 1 < NAME_SIZE; name++)
        if (isalnum((unsigned char)*name) || *name == '.') out[n++] = (char)tolower((unsigned char)*name);
    out[n] = '\0';
}

/* Length of the longest of a model's names that stands in the text; a digit behind it would be another model. */
static size_t fit(const char *text, const char *name)
{
    char plain[NAME_SIZE];
    plain_name(name, plain);
    size_t n = strlen(plain);
    const char *at = n >= 4 ? strstr(text, plain) : NULL;
    return at != NULL && !isdigit((unsigned char)at[n]) ? n : 0;
}

const char *licence_of_model(const struct catalogue *c, const char *name, char *room, size_t size)
{
    char text[NAME_SIZE];
    size_t best = 0;
    const char *licence = NULL;
    plain_name(path_base(name), text);
    for (size_t i = 0; i < c->n_price; i++) {
        const struct plan_price *p = &c->price[i];
        const struct plan_model *open = *p->catalogue_model ? catalogue_model(c, p->catalogue_model) : NULL;
        size_t n = fit(text, path_base(p->model));
        if (n <= best || (open == NULL && !str_eq(p->open_weights, "no"))) continue;
        best = n;
        if (open == NULL) snprintf(room, size, "%s terms", p->provider);
        licence = open != NULL ? open->licence : room;
    }
    for (size_t i = 0; i < c->n_model; i++) {
        size_t own = fit(text, c->model[i].name), hub = fit(text, path_base(c->model[i].hf_id));
        size_t n = own > hub ? own : hub;
        if (n < best || n == 0) continue; /* the weights themselves before an API that offers them */
        best = n;
        licence = c->model[i].licence;
    }
    return licence == NULL || *licence == '\0' || strcasecmp(licence, "unknown") == 0 ? NULL : licence;
}
