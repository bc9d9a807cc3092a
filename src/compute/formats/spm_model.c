/* A tokenizer.model of SentencePiece, which is one message of Protocol Buffers: pieces with scores and types, how it
 * was trained, how it normalizes (sentencepiece_model.proto). Fields that are not known are read over, as the format
 * wants; lengths and numbers are checked against the bytes that are there. Texts are copied into the arena. */
#include <math.h>
#include <string.h>

#include "compute/formats/formats_int.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { MAX_PIECES = 1 << 22, MODEL_BPE = 2, TYPE_NORMAL = 1, TYPE_BYTE = 6 };

struct cursor {
    const unsigned char *p, *end;
};
/* One field: its number, its wire type, and the value as the type has it. */
struct field {
    uint32_t number, wire;
    uint64_t value; /* WIRE_VARINT, WIRE_32, WIRE_64 */
    struct cursor bytes;
};

static bool read_varint(struct cursor *c, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (c->p == c->end) {
            return false;
        }
        unsigned b = *c->p++;
        *out |= (uint64_t)(b & 0x7F) << shift;
        if (b < 0x80) {
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct cursor *c, size_t n, uint64_t *out)
{
    *out = 0;
    if ((size_t)(c->end - c->p) < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        *out |= (uint64_t)*c->p++ << (8 * i);
    }
    return true;
}

/* 1: a field, 0: the end, -1: broken. */
static int read_field(struct cursor *c, struct field *f)
{
    uint64_t key, n;
    if (c->p == c->end) {
        return 0;
    }
    if (!read_varint(c, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX) {
        return -1;
    }
    *f = (struct field){.number = (uint32_t)(key >> 3), .wire = (uint32_t)(key & 7)};
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(c, &f->value) ? 1 : -1;
    case WIRE_64:
        return read_fixed(c, 8, &f->value) ? 1 : -1;
    case WIRE_32:
        return read_fixed(c, 4, &f->value) ? 1 : -1;
    case WIRE_BYTES:
        if (!read_varint(c, &n) || n > (uint64_t)(c->end - c->p)) {
            return -1;
        }
        f->bytes = (struct cursor){c->p, c->p + n};
        c->p += n;
        return 1;
    default:
        return -1;
    }
}

static float as_float(uint64_t bits)
{
    uint32_t word = (uint32_t)bits;
    float f;
    memcpy(&f, &word, sizeof f);
    return f;
}

struct reader {
    struct spm_model *m;
    struct arena *mem;
    const char *path;
    struct err *e;
};

static int broken(const struct reader *r, const char *what)
{
    return err_set(r->e, ERR_INPUT, r->path,
                   "cannot read \"%s\": its %s is broken, a model of SentencePiece would be right", r->path, what);
}

static int read_piece(const struct reader *r, struct cursor c, size_t i)
{
    struct field f;
    struct cursor text = {0};
    int got;
    r->m->type[i] = TYPE_NORMAL;
    while ((got = read_field(&c, &f)) > 0) {
        if (f.number == 1 && f.wire == WIRE_BYTES) {
            text = f.bytes;
        } else if (f.number == 2 && f.wire == WIRE_32) {
            r->m->score[i] = as_float(f.value);
        } else if (f.number == 3 && f.wire == WIRE_VARINT) {
            r->m->type[i] = f.value >= 1 && f.value <= TYPE_BYTE ? (int32_t)f.value : -1;
        }
    }
    size_t n = (size_t)(text.end - text.p);
    if (got < 0 || r->m->type[i] < 0 || !isfinite(r->m->score[i]) || n == 0 || memchr(text.p, '\0', n)) {
        return broken(r, "list of pieces");
    }
    r->m->text[i] = arena_strndup(r->mem, (const char *)text.p, n);
    r->m->len[i] = (uint32_t)n;
    return r->m->text[i] ? 0 : err_set(r->e, ERR_NOMEM, r->path, "cannot read \"%s\": out of memory", r->path);
}

/* How it was trained: kind of model, special ids. */
static int read_trainer(const struct reader *r, struct cursor c)
{
    struct field f;
    int got;
    while ((got = read_field(&c, &f)) > 0) {
        struct spm_model *m = r->m;
        int id = (int64_t)f.value < 0 ? -1 : (int)(f.value > INT32_MAX ? INT32_MAX : f.value);
        if (f.wire != WIRE_VARINT) {
            continue;
        }
        switch (f.number) {
        case 3:
            m->is_bpe = f.value == MODEL_BPE;
            break;
        case 24:
            m->space_behind = f.value != 0;
            break;
        case 40:
            m->unk_id = id;
            break;
        case 41:
            m->bos_id = id;
            break;
        case 42:
            m->eos_id = id;
            break;
        case 43:
            m->pad_id = id;
            break;
        default:
            break;
        }
    }
    return got < 0 ? broken(r, "trainer_spec") : 0;
}

static int read_normalizer(const struct reader *r, struct cursor c)
{
    struct field f;
    int got;
    while ((got = read_field(&c, &f)) > 0) {
        struct spm_model *m = r->m;
        if (f.number == 2 && f.wire == WIRE_BYTES) {
            m->maps_chars = f.bytes.p != f.bytes.end;
        } else if (f.number == 3 && f.wire == WIRE_VARINT) {
            m->dummy_prefix = f.value != 0;
        } else if (f.number == 4 && f.wire == WIRE_VARINT) {
            m->joins_spaces = f.value != 0;
        } else if (f.number == 5 && f.wire == WIRE_VARINT) {
            m->escapes_spaces = f.value != 0;
        }
    }
    return got < 0 ? broken(r, "normalizer_spec") : 0;
}

/* Number of pieces; -1: broken. */
static int64_t count_pieces(struct cursor c)
{
    struct field f;
    int64_t n = 0;
    int got;
    while ((got = read_field(&c, &f)) > 0) {
        n += f.number == 1 && f.wire == WIRE_BYTES;
    }
    return got < 0 ? -1 : n;
}

static int check_ids(const struct reader *r)
{
    struct spm_model *m = r->m;
    int *const id[] = {&m->unk_id, &m->bos_id, &m->eos_id, &m->pad_id};
    for (size_t i = 0; i < N_ELEM(id); i++) {
        if (*id[i] >= 0 && (size_t)*id[i] >= m->n) {
            *id[i] = -1; /* the trainer's default names ids that a small vocabulary lacks */
        }
    }
    return 0;
}

int spm_model_parse(struct spm_model *m, struct arena *mem, const char *path, const void *data, size_t n, struct err *e)
{
    /* the defaults of the format */
    *m = (struct spm_model){.unk_id = 0,
                            .bos_id = 1,
                            .eos_id = 2,
                            .pad_id = -1,
                            .dummy_prefix = true,
                            .joins_spaces = true,
                            .escapes_spaces = true};
    struct reader r = {.m = m, .mem = mem, .path = path, .e = e};
    struct cursor c = {data, (const unsigned char *)data + n};
    struct field f;
    int64_t n_piece = count_pieces(c);
    if (n_piece <= 0 || n_piece > MAX_PIECES) {
        return broken(&r, "list of pieces");
    }
    m->text = arena_alloc(mem, (size_t)n_piece * sizeof *m->text);
    m->len = arena_alloc(mem, (size_t)n_piece * sizeof *m->len);
    m->score = arena_alloc(mem, (size_t)n_piece * sizeof *m->score);
    m->type = arena_alloc(mem, (size_t)n_piece * sizeof *m->type);
    if (!m->text || !m->len || !m->score || !m->type) {
        return err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    }
    int rc = 0;
    while (!rc && read_field(&c, &f) > 0) {
        if (f.wire != WIRE_BYTES) {
            continue;
        }
        rc = f.number == 1   ? read_piece(&r, f.bytes, m->n++)
             : f.number == 2 ? read_trainer(&r, f.bytes)
             : f.number == 3 ? read_normalizer(&r, f.bytes)
                             : 0;
    }
    return rc ? rc : check_ids(&r);
}
