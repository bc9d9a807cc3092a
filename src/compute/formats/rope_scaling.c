/* How the frequencies of rotary positions are stretched for contexts that are longer than the trained one. Arithmetic
 * only; which scaling a file asks for is read elsewhere. */
#include "compute/formats/arch_int.h"

#include <math.h>

void rope_unscaled(struct model_rope *r, double theta)
{
    *r = (struct model_rope){.theta = theta, .magnitude = 1};
    for (size_t i = 0; i < MODEL_MAX_FREQ; i++) {
        r->factor[i] = 1;
    }
}

void rope_llama3(struct model_rope *r, int n_rot, double factor, double low, double high, double n_ctx_orig)
{
    for (int i = 0; i < n_rot / 2; i++) {
        double wavelength = 2 * M_PI * pow(r->theta, 2.0 * i / n_rot);
        double s = (n_ctx_orig / wavelength - low) / (high - low);
        double f = wavelength < n_ctx_orig / high  ? 1
                   : wavelength > n_ctx_orig / low ? factor
                                                   : 1 / ((1 - s) / factor + s);
        r->factor[i] = (float)f;
    }
}

/* The frequency, as a real number, that turns so often within the original context. */
static double frequency_of(const struct model_rope *r, int n_rot, double n_ctx_orig, double turns)
{
    return n_rot * log(n_ctx_orig / (turns * 2 * M_PI)) / (2 * log(r->theta));
}

void rope_yarn(struct model_rope *r, int n_rot, const struct yarn *y)
{
    double low = frequency_of(r, n_rot, y->n_ctx_orig, y->beta_fast);
    double high = frequency_of(r, n_rot, y->n_ctx_orig, y->beta_slow);
    low = fmax(y->truncate ? floor(low) : low, 0);
    high = fmin(y->truncate ? ceil(high) : high, n_rot - 1);
    high += high == low ? 0.001 : 0;
    for (int i = 0; i < n_rot / 2; i++) {
        double stretched = fmin(fmax((i - low) / (high - low), 0), 1);
        r->factor[i] = (float)(1 / (stretched / y->factor + 1 - stretched));
    }
    r->yarn.factor = y->truncate ? y->factor : 0; /* GGUF knows whole frequencies alone */
    r->yarn.n_ctx_orig = y->n_ctx_orig;
    r->yarn.beta_fast = y->beta_fast;
    r->yarn.beta_slow = y->beta_slow;
    r->magnitude = y->factor > 1 ? (float)(0.1 * log(y->factor) + 1) : 1;
}
