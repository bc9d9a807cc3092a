/* Defaults of an assessment. Owns nothing. What always holds: what the user set is never overwritten. */
#include "lifecycle/plan/assess_defaults.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "ground/base/str.h"

static void fill(struct cost_band in[N_COST], const bool set[N_COST], enum cost_input i, double low, double mid,
                 double high)
{
    if (!set[i]) in[i] = (struct cost_band){low, mid, high};
}

/* --- servers --- */

struct host {
    int cards;
    struct cost_band price, power_w; /* CNY, W */
    bool by_part;
};

/* A desktop for one card: assumption. Two-card boxes by market prices of 2026; servers for eight linked cards: two
 * sources name 2.0 M CNY for one with eight A100 (1.0 M of it cards) and 5 M for sixteen H100 (3.5 M of it cards). The
 * others are assumptions. */
static const struct host desktop = {1, {5000, 8000, 12000}, {60, 90, 150}, false};
static const struct host consumer = {2, {15000, 17500, 20000}, {100, 150, 250}, false};
static const struct host many = {8, {40000, 60000, 100000}, {300, 500, 800}, false};
static const struct host workstation = {4, {25000, 35000, 50000}, {200, 300, 400}, false};
static const struct host linked = {8, {600000, 750000, 1000000}, {1500, 2000, 2500}, true};
static const struct host plain = {8, {60000, 90000, 150000}, {400, 600, 900}, true};
static const struct host npu = {8, {200000, 300000, 450000}, {800, 1200, 1600}, true};
static const struct host board = {1, {5000, 10000, 20000}, {50, 80, 120}, false};
static const struct host whole = {1, {0, 0, 0}, {0, 0, 0}, false};

static const struct host *host_of(const struct plan_hardware *h, int cards)
{
    switch (h->kind) {
    case PLAN_CONSUMER:
        return cards > consumer.cards ? &many : cards > 1 ? &consumer : &desktop;
    case PLAN_WORKSTATION:
        return cards > workstation.cards ? &many : &workstation;
    case PLAN_DATACENTER:
        return h->link_gb_s >= 100 ? &linked : &plain;
    case PLAN_NPU:
        return &npu;
    case PLAN_CPU:
        return &board;
    case PLAN_MAC:
    default:
        return &whole;
    }
}

void assess_host(const struct plan_hardware *h, int cards_per_replica, struct cost_setup *setup,
                 struct cost_band in[N_COST], const bool set[N_COST])
{
    const struct host *x = h ? host_of(h, cards_per_replica) : &whole;
    setup->cards_per_host = x->cards;
    setup->host_by_part = x->by_part;
    fill(in, set, COST_HOST_PRICE, x->price.low, x->price.mid, x->price.high);
    fill(in, set, COST_HOST_POWER, x->power_w.low, x->power_w.mid, x->power_w.high);
}

/* --- cards --- */

static void fill_price(const struct plan_hardware *h, struct cost_band in[N_COST], const bool set[N_COST])
{
    double rate = in[COST_CNY_USD].mid;
    double low = h->price_cny_low > 0 ? h->price_cny_low : h->price_usd_low * rate;
    double high = h->price_cny_high > 0 ? h->price_cny_high : h->price_usd_high * rate;
    if (!(high > 0)) high = low;
    if (!(low > 0)) low = high;
    fill(in, set, COST_CARD_PRICE, low, (low + high) / 2, high);
}

static void fill_rent(const struct plan_hardware *h, struct cost_band in[N_COST], const bool set[N_COST])
{
    double low = h->rent_usd_h_low, high = h->rent_usd_h_high > 0 ? h->rent_usd_h_high : low;
    fill(in, set, COST_RENT, low, (low + high) / 2, high);
}

/* This machine is there already: its price is nothing, its power an assumption. */
#define OWN_POWER_LOW  80
#define OWN_POWER_MID  150
#define OWN_POWER_HIGH 300

bool assess_cards(const struct plan_hardware *h, bool rented, struct cost_band in[N_COST], const bool set[N_COST])
{
    if (!h) {
        fill(in, set, COST_CARD_POWER, OWN_POWER_LOW, OWN_POWER_MID, OWN_POWER_HIGH);
        return !rented || in[COST_RENT].mid > 0;
    }
    fill_price(h, in, set);
    fill_rent(h, in, set);
    fill(in, set, COST_CARD_POWER, h->power_w, h->power_w, h->power_w);
    return in[rented ? COST_RENT : COST_CARD_PRICE].mid > 0;
}

/* --- compliance --- */

void assess_compliance(enum compliance level, double data_class, struct cost_band in[N_COST], const bool set[N_COST])
{
    if (level == COMPLIANCE_BY_DATA) {
        bool open = data_class<DATA_INTERNAL, secret = data_class> DATA_INTERNAL;
        level = open ? COMPLIANCE_NONE : secret ? COMPLIANCE_MLPS3 : COMPLIANCE_MLPS2; /* not known: as internal */
    }
    if (level == COMPLIANCE_NONE) return;
    double f = level == COMPLIANCE_MLPS3 ? 2.5 : 1; /* assumption: more of everything */
    fill(in, set, COST_MLPS, f * 50000, f * 60000, f * 100000);
    fill(in, set, COST_CLASSIFICATION, f * 10000, f * 20000, f * 40000);
    fill(in, set, COST_ACCESS, f * 5000, f * 10000, f * 30000);
    fill(in, set, COST_AUDIT, f * 10000, f * 20000, f * 40000);
}

/* --- the API --- */

#define API_FALLS 0.5 /* prices have been falling: assumption */
#define API_RISES 1.2

static void fill_api(struct cost_band in[N_COST], const bool set[N_COST], enum cost_input i, double cny)
{
    fill(in, set, i, API_FALLS * cny, cny, API_RISES * cny);
}

void assess_api(const struct plan_price *p, struct cost_setup *setup, struct cost_band in[N_COST],
                const bool set[N_COST])
{
    bool usd = str_eq(p->native_currency, "USD") || !(p->input_cny > 0);
    double rate = in[COST_CNY_USD].mid;
    setup->api_rate = usd ? rate : 0;
    fill_api(in, set, COST_API_INPUT, usd ? p->input_usd * rate : p->input_cny);
    fill_api(in, set, COST_API_OUTPUT, usd ? p->output_usd * rate : p->output_cny);
    fill_api(in, set, COST_API_CACHED, usd ? p->cached_usd * rate : p->cached_cny);
}

static double call_usd(const struct cost_setup *s, const struct plan_price *p)
{
    return s->prompt_tokens * p->input_usd + s->output_tokens * p->output_usd;
}

double plan_quality_size(const struct plan_model *m)
{
    double all = m->params_total_b, active = m->params_active_b > 0 ? m->params_active_b : all;
    return m->n_expert > 0 ? sqrt(all * active) : all;
}

static bool newest(const struct plan_case *c, const struct plan_price *p)
{
    return catalogue_price(c->catalogue, p->provider, p->model) == p && p->input_usd + p->output_usd > 0;
}

enum fit { FIT_NONE, FIT_CLOSED, FIT_SIZE, FIT_SAME };

static enum fit fit_of(const struct plan_case *c, const struct plan_price *p)
{
    const struct plan_model *own = c->system->model, *other = catalogue_model(c->catalogue, p->catalogue_model);
    if (!newest(c, p)) return FIT_NONE;
    if (other && strcasecmp(other->name, own->name) == 0) return FIT_SAME;
    if (other && plan_quality_size(other) >= 0.9 * plan_quality_size(own)) return FIT_SIZE;
    return str_eq(p->open_weights, "no") ? FIT_CLOSED : FIT_NONE;
}

static const struct plan_price *pick_by_size(const struct plan_case *c, const struct cost_setup *s, enum fit *fit)
{
    const struct plan_price *best = NULL;
    *fit = FIT_NONE;
    for (size_t i = 0; i < c->catalogue->n_price; i++) {
        const struct plan_price *p = &c->catalogue->price[i];
        enum fit f = fit_of(c, p);
        if (f < *fit || f == FIT_NONE) continue;
        if (f > *fit || !best || call_usd(s, p) < call_usd(s, best)) best = p;
        *fit = f;
    }
    return best;
}

int assess_pick_api(const struct plan_case *c, const struct cost_setup *s, const struct plan_price **out,
                    bool *same_class, struct err *e)
{
    enum fit fit;
    if (!c->api) {
        *out = pick_by_size(c, s, &fit);
        *same_class = fit >= FIT_SIZE;
        return 0;
    }
    const char *slash = strchr(c->api, '/');
    char provider[128];
    *out = catalogue_price(c->catalogue, NULL, c->api);
    if (!*out && slash && (size_t)(slash - c->api) < sizeof provider) {
        memcpy(provider, c->api, (size_t)(slash - c->api));
        provider[slash - c->api] = '\0';
        *out = catalogue_price(c->catalogue, provider, slash + 1);
    }
    if (!*out)
        return err_set(e, ERR_NOT_FOUND, c->api,
                       "cannot compare with \"%s\": the catalogue has no price of it (`tailor catalog prices` lists "
                       "them); MODEL or PROVIDER/MODEL is needed",
                       c->api);
    *same_class = fit_of(c, *out) >= FIT_SIZE;
    return 0;
}
