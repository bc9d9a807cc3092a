/* Optimizers: the layout of their state in one block of device memory, and which operation of the device makes a step.
 * What always holds: the block is all that a later step depends on beside parameters, gradients and the step's number.
 */
#include "lifecycle/train/optimizer.h"

#include <math.h>

#include "ground/base/mem.h"

struct optimizer {
    const struct train_config *c;
    struct dev *d;
    const struct weights *shapes;
    size_t n_param, n_state; /* n_state: floats */
    float *state;
    double *scratch; /* Adafactor: of its longest side */
};

/* --- layout --- */

/* Floats that hold n codes of a byte, and scales of their blocks. */
static size_t code_floats(size_t n)
{
    return (n + sizeof(float) - 1) / sizeof(float);
}

static size_t scale_floats(size_t n)
{
    return (n + DEV_CODE_BLOCK - 1) / DEV_CODE_BLOCK;
}

static size_t factored_floats(const struct weights *w, size_t *longest)
{
    size_t n = 0;
    *longest = 0;
    for (size_t i = 0; i < weights_n_tensor(w); i++) {
        struct weight_shape s = weights_shape(w, i);
        n += s.n_row + (s.n_col > 1 ? s.n_col : 0);
        *longest = s.n_row > *longest ? s.n_row : *longest;
        *longest = s.n_col > *longest ? s.n_col : *longest;
    }
    return n;
}

uint64_t optimizer_plan_bytes(const struct train_config *c, uint64_t n_param)
{
    switch (c->optimizer) {
    case OPTIMIZER_ADAMW:
        return 8 * n_param;
    case OPTIMIZER_ADAMW8:
        return 2 * n_param + 8 * (n_param / DEV_CODE_BLOCK);
    case OPTIMIZER_LION:
        return 4 * n_param;
    case OPTIMIZER_ADAFACTOR:
        return n_param / 100; /* less, of matrices of more than a few hundred rows */
    }
    return 0;
}

static int take_state(struct optimizer *o, struct err *e)
{
    size_t n = o->n_param, longest;
    switch (o->c->optimizer) {
    case OPTIMIZER_ADAMW:
        o->n_state = 2 * n;
        break;
    case OPTIMIZER_ADAMW8:
        o->n_state = 2 * code_floats(n) + 2 * scale_floats(n);
        break;
    case OPTIMIZER_LION:
        o->n_state = n;
        break;
    case OPTIMIZER_ADAFACTOR:
        o->n_state = factored_floats(o->shapes, &longest);
        o->scratch = mem_try_array(longest, sizeof(*o->scratch));
        if (o->scratch == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot tune: out of memory");
        break;
    }
    return dev_alloc(o->d, &o->state, o->n_state, e);
}

int optimizer_new(struct optimizer **out, struct dev *d, const struct train_config *c, size_t n_param,
                  const struct weights *shapes, struct err *e)
{
    struct optimizer *o = mem_try_alloc(sizeof(*o));
    *out = NULL;
    if (o == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot tune: out of memory");
    *o = (struct optimizer){.c = c, .d = d, .shapes = shapes, .n_param = n_param};
    int rc = take_state(o, e);
    if (rc == 0)
        *out = o;
    else
        optimizer_free(o);
    return rc;
}

void optimizer_free(struct optimizer *o)
{
    if (o == NULL) return;
    dev_release(o->d, o->state);
    mem_free(o->scratch);
    mem_free(o);
}

float *optimizer_state(const struct optimizer *o, size_t *n)
{
    *n = o->n_state;
    return o->state;
}

/* --- a step --- */

static struct dev_adamw moments(const struct train_config *c, double lr, uint64_t step)
{
    return (struct dev_adamw){.lr = (float)lr,
                              .b1 = (float)c->beta1,
                              .b2 = (float)c->beta2,
                              .eps = (float)c->eps,
                              .decay = (float)c->weight_decay,
                              .c1 = (float)(1.0 - pow(c->beta1, (double)(step + 1))),
                              .c2 = (float)(1.0 - pow(c->beta2, (double)(step + 1)))};
}

static void step_codes(const struct optimizer *o, float *params, const float *grads, const struct dev_adamw *opt,
                       uint64_t step)
{
    size_t n = o->n_param, n_code = code_floats(n);
    float *v = o->state + n_code, *scale = v + n_code;
    const struct dev_codes codes = {.m = (uint8_t *)o->state,
                                    .v = (uint8_t *)v,
                                    .m_scale = scale,
                                    .v_scale = scale + scale_floats(n),
                                    .seed = o->c->seed,
                                    .step = step};
    dev_adamw8(o->d, params, &codes, grads, n, opt);
}

static void step_factored(const struct optimizer *o, float *params, const float *grads, double lr, uint64_t step)
{
    const struct dev_adafactor opt = {.lr = (float)lr,
                                      .decay = (float)o->c->weight_decay,
                                      .keep = (float)(1.0 - pow((double)(step + 1), -0.8)),
                                      .floor = 1e-30f,
                                      .clip = 1.0f};
    float *state = o->state;
    for (size_t i = 0; i < weights_n_tensor(o->shapes); i++) {
        struct weight_shape s = weights_shape(o->shapes, i);
        float *col = s.n_col > 1 ? state + s.n_row : NULL;
        dev_adafactor(o->d, params + s.at, state, col, grads + s.at, s.n_row, s.n_col, &opt, o->scratch);
        state += s.n_row + (s.n_col > 1 ? s.n_col : 0);
    }
}

void optimizer_step(struct optimizer *o, float *params, const float *grads, double lr, uint64_t step)
{
    const struct dev_adamw opt = moments(o->c, lr, step);
    switch (o->c->optimizer) {
    case OPTIMIZER_ADAMW:
        dev_adamw(o->d, params, o->state, o->state + o->n_param, grads, o->n_param, &opt);
        break;
    case OPTIMIZER_ADAMW8:
        step_codes(o, params, grads, &opt, step);
        break;
    case OPTIMIZER_LION:
        dev_lion(o->d, params, o->state, grads, o->n_param, &opt);
        break;
    case OPTIMIZER_ADAFACTOR:
        step_factored(o, params, grads, lr, step);
        break;
    }
}
