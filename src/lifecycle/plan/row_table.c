/* The columns of the catalogue. Owns the tables. What always holds of a row that was read: numbers lie in the range of
 * their column, so that products of dimensions fit a double exactly enough and nothing divides by zero. */
#include "lifecycle/plan/row_table.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "ground/base/str.h"
#include "lifecycle/plan/age.h"

/* A column of the row that ROW names: kind, whether it must be there, and its range. */
#define FIELD(column, member, kind, required, min, max)         \
    {                                                           \
        column, kind, required, min, max, offsetof(ROW, member) \
    }
#define TEXT(column, member)      FIELD(column, member, ROW_TEXT, false, 0, 0)
#define NAME(column, member)      FIELD(column, member, ROW_TEXT, true, 0, 0)
#define NUM(column, member, max)  FIELD(column, member, ROW_NUMBER, false, 0, max)
#define NEED(column, member, max) FIELD(column, member, ROW_NUMBER, true, 1e-6, max)
#define DIM(column, member, max)  FIELD(column, member, ROW_COUNT, true, 1, max)
#define CNT(column, member, max)  FIELD(column, member, ROW_COUNT, false, 0, max)
#define FLAG(column, member)      FIELD(column, member, ROW_FLAG, false, 0, 1)

enum { MAX_WIDTH = 1000000 };

#define ROW struct plan_model
static const struct row_field model_fields[] = {
    NAME("model", name),
    TEXT("provider", provider),
    TEXT("version", version),
    TEXT("hf_id", hf_id),
    TEXT("architecture", architecture),
    TEXT("pre_tokenizer", pre_tokenizer),
    NUM("params_total_b", params_total_b, 1e6),
    NUM("params_active_b", params_active_b, 1e6),
    TEXT("params_basis", params_basis),
    TEXT("params_gap", params_gap),
    DIM("n_layers", n_layer, 10000),
    DIM("hidden", n_embd, MAX_WIDTH),
    DIM("n_heads", n_head, 10000),
    DIM("n_kv_heads", n_kv_head, 10000),
    DIM("head_dim", d_head, 10000),
    DIM("vocab", n_vocab, 10000000),
    CNT("ffn_inter", n_ff, 10000000),
    TEXT("attn", attention),
    CNT("n_full_attn_layers", n_layer_full, 10000),
    CNT("n_swa_layers", n_layer_window, 10000),
    CNT("swa_window", window, 100000000),
    CNT("n_linear_layers", n_layer_linear, 10000),
    CNT("q_lora", q_lora, MAX_WIDTH),
    CNT("mla_kv_lora", kv_lora, MAX_WIDTH),
    CNT("mla_rope_dim", d_rope, 10000),
    CNT("mla_nope_dim", d_nope, 10000),
    CNT("mla_v_dim", d_v, 10000),
    CNT("indexer_kv_bytes_per_token_layer", indexer_bytes, 100000),
    NUM("linear_state_bytes", linear_state_bytes, 1e12),
    CNT("n_experts", n_expert, 100000),
    CNT("top_k", n_expert_used, 100000),
    CNT("n_shared_experts", n_expert_shared, 1000),
    CNT("moe_inter", n_ff_expert, 10000000),
    CNT("shared_inter", n_ff_shared, 10000000),
    CNT("n_dense_layers", n_layer_dense, 10000),
    NUM("kv_bytes_per_token_fp16", kv_bytes_token_f16, 1e12),
    NUM("kv_bytes_per_token_fp16_full_layers_only", kv_bytes_token_f16_full, 1e12),
    DIM("context_max", n_ctx, 1000000000),
    FLAG("tied_embeddings", tied_head),
    TEXT("license", licence),
    TEXT("openness", openness),
    TEXT("local_deployment", local_deployment),
    TEXT("tuning_ease", tuning_ease),
    TEXT("modality", modality),
    TEXT("languages", languages),
    TEXT("release_date", release_date),
    TEXT("noted", noted),
    TEXT("source", source),
    TEXT("confidence", confidence),
    TEXT("notes", notes),
};
#undef ROW
static const char *const model_derived[] = {"params_calc_b",
                                            "active_calc_b",
                                            "calc_err_pct",
                                            "linear_params_b",
                                            "expert_params_b",
                                            "embed_params_b",
                                            "weights_fp16_gib",
                                            "weights_int8_gib",
                                            "weights_awq4_gib",
                                            "weights_q4km_gib",
                                            NULL};

#define ROW struct plan_hardware
static const struct row_field hardware_fields[] = {
    NAME("id", id),
    TEXT("name", name),
    TEXT("vendor", vendor),
    NAME("kind", kind_text),
    NEED("vram_gb", memory_gb, 1e6),
    NEED("mem_bw_gbs", read_gb_s, 1e6),
    NUM("fp32_tflops", fp32_tflops, 1e6),
    NUM("fp16_tensor_dense_tflops", fp16_tflops, 1e6),
    NUM("fp16_fp16acc_tflops", fp16_fp16acc_tflops, 1e6),
    NUM("bf16_tensor_dense_tflops", bf16_tflops, 1e6),
    NUM("int8_dense_tops", int8_tops, 1e6),
    NUM("fp8_dense_tflops", fp8_tflops, 1e6),
    NUM("fp4_dense_tflops", fp4_tflops, 1e6),
    NUM("tdp_w", power_w, 1e6),
    TEXT("interconnect", interconnect),
    NUM("link_gbs_per_dir", link_gb_s, 1e5),
    CNT("launch_year", launch_year, 2100),
    NUM("launch_price_usd", launch_price_usd, 1e8),
    NUM("price2026_usd_low", price_usd_low, 1e8),
    NUM("price2026_usd_high", price_usd_high, 1e8),
    NUM("price2026_rmb_low", price_cny_low, 1e9),
    NUM("price2026_rmb_high", price_cny_high, 1e9),
    TEXT("rmb_basis", rmb_basis),
    TEXT("price_basis", price_basis),
    NUM("cloud_usd_per_hour_low", rent_usd_h_low, 1e5),
    NUM("cloud_usd_per_hour_high", rent_usd_h_high, 1e5),
    TEXT("noted", noted),
    TEXT("notes", notes),
    TEXT("source", source),
    TEXT("confidence", confidence),
};
#undef ROW

#define ROW struct plan_price
static const struct row_field price_fields[] = {
    NAME("provider", provider),
    NAME("model", model),
    NAME("price_date", date), /* an older price stays beside a newer one */
    TEXT("open_weights", open_weights),
    TEXT("catalogue_model", catalogue_model),
    NUM("input_usd_per_mtok", input_usd, 1e6),
    NUM("output_usd_per_mtok", output_usd, 1e6),
    NUM("cached_input_usd_per_mtok", cached_usd, 1e6),
    NUM("input_cny_per_mtok", input_cny, 1e7),
    NUM("output_cny_per_mtok", output_cny, 1e7),
    NUM("cached_input_cny_per_mtok", cached_cny, 1e7),
    TEXT("native_currency", native_currency),
    TEXT("source", source),
    TEXT("confidence", confidence),
    TEXT("notes", notes),
};
#undef ROW

static int check_model(void *row, const char *where, struct err *e);
static int check_hardware(void *row, const char *where, struct err *e);
static int check_price(void *row, const char *where, struct err *e);
static const char *const nothing[] = {NULL};

/* clang-format off */
const struct row_table
    row_models = {"models", "models.csv", model_fields, N_ELEM(model_fields), sizeof(struct plan_model), 1, model_derived,
                  check_model},
    row_hardware = {"hardware", "hardware.csv", hardware_fields, N_ELEM(hardware_fields), sizeof(struct plan_hardware), 1,
                    nothing, check_hardware},
    row_prices = {"prices", "api_prices.csv", price_fields, N_ELEM(price_fields), sizeof(struct plan_price), 3, nothing,
                  check_price};
/* clang-format on */

const struct row_table *row_table_find(const char *name)
{
    static const struct row_table *const all[] = {&row_models, &row_hardware, &row_prices};
    for (size_t i = 0; i < N_ELEM(all); i++)
        if (str_eq(all[i]->name, name)) return all[i];
    return NULL;
}

int row_column(const struct row_table *t, const char *column)
{
    for (size_t i = 0; i < t->n_field; i++)
        if (strcmp(t->field[i].column, column) == 0) return (int)i;
    return -1;
}

enum { PART_BYTES = 3 }; /* shorter parts of a name ("n", "mb") are in too many others */

/* A part of the name between underscores is in the column, too: "memory_price" is near "price_date". */
static bool shares_part(const char *name, const char *column)
{
    char part[32];
    for (const char *p = name; *p; p += strspn(p, "_")) {
        size_t n = strcspn(p, "_");
        snprintf(part, sizeof part, "%.*s", (int)(n < sizeof part ? n : sizeof part - 1), p);
        if (n >= PART_BYTES && strcasestr(column, part)) return true;
        p += n;
    }
    return false;
}

void row_column_near(const struct row_table *t, const char *name, char *out, size_t size)
{
    static const char more[] = " ...";
    bool near = false;
    for (size_t i = 0; i < t->n_field; i++) near |= shares_part(name, t->field[i].column);
    size_t len = (size_t)snprintf(out, size, "%s ", near ? "did you mean" : "columns are"), n = 0;
    for (size_t i = 0; i < t->n_field; i++) {
        const char *column = t->field[i].column;
        if (near && !shares_part(name, column)) continue;
        if (len + strlen(column) + sizeof more + 2 > size) {
            snprintf(out + len, size - len, "%s", more);
            return;
        }
        len += (size_t)snprintf(out + len, size - len, "%s%s", n++ ? ", " : "", column);
    }
}

/* --- one row --- */

static int parse_number(const struct row_field *f, const char *text, const char *where, void *at, struct err *e)
{
    double v = 0;
    bool whole = f->kind != ROW_NUMBER;
    bool ok =
        !*text ? !f->required : str_to_double(text, &v) && v >= f->min && v <= f->max && (!whole || floor(v) == v);
    if (!ok)
        return err_set(e, ERR_INPUT, where, "cannot read %s: %s is \"%.60s\", a %snumber from %.15g to %.15g is needed",
                       where, f->column, text, whole ? "whole " : "", f->min, f->max);
    if (f->kind == ROW_NUMBER) memcpy(at, &v, sizeof v);
    if (f->kind == ROW_COUNT) memcpy(at, &(int){(int)v}, sizeof(int));
    if (f->kind == ROW_FLAG) memcpy(at, &(bool){v > 0}, sizeof(bool));
    return 0;
}

int row_parse(const struct row_table *t, const char *const *text, const char *where, void *row, struct err *e)
{
    memset(row, 0, t->row_size);
    for (size_t i = 0; i < t->n_field; i++) {
        const struct row_field *f = &t->field[i];
        char *at = (char *)row + f->offset;
        int rc = 0;
        if (f->kind == ROW_TEXT) {
            memcpy(at, &text[i], sizeof text[i]);
            if (f->required && !*text[i])
                rc = err_set(e, ERR_INPUT, where, "cannot read %s: %s is empty, a text is needed", where, f->column);
        } else {
            rc = parse_number(f, text[i], where, at, e);
        }
        if (rc) return rc;
    }
    return t->check ? t->check(row, where, e) : 0;
}

static json_t *field_json(const struct row_field *f, const char *at)
{
    const char *text;
    double number;
    int count;
    bool flag;
    switch (f->kind) {
    case ROW_TEXT:
        memcpy(&text, at, sizeof text);
        return *text ? json_string(text) : json_null();
    case ROW_NUMBER:
        memcpy(&number, at, sizeof number);
        return number > 0 ? json_real(number) : json_null();
    case ROW_COUNT:
        memcpy(&count, at, sizeof count);
        return json_integer(count);
    case ROW_FLAG:
        memcpy(&flag, at, sizeof flag);
        return json_boolean(flag);
    }
    return NULL;
}

json_t *row_json(const struct row_table *t, const void *row)
{
    json_t *o = json_object();
    for (size_t i = 0; i < t->n_field; i++)
        if (json_object_set_new(o, t->field[i].column,
                                field_json(&t->field[i], (const char *)row + t->field[i].offset))) {
            json_decref(o);
            return NULL;
        }
    return o;
}

/* --- what one column alone does not say --- */

static int need_together(bool ok, const char *where, const char *what, struct err *e)
{
    return ok ? 0 : err_set(e, ERR_INPUT, where, "cannot read %s: %s", where, what);
}

static int check_layers(struct plan_model *m, const char *where, struct err *e)
{
    if (m->n_layer_full + m->n_layer_window + m->n_layer_linear == 0) m->n_layer_full = m->n_layer;
    int rc = need_together(m->n_layer_full + m->n_layer_window + m->n_layer_linear == m->n_layer, where,
                           "n_full_attn_layers, n_swa_layers and n_linear_layers do not add up to n_layers", e);
    if (rc == 0)
        rc = need_together(!m->n_layer_window || m->window, where, "swa_window is needed where n_swa_layers is not 0",
                           e);
    if (rc == 0) rc = need_together(m->n_layer_dense <= m->n_layer, where, "n_dense_layers is more than n_layers", e);
    return rc;
}

static int check_model(void *row, const char *where, struct err *e)
{
    /* the row was just filled: layers that a row does not divide are all of full attention */
    struct plan_model *m = row;
    int rc = check_layers(m, where, e);
    if (rc == 0 && m->n_expert)
        rc = need_together(m->n_expert_used >= 1 && m->n_expert_used <= m->n_expert && m->n_ff_expert, where,
                           "top_k from 1 to n_experts and moe_inter are needed where there are experts", e);
    if (rc == 0 && (!m->n_expert || m->n_layer_dense))
        rc = need_together(m->n_ff > 0, where, "ffn_inter is needed where layers have no experts", e);
    if (rc == 0 && m->kv_lora)
        rc = need_together(m->d_nope && m->d_v, where, "mla_nope_dim and mla_v_dim are needed with mla_kv_lora", e);
    return rc;
}

/* low and high of one price in order, where both are known. */
static int check_band(double low, double high, const char *what, const char *where, struct err *e)
{
    if (!(low > 0) || !(high > 0) || low <= high) return 0;
    return err_set(e, ERR_INPUT, where, "cannot read %s: %s goes from %.15g to %.15g, the lower end first is needed",
                   where, what, low, high);
}

static int check_prices_of(const struct plan_hardware *h, const char *where, struct err *e)
{
    int rc = check_band(h->price_usd_low, h->price_usd_high, "price2026_usd", where, e);
    if (rc == 0) rc = check_band(h->price_cny_low, h->price_cny_high, "price2026_rmb", where, e);
    return rc ? rc : check_band(h->rent_usd_h_low, h->rent_usd_h_high, "cloud_usd_per_hour", where, e);
}

static int check_hardware(void *row, const char *where, struct err *e)
{
    static const char *const kinds[] = {"GPU consumer", "GPU workstation", "GPU datacenter", "NPU datacenter", "Mac",
                                        "CPU"};
    struct plan_hardware *h = row;
    for (size_t i = 0; i < N_ELEM(kinds); i++)
        if (strcasecmp(kinds[i], h->kind_text) == 0) {
            h->kind = (enum plan_kind)i;
            return check_prices_of(h, where, e);
        }
    return err_set(
        e, ERR_INPUT, where,
        "cannot read %s: kind is \"%.40s\", one of GPU consumer, GPU workstation, GPU datacenter, NPU datacenter, "
        "Mac, CPU is needed",
        where, h->kind_text);
}

static int check_price(void *row, const char *where, struct err *e)
{
    const struct plan_price *p = row;
    int days;
    if (!plan_age_days(p->date, 0, &days))
        return err_set(e, ERR_INPUT, where,
                       "cannot read %s: price_date is \"%.40s\", a date such as 2026-11-28 is needed", where, p->date);
    return need_together(p->input_usd > 0 || p->input_cny > 0 || p->output_usd > 0 || p->output_cny > 0 ||
                             str_eq(p->open_weights, "yes"),
                         where, "a price for input or output is needed, in USD or CNY", e);
}
