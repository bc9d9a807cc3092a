/* Downloading one file. Owns the part file and the requests for it while it lasts. What always holds: bytes are written
 * where the server said and we asked, never past the end; the file gets its name when it is complete, durable and has
 * the digest that was promised; each piece gives up after n_retry attempts in a row that brought nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/http/http_get.h"
#include "ground/http/http_url.h"
#include "lifecycle/hub/download_int.h"
#include "lifecycle/hub/listing.h"
#include "lifecycle/hub/staging.h"

enum { STEP_MS = 100 };
/* An attempt that brought this much is progress: what follows may fail n_retry times again. */
static const uint64_t PROGRESS_BYTES = 64 << 10;
static const double SAVE_EVERY_S = 1;

static const char *shown(const struct download *d)
{
    return path_base(d->item->path);
}

/* --- one piece --- */

static bool asks_range(const struct piece *p)
{
    return !p->d->is_whole && p->size != UINT64_MAX && (p->begin || p->done || p->size != p->d->size);
}

static int check_range(const struct piece *p, const struct http_head *h, struct err *e)
{
    struct download *d = p->d;
    uint64_t begin, end, total, want = p->begin + p->done, last = p->begin + p->size - 1;
    if (!http_head_range(h, &begin, &end, &total))
        return err_set(e, ERR_INPUT, shown(d), "cannot download \"%s\": the server answers a part without saying which",
                       shown(d));
    if (begin != want || end > last || (total != UINT64_MAX && total != d->size))
        return err_set(e, ERR_INPUT, shown(d),
                       "cannot download \"%s\": the server answers bytes %llu to %llu of %lld, %llu to %llu of %llu "
                       "were asked for",
                       shown(d), (unsigned long long)begin, (unsigned long long)end, (long long)total,
                       (unsigned long long)want, (unsigned long long)last, (unsigned long long)d->size);
    return 0;
}

static int check_whole(struct piece *p, const struct http_head *h, struct err *e)
{
    struct download *d = p->d;
    uint64_t length = http_head_length(h);
    if (asks_range(p)) { /* 200: it does not know ranges; start again with one request */
        d->wants_whole = true;
        return err_set(e, ERR_IO, shown(d), "no ranges");
    }
    p->done = 0;
    if (length != UINT64_MAX && d->size != UINT64_MAX && length != d->size)
        return err_set(e, ERR_INPUT, shown(d),
                       "cannot download \"%s\": the server sends %llu bytes, %llu were announced", shown(d),
                       (unsigned long long)length, (unsigned long long)d->size);
    return 0;
}

/* A strong ETag, else Last-Modified, else "". */
static void find_validator(const struct http_head *h, char *out, size_t size)
{
    const char *etag = http_head_get(h, "etag"), *modified = http_head_get(h, "last-modified");
    const char *v = etag && !str_starts(etag, "W/") ? etag : modified;
    bool good = v && strlen(v) < size;
    for (const char *c = v; good && *c; c++) good = (unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f;
    snprintf(out, size, "%s", good ? v : "");
}

static int check_same(const struct download *d, const struct http_head *h, struct err *e)
{
    char now[sizeof d->validator];
    if (d->sha256[0] || d->item->git_id[0] || !d->validator[0]) return 0;
    find_validator(h, now, sizeof now);
    if (str_eq(now, d->validator)) return 0;
    return err_set(e, ERR_INPUT, shown(d), "cannot download \"%s\": it changed on the server while it was read",
                   shown(d));
}

static int on_head(void *arg, const struct http_head *h, struct err *e)
{
    struct piece *p = arg;
    int rc = check_same(p->d, h, e);
    if (rc) return rc;
    if (h->status == 206 && asks_range(p)) return check_range(p, h, e);
    if (h->status == 200) return check_whole(p, h, e);
    return err_set(e, ERR_INPUT, shown(p->d),
                   "cannot download \"%s\": the server answers %d, 200 or 206 would be right", shown(p->d), h->status);
}

static int write_at(const struct download *d, const void *p, size_t n, uint64_t at, struct err *e)
{
    const char *from = p;
    while (n > 0) {
        ssize_t w = pwrite(d->fd, from, n, (off_t)at);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return err_set_errno(e, d->part_path, "cannot write \"%s\"", d->part_path);
        from += w;
        at += (uint64_t)w;
        n -= (size_t)w;
    }
    return 0;
}

static int on_data(void *arg, const void *bytes, size_t n, struct err *e)
{
    struct piece *p = arg;
    struct download *d = p->d;
    if (p->size != UINT64_MAX && n > p->size - p->done)
        return err_set(e, ERR_INPUT, shown(d),
                       "cannot download \"%s\": the server sends more than the %llu bytes asked for", shown(d),
                       (unsigned long long)p->size);
    int rc = write_at(d, bytes, n, p->begin + p->done, e);
    if (rc == 0) p->done += n;
    return rc;
}

static void give_up(struct piece *p, const struct http_result *r)
{
    struct download *d = p->d;
    if (d->rc) return; /* the first reason counts */
    d->rc = r->rc;
    d->err = r->err;
    if (r->transient && p->n_failed > 1) (void)err_wrap(&d->err, r->rc, "cannot go on after %d attempts", p->n_failed);
}

static void fail_attempt(struct piece *p, const struct http_result *r)
{
    struct hub_net *net = p->d->net;
    p->n_failed = p->done > p->attempt_from + PROGRESS_BYTES ? 1 : p->n_failed + 1;
    double delay = r->transient && p->n_failed <= net->o->n_retry ? http_retry_delay_s(r, p->n_failed) : -1;
    if (p->d->wants_whole) return;
    if (delay < 0) {
        give_up(p, r);
        return;
    }
    p->wait_until_s = clock_s() + delay;
    /* a server that has enough wants none of our connections for so long */
    if (r->retry_after_s > 0 && p->wait_until_s > net->paused_until_s) net->paused_until_s = p->wait_until_s;
}

static void on_done(void *arg, const struct http_result *r)
{
    struct piece *p = arg;
    struct http_result cut = *r;
    p->is_running = false;
    if (r->rc == 0 && p->size != UINT64_MAX && p->done < p->size) { /* a shorter range than asked for, or a lie */
        cut.transient = true;
        cut.rc =
            err_set(&cut.err, ERR_IO, shown(p->d), "cannot download \"%s\": it ended after %llu of %llu bytes",
                    shown(p->d), (unsigned long long)(p->begin + p->done), (unsigned long long)(p->begin + p->size));
    }
    if (cut.rc)
        fail_attempt(p, &cut);
    else
        p->is_complete = true;
}

static int start_piece(struct piece *p, struct err *e)
{
    struct download *d = p->d;
    struct http_fetch f = {.url = d->item->url,
                           .credential = d->item->credential,
                           .range_begin = 1,
                           .head = on_head,
                           .data = on_data,
                           .done = on_done,
                           .arg = p};
    if (asks_range(p)) {
        f.range_begin = p->begin + p->done;
        f.range_end = p->begin + p->size - 1;
    }
    p->attempt_from = p->done;
    p->is_running = true;
    return http_client_start(d->net->client, &f, e);
}

/* --- the whole file --- */

static bool is_complete(const struct download *d)
{
    for (size_t i = 0; i < d->n_piece; i++)
        if (!d->piece[i].is_complete) return false;
    return true;
}

static int start_pieces(struct download *d, struct err *e)
{
    int n_running = 0, rc = 0;
    double now = clock_s();
    for (size_t i = 0; i < d->n_piece; i++) n_running += d->piece[i].is_running;
    for (size_t i = 0; rc == 0 && i < d->n_piece && n_running < d->net->o->n_connection; i++) {
        struct piece *p = &d->piece[i];
        if (p->is_running || p->is_complete || now < p->wait_until_s || now < d->net->paused_until_s) continue;
        rc = start_piece(p, e);
        n_running++;
    }
    return rc;
}

static void tell_progress(const struct download *d)
{
    const struct hub_options *o = d->net->o;
    if (o->progress) o->progress(o->arg, d->net->done_bytes + pieces_done_bytes(d), d->net->total_bytes);
}

static int step(struct download *d, struct err *e)
{
    int rc = hub_check_cancelled(d->net, e);
    if (rc == 0) rc = start_pieces(d, e);
    if (rc == 0) {
        int n_running = 0;
        for (size_t i = 0; i < d->n_piece; i++) n_running += d->piece[i].is_running;
        rc = n_running ? http_client_step(d->net->client, STEP_MS, e) : http_client_wait(d->net->client, STEP_MS, e);
    }
    tell_progress(d);
    if (rc == 0 && clock_s() - d->saved_s > SAVE_EVERY_S) {
        d->saved_s = clock_s();
        rc = state_save(d, e);
    }
    return rc;
}

/* The server gives no ranges: all that came is let go. */
static int start_over_whole(struct download *d, struct err *e)
{
    http_client_cancel(d->net->client);
    d->wants_whole = false;
    d->is_whole = true;
    return pieces_plan(d, e);
}

static int receive(struct download *d, struct err *e)
{
    int rc = 0;
    while (rc == 0 && d->rc == 0 && !is_complete(d)) {
        rc = step(d, e);
        if (rc == 0 && d->wants_whole) rc = start_over_whole(d, e);
    }
    http_client_cancel(d->net->client);
    if (rc == 0 && d->rc) {
        rc = d->rc;
        if (e) *e = d->err;
    }
    if (rc) {
        int saved = state_save(d, NULL); /* for the next try; the reason is worth more than this */
        (void)saved;
    }
    return rc;
}

static int open_part(struct download *d, struct err *e)
{
    d->was_resumed = state_load(d);
    if (!d->was_resumed) state_discard(d);
    int rc = d->was_resumed ? 0 : pieces_plan(d, e);
    if (rc) return rc;
    d->fd = open(d->part_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (d->fd < 0) return err_set_errno(e, d->part_path, "cannot write \"%s\"", d->part_path);
    if (d->size != UINT64_MAX && ftruncate(d->fd, (off_t)d->size))
        return err_set_errno(e, d->part_path, "cannot write \"%s\"", d->part_path);
    /* room is taken now, so that a full disk is known before hours have passed */
    if (d->size != UINT64_MAX && d->size && fallocate(d->fd, 0, 0, (off_t)d->size) && errno == ENOSPC)
        return err_set_errno(e, d->part_path, "cannot make room for \"%s\"", d->part_path);
    return 0;
}

/* --- what a file of unknown size is --- */

struct probe {
    struct download *d;
    bool has_enough; /* the server sends it all: there are no ranges */
};

static int probe_head(void *arg, const struct http_head *h, struct err *e)
{
    struct probe *p = arg;
    struct download *d = p->d;
    uint64_t begin, end, total = UINT64_MAX;
    const char *type = http_head_get(h, "content-type"), *linked = http_head_first(h, "x-linked-etag");
    if (type && str_starts(type, "text/html"))
        return err_set(e, ERR_INPUT, shown(d), "cannot download \"%s\": the address leads to a web page, not to a file",
                       shown(d));
    if (h->status == 206 && http_head_range(h, &begin, &end, &total)) d->size = total;
    if (h->status != 206) {
        d->is_whole = true;
        d->size = http_head_length(h);
    }
    if (d->size != UINT64_MAX && d->size > INT64_MAX)
        return err_set(e, ERR_INPUT, shown(d), "cannot download \"%s\": the server announces %llu bytes", shown(d),
                       (unsigned long long)d->size);
    find_validator(h, d->validator, sizeof d->validator);
    if (!d->sha256[0] && linked && !hub_take_sha256(linked, d->sha256)) d->sha256[0] = '\0';
    return 0;
}

static int probe_data(void *arg, const void *bytes, size_t n, struct err *e)
{
    struct probe *p = arg;
    (void)bytes;
    p->has_enough = n > 1;
    return p->has_enough ? err_set(e, ERR_IO, NULL, "enough") : 0;
}

/* Ask for the first byte: the answer says the size, whether there are ranges, and what the contents are known by. */
static int probe(struct download *d, struct err *e)
{
    struct probe p = {.d = d};
    const struct hub_options *o = d->net->o;
    struct http_get g = {.fetch = {.url = d->item->url,
                                   .credential = d->item->credential,
                                   .range_begin = 0,
                                   .range_end = 0,
                                   .head = probe_head,
                                   .data = probe_data,
                                   .arg = &p},
                         .n_retry = o->n_retry,
                         .is_cancelled = o->is_cancelled,
                         .arg = o->arg};
    int rc = http_get(d->net->client, &g, e);
    return p.has_enough ? 0 : rc;
}

/* --- the end --- */

static void tell_unchecked(const struct download *d)
{
    char text[400];
    snprintf(text, sizeof text, "no digest of \"%.200s\" was promised: it is taken as it came", shown(d));
    if (d->net->o->note) d->net->o->note(d->net->o->arg, text);
}

static int check_contents(const struct download *d, struct err *e)
{
    char found[DIGEST_HEX_SIZE] = "";
    const char *want = d->sha256[0] ? d->sha256 : d->item->git_id, *kind = d->sha256[0] ? "SHA-256" : "git id";
    if (!want[0]) {
        tell_unchecked(d);
        return 0;
    }
    int rc = d->sha256[0] ? digest_file(d->part_path, found, NULL, e) : digest_git_blob(d->part_path, found, e);
    if (rc || str_eq(found, want)) return rc;
    return err_set(e, ERR_INPUT, shown(d), "cannot use \"%s\": what came has the %s %s, %s was promised", shown(d),
                   kind, found, want);
}

static int finish(struct download *d, struct err *e)
{
    if (d->size == UINT64_MAX) d->size = d->piece[0].done;
    int rc = ftruncate(d->fd, (off_t)d->size) || fchmod(d->fd, 0444) || fsync(d->fd)
                 ? err_set_errno(e, d->part_path, "cannot write \"%s\" to disk", d->part_path)
                 : 0;
    if (rc == 0) rc = check_contents(d, e);
    if (rc == -ERR_INPUT) state_discard(d); /* the next try begins anew */
    if (rc == 0 && rename(d->part_path, d->item->path))
        rc = err_set_errno(e, d->item->path, "cannot name \"%s\"", d->item->path);
    if (rc == 0) (void)unlink(d->state_path);
    return rc;
}

static int attempt(struct download *d, struct err *e)
{
    int rc = open_part(d, e);
    if (rc == 0) rc = receive(d, e);
    if (rc == 0) rc = finish(d, e);
    if (d->fd >= 0) close(d->fd);
    d->fd = -1;
    return rc;
}

static char *with_tail(const char *path, const char *tail)
{
    size_t n = strlen(path), m = strlen(tail);
    char *p = mem_alloc(n + m + 1);
    memcpy(p, path, n);
    memcpy(p + n, tail, m + 1);
    return p;
}

static void init(struct download *d, struct hub_net *net, const struct hub_item *item)
{
    *d = (struct download){.net = net, .item = item, .fd = -1, .size = item->size, .saved_s = clock_s()};
    d->part_path = with_tail(item->path, ".part");
    d->state_path = with_tail(item->path, ".state");
    memcpy(d->sha256, item->sha256, sizeof d->sha256);
}

static void deinit(struct download *d)
{
    mem_free(d->piece);
    mem_free(d->part_path);
    mem_free(d->state_path);
}

/* For a file whose size was just found out; those that were listed have been counted together. */
static int check_room(const struct download *d, struct err *e)
{
    uint64_t kept = hub_download_kept_bytes(d->item);
    char *dir = mem_strndup(d->item->path, (size_t)(shown(d) - d->item->path));
    int rc = hub_check_space(dir, d->size > kept ? d->size - kept : 0, shown(d), e);
    mem_free(dir);
    return rc;
}

int hub_download(struct hub_net *net, const struct hub_item *item, struct err *e)
{
    struct download d;
    struct stat st;
    if (stat(item->path, &st) == 0) {
        net->done_bytes += (uint64_t)st.st_size;
        return 0;
    }
    init(&d, net, item);
    int rc = item->size == UINT64_MAX ? probe(&d, e) : 0;
    if (rc == 0 && item->size == UINT64_MAX && d.size != UINT64_MAX) rc = check_room(&d, e);
    if (rc == 0) rc = attempt(&d, e);
    if (rc == -ERR_INPUT && d.was_resumed) { /* what was there may be the wrong part of it: once from the beginning */
        d.rc = 0;
        d.piece_bytes = 0;
        state_discard(&d);
        rc = attempt(&d, e);
    }
    if (rc == 0) net->done_bytes += d.size;
    deinit(&d);
    return rc;
}

uint64_t hub_download_kept_bytes(const struct hub_item *item)
{
    struct stat st;
    char *part = with_tail(item->path, ".part");
    uint64_t n = stat(item->path, &st) == 0 || stat(part, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
    mem_free(part);
    return n;
}
