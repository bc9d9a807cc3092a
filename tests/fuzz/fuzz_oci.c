/* Fuzz target: any bytes as the index, and as the manifest, of an OCI layout. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ground/archive/archive_name.h"
#include "lifecycle/hub/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_digest(const struct oci_descriptor *d)
{
    if (strlen(d->digest) != 64 || strspn(d->digest, "0123456789abcdef") != 64) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const tag[] = {NULL, "v1"};
    struct oci_descriptor d;
    struct oci_manifest m;
    struct err e = {0};
    bool is_index;
    for (size_t i = 0; i < 2; i++) {
        int rc = oci_index_parse((const char *)data, n, tag[i], "index.json", &d, &is_index, &e);
        if (rc == 0) check_digest(&d);
        if (rc && !e.msg[0]) abort();
    }
    int rc = oci_manifest_parse(&m, (const char *)data, n, "the manifest", &e);
    if (rc && !e.msg[0]) abort();
    for (size_t i = 0; i < m.n; i++) {
        check_digest(&m.layer[i].blob);
        if (!m.layer[i].is_tar && (!archive_name_is_safe(m.layer[i].name) || strchr(m.layer[i].name, '/'))) abort();
    }
    oci_manifest_deinit(&m);
    return 0;
}
