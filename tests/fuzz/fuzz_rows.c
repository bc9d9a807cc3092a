/* Fuzz target: any bytes as a file of training rows (the first byte says whether as a table), every row read as every
 * kind of example. What is accepted is a conversation: roles in order, something to train, a prompt before it. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lifecycle/data/example.h"
#include "lifecycle/data/message.h"
#include "lifecycle/data/row_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_messages(const json_t *messages, size_t n_prompt)
{
    enum row_verdict v;
    if (json_array_size(messages) <= n_prompt) abort();
    if (messages_check_order(messages, "row", &v, NULL) != 0) abort();
    if (messages_check_target(messages, n_prompt, "row", &v, NULL) != 0) abort();
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (json_string_value(json_object_get(json_array_get(messages, i), "content")) == NULL) abort();
}

static void check_row(const json_t *row)
{
    static const enum example_kind kind[] = {EXAMPLE_ANSWER, EXAMPLE_PAIR, EXAMPLE_JUDGED};
    struct example x = {0};
    for (size_t k = 0; k < 3; k++) {
        struct err e = {0};
        enum row_verdict v;
        int rc = example_read(&x, row, FORM_ANY, kind[k], "row", &v, &e);
        if (rc != 0 && (!row_verdict_is_refused(v) || e.msg[0] == '\0')) abort();
        if (rc != 0) continue;
        check_messages(x.messages, x.n_prompt);
        if ((kind[k] == EXAMPLE_PAIR) != (x.rejected != NULL)) abort();
        if (x.rejected != NULL) check_messages(x.rejected, x.n_prompt);
    }
    example_deinit(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct row_file f;
    json_t *row;
    int rc;
    if (n == 0) return 0;
    const char *name = data[0] == 'c' ? "rows.csv" : "rows.jsonl";
    bool opened = row_file_open_memory(&f, name, (const char *)data + 1, n - 1, NULL) == 0;
    struct err e = {0};
    while (opened && (rc = row_file_next(&f, &row, &e)) != 0) {
        if (rc < 0 && e.msg[0] == '\0') abort();
        if (rc < 0 && ((rc != -ERR_INPUT && rc != -ERR_LIMIT) || f.is_broken)) break;
        if (rc < 0) continue;
        check_row(row);
        json_decref(row);
    }
    row_file_close(&f);
    return 0;
}
