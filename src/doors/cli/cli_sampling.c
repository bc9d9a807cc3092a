/* Sampling options to the engine's struct. Owns what 0 and absence mean: temperature 0 is greedy, no seed is a new one.
 */
#include "doors/cli/cli_sampling.h"

#include "ground/base/clock.h"
#include "ground/base/rng.h"

int cli_sampling(const struct param_set *args, struct sampling *out, struct err *e)
{
    sampling_init(out);
    if (param_bool(args, "greedy") && param_is_set(args, "temperature"))
        return err_set(e, ERR_USAGE, "greedy", "cannot use --greedy with --temperature: greedy is temperature 0");
    out->temperature = (float)param_float(args, "temperature");
    out->greedy = param_bool(args, "greedy") || out->temperature == 0.0f;
    out->top_k = (int)param_int(args, "top_k");
    out->top_p = (float)param_float(args, "top_p");
    out->min_p = (float)param_float(args, "min_p");
    out->repetition_penalty = (float)param_float(args, "repetition_penalty");
    out->presence_penalty = (float)param_float(args, "presence_penalty");
    out->frequency_penalty = (float)param_float(args, "frequency_penalty");
    out->seed = param_is_set(args, "seed") ? (uint64_t)param_int(args, "seed") : rng_u64(clock_ns(), 0, 0) >> 11;
    return sampling_check(out, e);
}
