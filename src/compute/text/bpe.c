/* The merge table and the merging of one piece. Symbols are a doubly linked list over an array (one entry a byte at the
 * start); candidates wait in a binary heap ordered by (rank, position). A candidate is stale when the symbols at its
 * place are no longer those it was made for. So a piece of n bytes costs O(n log n), whatever it is. */
#include "compute/text/bpe.h"

#include <assert.h>
#include <string.h>

#include "compute/text/byte_map.h"

#define NONE UINT32_MAX

enum { MAX_MERGES = 1 << 24, MAX_SPELLING = 1 << 16 /* bytes of a token or a merge */ };

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

int bpe_init(struct bpe *b, const struct vocab_source *v, const char *const *token_text, const bool *usable,
             struct err *e)
{
    *b = (struct bpe){.n_token = (uint32_t)v->n_token, .ignore_merges = v->ignore_merges};
    arena_init(&b->text, (size_t)1 << 32);
    if (v->n_merge > MAX_MERGES) {
        return err_set(e, ERR_LIMIT, "tokenizer.ggml.merges",
                       "cannot use the tokenizer: %zu merges, at most %d are accepted", v->n_merge, MAX_MERGES);
    }
    if (alloc_tables(b, v->n_token, v->n_merge)) {
        return err_set(e, ERR_NOMEM, NULL, "cannot use the tokenizer: out of memory");
    }
    for (size_t i = 0; i < v->n_token; i++) {
        if (usable[i]) {
            token_index_put(&b->symbol, token_text[i], v->token_len[i], (uint32_t)i);
        }
    }
    if (add_bytes(b)) {
        return err_set(e, ERR_NOMEM, NULL, "cannot use the tokenizer: out of memory");
    }
    for (size_t i = 0; i < v->n_merge; i++) {
        int rc = add_merge(b, v->merge[i], i, e);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

void bpe_deinit(struct bpe *b)
{
    mem_free(b->slot);
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

static bool before(const struct bpe_candidate *a, const struct bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct bpe_work *w, struct bpe_candidate c)
{
    assert(w->n_heap < 2 * w->cap);
    size_t i = w->n_heap++;
    while (i > 0 && before(&c, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = c;
    w->n_heap_op++;
}

static struct bpe_candidate heap_pop(struct bpe_work *w)
{
    struct bpe_candidate top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= w->n_heap) {
            break;
        }
        kid += kid + 1 < w->n_heap && before(&w->heap[kid + 1], &w->heap[kid]);
        if (!before(&w->heap[kid], &last)) {
            break;
        }
        w->heap[i] = w->heap[kid];
        i = kid;
    }
    w->heap[i] = last;
    w->n_heap_op++;
    return top;
}

/* Push the merge of the symbol at `at` with the one behind it, if there is one. */
static void consider(const struct bpe *b, struct bpe_work *w, uint32_t at)
{
    if (at == NONE || w->sym[at].next == NONE) {
        return;
    }
    uint32_t left = w->sym[at].symbol, right = w->sym[w->sym[at].next].symbol;
    const struct merge_slot *m = merge_slot_of(b, left, right);
    if (m->pair != UINT64_MAX) {
        heap_push(w, (struct bpe_candidate){.rank = m->rank, .at = at, .left = left, .right = right});
    }
}

static void merge_all(const struct bpe *b, struct bpe_work *w)
{
    struct bpe_symbol *sym = w->sym;
    while (w->n_heap > 0) {
        struct bpe_candidate c = heap_pop(w);
        struct bpe_symbol *l = &sym[c.at];
        if (l->n_bytes == 0 || l->symbol != c.left || l->next == NONE || sym[l->next].symbol != c.right) {
            continue; /* stale */
        }
        struct bpe_symbol *r = &sym[l->next];
        l->symbol = merge_slot_of(b, c.left, c.right)->result;
        l->n_bytes += r->n_bytes;
        r->n_bytes = 0;
        l->next = r->next;
        if (l->next != NONE) {
            sym[l->next].prev = c.at;
        }
        consider(b, w, l->prev);
        consider(b, w, c.at);
    }
}

/* ignore_merges: a piece that is a token as it stands is that token. 1: it is, 0: it is not, -ERR_NOMEM. */
static int whole_token(const struct bpe *b, struct bpe_work *w, const char *piece, size_t n)
{
    char stack[512], *text = stack;
    if (n > MAX_SPELLING) {
        return 0; /* no token is that long */
    }
    if (2 * n > sizeof stack) {
        text = mem_try_alloc(2 * n);
        if (!text) {
            return -ERR_NOMEM;
        }
    }
    int64_t id = token_index_find(&b->symbol, text, byte_map_spell(piece, n, text));
    if (text != stack) {
        mem_free(text);
    }
    if (id < 0 || id >= b->n_token) {
        return 0;
    }
    w->sym[0] = (struct bpe_symbol){.symbol = (uint32_t)id, .n_bytes = (uint32_t)n, .prev = NONE, .next = NONE};
    return 1;
}

int bpe_run(const struct bpe *b, struct bpe_work *w, const char *piece, size_t n)
{
    if (reserve(w, n)) {
        return -ERR_NOMEM;
    }
    if (b->ignore_merges) {
        int rc = whole_token(b, w, piece, n);
        if (rc) {
            return rc < 0 ? rc : 0;
        }
    }
    for (size_t i = 0; i < n; i++) {
        w->sym[i] = (struct bpe_symbol){.symbol = b->byte_symbol[(unsigned char)piece[i]],
                                        .n_bytes = 1,
                                        .prev = i == 0 ? NONE : (uint32_t)i - 1,
                                        .next = i + 1 == n ? NONE : (uint32_t)i + 1};
    }
    w->n_heap = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        consider(b, w, i);
    }
    merge_all(b, w);
    return 0;
}
