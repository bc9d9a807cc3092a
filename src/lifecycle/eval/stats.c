/* Statistics of scores. Owns no memory. What always holds: results are finite, intervals are ordered and inside the
 * range of what they bound, and with no data they say "nothing is known" by being as wide as that range. */
#include "lifecycle/eval/stats.h"

#include <math.h>
#include <string.h>

#include "ground/base/mem.h"

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

struct interval stats_wilson(double p, double n, double z)
{
    if (!(n > 0)) return (struct interval){0, 1};
    double z2 = z * z, scale = 1 + z2 / n;
    double centre = (p + z2 / (2 * n)) / scale;
    double half = z * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / scale;
    /* with p 0 or 1 that end is exact; the formula misses it by rounding */
    return (struct interval){p <= 0 ? 0 : clamp(centre - half, 0, 1), p >= 1 ? 1 : clamp(centre + half, 0, 1)};
}

/* SE^2 = C/(C-1) / n^2 * sum over clusters of (sum of deviations)^2; one case a cluster gives the ordinary formula. */
static double mean_se(const double *s, const size_t *cluster, size_t n, size_t n_cluster, double mean)
{
    if (n < 2 || n_cluster < 2) return 0;
    double *sum = mem_try_array(n_cluster, sizeof *sum);
    if (!sum) return 1; /* as wide as can be rather than a wrong small number */
    for (size_t i = 0; i < n; i++) sum[cluster ? cluster[i] : i] += s[i] - mean;
    double square = 0;
    for (size_t k = 0; k < n_cluster; k++) square += sum[k] * sum[k];
    mem_free(sum);
    double c = (double)n_cluster;
    return sqrt(c / (c - 1) * square) / (double)n;
}

void stats_mean(const double *s, const size_t *cluster, size_t n, size_t n_cluster, struct stats_mean *m)
{
    if (!cluster) n_cluster = n;
    *m = (struct stats_mean){.n = n, .n_cluster = n_cluster, .clustered = n_cluster < n};
    for (size_t i = 0; i < n; i++) m->mean += s[i];
    m->mean = n ? m->mean / (double)n : 0;
    m->se = mean_se(s, cluster, n, n_cluster, m->mean);
}

struct interval stats_proportion(const struct stats_mean *m, double z)
{
    double n = (double)m->n, p = clamp(m->mean, 0, 1);
    if (!m->clustered) return stats_wilson(p, n, z);
    double variance = m->se * m->se;
    double effective = variance > 0 ? p * (1 - p) / variance : (double)m->n_cluster;
    if (p <= 0 || p >= 1) effective = (double)m->n_cluster;
    return stats_wilson(p, clamp(effective, 1, n), z);
}

double stats_t_quantile(double z, double v)
{
    if (v < 1.5) { /* Cauchy: tan(pi (q - 1/2)), q = Phi(z) */
        double half = 0.5 * erf(z / sqrt(2.0));
        return tan(acos(-1.0) * half);
    }
    if (v < 2.5) {
        double a = erf(z / sqrt(2.0)); /* 2 q - 1 */
        return a * sqrt(2 / (1 - a * a));
    }
    double z2 = z * z;
    double g1 = z * (z2 + 1) / 4;
    double g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
    double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
    double g4 = z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92160;
    return z + g1 / v + g2 / (v * v) + g3 / (v * v * v) + g4 / (v * v * v * v);
}

struct interval stats_mean_interval(const struct stats_mean *d, double z)
{
    if (d->n_cluster < 2) return (struct interval){-1, 1};
    double half = stats_t_quantile(z, (double)d->n_cluster - 1) * d->se;
    return (struct interval){clamp(d->mean - half, -1, 1), clamp(d->mean + half, -1, 1)};
}

/* C(n, i) / 2^n */
static double binomial_half(double n, double i)
{
    int sign; /* lgamma_r: lgamma writes a global */
    double log_c = lgamma_r(n + 1, &sign) - lgamma_r(i + 1, &sign) - lgamma_r(n - i + 1, &sign);
    return exp(log_c - n * log(2.0));
}

void stats_mcnemar(size_t b, size_t c, struct mcnemar *m)
{
    *m = (struct mcnemar){.b = b, .c = c, .p_exact = 1, .p_mid = 1};
    size_t low = b < c ? b : c;
    double n = (double)b + (double)c;
    if (n < 1 || b == c) return; /* the exact tail is above a half on both sides then */
    double below = 0;
    for (size_t i = 0; i < low; i++) below += binomial_half(n, (double)i);
    double at = binomial_half(n, (double)low);
    m->p_exact = clamp(2 * (below + at), 0, 1);
    m->p_mid = clamp(2 * below + at, 0, 1);
}

/* Tango's score statistic for delta = P(first right, second wrong) - P(reverse), with first = new, second = base. */
static double tango_score(double b, double c, double n, double delta)
{
    double first = c, reverse = b; /* new right and base wrong; base right and new wrong */
    double qa = 2 * n, qb = -first - reverse + (2 * n - first + reverse) * delta, qc = -reverse * delta * (1 - delta);
    double q = (sqrt(fmax(qb * qb - 4 * qa * qc, 0)) - qb) / (2 * qa);
    double variance = n * (2 * q + delta * (1 - delta));
    double top = first - reverse - n * delta;
    if (variance <= 0) return top == 0 ? 0 : top > 0 ? HUGE_VAL : -HUGE_VAL;
    return top / sqrt(variance);
}

/* The delta in [low, high] where the score, falling in delta, passes the level. */
static double tango_root(double b, double c, double n, double level, double low, double high)
{
    for (int i = 0; i < 100; i++) {
        double mid = 0.5 * (low + high);
        if (tango_score(b, c, n, mid) > level)
            low = mid;
        else
            high = mid;
    }
    return 0.5 * (low + high);
}

struct interval stats_tango(double b, double c, double n, double z)
{
    if (!(n > 0)) return (struct interval){-1, 1};
    double d = (c - b) / n;
    return (struct interval){tango_root(b, c, n, z, -1, d), tango_root(b, c, n, -z, d, 1)};
}

double stats_paired_n(double psi, double d)
{
    double root = STATS_Z_975 * sqrt(psi) + STATS_Z_80 * sqrt(fmax(psi - d * d, 0));
    return root * root / (d * d);
}

double stats_smallest_detectable(double psi, double n)
{
    if (!(n > 0)) return 1;
    psi = clamp(psi, 1 / n, 1); /* none seen does not mean that there are none */
    double low = 0, high = 1;
    if (stats_paired_n(fmax(psi, high), high) > n) return 1;
    for (int i = 0; i < 60; i++) {
        double mid = 0.5 * (low + high);
        if (stats_paired_n(fmax(psi, mid), mid) > n)
            low = mid;
        else
            high = mid;
    }
    return high;
}
