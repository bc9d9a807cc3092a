/* Hyper-parameters against limits, and against the tensors that come with them. Owns nothing.
 * After both checks model code may multiply sizes and index heads without asking again. */
#include "compute/formats/formats_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

struct range {
    const char *name;
    int value, min, max;
};

int params_check(const struct model_params *p, const char *path, struct err *e)
{
    const struct range range[] = {
        {"n_layer", p->n_layer, 1, 1024},
        {"n_embd", p->n_embd, 1, 1 << 17},
        {"n_head", p->n_head, 1, 4096},
        {"n_kv_head", p->n_kv_head, 1, p->n_head},
        {"d_head", p->d_head, 2, 1024},
        {"n_ff", p->n_ff, 1, 1 << 20},
        {"n_vocab", p->n_vocab, 1, 1 << 24},
        {"n_ctx_train", p->n_ctx_train, 1, 1 << 28},
        {"n_rot", p->n_rot, 2, p->d_head},
        {"sliding_window", p->sliding_window, 0, 1 << 28},
        {"bos_id", p->bos_id, -1, p->n_vocab - 1},
        {"eos_id", p->eos_id, -1, p->n_vocab - 1},
    };
    for (size_t i = 0; i < N_ELEM(range); i++) {
        const struct range *r = &range[i];
        if (r->value < r->min || r->value > r->max) {
            return err_set(e, ERR_INPUT, path, "cannot use \"%s\": %s is %d, from %d to %d would be right", path,
                           r->name, r->value, r->min, r->max);
        }
    }
    if (p->n_head % p->n_kv_head != 0) {
        return err_set(e, ERR_INPUT, path, "cannot use \"%s\": n_head %d is no multiple of n_kv_head %d", path,
                       p->n_head, p->n_kv_head);
    }
    if (p->d_head % 2 != 0 || p->n_rot % 2 != 0) {
        return err_set(e, ERR_INPUT, path, "cannot use \"%s\": d_head %d and n_rot %d must be even", path, p->d_head,
                       p->n_rot);
    }
    if (!(p->rms_eps > 0 && p->rms_eps < 1) || !(p->rope_theta >= 1 && isfinite(p->rope_theta))) {
        return err_set(e, ERR_INPUT, path,
                       "cannot use \"%s\": rms_eps %g (0 to 1) or rope_theta %g (1 or more) is out of range", path,
                       (double)p->rms_eps, p->rope_theta);
    }
    for (int i = 0; i < p->n_rot / 2; i++) {
        if (!(p->rope_factor[i] > 0 && isfinite(p->rope_factor[i]))) {
            return err_set(e, ERR_INPUT, path,
                           "cannot use \"%s\": rope factor %d is %g, a number above 0 would be right", path, i,
                           (double)p->rope_factor[i]);
        }
    }
    return 0;
}

/* Tensors seen, so that one that model code would leave out is noticed. */
struct checker {
    const struct model_file *f;
    const struct model_params *p;
    struct err *e;
    size_t n_seen;
};

/* A tensor of n_out x n_in values (n_in 0: a vector of n_out); absent is an error only where it must be there. */
static int check_shape(struct checker *c, const char *name, bool must, int n_out, int n_in)
{
    const char *path = c->f->path;
    const struct tensor_info *t = model_file_find(c->f, name);
    if (!t) {
        return must ? err_set(c->e, ERR_INPUT, path, "cannot use \"%s\": tensor \"%s\" is missing", path, name) : 0;
    }
    c->n_seen++;
    bool right = n_in ? t->n_dim == 2 && t->shape[0] == (uint64_t)n_out && t->shape[1] == (uint64_t)n_in
                      : t->n_dim == 1 && t->shape[0] == (uint64_t)n_out;
    if (right) {
        return 0;
    }
    char want[48];
    snprintf(want, sizeof want, n_in ? "%d x %d" : "%d", n_out, n_in);
    return err_set(c->e, ERR_INPUT, path, "cannot use \"%s\": tensor \"%s\" has the wrong shape, %s would be right",
                   path, name, want);
}

static int check_layer(struct checker *c, int layer)
{
    const struct model_params *p = c->p;
    int n_q = p->n_head * p->d_head;
    int n_kv = p->n_kv_head * p->d_head;
    const struct {
        const char *name;
        int n_out, n_in;
    } weight[] = {{"attn_q", n_q, p->n_embd},       {"attn_k", n_kv, p->n_embd},      {"attn_v", n_kv, p->n_embd},
                  {"attn_output", p->n_embd, n_q},  {"ffn_gate", p->n_ff, p->n_embd}, {"ffn_up", p->n_ff, p->n_embd},
                  {"ffn_down", p->n_embd, p->n_ff}, {"attn_norm", p->n_embd, 0},      {"ffn_norm", p->n_embd, 0}};
    char name[64];
    for (size_t i = 0; i < N_ELEM(weight); i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, weight[i].name);
        int rc = check_shape(c, name, true, weight[i].n_out, weight[i].n_in);
        if (!rc && weight[i].n_in) {
            snprintf(name, sizeof name, "blk.%d.%s.bias", layer, weight[i].name);
            rc = check_shape(c, name, false, weight[i].n_out, 0);
        }
        if (rc) {
            return rc;
        }
    }
    return 0;
}

/* Whether model code reads a tensor of this name. */
static bool is_known(const struct model_params *p, const char *name)
{
    static const char *const known[] = {"token_embd.weight", "output_norm.weight", "output.weight",
                                        "rope_freqs.weight"};
    static const char *const part[] = {"attn_q", "attn_k",   "attn_v",    "attn_output", "ffn_gate",
                                       "ffn_up", "ffn_down", "attn_norm", "ffn_norm"};
    int layer;
    int used = 0;
    for (size_t i = 0; i < N_ELEM(known); i++) {
        if (str_eq(name, known[i])) {
            return true;
        }
    }
    if (sscanf(name, "blk.%d.%n", &layer, &used) != 1 || used == 0 || layer >= p->n_layer) {
        return false;
    }
    for (size_t i = 0; i < N_ELEM(part); i++) {
        size_t n = strlen(part[i]);
        const char *kind = name + used + n;
        if (!strncmp(name + used, part[i], n) &&
            (str_eq(kind, ".weight") || (str_eq(kind, ".bias") && !str_ends(part[i], "_norm")))) {
            return true;
        }
    }
    return false;
}

int params_check_tensors(const struct model_file *f, const struct model_params *p, struct err *e)
{
    struct checker c = {f, p, e, 0};
    int rc = check_shape(&c, "token_embd.weight", true, p->n_vocab, p->n_embd);
    rc = rc ? rc : check_shape(&c, "output_norm.weight", true, p->n_embd, 0);
    rc = rc ? rc : check_shape(&c, "output.weight", !p->tied_head, p->n_vocab, p->n_embd);
    rc = rc ? rc : check_shape(&c, "rope_freqs.weight", false, p->n_rot / 2, 0);
    for (int layer = 0; !rc && layer < p->n_layer; layer++) {
        rc = check_layer(&c, layer);
    }
    if (rc || c.n_seen == f->n_tensor) {
        return rc;
    }
    size_t i = 0;
    while (i + 1 < f->n_tensor && is_known(p, f->tensor[i].info.name)) {
        i++;
    }
    return err_set(e, ERR_UNSUPPORTED, f->path,
                   "cannot use \"%s\": tensor \"%.64s\" has no place in a model of %d layers of architecture %s",
                   f->path, f->tensor[i].info.name, p->n_layer, p->architecture);
}
