/* A plot as a file of its own. Owns the colours that a page would give it. */
#include "ground/report/report_int.h"

static const char head[] =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"300\" viewBox=\"0 0 720 300\">\n"
    "<style>svg{background:#fff}text{fill:#1d2430;font-size:13px;font-family:sans-serif}.dim{fill:#667}"
    ".axis{stroke:#d8dce3;stroke-width:1}"
    ".s0{stroke:#1f5fbf;fill:none;stroke-width:1.8}.s1{stroke:#c2571a;fill:none;stroke-width:1.8}"
    ".s2{stroke:#2b7d46;fill:none;stroke-width:1.8}.k0{fill:#1f5fbf}.k1{fill:#c2571a}.k2{fill:#2b7d46}</style>\n";

int report_svg_lines(const json_t *block, struct buf *out, struct err *e)
{
    int rc = buf_add_str(out, head);
    if (rc == 0) rc = svg_lines(block, out);
    if (rc == 0) rc = buf_add_str(out, "</svg>\n");
    return rc == 0 ? 0 : err_set(e, -rc, NULL, "cannot draw the plot: it is longer than its limit");
}
