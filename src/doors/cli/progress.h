/* Progress of long work on stderr: one line that is rewritten, with rate and time left, where stderr is a terminal;
 * a plain line about every ten seconds elsewhere. Nothing at all when the work is done sooner. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "doors/cli/cli.h"

struct progress {
    const struct cli *cli;
    const char *what, *unit;
    double first, total;
    double begin_s, shown_s;
    bool on_line; /* the terminal's line is ours */
};

/* what: "tuning"; unit: "steps"; first of total are done already (a resumed run), total 0: not known.
 * The texts are borrowed until progress_end. */
void progress_begin(struct progress *p, const struct cli *c, const char *what, const char *unit, double first,
                    double total);
/* done of total, counted as `first` was; note is put behind ("loss 1.23"), may be NULL. Cheap: call it every step. */
void progress_update(struct progress *p, double done, const char *note);
/* Clears the line of a terminal. */
void progress_end(struct progress *p);

#endif
