/* Replays the corpus of a fuzz target in a unit test: include the target's .c file first. */
#ifndef FUZZ_REPLAY_H
#define FUZZ_REPLAY_H

#include "ground/base/file.h"
#include "ground/base/mem.h"

/* Every file of tests/fuzz/corpus/NAME as it is, and cut at every byte. Returns how many inputs that were. */
static inline size_t replay_corpus(const char *dir)
{
    struct err e = {0};
    char **names;
    size_t n_name, n_input = 0;
    if (file_list_dir(dir, &names, &n_name, &e)) return 0;
    for (size_t i = 0; i < n_name; i++) {
        char *path = path_join(dir, names[i]), *data;
        size_t n;
        if (file_read_all(path, 1 << 16, &data, &n, &e) == 0) {
            for (size_t len = 0; len <= n; len++, n_input++) {
                uint8_t *exact = mem_alloc(len); /* so that a read past the end is seen */
                for (size_t k = 0; k < len; k++) exact[k] = (uint8_t)data[k];
                LLVMFuzzerTestOneInput(exact, len);
                mem_free(exact);
            }
            mem_free(data);
        }
        mem_free(path);
        mem_free(names[i]);
    }
    mem_free(names);
    return n_input;
}

#endif
