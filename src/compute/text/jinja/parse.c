/* Statements of templates. Tags that a chat template has no use for (inheritance, includes, autoescape) are errors. */
#include <stdio.h>
#include <string.h>

#include "compute/text/jinja/parse_int.h"

/* Depth of the tree: the interpreter recurses along it. */
enum { MAX_DEPTH = 300 };

struct node *parse_fail(struct parser *p, const char *expected)
{
    if (p->rc) {
        return NULL;
    }
    const struct token *t = p->tok;
    if (!expected) {
        p->rc = err_set(p->e, ERR_NOMEM, "chat template",
                        "cannot parse the chat template: out of memory, or larger than accepted");
        return NULL;
    }
    if (t->type == TOK_END) {
        p->rc = err_set(p->e, ERR_INPUT, "chat template",
                        "cannot parse the chat template: line %u: expected %s, found the end of the template", t->line,
                        expected);
    } else {
        p->rc = err_set(p->e, ERR_INPUT, "chat template",
                        "cannot parse the chat template: line %u: expected %s, found \"%.*s\"", t->line, expected,
                        (int)(t->n < 40 ? t->n : 40), t->s);
    }
    return NULL;
}

struct node *parse_node(struct parser *p, enum node_type type)
{
    struct node *n = arena_alloc(p->arena, sizeof *n);
    if (!n) {
        return parse_fail(p, NULL);
    }
    n->type = type;
    n->line = p->tok->line;
    return n;
}

void parse_step(struct parser *p)
{
    if (p->tok < p->last) {
        p->tok++;
    }
}

bool parse_is_op(const struct parser *p, uint32_t op)
{
    return p->tok->type == TOK_OP && p->tok->op == op;
}

bool parse_is_name(const struct parser *p, const char *name)
{
    return p->tok->type == TOK_NAME && p->tok->n == strlen(name) && memcmp(p->tok->s, name, p->tok->n) == 0;
}

bool parse_skip_op(struct parser *p, uint32_t op)
{
    bool is = parse_is_op(p, op);
    if (is) {
        parse_step(p);
    }
    return is;
}

bool parse_skip_name(struct parser *p, const char *name)
{
    bool is = parse_is_name(p, name);
    if (is) {
        parse_step(p);
    }
    return is;
}

bool parse_need_op(struct parser *p, uint32_t op, const char *expected)
{
    if (!parse_skip_op(p, op)) {
        parse_fail(p, expected);
        return false;
    }
    return true;
}

bool parse_begin(struct parser *p)
{
    if (p->depth == MAX_DEPTH && !p->rc) {
        p->rc =
            err_set(p->e, ERR_INPUT, "chat template",
                    "cannot parse the chat template: line %u: nested deeper than %d levels", p->tok->line, MAX_DEPTH);
    }
    if (p->rc) {
        return false;
    }
    p->depth++;
    return true;
}

void parse_end(struct parser *p)
{
    p->depth--;
}

static bool need_block_end(struct parser *p)
{
    if (p->tok->type != TOK_BLOCK_END) {
        parse_fail(p, "\"%}\"");
        return false;
    }
    parse_step(p);
    return true;
}

static struct node *statement(struct parser *p);

/* Whether the current tag is one of the words, which are separated by spaces. */
static bool is_one_of(const struct parser *p, const char *words)
{
    while (*words) {
        size_t n = strcspn(words, " ");
        if (p->tok->type == TOK_NAME && p->tok->n == n && memcmp(p->tok->s, words, n) == 0) {
            return true;
        }
        words += n + (words[n] == ' ');
    }
    return false;
}

/* Nodes up to "{%" and one of the words, which becomes the current token; "" for the whole template. */
static struct node *nodes_until(struct parser *p, const char *words)
{
    struct node *first = NULL, **link = &first;
    while (!p->rc && p->tok->type != TOK_END) {
        struct node *n = NULL;
        if (p->tok->type == TOK_DATA) {
            n = parse_node(p, NODE_DATA);
            if (n) {
                n->s = p->tok->s;
                n->n = (uint32_t)p->tok->n;
            }
            parse_step(p);
        } else if (p->tok->type == TOK_PRINT_BEGIN) {
            n = parse_node(p, NODE_PRINT);
            parse_step(p);
            struct node *a = parse_tuple(p, true, NULL, false);
            if (n && a && p->tok->type != TOK_PRINT_END) {
                parse_fail(p, "\"}}\"");
            }
            if (n) {
                n->a = a;
            }
            parse_step(p);
        } else {
            parse_step(p);
            if (*words && is_one_of(p, words)) {
                return first;
            }
            n = statement(p);
            if (n) {
                (void)need_block_end(p);
            }
        }
        if (!n) {
            return NULL;
        }
        *link = n;
        link = &n->next;
    }
    if (!p->rc && *words) {
        char expected[80];
        snprintf(expected, sizeof expected, "one of \"%s\"", words);
        return parse_fail(p, expected);
    }
    return first;
}

/* The rest of a tag and the nodes up to one of the words. */
static struct node *body(struct parser *p, const char *words)
{
    parse_skip_op(p, OP(':'));
    if (!need_block_end(p) || !parse_begin(p)) {
        return NULL;
    }
    struct node *n = nodes_until(p, words);
    parse_end(p);
    return n;
}

/* The same, and the word itself. */
static struct node *whole_body(struct parser *p, const char *word)
{
    struct node *n = body(p, word);
    if (!p->rc) {
        parse_step(p);
    }
    return n;
}

/* An elif is an if that is the whole else body of the one before; the chain is built without recursion. */
static struct node *parse_if(struct parser *p)
{
    struct node *first = parse_node(p, NODE_IF), *n = first;
    while (n) {
        n->a = parse_tuple(p, false, NULL, false);
        n->b = n->a ? body(p, "elif else endif") : NULL;
        if (!p->rc && parse_skip_name(p, "elif")) {
            n->c = parse_node(p, NODE_IF);
            n = n->c;
            if (n) {
                n->flag = true;
            }
            continue;
        }
        if (!p->rc && parse_skip_name(p, "else")) {
            n->c = whole_body(p, "endif");
        } else if (!p->rc) {
            parse_step(p);
        }
        break;
    }
    return p->rc ? NULL : first;
}

static struct node *parse_for(struct parser *p)
{
    struct node *n = parse_node(p, NODE_FOR);
    if (!n) {
        return NULL;
    }
    n->a = parse_target(p, "in", false);
    if (n->a && !parse_skip_name(p, "in")) {
        return parse_fail(p, "\"in\"");
    }
    n->b = n->a ? parse_tuple(p, false, "recursive", false) : NULL;
    if (n->b && parse_skip_name(p, "if")) {
        n->e = parse_expression(p, true);
    }
    n->flag = !p->rc && parse_skip_name(p, "recursive");
    p->n_loop++;
    n->c = p->rc ? NULL : body(p, "else endfor");
    p->n_loop--;
    if (!p->rc && parse_skip_name(p, "else")) {
        n->d = whole_body(p, "endfor");
    } else if (!p->rc) {
        parse_step(p);
    }
    return p->rc ? NULL : n;
}

static struct node *parse_set(struct parser *p)
{
    struct node *n = parse_node(p, NODE_SET);
    if (!n) {
        return NULL;
    }
    n->a = parse_target(p, NULL, true);
    if (!n->a) {
        return NULL;
    }
    if (parse_skip_op(p, OP('='))) {
        n->b = parse_tuple(p, true, NULL, false);
        return n->b ? n : NULL;
    }
    n->type = NODE_SET_BLOCK;
    n->b = parse_filters(p, NULL, false);
    n->c = p->rc ? NULL : whole_body(p, "endset");
    return p->rc ? NULL : n;
}

/* "(a, b=1)" into the parameters of a macro. */
static bool signature(struct parser *p, struct node *macro)
{
    struct node **link = &macro->a;
    bool had_default = false;
    if (!parse_need_op(p, OP('('), "\"(\"")) {
        return false;
    }
    while (!p->rc && !parse_is_op(p, OP(')'))) {
        if (macro->a && !parse_need_op(p, OP(','), "\",\" or \")\"")) {
            return false;
        }
        struct node *n = parse_node(p, NODE_PARAM);
        if (!n) {
            return false;
        }
        if (p->tok->type != TOK_NAME) {
            parse_fail(p, "the name of a parameter");
            return false;
        }
        n->s = p->tok->s;
        n->n = (uint32_t)p->tok->n;
        parse_step(p);
        if (parse_skip_op(p, OP('='))) {
            n->a = parse_expression(p, true);
            had_default = true;
        } else if (had_default) {
            parse_fail(p, "a default, as the parameter before has one");
        }
        *link = n;
        link = &n->next;
    }
    parse_step(p);
    return !p->rc;
}

/* The body of a macro or a call block, which knows nothing of the loops around it. */
static bool macro_body(struct parser *p, struct node *macro, const char *end)
{
    if (p->n_macro == (int)N_ELEM(p->macro)) {
        parse_fail(p, "macros nested less deeply");
        return false;
    }
    p->macro[p->n_macro++] = macro;
    int n_loop = p->n_loop;
    p->n_loop = 0;
    macro->c = whole_body(p, end);
    p->n_loop = n_loop;
    p->n_macro--;
    return !p->rc;
}

static struct node *parse_macro(struct parser *p)
{
    struct node *n = parse_node(p, NODE_MACRO);
    if (!n) {
        return NULL;
    }
    if (p->tok->type != TOK_NAME) {
        return parse_fail(p, "the name of the macro");
    }
    n->s = p->tok->s;
    n->n = (uint32_t)p->tok->n;
    parse_step(p);
    return signature(p, n) && macro_body(p, n, "endmacro") ? n : NULL;
}

static struct node *parse_call_block(struct parser *p)
{
    struct node *n = parse_node(p, NODE_CALL_BLOCK), *macro = parse_node(p, NODE_MACRO);
    if (!n || !macro) {
        return NULL;
    }
    macro->s = "caller";
    macro->n = 6;
    if (parse_is_op(p, OP('(')) && !signature(p, macro)) {
        return NULL;
    }
    n->b = macro;
    n->a = parse_expression(p, true);
    if (n->a && n->a->type != NODE_CALL) {
        return parse_fail(p, "the call of a macro in front");
    }
    return n->a && macro_body(p, macro, "endcall") ? n : NULL;
}

static struct node *parse_filter_block(struct parser *p)
{
    struct node *n = parse_node(p, NODE_FILTER_BLOCK);
    if (!n) {
        return NULL;
    }
    n->b = parse_filters(p, NULL, true);
    n->c = n->b ? whole_body(p, "endfilter") : NULL;
    return p->rc ? NULL : n;
}

static struct node *parse_with(struct parser *p)
{
    struct node *n = parse_node(p, NODE_WITH), **link = n ? &n->a : NULL;
    while (n && !p->rc && p->tok->type != TOK_BLOCK_END) {
        if (n->a && !parse_need_op(p, OP(','), "\",\" or \"%}\"")) {
            return NULL;
        }
        struct node *s = parse_node(p, NODE_SET);
        if (!s) {
            return NULL;
        }
        s->a = parse_target(p, NULL, false);
        if (!s->a || !parse_need_op(p, OP('='), "\"=\"")) {
            return NULL;
        }
        s->b = parse_expression(p, true);
        *link = s;
        link = &s->next;
    }
    if (n && !p->rc) {
        n->c = whole_body(p, "endwith");
    }
    return p->rc ? NULL : n;
}

static struct node *parse_generation(struct parser *p)
{
    struct node *n = parse_node(p, NODE_BODY);
    if (n) {
        n->c = whole_body(p, "endgeneration");
    }
    return p->rc ? NULL : n;
}

static struct node *parse_jump(struct parser *p, enum node_type type)
{
    if (p->n_loop == 0) {
        return parse_fail(p, "a loop around \"break\" and \"continue\"");
    }
    return parse_node(p, type);
}

static struct node *parse_break(struct parser *p)
{
    return parse_jump(p, NODE_BREAK);
}

static struct node *parse_continue(struct parser *p)
{
    return parse_jump(p, NODE_CONTINUE);
}

/* {% print a, b %} prints like {{ a }}{{ b }}. */
static struct node *parse_print(struct parser *p)
{
    struct node *n = parse_node(p, NODE_BODY), **link = n ? &n->c : NULL;
    while (n && !p->rc && p->tok->type != TOK_BLOCK_END) {
        if (n->c && !parse_need_op(p, OP(','), "\",\" or \"%}\"")) {
            return NULL;
        }
        struct node *one = parse_node(p, NODE_PRINT);
        if (!one) {
            return NULL;
        }
        one->a = parse_expression(p, true);
        *link = one;
        link = &one->next;
    }
    return p->rc ? NULL : n;
}

/* The tag behind "{%". */
static struct node *statement(struct parser *p)
{
    static const struct {
        const char *word;
        struct node *(*parse)(struct parser *p);
    } tags[] = {{"if", parse_if},       {"for", parse_for},          {"set", parse_set},
                {"macro", parse_macro}, {"call", parse_call_block},  {"filter", parse_filter_block},
                {"with", parse_with},   {"print", parse_print},      {"generation", parse_generation},
                {"break", parse_break}, {"continue", parse_continue}};
    for (size_t i = 0; i < N_ELEM(tags); i++) {
        if (parse_skip_name(p, tags[i].word)) {
            struct node *n = parse_begin(p) ? tags[i].parse(p) : NULL;
            parse_end(p);
            return n;
        }
    }
    return parse_fail(p, "a tag (if, for, set, macro, call, filter, with, print, generation, break, continue)");
}

int jinja_parse(struct arena *arena, const char *source, size_t n, struct node **root, struct err *e)
{
    struct token *tok;
    size_t n_tok;
    int rc = jinja_lex(arena, source, n, &tok, &n_tok, e);
    if (rc) {
        return rc;
    }
    struct parser p = {.arena = arena, .tok = tok, .last = tok + n_tok - 1, .e = e};
    *root = nodes_until(&p, "");
    return p.rc;
}
