/* Shapes of real models. Owns the table: sizes from the config.json of the models named, and a tiny one of each
 * architecture for tests. */
#include "doors/cli/model_presets.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

struct preset {
    const char *arch, *name;
    int n_layer, n_embd, n_head, n_kv_head, d_head, n_ff, n_vocab, n_ctx;
    bool tied;
    double rope_theta, rms_eps;
    int window;
    bool rope_freqs; /* a table of frequency factors, which is written as ones */
    float attn_scale, embedding_scale, residual_scale, logit_divisor; /* 0: as the architecture has it */
};

/* clang-format off */
static const struct preset presets[] = {
    {"llama", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, true, 1e4, 1e-5, .window = 0},
    {"llama", "135m", 30, 576, 9, 3, 64, 1536, 49152, 8192, true, 1e5, 1e-5, .window = 0},       /* SmolLM2-135M */
    {"llama", "360m", 32, 960, 15, 5, 64, 2560, 49152, 8192, true, 1e5, 1e-5, .window = 0},      /* SmolLM2-360M */
    {"llama", "1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, true, 5e5, 1e-5, .rope_freqs = true},   /* Llama-3.2-1B */
    {"llama", "1.7b", 24, 2048, 32, 32, 64, 8192, 49152, 8192, true, 1.3e5, 1e-5, .window = 0},  /* SmolLM2-1.7B */
    {"llama", "8b", 32, 4096, 32, 8, 128, 14336, 128256, 131072, false, 5e5, 1e-5, .rope_freqs = true}, /* Llama-3.1-8B */
    {"qwen2", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, true, 1e6, 1e-6, .window = 0},
    {"qwen2", "0.5b", 24, 896, 14, 2, 64, 4864, 151936, 32768, true, 1e6, 1e-6, .window = 0},    /* Qwen2.5-0.5B */
    {"qwen2", "1.5b", 28, 1536, 12, 2, 128, 8960, 151936, 32768, true, 1e6, 1e-6, .window = 0},  /* Qwen2.5-1.5B */
    {"qwen2", "3b", 36, 2048, 16, 2, 128, 11008, 151936, 32768, true, 1e6, 1e-6, .window = 0},   /* Qwen2.5-3B */
    {"qwen2", "7b", 28, 3584, 28, 4, 128, 18944, 152064, 32768, false, 1e6, 1e-6, .window = 0},  /* Qwen2.5-7B */
    {"qwen3", "tiny", 2, 64, 4, 2, 32, 160, 512, 512, true, 1e6, 1e-6, .window = 0},
    {"qwen3", "0.6b", 28, 1024, 16, 8, 128, 3072, 151936, 40960, true, 1e6, 1e-6, .window = 0},  /* Qwen3-0.6B */
    {"qwen3", "1.7b", 28, 2048, 16, 8, 128, 6144, 151936, 40960, true, 1e6, 1e-6, .window = 0},  /* Qwen3-1.7B */
    {"qwen3", "4b", 36, 2560, 32, 8, 128, 9728, 151936, 40960, true, 1e6, 1e-6, .window = 0},    /* Qwen3-4B */
    {"qwen3", "8b", 36, 4096, 32, 8, 128, 12288, 151936, 40960, false, 1e6, 1e-6, .window = 0},  /* Qwen3-8B */
    {"gemma2", "tiny", 2, 64, 4, 2, 32, 160, 512, 512, true, 1e4, 1e-6, .window = 64},
    {"gemma2", "2b", 26, 2304, 8, 4, 256, 9216, 256000, 8192, true, 1e4, 1e-6, .window = 4096},   /* gemma-2-2b */
    {"gemma2", "9b", 42, 3584, 16, 8, 256, 14336, 256000, 8192, true, 1e4, 1e-6, .window = 4096}, /* gemma-2-9b */
    {"gemma3", "tiny", 2, 64, 4, 1, 32, 160, 512, 512, true, 1e6, 1e-6, .window = 64},
    {"gemma3", "270m", 18, 640, 4, 1, 256, 2048, 262144, 32768, true, 1e6, 1e-6, .window = 512},  /* gemma-3-270m */
    {"gemma3", "1b", 26, 1152, 4, 1, 256, 6912, 262144, 32768, true, 1e6, 1e-6, .window = 512},   /* gemma-3-1b */
    {"phi3", "tiny", 2, 64, 4, 4, 16, 160, 512, 512, true, 1e4, 1e-5, .window = 0},
    {"phi3", "4b", 32, 3072, 32, 32, 96, 8192, 32064, 4096, false, 1e4, 1e-5, .window = 2047},    /* Phi-3-mini-4k */
    {"olmo2", "tiny", 2, 64, 4, 4, 16, 160, 512, 512, true, 5e5, 1e-6, .window = 0},
    {"olmo2", "1b", 16, 2048, 16, 16, 128, 8192, 100352, 4096, false, 5e5, 1e-6, .window = 0},   /* OLMo-2-0425-1B */
    {"olmo2", "7b", 32, 4096, 32, 32, 128, 11008, 100352, 4096, false, 5e5, 1e-6, .window = 0},  /* OLMo-2-1124-7B */
    {"granite", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, true, 1e7, 1e-5,
     .attn_scale = 0.0625f, .embedding_scale = 12, .residual_scale = 0.22f, .logit_divisor = 8},
    {"granite", "2b", 40, 2048, 32, 8, 64, 8192, 49155, 131072, true, 1e7, 1e-5,                  /* granite-3.3-2b */
     .attn_scale = 0.015625f, .embedding_scale = 12, .residual_scale = 0.22f, .logit_divisor = 8},
    {"granite", "8b", 40, 4096, 32, 8, 128, 12800, 49159, 131072, true, 1e7, 1e-5,                /* granite-3.3-8b */
     .attn_scale = 0.0078125f, .embedding_scale = 12, .residual_scale = 0.22f, .logit_divisor = 16},
    {"smollm3", "tiny", 4, 64, 4, 2, 16, 160, 512, 512, true, 5e6, 1e-6, .window = 0},
    {"smollm3", "3b", 36, 2048, 16, 4, 128, 11008, 128256, 65536, true, 5e6, 1e-6, .window = 0}, /* SmolLM3-3B */
};
/* clang-format on */

static void fill(const struct preset *s, struct model_params *p)
{
    p->n_layer = s->n_layer, p->n_embd = s->n_embd, p->n_ff = s->n_ff;
    p->n_head = s->n_head, p->n_kv_head = s->n_kv_head, p->d_head = p->n_rot = s->d_head;
    p->n_vocab = s->n_vocab, p->n_ctx_train = s->n_ctx, p->tied_head = s->tied;
    p->rms_eps = (float)s->rms_eps;
    p->rope[0].theta = s->rope_theta;
    model_params_layers(p, s->window);
    if (str_eq(s->arch, "gemma2")) {
        p->attn_softcap = 50, p->logit_softcap = 30;
    }
    if (s->attn_scale > 0) {
        p->attn_scale = s->attn_scale, p->embedding_scale = s->embedding_scale;
        p->residual_scale = s->residual_scale, p->logit_scale = 1 / s->logit_divisor;
    }
}

bool model_preset_find(const char *arch, const char *name, struct model_params *p, bool *rope_freqs)
{
    for (size_t i = 0; i < N_ELEM(presets); i++) {
        const struct preset *s = &presets[i];
        if (str_eq(s->arch, arch) && str_eq(s->name, name) && model_params_begin(p, arch)) {
            fill(s, p);
            *rope_freqs = s->rope_freqs;
            return true;
        }
    }
    return false;
}

const char *model_preset_names(const char *arch, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < N_ELEM(presets); i++) {
        size_t n = strlen(out);
        if (str_eq(presets[i].arch, arch)) {
            snprintf(out + n, size - n, "%s%s", n ? ", " : "", presets[i].name);
        }
    }
    return out;
}
