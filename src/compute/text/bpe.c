/* The merge table and the merging of one piece. Symbols are a doubly linked list over an array with an entry a byte;
 * candidates wait in a heap ordered by (rank, position). A candidate is stale when the symbols at its place no longer
 * have the length they had: symbols only grow, so the same length means the same symbols. A piece of n bytes costs
 * O(n log n), whatever it is. */
#include "compute/text/bpe.h"

#include <assert.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "compute/text/byte_map.h"
#include "compute/text/utf8.h"

#define NONE    UINT32_MAX
#define UNKNOWN (UINT32_MAX - 1) /* a character that no token and no merge spells */

enum {
    MAX_MERGES = 1 << 24,
    MAX_SPELLING = 1 << 16, /* bytes of a token or a merge */
    MAX_SCORED = 1024,      /* bytes of a token that is looked up by its text in every place where it may stand */
};

static struct merge_slot *merge_slot_of(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    uint64_t h = pair * 0x9E3779B97F4A7C15u;
    size_t i = (size_t)(h ^ h >> 32) & b->mask;
    while (b->slot[i].pair != UINT64_MAX && b->slot[i].pair != pair) {
        i = (i + 1) & b->mask;
    }
    return &b->slot[i];
}

/* The symbol of a spelling, made new where there is none. -1 without memory. */
static int64_t symbol_of(struct bpe *b, const char *text, size_t n)
{
    struct token_slot *s = token_index_slot(&b->symbol, text, n);
    if (!s->text) {
        char *copy = arena_strndup(&b->text, text, n);
        if (!copy) {
            return -1;
        }
        /* Every spelling that is put is either one of n_token tokens or new, so n counts above all ids in use. */
        uint32_t id = b->n_token + (uint32_t)b->symbol.n;
        token_index_put(&b->symbol, copy, n, id);
        return id;
    }
    return s->id;
}

static int add_bytes(struct bpe *b)
{
    for (int i = 0; i < 256; i++) {
        char byte = (char)i, text[4];
        int64_t s = symbol_of(b, text, byte_map_spell(&byte, 1, text));
        if (s < 0) {
            return -ERR_NOMEM;
        }
        b->byte_symbol[i] = (uint32_t)s;
    }
    return 0;
}

/* "left right": the space that parts them is the first one after a first character. */
static int add_merge(struct bpe *b, const char *merge, size_t rank, struct err *e)
{
    size_t n = strnlen(merge, MAX_SPELLING + 1);
    const char *space = n > 0 ? memchr(merge + 1, ' ', n - 1) : NULL;
    if (!space || space + 1 == merge + n || n > MAX_SPELLING) {
        return err_set(e, ERR_INPUT, "tokenizer.ggml.merges",
                       "cannot use the tokenizer: merge %zu is \"%.40s\", expected two parts with a space between",
                       rank, merge);
    }
    size_t n_left = (size_t)(space - merge), n_right = n - n_left - 1;
    char *joined = mem_try_alloc(n_left + n_right);
    if (!joined) {
        return err_set(e, ERR_NOMEM, NULL, "cannot use the tokenizer: out of memory");
    }
    memcpy(joined, merge, n_left);
    memcpy(joined + n_left, space + 1, n_right);
    int64_t l = symbol_of(b, merge, n_left), r = symbol_of(b, space + 1, n_right);
    int64_t result = l < 0 || r < 0 ? -1 : symbol_of(b, joined, n_left + n_right);
    mem_free(joined);
    if (result < 0) {
        return err_set(e, ERR_NOMEM, NULL, "cannot use the tokenizer: out of memory");
    }
    struct merge_slot *s = merge_slot_of(b, (uint32_t)l, (uint32_t)r);
    if (s->pair == UINT64_MAX) { /* of two equal merges the first counts */
        *s = (struct merge_slot){
            .pair = (uint64_t)l << 32 | (uint64_t)r, .rank = (uint32_t)rank, .result = (uint32_t)result};
    }
    return 0;
}

static int alloc_tables(struct bpe *b, size_t n_token, size_t n_merge)
{
    size_t cap = 16;
    while (cap / 2 < n_merge) {
        cap *= 2;
    }
    b->mask = cap - 1;
    b->slot = mem_try_array(cap, sizeof *b->slot);
    if (!b->slot || token_index_init(&b->symbol, n_token + 256 + 3 * n_merge)) {
        return -ERR_NOMEM;
    }
    memset(b->slot, 0xFF, cap * sizeof *b->slot);
    return 0;
}

/* A token and its score. */
struct scored {
    float score;
    uint32_t id;
};

static int better_first(const void *a, const void *b)
{
    float x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return x > y ? -1 : x < y ? 1 : 0;
}

static int rank_scores(struct bpe *b, const struct vocab_source *v, struct err *e)
{
    struct scored *s = mem_try_array(v->n_token, sizeof *s);
    b->rank = mem_try_array(v->n_token, sizeof *b->rank);
    if (!s || !b->rank) {
        mem_free(s);
        return err_set(e, ERR_NOMEM, NULL, "cannot use the tokenizer: out of memory");
    }
    for (size_t i = 0; i < v->n_token; i++) {
        s[i] = (struct scored){.score = v->score[i], .id = (uint32_t)i};
        if (!(v->score[i] >= -FLT_MAX && v->score[i] <= FLT_MAX)) {
            mem_free(s);
            return err_set(e, ERR_INPUT, "tokenizer.ggml.scores",
                           "cannot use the tokenizer: the score of token %zu is no finite number", i);
        }
    }
    qsort(s, v->n_token, sizeof *s, better_first);
    uint32_t rank = 0;
    for (size_t i = 0; i < v->n_token; i++) {
        rank += i > 0 && s[i].score < s[i - 1].score;
        b->rank[s[i].id] = rank;
    }
    mem_free(s);
    return 0;
}

static int put_tokens(struct bpe *b, const struct vocab_source *v, const char *const *token_text, const bool *usable,
                      struct err *e)
{
    for (size_t i = 0; i < v->n_token; i++) {
        if (!usable[i]) {
            continue;
        }
        if (b->kind == BPE_SCORES && v->token_len[i] > MAX_SCORED) {
            return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens",
                           "cannot use the tokenizer: token %zu has %u bytes, at most %d are accepted", i,
                           v->token_len[i], (int)MAX_SCORED);
        }
        b->max_bytes = v->token_len[i] > b->max_bytes ? v->token_len[i] : b->max_bytes;
        token_index_put(&b->symbol, token_text[i], v->token_len[i], (uint32_t)i);
    }
    return 0;
}

int bpe_init(struct bpe *b, enum bpe_kind kind, const struct vocab_source *v, const char *const *token_text,
             const bool *usable, struct err *e)
{
    size_t n_merge = kind == BPE_SCORES ? 0 : v->n_merge;
    *b = (struct bpe){.kind = kind, .n_token = (uint32_t)v->n_token, .ignore_merges = v->ignore_merges};
    arena_init(&b->text, (size_t)1 << 32);
    if (n_merge > MAX_MERGES) {
        return err_set(e, ERR_LIMIT, "tokenizer.ggml.merges",
                       "cannot use the tokenizer: %zu merges, at most %d are accepted", v->n_merge, MAX_MERGES);
    }
    if (alloc_tables(b, v->n_token, n_merge)) {
        return err_set(e, ERR_NOMEM, NULL, "cannot use the tokenizer: out of memory");
    }
    int rc = put_tokens(b, v, token_text, usable, e);
    if (!rc && kind == BPE_SCORES) {
        rc = rank_scores(b, v, e);
    }
    if (!rc && kind == BPE_BYTES && add_bytes(b)) {
        rc = err_set(e, ERR_NOMEM, NULL, "cannot use the tokenizer: out of memory");
    }
    for (size_t i = 0; !rc && i < n_merge; i++) {
        rc = add_merge(b, v->merge[i], i, e);
    }
    return rc;
}

void bpe_deinit(struct bpe *b)
{
    mem_free(b->slot);
    mem_free(b->rank);
    token_index_deinit(&b->symbol);
    arena_deinit(&b->text);
    *b = (struct bpe){0};
}

void bpe_work_deinit(struct bpe_work *w)
{
    mem_free(w->sym);
    mem_free(w->heap);
    *w = (struct bpe_work){0};
}

static int reserve(struct bpe_work *w, size_t n)
{
    if (n <= w->cap) {
        return 0;
    }
    size_t cap = n < 256 ? 256 : n + n / 2;
    struct bpe_symbol *sym = mem_try_realloc(w->sym, cap * sizeof *sym);
    if (!sym) {
        return -ERR_NOMEM;
    }
    w->sym = sym;
    /* n - 1 candidates at the start; a merge takes one and adds at most two, and there are at most n - 1 merges. */
    struct bpe_candidate *heap = mem_try_realloc(w->heap, 2 * cap * sizeof *heap);
    if (!heap) {
        return -ERR_NOMEM;
    }
    w->heap = heap;
    w->cap = cap;
    return 0;
}

/* Four children a node: their keys share a cache line, and the tree is half as deep. */
static void sink(struct bpe_work *w, size_t i, struct bpe_candidate c)
{
    struct bpe_candidate *h = w->heap;
    for (;;) {
        size_t kid = 4 * i + 1, end = kid + 4 < w->n_heap ? kid + 4 : w->n_heap;
        if (kid >= end) {
            break;
        }
        size_t least = kid;
        for (size_t k = kid + 1; k < end; k++) {
            least = h[k].key < h[least].key ? k : least;
        }
        if (h[least].key >= c.key) {
            break;
        }
        h[i] = h[least];
        i = least;
    }
    h[i] = c;
}

static void heap_push(struct bpe_work *w, struct bpe_candidate c)
{
    assert(w->n_heap < 2 * w->cap);
    size_t i = w->n_heap++;
    while (i > 0 && c.key < w->heap[(i - 1) / 4].key) {
        w->heap[i] = w->heap[(i - 1) / 4];
        i = (i - 1) / 4;
    }
    w->heap[i] = c;
    w->n_heap_op++;
}

static struct bpe_candidate heap_pop(struct bpe_work *w)
{
    struct bpe_candidate top = w->heap[0];
    w->n_heap--;
    if (w->n_heap > 0) {
        sink(w, 0, w->heap[w->n_heap]);
    }
    w->n_heap_op++;
    return top;
}

/* Any order to heap order. */
static void heap_build(struct bpe_work *w)
{
    for (size_t i = w->n_heap / 4 + 1; i-- > 0;) {
        if (i < w->n_heap) {
            sink(w, i, w->heap[i]);
        }
    }
    w->n_heap_op += w->n_heap;
}

/* The merge of the symbol at `at` with the one behind it, if there is one. */
static bool find_merge(const struct bpe *b, const struct bpe_work *w, uint32_t at, struct bpe_candidate *c)
{
    if (at == NONE || w->sym[at].next == NONE) {
        return false;
    }
    const struct bpe_symbol *l = &w->sym[at], *r = &w->sym[l->next];
    c->n_bytes = l->n_bytes + r->n_bytes;
    if (b->kind == BPE_SCORES) {
        int64_t id = c->n_bytes <= b->max_bytes ? token_index_find(&b->symbol, w->piece + at, c->n_bytes) : -1;
        if (id < 0) {
            return false;
        }
        c->made = (uint32_t)id;
        c->key = (uint64_t)b->rank[id] << 32 | at;
        return true;
    }
    const struct merge_slot *m = merge_slot_of(b, l->symbol, r->symbol);
    c->made = m->result;
    c->key = (uint64_t)m->rank << 32 | at;
    return m->pair != UINT64_MAX;
}

static void consider(const struct bpe *b, struct bpe_work *w, uint32_t at)
{
    struct bpe_candidate c;
    if (find_merge(b, w, at, &c)) {
        heap_push(w, c);
    }
}

static void merge_all(const struct bpe *b, struct bpe_work *w)
{
    struct bpe_symbol *sym = w->sym;
    while (w->n_heap > 0) {
        struct bpe_candidate c = heap_pop(w);
        uint32_t at = (uint32_t)c.key;
        struct bpe_symbol *l = &sym[at];
        if (l->n_bytes == 0 || l->next == NONE || l->n_bytes + sym[l->next].n_bytes != c.n_bytes) {
            continue; /* stale */
        }
        struct bpe_symbol *r = &sym[l->next];
        l->symbol = c.made;
        l->n_bytes += r->n_bytes;
        r->n_bytes = 0;
        l->next = r->next;
        if (l->next != NONE) {
            sym[l->next].prev = at;
        }
        consider(b, w, l->prev);
        consider(b, w, at);
    }
}

/* ignore_merges: a piece that is a token as it stands is that token. 1: it is, 0: it is not, -ERR_NOMEM. */
static int whole_token(const struct bpe *b, struct bpe_work *w, const char *piece, size_t n)
{
    char stack[512], *text = stack;
    if (n > b->max_bytes) {
        return 0;
    }
    if (2 * n > sizeof stack) {
        text = mem_try_alloc(2 * n);
        if (!text) {
            return -ERR_NOMEM;
        }
    }
    bool spelled = b->kind == BPE_BYTES;
    size_t len = spelled ? byte_map_spell(piece, n, text) : n;
    int64_t id = token_index_find(&b->symbol, spelled ? text : piece, len);
    if (text != stack) {
        mem_free(text);
    }
    if (id < 0 || id >= b->n_token) {
        return 0;
    }
    w->sym[0] = (struct bpe_symbol){.symbol = (uint32_t)id, .n_bytes = (uint32_t)n, .prev = NONE, .next = NONE};
    return 1;
}

/* One symbol a byte, or a character. */
static void place_symbols(const struct bpe *b, struct bpe_work *w, const char *piece, size_t n)
{
    uint32_t prev = NONE;
    for (size_t i = 0; i < n;) {
        size_t len = 1;
        int64_t symbol = b->byte_symbol[(unsigned char)piece[i]];
        if (b->kind != BPE_BYTES) {
            uint32_t cp;
            len = utf8_decode(piece + i, n - i, &cp);
            symbol = token_index_find(&b->symbol, piece + i, len);
            symbol = symbol < 0 ? UNKNOWN : symbol;
        }
        w->sym[i] = (struct bpe_symbol){.symbol = (uint32_t)symbol,
                                        .n_bytes = (uint32_t)len,
                                        .prev = prev,
                                        .next = i + len == n ? NONE : (uint32_t)(i + len)};
        prev = (uint32_t)i;
        i += len;
    }
}

int bpe_run(const struct bpe *b, struct bpe_work *w, const char *piece, size_t n)
{
    if (reserve(w, n)) {
        return -ERR_NOMEM;
    }
    w->piece = piece;
    if (b->ignore_merges) {
        int rc = whole_token(b, w, piece, n);
        if (rc) {
            return rc < 0 ? rc : 0;
        }
    }
    place_symbols(b, w, piece, n);
    w->n_heap = 0;
    for (uint32_t i = 0; i != NONE; i = w->sym[i].next) {
        w->n_heap += find_merge(b, w, i, &w->heap[w->n_heap]);
    }
    heap_build(w);
    merge_all(b, w);
    return 0;
}
