/* Backward operations of linear parts, the loss and the optimizer against finite differences of a forward pass in
 * double precision, on every instruction set that this machine has, in both float precisions, and on the bfloat16 path
 * with plain C in the place of its products. */
#include "backward_checks.h"

/* --- linear --- */

struct linear_case {
    struct mat m;
    size_t n_tok;
    double *x;
    float *dy;
};

static double linear_objective(void *arg)
{
    const struct linear_case *c = arg;
    double sum = 0, y[256];
    for (size_t t = 0; t < c->n_tok; t++) {
        mat_row(&c->m, c->x + t * c->m.n_in, y);
        for (size_t o = 0; o < c->m.n_out; o++) sum += y[o] * (double)c->dy[t * c->m.n_out + o];
    }
    return sum;
}

static void linear_shape(struct dev *d, enum quant_type type, size_t n_out, size_t n_in)
{
    struct linear_case c = {.n_tok = 13};
    struct dev_segment s;
    struct dev_batch b = whole(&s, (int)c.n_tok);
    c.m = mat_new(d, "w", type, n_out, n_in, c.n_tok);
    reserve(d, (int)c.n_tok, 1, 32);
    float *x = randoms("x", c.n_tok * n_in, 1);
    c.x = doubles(x, c.n_tok * n_in);
    c.dy = randoms("dy", c.n_tok * n_out, 1);
    put_u(d, &c.m, c.x, c.n_tok);
    float *x_dev = on_device(d, x, c.n_tok * n_in), *dy = on_device(d, c.dy, c.n_tok * n_out);
    float *dx = on_device(d, NULL, c.n_tok * n_in);
    struct dev_proj p = proj(&c.m);
    struct dev_proj_grad g = {.da = c.m.da, .db = c.m.db};
    dev_linear_backward(d, &b, &p, &g, dy, x_dev, dx);
    double tol = tolerance_of(d, type);
    check_gradient(d, "linear dx", linear_objective, &c, c.x, c.n_tok * n_in, dx, tol);
    check_adapter(d, "linear", linear_objective, &c, &c.m, tol);
    dev_release(d, x_dev), dev_release(d, dy), dev_release(d, dx);
    mat_free(d, &c.m);
    free(x), free(c.x), free(c.dy);
}

static void linear_case(struct dev *d, enum quant_type type)
{
    linear_shape(d, type, 48, 96);
    if (type == QUANT_F32) linear_shape(d, type, 37, 45);
}

/* Rows of two blocks of 256. */
static void linear_wide(struct dev *d)
{
    linear_shape(d, QUANT_Q4_K, 48, 512);
    linear_shape(d, QUANT_Q3_K, 16, 256);
}

static void test_linear(void **state)
{
    (void)state;
    on_every_path(linear_case);
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++) {
        for (int p = 0; p < 2; p++) {
            struct dev *d = device(2, p == 0 ? PRECISION_REFERENCE : PRECISION_AUTO, (enum kern_isa)isa);
            linear_wide(d);
            dev_free(d);
        }
    }
}

/* --- norm, gate, up, product --- */

struct ff_case {
    struct mat gate, up;
    size_t n_tok;
    double *x;
    float *norm, *dact;
    bool gelu;
};

static double activation(const struct ff_case *c, double x)
{
    return c->gelu ? 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) : x / (1 + exp(-x));
}

static double ff_objective(void *arg)
{
    const struct ff_case *c = arg;
    double sum = 0, h[N_EMBD], g[96], u[96];
    for (size_t t = 0; t < c->n_tok; t++) {
        norm_row(c->x + t * N_EMBD, c->norm, h);
        mat_row(&c->gate, h, g);
        mat_row(&c->up, h, u);
        for (size_t i = 0; i < 96; i++) sum += activation(c, g[i]) * u[i] * (double)c->dact[t * 96 + i];
    }
    return sum;
}

/* The forward step: act = activation(gate) * up. */
static void check_activation(struct dev *d, const struct ff_case *c, const float *gate_dev, const float *up_dev,
                             const float *gate, const float *up)
{
    size_t n = c->n_tok * 96;
    float *act = on_device(d, NULL, n), host[9 * 96];
    dev_glu(d, c->gelu, act, gate_dev, up_dev, c->n_tok, 96);
    dev_read(d, host, act, n);
    for (size_t i = 0; i < n; i++) {
        double want = activation(c, (double)gate[i]) * (double)up[i];
        if (!(fabs((double)host[i] - want) <= 1e-6 * (1 + fabs(want))))
            fail_msg("activation %zu of %g, %g: %.9g, not %.9g", i, (double)gate[i], (double)up[i], (double)host[i],
                     want);
    }
    dev_release(d, act);
}

static void ff_shape(struct dev *d, enum quant_type type, bool gelu)
{
    struct ff_case c = {.n_tok = 9, .gelu = gelu};
    struct dev_segment s;
    struct dev_batch b = whole(&s, (int)c.n_tok);
    size_t n_x = c.n_tok * N_EMBD, n_act = c.n_tok * 96;
    c.gate = mat_new(d, "gate", type, 96, N_EMBD, c.n_tok);
    c.up = mat_new(d, "up", type, 96, N_EMBD, c.n_tok);
    reserve(d, (int)c.n_tok, 1, 32);
    float *x = randoms("x", n_x, 1);
    c.x = doubles(x, n_x);
    c.norm = randoms("norm", N_EMBD, 1);
    c.dact = randoms("dact", n_act, 1);
    double *h = calloc(n_x, sizeof(*h)), y[96];
    float *inv = calloc(c.n_tok, sizeof(*inv)), *gate = calloc(n_act, sizeof(*gate)), *up = calloc(n_act, sizeof(*up));
    for (size_t t = 0; t < c.n_tok; t++) {
        inv[t] = (float)norm_row(c.x + t * N_EMBD, c.norm, h + t * N_EMBD);
        mat_row(&c.gate, h + t * N_EMBD, y);
        for (size_t i = 0; i < 96; i++) gate[t * 96 + i] = (float)y[i];
        mat_row(&c.up, h + t * N_EMBD, y);
        for (size_t i = 0; i < 96; i++) up[t * 96 + i] = (float)y[i];
    }
    put_u(d, &c.gate, h, c.n_tok);
    put_u(d, &c.up, h, c.n_tok);
    float *dev[] = {on_device(d, x, n_x),        on_device(d, inv, c.n_tok),  on_device(d, gate, n_act),
                    on_device(d, up, n_act),     on_device(d, c.dact, n_act), on_device(d, NULL, n_x),
                    on_device(d, c.norm, N_EMBD)};
    struct dev_gate_up p = {.norm = dev[6], .eps = eps, .gate = proj(&c.gate), .up = proj(&c.up)};
    struct dev_proj_grad g[2] = {{.da = c.gate.da, .db = c.gate.db}, {.da = c.up.da, .db = c.up.db}};
    check_activation(d, &c, dev[2], dev[3], gate, up);
    dev_glu_backward(d, gelu, dev[2], dev[3], dev[4], dev[2], dev[3], c.n_tok, 96);
    dev_gate_up_backward(d, &b, &p, g, dev[2], dev[3], dev[0], dev[1], dev[5], NULL);
    double tol = tolerance_of(d, type);
    check_gradient(d, "gate_up dx", ff_objective, &c, c.x, n_x, dev[5], tol);
    check_adapter(d, "gate", ff_objective, &c, &c.gate, tol);
    check_adapter(d, "up", ff_objective, &c, &c.up, tol);
    for (size_t i = 0; i < N_ELEM(dev); i++) dev_release(d, dev[i]);
    mat_free(d, &c.gate), mat_free(d, &c.up);
    free(x), free(c.x), free(c.norm), free(c.dact), free(h), free(inv), free(gate), free(up);
}

static void ff_case(struct dev *d, enum quant_type type)
{
    ff_shape(d, type, false);
    if (type == QUANT_F32) ff_shape(d, type, true);
}

static void test_gate_up(void **state)
{
    (void)state;
    on_every_path(ff_case);
}

/* --- the loss --- */

enum { N_ROW = 134, N_VOCAB = 75, N_HEAD_TOK = 120 };

struct head_case {
    struct mat w;
    double *x;
    float *norm, *weight;
    int32_t row[N_ROW], target[N_ROW];
    double loss[N_ROW];
    double scale, softcap;
};

static double finished(const struct head_case *c, double logit)
{
    logit *= c->scale;
    return c->softcap > 0 ? c->softcap * tanh(logit / c->softcap) : logit;
}

static double head_objective(void *arg)
{
    struct head_case *c = arg;
    double sum = 0, h[N_EMBD], y[N_VOCAB];
    for (int i = 0; i < N_ROW; i++) {
        norm_row(c->x + c->row[i] * N_EMBD, c->norm, h);
        double total = 0;
        for (size_t o = 0; o < N_VOCAB; o++) {
            y[o] = 0;
            for (size_t k = 0; k < N_EMBD; k++) y[o] += c->w.wd[o * N_EMBD + k] * h[k];
            y[o] = finished(c, y[o]);
            total += exp(y[o]);
        }
        c->loss[i] = log(total) - y[c->target[i]];
        sum += c->loss[i] * (double)c->weight[i];
    }
    return sum;
}

static void head_shape(struct dev *d, enum quant_type type, double scale, double softcap)
{
    static struct head_case c;
    c = (struct head_case){.scale = scale, .softcap = softcap};
    struct dev_segment s;
    struct dev_batch b = whole(&s, N_HEAD_TOK);
    s.adapter = -1;
    float *x = randoms("x", N_HEAD_TOK * N_EMBD, 1), loss[N_ROW];
    uint8_t correct[N_ROW];
    c.w = mat_new(d, "head", type, N_VOCAB, N_EMBD, 1);
    c.x = doubles(x, N_HEAD_TOK * N_EMBD);
    c.norm = randoms("norm", N_EMBD, 1);
    c.weight = randoms("weight", N_ROW, 1);
    for (int i = 0; i < N_ROW; i++) { /* rows repeat where rounding says so, across chunks too */
        c.row[i] = i * (N_HEAD_TOK - 1) / (N_ROW - 1);
        c.target[i] = (int32_t)rng_below(N_VOCAB, SEED, 99, (uint64_t)i);
    }
    reserve(d, N_HEAD_TOK, 1, N_VOCAB);
    float *x_dev = on_device(d, x, N_HEAD_TOK * N_EMBD), *dx = on_device(d, NULL, N_HEAD_TOK * N_EMBD);
    float *norm = on_device(d, c.norm, N_EMBD);
    struct dev_head p = {
        .norm = norm, .eps = eps, .out = {.w = c.w.w}, .scale = (float)scale, .softcap = (float)softcap};
    dev_head_loss(d, &b, &p, x_dev, c.row, c.target, c.weight, N_ROW, loss, correct, dx, NULL);
    double tol = tolerance_of(d, type);
    head_objective(&c);
    for (int i = 0; i < N_ROW; i++) assert_true(fabs((double)loss[i] - c.loss[i]) < 20 * tol);
    check_gradient(d, "loss dx", head_objective, &c, c.x, N_HEAD_TOK * N_EMBD, dx, tol);
    dev_release(d, x_dev), dev_release(d, dx), dev_release(d, norm);
    mat_free(d, &c.w);
    free(x), free(c.x), free(c.norm), free(c.weight);
}

static void head_case(struct dev *d, enum quant_type type)
{
    head_shape(d, type, 1, 0);
    if (type == QUANT_F32) {
        head_shape(d, type, 0.4, 0);
        head_shape(d, type, 1.5, 2);
    }
}

/* --- the way a branch joins the residual stream --- */

struct join_case {
    double *y;
    float *norm, *dx;
    double scale;
};

enum { N_JOIN_TOK = 7 };

static double join_objective(void *arg)
{
    const struct join_case *c = arg;
    double sum = 0, h[N_EMBD];
    for (int t = 0; t < N_JOIN_TOK; t++) {
        const double *y = c->y + t * N_EMBD;
        if (c->norm != NULL) norm_row(y, c->norm, h);
        for (int i = 0; i < N_EMBD; i++)
            sum += c->scale * (c->norm != NULL ? h[i] : y[i]) * (double)c->dx[t * N_EMBD + i];
    }
    return sum;
}

static void join_shape(struct dev *d, bool normed, double scale)
{
    enum { N = N_JOIN_TOK * N_EMBD };
    struct dev_segment s;
    struct dev_batch b = whole(&s, N_JOIN_TOK);
    float *y = randoms("y", N, 1), *norm = randoms("norm", N_EMBD, 1);
    struct join_case c = {.y = doubles(y, N), .norm = normed ? norm : NULL, .dx = randoms("dx", N, 1), .scale = scale};
    float *dev[] = {on_device(d, y, N), on_device(d, norm, N_EMBD), on_device(d, c.dx, N), on_device(d, NULL, N)};
    struct dev_join j = {.norm = normed ? dev[1] : NULL, .eps = eps, .scale = (float)scale, .y = dev[0]};
    reserve(d, N_JOIN_TOK, 1, 32);
    dev_join_backward(d, &b, &j, N_EMBD, dev[2], dev[3], NULL);
    check_gradient(d, "join dy", join_objective, &c, c.y, N, dev[3], 5e-5);
    for (size_t i = 0; i < N_ELEM(dev); i++) dev_release(d, dev[i]);
    free(y), free(norm), free(c.y), free(c.dx);
}

static void test_join(void **state)
{
    (void)state;
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++) {
        struct dev *d = device(2, PRECISION_REFERENCE, (enum kern_isa)isa);
        join_shape(d, true, 1);
        join_shape(d, true, 0.3);
        join_shape(d, false, 0.3);
        dev_free(d);
    }
}

static void test_head_loss(void **state)
{
    (void)state;
    on_every_path(head_case);
}

/* --- optimizer --- */

enum { N_PARAM = 10007 };

static void test_adamw(void **state)
{
    (void)state;
    struct dev *d = device(2, PRECISION_AUTO, kern_isa_detect());
    float *p0 = randoms("p", N_PARAM, 1), *g0 = randoms("g", N_PARAM, 1), got[N_PARAM];
    float *p = on_device(d, p0, N_PARAM), *g = on_device(d, g0, N_PARAM);
    float *m = on_device(d, NULL, N_PARAM), *v = on_device(d, NULL, N_PARAM);
    double *want = doubles(p0, N_PARAM), *md = calloc(N_PARAM, sizeof(*md)), *vd = calloc(N_PARAM, sizeof(*vd)),
           squares = 0;
    for (int t = 1; t <= 3; t++) {
        struct dev_adamw o = {.lr = 0.01f,
                              .b1 = 0.9f,
                              .b2 = 0.95f,
                              .eps = 1e-8f,
                              .decay = 0.1f,
                              .c1 = (float)(1 - pow(0.9, t)),
                              .c2 = (float)(1 - pow(0.95, t))};
        dev_adamw(d, p, m, v, g, N_PARAM, &o);
        for (int i = 0; i < N_PARAM; i++) {
            double gi = (double)g0[i];
            md[i] = 0.9 * md[i] + 0.1 * gi;
            vd[i] = 0.95 * vd[i] + 0.05 * gi * gi;
            want[i] -= 0.01 * 0.1 * want[i];
            want[i] -= 0.01 * (md[i] / (1 - pow(0.9, t))) / (sqrt(vd[i] / (1 - pow(0.95, t))) + 1e-8);
        }
    }
    dev_read(d, got, p, N_PARAM);
    for (int i = 0; i < N_PARAM; i++) {
        assert_true(fabs((double)got[i] - want[i]) < 2e-6);
        squares += (double)g0[i] * (double)g0[i];
    }
    assert_true(fabs(dev_sum_squares(d, g, N_PARAM) - squares) < 1e-9 * squares);
    dev_scale(d, g, 0.5f, N_PARAM);
    assert_true(fabs(dev_sum_squares(d, g, N_PARAM) - squares / 4) < 1e-9 * squares);
    dev_copy(d, p, g, N_PARAM);
    assert_true(fabs(dev_sum_squares(d, p, N_PARAM) - squares / 4) < 1e-9 * squares);
    dev_release(d, p), dev_release(d, g), dev_release(d, m), dev_release(d, v);
    dev_free(d);
    free(p0), free(g0), free(want), free(md), free(vd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear), cmocka_unit_test(test_gate_up), cmocka_unit_test(test_head_loss),
        cmocka_unit_test(test_join),   cmocka_unit_test(test_adamw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
