/* Model files that a test writes: a folder of its own, and opening what is in it or in the test data. */
#ifndef TESTS_WRITTEN_MODELS_H
#define TESTS_WRITTEN_MODELS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compute/formats/model_file.h"
#include "ground/base/file.h"

static char dir[] = "/tmp/tailor-test-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

static void must(int rc, const struct err *e)
{
    if (rc) {
        fail_msg("%s", e->msg);
    }
}

static struct model_file *open_model(const char *path)
{
    struct model_file *f;
    struct err e = {0};
    must(model_file_open(&f, path, &e), &e);
    return f;
}

#endif
