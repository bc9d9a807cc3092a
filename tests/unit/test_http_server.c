/* The HTTP server with clients on loopback: bodies and their limit, answers at once, later and streamed, clients that
 * leave, and stopping with answers open. Waits are on conditions with an end, never on time passing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ground/base/attr.h"
#include "ground/http/http_server.h"

enum { MAX_BODY = 1000, N_CHUNK = 50, WAIT_S = 20 };

/* What the handler and the tests share. One open request at a time. */
struct stage {
    struct http_server *server;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_request *open; /* waits for a wake */
    bool ready;                /* the late answer may be given */
    int n_open, n_ready, n_left, n_done, n_read, n_allowed;
};

static void note(struct stage *s, int *counter)
{
    pthread_mutex_lock(&s->lock);
    ++*counter;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* Wait until *counter reaches n; false after WAIT_S. */
static bool reaches(struct stage *s, const int *counter, int n)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&s->lock);
    while (*counter < n && !rc) rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
    bool good = *counter >= n;
    pthread_mutex_unlock(&s->lock);
    return good;
}

static void on_ready(void *arg, struct http_request *r)
{
    struct stage *s = arg;
    pthread_mutex_lock(&s->lock);
    bool ready = s->ready;
    s->n_ready++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (ready) http_reply(r, 202, "text/plain", "late", 4);
}

static ssize_t on_read(void *arg, char *data, size_t max)
{
    struct stage *s = arg;
    ssize_t n = 0;
    pthread_mutex_lock(&s->lock);
    if (s->n_read == N_CHUNK)
        n = HTTP_STREAM_END;
    else if (s->n_read < s->n_allowed)
        n = snprintf(data, max, "chunk %d;", s->n_read++);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void on_left(void *arg)
{
    struct stage *s = arg;
    note(s, &s->n_left);
}

static void on_done(void *arg)
{
    struct stage *s = arg;
    pthread_mutex_lock(&s->lock);
    s->open = NULL;
    pthread_mutex_unlock(&s->lock);
    note(s, &s->n_done);
}

static void handle(void *arg, struct http_request *r)
{
    struct stage *s = arg;
    const struct http_task task = {.arg = s, .ready = on_ready, .read = on_read, .left = on_left, .done = on_done};
    size_t n;
    const char *body = http_body(r, &n);
    if (!strcmp(http_path(r), "/later") || !strcmp(http_path(r), "/stream")) {
        pthread_mutex_lock(&s->lock);
        s->open = r;
        s->n_open++;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        if (http_path(r)[1] == 'l')
            http_later(r, &task);
        else
            http_stream(r, 200, "text/plain", &task);
        return;
    }
    char text[2 * MAX_BODY];
    const char *word = http_header(r, "x-word");
    int len =
        snprintf(text, sizeof(text), "%s %s %s %.*s", http_method(r), http_path(r), word ? word : "-", (int)n, body);
    http_add_header(r, "X-Answer", "42");
    http_reply(r, 200, "text/plain", text, (size_t)len);
}

static void wake(struct stage *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->open) http_wake(s->open);
    pthread_mutex_unlock(&s->lock);
}

static int set_up(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));
    struct http_options opt = {.host = "127.0.0.1", .max_body_bytes = MAX_BODY, .request = handle, .arg = s};
    struct err e;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (http_server_start(&s->server, &opt, &e)) {
        print_error("%s\n", e.msg);
        return -1;
    }
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *s = *state;
    http_server_stop(s->server);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return 0;
}

/* --- a client --- */

static int connect_to(const struct stage *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(s->server))};
    struct timeval limit = {.tv_sec = WAIT_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

static void send_head(int fd, const char *method, const char *path, size_t n_body)
{
    char head[256];
    snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: x\r\nX-Word: hi\r\nContent-Length: %zu\r\n\r\n", method, path,
             n_body);
    send_text(fd, head);
}

/* Read until `end` has come (NULL: until the server closes). */
static size_t receive(int fd, const char *end, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    while (n + 1 < cap && !(end && strstr(out, end))) {
        ssize_t got = recv(fd, out + n, cap - 1 - n, 0);
        if (got <= 0) break;
        n += (size_t)got;
        out[n] = '\0';
    }
    return n;
}

static void expect(const char *answer, const char *part)
{
    if (!strstr(answer, part)) fail_msg("\"%s\" is not in \"%s\"", part, answer);
}

/* --- tests --- */

static void test_answers_at_once(void **state)
{
    struct stage *s = *state;
    char answer[4096];
    int fd = connect_to(s);
    for (int i = 0; i < 3; i++) { /* one connection, several requests */
        send_head(fd, "POST", "/echo?x=1", 5);
        send_text(fd, "he");
        send_text(fd, "llo");
        receive(fd, "hello", answer, sizeof(answer));
        expect(answer, "HTTP/1.1 200");
        expect(answer, "X-Answer: 42");
        expect(answer, "POST /echo hi hello");
    }
    close(fd);
}

static void test_body_limit(void **state)
{
    struct stage *s = *state;
    char answer[4096], body[MAX_BODY + 2];
    memset(body, 'x', sizeof(body));
    body[MAX_BODY] = '\0';
    int fd = connect_to(s);
    send_head(fd, "POST", "/full", MAX_BODY);
    send_text(fd, body);
    receive(fd, "xxx", answer, sizeof(answer));
    expect(answer, "200");
    close(fd);
    fd = connect_to(s);
    send_head(fd, "POST", "/over", MAX_BODY + 1); /* known in advance, small enough to be read */
    body[MAX_BODY] = 'x';
    body[MAX_BODY + 1] = '\0';
    send_text(fd, body);
    receive(fd, "\r\n\r\n", answer, sizeof(answer));
    expect(answer, "HTTP/1.1 413");
    close(fd);
    fd = connect_to(s);
    send_head(fd, "POST", "/huge", (size_t)1 << 40); /* refused before it is sent */
    receive(fd, "\r\n\r\n", answer, sizeof(answer));
    expect(answer, "HTTP/1.1 413");
    close(fd);
    fd = connect_to(s); /* chunked: the length is not known */
    send_text(fd, "POST /chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n");
    body[MAX_BODY] = '\0';
    send_text(fd, body);
    send_text(fd, "\r\n2\r\nyy\r\n0\r\n\r\n");
    receive(fd, "\r\n\r\n", answer, sizeof(answer));
    expect(answer, "HTTP/1.1 413");
    close(fd);
}

/* A request that is still being sent is no open answer: an end need not wait for it. */
static void test_half_a_request_is_not_open(void **state)
{
    struct stage *s = *state;
    char answer[4096];
    int fd = connect_to(s);
    send_text(fd, "POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    receive(fd, "\r\n\r\n", answer, sizeof(answer));
    expect(answer, " 100 ");
    assert_int_equal(http_server_n_open(s->server), 0);
    send_text(fd, "hello");
    receive(fd, "hello", answer, sizeof(answer));
    expect(answer, " 200 ");
    close(fd);
}

static void test_answer_later(void **state)
{
    struct stage *s = *state;
    char answer[4096];
    int fd = connect_to(s);
    send_head(fd, "GET", "/later", 0);
    int n = 0;
    while (!n) { /* each wake asks once; the first may come before the request */
        wake(s);
        sched_yield();
        pthread_mutex_lock(&s->lock);
        n = s->n_ready;
        pthread_mutex_unlock(&s->lock);
    }
    wake(s);
    assert_true(reaches(s, &s->n_ready, n + 1));
    assert_int_equal(http_server_n_open(s->server), 1);
    pthread_mutex_lock(&s->lock);
    s->ready = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    receive(fd, "late", answer, sizeof(answer));
    expect(answer, "HTTP/1.1 202");
    assert_true(reaches(s, &s->n_done, 1));
    close(fd);
}

static void test_stream(void **state)
{
    struct stage *s = *state;
    char answer[8192], last[32];
    int fd = connect_to(s);
    send_head(fd, "GET", "/stream", 0);
    for (int i = 1; i <= N_CHUNK; i++) { /* one piece after the other, each asked for by a wake */
        pthread_mutex_lock(&s->lock);
        s->n_allowed = i;
        pthread_mutex_unlock(&s->lock);
        wake(s);
        if (i > 1) /* the first may be allowed before the request is there */
            assert_true(reaches(s, &s->n_read, i));
    }
    wake(s);
    receive(fd, "\r\n0\r\n", answer, sizeof(answer));
    snprintf(last, sizeof(last), "chunk %d;", N_CHUNK - 1);
    expect(answer, "Transfer-Encoding: chunked");
    expect(answer, "chunk 0;");
    expect(answer, last);
    assert_true(reaches(s, &s->n_done, 1));
    send_head(fd, "GET", "/again", 0); /* the connection is still good */
    receive(fd, "/again", answer, sizeof(answer));
    expect(answer, "200");
    close(fd);
}

static void test_clients_leave(void **state)
{
    struct stage *s = *state;
    static const char *const path[] = {"/later", "/stream"};
    for (int i = 0; i < 2; i++) {
        int fd = connect_to(s);
        send_head(fd, "GET", path[i], 0);
        while (!http_server_n_open(s->server)) sched_yield();
        close(fd); /* while the connection is suspended, or just before */
        assert_true(reaches(s, &s->n_left, i + 1));
        assert_true(reaches(s, &s->n_done, i + 1));
    }
    time_t end = time(NULL) + WAIT_S;
    while (http_server_n_open(s->server) && time(NULL) < end) sched_yield();
    assert_int_equal(http_server_n_open(s->server), 0);
}

/* Stopping tells and ends every open answer. */
static void test_stop_with_open_answers(void **state)
{
    struct stage *s = *state;
    struct stage other = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct http_options opt = {.host = "localhost", .max_body_bytes = 10, .request = handle, .arg = &other};
    struct err e;
    int fd[2];
    (void)s;
    assert_int_equal(http_server_start(&other.server, &opt, &e), 0);
    for (int i = 0; i < 2; i++) {
        fd[i] = connect_to(&other);
        send_head(fd[i], "GET", i ? "/later" : "/stream", 0);
    }
    while (http_server_n_open(other.server) < 2) sched_yield();
    http_server_stop(other.server);
    assert_int_equal(other.n_done, 2);
    assert_int_equal(other.n_left, 2);
    for (int i = 0; i < 2; i++) close(fd[i]);
}

static void test_port_in_use(void **state)
{
    struct stage *s = *state;
    struct http_options opt = {
        .host = "127.0.0.1", .port = http_server_port(s->server), .max_body_bytes = 10, .request = handle, .arg = s};
    struct http_server *second;
    struct err e;
    assert_int_equal(http_server_start(&second, &opt, &e), -ERR_IO);
    assert_non_null(strstr(e.msg, "in use"));
    opt.host = "no.such.host.invalid";
    assert_int_equal(http_server_start(&second, &opt, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "no.such.host.invalid"));
}

/* Two lengths that may differ are refused, and nothing after them is taken for a request. */
static void test_length_told_twice(void **state)
{
    struct stage *s = *state;
    static const char *const head[] = {"Content-Length: 5\r\nContent-Length: 3\r\n",
                                       "content-length: 5\r\nTransfer-Encoding: chunked\r\n"};
    char answer[4096];
    for (size_t i = 0; i < N_ELEM(head); i++) {
        int fd = connect_to(s);
        send_text(fd, "POST /x HTTP/1.1\r\nHost: x\r\n");
        send_text(fd, head[i]);
        send_text(fd, "\r\nabcGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        receive(fd, NULL, answer, sizeof(answer));
        expect(answer, "HTTP/1.1 400");
        assert_null(strstr(answer, "smuggled"));
        close(fd);
    }
}

/* Send one byte after the other, until the server has had enough: the connection is closed, or refused. */
static void expect_cut_off(int fd, const char *text)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    time_t end = time(NULL) + WAIT_S;
    for (size_t i = 0; time(NULL) < end; i++) {
        char byte;
        if (poll(&p, 1, 50) > 0) {
            assert_true(recv(fd, &byte, 1, 0) <= 0); /* no answer either */
            return;
        }
        if (send(fd, &text[i % strlen(text)], 1, MSG_NOSIGNAL) < 0) return;
    }
    fail_msg("a client that sends \"%s\" byte by byte still has its place after %d s", text, WAIT_S);
}

/* Clients may take idle_timeout_s to ask, sending bytes all the time or not; an answer may take longer. */
static void test_slow_to_ask(void **state)
{
    struct stage *s = *state;
    struct http_options opt = {
        .host = "127.0.0.1", .max_body_bytes = MAX_BODY, .idle_timeout_s = 1, .request = handle, .arg = s};
    struct http_server *patient = s->server;
    struct err e;
    char answer[4096];
    assert_int_equal(http_server_start(&s->server, &opt, &e), 0);
    int waits = connect_to(s), head = connect_to(s), body = connect_to(s);
    send_head(waits, "GET", "/later", 0);
    assert_true(reaches(s, &s->n_open, 1));
    send_text(head, "GET /x HTTP/1.1\r\nX-Long: ");
    send_head(body, "POST", "/x", MAX_BODY);
    expect_cut_off(head, "abc");
    expect_cut_off(body, "abc");
    pthread_mutex_lock(&s->lock);
    s->ready = true;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    receive(waits, "late", answer, sizeof(answer));
    expect(answer, "HTTP/1.1 202");
    expect_cut_off(waits, "GET"); /* the next request has its time, too */
    close(waits);
    close(head);
    close(body);
    http_server_stop(s->server);
    s->server = patient;
}

/* Rubbish is answered or dropped, and the server goes on. */
static void test_rubbish(void **state)
{
    struct stage *s = *state;
    static const struct {
        const char *text, *status; /* NULL: nothing is said, and the client goes */
    } rubbish[] = {
        {"\r\n\r\n\r\n", NULL},
        {"GET\r\n\r\n", NULL},
        {"POST /x HTTP/1.1\r\nContent-Length: -5\r\n\r\n", " 400 "},
        {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", " 413 "},
        {"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", " 400 "},
    };
    char answer[4096];
    for (size_t i = 0; i < N_ELEM(rubbish); i++) {
        int fd = connect_to(s);
        send_text(fd, rubbish[i].text);
        if (rubbish[i].status) {
            receive(fd, "\r\n\r\n", answer, sizeof(answer));
            expect(answer, rubbish[i].status);
        }
        close(fd);
    }
    int fd = connect_to(s);
    send_head(fd, "GET", "/alive", 0);
    receive(fd, "/alive", answer, sizeof(answer));
    expect(answer, "200");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_body_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_a_request_is_not_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answer_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clients_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_with_open_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_port_in_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_length_told_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_to_ask, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rubbish, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
