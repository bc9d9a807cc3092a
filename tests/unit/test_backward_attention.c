/* Backward of attention and of what stands before it, against finite differences of a forward pass in double precision:
 * shared prefixes, windows, rotation in pairs and halves, on every path. */
#include "backward_checks.h"

/* --- attention: norm, projections, rotation, softmax; a prefix of 35 tokens with two children, and a sequence alone
 * --- */

enum { N_SEG = 4, N_TOK = 35 + 5 + 3 + 7, N_PAGE = 2 + 1 + 1 + 1 };
static const int seg_tok[N_SEG] = {35, 5, 3, 7}, seg_parent[N_SEG] = {-1, 0, 0, -1};

struct attn_case {
    struct mat q, k, v;
    double *x;
    float *norm, *dout;
    struct variant {
        bool halves;
        int window, chunk;
        double softcap; /* small enough to bend every score */
        enum { NO_NORM, HEAD_NORM, FULL_NORM } qk_norm;
        bool still, bare; /* no rotation; no norm before the projections */
    } is;
    float *q_norm, *k_norm; /* [N_Q], [N_KV_DIM] */
    double qd[N_TOK][N_Q], kd[N_TOK][N_KV_DIM], vd[N_TOK][N_KV_DIM];
    int pos[N_TOK], seg[N_TOK];
};

static void rotate(const struct attn_case *c, double *v, int n_head, int pos)
{
    bool halves = c->is.halves;
    for (int h = 0; !c->is.still && h < n_head; h++)
        for (int i = 0; i < D_HEAD / 2; i++) {
            double angle = pos * (double)(float)pow(10000, -2.0 * i / D_HEAD), cosine = cos(angle), sine = sin(angle);
            double *a = v + h * D_HEAD + (halves ? i : 2 * i),
                   *b = v + h * D_HEAD + (halves ? i + D_HEAD / 2 : 2 * i + 1);
            double x = *a * cosine - *b * sine, y = *b * cosine + *a * sine;
            *a = x, *b = y;
        }
}

static void norm_qk(const struct attn_case *c, double *v, int n, const float *w)
{
    int step = c->is.qk_norm == FULL_NORM ? n : D_HEAD;
    for (int i = 0; i < n && c->is.qk_norm != NO_NORM; i += step) {
        double sum = 0;
        for (int k = i; k < i + step; k++) sum += v[k] * v[k];
        for (int k = i; k < i + step; k++) v[k] *= (double)w[k - i] / sqrt(sum / step + (double)eps);
    }
}

static void place_tokens(struct attn_case *c)
{
    for (int s = 0, t = 0; s < N_SEG; s++)
        for (int i = 0; i < seg_tok[s]; i++, t++) {
            c->seg[t] = s;
            c->pos[t] = i + (seg_parent[s] >= 0 ? seg_tok[seg_parent[s]] : 0);
        }
}

static bool sees(const struct attn_case *c, int t, int from)
{
    bool same = c->seg[from] == c->seg[t] || c->seg[from] == seg_parent[c->seg[t]];
    int window = c->is.window, chunk = c->is.chunk;
    return same && c->pos[from] <= c->pos[t] && (window == 0 || c->pos[t] - c->pos[from] < window) &&
           (chunk == 0 || c->pos[t] / chunk == c->pos[from] / chunk);
}

static double attend(const struct attn_case *c, int t, int head)
{
    double w[N_TOK], total = 0, sum = 0;
    int kv = head / (N_HEAD / N_KV);
    for (int f = 0; f < N_TOK; f++) {
        w[f] = 0;
        if (!sees(c, t, f)) continue;
        double score = 0;
        for (int i = 0; i < D_HEAD; i++) score += c->qd[t][head * D_HEAD + i] * c->kd[f][kv * D_HEAD + i];
        score /= sqrt(D_HEAD);
        if (c->is.softcap > 0) score = c->is.softcap * tanh(score / c->is.softcap);
        total += w[f] = exp(score);
    }
    for (int f = 0; f < N_TOK; f++)
        for (int i = 0; w[f] > 0 && i < D_HEAD; i++)
            sum += w[f] * c->vd[f][kv * D_HEAD + i] * (double)c->dout[t * N_Q + head * D_HEAD + i];
    return sum / total;
}

static double attn_objective(void *arg)
{
    struct attn_case *c = arg;
    double h[N_EMBD], sum = 0;
    for (int t = 0; t < N_TOK; t++) {
        if (c->is.bare)
            memcpy(h, c->x + t * N_EMBD, sizeof(h));
        else
            norm_row(c->x + t * N_EMBD, c->norm, h);
        mat_row(&c->q, h, c->qd[t]);
        mat_row(&c->k, h, c->kd[t]);
        mat_row(&c->v, h, c->vd[t]);
        norm_qk(c, c->qd[t], N_Q, c->q_norm);
        norm_qk(c, c->kd[t], N_KV_DIM, c->k_norm);
        rotate(c, c->qd[t], N_HEAD, c->pos[t]);
        rotate(c, c->kd[t], N_KV, c->pos[t]);
    }
    for (int t = 0; t < N_TOK; t++)
        for (int head = 0; head < N_HEAD; head++) sum += attend(c, t, head);
    return sum;
}

static struct dev_batch tree(struct dev_segment s[N_SEG], const struct dev_block *block)
{
    s[0] = (struct dev_segment){.first_tok = 0, .n_tok = 35, .block = block, .n_block = 2};
    s[1] = (struct dev_segment){.first_tok = 35, .n_tok = 5, .first_pos = 35, .block = block + 2, .n_block = 3};
    s[2] = (struct dev_segment){.first_tok = 40, .n_tok = 3, .first_pos = 35, .block = block + 5, .n_block = 3};
    s[3] = (struct dev_segment){.first_tok = 43, .n_tok = 7, .block = block + 8, .n_block = 1};
    return (struct dev_batch){.mode = DEV_TRAIN, .n_tok = N_TOK, .segment = s, .n_segment = N_SEG};
}
static const struct dev_block tree_blocks[] = {{3, 32}, {1, 3}, {3, 32}, {1, 3}, {0, 5},
                                               {3, 32}, {1, 3}, {4, 3},  {2, 7}};

static struct dev_kv *pages(struct dev *d)
{
    struct err e;
    struct dev_kv *kv;
    struct dev_kv_shape shape = {.n_layer = 1, .n_kv_head = N_KV, .d_head = D_HEAD};
    if (dev_kv_new(d, &kv, &shape, DEV_TRAIN, N_PAGE, &e) != 0) fail_msg("%s", e.msg);
    dev_kv_zero(d, kv);
    return kv;
}

/* The forward pass itself, in the sum that the gradients are of. */
static void check_output(struct dev *d, struct attn_case *c, const float *out)
{
    float host[N_TOK * N_Q];
    double sum = 0, size = 0;
    dev_read(d, host, out, N_TOK * N_Q);
    for (int i = 0; i < N_TOK * N_Q; i++) {
        sum += (double)host[i] * (double)c->dout[i];
        size += fabs((double)host[i] * (double)c->dout[i]);
    }
    double want = attn_objective(c), tol = d->kern.gemm_bf16 != NULL ? 2e-2 : 1e-5;
    if (!(fabs(sum - want) < tol * size)) fail_msg("attention: %g, in double precision %g", sum, want);
}

/* Forward on the device, then back; fills dx and the adapters' gradients. */
static void attention_there_and_back(struct dev *d, struct attn_case *c, const float *x, const float *dout,
                                     const float *norm, float *dx)
{
    float inv_freq[D_HEAD / 2];
    for (int i = 0; i < D_HEAD / 2; i++) inv_freq[i] = (float)pow(10000, -2.0 * i / D_HEAD);
    struct dev_rope rope = {.n_rot = D_HEAD, .halves = c->is.halves, .inv_freq = inv_freq};
    struct dev_segment s[N_SEG];
    struct dev_batch b = tree(s, tree_blocks);
    float *q_norm = on_device(d, c->q_norm, N_Q), *k_norm = on_device(d, c->k_norm, N_KV_DIM),
          *q_raw = on_device(d, NULL, N_TOK * N_Q), *k_raw = on_device(d, NULL, N_TOK * N_KV_DIM);
    bool normed = c->is.qk_norm != NO_NORM;
    struct dev_attn_in in = {.norm = c->is.bare ? NULL : norm,
                             .eps = eps,
                             .q = proj(&c->q),
                             .k = proj(&c->k),
                             .v = proj(&c->v),
                             .q_norm = normed ? q_norm : NULL,
                             .k_norm = normed ? k_norm : NULL,
                             .full_norm = c->is.qk_norm == FULL_NORM,
                             .q_raw = q_raw,
                             .k_raw = k_raw,
                             .rope = c->is.still ? NULL : &rope,
                             .n_head = N_HEAD,
                             .n_kv_head = N_KV,
                             .d_head = D_HEAD};
    struct dev_attn at = {.n_head = N_HEAD,
                          .n_kv_head = N_KV,
                          .d_head = D_HEAD,
                          .window = c->is.window,
                          .chunk = c->is.chunk,
                          .scale = (float)(1 / sqrt(D_HEAD)),
                          .softcap = (float)c->is.softcap};
    struct dev_kv *kv = pages(d), *dkv = pages(d);
    float *q = on_device(d, NULL, N_TOK * N_Q), *out = on_device(d, NULL, N_TOK * N_Q),
          *dq = on_device(d, NULL, N_TOK * N_Q);
    float *lse = on_device(d, NULL, N_TOK * N_HEAD), *inv = on_device(d, NULL, N_TOK);
    struct dev_proj_grad g[3] = {
        {.da = c->q.da, .db = c->q.db}, {.da = c->k.da, .db = c->k.db}, {.da = c->v.da, .db = c->v.db}};
    reserve(d, N_TOK, N_PAGE, 32);
    dev_attention_in(d, &b, &in, x, q, inv, kv, 0);
    dev_attention(d, &b, &at, q, out, lse, kv, 0);
    check_output(d, c, out);
    dev_attention_backward(d, &b, &at, dout, out, q, lse, kv, dkv, 0, 0, dq);
    dev_attention_in_backward(d, &b, &in, g, NULL, dq, dkv, 0, x, inv, dx);
    float *const p[] = {q, out, dq, lse, inv, q_norm, k_norm, q_raw, k_raw};
    for (size_t i = 0; i < N_ELEM(p); i++) dev_release(d, p[i]);
    dev_kv_free(kv), dev_kv_free(dkv);
}

static void attn_shape(struct dev *d, enum quant_type type, const struct variant *is)
{
    static struct attn_case c;
    c = (struct attn_case){.is = *is};
    place_tokens(&c);
    c.q = mat_new(d, "q", type, N_Q, N_EMBD, N_TOK);
    c.k = mat_new(d, "k", type, N_KV_DIM, N_EMBD, N_TOK);
    c.v = mat_new(d, "v", type, N_KV_DIM, N_EMBD, N_TOK);
    float *x = randoms("x", N_TOK * N_EMBD, 1);
    c.x = doubles(x, N_TOK * N_EMBD);
    c.norm = randoms("norm", N_EMBD, 1);
    c.q_norm = randoms("q_norm", N_Q, 1);
    c.k_norm = randoms("k_norm", N_KV_DIM, 1);
    c.dout = randoms("dout", N_TOK * N_Q, 1);
    float *dev[] = {on_device(d, x, N_TOK * N_EMBD), on_device(d, c.dout, N_TOK * N_Q), on_device(d, c.norm, N_EMBD),
                    on_device(d, NULL, N_TOK * N_EMBD)};
    attention_there_and_back(d, &c, dev[0], dev[1], dev[2], dev[3]);
    double tol = tolerance_of(d, type);
    check_gradient(d, "attention dx", attn_objective, &c, c.x, N_TOK * N_EMBD, dev[3], tol);
    check_adapter(d, "q", attn_objective, &c, &c.q, tol);
    check_adapter(d, "k", attn_objective, &c, &c.k, tol);
    check_adapter(d, "v", attn_objective, &c, &c.v, tol);
    for (size_t i = 0; i < N_ELEM(dev); i++) dev_release(d, dev[i]);
    mat_free(d, &c.q), mat_free(d, &c.k), mat_free(d, &c.v);
    free(x), free(c.x), free(c.norm), free(c.dout), free(c.q_norm), free(c.k_norm);
}

static void attn_case(struct dev *d, enum quant_type type)
{
    attn_shape(d, type, &(struct variant){.halves = type == QUANT_F32, .window = type == QUANT_Q8_0 ? 6 : 0});
}

/* What single families do, float weights alone. */
static void test_variants(void **state)
{
    (void)state;
    static const struct variant all[] = {
        {.softcap = 1.5, .window = 9},
        {.chunk = 8, .halves = true},
        {.qk_norm = HEAD_NORM, .halves = true},
        {.qk_norm = FULL_NORM, .bare = true, .halves = true},
        {.still = true},
        {.softcap = 0.8, .qk_norm = HEAD_NORM, .chunk = 16, .still = true, .bare = true},
    };
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++)
        for (int p = FIRST_PRECISION; p < 2; p++)
            for (size_t i = 0; i < N_ELEM(all); i += STEP) {
                struct dev *d = device(2, p == 0 ? PRECISION_REFERENCE : PRECISION_AUTO, (enum kern_isa)isa);
                attn_shape(d, QUANT_F32, &all[i]);
                dev_free(d);
            }
}

static void test_attention(void **state)
{
    (void)state;
    on_every_path(attn_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention), cmocka_unit_test(test_variants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
