/* Rules by name, and the walk. A rule is a list of steps; each cuts the pieces of the one before it further. Names are
 * the values of tokenizer.ggml.pre; patterns are those of the families' tokenizer.json. Allocates nothing; never looks
 * beyond the text. */
#include "compute/text/pretoken.h"

#include <stdio.h>
#include <string.h>

#include "compute/text/pretoken_int.h"
#include "ground/base/str.h"

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

enum {
    WORD_NO_LEAD = UNICODE_L | UNICODE_N,
    ALL = (1 << 30) - 1,
    NOT_LN = ALL & ~(UNICODE_L | UNICODE_N),
    NOT_LMN = ALL & ~(UNICODE_L | UNICODE_M | UNICODE_N),
};

/* cl100k as Llama 3 has it:
 * (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * The others are told by what differs. */
#define CL100K(letters, symbols, end) \
    .contraction = CONTRACTION_FIRST, .letter = (letters), .no_lead = WORD_NO_LEAD, .symbol = (symbols), .tail = (end)
static const struct word_form llama3 = {CL100K(UNICODE_L, NOT_LN, "\r\n"), .n_digit = 3};
static const struct word_form qwen2 = {CL100K(UNICODE_L, NOT_LN, "\r\n"), .n_digit = 1};
static const struct word_form seed_coder = {CL100K(UNICODE_L, NOT_LN, ""), .n_digit = 1};
static const struct word_form minicpm5 = {CL100K(UNICODE_L, NOT_LN, "\r\n"), .n_digit = 0};
static const struct word_form jais2 = {CL100K(UNICODE_L, NOT_LN, "\r\n"), .n_digit = 3, .blank_runs = true};
/* marks are letters: [\p{L}\p{M}]+, [^\s\p{L}\p{M}\p{N}]+ */
static const struct word_form qwen35 = {CL100K(UNICODE_L | UNICODE_M, NOT_LMN, "\r\n"), .n_digit = 1};
/* (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ for words, [\r\n/]? behind symbols */
static const struct word_form exaone_moe = {CL100K(UNICODE_L, NOT_LN, "\r\n/"), .n_digit = 1, .tail_once = true,
                                            .phrases = true};

/* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static const struct word_form deepseek3 = {.letter = UNICODE_L | UNICODE_M,
                                           .no_lead = UNICODE_L | UNICODE_P | UNICODE_S,
                                           .symbol = UNICODE_P | UNICODE_S,
                                           .n_digit = -1,
                                           .tail = "\r\n",
                                           .ascii_lead = true};

/* o200k: words by case, contractions behind them, [\r\n/]* behind symbols */
#define O200K(end) \
    .letter = UNICODE_L | UNICODE_M, .no_lead = WORD_NO_LEAD, .symbol = NOT_LN, .tail = (end), .cased = true
static const struct word_form tekken = {O200K("\r\n/"), .n_digit = 1};
static const struct word_form gpt4o = {O200K("\r\n/"), .n_digit = 3, .contraction = CONTRACTION_TAIL};
static const struct word_form youtu = {O200K("\r\n/"), .n_digit = 1, .contraction = CONTRACTION_TAIL};
/* [\p{Han}]+ first, no Han in words, [\r\n]* behind symbols */
static const struct word_form kimi = {O200K("\r\n"), .n_digit = 3, .contraction = CONTRACTION_TAIL, .han_apart = true};

static const struct char_set number = {.category = UNICODE_N};
static const struct char_set letter = {.category = UNICODE_L};
static const struct char_set punctuation = {.category = UNICODE_P};
static const struct char_set space = {.category = CHAR_SPACE};
static const struct char_set blank = {.ascii = " "};
static const struct char_set line_break = {.ascii = "\r\n"};
static const struct char_set newline = {.ascii = "\n"};
static const struct char_set not_space = {.category = CHAR_SPACE, .negated = true};
static const struct char_set ascii_digit = {.ascii = "0123456789"};
/* [\p{P}\$\+<=>\^~\|`]+ and the same without the grave accent */
static const struct char_set falcon_symbol = {.category = UNICODE_P, .ascii = "$+<=>^~|`"};
static const struct char_set default_symbol = {.category = UNICODE_P, .ascii = "$+<=>^~|"};
/* [^(\s|.,!?…。，、।۔،)] */
static const struct char_set bloom_word = {.category = CHAR_SPACE,
                                           .ascii = "(|.,!?)",
                                           .range = {{0x60C, 0x60C},
                                                     {0x6D4, 0x6D4},
                                                     {0x964, 0x964},
                                                     {0x2026, 0x2026},
                                                     {0x3001, 0x3001},
                                                     {0x3002, 0x3002},
                                                     {0xFF0C, 0xFF0C}},
                                           .negated = true};
/* [一-龥぀-ゟ゠-ヿ] */
static const struct char_set deepseek3_cjk = {.range = {{0x3040, 0x309F}, {0x30A0, 0x30FF}, {0x4E00, 0x9FA5}}};
/* [一-龥ࠀ-一가-퟿] */
static const struct char_set deepseek_cjk = {.range = {{0x800, 0x4E00}, {0x4E00, 0x9FA5}, {0xAC00, 0xD7FF}}};
/* letters with case of Unicode 11, as the tokenizer.json of DeepSeek LLM lists them */
static const struct char_set deepseek_letter = {
    .range = {{0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},
              {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},
              {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
              {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
              {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
              {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
              {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
              {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
              {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
              {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
              {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
              {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
              {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
              {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
              {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
              {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
              {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}}};
/* [!-/:-~！-／：-～‘-‟　-。] */
static const struct char_set deepseek_symbol = {
    .range = {{'!', '/'}, {':', '~'}, {0x2018, 0x201F}, {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}}};
/* Han, kana, Thai, Lao, Khmer, Myanmar, Hangul */
static const struct char_set afmoe_script = {.range = {{0xE40, 0xE7F},
                                                       {0xE80, 0xEFF},
                                                       {0x1000, 0x109F},
                                                       {0x1100, 0x11FF},
                                                       {0x1780, 0x17FF},
                                                       {0x2F00, 0x2FDF},
                                                       {0x3040, 0x309F},
                                                       {0x30A0, 0x30FF},
                                                       {0x3400, 0x4DBF},
                                                       {0x4E00, 0x9FFF},
                                                       {0xA9E0, 0xA9FF},
                                                       {0xAA60, 0xAA7F},
                                                       {0xAC00, 0xD7AF},
                                                       {0xF900, 0xFAFF},
                                                       {0xFF65, 0xFF9F}}};
/* [가-힣ㄱ-ㆎ]+ | [！…“”‘’—：；，、-〿︰-﹏]+ | [ㄅ-ㄯ]+ | [一-龥぀-ゟ゠-ヿ]+ */
static const struct char_set youtu_hangul = {.range = {{0x3131, 0x318E}, {0xAC00, 0xD7A3}}};
static const struct char_set youtu_mark = {.range = {{0x2014, 0x2014},
                                                     {0x2018, 0x2019},
                                                     {0x201C, 0x201D},
                                                     {0x2026, 0x2026},
                                                     {0x3001, 0x303F},
                                                     {0xFE30, 0xFE4F},
                                                     {0xFF01, 0xFF01},
                                                     {0xFF0C, 0xFF0C},
                                                     {0xFF1A, 0xFF1A},
                                                     {0xFF1B, 0xFF1B}}};
static const struct char_set youtu_bopomofo = {.range = {{0x3105, 0x312F}}};

#define WORDS(f)                            \
    {                                       \
        .length = split_words, .form = &(f) \
    }
#define RUN(s)                           \
    {                                    \
        .length = split_run, .set = &(s) \
    }
#define RUN_OF(s, n)                                 \
    {                                                \
        .length = split_run, .set = &(s), .max = (n) \
    }
#define LED(l, s)                                      \
    {                                                  \
        .length = split_run, .lead = &(l), .set = &(s) \
    }
#define STEP(f)       \
    {                 \
        .length = (f) \
    }
#define STEPS(...) \
    .step = {__VA_ARGS__}, .n_step = sizeof((const struct split_step[]){__VA_ARGS__}) / sizeof(struct split_step)

static const struct pretoken_rule rules[] = {
    {NAMES("gpt-2", "gpt2", "phi-2", "gigachat", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v2-code",
           "jina-v1-en", "roberta-bpe", "a.x-4.0", "mellum", "modern-bert", "mpt", "olmo", "jais", "exaone4",
           "trillion", "granite-docling"),
     STEPS(STEP(split_gpt2))},
    {NAMES("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano",
           "dbrx", "smaug-bpe", "glm4", "chatglm-bpe"),
     STEPS(WORDS(llama3))},
    {NAMES("qwen2"), STEPS(WORDS(qwen2)), .nfc = true},
    {NAMES("deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"),
     STEPS(WORDS(qwen2))},
    {NAMES("qwen35"), STEPS(WORDS(qwen35)), .nfc = true},
    {NAMES("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"),
     STEPS(RUN_OF(number, 1), STEP(split_gpt2))},
    {NAMES("deepseek-v3", "hunyuan-dense", "joyai-llm"),
     STEPS(RUN_OF(number, 3), RUN(deepseek3_cjk), WORDS(deepseek3))},
    {NAMES("tekken"), STEPS(WORDS(tekken))},
    {NAMES("gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2", "granite-embed-multi-97m"), STEPS(WORDS(gpt4o))},
    {NAMES("tiny_aya", "cohere2moe"), STEPS(STEP(split_word_triples), WORDS(gpt4o))},
    {NAMES("youtu"), STEPS(RUN(youtu_hangul), RUN(youtu_mark), RUN(youtu_bopomofo), RUN(deepseek3_cjk), WORDS(youtu))},
    {NAMES("laguna"), STEPS(RUN(newline), WORDS(qwen2))},
    {NAMES("afmoe"), STEPS(STEP(split_triples), RUN(afmoe_script), WORDS(deepseek3))},
    {NAMES("deepseek-llm"), STEPS(RUN_OF(line_break, 1), LED(space, deepseek_letter), LED(space, deepseek_symbol),
                                  STEP(split_end_space), RUN(deepseek_cjk), RUN(number))},
    {NAMES("deepseek-coder"),
     STEPS(RUN_OF(line_break, 1), LED(space, letter), LED(space, punctuation), RUN(deepseek_cjk), RUN_OF(number, 1))},
    {NAMES("falcon"),
     STEPS(RUN(falcon_symbol), STEP(split_gpt2), {.length = split_run, .set = &ascii_digit, .min = 3, .max = 3})},
    {NAMES("bailingmoe", "bailingmoe2", "llada-moe"), STEPS(WORDS(qwen2))},
    {NAMES("seed-coder"), STEPS(WORDS(seed_coder))},
    {NAMES("minicpm5"), STEPS(RUN_OF(number, 3), WORDS(minicpm5))},
    {NAMES("jais-2"), STEPS(WORDS(jais2))},
    {NAMES("exaone-moe"), STEPS(WORDS(exaone_moe))},
    {NAMES("superbpe"), STEPS(RUN(number), STEP(split_before_triples))},
    {NAMES("whitespace"), STEPS(RUN(not_space))},
    {NAMES("poro-chat", "bloom", "gpt3-finnish"), STEPS(LED(blank, bloom_word))},
    {NAMES("viking"), STEPS(LED(blank, bloom_word), RUN_OF(number, 1))},
    {NAMES("kimi-k2"), STEPS(WORDS(kimi))},
    {NAMES("default"), STEPS(RUN(default_symbol), STEP(split_gpt2), RUN(number),
                             {.length = split_run, .set = &ascii_digit, .min = 3, .max = 3})},
    {NAMES("gemma4", "granite-embed-multi-311m", "sarvam-moe"), STEPS(RUN(newline))},
};

const struct pretoken_rule *pretoken_rule_at(size_t i, const char **name)
{
    if (i >= N_ELEM(rules)) {
        return NULL;
    }
    *name = rules[i].names[0];
    return &rules[i];
}

static const struct pretoken_rule *find(const char *name)
{
    for (size_t i = 0; name && i < N_ELEM(rules); i++) {
        for (const char *const *n = rules[i].names; *n; n++) {
            if (str_eq(*n, name)) {
                return &rules[i];
            }
        }
    }
    return NULL;
}

int pretoken_find(const char *name, const struct pretoken_rule **rule, struct err *e)
{
    char known[400] = "";
    *rule = find(name);
    if (*rule) {
        return 0;
    }
    for (size_t i = 0; i < N_ELEM(rules); i++) {
        size_t at = strlen(known);
        snprintf(known + at, sizeof known - at, "%s%s", at ? ", " : "", rules[i].names[0]);
    }
    if (!name || !*name) {
        return err_set(e, ERR_UNSUPPORTED, "tokenizer.ggml.pre",
                       "cannot use the tokenizer: the model does not name its pre-tokenizer; supported are %s", known);
    }
    return err_set(e, ERR_UNSUPPORTED, name,
                   "cannot use the tokenizer: pre-tokenizer \"%.64s\" is not supported; supported are %s", name, known);
}

void pretokens_init(struct pretokens *p, const struct pretoken_rule *rule, const char *text, size_t n)
{
    *p = (struct pretokens){.rule = rule, .text = text, .end = {n}};
}

bool pretokens_next(struct pretokens *p, const char **piece, size_t *n)
{
    size_t level = p->rule->n_step, pos = p->pos;
    if (pos == p->end[0]) {
        return false;
    }
    while (p->end[level] <= pos) {
        level--;
    }
    for (; level < p->rule->n_step; level++) {
        const struct split_step *step = &p->rule->step[level];
        p->end[level + 1] = pos + step->length(step, p, p->text + pos, p->end[level] - pos);
    }
    *piece = p->text + pos;
    *n = p->end[level] - pos;
    p->pos = p->end[level];
    return true;
}
