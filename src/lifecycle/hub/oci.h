/* A folder in the OCI image layout as a source of models: index.json, a manifest, layers that are files. Understood are
 * the names that ORAS, the CNCF model format and Docker's and Ollama's media types give files, and layers that are tar.
 */
#ifndef HUB_OCI_H
#define HUB_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "ground/sys/digest.h"

enum { OCI_MAX_JSON = 4 << 20, OCI_MAX_LAYERS = 4096 };

/* What points at a blob. */
struct oci_descriptor {
    char digest[DIGEST_HEX_SIZE];
    uint64_t size;
};
struct oci_layer {
    struct oci_descriptor blob;
    char *name; /* safe; the last component is what it is called; "" for a tar */
    bool is_tar;
};
struct oci_manifest {
    struct oci_layer *layer;
    size_t n;
};
/* The manifest that an index names with tag (NULL: the only one). *is_index: it names another index. text: index.json.
 */
int oci_index_parse(const char *text, size_t n, const char *tag, const char *where, struct oci_descriptor *out,
                    bool *is_index, struct err *e) MUST_CHECK;
/* Layers that may be files of a model; others (licence texts of Ollama, parameters) are left out. */
int oci_manifest_parse(struct oci_manifest *m, const char *text, size_t n, const char *where, struct err *e) MUST_CHECK;
void oci_manifest_deinit(struct oci_manifest *m);

/* Put the files of a layout folder into dir: links to its blobs, each checked against its digest; tars unpacked.
 * *digest (of the manifest) says which it was. */
int oci_stage(const char *layout, const char *tag, const char *dir, char digest[DIGEST_HEX_SIZE],
              struct err *e) MUST_CHECK;

#endif
