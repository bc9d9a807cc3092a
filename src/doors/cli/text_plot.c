/* Plots made of characters. Owns nothing. What always holds: every point that is drawn lies in the field. */
#include "doors/cli/text_plot.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_WIDTH = 200, MAX_HEIGHT = 60 };

struct field {
    double x0, x1, y0, y1;
    int width, height;
    char cell[MAX_HEIGHT][MAX_WIDTH];
};

static bool read_point(const json_t *p, double *x, double *y)
{
    *x = json_number_value(json_array_get(p, 0));
    *y = json_number_value(json_array_get(p, 1));
    return json_is_number(json_array_get(p, 1)) && isfinite(*x) && isfinite(*y);
}

static bool find_bounds(struct field *f, const json_t *const *series, size_t n)
{
    bool any = false;
    double x, y;
    for (size_t s = 0; s < n; s++)
        for (size_t i = 0; i < json_array_size(series[s]); i++) {
            if (!read_point(json_array_get(series[s], i), &x, &y)) continue;
            f->x0 = any ? fmin(f->x0, x) : x;
            f->x1 = any ? fmax(f->x1, x) : x;
            f->y0 = any ? fmin(f->y0, y) : y;
            f->y1 = any ? fmax(f->y1, y) : y;
            any = true;
        }
    return any;
}

static int place(double v, double low, double high, int n)
{
    double share = high > low ? (v - low) / (high - low) : 0;
    int at = (int)lround(share * (n - 1));
    return at < 0 ? 0 : at >= n ? n - 1 : at;
}

static void draw(struct field *f, const json_t *series, char mark)
{
    double x, y;
    for (size_t i = 0; i < json_array_size(series); i++) {
        if (!read_point(json_array_get(series, i), &x, &y)) continue;
        char *cell = &f->cell[f->height - 1 - place(y, f->y0, f->y1, f->height)][place(x, f->x0, f->x1, f->width)];
        *cell = *cell == ' ' || *cell == mark ? mark : '#';
    }
}

static int print_field(const struct field *f, struct buf *out)
{
    int rc = 0;
    for (int r = 0; r < f->height && rc == 0; r++) {
        int len = f->width;
        while (len > 0 && f->cell[r][len - 1] == ' ') len--;
        if (r == 0 || r == f->height - 1)
            rc = buf_printf(out, "%10.4g |%.*s\n", r == 0 ? f->y1 : f->y0, len, f->cell[r]);
        else
            rc = buf_printf(out, "%10s |%.*s\n", "", len, f->cell[r]);
    }
    if (rc == 0) rc = buf_printf(out, "%10s +", "");
    for (int i = 0; i < f->width && rc == 0; i++) rc = buf_add_char(out, '-');
    return rc != 0 ? rc : buf_printf(out, "\n%11s%-12.6g%*.6g\n", "", f->x0, f->width - 11, f->x1);
}

int text_plot(const json_t *const *series, size_t n, int width, int height, struct buf *out)
{
    static const char mark[] = {'*', '+', 'o'};
    struct field f = {.width = width < 24          ? 24
                               : width > MAX_WIDTH ? MAX_WIDTH
                                                   : width,
                      .height = height < 2            ? 2
                                : height > MAX_HEIGHT ? MAX_HEIGHT
                                                      : height};
    if (!find_bounds(&f, series, n)) return 0;
    memset(f.cell, ' ', sizeof(f.cell));
    for (size_t s = 0; s < n; s++) draw(&f, series[s], mark[s % 3]);
    return print_field(&f, out);
}

void text_bars(const double *y, size_t n, size_t width, char *out)
{
    static const char bar[8][4] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t from = n > width ? n - width : 0, at = 0;
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (size_t i = from; i < n; i++) {
        low = fmin(low, y[i]);
        high = fmax(high, y[i]);
    }
    for (size_t i = from; i < n; i++, at += 3) memcpy(out + at, bar[place(y[i], low, high, 8)], 3);
    out[at] = '\0';
}
