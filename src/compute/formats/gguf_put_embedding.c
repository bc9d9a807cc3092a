/* Keys that an embedding model has in a GGUF: the hyper-parameters of an encoder, as llama.cpp's converter names them,
 * and how its vectors are pooled. What GGUF has no key for stands under tailor.; encoder_params.c reads all of it. */
#include "compute/formats/arch_int.h"

void gguf_put_encoder(struct gguf_keys *k, const struct encoder_params *p, const char *name)
{
    gguf_keys_whole_text(k, "general.architecture", k->p->architecture);
    gguf_keys_whole_text(k, "general.type", "model");
    gguf_keys_whole_text(k, "general.name", name);
    gguf_keys_int(k, "block_count", p->n_layer);
    gguf_keys_int(k, "context_length", p->n_ctx);
    gguf_keys_int(k, "embedding_length", p->n_embd);
    gguf_keys_int(k, "feed_forward_length", p->n_ff);
    gguf_keys_int(k, "attention.head_count", p->n_head);
    gguf_keys_int(k, "vocab_size", p->n_vocab);
    gguf_keys_float(k, "attention.layer_norm_epsilon", (double)p->norm_eps);
    gguf_keys_bool(k, "attention.causal", false);
    /* llama.cpp wants at least one type, even where there is no tensor of them */
    uint32_t n_type = p->n_token_type > 0 ? (uint32_t)p->n_token_type : 1;
    k->failed |= gguf_put_u32(k->w, "tokenizer.ggml.token_type_count", n_type) != 0;
}

void gguf_put_embedding(struct gguf_keys *k, const struct embedding_params *p)
{
    static const int number[] = {[POOLING_MEAN] = 1, [POOLING_CLS] = 2, [POOLING_LAST] = 3};
    if (p->pooling != POOLING_NONE) {
        gguf_keys_int(k, "pooling_type", number[p->pooling]);
        if (!p->normalize) { /* readers of the usual keys take it for granted */
            k->failed |= gguf_put_bool(k->w, TAILOR_EMBEDDING_NORMALIZE, false) != 0;
        }
    }
    if (p->max_tok > 0) {
        k->failed |= gguf_put_u32(k->w, TAILOR_EMBEDDING_MAX_TOKENS, (uint32_t)p->max_tok) != 0;
    }
}
