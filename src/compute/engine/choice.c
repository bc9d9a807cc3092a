/* Closed sets of answers: a trie over token sequences. Owns which tokens may follow; the sampler does the masking.
 * What always holds: every path from the root ends in a node where the end token is an option, so an answer is
 * always one of the set, and a set that sequences use does not change. */
#include "compute/engine/choice_int.h"

#include "ground/base/mem.h"

struct choice_node {
    int32_t token;
    int32_t child, sibling; /* first child, next sibling; 0: none (the root is nobody's child) */
    int32_t n_child;
    bool ends; /* an answer ends here */
};

struct choice_set {
    struct choice_node *node;
    size_t n_node, cap, n_answer;
    size_t max_option;
    int32_t end_id;
};

int choice_set_new_empty(struct choice_set **out, int32_t end_id, struct err *e)
{
    if (end_id < 0)
        return err_set(e, ERR_UNSUPPORTED, "choices",
                       "cannot limit the answer to choices: the model has no end-of-sequence token");
    struct choice_set *c = mem_alloc(sizeof(*c));
    c->cap = 64;
    c->node = mem_alloc(c->cap * sizeof(*c->node));
    c->n_node = 1;
    c->max_option = 1;
    c->end_id = end_id;
    *out = c;
    return 0;
}

void choice_set_free(struct choice_set *c)
{
    if (!c) return;
    mem_free(c->node);
    mem_free(c);
}

static int32_t find_child(const struct choice_set *c, int32_t node, int32_t token)
{
    for (int32_t i = c->node[node].child; i; i = c->node[i].sibling)
        if (c->node[i].token == token) return i;
    return 0;
}

static int add_child(struct choice_set *c, int32_t parent, int32_t token, int32_t *out, struct err *e)
{
    if (c->n_node == c->cap) {
        size_t cap = c->cap * 2;
        struct choice_node *bigger = c->cap < CHOICE_MAX_NODE ? mem_try_realloc(c->node, cap * sizeof(*bigger)) : NULL;
        if (!bigger)
            return err_set(e, ERR_LIMIT, "choices",
                           "cannot add a choice: the answers have more than %zu tokens together", c->cap);
        c->node = bigger;
        c->cap = cap;
    }
    *out = (int32_t)c->n_node++;
    c->node[*out] = (struct choice_node){.token = token, .sibling = c->node[parent].child};
    c->node[parent].child = *out;
    size_t n_option = (size_t)++c->node[parent].n_child + 1;
    if (n_option > c->max_option) c->max_option = n_option;
    return 0;
}

int choice_set_add(struct choice_set *c, const int32_t *ids, size_t n, const char *label, struct err *e)
{
    if (!n) return err_set(e, ERR_INPUT, label, "cannot use the choice \"%s\": it has no tokens", label);
    if (c->n_answer == CHOICE_MAX_ANSWER)
        return err_set(e, ERR_LIMIT, "choices", "cannot use more than %d choices", CHOICE_MAX_ANSWER);
    int32_t at = CHOICE_ROOT;
    for (size_t i = 0; i < n; i++) {
        int32_t child = find_child(c, at, ids[i]);
        int rc = child ? 0 : add_child(c, at, ids[i], &child, e);
        if (rc) return rc;
        at = child;
    }
    if (c->node[at].ends) return err_set(e, ERR_INPUT, label, "cannot use the choice \"%s\" twice", label);
    c->node[at].ends = true;
    c->n_answer++;
    return 0;
}

int choice_set_new(struct choice_set **out, const struct tokenizer *t, const char *const *text, size_t n, struct err *e)
{
    *out = NULL;
    if (!n) return err_set(e, ERR_INPUT, "choices", "cannot limit the answer to choices: there are none");
    struct choice_set *c = NULL;
    struct token_list ids = {0};
    int rc = choice_set_new_empty(&c, tokenizer_eos(t), e);
    for (size_t i = 0; i < n && !rc; i++) {
        ids.n = 0;
        rc = tokenizer_encode(t, text[i], __builtin_strlen(text[i]), 0, &ids, e);
        if (!rc) rc = choice_set_add(c, ids.ids, ids.n, text[i], e);
    }
    token_list_deinit(&ids);
    if (rc) {
        choice_set_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

size_t choice_max_option(const struct choice_set *c)
{
    return c->max_option;
}

size_t choice_options(const struct choice_set *c, int node, int32_t *out)
{
    size_t n = 0;
    for (int32_t i = c->node[node].child; i; i = c->node[i].sibling) out[n++] = c->node[i].token;
    if (c->node[node].ends) out[n++] = c->end_id;
    return n;
}

int choice_next(const struct choice_set *c, int node, int32_t id)
{
    int32_t child = find_child(c, node, id);
    if (child) return child;
    return c->node[node].ends && id == c->end_id ? CHOICE_END : CHOICE_REFUSED;
}
