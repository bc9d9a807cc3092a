/* Plots as inline SVG. Owns nothing. What always holds: coordinates are finite and inside the view box, whatever the
 * numbers; colours come from the style sheet, so light, dark and paper look right. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/report/report_int.h"

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

static int text_at(struct buf *out, double x, double y, const char *anchor, const char *css, const char *text)
{
    int rc = buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, css);
    if (rc == 0) rc = html_text(out, text);
    return rc ? rc : buf_add_str(out, "</text>");
}

/* A step of 1, 2 or 5 times a power of ten that cuts range into at most n pieces. */
static double nice_step(double range, int n)
{
    double raw = range / n, unit = pow(10, floor(log10(raw > 0 ? raw : 1)));
    double step = unit;
    if (raw > unit) step = 2 * unit;
    if (raw > 2 * unit) step = 5 * unit;
    if (raw > 5 * unit) step = 10 * unit;
    return step;
}

/* --- intervals --- */

enum { IV_WIDTH = 720, IV_LEFT = 190, IV_RIGHT = 90, IV_ROW = 34, IV_TOP = 10 };

static double iv_x(double v, double min, double max)
{
    return IV_LEFT + clamp((v - min) / (max - min), 0, 1) * (IV_WIDTH - IV_LEFT - IV_RIGHT);
}

/* "94.0 %", or "+81.0" on an axis of differences. */
static void iv_value(double value, bool is_signed, const char *unit, char *out, size_t size)
{
    snprintf(out, size, is_signed ? "%+.1f%.8s" : "%.1f%.8s", 100 * value, unit);
}

static int iv_axis(struct buf *out, double min, double max, const char *unit, double bottom)
{
    double step = nice_step(max - min, 6);
    int rc = 0;
    for (double v = ceil(min / step - 1e-9) * step; rc == 0 && v <= max + step * 1e-6; v += step) {
        char label[32];
        double x = iv_x(v, min, max);
        snprintf(label, sizeof label, "%.4g%.8s", 100 * (fabs(v) < step * 1e-6 ? 0 : v), unit);
        rc = buf_printf(out, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\"/>", x, x, IV_TOP,
                        bottom);
        if (rc == 0) rc = text_at(out, x, bottom + 16, "middle", "dim", label);
    }
    return rc;
}

static int iv_row(struct buf *out, const json_t *row, double y, double min, double max, const char *unit)
{
    double value = block_num(json_object_get(row, "value")), low = block_num(json_object_get(row, "low")),
           high = block_num(json_object_get(row, "high"));
    char label[64];
    int rc = text_at(out, IV_LEFT - 14, y + 4, "end", "", block_str(row, "label"));
    if (rc == 0)
        rc = buf_printf(
            out,
            "<line class=\"bar\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/><circle class=\"dot\" cx=\"%.1f\" "
            "cy=\"%.1f\" r=\"5\"/>",
            iv_x(low, min, max), iv_x(high, min, max), y, y, iv_x(value, min, max), y);
    iv_value(value, min < 0, unit, label, sizeof label);
    return rc ? rc : text_at(out, IV_WIDTH - 6, y + 4, "end", "", label);
}

int svg_intervals(const json_t *block, struct buf *out)
{
    const json_t *rows = block_list(block, "rows"), *mark = json_object_get(block, "mark");
    double min = block_num(json_object_get(block, "min")), max = block_num(json_object_get(block, "max"));
    size_t n = json_array_size(rows);
    double bottom = IV_TOP + (double)(n * IV_ROW);
    if (!(max > min)) max = min + 1;
    int rc = buf_printf(out, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\">", IV_WIDTH, bottom + 26);
    if (rc == 0) rc = iv_axis(out, min, max, block_str(block, "unit"), bottom);
    if (rc == 0 && json_is_number(mark)) {
        double x = iv_x(block_num(mark), min, max);
        rc = buf_printf(out, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\"/>", x, x, IV_TOP,
                        bottom);
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = iv_row(out, json_array_get(rows, i), IV_TOP + ((double)i + 0.5) * IV_ROW, min, max,
                    block_str(block, "unit"));
    return rc ? rc : buf_add_str(out, "</svg>\n");
}

/* --- lines --- */

enum { LN_WIDTH = 720, LN_HEIGHT = 300, LN_LEFT = 60, LN_RIGHT = 16, LN_TOP = 30, LN_BOTTOM = 44 };

struct range {
    double x0, x1, y0, y1;
};

static void widen(struct range *r, const json_t *point, bool first)
{
    double x = block_num(json_array_get(point, 0)), y = block_num(json_array_get(point, 1));
    r->x0 = first ? x : fmin(r->x0, x);
    r->x1 = first ? x : fmax(r->x1, x);
    r->y0 = first ? y : fmin(r->y0, y);
    r->y1 = first ? y : fmax(r->y1, y);
}

static struct range find_range(const json_t *series)
{
    struct range r = {0, 1, 0, 1};
    bool first = true;
    for (size_t s = 0; s < json_array_size(series); s++) {
        const json_t *points = block_list(json_array_get(series, s), "points");
        for (size_t i = 0; i < json_array_size(points); i++, first = false) widen(&r, json_array_get(points, i), first);
    }
    r.y0 = fmin(r.y0, 0);
    if (!(r.x1 > r.x0)) r.x1 = r.x0 + 1;
    if (!(r.y1 > r.y0)) r.y1 = r.y0 + 1;
    return r;
}

static double ln_x(const struct range *r, double x)
{
    return LN_LEFT + clamp((x - r->x0) / (r->x1 - r->x0), 0, 1) * (LN_WIDTH - LN_LEFT - LN_RIGHT);
}

static double ln_y(const struct range *r, double y)
{
    return LN_HEIGHT - LN_BOTTOM - clamp((y - r->y0) / (r->y1 - r->y0), 0, 1) * (LN_HEIGHT - LN_TOP - LN_BOTTOM);
}

static int ln_axes(struct buf *out, const struct range *r)
{
    char label[32];
    int rc = 0;
    double step = nice_step(r->y1 - r->y0, 5);
    for (double v = ceil(r->y0 / step - 1e-9) * step; rc == 0 && v <= r->y1 + step * 1e-6; v += step) {
        double y = ln_y(r, v);
        snprintf(label, sizeof label, "%.4g", fabs(v) < step * 1e-6 ? 0 : v);
        rc = buf_printf(out, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LN_LEFT,
                        LN_WIDTH - LN_RIGHT, y, y);
        if (rc == 0) rc = text_at(out, LN_LEFT - 8, y + 4, "end", "dim", label);
    }
    step = nice_step(r->x1 - r->x0, 8);
    for (double v = ceil(r->x0 / step - 1e-9) * step; rc == 0 && v <= r->x1 + step * 1e-6; v += step) {
        snprintf(label, sizeof label, "%.6g", fabs(v) < step * 1e-6 ? 0 : v);
        rc = text_at(out, ln_x(r, v), LN_HEIGHT - LN_BOTTOM + 18, "middle", "dim", label);
    }
    return rc;
}

/* At most about a thousand points are drawn: more than the picture has columns adds nothing but bytes. */
static int ln_series(struct buf *out, const struct range *r, const json_t *series, size_t idx)
{
    const json_t *points = block_list(series, "points");
    size_t n = json_array_size(points), stride = n / 1000 + 1;
    int rc = buf_printf(out, "<polyline class=\"s%zu\" points=\"", idx % 3);
    for (size_t i = 0; rc == 0 && i < n; i += stride) {
        const json_t *p = json_array_get(points, i);
        rc = buf_printf(out, "%.1f,%.1f ", ln_x(r, block_num(json_array_get(p, 0))),
                        ln_y(r, block_num(json_array_get(p, 1))));
    }
    if (rc == 0) rc = buf_add_str(out, "\"/>");
    double x = LN_LEFT + (double)idx * 170;
    if (rc == 0)
        rc = buf_printf(out, "<rect class=\"k%zu\" x=\"%.1f\" y=\"8\" width=\"14\" height=\"4\"/>", idx % 3, x);
    return rc ? rc : text_at(out, x + 20, 15, "start", "", block_str(series, "label"));
}

/* A place on one axis with its name: {"x" or "y", "label"}; what lies outside is not drawn. Names of places along x
 * stand one below the other, since they may be close. */
static int ln_mark(struct buf *out, const struct range *r, const json_t *mark, size_t idx)
{
    const json_t *at_x = json_object_get(mark, "x"), *at_y = json_object_get(mark, "y");
    double v = block_num(at_x ? at_x : at_y), low = at_x ? r->x0 : r->y0, high = at_x ? r->x1 : r->y1;
    const char *label = block_str(mark, "label");
    if (!(v >= low && v <= high)) return 0;
    double x = at_x ? ln_x(r, v) : LN_LEFT, x_end = at_x ? x : LN_WIDTH - LN_RIGHT;
    double y = at_x ? LN_TOP : ln_y(r, v), y_end = at_x ? LN_HEIGHT - LN_BOTTOM : y;
    int rc =
        buf_printf(out, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x_end, y, y_end);
    if (rc) return rc;
    if (!at_x) return text_at(out, x + 4, y - 4, "start", "dim", label);
    bool left = x > LN_WIDTH / 2.0;
    return text_at(out, left ? x - 4 : x + 4, LN_TOP + 12 + 14 * (double)(idx % 8), left ? "end" : "start", "dim",
                   label);
}

int svg_lines(const json_t *block, struct buf *out)
{
    const json_t *series = block_list(block, "series"), *marks = block_list(block, "marks");
    struct range r = find_range(series);
    int rc = buf_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">", LN_WIDTH, LN_HEIGHT);
    if (rc == 0) rc = ln_axes(out, &r);
    for (size_t i = 0; rc == 0 && i < json_array_size(series); i++)
        rc = ln_series(out, &r, json_array_get(series, i), i);
    for (size_t i = 0; rc == 0 && i < json_array_size(marks); i++) rc = ln_mark(out, &r, json_array_get(marks, i), i);
    if (rc == 0) rc = text_at(out, LN_WIDTH - LN_RIGHT, LN_HEIGHT - 8, "end", "dim", block_str(block, "x"));
    if (rc == 0) rc = text_at(out, LN_WIDTH - LN_RIGHT, 15, "end", "dim", block_str(block, "y"));
    return rc ? rc : buf_add_str(out, "</svg>\n");
}
