/* The options of every command, and where their values come from: command line over TAILOR_* over config.yaml in the
 * home over defaults. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "doors/cli/cli.h"

/* The table of these options. */
extern const struct param global_params[];
extern const size_t n_global_params;

/* The command line taken apart. argv's strings are borrowed. */
struct options {
    struct cli cli;
    char *home;            /* what cli.home points at */
    struct param_set *set; /* values of global_params */
    char **global, **rest; /* arguments that are options of the table with their values; all others, in order */
    int n_global, n_rest;
    bool help, version; /* --help, -h; --version */
};

/* Split argv (without the program's name) into global options and the rest. */
int options_split(struct options *o, int argc, char *const *argv, struct err *e) MUST_CHECK;
/* Resolve o->cli from what was split, the environment and config.yaml. */
int options_resolve(struct options *o, struct err *e) MUST_CHECK;
/* The precision of a name of the table: "auto", "deterministic" or "reference". */
enum precision options_precision(const char *name);
/* Create the home directory when it is not there. */
int options_make_home(const struct options *o, struct err *e) MUST_CHECK;
/* Free all of it; fine after a failure of the functions above. */
void options_deinit(struct options *o);

#endif
