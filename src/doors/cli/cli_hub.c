/* Progress and results of getting models. Owns nothing. */
#include "doors/cli/cli_hub.h"

#include <stdio.h>

#include "doors/cli/message_zh.h"
#include "ground/base/str.h"

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
    struct cli_hub *h = arg;
    const double mb = 1e6;
    if (!h->has_begun)
        progress_begin(&h->progress, h->cli, cli_text(h->cli, "downloading", "下载"), "MB", (double)done / mb,
                       (double)total / mb);
    h->has_begun = true;
    progress_update(&h->progress, (double)done / mb, NULL);
}

static void show_note(void *arg, const char *text)
{
    const struct cli_hub *h = arg;
    cli_print_message(h->cli->lang, "", "", text);
}

static bool is_cancelled(void *arg)
{
    (void)arg;
    return cli_interrupted();
}

void cli_hub_begin(struct cli_hub *h, const struct cli *c)
{
    *h = (struct cli_hub){.cli = c};
    h->options =
        (struct hub_options){.progress = show_progress, .note = show_note, .is_cancelled = is_cancelled, .arg = h};
}

void cli_hub_end(struct cli_hub *h)
{
    if (h->has_begun) progress_end(&h->progress);
}

void cli_hub_print(const struct cli *c, const struct registered *r)
{
    char size[32];
    if (c->json) {
        cli_print_json(json_pack("{s:s,s:s,s:I,s:i,s:b,s:i}", "name", r->name, "digest", r->digest, "bytes",
                                 (json_int_t)r->bytes, "version", r->version, "added", r->added, "newest", r->newest));
        return;
    }
    str_format_bytes(r->bytes, size, sizeof size);
    printf("%s:%d  %s  sha256:%.12s%s\n", r->name, r->version, size, r->digest,
           r->added ? "" : cli_text(c, "  (was there already)", "（已存在）"));
    if (r->newest != r->version)
        printf(cli_text(c, "\"%s\" goes on to mean version %d, the newest\n", "“%s”仍指最新的版本 %d\n"), r->name,
               r->newest);
}
