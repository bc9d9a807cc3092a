/* The pieces of a download and their state on disk: PATH.state beside PATH.part, replaced atomically about once a
 * second. Owns the array of pieces. What always holds: the state never says more than the part file holds. After the
 * machine lost power it may, where a digest will tell; where none is known the bytes are durable first. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/hub/download_int.h"

enum { STATE_MAX_BYTES = 1 << 20, MAX_PIECES = 16384 };
/* Pieces are small enough that several connections share a file, large enough that a request costs nothing beside its
 * bytes. */
static const uint64_t MIN_PIECE = 1 << 20, MAX_PIECE = 64 << 20;

int pieces_plan(struct download *d, struct err *e)
{
    bool one = d->is_whole || d->size == UINT64_MAX;
    if (!one && d->piece_bytes == 0) {
        d->piece_bytes = d->size / 32 < MIN_PIECE ? MIN_PIECE : d->size / 32 > MAX_PIECE ? MAX_PIECE : d->size / 32;
        if (d->size / d->piece_bytes >= MAX_PIECES) d->piece_bytes = d->size / (MAX_PIECES / 2);
    }
    d->n_piece = one || d->size == 0 ? 1 : (size_t)((d->size + d->piece_bytes - 1) / d->piece_bytes);
    mem_free(d->piece);
    d->piece = mem_try_array(d->n_piece, sizeof *d->piece);
    if (!d->piece) return err_set(e, ERR_NOMEM, d->item->path, "cannot download \"%s\": out of memory", d->item->path);
    for (size_t i = 0; i < d->n_piece; i++) {
        struct piece *p = &d->piece[i];
        *p = (struct piece){.d = d, .size = d->size};
        if (one) continue;
        p->begin = i * d->piece_bytes;
        p->size = d->size - p->begin < d->piece_bytes ? d->size - p->begin : d->piece_bytes;
    }
    return 0;
}

uint64_t pieces_done_bytes(const struct download *d)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < d->n_piece; i++) sum += d->piece[i].done;
    return sum;
}

bool download_can_resume(const struct download *d)
{
    return d->sha256[0] || d->item->git_id[0] || d->validator[0];
}

/* What an earlier state must agree with: the same place, the same contents. */
static json_t *identity(const struct download *d)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:I}", "url", d->item->url, "sha256", d->sha256, "git", d->item->git_id,
                     "validator", d->validator, "size", (json_int_t)d->size);
}

static int identity_digest(const struct download *d, char hex[DIGEST_HEX_SIZE])
{
    json_t *of = identity(d);
    int rc = of ? json_digest(of, hex, NULL) : -ERR_NOMEM;
    json_decref(of);
    return rc;
}

static bool take_done(struct download *d, const json_t *done)
{
    if (json_array_size(done) != d->n_piece) return false;
    for (size_t i = 0; i < d->n_piece; i++) {
        json_int_t n = json_integer_value(json_array_get(done, i));
        if (n < 0 || (uint64_t)n > d->piece[i].size) return false;
        d->piece[i].done = (uint64_t)n;
        d->piece[i].is_complete = (uint64_t)n == d->piece[i].size;
    }
    return true;
}

bool state_load(struct download *d)
{
    char of[DIGEST_HEX_SIZE];
    struct stat st;
    json_t *state;
    int64_t piece_bytes = 0;
    const char *said = "";
    if (d->is_whole || d->size == UINT64_MAX || !download_can_resume(d) || identity_digest(d, of)) return false;
    if (stat(d->part_path, &st) || (uint64_t)st.st_size != d->size) return false;
    if (json_read_file(d->state_path, STATE_MAX_BYTES, &state, NULL)) return false;
    bool good = json_get_str(state, "of", &said, "", NULL) == 0 && str_eq(said, of) &&
                json_get_int(state, "piece_bytes", 1, INT64_MAX, &piece_bytes, "", NULL) == 0 &&
                d->size / (uint64_t)piece_bytes < MAX_PIECES;
    if (good) {
        d->piece_bytes = (uint64_t)piece_bytes;
        good = pieces_plan(d, NULL) == 0 && take_done(d, json_object_get(state, "done"));
    }
    json_decref(state);
    if (!good) d->piece_bytes = 0;
    return good;
}

int state_save(struct download *d, struct err *e)
{
    char of[DIGEST_HEX_SIZE];
    struct buf text;
    if (d->is_whole || d->size == UINT64_MAX || !download_can_resume(d)) return 0;
    if (!d->sha256[0] && !d->item->git_id[0] && fdatasync(d->fd))
        return err_set_errno(e, d->part_path, "cannot write \"%s\" to disk", d->part_path);
    json_t *done = json_array();
    int rc = identity_digest(d, of);
    for (size_t i = 0; rc == 0 && i < d->n_piece; i++)
        if (json_array_append_new(done, json_integer((json_int_t)d->piece[i].done))) rc = -ERR_NOMEM;
    json_t *state =
        rc ? NULL : json_pack("{s:s,s:I,s:O}", "of", of, "piece_bytes", (json_int_t)d->piece_bytes, "done", done);
    buf_init(&text, STATE_MAX_BYTES);
    if (!state || json_format(state, JSON_LINE, &text))
        rc = err_set(e, ERR_NOMEM, d->state_path, "cannot write \"%s\": out of memory", d->state_path);
    else
        rc = file_write_atomic(d->state_path, text.data, text.len, e);
    buf_deinit(&text);
    json_decref(state);
    json_decref(done);
    return rc;
}

void state_discard(const struct download *d)
{
    (void)unlink(d->part_path);
    (void)unlink(d->state_path);
}
