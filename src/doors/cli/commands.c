/* The table of commands, in the order of help. A new command is its file, its line in the list of declarations and its
 * line in the table. */
#include "doors/cli/cli.h"

extern const struct command cmd_logits, cmd_generate, cmd_chat, cmd_perplexity;
extern const struct command cmd_inspect, cmd_make_model, cmd_quantize, cmd_imatrix;
extern const struct command cmd_tokenize, cmd_detokenize, cmd_template;
extern const struct command cmd_bench, cmd_serve;
extern const struct command cmd_tune;
extern const struct command cmd_import, cmd_data_import, cmd_data_list, cmd_data_show, cmd_models_list, cmd_models_show;
extern const struct command cmd_eval, cmd_compare, cmd_report, cmd_plan, cmd_runs_list, cmd_runs_show;
extern const struct command cmd_completion, cmd_help, cmd_version;

const struct command *const commands[] = {
    &cmd_inspect,   &cmd_make_model, &cmd_tokenize,    &cmd_detokenize,  &cmd_template,    &cmd_logits,
    &cmd_generate,  &cmd_chat,       &cmd_perplexity,  &cmd_quantize,    &cmd_imatrix,     &cmd_bench,
    &cmd_tune,      &cmd_import,     &cmd_models_list, &cmd_models_show, &cmd_data_import, &cmd_data_list,
    &cmd_data_show, &cmd_eval,       &cmd_compare,     &cmd_report,      &cmd_plan,        &cmd_runs_list,
    &cmd_runs_show, &cmd_serve,      &cmd_version,     &cmd_help,        &cmd_completion,  NULL,
};
