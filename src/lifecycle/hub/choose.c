/* Choosing files. Owns the list of the choice. What always holds: a split is chosen whole or not at all; picture
 * projectors and importance matrices, which are GGUF files too, are never taken for the model. */
#include "lifecycle/hub/choose.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ground/base/buf.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { MAX_PARTS = 4096, LIST_BYTES = 220 };
static const char split_tail[] = "-00001-of-00003.gguf";

int hub_split_parts(const char *name, int *part, size_t *n_stem)
{
    size_t n = strlen(name), tail = strlen(split_tail);
    int of = 0, used = 0;
    *part = 1;
    *n_stem = str_ends(name, ".gguf") ? n - strlen(".gguf") : n;
    if (n <= tail || !str_ends(name, ".gguf")) return 1;
    int number = 0;
    if (sscanf(name + n - tail, "-%5d-of-%5d.gguf%n", &number, &of, &used) != 2 || (size_t)used != tail || number < 1 ||
        of < 1 || number > of)
        return 1;
    *part = number;
    *n_stem = n - tail;
    return of;
}

void hub_choice_deinit(struct hub_choice *c)
{
    mem_free(c->file);
    *c = (struct hub_choice){.n = 0};
}

static void add(struct hub_choice *c, const struct hub_file *f)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->file[i] == f) return;
    c->file[c->n++] = f;
}

static bool has_word(const char *text, const char *word)
{
    return strcasestr(text, word) != NULL;
}

/* A GGUF that may be a model, and the first of its parts. */
static bool is_candidate(const struct hub_file *f)
{
    int part;
    size_t n_stem;
    const char *base = path_base(f->path);
    if (!str_ends(base, ".gguf") || has_word(base, "mmproj") || has_word(base, "imatrix")) return false;
    (void)hub_split_parts(base, &part, &n_stem);
    return part == 1;
}

/* All parts of the split that f is the first of. */
static int add_parts(struct hub_choice *c, const struct hub_listing *l, const struct hub_file *f, const char *source,
                     struct err *e)
{
    int part;
    size_t n_stem;
    char path[1100];
    int of = hub_split_parts(f->path, &part, &n_stem);
    if (of > MAX_PARTS)
        return err_set(e, ERR_LIMIT, source, "cannot pull \"%s\": %d parts, at most %d", source, of, (int)MAX_PARTS);
    if (of == 1) {
        add(c, f);
        return 0;
    }
    for (int i = 1; i <= of; i++) {
        snprintf(path, sizeof path, "%.*s-%05d-of-%05d.gguf", (int)n_stem, f->path, i, of);
        const struct hub_file *p = hub_listing_find(l, path);
        if (!p)
            return err_set(e, ERR_INPUT, source, "cannot pull \"%s\": part %d of %d is missing there (\"%.100s\")",
                           source, i, of, path);
        add(c, p);
    }
    return 0;
}

/* --- saying what there is --- */

static uint64_t set_bytes(const struct hub_listing *l, const struct hub_file *f)
{
    struct hub_choice c = {.file = mem_alloc((l->n + 1) * sizeof *c.file)};
    uint64_t sum = 0;
    if (add_parts(&c, l, f, "", NULL) == 0)
        for (size_t i = 0; i < c.n; i++) sum += c.file[i]->size == UINT64_MAX ? 0 : c.file[i]->size;
    hub_choice_deinit(&c);
    return sum;
}

/* "a.gguf (1.2 GB), b.gguf (2 GB)", cut where a message ends. want: NULL or the quantization to match. */
static void list_candidates(const struct hub_listing *l, const char *want, bool (*matches)(const char *, const char *),
                            char *out, size_t size)
{
    size_t len = 0, left = 0;
    out[0] = '\0';
    for (size_t i = 0; i < l->n; i++) {
        char bytes[32], item[300];
        if (!is_candidate(&l->file[i]) || (want && !matches(l->file[i].path, want))) continue;
        str_format_bytes(set_bytes(l, &l->file[i]), bytes, sizeof bytes);
        int n = snprintf(item, sizeof item, "%s%.200s (%s)", len ? ", " : "", l->file[i].path, bytes);
        if (len + (size_t)n + 20 > size) {
            left++;
            continue;
        }
        memcpy(out + len, item, (size_t)n + 1);
        len += (size_t)n;
    }
    if (left) snprintf(out + len, size - len, ", and %zu more", left);
}

/* --- by quantization --- */

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "x-Q4_K_M.gguf" and "Q4_K_M/x.gguf" are of Q4_K_M, "x-Q4_K_M.gguf" is not of Q4_K. */
static bool is_quantization(const char *path, const char *want)
{
    size_t n = strlen(want);
    for (const char *at = path; (at = strcasestr(at, want)); at++) {
        bool left = at == path || !isalnum((unsigned char)at[-1]);
        if (left && !is_word_char(at[n])) return true;
    }
    return false;
}

static int choose_quantization(struct hub_choice *c, const struct hub_listing *l, const char *source, const char *want,
                               struct err *e)
{
    const struct hub_file *found = NULL;
    char list[LIST_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (!is_candidate(&l->file[i]) || !is_quantization(l->file[i].path, want)) continue;
        found = &l->file[i];
        n++;
    }
    if (n == 1) return add_parts(c, l, found, source, e);
    list_candidates(l, n ? want : NULL, is_quantization, list, sizeof list);
    if (n)
        return err_set(e, ERR_USAGE, source, "cannot pull \"%s\": %zu files are of \"%s\", one must be named: %s",
                       source, n, want, list);
    return err_set(e, ERR_NOT_FOUND, source,
                   "cannot pull \"%s\": it has no file or quantization \"%s\"; GGUF files are: %s", source, want,
                   list[0] ? list : "none");
}

static int choose_named(struct hub_choice *c, const struct hub_listing *l, const char *source, const struct hub_file *f,
                        struct err *e)
{
    int part;
    size_t n_stem;
    const char *base = path_base(f->path);
    if (str_eq(base, "tokenizer.json")) {
        add(c, f);
        return 0;
    }
    if (!str_ends(base, ".gguf"))
        return err_set(
            e, ERR_UNSUPPORTED, source,
            "cannot pull \"%s\": a single file must be GGUF or tokenizer.json; without a file the repository is "
            "taken whole",
            source);
    int of = hub_split_parts(f->path, &part, &n_stem);
    if (part == 1) return add_parts(c, l, f, source, e);
    return err_set(e, ERR_USAGE, source,
                   "cannot pull \"%s\": part %d of %d, the first must be named; all are taken with it", source, part,
                   of);
}

/* --- the whole repository --- */

static const char pooling[] = "1_Pooling/config.json";

const char *hub_flat_name(const char *path)
{
    size_t n = strlen(path), tail = strlen(pooling);
    bool below = str_ends(path, pooling) && (n == tail || path[n - tail - 1] == '/');
    return below ? "pooling.json" : path_base(path);
}

bool hub_is_companion(const char *name)
{
    static const char *const ending[] = {".json", ".jinja", ".model", "vocab.txt", "merges.txt"};
    if (str_eq(name, pooling)) return true;
    if (strchr(name, '/') || has_word(name, ".bin.") || has_word(name, ".safetensors.")) return false;
    for (size_t i = 0; i < N_ELEM(ending); i++)
        if (str_ends(name, ending[i])) return true;
    return strncasecmp(name, "LICENSE", 7) == 0 || strncasecmp(name, "NOTICE", 6) == 0;
}

static void choose_directory(struct hub_choice *c, const struct hub_listing *l, const char *weights)
{
    c->is_dir = true;
    add(c, hub_listing_find(l, weights));
    if (str_ends(weights, ".index.json")) c->index = hub_listing_find(l, weights);
    for (size_t i = 0; i < l->n; i++)
        if (hub_is_companion(l->file[i].path)) add(c, &l->file[i]);
}

/* No weights that are read: the first of another kind is named, so that nobody looks for a mistake of their own. */
static int refuse_kinds(const struct hub_listing *l, const char *source, struct err *e)
{
    static const char *const kinds[] = {".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".tflite", ".ckpt"};
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < N_ELEM(kinds); k++)
            if (str_ends(l->file[i].path, kinds[k]))
                return err_set(e, ERR_UNSUPPORTED, source,
                               "cannot pull \"%s\": it has neither GGUF files nor config.json with safetensors; "
                               "%.100s is of a kind that is not read",
                               source, l->file[i].path);
    return err_set(e, ERR_UNSUPPORTED, source,
                   "cannot pull \"%s\": it has neither GGUF files nor config.json with safetensors", source);
}

static int choose_only_gguf(struct hub_choice *c, const struct hub_listing *l, const char *source, struct err *e)
{
    const struct hub_file *found = NULL;
    char list[LIST_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (!is_candidate(&l->file[i])) continue;
        found = &l->file[i];
        n++;
    }
    if (n == 1) return add_parts(c, l, found, source, e);
    if (n == 0) return refuse_kinds(l, source, e);
    list_candidates(l, NULL, is_quantization, list, sizeof list);
    return err_set(
        e, ERR_USAGE, source,
        "cannot pull \"%s\": it has %zu GGUF files, name one or a quantization behind a colon (--list shows all): %s",
        source, n, list);
}

static int choose_whole(struct hub_choice *c, const struct hub_listing *l, const char *source, struct err *e)
{
    static const struct {
        const char *config, *weights;
    } kind[] = {{"config.json", "model.safetensors"},
                {"config.json", "model.safetensors.index.json"},
                {"adapter_config.json", "adapter_model.safetensors"}};
    for (size_t i = 0; i < N_ELEM(kind); i++) {
        if (!hub_listing_find(l, kind[i].config) || !hub_listing_find(l, kind[i].weights)) continue;
        choose_directory(c, l, kind[i].weights);
        return 0;
    }
    return choose_only_gguf(c, l, source, e);
}

int hub_choose(struct hub_choice *c, const struct hub_listing *l, const char *source, const char *selector,
               struct err *e)
{
    *c = (struct hub_choice){.file = mem_alloc((l->n + 1) * sizeof *c->file)};
    if (!selector) return choose_whole(c, l, source, e);
    const struct hub_file *f = hub_listing_find(l, selector);
    return f ? choose_named(c, l, source, f, e) : choose_quantization(c, l, source, selector, e);
}

int hub_choose_shards(struct hub_choice *c, const struct hub_listing *l, const char *source, const char *text, size_t n,
                      struct err *e)
{
    json_t *index, *file;
    const json_t *map;
    const char *tensor;
    int rc = json_parse(text, n, "model.safetensors.index.json", &index, e);
    if (rc) return rc;
    rc = json_get_object(index, "weight_map", &map, "model.safetensors.index.json", e);
    if (rc == 0) {
        json_object_foreach((json_t *)(uintptr_t)map, tensor, file)
        {
            const char *name = json_string_value(file);
            const struct hub_file *f = name ? hub_listing_find(l, name) : NULL;
            if (rc == 0 && (!f || strchr(name, '/') || !str_ends(name, ".safetensors")))
                rc = err_set(e, ERR_INPUT, source,
                             "cannot pull \"%s\": its index puts tensor \"%.64s\" into \"%.100s\", which is not there",
                             source, tensor, name ? name : "");
            if (rc == 0) add(c, f);
        }
    }
    json_decref(index);
    return rc;
}
