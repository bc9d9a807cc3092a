/* The tokens of a template. */
#ifndef TEXT_JINJA_LEX_H
#define TEXT_JINJA_LEX_H

#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "ground/base/mem.h"

enum token_type {
    TOK_DATA,
    TOK_BLOCK_BEGIN,
    TOK_BLOCK_END,
    TOK_PRINT_BEGIN,
    TOK_PRINT_END,
    TOK_NAME,
    TOK_STRING,
    TOK_INT,
    TOK_FLOAT,
    TOK_OP,
    TOK_END
};

struct token {
    enum token_type type;
    uint32_t line;
    uint32_t op; /* TOK_OP: its one or two characters, first one lowest */
    const char *s;
    size_t n; /* text: of TOK_STRING with escapes resolved */
    union {
        int64_t i;
        double f;
    };
};
#define OP(a)     ((uint32_t)(unsigned char)(a))
#define OP2(a, b) (OP(a) | OP(b) << 8)

/* All tokens of a source, TOK_END last; memory of the arena. Whitespace control, trim_blocks and lstrip_blocks are done
 * here. -ERR_INPUT names the line. */
int jinja_lex(struct arena *arena, const char *source, size_t n, struct token **out, size_t *n_out,
              struct err *e) MUST_CHECK;

#endif
