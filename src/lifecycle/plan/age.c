/* Dates. Owns nothing. */
#include "lifecycle/plan/age.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/clock.h"

/* Days since 1970 of a date of the Gregorian calendar (Hinnant's days_from_civil). */
static int64_t day_number(int year, int month, int day)
{
    int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool digits(const char *s, int n, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        *out = *out * 10 + (s[i] - '0');
    }
    return true;
}

bool plan_age_days(const char *date, int64_t unix_ms, int *days)
{
    int year, month = 12, day = 31;
    size_t n = strlen(date);
    if ((n != 4 && n != 7 && n != 10) || !digits(date, 4, &year)) return false;
    if (n >= 7 && (date[4] != '-' || !digits(date + 5, 2, &month) || month < 1 || month > 12)) return false;
    if (n == 10 && (date[7] != '-' || !digits(date + 8, 2, &day) || day < 1 || day > 31)) return false;
    int64_t at = n == 10 ? day_number(year, month, day) : day_number(year + month / 12, month % 12 + 1, 1) - 1;
    *days = (int)(unix_ms / 86400000 - at);
    return true;
}

void plan_today(int64_t unix_ms, char out[11])
{
    char text[32];
    clock_format_utc(unix_ms, text, sizeof text);
    snprintf(out, 11, "%.10s", text);
}
