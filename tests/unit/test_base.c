/* The ground floor: errors, strings, memory, buffers, files, clocks, random numbers, digests, the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/base/buf.h"
#include "ground/base/cgroup.h"
#include "ground/base/clock.h"
#include "ground/base/err.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "ground/base/wrap.h"
#include "ground/sys/digest.h"
#include "ground/sys/machine.h"
#include "ground/sys/memory.h"

/* --- errors --- */

static void error_carries_code_object_text(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_INPUT, "a.gguf", "cannot read \"%s\": %d", "a.gguf", 7), -ERR_INPUT);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.object, "a.gguf");
    assert_string_equal(e.msg, "cannot read \"a.gguf\": 7");
    assert_int_equal(err_set(NULL, ERR_LIMIT, NULL, "x"), -ERR_LIMIT);
    assert_int_equal(err_wrap(&e, -ERR_INPUT, "cannot load model"), -ERR_INPUT);
    assert_string_equal(e.msg, "cannot load model: cannot read \"a.gguf\": 7");
    assert_int_equal(err_wrap(NULL, -5, "x"), -5);
}

static void error_may_quote_itself(void **state)
{
    (void)state;
    struct err e = {0};
    (void)err_set(&e, ERR_INPUT, "object", "first");
    (void)err_set(&e, ERR_IO, e.object, "second after %s", e.msg);
    assert_string_equal(e.msg, "second after first");
    assert_string_equal(e.object, "object");
}

static void errors_can_be_renamed(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, ERR_IO, "a/x.new-1/f", "cannot write \"a/x.new-1/f\": a/x.new-1 is full"), -ERR_IO);
    err_rename(&e, "a/x.new-1", "a/x");
    assert_string_equal(e.msg, "cannot write \"a/x/f\": a/x is full");
    assert_string_equal(e.object, "a/x/f");
    err_rename(&e, "", "y");
    err_rename(NULL, "a", "b");
    assert_string_equal(e.object, "a/x/f");
}

static void error_text_is_printable_utf8(void **state)
{
    (void)state;
    struct err e = {0};
    char name[400];
    (void)err_set(&e, ERR_INPUT, "a\x1b[2J\n\xff", "bad \x01 \xC3");
    assert_string_equal(e.object, "a?[2J??");
    assert_string_equal(e.msg, "bad ? ?");
    for (int i = 0; i + 3 < (int)sizeof name; i += 3) memcpy(name + i, "\xE4\xBD\xA0", 4);
    (void)err_set(&e, ERR_INPUT, name, "%s%s", name, name);
    assert_int_equal(strlen(e.object) % 3, 0); /* cut between characters, not inside one */
    assert_int_equal(strlen(e.msg) % 3, 0);
    assert_null(strchr(e.msg, '?'));
}

static void errno_becomes_a_code(void **state)
{
    (void)state;
    struct err e = {0};
    errno = ENOENT;
    assert_int_equal(err_set_errno(&e, "f", "cannot open \"f\""), -ERR_NOT_FOUND);
    assert_string_equal(e.msg, "cannot open \"f\": No such file or directory");
    errno = ENOMEM;
    assert_int_equal(err_set_errno(NULL, "f", "x"), -ERR_NOMEM);
    errno = EACCES;
    assert_int_equal(err_set_errno(&e, "f", "x"), -ERR_IO);
    assert_string_equal(err_code_name(-ERR_NOT_FOUND), "not_found");
    assert_string_equal(err_code_name(ERR_INPUT), "invalid_input");
    assert_string_equal(err_code_name(999), "unknown");
}

/* --- strings --- */

static void numbers_are_whole_or_nothing(void **state)
{
    (void)state;
    static const char *const bad_int[] = {"", " 1", "1 ", "1x", "0x10", "9223372036854775808", "--1", "-", "1.0", "+"};
    static const char *const bad_double[] = {"", " 1", "nan", "inf", "1e999", "0x1p3", "1..2", "e", "-", "1,5"};
    int64_t i;
    uint64_t u;
    double d;
    for (size_t k = 0; k < N_ELEM(bad_int); k++) {
        if (str_to_i64(bad_int[k], &i)) fail_msg("took \"%s\" as an integer", bad_int[k]);
    }
    for (size_t k = 0; k < N_ELEM(bad_double); k++) {
        if (str_to_double(bad_double[k], &d)) fail_msg("took \"%s\" as a number", bad_double[k]);
    }
    assert_true(str_to_i64("-9223372036854775808", &i) && i == INT64_MIN);
    assert_true(str_to_i64("+5", &i) && i == 5);
    assert_true(str_to_u64("18446744073709551615", &u) && u == UINT64_MAX);
    assert_false(str_to_u64("-1", &u));
    assert_false(str_to_u64("18446744073709551616", &u));
    assert_true(str_to_double("-1.5e-3", &d) && d == -1.5e-3);
    assert_true(str_to_double("1e-400", &d) && d == 0.0);
}

static void strings_compare(void **state)
{
    (void)state;
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_true(str_starts("gguf", "gg") && str_starts("a", "") && !str_starts("g", "gg"));
    assert_true(str_ends("a.gguf", ".gguf") && !str_ends("uf", "gguf"));
    assert_int_equal(str_distance("kitten", "sitting"), 3);
    assert_int_equal(str_distance("", "abc"), 3);
    assert_int_equal(str_distance("lable", "label"), 1);
    assert_int_equal(str_distance("lable", "labels"), 2);
    assert_int_equal(str_distance("abc", ""), 3);
    assert_int_equal(str_mistyped("lable", "label_column"), 2);
    assert_int_equal(str_mistyped("label", "label"), 0);
    assert_true(str_distance_max("lable") >= 2 && str_distance_max("cat") == 1);
    assert_int_equal(str_distance("same", "same"), 0);
    char text[16];
    str_format_bytes(999, text, sizeof text);
    assert_string_equal(text, "999 B");
    str_format_bytes(1500000000, text, sizeof text);
    assert_string_equal(text, "1.5 GB");
    str_format_bytes(999999, text, sizeof text);
    assert_string_equal(text, "1.0 MB");
    str_format_bytes(UINT64_MAX, text, sizeof text);
    assert_string_equal(text, "18.4 EB");
}

static void utf8_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int len;
    } c[] = {
        {"a", 1},        {"\xC3\xA9", 2}, {"\xE4\xBD\xA0", 3},     {"\xF0\x9F\x98\x80", 4}, {"\xC0\x80", 0},
        {"\xC1\xBF", 0}, {"\x80", 0},     {"\xED\xA0\x80", 0},     {"\xE0\x80\x80", 0},     {"\xF4\x90\x80\x80", 0},
        {"\xF5", 0},     {"\xE4\xBD", 0}, {"\xF0\x8F\xBF\xBF", 0}, {"\xED\x9F\xBF", 3}};
    for (size_t i = 0; i < N_ELEM(c); i++) {
        if (str_utf8_char(c[i].bytes, strlen(c[i].bytes)) != c[i].len) fail_msg("case %zu of UTF-8", i);
    }
    assert_int_equal(str_utf8_char("\xE4\xBD\xA0", 2), 0); /* does not read past n */
}

static void columns_of_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int columns;
    } c[] = {{"", 0},    {"abc", 3},  {"模型", 4}, {"a，b", 4}, {"e\xCC\x81t\xC3\xA9", 3},
             {"“x”", 3}, {"\xFF", 1}, {"ﾊﾝ", 2},   {"😀", 2},    {"（1）", 5}};
    for (size_t i = 0; i < N_ELEM(c); i++)
        if (str_columns(c[i].text) != c[i].columns)
            fail_msg("\"%s\" has %d columns, %d wanted", c[i].text, str_columns(c[i].text), c[i].columns);
    assert_int_equal(str_padding("模型", 10), 6);
    assert_int_equal(str_padding("模型", 3), 0);
}

static void lines_are_wrapped(void **state)
{
    (void)state;
    static const struct {
        const char *text; /* goes on at column 70 */
        const char *want;
    } c[] = {
        {"short", "short"},
        {"two words that go on", "two words\n  that go on"},
        {"[--option VALUE]", "\n  [--option VALUE]"},
        {"中文也会在此处换行。", "中文也会在\n  此处换行。"},
        {"标点不在行，首", "标点不在\n  行，首"},
        {"括号不在行（尾）", "括号不在行\n  （尾）"},
        {"ab 中文中文中文", "ab 中文中\n  文中文"},
        {"abcdefgh 中文", "abcdefgh\n  中文"},
    };
    for (size_t i = 0; i < N_ELEM(c); i++) {
        struct buf out;
        buf_init(&out, 4096);
        struct wrap w = {.out = &out, .column = 70, .indent = 2};
        assert_int_equal(wrap_text(&w, c[i].text), 0);
        if (strcmp(out.data, c[i].want) != 0) fail_msg("\"%s\" became \"%s\"", c[i].text, out.data);
        buf_deinit(&out);
    }
}

/* --- memory --- */

static void the_chosen_allocation_fails_once(void **state)
{
    (void)state;
    mem_fault_after(2);
    void *a = mem_try_alloc(8), *b = mem_try_alloc(8), *c = mem_try_alloc(8);
    mem_fault_after(0);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    mem_free(a);
    mem_free(c);
}

static void memory_is_checked_and_aligned(void **state)
{
    (void)state;
    assert_null(mem_try_array(SIZE_MAX / 2, 3));
    assert_null(mem_try_aligned(SIZE_MAX));
    void *p = mem_try_aligned(100), *empty = mem_try_alloc(0);
    assert_non_null(p);
    assert_non_null(empty);
    assert_int_equal((uintptr_t)p % 64, 0);
    mem_free(p);
    mem_free(empty);
    size_t out;
    assert_false(add_size(SIZE_MAX, 1, &out));
    assert_false(mul_size(SIZE_MAX, 2, &out));
    assert_true(mul_size(3, 4, &out) && out == 12);
    assert_int_equal(round_up(33, 32), 64);
}

static void arena_zeroes_limits_and_reuses(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 100000);
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < 100; i++) {
            unsigned char *p = arena_alloc(&a, (size_t)i);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (int k = 0; k < i; k++) assert_int_equal(p[k], 0);
            memset(p, 0xFF, (size_t)i);
        }
        arena_reset(&a);
    }
    assert_null(arena_alloc(&a, 100001));
    assert_non_null(arena_alloc(&a, 100000));
    assert_null(arena_alloc(&a, 1));
    arena_reset(&a);
    assert_string_equal(arena_strndup(&a, "hello", 3), "hel");
    arena_deinit(&a);
}

static void buffer_stops_at_its_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_printf(&b, "%d-%s", 12, "abc"), 0);
    assert_int_equal(buf_add(&b, "12345", 5), -ERR_LIMIT);
    assert_string_equal(b.data, "12-abc");
    assert_int_equal(buf_add(&b, "1234", 4), 0);
    assert_int_equal(buf_add_char(&b, 'x'), -ERR_LIMIT);
    assert_string_equal(b.data, "12-abc1234");
    size_t n;
    char *taken = buf_take(&b, &n);
    assert_int_equal(n, 10);
    assert_null(b.data);
    assert_int_equal(buf_add_str(&b, "again"), 0);
    mem_free(taken);
    mem_fault_after(1);
    buf_deinit(&b);
    buf_init(&b, 1000);
    assert_int_equal(buf_add_str(&b, "x"), -ERR_NOMEM);
    char *empty = buf_take(&b, &n);
    assert_string_equal(empty, "");
    mem_free(empty);
    buf_deinit(&b);
}

/* --- files --- */

static char *new_dir(void)
{
    char template[] = "/tmp/tailor-test-XXXXXX";
    assert_non_null(mkdtemp(template));
    return mem_strdup(template);
}

static void free_dir(char *dir)
{
    struct err e = {0};
    if (file_remove_tree(dir, &e)) fail_msg("%s", e.msg);
    assert_false(file_exists(dir));
    mem_free(dir);
}

static void files_are_read_within_limits(void **state)
{
    (void)state;
    struct err e = {0};
    char *dir = new_dir(), *path = path_join(dir, "f"), *data;
    size_t n;
    assert_int_equal(file_write_atomic(path, "hello", 5, &e), 0);
    assert_int_equal(file_read_all(path, 5, &data, &n, &e), 0);
    assert_int_equal(n, 5);
    assert_string_equal(data, "hello");
    mem_free(data);
    assert_int_equal(file_read_all(path, 4, &data, &n, &e), -ERR_LIMIT);
    assert_int_equal(file_read_all(dir, 4, &data, &n, &e), -ERR_INPUT);
    assert_int_equal(file_read_all("/nonexistent/x", 4, &data, &n, &e), -ERR_NOT_FOUND);
    assert_string_equal(e.object, "/nonexistent/x");
    assert_int_equal(file_read_all("/proc/self/status", 1 << 20, &data, &n, &e), 0); /* st_size is 0 */
    assert_true(n > 10);
    mem_free(data);
    assert_int_equal(file_read_all("/proc/self/status", 10, &data, &n, &e), -ERR_LIMIT);
    char *fifo = path_join(dir, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(file_read_all(fifo, 10, &data, &n, &e), -ERR_INPUT); /* and does not wait for a writer */
    mem_free(fifo);
    int fd;
    uint64_t size;
    char part[8] = "";
    assert_int_equal(file_open_read(path, &fd, &size, &e), 0);
    assert_int_equal(size, 5);
    assert_int_equal(file_pread(fd, path, part, 3, 1, &e), 0);
    assert_string_equal(part, "ell");
    assert_int_equal(file_pread(fd, path, part, 3, 3, &e), -ERR_INPUT);
    close(fd);
    mem_free(path);
    free_dir(dir);
}

static void writes_are_atomic(void **state)
{
    (void)state;
    struct err e = {0};
    struct stat st;
    char *dir = new_dir(), *path = path_join(dir, "f"), *data, **names;
    size_t n;
    assert_int_equal(file_write_atomic(path, "one", 3, &e), 0);
    assert_int_equal(chmod(path, 0600), 0);
    struct file_atomic f;
    assert_int_equal(file_atomic_begin(&f, path, &e), 0);
    assert_int_equal(file_atomic_write(&f, "two", 3, &e), 0);
    assert_int_equal(file_read_all(path, 10, &data, NULL, &e), 0);
    assert_string_equal(data, "one"); /* until the commit */
    mem_free(data);
    assert_int_equal(file_atomic_commit(&f, &e), 0);
    assert_int_equal(file_read_all(path, 10, &data, NULL, &e), 0);
    assert_string_equal(data, "two");
    mem_free(data);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600); /* a private file stays private */
    assert_int_equal(file_atomic_begin(&f, path, &e), 0);
    file_atomic_abort(&f);
    assert_int_equal(file_list_dir(dir, &names, &n, &e), 0);
    assert_int_equal(n, 1); /* nothing left beside it */
    mem_free(names[0]);
    mem_free(names);
    assert_int_equal(file_write_atomic("/nonexistent/x", "a", 1, &e), -ERR_NOT_FOUND);
    mem_free(path);
    free_dir(dir);
}

static void appends_follow_each_other(void **state)
{
    (void)state;
    struct err e = {0};
    char *dir = new_dir(), *path = path_join(dir, "log"), *data;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    assert_int_equal(file_append_sync(fd, path, "a\n", 2, &e), 0);
    assert_int_equal(file_append_sync(fd, path, "b\n", 2, &e), 0);
    close(fd);
    assert_int_equal(file_append_sync(fd, path, "c\n", 2, &e), -ERR_IO);
    assert_int_equal(file_read_all(path, 10, &data, NULL, &e), 0);
    assert_string_equal(data, "a\nb\n");
    mem_free(data);
    mem_free(path);
    free_dir(dir);
}

static void trees_are_made_listed_removed(void **state)
{
    (void)state;
    struct err e = {0};
    char *dir = new_dir(), *deep = path_join(dir, "a//b/c/"), *outside = new_dir(), *kept = path_join(outside, "kept");
    assert_int_equal(file_mkdirs(deep, &e), 0);
    assert_int_equal(file_mkdirs(deep, &e), 0);
    assert_true(file_is_dir(deep));
    assert_int_equal(file_mkdirs("", &e), -ERR_INPUT);
    assert_int_equal(file_write_atomic(kept, "k", 1, &e), 0);
    assert_int_equal(file_mkdirs(kept, &e), -ERR_CONFLICT); /* a file is in the way */
    char *link = path_join(dir, "a/link"), *file = path_join(dir, "a/z");
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(file_write_atomic(file, "z", 1, &e), 0);
    char **names, *a = path_join(dir, "a");
    size_t n;
    assert_int_equal(file_list_dir(a, &names, &n, &e), 0);
    assert_int_equal(n, 3);
    assert_string_equal(names[0], "b");
    assert_string_equal(names[1], "link");
    assert_string_equal(names[2], "z");
    for (size_t i = 0; i < n; i++) mem_free(names[i]);
    mem_free(names);
    free_dir(dir);
    assert_true(file_exists(kept));               /* behind a link */
    assert_int_equal(file_remove_tree(a, &e), 0); /* missing is fine */
    assert_string_equal(path_base("a/b.c"), "b.c");
    assert_string_equal(path_base("b.c"), "b.c");
    char *absolute, cwd[4096];
    assert_int_equal(path_absolute("/a/../b", &absolute, &e), 0);
    assert_string_equal(absolute, "/a/../b");
    mem_free(absolute);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(path_absolute(".//a/./b", &absolute, &e), 0);
    assert_true(str_starts(absolute, cwd) && str_eq(absolute + strlen(cwd), "/a/./b"));
    mem_free(absolute);
    mem_free(a), mem_free(link), mem_free(file), mem_free(deep), mem_free(kept);
    free_dir(outside);
}

/* --- clocks, random numbers --- */

static void clocks_go_forward(void **state)
{
    (void)state;
    char text[32];
    uint64_t a = clock_ns(), b = clock_ns();
    assert_true(b >= a);
    clock_format_utc(1764064697000, text, sizeof text);
    assert_string_equal(text, "2025-11-25T09:58:17Z");
    clock_format_utc(-1, text, sizeof text);
    assert_string_equal(text, "1969-12-31T23:59:59Z");
}

/* Random123's tests/kat_vectors, philox4x32 10 rounds. */
static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < N_ELEM(kat); i++) {
        uint32_t out[4];
        rng_philox(kat[i].counter, kat[i].key, out);
        if (memcmp(out, kat[i].want, sizeof out) != 0)
            fail_msg("known answer %zu: %08x %08x %08x %08x", i, out[0], out[1], out[2], out[3]);
    }
}

static void draws_have_their_distribution(void **state)
{
    (void)state;
    enum { N = 20000 };
    double sum = 0, normal = 0, square = 0;
    int below[7] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double u = rng_unit(1, 2, i), z = rng_normal(1, 3, i);
        assert_true(u >= 0 && u < 1);
        sum += u;
        normal += z;
        square += z * z;
        below[rng_below(7, 1, 4, i)]++;
    }
    assert_true(fabs(sum / N - 0.5) < 0.01); /* 4.9 standard errors; the draws are fixed, so this cannot flicker */
    assert_true(fabs(normal / N) < 0.03);
    assert_true(fabs(square / N - 1) < 0.05);
    for (int i = 0; i < 7; i++) assert_true(abs(below[i] - N / 7) < 250);
    assert_int_equal(rng_below(1, 5, 6, 7), 0);
    assert_true(rng_below(UINT64_MAX, 5, 6, 7) < UINT64_MAX);
    assert_true(rng_u64(1, 2, 3) != rng_u64(1, 2, 4) && rng_u64(1, 2, 3) != rng_u64(1, 3, 3));
    assert_true(rng_u64(1, 2, 3) == rng_u64(1, 2, 3));
}

static void shuffle_is_a_permutation_of_its_seed(void **state)
{
    (void)state;
    uint32_t a[100], b[100];
    bool seen[100] = {false};
    for (uint32_t i = 0; i < 100; i++) a[i] = b[i] = i;
    rng_shuffle(a, 100, 42, 1);
    rng_shuffle(b, 100, 42, 1);
    assert_memory_equal(a, b, sizeof a);
    int moved = 0;
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(a[i] < 100 && !seen[a[i]]);
        seen[a[i]] = true;
        moved += a[i] != i;
    }
    assert_true(moved > 80);
    rng_shuffle(a, 0, 1, 1);
}

/* --- sys --- */

static void digests_are_sha256(void **state)
{
    (void)state;
    struct err e = {0};
    char hex[DIGEST_HEX_SIZE], *dir = new_dir(), *path = path_join(dir, "f");
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; /* FIPS 180-2 B.1 */
    assert_int_equal(digest_memory("abc", 3, hex, &e), 0);
    assert_string_equal(hex, abc);
    struct digest d;
    assert_int_equal(digest_begin(&d, &e), 0);
    digest_add(&d, "a", 1);
    digest_add(&d, "bc", 2);
    digest_end(&d, hex);
    assert_string_equal(hex, abc);
    uint64_t size;
    assert_int_equal(file_write_atomic(path, "abc", 3, &e), 0);
    assert_int_equal(digest_file(path, hex, &size, &e), 0);
    assert_string_equal(hex, abc);
    assert_int_equal(size, 3);
    assert_int_equal(digest_file(dir, hex, &size, &e), -ERR_INPUT);
    mem_free(path);
    free_dir(dir);
}

static void machine_is_described(void **state)
{
    (void)state;
    struct machine m;
    machine_describe(&m);
    assert_true(m.cpu_name[0] != '\0');
    assert_true(m.n_cpu >= 1 && m.n_core >= 1 && m.n_core <= m.n_cpu);
    assert_true(m.n_cpu_usable >= 1 && m.n_cpu_usable <= m.n_cpu);
    assert_true(m.memory_bytes > 1 << 20 && m.memory_available_bytes <= m.memory_bytes);
    assert_true(machine_peak_rss_bytes() > 1 << 16 && machine_rss_bytes() > 1 << 16);
}

/* The address space that is left is seen, and a limit that is far away changes nothing. */
static void free_memory_is_below_every_limit(void **state)
{
    (void)state;
    enum { ROOM = 64 << 20 };
    struct rlimit old, now;
    struct memory_room m, limited;
    memory_room_read(&m);
    assert_true(m.total_bytes > 1 << 20 && m.free_bytes <= m.physical_bytes && m.physical_bytes <= m.total_bytes);
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long long pages = 0;
    assert_true(f && fscanf(f, "%llu", &pages) == 1);
    fclose(f);
    now = (struct rlimit){.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ROOM, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &now), 0);
    memory_room_read(&limited);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_int_equal(limited.limit, MEMORY_OF_ADDRESSES);
    assert_true(limited.free_bytes <= ROOM && limited.free_bytes > ROOM / 2);
    assert_string_equal(memory_limit_name(limited.limit), "below ulimit -v");
}

static void sizes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},         {"4096", 4096},     {"8GB", 8000000000}, {"8gb", 8000000000}, {"1.5 MB", 1500000},
                {"2KiB", 2048},   {"1G", 1073741824}, {"3k", 3072},        {"12 B", 12},        {"1TiB", 1099511627776},
                {"0.5 M", 524288}};
    static const char *const bad[] = {"", "GB", "8 XB", "8GBs", "-1", "1e3", "1..2", "9999999999TB", "8 G B", " 8"};
    for (size_t i = 0; i < N_ELEM(good); i++) {
        uint64_t n = 1;
        if (!str_to_bytes(good[i].text, &n) || n != good[i].bytes)
            fail_msg("\"%s\" became %llu", good[i].text, (unsigned long long)n);
    }
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        uint64_t n;
        if (str_to_bytes(bad[i], &n)) fail_msg("\"%s\" was taken for %llu", bad[i], (unsigned long long)n);
    }
}

static void count_group(const char *dir, bool v2, void *arg)
{
    (void)v2;
    assert_int_equal(strncmp(dir, "/sys/fs/cgroup", 14), 0);
    ++*(int *)arg;
}

static void control_groups_are_walked_to_the_mount(void **state)
{
    (void)state;
    int n = 0;
    cgroup_each("memory", count_group, &n);
    char text[4096];
    if (cgroup_read("/proc/self", "cgroup", text, sizeof text) && strstr(text, "0::/")) assert_true(n >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_carries_code_object_text),
        cmocka_unit_test(error_may_quote_itself),
        cmocka_unit_test(errors_can_be_renamed),
        cmocka_unit_test(error_text_is_printable_utf8),
        cmocka_unit_test(errno_becomes_a_code),
        cmocka_unit_test(numbers_are_whole_or_nothing),
        cmocka_unit_test(strings_compare),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(columns_of_a_terminal),
        cmocka_unit_test(lines_are_wrapped),
        cmocka_unit_test(the_chosen_allocation_fails_once),
        cmocka_unit_test(memory_is_checked_and_aligned),
        cmocka_unit_test(arena_zeroes_limits_and_reuses),
        cmocka_unit_test(buffer_stops_at_its_maximum),
        cmocka_unit_test(files_are_read_within_limits),
        cmocka_unit_test(writes_are_atomic),
        cmocka_unit_test(appends_follow_each_other),
        cmocka_unit_test(trees_are_made_listed_removed),
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(draws_have_their_distribution),
        cmocka_unit_test(shuffle_is_a_permutation_of_its_seed),
        cmocka_unit_test(digests_are_sha256),
        cmocka_unit_test(machine_is_described),
        cmocka_unit_test(free_memory_is_below_every_limit),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(control_groups_are_walked_to_the_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
