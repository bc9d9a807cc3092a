/* Rules as data. Owns the texts of what was read. What always holds: a condition that was read can be evaluated. */
#include "lifecycle/plan/decision_rules.h"

#include <math.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/table/csv.h"
#include "lifecycle/plan/catalogue_data.h"

const char *const decision_fact_name[N_FACT] = {
#define X(id, name) [FACT_##id] = #name,
    DECISION_FACTS(X)
#undef X
};
const char *const choice_name[N_CHOICE] = {"private", "api", "hybrid"};

/* --- conditions --- */

enum { MAX_WORD = 64, MAX_RULES_BYTES = 1 << 20 };

static const char *next_word(const char *p, char word[MAX_WORD])
{
    size_t n = 0;
    while (*p == ' ') p++;
    while (*p && *p != ' ' && n + 1 < MAX_WORD) word[n++] = *p++;
    word[n] = '\0';
    return p;
}

static int find_fact(const char *word)
{
    for (int i = 0; i < N_FACT; i++)
        if (str_eq(word, decision_fact_name[i])) return i;
    return -1;
}

/* A number, a fact's value or a word; false when it is none of them. */
static bool operand(const char *word, const double *facts, double *out)
{
    static const struct {
        const char *word;
        double value;
    } words[] = {{"no", 0}, {"yes", 1}, {"public", DATA_PUBLIC}, {"internal", DATA_INTERNAL}, {"secret", DATA_SECRET}};
    for (size_t i = 0; i < N_ELEM(words); i++)
        if (str_eq(word, words[i].word)) {
            *out = words[i].value;
            return true;
        }
    int fact = find_fact(word);
    if (fact >= 0) *out = facts[fact];
    return fact >= 0 || str_to_double(word, out);
}

static bool operator_known(const char *op)
{
    static const char *const known[] = {"=", "!=", "<", "<=", ">", ">="};
    for (size_t i = 0; i < N_ELEM(known); i++)
        if (str_eq(op, known[i])) return true;
    return false;
}

static enum rule_state compare(double a, const char *op, double b)
{
    if (isnan(a) || isnan(b)) return RULE_UNKNOWN;
    bool less = a < b, equal = a <= b && a >= b;
    if (str_eq(op, "=")) return equal;
    if (str_eq(op, "!=")) return !equal;
    if (str_eq(op, "<")) return less;
    if (str_eq(op, "<=")) return less || equal;
    if (str_eq(op, ">")) return !less && !equal;
    return !less;
}

/* The state of a condition; -1 with *at where it is not one. Groups of "and" joined by "or". */
static int evaluate(const char *when, const double *facts, const char **at)
{
    enum rule_state group = RULE_FIRED, whole = RULE_NOT_FIRED;
    for (const char *p = when;;) {
        char left[MAX_WORD], op[MAX_WORD], right[MAX_WORD], join[MAX_WORD];
        double a, b;
        *at = p;
        p = next_word(p, left);
        p = next_word(p, op);
        p = next_word(p, right);
        if (find_fact(left) < 0 || !operand(left, facts, &a) || !operator_known(op) || !operand(right, facts, &b))
            return -1;
        enum rule_state one = compare(a, op, b);
        if (one == RULE_NOT_FIRED || (one == RULE_UNKNOWN && group == RULE_FIRED)) group = one;
        *at = p;
        p = next_word(p, join);
        if (str_eq(join, "and")) continue;
        if (group == RULE_FIRED || (group == RULE_UNKNOWN && whole == RULE_NOT_FIRED)) whole = group;
        if (!join[0]) return (int)whole;
        if (!str_eq(join, "or")) return -1;
        group = RULE_FIRED;
    }
}

enum rule_state decision_rule_state(const struct decision_rule *r, const double *facts)
{
    const char *at;
    int state = evaluate(r->when, facts, &at);
    return state < 0 ? RULE_UNKNOWN : (enum rule_state)state;
}

bool decision_rule_uses(const struct decision_rule *r, enum decision_fact f)
{
    char word[MAX_WORD];
    for (const char *p = next_word(r->when, word); word[0]; p = next_word(p, word))
        if (str_eq(word, decision_fact_name[f])) return true;
    return false;
}

/* --- reading --- */

enum { COL_RULE, COL_DECIDES, COL_FAVOURS, COL_WEIGHT, COL_WHEN, COL_EN, COL_ZH, COL_SOURCE, N_COL };

static const char *const column_name[N_COL] = {"rule", "decides", "favours", "weight",
                                               "when", "text_en", "text_zh", "source"};

static int refuse(const struct csv_reader *c, const char *name, int col, const char *text, const char *needed,
                  struct err *e)
{
    return err_set(e, ERR_INPUT, name, "cannot read \"%s\" line %llu: %s is \"%.80s\", %s is needed", name,
                   (unsigned long long)c->line_no, column_name[col], text, needed);
}

static int check_when(const struct csv_reader *c, const char *name, const char *when, struct err *e)
{
    double none[N_FACT];
    const char *at = when;
    for (int i = 0; i < N_FACT; i++) none[i] = (double)NAN;
    if (evaluate(when, none, &at) >= 0) return 0;
    return refuse(c, name, COL_WHEN, at, "a comparison such as `team < 20` or `data_class = secret`, joined by and, or",
                  e);
}

static int read_row(const struct csv_reader *c, const char *name, const int col[N_COL], struct decision_rule *r,
                    struct err *e)
{
    const char *t[N_COL];
    int favours = 0;
    for (int i = 0; i < N_COL; i++) t[i] = c->field[col[i]].text;
    if (!t[COL_RULE][0]) return refuse(c, name, COL_RULE, "", "a name", e);
    if (!str_eq(t[COL_DECIDES], "yes") && !str_eq(t[COL_DECIDES], "no"))
        return refuse(c, name, COL_DECIDES, t[COL_DECIDES], "yes or no", e);
    while (favours < N_CHOICE && !str_eq(t[COL_FAVOURS], choice_name[favours])) favours++;
    if (favours == N_CHOICE) return refuse(c, name, COL_FAVOURS, t[COL_FAVOURS], "private, api or hybrid", e);
    if (!str_to_double(t[COL_WEIGHT], &r->weight) || r->weight < 0 || r->weight > 1000)
        return refuse(c, name, COL_WEIGHT, t[COL_WEIGHT], "a number from 0 to 1000", e);
    int rc = check_when(c, name, t[COL_WHEN], e);
    if (rc) return rc;
    r->decides = str_eq(t[COL_DECIDES], "yes");
    r->favours = (enum choice)favours;
    r->id = mem_strdup(t[COL_RULE]);
    r->when = mem_strdup(t[COL_WHEN]);
    r->en = mem_strdup(t[COL_EN]);
    r->zh = mem_strdup(t[COL_ZH][0] ? t[COL_ZH] : t[COL_EN]);
    r->source = mem_strdup(t[COL_SOURCE]);
    return 0;
}

static int read_all(struct decision_rules *r, struct csv_reader *c, const char *name, struct err *e)
{
    int col[N_COL], rc;
    for (int i = 0; i < N_COL; i++) {
        col[i] = csv_column(c, column_name[i], e);
        if (col[i] < 0) return col[i];
    }
    while ((rc = csv_next(c, e)) == 1) {
        if (r->n == MAX_DECISION_RULES)
            return err_set(e, ERR_LIMIT, name, "cannot read \"%s\": more than %d rules", name, MAX_DECISION_RULES);
        rc = read_row(c, name, col, &r->item[r->n], e);
        if (rc) return rc;
        r->n++;
    }
    return rc;
}

int decision_rules_read(struct decision_rules *r, const char *name, const char *text, size_t n, struct err *e)
{
    struct csv_reader c;
    *r = (struct decision_rules){.item = mem_alloc(MAX_DECISION_RULES * sizeof *r->item)};
    int rc = csv_open_memory(&c, name, text, n, e);
    if (rc == 0) rc = read_all(r, &c, name, e);
    csv_close(&c);
    return rc;
}

static int read_file(struct decision_rules *r, const char *path, struct err *e)
{
    char *text;
    size_t n;
    int rc = file_read_all(path, MAX_RULES_BYTES, &text, &n, e);
    if (rc) return rc;
    rc = decision_rules_read(r, path, text, n, e);
    mem_free(text);
    return rc;
}

int decision_rules_open(struct decision_rules *r, const char *home, const char *given, struct err *e)
{
    *r = (struct decision_rules){0};
    if (given) return read_file(r, given, e);
    char *path = home ? path_join(home, "catalog/rules.csv") : NULL;
    size_t n;
    const char *text = catalogue_data("rules.csv", &n);
    int rc = path && file_exists(path) ? read_file(r, path, e) : decision_rules_read(r, "rules.csv", text, n, e);
    mem_free(path);
    return rc;
}

void decision_rules_free(struct decision_rules *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct decision_rule *x = &r->item[i];
        mem_free(x->id);
        mem_free(x->when);
        mem_free(x->en);
        mem_free(x->zh);
        mem_free(x->source);
    }
    mem_free(r->item);
    *r = (struct decision_rules){0};
}
