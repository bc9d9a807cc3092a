/* Bytes of a fuzzer (or of a test) as a file that a parser can open, and everything done to a model that opened.
 * Included by one source file each; what it finds wrong it reports with abort(). */
#ifndef FUZZ_MODEL_INPUT_H
#define FUZZ_MODEL_INPUT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compute/formats/model_file.h"
#include "ground/base/mem.h"

struct input_file {
    int fd;
    char path[32];
};

static inline void input_file_init(struct input_file *f, const void *data, size_t n)
{
    f->fd = memfd_create("input", MFD_CLOEXEC);
    if (f->fd < 0 || (n && write(f->fd, data, n) != (ssize_t)n)) {
        abort();
    }
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
}

static inline void input_file_deinit(struct input_file *f)
{
    close(f->fd);
}

static inline void use_vocab(const struct vocab_source *v)
{
    size_t sum = 0;
    for (size_t i = 0; v->model && i < v->n_token; i++) {
        if (v->token[i][v->token_len[i]] != '\0') {
            abort();
        }
        sum += strlen(v->token[i]) + (v->score && v->score[i] > 0) + (v->type && v->type[i] > 0);
    }
    for (size_t i = 0; v->model && i < v->n_merge; i++) {
        sum += strlen(v->merge[i]);
    }
    const int id[] = {v->bos_id, v->eos_id, v->eot_id, v->eom_id, v->unk_id, v->pad_id};
    for (size_t i = 0; i < sizeof id / sizeof id[0]; i++) {
        if (id[i] < -1 || (id[i] >= 0 && (size_t)id[i] >= v->n_token)) {
            abort();
        }
    }
    if (sum == SIZE_MAX || (v->chat_template && strlen(v->chat_template) == SIZE_MAX)) {
        abort();
    }
}

/* Read the ends of a tensor; a file that opened must be able to give them. */
static inline void use_tensor(const struct model_file *f, const struct tensor_info *t)
{
    unsigned char ends[64];
    struct err e = {0};
    size_t n = t->n_bytes < sizeof ends ? (size_t)t->n_bytes : sizeof ends;
    if (model_file_read(f, t, ends, 0, n, &e) || model_file_read(f, t, ends, t->n_bytes - n, n, &e)) {
        abort();
    }
    if (model_file_read(f, t, ends, t->n_bytes, 1, &e) == 0 || model_file_find(f, t->name) != t) {
        abort();
    }
}

/* Open and use whatever can be used of it; true when it opened. Errors must carry a message. */
static inline bool use_model(const char *path)
{
    struct model_file *f;
    struct model_params p;
    struct vocab_source v;
    struct err e = {0};
    if (model_file_open(&f, path, &e)) {
        if (e.msg[0] == '\0' || e.code == ERR_INTERNAL) {
            abort();
        }
        return false;
    }
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        use_tensor(f, model_file_tensor(f, i));
    }
    if (!model_file_metadata(f) || (model_file_params(f, &p, &e) && e.msg[0] == '\0')) {
        abort();
    }
    if (model_file_vocab(f, &v, &e) == 0) {
        use_vocab(&v);
    } else if (e.msg[0] == '\0') {
        abort();
    }
    model_file_close(f);
    return true;
}

#endif
