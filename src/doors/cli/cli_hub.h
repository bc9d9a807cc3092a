/* What pull and import share: how they tell of their progress and of their result. */
#ifndef CLI_CLI_HUB_H
#define CLI_CLI_HUB_H

#include "doors/cli/progress.h"
#include "govern/registry/registry.h"
#include "lifecycle/hub/net.h"

/* Options whose callbacks print for this command. Stays where it is until the end. */
struct cli_hub {
    struct hub_options options;
    const struct cli *cli;
    struct progress progress;
    bool has_begun;
};
/* Fill in the callbacks; everything else is 0. */
void cli_hub_begin(struct cli_hub *h, const struct cli *c);
/* Clear the progress line. */
void cli_hub_end(struct cli_hub *h);
/* The result on stdout, for people or as JSON. */
void cli_hub_print(const struct cli *c, const struct registered *r);

#endif
