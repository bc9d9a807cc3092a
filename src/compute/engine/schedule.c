/* The scheduler: who runs, and what a step holds. Owns admission, pages of running sequences, preemption and the step
 * budget; it computes nothing.
 *
 * Decoding sequences come first, one token each, oldest first; a step of them alone leaves some for the next where so
 * many at once would be slower. Prompt chunks fill the rest, limited by chunk_tok and, when something decodes, by time,
 * so that a long prompt does not stall answers. When pages run out, the youngest running sequence gives its pages back
 * and waits at the head of the queue; its full pages stay in the prefix index.
 *
 * Never a deadlock: the oldest sequence may take the pages of all others, and submit refused what does not fit alone.
 */
#include <string.h>

#include "compute/engine/engine_int.h"
#include "ground/base/clock.h"

static size_t n_left(const struct sequence *s)
{
    return s->n_id - s->n_done;
}

/* --- the waiting list --- */

static void wait_first(struct engine *g, struct sequence *s)
{
    pthread_mutex_lock(&g->lock);
    s->next = g->waiting_first;
    g->waiting_first = s;
    if (!g->waiting_last) g->waiting_last = s;
    g->n_waiting++;
    pthread_mutex_unlock(&g->lock);
}

static struct sequence *take_first(struct engine *g)
{
    pthread_mutex_lock(&g->lock);
    struct sequence *s = g->waiting_first;
    g->waiting_first = s->next;
    if (!g->waiting_first) g->waiting_last = NULL;
    s->next = NULL;
    g->n_waiting--;
    pthread_mutex_unlock(&g->lock);
    return s;
}

/* Unlink the first waiting sequence that was cancelled (any of them with all); NULL: none. */
static struct sequence *take_cancelled(struct engine *g, bool all)
{
    struct sequence *before = NULL;
    pthread_mutex_lock(&g->lock);
    struct sequence *s = g->waiting_first;
    while (s && !all && !atomic_load(&s->cancelled)) {
        before = s;
        s = s->next;
    }
    if (s) {
        if (before)
            before->next = s->next;
        else
            g->waiting_first = s->next;
        if (g->waiting_last == s) g->waiting_last = before;
        s->next = NULL;
        g->n_waiting--;
    }
    pthread_mutex_unlock(&g->lock);
    return s;
}

/* --- running sequences --- */

static int find_run(const struct engine *g, const struct sequence *s)
{
    int i = 0;
    while (g->run[i] != s) i++;
    return i;
}

void schedule_remove(struct engine *g, const struct sequence *s)
{
    int i = find_run(g, s);
    memmove(&g->run[i], &g->run[i + 1], (size_t)(--g->n_run - i) * sizeof(struct sequence *));
}

static void sweep_running(struct engine *g, bool all)
{
    double now = clock_s();
    for (int i = g->n_run; i-- > 0;) {
        struct sequence *s = g->run[i];
        if (atomic_exchange(&s->resumed, false)) s->paused = false;
        bool too_long = s->paused && now - s->pause_s > ENGINE_PAUSE_MAX_S;
        if (!all && !too_long && !atomic_load(&s->cancelled)) continue;
        schedule_remove(g, s);
        sequence_end(g, s, FINISH_CANCELLED);
    }
}

void schedule_sweep(struct engine *g)
{
    bool all = atomic_exchange(&g->cancel_all, false);
    sweep_running(g, all);
    for (struct sequence *s = take_cancelled(g, all); s; s = take_cancelled(g, all))
        sequence_end(g, s, FINISH_CANCELLED);
}

/* Published pages that go on where the sequence is, noted behind its blocks. At least one id is left to compute: its
 * logits are needed. */
static int find_prefix(const struct engine *g, const struct sequence *s)
{
    int n = 0;
    uint64_t serial = s->serial;
    for (size_t done = s->n_done; done + DEV_PAGE < s->n_id; done += DEV_PAGE) {
        int page = page_find(&g->pages, serial, s->ids + done);
        if (page < 0) break;
        s->block[s->n_block + n++] = (struct dev_block){.page = page, .n_tok = DEV_PAGE};
        serial = g->pages.page[page].serial;
    }
    return n;
}

/* The most of them behind which a token finds all that its layers with a window read. */
static int usable_prefix(const struct engine *g, const struct sequence *s, int n)
{
    for (; n > 0; n--) {
        int end = s->n_block + n, first = near_first(&g->near, (size_t)end * DEV_PAGE), i = end;
        while (i > first && i > s->n_block && near_has(&g->near, s->block[i - 1].page)) i--;
        if (i == first || i <= s->n_block) break;
    }
    return n;
}

/* Take pages of the prefix index for whole pages of the sequence that are not computed yet. Returns the number of ids
 * that need no computing any more. */
static size_t adopt_prefix(struct engine *g, struct sequence *s)
{
    if (s->n_done % DEV_PAGE || (size_t)s->n_block * DEV_PAGE != s->n_done) return 0;
    int before = s->n_block, n = usable_prefix(g, s, find_prefix(g, s));
    if (!n) return 0;
    s->n_done += (size_t)n * DEV_PAGE;
    s->n_block = s->n_published = before + n;
    s->serial = g->pages.page[s->block[s->n_block - 1].page].serial;
    int first = near_first(&g->near, s->n_done);
    for (int i = before; i < s->n_block; i++) {
        page_ref(&g->pages, s->block[i].page);
        if (i >= first) near_ref(&g->near, s->block[i].page);
    }
    for (; s->n_far < first && s->n_far < before; s->n_far++) near_unref(&g->near, s->block[s->n_far].page);
    s->n_far = first > s->n_far ? first : s->n_far;
    return (size_t)n * DEV_PAGE;
}

static void count_cached(struct engine *g, struct sequence *s, size_t n)
{
    if (s->restarted) return;
    s->n_cached += n;
    atomic_fetch_add_explicit(&g->n_cached_tok, n, memory_order_relaxed);
}

/* Pages for all known ids and the next, or what the whole answer may need if that is less. */
static int pages_wanted(const struct sequence *s)
{
    size_t n = s->n_id + 1 < s->n_limit ? s->n_id + 1 : s->n_limit;
    return (int)((n + DEV_PAGE - 1) / DEV_PAGE) - s->n_block;
}

/* Pages that running sequences have been promised and have not taken yet. */
static int pages_promised(const struct engine *g)
{
    int n = 0;
    for (int i = 0; i < g->n_run; i++) n += pages_wanted(g->run[i]);
    return n;
}

void schedule_admit(struct engine *g)
{
    while (g->n_run < g->max_batch) {
        pthread_mutex_lock(&g->lock);
        struct sequence *s = g->waiting_first;
        pthread_mutex_unlock(&g->lock);
        if (!s) return;
        size_t n = adopt_prefix(g, s);
        if (g->n_run > 0 && pages_wanted(s) + pages_promised(g) > page_pool_available(&g->pages)) {
            sequence_drop_pages(g, s);
            return;
        }
        count_cached(g, s, n);
        take_first(g);
        if (!(s->start_s > 0)) s->start_s = clock_s();
        s->number = ++g->n_admitted;
        g->run[g->n_run++] = s;
    }
}

static void preempt(struct engine *g, struct sequence *s)
{
    schedule_remove(g, s);
    sequence_drop_pages(g, s);
    s->restarted = true;
    atomic_fetch_add_explicit(&g->n_preempted, 1, memory_order_relaxed);
    wait_first(g, s);
}

/* The youngest sequence that is not in this step, paused ones before others; it may be the one that asks. */
static struct sequence *find_victim(struct engine *g)
{
    for (int want_paused = 1; want_paused >= 0; want_paused--)
        for (int i = g->n_run; i-- > 0;)
            if (!g->run[i]->n_step && (g->run[i]->paused || !want_paused)) return g->run[i];
    return NULL;
}

/* Pages for n more ids. With force, others are preempted; false when s itself had to give way. Without force, returns
 * whether there are pages for at least one id; the caller looks at how far they reach. */
static bool get_pages(struct engine *g, struct sequence *s, size_t n, bool force)
{
    while ((size_t)s->n_block * DEV_PAGE < s->n_done + n) {
        int page = engine_take_page(g);
        if (page >= 0) {
            s->block[s->n_block++] = (struct dev_block){.page = page, .n_tok = DEV_PAGE};
            continue;
        }
        if (!force) break;
        struct sequence *victim = find_victim(g);
        preempt(g, victim);
        if (victim == s) return false;
    }
    return (size_t)s->n_block * DEV_PAGE > s->n_done;
}

/* --- building a step --- */

static void add_segment(struct engine *g, struct sequence *s, size_t n)
{
    bool last = s->n_done + n == s->n_id;
    memcpy(g->step_ids + g->n_tok, s->ids + s->n_done, n * sizeof(*s->ids));
    size_t n_end = s->n_done + n;
    int n_block = (int)((n_end + DEV_PAGE - 1) / DEV_PAGE);
    for (int i = 0; i < n_block; i++) s->block[i].n_tok = DEV_PAGE;
    s->block[n_block - 1].n_tok = (int32_t)(n_end - (size_t)(n_block - 1) * DEV_PAGE);
    g->segment[g->n_segment] = (struct dev_segment){.first_tok = g->n_tok,
                                                    .n_tok = (int)n,
                                                    .first_pos = (int)s->n_done,
                                                    .block = s->block,
                                                    .n_block = n_block,
                                                    .adapter = s->adapter};
    g->owner[g->n_segment++] = s;
    g->n_tok += (int)n;
    s->n_step = (int)n;
    if (last) g->out_row[g->n_out++] = g->n_tok - 1;
}

/* How many of n_ready sequences a step of decodes alone takes: as many as it can, or fewer where so many take longer
 * each. Steps of this kind are bound by arithmetic, so what waits loses nothing by waiting. */
static int n_worth(const struct engine *g, int n_ready)
{
    for (const struct kern_slow *s = g->slow; s->last; s++)
        if (n_ready >= s->first && n_ready <= s->last) return s->first - 1;
    return n_ready;
}

/* Who decodes in this step: all that can, or the next ones in turn, so that all go on at the same pace. A prompt gives
 * the step more rows, and then nobody waits. */
static void choose_decodes(struct engine *g)
{
    uint64_t behind = g->last_decoded;
    int n_ready = 0, n_prompt = 0;
    for (int i = 0; i < g->n_run; i++) {
        struct sequence *s = g->run[i];
        s->decodes = false;
        n_ready += !s->paused && n_left(s) == 1;
        n_prompt += !s->paused && n_left(s) > 1;
    }
    int n = n_prompt ? n_ready : n_worth(g, n_ready);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < g->n_run && n > 0; i++) {
            struct sequence *s = g->run[i];
            if (s->paused || n_left(s) != 1 || (s->number > behind) != (round == 0)) continue;
            s->decodes = true;
            g->last_decoded = s->number;
            n--;
        }
}

static void add_decodes(struct engine *g)
{
    choose_decodes(g);
    for (int i = 0; i < g->n_run; i++) {
        struct sequence *s = g->run[i];
        if (!s->decodes) continue;
        if (!get_pages(g, s, 1, true)) return; /* it gave way itself, so no younger one is left */
        add_segment(g, s, 1);
        i = find_run(g, s); /* older ones may have been preempted */
    }
}

/* Somebody in this step computes the page that s would begin with: wait and share it. */
static bool being_computed(const struct engine *g, const struct sequence *s)
{
    if (!g->pages.sharing || s->n_done % DEV_PAGE || s->n_done + DEV_PAGE >= s->n_id) return false;
    for (int i = 0; i < g->n_segment; i++) {
        const struct sequence *o = g->owner[i];
        if (o->n_step >= DEV_PAGE && o->n_done == s->n_done && o->serial == s->serial &&
            !memcmp(o->ids + o->n_done, s->ids + s->n_done, DEV_PAGE * sizeof(*s->ids)))
            return true;
    }
    return false;
}

/* Prompt tokens that this step may take. */
static size_t prompt_budget(const struct engine *g)
{
    if (!g->n_segment) return (size_t)g->chunk_tok;
    if (!(g->prefill_tok_s > 0)) /* nothing was measured yet */
        return (size_t)(g->chunk_tok < 4 * DEV_PAGE ? g->chunk_tok : 4 * DEV_PAGE);
    double step = 2 * g->decode_s > ENGINE_STEP_BUDGET_S ? 2 * g->decode_s : ENGINE_STEP_BUDGET_S;
    double n = (step - g->decode_s) / g->prefill_tok_s;
    if (n >= g->chunk_tok) return (size_t)g->chunk_tok;
    return n > DEV_PAGE || g->chunk_tok < DEV_PAGE ? (size_t)n + 1 : DEV_PAGE;
}

static void add_prompts(struct engine *g)
{
    size_t budget = prompt_budget(g);
    for (int i = 0; i < g->n_run && budget > 0; i++) {
        struct sequence *s = g->run[i];
        if (s->paused || s->n_step || n_left(s) < 2) continue;
        count_cached(g, s, adopt_prefix(g, s));
        if (being_computed(g, s)) continue;
        size_t n = n_left(s) < budget ? n_left(s) : budget;
        if (!get_pages(g, s, n, false)) continue;
        size_t room = (size_t)s->n_block * DEV_PAGE - s->n_done;
        n = n < room ? n : room;
        add_segment(g, s, n);
        budget -= n;
    }
}

/* Nothing could be added for want of pages: the oldest takes them from the others. */
static void add_oldest(struct engine *g)
{
    for (int i = 0; i < g->n_run; i++) {
        struct sequence *s = g->run[i];
        if (s->paused) continue;
        size_t n = n_left(s) < DEV_PAGE ? n_left(s) : DEV_PAGE;
        if (get_pages(g, s, n, true)) add_segment(g, s, n);
        return;
    }
}

void schedule_build(struct engine *g)
{
    g->n_tok = g->n_segment = g->n_out = 0;
    for (int i = 0; i < g->n_run; i++) g->run[i]->n_step = 0;
    add_decodes(g);
    add_prompts(g);
    if (!g->n_segment) add_oldest(g);
}
