/* The embedded files. Owns nothing: the assembler puts their bytes into the read-only part of the program, so that an
 * installed binary plans without any file beside it. The Makefile rebuilds this object when one of them changes. */
#include "lifecycle/plan/catalogue_data.h"

#include "ground/base/attr.h"
#include "ground/base/str.h"

#define EMBED(symbol, path)                                                                         \
    __asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"" path "\"\n" #symbol "_end:\n.byte 0\n" \
            ".popsection\n");                                                                       \
    extern const char symbol[], symbol##_end[]

EMBED(tailor_models_csv, "catalog/models.csv");
EMBED(tailor_hardware_csv, "catalog/hardware.csv");
EMBED(tailor_prices_csv, "catalog/api_prices.csv");
EMBED(tailor_measurements_csv, "catalog/measurements.csv");
EMBED(tailor_rules_csv, "catalog/rules.csv");
EMBED(tailor_licences_csv, "catalog/licences.csv");

const char *catalogue_data(const char *file, size_t *n)
{
    static const struct {
        const char *file, *begin, *end;
    } files[] = {{"models.csv", tailor_models_csv, tailor_models_csv_end},
                 {"hardware.csv", tailor_hardware_csv, tailor_hardware_csv_end},
                 {"api_prices.csv", tailor_prices_csv, tailor_prices_csv_end},
                 {"measurements.csv", tailor_measurements_csv, tailor_measurements_csv_end},
                 {"rules.csv", tailor_rules_csv, tailor_rules_csv_end},
                 {"licences.csv", tailor_licences_csv, tailor_licences_csv_end}};
    for (size_t i = 0; i < N_ELEM(files); i++)
        if (str_eq(files[i].file, file)) {
            *n = (size_t)(files[i].end - files[i].begin);
            return files[i].begin;
        }
    return NULL;
}
