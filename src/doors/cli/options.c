/* Resolving the options of every command. Owns their values and the home's path. Reads the environment, which no other
 * file of the program does. What always holds: an option that cannot be honoured is an error that names its source. */
#include "doors/cli/options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/log.h"
#include "ground/base/mem.h"
#include "ground/base/pool.h"
#include "ground/base/str.h"

/* clang-format off */
const struct param global_params[] = {
    {.name = "home", .type = PARAM_STRING, .metavar = "DIR",
     .help_en = "where models, runs and config.yaml are (TAILOR_HOME; ~/.local/share/tailor)",
     .help_zh = "模型、运行记录和 config.yaml 所在目录（TAILOR_HOME；~/.local/share/tailor）"},
    {.name = "lang", .type = PARAM_CHOICE, .choices = "en|zh",
     .help_en = "language of help, messages and reports (TAILOR_LANG; the locale)",
     .help_zh = "帮助、提示与报告的语言（TAILOR_LANG；系统区域设置）"},
    {.name = "threads", .type = PARAM_INT, .min = 1, .max = 1024,
     .help_en = "compute threads (TAILOR_THREADS; the CPUs this process may use)",
     .help_zh = "计算线程数（TAILOR_THREADS；本进程可用的 CPU 数）"},
    {.name = "memory", .type = PARAM_STRING, .metavar = "SIZE", .initial = "auto",
     .help_en = "memory that the program may take (8GB); auto: what is free; none: it does not look (TAILOR_MEMORY)",
     .help_zh = "允许使用的内存，如“8GB”；auto：当前可用内存；none：不检查（TAILOR_MEMORY）"},
    {.name = "precision", .type = PARAM_CHOICE, .choices = "auto|deterministic|reference", .initial = "auto",
     .help_en = "auto: the fastest; deterministic: the same bits for any threads and batch; reference: the same bits on "
                "every machine (TAILOR_PRECISION)",
     .help_zh = "auto：最快；deterministic：结果与线程数和批次无关，逐位相同；reference：在任何机器上逐位相同"
                "（TAILOR_PRECISION）"},
    {.name = "kv_type", .type = PARAM_CHOICE, .choices = "f16|q8_0", .initial = "f16",
     .help_en = "how serving keeps keys and values: q8_0 takes about half the memory; not with precision reference "
                "(TAILOR_KV_TYPE)",
     .help_zh = "推理时 KV 缓存的格式：q8_0 约占一半内存；不能与 precision reference 同用（TAILOR_KV_TYPE）"},
    {.name = "packed_cache", .type = PARAM_CHOICE, .choices = "off|use|write", .initial = "use",
     .help_en = "packed models of `tailor cache`: use those that are there, write those that are not, or neither "
                "(TAILOR_PACKED_CACHE)",
     .help_zh = "`tailor cache` 的打包模型：use 使用已有的；write 没有时写入；off 都不（TAILOR_PACKED_CACHE）"},
    {.name = "log_level", .type = PARAM_CHOICE, .choices = "error|warn|info|debug", .initial = "warn",
     .help_en = "what is logged on stderr (TAILOR_LOG_LEVEL)", .help_zh = "输出到 stderr 的日志级别（TAILOR_LOG_LEVEL）"},
    {.name = "isa", .type = PARAM_CHOICE, .choices = "scalar|avx2|avx512|amx",
     .help_en = "highest instruction set to use (TAILOR_ISA; what the machine has)",
     .help_zh = "允许使用的最高指令集（TAILOR_ISA；本机所支持的）"},
    {.name = "json", .type = PARAM_BOOL, .initial = "false",
     .help_en = "the result as one JSON object on stdout", .help_zh = "结果以一个 JSON 对象输出到 stdout"},

    /* from here on: no options of every command, but what config.yaml and the environment say for those that have them */
    {.name = "hf_endpoint", .type = PARAM_STRING, .initial = "https://huggingface.co"},
    {.name = "ms_endpoint", .type = PARAM_STRING, .initial = "https://modelscope.cn"},
    {.name = "hf_token_file", .type = PARAM_STRING},
    {.name = "ms_token_file", .type = PARAM_STRING},
    {.name = "ca_file", .type = PARAM_STRING},
    {.name = "hf_token", .type = PARAM_STRING},
    {.name = "ms_token", .type = PARAM_STRING},
};
/* clang-format on */
enum { N_SETTINGS = 7 };
const size_t n_global_params = N_ELEM(global_params) - N_SETTINGS;

static const struct {
    const char *variable, *name;
} environment[] = {
    {"TAILOR_LANG", "lang"},
    {"TAILOR_THREADS", "threads"},
    {"TAILOR_MEMORY", "memory"},
    {"TAILOR_PACKED_CACHE", "packed_cache"},
    {"TAILOR_KV_TYPE", "kv_type"},
    {"TAILOR_PRECISION", "precision"},
    {"TAILOR_LOG_LEVEL", "log_level"},
    {"TAILOR_ISA", "isa"},
    /* names that others gave; ours go before them */
    {"HF_ENDPOINT", "hf_endpoint"},
    {"TAILOR_HF_ENDPOINT", "hf_endpoint"},
    {"TAILOR_MS_ENDPOINT", "ms_endpoint"},
    {"TAILOR_CA_FILE", "ca_file"},
    {"TAILOR_HF_TOKEN_FILE", "hf_token_file"},
    {"TAILOR_MS_TOKEN_FILE", "ms_token_file"},
    {"HF_TOKEN", "hf_token"},
    {"MODELSCOPE_API_TOKEN", "ms_token"},
};

/* --- the language --- */

static enum lang locale_lang(void)
{
    static const char *const variable[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < N_ELEM(variable); i++) {
        const char *value = getenv(variable[i]);
        if (value && *value) /* the first one that is set decides */
            return str_starts(value, "zh") ? LANG_ZH : LANG_EN;
    }
    return LANG_EN;
}

static enum lang lang_of(const char *name)
{
    return str_eq(name, "zh") ? LANG_ZH : str_eq(name, "en") ? LANG_EN : locale_lang();
}

/* The language before the options are resolved, for errors about them: the line, the environment, the locale. */
static enum lang early_lang(const struct options *o)
{
    const char *name = getenv("TAILOR_LANG");
    for (int i = 0; i < o->n_global; i++) {
        if (str_starts(o->global[i], "--lang=")) name = o->global[i] + strlen("--lang=");
        if (str_eq(o->global[i], "--lang") && i + 1 < o->n_global) name = o->global[i + 1];
    }
    return lang_of(name);
}

/* --- splitting --- */

/* The parameter that "--name" or "--name=value" (or --no-name) is, or NULL. */
static const struct param *find_global(const char *arg)
{
    const char *name = arg + 2;
    size_t n = strcspn(name, "=");
    for (size_t i = 0; i < n_global_params; i++) {
        const struct param *p = &global_params[i];
        bool negated = p->type == PARAM_BOOL && str_starts(name, "no-");
        const char *at = negated ? name + 3 : name;
        size_t len = negated ? n - 3 : n, k = 0;
        while (k < len && p->name[k] && (at[k] == p->name[k] || (at[k] == '-' && p->name[k] == '_'))) k++;
        if (k == len && !p->name[k]) return p;
    }
    return NULL;
}

/* Handles one argument; returns how many were used. */
static int split_one(struct options *o, int n_left, char *const *argv)
{
    char *arg = argv[0];
    if (str_eq(arg, "--help") || str_eq(arg, "-h")) {
        o->help = true;
        return 1;
    }
    if (str_eq(arg, "--version") && o->n_rest == 0) {
        o->version = true;
        return 1;
    }
    const struct param *p = str_starts(arg, "--") ? find_global(arg) : NULL;
    if (!p) {
        o->rest[o->n_rest++] = arg;
        return 1;
    }
    o->global[o->n_global++] = arg;
    if (p->type == PARAM_BOOL || strchr(arg, '=') || n_left < 2) return 1;
    o->global[o->n_global++] = argv[1];
    return 2;
}

int options_split(struct options *o, int argc, char *const *argv, struct err *e)
{
    *o = (struct options){.set = param_set_new(global_params, N_ELEM(global_params))};
    o->global = mem_alloc((size_t)(argc + 1) * sizeof *o->global);
    o->rest = mem_alloc((size_t)(argc + 1) * sizeof *o->rest);
    int i = 0;
    while (i < argc && !str_eq(argv[i], "--")) i += split_one(o, argc - i, argv + i);
    for (; i < argc; i++) o->rest[o->n_rest++] = argv[i];
    o->cli.lang = early_lang(o);
    if (o->n_rest && o->rest[0][0] == '-') { /* an option before the command that none of ours is */
        struct err unknown = {0};
        int rc = param_set_args(o->set, 1, o->rest, &unknown);
        return err_set(e, ERR_USAGE, o->rest[0], "%s", rc ? unknown.msg : "cannot run: a command is missing");
    }
    return 0;
}

/* --- resolving --- */

static char *default_home(void)
{
    const char *data = getenv("XDG_DATA_HOME"), *user = getenv("HOME");
    if (data && data[0] == '/') /* the XDG specification: relative ones are to be ignored */
        return path_join(data, "tailor");
    if (!user || !*user) return NULL;
    char *share = path_join(user, ".local/share/tailor");
    return share;
}

static int find_home(struct options *o, struct err *e)
{
    struct param_set *line = param_set_new(global_params, N_ELEM(global_params));
    int rc = param_set_args(line, o->n_global, o->global, e);
    const char *given = rc ? NULL : param_str(line, "home"), *variable = getenv("TAILOR_HOME");
    if (given)
        o->home = mem_strdup(given);
    else if (variable && *variable)
        o->home = mem_strdup(variable);
    else
        o->home = default_home();
    param_set_free(line);
    return rc;
}

static int read_config(struct options *o, struct err *e)
{
    if (!o->home) return 0;
    char *path = path_join(o->home, "config.yaml");
    int rc = file_exists(path) ? param_set_yaml(o->set, path, e) : 0;
    if (rc == 0 && (param_is_set(o->set, "home") || param_is_set(o->set, "json")))
        rc =
            err_set(e, ERR_INPUT, path, "cannot read \"%s\": home and json are options of the command line only", path);
    if (rc == 0 && (param_is_set(o->set, "hf_token") || param_is_set(o->set, "ms_token")))
        rc = err_set(
            e, ERR_INPUT, path,
            "cannot read \"%s\": a token does not belong there; hf_token_file and ms_token_file name a file with one",
            path);
    mem_free(path);
    return rc;
}

static int read_environment(struct options *o, struct err *e)
{
    for (size_t i = 0; i < N_ELEM(environment); i++) {
        const char *value = getenv(environment[i].variable);
        int rc = value && *value ? param_set_text(o->set, environment[i].name, value, e) : 0;
        if (rc) return err_wrap(e, rc, "cannot use the environment variable %s", environment[i].variable);
    }
    return 0;
}

enum precision options_precision(const char *name)
{
    if (str_eq(name, "reference")) return PRECISION_REFERENCE;
    return str_eq(name, "deterministic") ? PRECISION_DETERMINISTIC : PRECISION_AUTO;
}

static enum packed_cache packed_cache_of(const char *name)
{
    if (str_eq(name, "off")) return PACKED_CACHE_OFF;
    return str_eq(name, "write") ? PACKED_CACHE_WRITE : PACKED_CACHE_USE;
}

static enum log_level log_level_of(const char *name)
{
    if (str_eq(name, "error")) return LOG_ERROR;
    if (str_eq(name, "warn")) return LOG_WARN;
    return str_eq(name, "info") ? LOG_INFO : LOG_DEBUG;
}

/* The option limits; a machine with less uses what it has and says so. */
static int resolve_isa(struct options *o, struct err *e)
{
    enum kern_isa found = kern_isa_detect(), limit = found;
    const char *name = param_str(o->set, "isa");
    int rc = name ? kern_isa_parse(name, &limit, e) : 0;
    if (rc == 0 && limit > found)
        log_warn("cannot use instruction set %s: this machine has %s at most, which is used", name,
                 kern_isa_name(found));
    o->cli.isa = limit < found ? limit : found;
    return rc;
}

static int resolve_memory(struct options *o, struct err *e)
{
    const char *text = param_str(o->set, "memory");
    bool given = !str_eq(text, "auto") && !str_eq(text, "none");
    o->cli.memory_bytes = str_eq(text, "none") ? UINT64_MAX : 0;
    if (!given || (str_to_bytes(text, &o->cli.memory_bytes) && o->cli.memory_bytes > 0)) return 0;
    return err_set(e, ERR_USAGE, "memory",
                   "cannot set \"--memory\" to \"%s\": a size (8GB, 512MB), auto or none is needed", text);
}

int options_resolve(struct options *o, struct err *e)
{
    int rc = find_home(o, e);
    if (rc == 0) rc = read_config(o, e);
    if (rc == 0) rc = read_environment(o, e);
    if (rc == 0) rc = param_set_args(o->set, o->n_global, o->global, e);
    if (rc) return rc;
    bool json = param_bool(o->set, "json");
    log_init(log_level_of(param_str(o->set, "log_level")), json);
    o->cli = (struct cli){
        .home = o->home,
        .lang = lang_of(param_str(o->set, "lang")),
        .threads = param_is_set(o->set, "threads") ? (int)param_int(o->set, "threads") : pool_cpus_available(),
        .precision = options_precision(param_str(o->set, "precision")),
        .kv_type = str_eq(param_str(o->set, "kv_type"), "q8_0") ? DEV_KV_Q8_0 : DEV_KV_F16,
        .packed_cache = packed_cache_of(param_str(o->set, "packed_cache")),
        .json = json,
        .settings = o->set,
        .stderr_is_tty = isatty(STDERR_FILENO) == 1,
    };
    if (o->cli.kv_type == DEV_KV_Q8_0 && o->cli.precision == PRECISION_REFERENCE)
        return err_set(e, ERR_USAGE, "kv_type",
                       "cannot use kv_type q8_0 with precision reference: keys and values are float32 there");
    rc = resolve_memory(o, e);
    return rc ? rc : resolve_isa(o, e);
}

int options_make_home(const struct options *o, struct err *e)
{
    if (!o->home || !*o->home)
        return err_set(e, ERR_USAGE, "home", "cannot find the home directory: --home, TAILOR_HOME or HOME is needed");
    if (file_exists(o->home) && !file_is_dir(o->home))
        return err_set(e, ERR_USAGE, o->home, "cannot use the home \"%s\": it is a file, a directory is needed",
                       o->home);
    return file_mkdirs(o->home, e);
}

void options_deinit(struct options *o)
{
    param_set_free(o->set);
    mem_free(o->global);
    mem_free(o->rest);
    mem_free(o->home);
    *o = (struct options){0};
}
