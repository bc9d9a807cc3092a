/* Messages in Chinese. Every layer writes its errors and notes in English, once; what a person reads in Chinese is made
 * here from that text, by a table of patterns. So no layer below knows of languages, and what the table does not know
 * stays English. JSON and logs are never translated. */
#ifndef CLI_MESSAGE_ZH_H
#define CLI_MESSAGE_ZH_H

#include "doors/cli/cli.h"
#include "ground/base/buf.h"

/* One pattern: each '*' of en stands for any text. In zh, $1 to $6 are those texts as they are, @1 to @6 the same
 * translated where the table knows them, #1 to #6 a list with its commas made Chinese ones. A space is put between a
 * Chinese character and a text that begins with a letter or digit. */
struct message_zh {
    const char *en, *zh;
};
/* The first that fits counts: of plans, of runs and of tuning before the others, general ones last; each ends with en
 * NULL. */
extern const struct message_zh message_zh_table_plan[], message_zh_table_runs[], message_zh_table_tune[],
    message_zh_table_ask[], message_zh_table[], message_zh_table_reasons[];

/* Append the Chinese form of a message; false (and nothing appended) where the table has none. */
bool message_zh(const char *en, struct buf *out);
/* A message (of an error, of the trainer) on stderr in the language of this run, after a prefix of its own language. */
void cli_print_message(enum lang lang, const char *prefix_en, const char *prefix_zh, const char *message);

#endif
