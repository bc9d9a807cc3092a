/* Scores for a vocabulary that has merges instead. Owns nothing. */
#include <string.h>

#include "compute/formats/formats_int.h"

/* Texts of tokens in order, for look-ups. */
static const char *token_at(const void *items, size_t idx)
{
    const struct vocab_source *v = items;
    return v->token[idx];
}

bool vocab_scores_of_merges(const struct vocab_source *v, float *score)
{
    struct name_index x;
    size_t dup;
    if (name_index_init(&x, v, v->n_token, token_at, &dup)) {
        return false;
    }
    size_t cap = 0;
    char *joined = NULL;
    bool ok = true;
    for (size_t i = v->n_merge; i-- > 0;) { /* from behind, so that the first merge that makes a token counts */
        const char *merge = v->merge[i];
        size_t n = strlen(merge);
        const char *space = n > 1 ? memchr(merge + 1, ' ', n - 1) : NULL;
        if (n > cap) {
            char *more = mem_try_realloc(joined, n + 1);
            if (!more) {
                ok = false;
                break;
            }
            joined = more;
            cap = n;
        }
        if (!space) {
            continue; /* whoever uses the merges refuses it */
        }
        size_t n_left = (size_t)(space - merge);
        memcpy(joined, merge, n_left);
        memcpy(joined + n_left, space + 1, n - n_left);
        size_t id = name_index_find(&x, v, token_at, joined);
        if (id < v->n_token) {
            score[id] = -(float)i;
        }
    }
    mem_free(joined);
    name_index_deinit(&x);
    return ok;
}
