/* The engine: sequences that join and leave steps, over a paged KV cache shared by prefix.
 *
 * One thread drives an engine (engine_step); submit, cancel and the counters may be called from others.
 * A step is one forward pass: one token of every decoding sequence, and prompt chunks as the step budget allows.
 * Sampling is a function of (seed, position) and logits only, so equal seeds give equal tokens whatever the batch
 * (in the precisions where logits are equal). The decode path allocates nothing. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/model/adapter.h"
#include "compute/model/model.h"
#include "compute/text/tokenizer.h"
#include "ground/base/err.h"

struct engine;

struct engine_options {
    int n_ctx;     /* longest sequence, prompt + answer; 0: the model's training context, at most 8192 */
    int max_batch; /* sequences a step, >= 1 */
    int n_page;    /* KV pages of DEV_PAGE tokens; 0: enough for max_batch sequences of n_ctx */
    /* with n_page 0: no more pages than these bytes hold (layers with a window kept as they are: for the window), but
     * one context; 0: no limit */
    uint64_t max_kv_bytes;
    int chunk_tok; /* most prompt tokens of a step; 0: 512 */
    bool prefix_cache;
};
/* tok may be NULL (ids in, ids out; no text, no end of generation by text). The model and tokenizer must outlive it. */
int engine_new(struct engine **out, struct model *m, const struct tokenizer *tok, const struct engine_options *opt,
               struct err *e) MUST_CHECK;
/* Sequences that still run end as cancelled. Every sequence must have been released before. */
void engine_free(struct engine *g);
/* The longest sequence, prompt and answer together. */
int engine_n_ctx(const struct engine *g);
/* Adapters that sequences may name by the returned index (>= 0) or -ERR_*; owned by the caller. Not while stepping. */
int engine_add_adapter(struct engine *g, const struct adapter *a, struct err *e) MUST_CHECK;

struct sampling {
    bool greedy;              /* most likely token; the rest is then ignored but for penalties */
    float temperature;        /* > 0 */
    int top_k;                /* 0: off */
    float top_p, min_p;       /* 1 / 0: off */
    float repetition_penalty; /* 1: off; over prompt and answer */
    float presence_penalty;   /* 0: off; over the answer */
    float frequency_penalty;  /* 0: off; over the answer */
    uint64_t seed;
};
/* temperature 0.8, top_k 40, top_p 0.95, the rest off. */
void sampling_init(struct sampling *s);
/* -ERR_INPUT naming the field, the value and the range. */
int sampling_check(const struct sampling *s, struct err *e) MUST_CHECK;

/* A closed set of answers: token sequences in a trie. The answer is forced to be one of them, then end. */
struct choice_set;
/* Each text is tokenized as text (no control tokens). n >= 1, duplicates refused. */
int choice_set_new(struct choice_set **out, const struct tokenizer *t, const char *const *text, size_t n,
                   struct err *e) MUST_CHECK;
/* After the sequences that use it have ended. */
void choice_set_free(struct choice_set *c);

enum finish_reason { FINISH_NONE, FINISH_STOP, FINISH_LENGTH, FINISH_CANCELLED, FINISH_ERROR };
const char *finish_reason_name(enum finish_reason r); /* "stop", "length", "cancelled", "error"; NULL for none */

struct sequence;
/* Called by the stepping thread for each new token, and once at the end (id -1, reason set). Must not block:
 * return false to pause the sequence (a full ring); engine_resume lets it go on. */
typedef bool (*sequence_fn)(void *arg, struct sequence *s, int32_t id, enum finish_reason reason);

struct sequence_request {
    const int32_t *ids; /* prompt, copied */
    size_t n_id;
    int max_tokens; /* of the answer; 0: up to n_ctx */
    bool ignore_eos;
    bool keep_logp; /* record log-probabilities: of the whole vocabulary, so without choices, top_k, top_p and min_p */
    int adapter;    /* engine_add_adapter's index, -1: none */
    struct sampling sampling;
    const struct choice_set *choices; /* NULL: free */
    const char *const *stop;          /* texts that end the answer, not part of it; borrowed until the end */
    size_t n_stop;
    sequence_fn fn;
    void *arg;
};
/* Queue a sequence. -ERR_LIMIT when the prompt is too long (both lengths are named), -ERR_INPUT for bad ids or
 * sampling. *out stays valid until sequence_release. Thread-safe. */
int engine_submit(struct engine *g, const struct sequence_request *r, struct sequence **out, struct err *e) MUST_CHECK;
/* Ask to end; it ends with FINISH_CANCELLED at the next step and its pages are freed. Thread-safe. */
void engine_cancel(struct engine *g, struct sequence *s);
/* Ask all sequences to end, running, paused and waiting: those that are there when the next step begins. Thread-safe.
 */
void engine_cancel_all(struct engine *g);
/* Go on after fn paused the sequence; remembered when it comes before the pause takes hold. A pause of two minutes ends
 * the sequence as cancelled. Thread-safe. */
void engine_resume(struct engine *g, struct sequence *s);
/* The caller is done with s; NULL is fine. One that has not ended is cancelled, and fn may still be running or be
 * called once more in the stepping thread. May be called from fn. Thread-safe. */
void sequence_release(struct engine *g, struct sequence *s);

/* One step; returns the number of sequences that are alive (0: nothing to do) or -ERR_*. */
int engine_step(struct engine *g, struct err *e) MUST_CHECK;
/* Block until a step can do something, engine_wake is called, or timeout_ms passed. The stepping thread only. */
void engine_wait(struct engine *g, int timeout_ms);
/* Make engine_wait return. Thread-safe. */
void engine_wake(struct engine *g);

/* The answer so far (valid from the callback, and after the end until release). */
struct sequence_result {
    const int32_t *ids;
    size_t n_id;
    /* [n_id] with keep_logp, else NULL: of each token at the temperature (greedy: 1), penalties applied; and the
     * entropy, in nats, of what it was drawn from */
    const float *logp, *entropy;
    const char *text; /* NULL without tokenizer; whole UTF-8 characters; stop texts and end tokens left out */
    size_t text_len;
    enum finish_reason reason;
    size_t n_prompt, n_cached; /* prompt tokens, and those found in the prefix cache */
    size_t n_decoded;          /* tokens that steps after the first gave, in decode_s; forced ones are not among them */
    double queue_s, prefill_s, decode_s, ttft_s;
};
/* Times are of wall clock; a sequence that has not ended is measured until now. */
void sequence_get(const struct sequence *s, struct sequence_result *r);

struct engine_stats { /* counters read without locks */
    uint64_t n_step, n_prompt_tok, n_cached_tok, n_answer_tok, n_preempted;
    int n_waiting, n_running, n_page, n_page_free;
    uint64_t kv_bytes; /* of the whole cache */
};
/* A snapshot; any thread, never blocks the engine. */
/* A snapshot; never waits for a step. Thread-safe. */
void engine_get_stats(const struct engine *g, struct engine_stats *s);

/* Convenience for programs without a server: run one request to its end. The caller releases *out. */
int engine_generate(struct engine *g, const struct sequence_request *r, struct sequence **out,
                    struct err *e) MUST_CHECK;
/* Logits of given tokens, in chunks: fn sees [n_row][n_vocab] for positions first_pos ... (perplexity, logits files).
 * A value != 0 from fn ends the pass and is returned. -ERR_LIMIT when n exceeds the context or the free pages. The
 * stepping thread only. */
typedef int (*logits_fn)(void *arg, int first_pos, int n_row, const float *logits, struct err *e);
int engine_logits(struct engine *g, const int32_t *ids, size_t n, int adapter, logits_fn fn, void *arg,
                  struct err *e) MUST_CHECK;

#endif
