/* Typed access to GGUF metadata, and metadata as JSON for people. Owns nothing; everything is borrowed from the
 * gguf_file. A value of another type than asked for reads as absent, so callers name the type they wanted. */
#include "compute/formats/formats_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Elements of arrays shown in one file: 64k keys of 64 elements each would cost 30 times the file. */
enum { MAX_SHOWN_ELEMENTS = 1 << 16 };

bool gguf_get_int(const struct gguf_file *g, const char *key, int64_t *out)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) {
        return false;
    }
    switch (v->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64:
        if (v->u > INT64_MAX) {
            return false;
        }
        *out = (int64_t)v->u;
        return true;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        *out = v->i;
        return true;
    default:
        return false;
    }
}

bool gguf_get_float(const struct gguf_file *g, const char *key, double *out)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v || (v->type != GGUF_F32 && v->type != GGUF_F64)) {
        return false;
    }
    *out = v->f;
    return true;
}

bool gguf_get_bool(const struct gguf_file *g, const char *key, bool *out)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v || v->type != GGUF_BOOL) {
        return false;
    }
    *out = v->u != 0;
    return true;
}

const char *gguf_get_str(const struct gguf_file *g, const char *key)
{
    const struct gguf_value *v = gguf_find(g, key);
    return v && v->type == GGUF_STRING ? v->str.p : NULL;
}

static json_t *json_from_float(double f)
{
    if (isfinite(f)) {
        return json_real(f);
    }
    return json_string(isnan(f) ? "NaN" : f > 0 ? "Infinity" : "-Infinity");
}

static json_t *json_from_u64(uint64_t u)
{
    char text[24];
    if (u <= INT64_MAX) {
        return json_integer((json_int_t)u);
    }
    snprintf(text, sizeof text, "%llu", (unsigned long long)u);
    return json_string(text); /* JSON integers of jansson are signed */
}

static json_t *json_from_scalar(const struct gguf_value *v)
{
    switch (v->type) {
    case GGUF_STRING:
        return json_from_bytes(v->str.p, v->str.len);
    case GGUF_BOOL:
        return json_boolean(v->u != 0);
    case GGUF_F32:
    case GGUF_F64:
        return json_from_float(v->f);
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        return json_integer(v->i);
    default:
        return json_from_u64(v->u);
    }
}

/* Element idx of an array as a value of its own. */
static struct gguf_value element(const struct gguf_value *v, size_t idx)
{
    struct gguf_value x = {.type = v->arr.type};
    if (v->arr.type == GGUF_STRING) {
        x.str.p = v->arr.str[idx];
        x.str.len = v->arr.str_len[idx];
        return x;
    }
    size_t size = gguf_type_size(v->arr.type);
    const unsigned char *p = (const unsigned char *)v->arr.data + idx * size;
    float f;
    int32_t i32;
    int16_t i16;
    switch (v->arr.type) {
    case GGUF_I8:
        x.i = (int8_t)p[0];
        break;
    case GGUF_I16:
        memcpy(&i16, p, 2), x.i = i16;
        break;
    case GGUF_I32:
        memcpy(&i32, p, 4), x.i = i32;
        break;
    case GGUF_F32:
        memcpy(&f, p, 4), x.f = (double)f;
        break;
    default:
        memcpy(&x.u, p, size);
    }
    return x;
}

static json_t *json_from_array(const struct gguf_value *v, size_t *n_shown)
{
    if (v->arr.n > SHOWN_ARRAY_LEN || *n_shown + v->arr.n > MAX_SHOWN_ELEMENTS) {
        return json_pack("{s:b, s:s, s:I}", "array", 1, "type", gguf_type_name(v->arr.type), "n", (json_int_t)v->arr.n);
    }
    *n_shown += v->arr.n;
    json_t *out = json_array();
    for (size_t i = 0; out && i < v->arr.n; i++) {
        struct gguf_value x = element(v, i);
        if (json_array_append_new(out, json_from_scalar(&x))) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

json_t *gguf_metadata_json(const struct gguf_file *g)
{
    size_t n_shown = 0;
    json_t *out = json_object();
    for (size_t i = 0; out && i < g->n_kv; i++) {
        const struct gguf_value *v = &g->kv[i].v;
        json_t *j = v->type == GGUF_ARRAY ? json_from_array(v, &n_shown) : json_from_scalar(v);
        if (json_object_set_new(out, g->kv[i].key, j)) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}
