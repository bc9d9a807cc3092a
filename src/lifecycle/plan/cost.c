/* Cost arithmetic. Owns nothing. What always holds: parts are not negative and add up to the month. */
#include "lifecycle/plan/cost.h"

#include <math.h>
#include <stdlib.h>

enum { WORKDAYS_YEAR = 250, MAX_GROWN = 100000 };

const char *const cost_part_key[N_COST_PART] = {"depreciation", "rent",       "power",  "maintenance",
                                                "staff",        "compliance", "quality"};

void cost_expected(const struct cost_band in[N_COST], double v[N_COST])
{
    for (int i = 0; i < N_COST; i++) v[i] = in[i].mid;
}

static double needed_replicas(const struct cost_setup *s, const double v[N_COST], double calls)
{
    if (s->fixed_replicas) return s->fixed_replicas;
    double peak_s = calls / s->use_s_month * s->peak;
    return fmax(1, ceil(peak_s / v[COST_CAPACITY] - 1e-9));
}

static void machines(const struct cost_setup *s, const double v[N_COST], struct cost_private *o)
{
    double filled = ceil(o->cards / s->cards_per_host);
    if (s->host_by_part) filled = ceil(2 * o->cards / s->cards_per_host) / 2;
    o->hosts = ceil(o->cards / s->cards_per_host);
    if (s->rented) return;
    double network = v[COST_NETWORK] > 0 ? v[COST_NETWORK]
                     : o->hosts > 1      ? 0.05 * (o->cards * v[COST_CARD_PRICE] + filled * v[COST_HOST_PRICE])
                                         : 0;
    o->hardware_capex = o->cards * v[COST_CARD_PRICE] + filled * v[COST_HOST_PRICE] + network;
}

/* CNY of a kWh at the socket of the machine. */
static double kwh_price(const double v[N_COST])
{
    return v[COST_TARIFF] * v[COST_PUE];
}

static void power(const struct cost_setup *s, const double v[N_COST], double calls, struct cost_private *o)
{
    double answers_s = o->replicas * v[COST_CAPACITY];
    o->utilization = v[COST_POWER_HOURS] > 0 ? calls / (answers_s * v[COST_POWER_HOURS] * 3600) : 0;
    if (s->rented) return;
    double watts = o->cards * v[COST_CARD_POWER];
    double idle_kw = (watts * v[COST_IDLE] + o->hosts * v[COST_HOST_POWER]) / 1000;
    o->marginal_call = watts * (1 - v[COST_IDLE]) / 1000 / (answers_s * 3600) * kwh_price(v);
    o->part[COST_PART_POWER] = idle_kw * v[COST_POWER_HOURS] * kwh_price(v) + calls * o->marginal_call;
}

/* Staff for the number of servers, when none is given: a fifth of a person for a box, half for a server of many cards,
 * a quarter more for each further server. */
static double staff(const struct cost_setup *s, const double v[N_COST], const struct cost_private *o)
{
    if (v[COST_STAFF] > 0) return v[COST_STAFF];
    double first = s->cards_per_host <= 2 ? 0.2 : 0.5;
    double by_size = first + 0.25 * fmax(0, o->hosts - 1);
    return s->rented ? 0.75 * by_size : by_size; /* hardware faults are the landlord's */
}

static double person_day(const double v[N_COST])
{
    return v[COST_SALARY] / WORKDAYS_YEAR;
}

static void totals(const struct cost_setup *s, const double v[N_COST], double calls, struct cost_private *o)
{
    for (int i = 0; i < N_COST_PART; i++) o->monthly += o->part[i];
    o->fixed_monthly = o->monthly - calls * o->marginal_call;
    o->capacity_calls_month = o->replicas * v[COST_CAPACITY] * s->use_s_month / s->peak;
    o->capex = o->hardware_capex + v[COST_GAP_DAYS] * person_day(v);
    double once = o->part[COST_PART_DEPRECIATION] + v[COST_GAP_DAYS] * person_day(v) / (12 * v[COST_LIFE]);
    o->tco = o->capex + COST_TCO_MONTHS * (o->monthly - once);
    o->per_call = calls > 0 ? o->monthly / calls : HUGE_VAL;
    o->per_mtok = o->per_call / ((s->prompt_tokens + s->output_tokens) / 1e6);
}

static void private_for(const struct cost_setup *s, const double v[N_COST], double calls, struct cost_private *o)
{
    *o = (struct cost_private){.replicas = needed_replicas(s, v, calls)};
    o->cards = o->replicas * s->cards_per_replica;
    machines(s, v, o);
    power(s, v, calls, o);
    o->part[COST_PART_DEPRECIATION] = o->hardware_capex / (12 * v[COST_LIFE]);
    if (s->rented) o->part[COST_PART_RENT] = o->cards * v[COST_RENT] * v[COST_RENT_HOURS] * v[COST_CNY_USD];
    if (!s->rented) o->part[COST_PART_MAINTENANCE] = o->hosts * v[COST_MAINTENANCE] / 12;
    o->part[COST_PART_STAFF] = staff(s, v, o) * v[COST_SALARY] / 12;
    o->part[COST_PART_COMPLIANCE] = (v[COST_MLPS] + v[COST_CLASSIFICATION] + v[COST_ACCESS] + v[COST_AUDIT]) / 12;
    o->part[COST_PART_QUALITY] = (v[COST_GAP_DAYS] / (12 * v[COST_LIFE]) + v[COST_GAP_UPKEEP]) * person_day(v);
    totals(s, v, calls, o);
}

void cost_private(const struct cost_setup *s, const double v[N_COST], struct cost_private *out)
{
    private_for(s, v, v[COST_CALLS], out);
}

double cost_api_call(const struct cost_setup *s, const double v[N_COST])
{
    double hit = v[COST_CACHE_HIT], cached = v[COST_API_CACHED] > 0 ? v[COST_API_CACHED] : v[COST_API_INPUT];
    double prompt = (1 - hit) * v[COST_API_INPUT] + hit * cached;
    double rate = s->api_rate > 0 ? v[COST_CNY_USD] / s->api_rate : 1;
    return rate * (s->prompt_tokens * prompt + s->output_tokens * v[COST_API_OUTPUT]) / 1e6;
}

double cost_api_monthly(const struct cost_setup *s, const double v[N_COST], double calls)
{
    return calls * cost_api_call(s, v) + v[COST_API_STAFF] * v[COST_SALARY] / 12;
}

double cost_hybrid_monthly(const struct cost_setup *s, const double v[N_COST], struct cost_private *front)
{
    double kept[N_COST];
    for (int i = 0; i < N_COST; i++) kept[i] = v[i];
    kept[COST_GAP_DAYS] *= 1 - v[COST_ROUTED];
    kept[COST_GAP_UPKEEP] *= 1 - v[COST_ROUTED];
    private_for(s, kept, v[COST_CALLS] * (1 - v[COST_ROUTED]), front);
    return front->monthly + cost_api_monthly(s, v, v[COST_CALLS] * v[COST_ROUTED]);
}

/* Step by step, a replica more each time: within a step cost is a straight line in the calls. */
static double grown(const struct cost_setup *s, const double v[N_COST], double api_call)
{
    double one = v[COST_CAPACITY] * s->use_s_month / s->peak;
    for (int n = 1; n <= MAX_GROWN; n += 1 + n / 20) {
        struct cost_private p;
        private_for(s, v, n * one, &p);
        double calls = p.fixed_monthly / (api_call - p.marginal_call);
        if (api_call > p.marginal_call && calls <= p.capacity_calls_month) return calls;
    }
    return 0;
}

void cost_break_even(const struct cost_setup *s, const double v[N_COST], struct cost_break_even *out)
{
    struct cost_private p;
    double api_call = cost_api_call(s, v), api_fixed = v[COST_API_STAFF] * v[COST_SALARY] / 12;
    cost_private(s, v, &p);
    *out = (struct cost_break_even){.calls_month = HUGE_VAL};
    if (api_call > p.marginal_call)
        out->calls_month = fmax(0, p.fixed_monthly - api_fixed) / (api_call - p.marginal_call);
    out->within_capacity = out->calls_month <= p.capacity_calls_month;
    struct cost_setup growing = *s;
    growing.fixed_replicas = 0;
    out->grown_calls = grown(&growing, v, api_call);
}

/* --- sensitivity --- */

static double difference(const struct cost_setup *s, const double v[N_COST])
{
    struct cost_private p;
    cost_private(s, v, &p);
    return p.monthly - cost_api_monthly(s, v, v[COST_CALLS]);
}

static int by_swing(const void *a, const void *b)
{
    const struct cost_swing *x = a, *y = b;
    double dx = fabs(x->at_high - x->at_low), dy = fabs(y->at_high - y->at_low);
    return dx < dy ? 1 : dx > dy ? -1 : (int)x->input - (int)y->input;
}

int cost_tornado(const struct cost_setup *s, const struct cost_band in[N_COST], struct cost_swing out[N_COST])
{
    double v[N_COST];
    int n = 0;
    cost_expected(in, v);
    double expected = difference(s, v);
    for (int i = 0; i < N_COST; i++) {
        if (!(in[i].low < in[i].high)) continue;
        struct cost_swing *w = &out[n++];
        w->input = (enum cost_input)i;
        v[i] = in[i].low;
        w->at_low = difference(s, v);
        v[i] = in[i].high;
        w->at_high = difference(s, v);
        v[i] = in[i].mid;
        w->flips = (w->at_low > 0) != (expected > 0) || (w->at_high > 0) != (expected > 0);
    }
    qsort(out, (size_t)n, sizeof *out, by_swing);
    return n;
}
