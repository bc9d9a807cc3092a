/* CSV as RFC 4180 has it, streaming, in and out.
 *
 * The reader takes UTF-8 with or without a byte order mark, LF or CR LF, quoted fields with doubled quotes and line
 * breaks inside. The first row names the columns; every row has as many fields. Everything else is an error that names
 * file and line. Blank lines are skipped. */
#ifndef TABLE_CSV_H
#define TABLE_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/buf.h"
#include "ground/base/err.h"

enum { CSV_MAX_COLUMNS = 1024, CSV_MAX_ROW_BYTES = 16 * 1024 * 1024 };

struct csv_field {
    const char *text; /* NUL-terminated, without NUL inside */
    size_t n;
};

struct csv_reader {
    size_t n_column;
    struct csv_field *column; /* names, as in the file */
    struct csv_field *field;  /* [n_column] of the row that csv_next returned; valid until the next call */
    uint64_t line_no;         /* where that row begins, from 1 */
    bool is_behind;           /* a row was refused as a whole: the next call goes on behind it */
    /* private */
    char *path;
    int fd; /* -1: memory */
    char *chunk;
    size_t chunk_at, chunk_len;
    bool eof;
    uint64_t line;        /* of the next character */
    struct buf row, head; /* field texts, each with its NUL */
    size_t *start;        /* [CSV_MAX_COLUMNS + 1] offsets into row */
    size_t n_field;
};
/* Open and read the row of names. -ERR_INPUT: empty file, a name twice, a broken first row. */
int csv_open(struct csv_reader *r, const char *path, struct err *e) MUST_CHECK;
/* The same from a copy of n bytes; name stands for the path in errors. */
int csv_open_memory(struct csv_reader *r, const char *name, const char *text, size_t n, struct err *e) MUST_CHECK;
/* 1 with a row, 0 at the end, -ERR_INPUT naming the line. */
int csv_next(struct csv_reader *r, struct err *e) MUST_CHECK;
/* Index of a column, or -ERR_NOT_FOUND with an error that lists the names there are. */
int csv_column(const struct csv_reader *r, const char *name, struct err *e) MUST_CHECK;
/* Frees everything; also right after a failed open. */
void csv_close(struct csv_reader *r);

/* Append one field, quoted where it must be, after a comma unless it is the first of its row. With guard a text that a
 * spreadsheet would run as a formula (first character = + - @, tab or CR) gets an apostrophe before it; a plain number
 * such as -0.5 stays a number. */
int csv_write_field(struct buf *out, const char *text, size_t n, bool first, bool guard) MUST_CHECK;
/* End the row: CR LF. */
int csv_write_end(struct buf *out) MUST_CHECK;

#endif
