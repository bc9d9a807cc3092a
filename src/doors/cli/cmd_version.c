/* `tailor version`: the build, and the instruction sets found and used. */
#include <stdio.h>

#include "doors/cli/cli.h"
#include "ground/sys/machine.h"

#ifndef TAILOR_VERSION
#define TAILOR_VERSION "unknown"
#endif
#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

extern const struct command cmd_version;

const char *cli_version(void)
{
    return TAILOR_VERSION;
}

static json_t *isa_list(enum kern_isa highest)
{
    json_t *list = json_array();
    for (int i = KERN_SCALAR; i <= (int)highest; i++)
        json_array_append_new(list, json_string(kern_isa_name((enum kern_isa)i)));
    return list;
}

static void print_text(const struct cli *c, enum kern_isa found, const struct machine *m)
{
    printf("tailor %s (%s)\n", TAILOR_VERSION, COMPILER);
    printf("%s%s\n", cli_text(c, "processor: ", "处理器："), m->cpu_name);
    printf("%s", cli_text(c, "instruction sets found: ", "支持的指令集："));
    for (int i = KERN_SCALAR; i <= (int)found; i++)
        printf("%s%s", i == KERN_SCALAR ? "" : " ", kern_isa_name((enum kern_isa)i));
    printf("\n%s%s\n", cli_text(c, "instruction set used: ", "使用的指令集："), kern_isa_name(c->isa));
    printf("%s%d\n", cli_text(c, "threads: ", "线程数："), c->threads);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    (void)args, (void)e;
    struct machine m;
    machine_describe(&m);
    enum kern_isa found = kern_isa_detect();
    if (c->json)
        cli_print_json(json_pack("{ss,ss,ss,so,ss,si}", "version", TAILOR_VERSION, "compiler", COMPILER, "cpu",
                                 m.cpu_name, "isa_found", isa_list(found), "isa", kern_isa_name(c->isa), "threads",
                                 c->threads));
    else
        print_text(c, found, &m);
    return EXIT_OK;
}

const struct command cmd_version = {
    .name = "version",
    .flags = COMMAND_NO_HOME,
    .summary_en = "the build and the instruction sets found and used",
    .summary_zh = "版本信息，以及本机支持和使用的指令集",
    .usage = "",
    .example = "tailor version --json",
    .run = run,
};
