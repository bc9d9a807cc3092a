/* Forecasts. Owns nothing. */
#include "lifecycle/plan/forecast.h"

#include <math.h>

void plan_forecast_of(const struct plan_system *s, const struct plan_load *l, int replicas, struct plan_forecast *out)
{
    struct plan_load part = *l;
    part.users = (l->users + replicas - 1) / replicas;
    *out = (struct plan_forecast){.replicas = replicas};
    plan_memory_of(s, &part, &out->memory);
    double prompt = l->prompt_tokens, answer = l->output_tokens, room = fmax(out->memory.running_sequences, 1);
    plan_point_at(s, prompt, answer, 1, room, &out->alone);
    plan_point_at(s, prompt, answer, part.users, room, &out->loaded);
    plan_saturation(s, prompt, answer, room, &out->full);
    out->prefill_tok_s = prompt / out->alone.prefill_s;
    out->decode_tok_s = 1 / out->alone.step_s;
    out->max_users = replicas * fmin(out->memory.max_sequences, s->stack.max_running);
}

json_t *plan_band_json(const struct plan_system *s, enum plan_quantity q)
{
    struct plan_band b = plan_band_of(s, q);
    return json_pack("{s:f,s:f,s:s}", "low", b.low, "high", b.high, "basis", b.basis);
}

static json_t *bands_json(const struct plan_system *s)
{
    return json_pack("{s:f,s:o,s:o,s:o,s:o,s:o}", "level", 0.8, "memory", plan_band_json(s, PLAN_MEMORY_BAND),
                     "decode_tok_s", plan_band_json(s, PLAN_DECODE_BAND), "tpot_ms", plan_band_json(s, PLAN_TPOT_BAND),
                     "ttft_ms", plan_band_json(s, PLAN_TTFT_BAND), "output_tok_s",
                     plan_band_json(s, PLAN_THROUGHPUT_BAND));
}

/* Of all replicas; whole bytes, so that the parts add up. */
static json_t *memory_json(const struct plan_forecast *f)
{
    const struct plan_memory *m = &f->memory;
    json_int_t weights = (json_int_t)(f->replicas * m->weights_bytes), kv = (json_int_t)(f->replicas * m->kv_bytes),
               overhead = (json_int_t)(f->replicas * (m->workspace_bytes + m->framework_bytes));
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "weights_bytes", weights, "kv_bytes", kv, "overhead_bytes",
                     overhead, "total_bytes", weights + kv + overhead, "usable_bytes",
                     (json_int_t)(f->replicas * m->usable_bytes), "worst_card_bytes", (json_int_t)m->worst_card_bytes,
                     "usable_card_bytes", (json_int_t)m->usable_card_bytes);
}

static json_t *speed_json(const struct plan_forecast *f)
{
    const struct plan_point *p = &f->loaded;
    return json_pack("{s:f,s:f,s:f,s:f,s:I,s:f,s:f,s:f,s:f}", "prefill_tok_s", f->prefill_tok_s, "decode_tok_s",
                     f->decode_tok_s, "ttft_ms", 1e3 * p->ttft_s, "tpot_ms", 1e3 * p->tpot_s, "max_users",
                     (json_int_t)f->max_users, "wait_ms", 1e3 * p->wait_s, "running", f->replicas * p->running,
                     "output_tok_s", f->replicas * p->output_tok_s, "saturated_output_tok_s",
                     f->replicas * f->full.output_tok_s);
}

json_t *plan_forecast_json(const struct plan_system *s, const struct plan_forecast *f)
{
    return json_pack("{s:b,s:o,s:o,s:o}", "fits", f->memory.fits, "memory", memory_json(f), "speed", speed_json(f),
                     "error_bars", bands_json(s));
}
