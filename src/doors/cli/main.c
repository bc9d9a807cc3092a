/* main(): options, command, errors, exit status. Owns the order of things: what was printed is complete when it
 * returns, an error is printed once and nowhere else. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doors/cli/command_find.h"
#include "doors/cli/help.h"
#include "doors/cli/message_zh.h"
#include "doors/cli/options.h"
#include "doors/cli/signals.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

extern const struct command cmd_help, cmd_version;

enum { USAGE_MAX_BYTES = 1 << 16 };

static int status_of(int code)
{
    switch (code) {
    case ERR_USAGE:
    case ERR_INPUT:
    case ERR_NOT_FOUND:
    case ERR_UNSUPPORTED:
    case ERR_LIMIT:
    case ERR_CONFLICT:
        return EXIT_USAGE;
    case ERR_INTERRUPTED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}

/* Whether errors go out as JSON, known before the options are: they may be what is wrong. */
static bool wants_json(int argc, char *const *argv)
{
    bool json = false;
    for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
        json = str_eq(argv[i], "--json") || str_eq(argv[i], "--json=true") || (json && !str_eq(argv[i], "--no-json"));
    return json;
}

static void print_usage(enum lang lang, const struct command *cmd)
{
    struct buf text;
    buf_init(&text, USAGE_MAX_BYTES);
    if (help_usage(cmd, lang, &text) == 0) fputs(text.data, stderr);
    fprintf(stderr, lang == LANG_ZH ? "详见 `tailor help %s`\n" : "`tailor help %s` says more\n", cmd->name);
    buf_deinit(&text);
}

static int report(const struct err *e, int rc, bool json, enum lang lang, const struct command *cmd)
{
    const char *msg = e->msg[0] ? e->msg : "cannot go on: no reason was given";
    fflush(stdout);
    if (json) {
        cli_print_json(
            json_pack("{s{ss,ss,ss}}", "error", "code", err_code_name(rc), "message", msg, "object", e->object));
        return status_of(-rc);
    }
    cli_print_message(lang, "tailor: ", "错误：", msg);
    if (rc == -ERR_USAGE && cmd && cmd != &cmd_help) print_usage(lang, cmd);
    return status_of(-rc);
}

/* An option of every command that the command's own table has too (the precision of a run) is handed to both. */
static bool command_has(const struct command *cmd, const char *arg)
{
    size_t n = strcspn(arg + 2, "=");
    for (size_t i = 0; i < cmd->n_param; i++) {
        if (strlen(cmd->params[i].name) == n && memcmp(cmd->params[i].name, arg + 2, n) == 0) return true;
    }
    return false;
}

static int own_arguments(const struct options *o, const struct command *cmd, int n_word, char **argv)
{
    int n = 0;
    for (int i = 0; i < o->n_global; i++) {
        bool has_value = !strchr(o->global[i], '=') && i + 1 < o->n_global && !str_starts(o->global[i + 1], "--");
        if (command_has(cmd, o->global[i])) {
            argv[n++] = o->global[i];
            if (has_value) argv[n++] = o->global[i + 1];
        }
        i += has_value;
    }
    for (int i = n_word; i < o->n_rest; i++) argv[n++] = o->rest[i];
    return n;
}

static int run_command(const struct options *o, const struct command *cmd, int n_word, struct err *e)
{
    struct param_set *args = param_set_new(cmd->params, cmd->n_param);
    param_set_suggest(args, global_params, n_global_params);
    char **argv = mem_alloc((size_t)(o->n_global + o->n_rest + 1) * sizeof *argv);
    int argc = own_arguments(o, cmd, n_word, argv);
    int rc = param_set_args(args, argc, argv, e);
    if (rc == 0) rc = param_set_check(args, e);
    if (rc == 0 && !(cmd->flags & COMMAND_NO_HOME)) rc = options_make_home(o, e);
    if (rc == 0) rc = cmd->run(&o->cli, args, e);
    mem_free(argv);
    param_set_free(args);
    return rc;
}

/* The command of a line with --help, which may hold its arguments and options too. */
static int words_before_options(const struct options *o)
{
    int n = 0;
    while (n < o->n_rest && o->rest[n][0] != '-') n++;
    return n;
}

static int dispatch(const struct options *o, const struct command **cmd, struct err *e)
{
    int n_word;
    if (o->version) return cmd_version.run(&o->cli, NULL, e);
    if (o->help) return help_print(&o->cli, words_before_options(o), o->rest, true, e);
    int rc = command_find(o->n_rest, o->rest, cmd, &n_word, e);
    return rc ? rc : run_command(o, *cmd, n_word, e);
}

/* Behind a pipe or socket nobody reads any more. Asked for, since an earlier write that failed leaves no errno. */
static bool reader_left(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

/* A full disk behind stdout is a failure; a reader that left (head) has what it wanted. */
static int check_stdout(int status, enum lang lang)
{
    errno = 0;
    bool bad = fflush(stdout) || ferror(stdout);
    if (!bad || errno == EPIPE || reader_left()) return status;
    char msg[256];
    snprintf(msg, sizeof msg, "cannot write standard output: %s", errno ? strerror(errno) : "an earlier write failed");
    cli_print_message(lang, "tailor: ", "错误：", msg);
    return status == EXIT_OK ? EXIT_FAILED : status;
}

int main(int argc, char **argv)
{
    struct options o;
    struct err e = {0};
    const struct command *cmd = NULL;
    cli_signals_init();
    int rc = options_split(&o, argc > 0 ? argc - 1 : 0, argv + 1, &e);
    if (rc == 0) rc = options_resolve(&o, &e);
    if (rc == 0) rc = dispatch(&o, &cmd, &e);
    int status = rc < 0 ? report(&e, rc, wants_json(argc, argv), o.cli.lang, cmd) : rc;
    enum lang lang = o.cli.lang;
    options_deinit(&o);
    return check_stdout(status, lang);
}
