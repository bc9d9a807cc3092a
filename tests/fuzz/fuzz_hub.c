/* Fuzz target: any bytes as a hub's answer. The first byte says whose; what is listed is chosen from, once for all of
 * it, once by a quantization, once by the name of a file; the same bytes are an index of shards. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ground/archive/archive_name.h"
#include "ground/base/str.h"
#include "lifecycle/hub/choose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_listing(const struct hub_listing *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct hub_file *f = &l->file[i];
        if (!archive_name_is_safe(f->path) || hub_listing_find(l, f->path) != f) abort();
        if (f->sha256[0] && strlen(f->sha256) != 64) abort();
        if (f->git_id[0] && strlen(f->git_id) != 40) abort();
    }
}

static void choose(const struct hub_listing *l, const char *selector, const char *text, size_t n)
{
    struct hub_choice c;
    struct err e = {0};
    int rc = hub_choose(&c, l, "hf:o/r", selector, &e);
    if (rc == 0 && c.n == 0) abort();
    if (rc == 0 && c.index) rc = hub_choose_shards(&c, l, "hf:o/r", text, n, &e);
    if (rc && !e.msg[0]) abort();
    for (size_t i = 0; i < c.n; i++)
        if (hub_listing_find(l, c.file[i]->path) != c.file[i]) abort();
    hub_choice_deinit(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hub_listing l;
    struct err e = {0};
    if (n == 0) return 0;
    const char *text = (const char *)data + 1;
    int rc = data[0] == 'm' ? hub_listing_parse_ms(&l, text, n - 1, "fuzz", &e)
                            : hub_listing_parse_hf(&l, text, n - 1, "fuzz", &e);
    if (rc && (!e.msg[0] || e.code == ERR_INTERNAL)) abort();
    if (rc == 0) {
        check_listing(&l);
        choose(&l, NULL, text, n - 1);
        choose(&l, "Q4_K_M", text, n - 1);
        if (l.n) choose(&l, l.file[l.n / 2].path, text, n - 1);
    }
    hub_listing_deinit(&l);
    return 0;
}
