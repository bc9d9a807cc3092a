/* The progress line. Owns the last line of the terminal between two calls. What always holds: it writes to stderr only,
 * at most ten times a second on a terminal and every ten seconds elsewhere. */
#include "doors/cli/progress.h"

#include <math.h>
#include <stdio.h>

#include "ground/base/clock.h"

static const double TTY_EVERY_S = 0.1, PLAIN_EVERY_S = 10.0;

void progress_begin(struct progress *p, const struct cli *c, const char *what, const char *unit, double first,
                    double total)
{
    double now = clock_s();
    *p = (struct progress){
        .cli = c, .what = what, .unit = unit, .first = first, .total = total, .begin_s = now, .shown_s = now};
}

static void format_left(const struct cli *c, double left_s, char *out, size_t size)
{
    int s = (int)fmin(ceil(left_s), 359999.0);
    const char *word = cli_text(c, ", left ", "，剩余 ");
    if (s >= 3600)
        snprintf(out, size, "%s%d:%02d:%02d", word, s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%s%d:%02d", word, s / 60, s % 60);
}

static void format_line(const struct progress *p, double done, double now, char *out, size_t size)
{
    char left[64] = "", total[64] = "", percent[32] = "";
    double elapsed = now - p->begin_s, rate = elapsed > 0 ? (done - p->first) / elapsed : 0;
    if (p->total > 0) {
        snprintf(total, sizeof total, "/%.0f", p->total);
        snprintf(percent, sizeof percent, " %.0f%%", 100 * fmin(done / p->total, 1));
    }
    if (p->total > done && rate > 0) format_left(p->cli, (p->total - done) / rate, left, sizeof left);
    snprintf(out, size, cli_text(p->cli, "%s%s: %.0f%s %s, %.3g %s/s%s", "%s%s：%.0f%s %s，%.3g %s/秒%s"), p->what,
             percent, done, total, p->unit, rate, p->unit, left);
}

void progress_update(struct progress *p, double done, const char *note)
{
    bool tty = p->cli->stderr_is_tty;
    double now = clock_s();
    if (now - p->shown_s < (tty ? TTY_EVERY_S : PLAIN_EVERY_S)) return;
    char line[256];
    p->shown_s = now;
    format_line(p, done, now, line, sizeof line);
    fprintf(stderr, "%s%s%s%s%s", tty ? "\r" : "", line, note ? cli_text(p->cli, ", ", "，") : "", note ? note : "",
            tty ? "\033[K" : "\n");
    fflush(stderr);
    p->on_line = tty;
}

void progress_end(struct progress *p)
{
    if (p->on_line) fputs("\r\033[K", stderr);
    fflush(stderr);
    p->on_line = false;
}
