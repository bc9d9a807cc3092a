/* Cuts a template into tokens as Jinja 3.1 does with trim_blocks and lstrip_blocks: text outside of tags, comments, raw
 * blocks, and what stands inside of tags. The source is untrusted: every look ahead is bounded by its end. */
#include "compute/text/jinja/lex.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compute/text/jinja/literal.h"
#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

enum { MAX_NESTED_BRACKETS = 256 };

struct lexer {
    struct arena *arena;
    const char *s;
    size_t n, pos;
    uint32_t line;
    bool line_starting; /* what came before the text ended with a newline */
    struct token *tok;
    size_t n_tok, cap;
    char open[MAX_NESTED_BRACKETS];
    int n_open;
    struct err *e;
};

static int fail(struct lexer *x, const char *what)
{
    return err_set(x->e, ERR_INPUT, "chat template", "cannot parse the chat template: line %u: %s", x->line, what);
}

static int out_of_memory(struct lexer *x)
{
    return err_set(x->e, ERR_NOMEM, "chat template",
                   "cannot parse the chat template: out of memory, or larger than accepted");
}

static int add(struct lexer *x, struct token t)
{
    if (x->n_tok == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 256;
        struct token *tok = arena_alloc(x->arena, cap * sizeof *tok);
        if (!tok) {
            return out_of_memory(x);
        }
        if (x->n_tok) {
            memcpy(tok, x->tok, x->n_tok * sizeof *tok);
        }
        x->tok = tok;
        x->cap = cap;
    }
    t.line = x->line;
    x->tok[x->n_tok++] = t;
    return 0;
}

static void advance(struct lexer *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x->line += x->s[x->pos + i] == '\n';
    }
    x->pos += n;
    if (n > 0) {
        x->line_starting = x->s[x->pos - 1] == '\n';
    }
}

static bool at(const struct lexer *x, size_t pos, const char *what)
{
    size_t n = strlen(what);
    return pos + n <= x->n && memcmp(x->s + pos, what, n) == 0;
}

/* Bytes of white space (Python's) from pos on. */
static size_t space_length(const struct lexer *x, size_t pos)
{
    size_t i = pos;
    while (i < x->n) {
        uint32_t cp;
        size_t len = utf8_decode(x->s + i, x->n - i, &cp);
        if (!unicode_is_python_space(cp)) {
            break;
        }
        i += len;
    }
    return i - pos;
}

/* Length of s without the white space at its end. */
static size_t rstripped(const char *s, size_t n)
{
    size_t keep = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += utf8_decode(s + i, n - i, &cp);
        if (!unicode_is_python_space(cp)) {
            keep = i;
        }
    }
    return keep;
}

/* Text up to a tag: what of it stays, by the sign of the tag. */
static size_t kept_before_tag(const struct lexer *x, size_t from, size_t to, char sign, bool is_print)
{
    const char *s = x->s + from;
    size_t n = to - from;
    if (sign == '-') {
        return rstripped(s, n);
    }
    if (sign == '+' || is_print) {
        return n;
    }
    const char *newline = memrchr(s, '\n', n);
    size_t begin = newline ? (size_t)(newline - s) + 1 : 0;
    if ((newline || x->line_starting) && begin < n && rstripped(s + begin, n - begin) == 0) {
        return begin;
    }
    return n;
}

static int add_data(struct lexer *x, size_t n)
{
    return n == 0 ? 0 : add(x, (struct token){.type = TOK_DATA, .s = x->s + x->pos, .n = n});
}

/* The end of a tag at pos: "+%}", "-%}" with the space behind, "%}" with one newline; 0 when it is not there.
 * mark is '%', '#' or '}'. */
static size_t tag_end(const struct lexer *x, size_t pos, char mark)
{
    char plain[3] = {mark, '}', '\0'};
    bool print = mark == '}';
    if (at(x, pos, plain)) {
        return 2 + (!print && pos + 2 < x->n && x->s[pos + 2] == '\n');
    }
    if (pos < x->n && x->s[pos] == '-' && at(x, pos + 1, plain)) {
        return 3 + space_length(x, pos + 3);
    }
    return !print && pos < x->n && x->s[pos] == '+' && at(x, pos + 1, plain) ? 3 : 0;
}

static int skip_comment(struct lexer *x)
{
    for (size_t i = x->pos; i < x->n; i++) {
        size_t len = tag_end(x, i, '#');
        if (len) {
            advance(x, i + len - x->pos);
            return 0;
        }
    }
    return fail(x, "a comment is not closed, expected \"#}\"");
}

/* Length of "{%- raw -%}" and the like at pos, 0 when it is something else. *sign: the one after "{%". */
static size_t raw_tag(const struct lexer *x, size_t pos, const char *word, char *sign)
{
    size_t i = pos + 2;
    if (!at(x, pos, "{%")) {
        return 0;
    }
    *sign = i < x->n && (x->s[i] == '-' || x->s[i] == '+') ? x->s[i++] : '\0';
    i += space_length(x, i);
    if (!at(x, i, word)) {
        return 0;
    }
    i += strlen(word);
    i += space_length(x, i);
    size_t end = tag_end(x, i, '%');
    return end ? i + end - pos : 0;
}

static int lex_raw(struct lexer *x)
{
    for (size_t i = x->pos; i < x->n; i++) {
        char sign;
        size_t len = raw_tag(x, i, "endraw", &sign);
        if (len) {
            int rc = add_data(x, kept_before_tag(x, x->pos, i, sign, false));
            advance(x, i + len - x->pos);
            return rc;
        }
    }
    return fail(x, "a raw block is not closed, expected \"{% endraw %}\"");
}

/* The begin of a raw block keeps the newline behind it, unlike other tags, and knows no "+%}". */
static size_t raw_begin(const struct lexer *x, size_t pos, char *sign)
{
    size_t len = raw_tag(x, pos, "raw", sign);
    if (len == 0) {
        return 0;
    }
    const char *close = memchr(x->s + pos, '}', len);
    if (close[-2] == '+') {
        return 0;
    }
    return close[-2] == '-' ? len : (size_t)(close - x->s) + 1 - pos;
}

static bool is_name_char(uint32_t cp, bool first)
{
    return cp == '_' || unicode_is_letter(cp) || (!first && cp != UTF8_BAD && unicode_is_number(cp));
}

static size_t name_length(const struct lexer *x)
{
    size_t i = x->pos;
    while (i < x->n) {
        uint32_t cp;
        size_t len = utf8_decode(x->s + i, x->n - i, &cp);
        if (!is_name_char(cp, i == x->pos)) {
            break;
        }
        i += len;
    }
    return i - x->pos;
}

static int lex_string(struct lexer *x)
{
    char quote = x->s[x->pos];
    size_t end = x->pos + 1;
    while (end < x->n && x->s[end] != quote) {
        end += x->s[end] == '\\' ? 2 : 1;
    }
    if (end >= x->n) {
        return fail(x, "a string is not closed");
    }
    struct token t = {.type = TOK_STRING};
    const char *why = NULL;
    int rc = literal_string(x->arena, x->s + x->pos + 1, end - x->pos - 1, &t.s, &t.n, &why);
    if (rc) {
        return why ? fail(x, why) : out_of_memory(x);
    }
    rc = add(x, t);
    advance(x, end + 1 - x->pos);
    return rc;
}

static int lex_number(struct lexer *x)
{
    struct token t = {0};
    bool is_float, after_dot = x->pos > 0 && x->s[x->pos - 1] == '.';
    const char *why = NULL;
    size_t len = literal_number(x->s + x->pos, x->n - x->pos, !after_dot, &is_float, &t.i, &t.f, &why);
    if (why) {
        return fail(x, why);
    }
    t.type = is_float ? TOK_FLOAT : TOK_INT;
    t.s = x->s + x->pos;
    t.n = len;
    int rc = add(x, t);
    advance(x, len);
    return rc;
}

static int lex_operator(struct lexer *x)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    for (size_t i = 0; i < sizeof two / sizeof *two; i++) {
        if (at(x, x->pos, two[i])) {
            int rc =
                add(x, (struct token){.type = TOK_OP, .op = OP2(two[i][0], two[i][1]), .s = x->s + x->pos, .n = 2});
            advance(x, 2);
            return rc;
        }
    }
    char c = x->s[x->pos];
    if (!strchr("+-/*%~[](){}><=.:|,;", c) || c == '\0') {
        return fail(x, "an unexpected character stands in a tag");
    }
    if (strchr("([{", c)) {
        if (x->n_open == MAX_NESTED_BRACKETS) {
            return fail(x, "brackets are nested too deeply, at most 256 are accepted");
        }
        x->open[x->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c)) {
        if (x->n_open == 0 || x->open[x->n_open - 1] != c) {
            return fail(x, "a closing bracket does not match");
        }
        x->n_open--;
    }
    int rc = add(x, (struct token){.type = TOK_OP, .op = OP(c), .s = x->s + x->pos, .n = 1});
    advance(x, 1);
    return rc;
}

/* What stands inside of a tag, and its end. */
static int lex_tag(struct lexer *x, bool is_print)
{
    x->n_open = 0;
    while (x->pos < x->n) {
        size_t end = x->n_open == 0 ? tag_end(x, x->pos, is_print ? '}' : '%') : 0;
        if (end) {
            int rc =
                add(x, (struct token){.type = is_print ? TOK_PRINT_END : TOK_BLOCK_END, .s = x->s + x->pos, .n = 2});
            advance(x, end);
            return rc;
        }
        size_t space = space_length(x, x->pos), name;
        char c = x->s[x->pos];
        int rc;
        if (space) {
            advance(x, space);
            continue;
        }
        if (c >= '0' && c <= '9') {
            rc = lex_number(x);
        } else if (c == '"' || c == '\'') {
            rc = lex_string(x);
        } else if ((name = name_length(x)) > 0) {
            rc = add(x, (struct token){.type = TOK_NAME, .s = x->s + x->pos, .n = name});
            advance(x, name);
        } else {
            rc = lex_operator(x);
        }
        if (rc) {
            return rc;
        }
    }
    return fail(x, is_print ? "the template ends inside of \"{{\"" : "the template ends inside of \"{%\"");
}

/* A tag at pos `begin`, the text from x->pos up to it first. */
static int lex_text_and_tag(struct lexer *x, size_t begin)
{
    char kind = x->s[begin + 1], sign = begin + 2 < x->n ? x->s[begin + 2] : '\0';
    if (sign != '-' && sign != '+') {
        sign = '\0';
    }
    int rc = add_data(x, kept_before_tag(x, x->pos, begin, sign, kind == '{'));
    if (rc) {
        return rc;
    }
    char raw_sign;
    size_t raw = kind == '%' ? raw_begin(x, begin, &raw_sign) : 0;
    advance(x, begin - x->pos + (raw ? raw : 2 + (sign != '\0')));
    if (raw) {
        return lex_raw(x);
    }
    if (kind == '#') {
        return skip_comment(x);
    }
    rc = add(x, (struct token){.type = kind == '{' ? TOK_PRINT_BEGIN : TOK_BLOCK_BEGIN, .s = x->s + begin, .n = 2});
    return rc ? rc : lex_tag(x, kind == '{');
}

/* Newlines of all kinds become \n, one at the very end goes, as Jinja does it. */
static int normalize(struct lexer *x, const char *source, size_t n)
{
    char *s = arena_alloc(x->arena, n + 1);
    if (!s) {
        return out_of_memory(x);
    }
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r') {
            s[len++] = '\n';
            i += i + 1 < n && source[i + 1] == '\n';
        } else {
            s[len++] = source[i];
        }
    }
    x->n = len > 0 && s[len - 1] == '\n' ? len - 1 : len;
    x->s = s;
    return 0;
}

int jinja_lex(struct arena *arena, const char *source, size_t n, struct token **out, size_t *n_out, struct err *e)
{
    struct lexer x = {.arena = arena, .line = 1, .line_starting = true, .e = e};
    int rc = normalize(&x, source, n);
    size_t look = 0;
    while (!rc && look + 1 < x.n) {
        const char *brace = memchr(x.s + look, '{', x.n - 1 - look);
        if (!brace) {
            break;
        }
        look = (size_t)(brace - x.s);
        if (strchr("{%#", x.s[look + 1]) && x.s[look + 1]) {
            rc = lex_text_and_tag(&x, look);
            look = x.pos;
        } else {
            look++;
        }
    }
    if (!rc) {
        rc = add_data(&x, x.n - x.pos);
    }
    if (!rc) {
        rc = add(&x, (struct token){.type = TOK_END, .s = ""});
    }
    *out = x.tok;
    *n_out = x.n_tok;
    return rc;
}
