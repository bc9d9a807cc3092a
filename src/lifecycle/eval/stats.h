/* Statistics of scores: intervals of one proportion and of paired differences, McNemar's test, what a number of cases
 * can show. Pure functions of their arguments; formulas and sources stand at each. Scores are in [0, 1]. */
#ifndef EVAL_STATS_H
#define EVAL_STATS_H

#include <stdbool.h>
#include <stddef.h>

/* Standard normal quantiles: two-sided 95 %, one-sided 95 % (= two-sided 90 %), power 80 %. */
#define STATS_Z_975 1.959963984540054
#define STATS_Z_95  1.6448536269514722
#define STATS_Z_80  0.8416212335729143

struct interval {
    double low, high;
};

/* Wilson's score interval of a proportion p of n > 0 cases (E. B. Wilson 1927). n need not be whole: an effective
 * sample size may be given. Stays within [0, 1]. n <= 0 gives [0, 1]: nothing is known. */
struct interval stats_wilson(double p, double n, double z);

/* Sample mean and its standard error, cases independent or grouped in clusters (Miller 2024, arXiv:2411.00640, with
 * the factor C / (C - 1)). */
struct stats_mean {
    size_t n, n_cluster;
    double mean;
    double se;      /* of the mean; 0 when n < 2 */
    bool clustered; /* some cluster holds more than one case, and se counts that */
};
/* cluster[i] numbers the cluster of s[i] from 0 to n_cluster - 1; NULL: every case its own. */
void stats_mean(const double *s, const size_t *cluster, size_t n, size_t n_cluster, struct stats_mean *m);

/* The interval of a proportion when cases may be clustered: Wilson with the effective number of cases p(1-p)/se^2, at
 * most n; with p 0 or 1, where se says nothing, the number of clusters. */
struct interval stats_proportion(const struct stats_mean *m, double z);

/* Quantile of Student's t for v >= 1 degrees of freedom at the normal quantile z (Hill 1970's expansion; exact forms
 * for v = 1 and 2). */
double stats_t_quantile(double z, double v);

/* Discordant pairs: b = base right and new wrong, c = base wrong and new right. */
struct mcnemar {
    size_t b, c;
    double p_exact, p_mid; /* two-sided; 1 when there are none */
};
/* Fagerland, Lydersen, Laake 2013 (BMC Med Res Methodol 13:91): mid-p keeps the level and wastes no power. */
void stats_mcnemar(size_t b, size_t c, struct mcnemar *m);

/* Tango's score interval (Stat Med 1998, 17:891-908) of p_new - p_base of n pairs. Counts need not be whole. */
struct interval stats_tango(double b, double c, double n, double z);

/* Interval of a mean difference of clustered or fractional scores: mean -+ t(C - 1) se, cut to [-1, 1]. With fewer
 * than two clusters it is [-1, 1]. */
struct interval stats_mean_interval(const struct stats_mean *d, double z);

/* Cases a paired test at two-sided 5 % and power 80 % needs to see a difference d when a share psi >= d of cases is
 * discordant (Connett). */
double stats_paired_n(double psi, double d);
/* The smallest difference that n pairs can show at that level and power, given the discordant share seen; 1 when
 * none can. */
double stats_smallest_detectable(double psi, double n);

#endif
