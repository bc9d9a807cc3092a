/* Files of rows: JSON Lines, a JSON array of objects, or CSV, told apart by their contents and, for CSV, the name. Each
 * row is a JSON object with the line it begins on. A row that cannot be read is refused alone: the next call goes on
 * behind it. */
#ifndef DATA_ROW_FILE_H
#define DATA_ROW_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "ground/json/json.h"
#include "ground/table/csv.h"

struct row_file {
    uint64_t line_no; /* where the row begins that was returned or refused, from 1 */
    enum { ROWS_JSON_LINES, ROWS_JSON_ARRAY, ROWS_CSV } kind;
    char *path;
    struct json_lines lines;
    struct csv_reader csv;
    char *text; /* of a JSON array */
    size_t n, at;
    uint64_t line; /* of text[at] */
    bool ended;
    bool is_broken; /* a refusal that no row of this file can be read behind */
};
/* -ERR_UNSUPPORTED for Parquet, Arrow and compressed files, with the command that converts them. */
int row_file_open(struct row_file *r, const char *path, struct err *e) MUST_CHECK;
/* The same from a copy of n bytes in memory; name stands for the path. */
int row_file_open_memory(struct row_file *r, const char *name, const char *text, size_t n, struct err *e) MUST_CHECK;
/* 1 with *row a new reference, 0 at the end; -ERR_INPUT, or -ERR_LIMIT for a line that is too long: this row is
 * refused, go on unless is_broken; any other error ends the file. */
int row_file_next(struct row_file *r, json_t **row, struct err *e) MUST_CHECK;
/* Also right after a failed open. */
void row_file_close(struct row_file *r);

#endif
