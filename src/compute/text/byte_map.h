/* GPT-2's byte characters: how byte-level BPE spells any byte as a printable character in vocabularies and merges. */
#ifndef TEXT_BYTE_MAP_H
#define TEXT_BYTE_MAP_H

#include <stdbool.h>
#include <stddef.h>

/* Spell n bytes; out has room for 2 * n. Returns the length. */
size_t byte_map_spell(const char *bytes, size_t n, char *out);
/* The bytes behind a spelling; out has room for n. false when a character of it stands for no byte. */
bool byte_map_unspell(const char *text, size_t n, char *out, size_t *n_out);

#endif
