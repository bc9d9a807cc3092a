/* Private to engine/: the engine and its sequences.
 *
 * A sequence is a list of known ids (prompt, then answer) of which the keys and values of the first n_done are in
 * pages. Every step computes some ids in [n_done, n_id); when all are computed, the last row's logits give the next id.
 * So prompt chunks, decode steps, forced tokens and the second start after a preemption are one mechanism.
 *
 * Lock: `lock` guards the waiting list, the counters and owned/released of sequences. Everything else belongs to the
 * stepping thread, but for the atomics. Callbacks run without the lock. */
#ifndef ENGINE_ENGINE_INT_H
#define ENGINE_ENGINE_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/engine/answer_text_int.h"
#include "compute/engine/choice_int.h"
#include "compute/engine/engine.h"
#include "compute/engine/near_int.h"
#include "compute/engine/pages_int.h"
#include "compute/engine/sampler_int.h"
#include "ground/base/buf.h"

enum { ENGINE_MAX_ADAPTER = 64, ENGINE_MAX_BATCH = 1024, ENGINE_CHUNK_TOK = 512 };
/* A pause has an end: after this long the sequence is cancelled and its pages are freed. */
#define ENGINE_PAUSE_MAX_S 120.0
/* A step that also decodes takes at most the longer of this and two decode steps. */
#define ENGINE_STEP_BUDGET_S 0.2

struct sequence {
    struct sequence *next; /* in the waiting list */
    uint64_t number;       /* of its admission: older ones have lower ones */
    int32_t *ids;
    size_t n_prompt, n_id, n_limit; /* n_limit: most ids, prompt and answer; ids has room for them */
    size_t n_done;
    struct dev_block *block;
    int n_block, max_block;
    int n_published; /* full pages whose serial is known */
    int n_far;       /* first blocks that it reads no more in layers with a window */
    uint64_t serial; /* of the last of them, or the root */
    struct sampling sampling;
    const struct choice_set *choices;
    int node;
    float *logp, *entropy; /* [n_limit - n_prompt], NULL: not kept */
    int32_t *option;       /* room for the options of any node */
    struct answer_text text;
    bool ignore_eos;
    int adapter;
    sequence_fn fn;
    void *arg;

    size_t n_cached;
    size_t n_sampled; /* tokens of the answer that a step gave; those that a choice forced are not among them */
    bool restarted;   /* it was preempted: what it finds in the cache now may be its own work */
    bool paused;
    double pause_s, submit_s, start_s, first_s, end_s; /* clock; 0: not yet */
    enum finish_reason reason;
    int n_step;   /* tokens in the step that is being built */
    bool decodes; /* chosen for it as one of those that have one token left to compute */

    atomic_bool cancelled, resumed;
    bool owned, released; /* by the engine; by the caller. Freed when owned is false and released true */
};

struct engine {
    struct model *model;
    const struct tokenizer *tok;
    struct dev_kv *kv;
    struct page_pool pages;
    struct near_pool near;
    struct sampler sampler;
    int n_ctx, max_batch, chunk_tok, n_vocab;
    size_t token_bytes; /* of the longest token, as text */
    const struct adapter *adapter[ENGINE_MAX_ADAPTER];
    int n_adapter;

    struct sequence **run; /* [max_batch] in the order of admission */
    int n_run;
    uint64_t n_admitted;
    const struct kern_slow *slow; /* numbers of decoding sequences that are not taken */
    uint64_t last_decoded;        /* number of the sequence behind which the next choice begins */
    /* the step being built */
    int32_t *step_ids;           /* [chunk_tok + max_batch] */
    struct dev_segment *segment; /* [max_batch] */
    struct sequence **owner;     /* [max_batch] whose segment it is */
    int32_t *out_row;            /* [max_batch] */
    int n_tok, n_segment, n_out;
    float *logits;      /* [max_batch + 1][n_vocab]; the last row is room for work on another */
    float *pass_logits; /* engine_logits: [pass_rows][n_vocab], made at its first call */
    int pass_rows;
    struct buf piece;               /* bytes of one token */
    double decode_s, prefill_tok_s; /* running means: a step of decodes alone; seconds a prompt token */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sequence *waiting_first, *waiting_last;
    atomic_int n_waiting; /* written with the lock held */
    bool woken;
    atomic_bool cancel_all; /* by the next step */
    bool idle;              /* the last step found nothing to compute */
    atomic_uint_fast64_t n_step_done, n_prompt_tok, n_cached_tok, n_answer_tok, n_preempted;
    atomic_int stat_run, stat_free;
};

/* --- sequence.c --- */
void sequence_free(struct sequence *s);
/* Give back the pages (also when it is preempted). */
void sequence_drop_pages(struct engine *g, struct sequence *s);
/* An empty page with room for all layers, -1: none; giving one back whose near layers nobody of this caller reads. */
int engine_take_page(struct engine *g);
void engine_drop_page(struct engine *g, int page);
/* The end, for every reason: pages, callback, and freeing when it was released. Not in run[] or waiting any more. */
void sequence_end(struct engine *g, struct sequence *s, enum finish_reason reason);

/* --- schedule.c --- */
/* End what was cancelled, take up what was resumed. */
void schedule_sweep(struct engine *g);
/* Move waiting sequences into the batch while there is room. */
void schedule_admit(struct engine *g);
/* Fill the step: decodes first, then prompt chunks. */
void schedule_build(struct engine *g);
/* Take a sequence out of run[]. */
void schedule_remove(struct engine *g, const struct sequence *s);

/* --- deliver.c --- */
/* Record that n_step tokens were computed and publish pages that became full. */
void deliver_progress(struct engine *g, struct sequence *s);
/* Sample the next token (and those that a choice forces) and hand them out; may end the sequence. */
void deliver_token(struct engine *g, struct sequence *s, float *logits);

#endif
