/* What commands share: the printed result, the device, the interrupt. Owns the interrupt flag, the one thing a signal
 * handler can reach. */
#include "doors/cli/cli.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "doors/cli/signals.h"
#include "ground/base/buf.h"
#include "ground/json/json.h"

enum { RESULT_MAX_BYTES = 1 << 30 };

static atomic_int interrupted; /* the exception to "no mutable globals": signal handlers have no argument */

static void on_signal(int number)
{
    atomic_store(&interrupted, number);
}

/* SA_RESETHAND: the second ^C ends a program that does not come to look. No SA_RESTART: reads wake up. SIGPIPE is
 * ignored: a reader that leaves is an error of write(2). */
void cli_signals_init(void)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool cli_interrupted(void)
{
    return atomic_load(&interrupted) != 0;
}

void cli_print_json(json_t *object)
{
    struct buf text;
    buf_init(&text, RESULT_MAX_BYTES);
    if (!object || json_format(object, JSON_LINE, &text)) {
        fputs("{\"error\":{\"code\":\"out_of_memory\",\"message\":\"cannot print the result: out of memory\","
              "\"object\":\"\"}}\n",
              stdout);
        exit(EXIT_FAILED);
    }
    fwrite(text.data, 1, text.len, stdout); /* main() looks at the state of stdout */
    fputc('\n', stdout);
    fflush(stdout);
    buf_deinit(&text);
    json_decref(object);
}

int cli_device(const struct cli *c, struct dev **out, struct err *e)
{
    const struct dev_options opt = {.n_thread = c->threads, .precision = c->precision, .isa = c->isa};
    int rc = dev_cpu_new(out, &opt, e);
    if (!rc) dev_memory_limit(*out, c->memory_bytes);
    if (!rc) dev_kv_use(*out, c->kv_type);
    return rc;
}
