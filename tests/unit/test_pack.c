/* Packing, schedule and the reading of rows: what a batch holds must be the rows, whatever the layout; errors name
 * lines. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/rng.h"
#include "lifecycle/train/pack.h"
#include "lifecycle/train/schedule.h"

enum { N_ROW = 40, MAX_LEN = 60 };

/* Rows with common beginnings of several depths, duplicates, and rows that begin another. */
static struct train_rows random_rows(uint64_t seed)
{
    struct train_rows rows = {.unit = 1};
    for (uint32_t r = 0; r < N_ROW; r++) {
        int32_t ids[MAX_LEN], labels[MAX_LEN];
        size_t n = 2 + rng_below(MAX_LEN - 2, seed, 1, r);
        uint64_t family = rng_below(3, seed, 2, r), child = rng_below(2, seed, 3, r), own = rng_below(12, seed, 4, r);
        for (size_t i = 0; i < n; i++) {
            uint64_t from = i < 10 ? 0 : i < 20 ? 10 + family : i < 30 ? 20 + 2 * family + child : 100 + own;
            ids[i] = (int32_t)rng_below(50, seed, from, i);
            labels[i] = i > 15 && (ids[i] + (int32_t)family) % 3 != 0 ? ids[i] : LABEL_NONE;
        }
        labels[n - 1] = ids[n - 1];
        assert_int_equal(train_rows_add(&rows, ids, labels, n, r + 1), 0);
    }
    return rows;
}

/* Tokens of segment i's path from the root into out; returns their number. */
static size_t path_tokens(const struct tape_batch *b, const size_t *first, int i, int32_t *out)
{
    size_t n = b->segment[i].parent >= 0 ? path_tokens(b, first, b->segment[i].parent, out) : 0;
    memcpy(out + n, b->ids + first[i], (size_t)b->segment[i].n_tok * sizeof(*out));
    return n + (size_t)b->segment[i].n_tok;
}

/* Every row of the part must be the path of one segment. */
static void check_part(const struct train_rows *rows, const struct packer *p, size_t n_before, uint32_t *seen)
{
    const struct tape_batch *b = &p->batch;
    size_t first[2 * N_ROW], at = 0;
    int32_t path[MAX_LEN + 1];
    for (int i = 0; i < b->n_segment; at += (size_t)b->segment[i++].n_tok) first[i] = at;
    assert_int_equal(at, b->n_tok);
    for (size_t k = n_before; k < p->next; k++) {
        uint32_t row = p->order[k];
        size_t n = rows->n_input[row];
        bool found = false;
        for (int i = 0; i < b->n_segment && !found; i++)
            found = path_tokens(b, first, i, path) == n &&
                    memcmp(path, rows->ids + rows->start[row], n * sizeof(*path)) == 0;
        if (!found) fail_msg("row %u of %zu tokens is in no segment", row, n);
        seen[row]++;
    }
    for (int i = 1; i < b->n_target; i++) assert_true(b->row[i] >= b->row[i - 1]);
}

static void check_layout(uint64_t seed, size_t budget, bool share)
{
    struct train_rows rows = random_rows(seed);
    struct packer p;
    struct err e;
    uint32_t order[N_ROW], seen[N_ROW] = {0};
    uint64_t n_target = 0, n_tok = 0;
    if (packer_init(&p, &rows, N_ROW, budget, share, &e) != 0) fail_msg("%s", e.msg);
    for (uint32_t i = 0; i < N_ROW; i++) order[i] = i;
    packer_begin(&p, order, N_ROW);
    for (size_t before = 0; packer_next(&p, 2.0); before = p.next) {
        check_part(&rows, &p, before, seen);
        assert_true(p.n_id <= budget || p.next - before == 1);
        n_tok += p.n_id;
        for (size_t i = 0; i < p.n_target; i++) {
            n_target += (size_t)p.mass[i];
            assert_true(fabsf(p.weight[i] - (float)p.mass[i] / 2) < 1e-6f);
        }
    }
    for (int i = 0; i < N_ROW; i++) assert_int_equal(seen[i], 1);
    assert_int_equal(n_target, rows.n_target);
    if (!share) assert_int_equal(n_tok, rows.n_id - N_ROW); /* the last token is a label only */
    if (share && budget > 4000) assert_true(n_tok < rows.n_id * 2 / 3);
    packer_deinit(&p);
    train_rows_deinit(&rows);
}

static void test_layout(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++)
        for (size_t budget = 30; budget < 10000; budget *= 5) {
            check_layout(seed, budget, true);
            check_layout(seed, budget, false);
        }
}

static void test_schedule(void **state)
{
    (void)state;
    /* the learning rates that PyTorch's trajectories were made with */
    static const double want[] = {0.0033333333333333335,
                                  0.006666666666666667,
                                  0.01,
                                  0.01,
                                  0.009504844339512096,
                                  0.008117449009293669,
                                  0.006112604669781572,
                                  0.003887395330218428,
                                  0.0018825509907063327,
                                  0.0004951556604879049};
    struct train_config c = {.lr = 0.01,
                             .schedule = SCHEDULE_COSINE,
                             .warmup_steps = 3,
                             .batch_size = 2,
                             .grad_accum = 2,
                             .epochs = 3,
                             .shuffle = true,
                             .seed = 9};
    for (uint64_t i = 0; i < N_ELEM(want); i++) assert_true(fabs(train_lr(&c, i, 10) - want[i]) < 1e-12);
    c.schedule = SCHEDULE_LINEAR;
    assert_true(fabs(train_lr(&c, 8, 13) - 0.005) < 1e-12);
    c.schedule = SCHEDULE_CONSTANT;
    assert_true(fabs(train_lr(&c, 9, 10) - 0.01) < 1e-12);
    struct train_plan p;
    train_plan_make(&p, &c, 10);
    assert_int_equal(p.epoch_steps, 3);
    assert_int_equal(p.n_step, 9);
    uint64_t epoch;
    size_t begin, end;
    train_step_rows(&p, 5, &epoch, &begin, &end);
    assert_true(epoch == 1 && begin == 8 && end == 10);
    uint32_t a[10], b[10], seen = 0;
    train_order(&c, 0, a, 10);
    train_order(&c, 1, b, 10);
    assert_true(memcmp(a, b, sizeof(a)) != 0);
    for (int i = 0; i < 10; i++) seen |= 1U << b[i];
    assert_int_equal(seen, 1023);
}

static int load(const char *text, size_t max_length, enum too_long too_long, bool strict, struct train_rows *out,
                struct err *e)
{
    char path[] = "/tmp/tailor-rows-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    struct train_rows_source s = {
        .path = path, .n_vocab = 100, .max_length = max_length, .too_long = too_long, .strict = strict};
    int rc = train_rows_load(out, &s, e);
    unlink(path);
    return rc;
}

static void test_rows(void **state)
{
    (void)state;
    static const char good[] =
        "{\"ids\":[1,2,3],\"labels\":[-100,-100,3]}\n\n{\"ids\":[4,5,6,7,8],\"labels\":[4,5,6,7,8]}\n"
        "{\"ids\":[1,2,3],\"labels\":[-100,-100,3]}\n";
    static const struct {
        const char *text, *says;
    } bad[] = {{"{\"ids\":[1,2],\"labels\":[1,2]}\n{\"ids\":[1,2],\"labels\":[1]}\n", "line 2: 2 ids and 1 labels"},
               {"{\"ids\":[1,100],\"labels\":[1,1]}\n", "ids[1] is 100"},
               {"{\"ids\":[1,2],\"labels\":[1,-7]}\n", "labels[1] is -7"},
               {"{\"ids\":[1,2.5],\"labels\":[1,1]}\n", "ids[1]"},
               {"{\"ids\":[1,2],\"labels\":[2,-100]}\n", "no token of it is trained"},
               {"{\"ids\":[1,2]}\n", "labels"},
               {"{\"ids\":[1,2],\n", "line 1"},
               {"", "no rows"}};
    struct train_rows r;
    struct err e;
    if (load(good, 100, TOO_LONG_DROP, false, &r, &e) != 0) fail_msg("%s", e.msg);
    assert_int_equal(r.n_row, 3);
    assert_true(r.n_read == 3 && r.n_verdict[ROW_KEPT] == 2 && r.n_verdict[ROW_DUPLICATE_KEPT] == 1);
    assert_int_equal(r.n_target, 1 + 4 + 1);
    assert_int_equal(r.line[1], 3);
    assert_int_equal(r.longest, 5);
    train_rows_deinit(&r);
    assert_int_equal(load(good, 4, TOO_LONG_DROP, false, &r, &e), 0);
    assert_int_equal(r.n_row, 2);
    assert_true(r.n_read == 3 && r.n_refused == 1 && r.n_verdict[ROW_OVER_LENGTH] == 1);
    assert_non_null(strstr(r.refused.data, "\"line\":3,\"verdict\":\"over_length\""));
    train_rows_deinit(&r);
    /* a row that is cut ends in the middle: its last token is trained as any other, and none stands for an end */
    assert_int_equal(load(good, 4, TOO_LONG_TRUNCATE, true, &r, &e), 0);
    assert_true(r.n_row == 3 && r.n_verdict[ROW_TRUNCATED] == 1 && r.longest == 4);
    assert_int_equal(r.ids[r.start[1] + 3], 7);
    train_rows_deinit(&r);
    assert_int_equal(load(good, 4, TOO_LONG_REFUSE, false, &r, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "line 3: it has 5 tokens, max_length is 4"));
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        int rc = load(bad[i].text, 100, TOO_LONG_DROP, true, &r, &e);
        if (rc != -ERR_INPUT || strstr(e.msg, bad[i].says) == NULL)
            fail_msg("%s: %d, \"%s\", wanted \"%s\"", bad[i].text, rc, e.msg, bad[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
