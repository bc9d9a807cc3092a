/* Commands: what main() knows of them. A command is one file cmd_NAME.c that fills a struct command; the table in
 * commands.c lists them. run() parses nothing: it reads the values, calls functions of modules, prints. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>

#include "compute/device/device.h"
#include "ground/base/err.h"
#include "ground/param/param.h"

/* Packed files of models in the home: not looked at, used where they are, written where they are not. */
enum packed_cache { PACKED_CACHE_OFF, PACKED_CACHE_USE, PACKED_CACHE_WRITE };

/* The options of every command, resolved: command line over TAILOR_* over config.yaml over defaults. */
struct cli {
    const char *home; /* directory, exists (but for COMMAND_NO_HOME) */
    enum lang lang;
    int threads;           /* >= 1 */
    uint64_t memory_bytes; /* as dev_memory_limit takes it */
    enum packed_cache packed_cache;
    enum precision precision;
    enum dev_kv_type kv_type;
    enum kern_isa isa; /* what the machine has, at most TAILOR_ISA */
    bool json;
    bool stderr_is_tty;
    /* What config.yaml and the environment say for options that only some commands have (hf_endpoint ...); the
     * command's own option of that name goes before it. */
    const struct param_set *settings;
};

/* Exit statuses of interface.md. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_VERDICT_FAIL = 3,
    EXIT_INCONCLUSIVE = 4,
    EXIT_INTERRUPTED = 130
};

enum { COMMAND_NO_HOME = 1 }; /* works without a home directory, which is then not created */

struct command {
    const char *name; /* one word, or two: "data import" */
    unsigned flags;
    const char *summary_en, *summary_zh;
    const char *usage; /* "MODEL (--text S | --file F) [--raw]" */
    const char *example;
    const struct param *params;
    size_t n_param;
    /* Returns an exit status >= 0, or -ERR_* with *e set (printed once by main, mapped to an exit status). */
    int (*run)(const struct cli *c, const struct param_set *args, struct err *e);
};

extern const struct command *const commands[]; /* NULL-terminated, in the order of help */

/* A heading of `tailor help`: it stands before the command called `first`. */
struct command_section {
    const char *first, *title_en, *title_zh;
};
extern const struct command_section command_sections[]; /* ends with first NULL */

/* The first word of two-word commands, and what it is about. */
struct command_group {
    const char *name, *summary_en, *summary_zh;
};
extern const struct command_group command_groups[]; /* ends with name NULL */

/* The one result of a command: with --json the object on one line; takes the reference. Ends the program when the
 * object is NULL (out of memory while it was made). */
void cli_print_json(json_t *object);
/* MODEL of a command: a path as it is, else a registry name name[:version|@alias] resolved to a path (mem_free). */
int cli_model_path(const struct cli *c, const char *model, char **path, struct err *e) MUST_CHECK;
/* MODEL as something that means the same from any directory and later: an absolute path, or name:version (mem_free). */
int cli_model_pin(const struct cli *c, const char *model, char **pinned, struct err *e) MUST_CHECK;
/* A device of this process by the options. */
int cli_device(const struct cli *c, struct dev **out, struct err *e) MUST_CHECK;
/* The build, as `tailor version` says it. */
const char *cli_version(void);
/* Set by SIGINT/SIGTERM: long work looks at it between steps and returns -ERR_INTERRUPTED. */
bool cli_interrupted(void);
/* Text in the language of this run. */
#define cli_text(c, en, zh) ((c)->lang == LANG_ZH ? (zh) : (en))

#endif
