/* GPT-2's byte characters: how byte-level BPE spells any byte as a printable character in vocabularies and merges. */
#ifndef TEXT_BYTE_MAP_H
#define TEXT_BYTE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The character that stands for a byte (below U+0144, so one or two bytes of UTF-8). */
uint32_t byte_map_char(unsigned char byte);
/* The byte behind a character, -1 for a character that stands for none. */
int byte_map_byte(uint32_t cp);
/* Spell n bytes; out has room for 2 * n. Returns the length. */
size_t byte_map_spell(const char *bytes, size_t n, char *out);
/* The bytes behind a spelling; out has room for n. false when a character of it stands for no byte. */
bool byte_map_unspell(const char *text, size_t n, char *out, size_t *n_out);

#endif
