/* Obstacles of a plan. Owns nothing. What the program supports is asked of the rooms that do it, so that the plan never
 * promises a model that cannot be opened, and needs no list of its own. */
#include "doors/cli/plan_obstacles.h"

#include <stdio.h>

#include "compute/formats/model_file.h"
#include "compute/text/pretoken.h"
#include "ground/base/str.h"

void plan_obstacles_find(const struct plan_model *model, const struct plan_load *l, const struct plan_memory *m,
                         double available_bytes, struct plan_obstacles *out)
{
    const struct pretoken_rule *rule;
    *out = (struct plan_obstacles){.model = model,
                                   .needed_bytes = m->total_bytes,
                                   .available_bytes = available_bytes,
                                   .needed_tokens = (int64_t)l->prompt_tokens + l->output_tokens};
    out->memory = out->needed_bytes > available_bytes;
    out->context = model->n_ctx > 0 && out->needed_tokens > model->n_ctx;
    out->architecture = model->architecture[0] && !model_architecture_known(model->architecture);
    out->tokenizer = model->pre_tokenizer[0] && pretoken_find(model->pre_tokenizer, &rule, NULL) != 0;
    out->unsupported = out->architecture || out->tokenizer;
}

static void add(json_t *list, bool there, const char *text)
{
    if (there) (void)json_array_append_new(list, json_string(text));
}

json_t *plan_obstacles_json(const struct plan_obstacles *o, enum lang lang)
{
    bool zh = lang == LANG_ZH;
    char text[200], needed[32], available[32];
    json_t *list = json_array();
    str_format_bytes((uint64_t)o->needed_bytes, needed, sizeof needed);
    str_format_bytes((uint64_t)o->available_bytes, available, sizeof available);
    snprintf(text, sizeof text, zh ? "需要内存 %s，可用 %s" : "needs %s of memory, %s are free", needed, available);
    add(list, o->memory, text);
    snprintf(text, sizeof text,
             zh ? "提示词与回答合计 %lld 词元，模型的上下文只有 %d 词元"
                : "prompt and answer are %lld tokens, the model's context is %d",
             (long long)o->needed_tokens, o->model->n_ctx);
    add(list, o->context, text);
    snprintf(text, sizeof text, zh ? "本版本不能计算架构 %s" : "this version cannot compute architecture %s",
             o->model->architecture);
    add(list, o->architecture, text);
    snprintf(text, sizeof text, zh ? "本版本不能读取其分词器（%s）" : "this version cannot read its tokenizer (%s)",
             o->model->pre_tokenizer);
    add(list, o->tokenizer, text);
    return list;
}

void plan_obstacles_print(const struct plan_obstacles *o, enum lang lang)
{
    json_t *list = plan_obstacles_json(o, lang);
    for (size_t i = 0; i < json_array_size(list); i++)
        printf("  %s%s\n", lang == LANG_ZH ? "注意：" : "but: ", json_string_value(json_array_get(list, i)));
    json_decref(list);
}
