/* PCRE2 behind limits; it appears in this file only. What always holds: a search as a whole takes a bounded number of
 * steps. PCRE2's own limit begins anew at every place of the subject, so steps are counted here, by callouts before
 * every item of the pattern; what runs between two of them is bounded by the length of the subject. */
#include "ground/sys/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "ground/base/mem.h"

enum { PATTERN_MAX_BYTES = 4096, SUBJECT_MAX_BYTES = 32 * 1024, STEPS_MAX = 2000000, HEAP_KIB = 16 * 1024 };

#define OPTIONS (PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT)

struct regex {
    pcre2_code *code;
    pcre2_match_context *context;
    pcre2_match_data *data;
    char where[128];
};

static void *take(PCRE2_SIZE n, void *arg)
{
    (void)arg;
    return mem_try_alloc(n);
}

static void give(void *p, void *arg)
{
    (void)arg;
    mem_free(p);
}

static int compile(struct regex *r, const char *pattern, size_t n, pcre2_general_context *memory, struct err *e)
{
    int code;
    PCRE2_SIZE at;
    PCRE2_UCHAR why[160];
    pcre2_compile_context *context = pcre2_compile_context_create(memory);
    if (context != NULL) r->code = pcre2_compile((PCRE2_SPTR)pattern, n, OPTIONS, &code, &at, context);
    pcre2_compile_context_free(context);
    r->context = pcre2_match_context_create(memory);
    r->data = pcre2_match_data_create(REGEX_MAX_GROUP, memory);
    if (context == NULL || r->context == NULL || r->data == NULL)
        return err_set(e, ERR_NOMEM, r->where, "cannot read the pattern of %s: out of memory", r->where);
    pcre2_set_heap_limit(r->context, HEAP_KIB);
    if (r->code != NULL) return 0;
    pcre2_get_error_message(code, why, sizeof(why));
    return err_set(e, ERR_INPUT, r->where, "cannot read the pattern of %s: byte %zu: %s", r->where, at + 1,
                   (const char *)why);
}

int regex_new(struct regex **out, const char *pattern, size_t n, const char *where, struct err *e)
{
    *out = NULL;
    if (n > PATTERN_MAX_BYTES)
        return err_set(e, ERR_INPUT, where, "cannot read the pattern of %s: it has %zu bytes, at most %d are taken",
                       where, n, (int)PATTERN_MAX_BYTES);
    struct regex *r = mem_try_alloc(sizeof(*r));
    pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
    int rc = r == NULL || memory == NULL
                 ? err_set(e, ERR_NOMEM, where, "cannot read the pattern of %s: out of memory", where)
                 : 0;
    for (size_t i = 0; rc == 0 && where[i] != '\0' && i + 1 < sizeof(r->where); i++) r->where[i] = where[i];
    if (rc == 0) rc = compile(r, pattern, n, memory, e);
    pcre2_general_context_free(memory);
    if (rc == 0)
        *out = r;
    else
        regex_free(r);
    return rc;
}

void regex_free(struct regex *r)
{
    if (r == NULL) return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->context);
    pcre2_match_data_free(r->data);
    mem_free(r);
}

static int count_step(pcre2_callout_block *block, void *arg)
{
    long *steps = arg;
    (void)block;
    return ++*steps > STEPS_MAX ? PCRE2_ERROR_MATCHLIMIT : 0;
}

static int refuse(const struct regex *r, int code, size_t n, struct err *e)
{
    PCRE2_UCHAR why[160];
    if (code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_HEAPLIMIT || code == PCRE2_ERROR_DEPTHLIMIT)
        return err_set(e, ERR_LIMIT, r->where,
                       "cannot judge by %s: its pattern takes more than %d steps or %d KiB on a text of %zu bytes "
                       "(nested repetition?)",
                       r->where, (int)STEPS_MAX, (int)HEAP_KIB, n);
    pcre2_get_error_message(code, why, sizeof(why));
    return err_set(e, code == PCRE2_ERROR_NOMEMORY ? ERR_NOMEM : ERR_INPUT, r->where,
                   "cannot judge by %s: the text of %zu bytes cannot be searched: %s", r->where, n, (const char *)why);
}

static void take_groups(const struct regex *r, int n_found, struct regex_span *group, size_t *n_group)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->data);
    *n_group = n_found > 0 ? (size_t)n_found : REGEX_MAX_GROUP; /* 0: more groups than there is room for */
    for (size_t i = 0; i < *n_group; i++) {
        bool none = at[2 * i] == PCRE2_UNSET;
        group[i] = (struct regex_span){none ? SIZE_MAX : at[2 * i], none ? SIZE_MAX : at[2 * i + 1]};
    }
}

int regex_match(const struct regex *r, const char *s, size_t n, bool whole, bool *found,
                struct regex_span group[REGEX_MAX_GROUP], size_t *n_group, struct err *e)
{
    *found = false;
    if (n_group != NULL) *n_group = 0;
    if (n > SUBJECT_MAX_BYTES)
        return err_set(e, ERR_LIMIT, r->where, "cannot judge by %s: the text has %zu bytes, at most %d are searched",
                       r->where, n, (int)SUBJECT_MAX_BYTES);
    long steps = 0;
    pcre2_set_match_limit(r->context, STEPS_MAX);
    pcre2_set_callout(r->context, count_step, &steps);
    uint32_t options = whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
    int code = pcre2_match(r->code, (PCRE2_SPTR)s, n, 0, options, r->data, r->context);
    *found = code >= 0;
    if (*found && group != NULL) take_groups(r, code, group, n_group);
    return code >= 0 || code == PCRE2_ERROR_NOMATCH ? 0 : refuse(r, code, n, e);
}
