/* Reading index and manifest of an OCI layout (image-spec 1.1). Owns the list of layers. What always holds: digests are
 * 64 hexadecimal digits before they become a path, names are safe. */
#include "lifecycle/hub/oci.h"

#include <stdio.h>
#include <string.h>

#include "ground/archive/archive_name.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/hub/choose.h"
#include "lifecycle/hub/listing.h"

static int take_descriptor(const json_t *d, const char *where, struct oci_descriptor *out, struct err *e)
{
    const char *digest;
    int64_t size = 0;
    int rc = json_get_str(d, "digest", &digest, where, e);
    if (rc == 0) rc = json_get_int(d, "size", 0, INT64_MAX, &size, where, e);
    if (rc) return rc;
    out->size = (uint64_t)size;
    if (str_starts(digest, "sha256:") && hub_take_sha256(digest, out->digest)) return 0;
    return err_set(e, ERR_INPUT, where, "cannot use %s: the digest \"%.80s\" is no SHA-256", where, digest);
}

static const char *annotation(const json_t *d, const char *key)
{
    return json_string_value(json_object_get(json_object_get(d, "annotations"), key));
}

static const char *tag_of(const json_t *d)
{
    const char *tag = annotation(d, "org.opencontainers.image.ref.name");
    return tag ? tag : "";
}

/* "a, b, c" of an index, cut where a message ends. */
static void list_tags(const json_t *manifests, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(manifests) && len + 80 < size; i++) {
        const char *tag = tag_of(json_array_get(manifests, i));
        if (*tag) len += (size_t)snprintf(out + len, size - len, "%s%.60s", len ? ", " : "", tag);
    }
    if (!len) snprintf(out, size, "none");
}

int oci_index_parse(const char *text, size_t n, const char *tag, const char *where, struct oci_descriptor *out,
                    bool *is_index, struct err *e)
{
    json_t *index;
    const json_t *manifests, *found = NULL;
    const char *type = "";
    char tags[240];
    size_t n_found = 0;
    int rc = json_parse(text, n, where, &index, e);
    if (rc) return rc;
    rc = json_get_array(index, "manifests", &manifests, where, e);
    for (size_t i = 0; rc == 0 && i < json_array_size(manifests); i++) {
        const json_t *d = json_array_get(manifests, i);
        if (tag && !str_eq(tag_of(d), tag)) continue;
        found = d;
        n_found++;
    }
    if (rc == 0) list_tags(manifests, tags, sizeof tags);
    if (rc == 0 && n_found == 0)
        rc = err_set(e, ERR_NOT_FOUND, where, "cannot find \"%s\" in %s: its tags are %s", tag ? tag : "a manifest",
                     where, tags);
    if (rc == 0 && n_found > 1)
        rc = err_set(e, ERR_USAGE, where, "cannot choose from %s: it has %zu manifests, name a tag behind a colon: %s",
                     where, n_found, tags);
    if (rc == 0) rc = json_opt_str(found, "mediaType", &type, where, e);
    if (rc == 0) rc = take_descriptor(found, where, out, e);
    *is_index = rc == 0 && strstr(type, "image.index") != NULL;
    json_decref(index);
    return rc;
}

/* --- the manifest --- */

/* Layers that only Ollama and Docker know by their type have no names. */
static const char *name_of_type(const char *type)
{
    if (str_eq(type, "application/vnd.ollama.image.model") || strstr(type, ".ai.gguf.")) return "model.gguf";
    if (strstr(type, ".ai.license") || str_eq(type, "application/vnd.ollama.image.license")) return "LICENSE";
    return NULL;
}

static int take_layer(struct oci_manifest *m, const json_t *l, const char *where, struct err *e)
{
    struct oci_layer layer = {.is_tar = false};
    const char *type = "", *name = annotation(l, "org.opencontainers.image.title");
    int rc = take_descriptor(l, where, &layer.blob, e);
    if (rc == 0) rc = json_opt_str(l, "mediaType", &type, where, e);
    if (rc) return rc;
    layer.is_tar = strstr(type, ".tar") != NULL || strstr(type, "+tar") != NULL;
    if (layer.is_tar && (strstr(type, "gzip") || strstr(type, "zstd")))
        return err_set(e, ERR_UNSUPPORTED, where,
                       "cannot use %s: a layer is \"%.80s\", tar without compression is possible", where, type);
    if (!name) name = annotation(l, "org.cncf.model.filepath");
    if (!name) name = name_of_type(type);
    if (!name && !layer.is_tar) return 0;
    if (!layer.is_tar && !archive_name_is_safe(name)) {
        char shown[100];
        snprintf(shown, sizeof shown, "%s", name);
        str_cut_utf8(shown);
        return err_set(e, ERR_INPUT, where, "cannot use %s: a layer is called \"%s\", which leads out of the folder",
                       where, shown);
    }
    layer.name = mem_strdup(layer.is_tar ? "" : hub_flat_name(name));
    for (size_t i = 0; rc == 0 && i < m->n && !layer.is_tar; i++)
        if (str_eq(m->layer[i].name, layer.name) && !str_eq(layer.name, "LICENSE"))
            rc = err_set(e, ERR_UNSUPPORTED, where, "cannot use %s: two layers are called \"%.100s\"", where,
                         layer.name);
    if (rc)
        mem_free(layer.name);
    else
        m->layer[m->n++] = layer;
    return rc;
}

int oci_manifest_parse(struct oci_manifest *m, const char *text, size_t n, const char *where, struct err *e)
{
    json_t *manifest;
    const json_t *layers;
    *m = (struct oci_manifest){.n = 0};
    int rc = json_parse(text, n, where, &manifest, e);
    if (rc) return rc;
    rc = json_get_array(manifest, "layers", &layers, where, e);
    size_t n_layer = rc ? 0 : json_array_size(layers);
    if (n_layer > OCI_MAX_LAYERS)
        rc = err_set(e, ERR_LIMIT, where, "cannot use %s: %zu layers, at most %d", where, n_layer, (int)OCI_MAX_LAYERS);
    if (rc == 0) m->layer = mem_alloc((n_layer + 1) * sizeof *m->layer);
    for (size_t i = 0; rc == 0 && i < n_layer; i++) rc = take_layer(m, json_array_get(layers, i), where, e);
    if (rc == 0 && m->n == 0)
        rc = err_set(
            e, ERR_UNSUPPORTED, where,
            "cannot use %s: none of its %zu layers has a file name (org.opencontainers.image.title) or is a GGUF",
            where, n_layer);
    json_decref(manifest);
    return rc;
}

void oci_manifest_deinit(struct oci_manifest *m)
{
    for (size_t i = 0; i < m->n; i++) mem_free(m->layer[i].name);
    mem_free(m->layer);
    *m = (struct oci_manifest){.n = 0};
}
