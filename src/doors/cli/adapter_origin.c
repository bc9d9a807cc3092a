/* Comparing what the trainer wrote into an adapter with the model that is about to use it. */
#include "doors/cli/adapter_origin.h"

#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"

enum { CONFIG_MAX_BYTES = 1 << 20 };

static int differs(const char *dir, const struct model_file *f, const char *what, struct err *e)
{
    return err_set(
        e, ERR_CONFLICT, dir,
        "cannot use adapter \"%s\" on \"%s\": it was tuned on another %s; check=no behind the adapter uses it "
        "all the same",
        dir, model_file_path(f), what);
}

static int check_base(const char *dir, const struct model_file *f, const char *said, struct err *e)
{
    char hex[MODEL_FINGERPRINT_SIZE];
    int rc = said != NULL ? model_file_fingerprint(f, hex, e) : 0;
    return rc != 0 || said == NULL || str_eq(said, hex) ? rc
                                                        : differs(dir, f, "model, or other types of its weights", e);
}

static int check_template(const char *dir, const struct model_file *f, const char *said, struct err *e)
{
    struct vocab_source v;
    struct err ignored; /* who needs the template is told elsewhere */
    char hex[DIGEST_HEX_SIZE];
    if (said == NULL || model_file_vocab(f, &v, &ignored) != 0 || v.chat_template == NULL) return 0;
    int rc = digest_memory(v.chat_template, strlen(v.chat_template), hex, e);
    return rc != 0 || str_eq(said, hex) ? rc : differs(dir, f, "chat template", e);
}

/* What was trained over other adapters is right with them only; the run keeps all of them as one. */
static int check_alone(const char *dir, const char *over, struct err *e)
{
    return over == NULL ? 0
                        : err_set(e, ERR_CONFLICT, dir,
                                  "cannot use adapter \"%s\" alone: it was tuned over others; \"%s\" beside it holds "
                                  "all of them, check=no behind the adapter uses it all the same",
                                  dir, over);
}

/* Beside the weights it would add what their codes never held. */
static int check_beside(const char *dir, const char *codes, struct err *e)
{
    return codes == NULL
               ? 0
               : err_set(e, ERR_CONFLICT, dir,
                         "cannot use adapter \"%s\" beside the weights: it was tuned within their codes "
                         "(merge_aware), where merge puts it; check=no behind the adapter uses it all the same",
                         dir);
}

int adapter_origin_is_codes(const char *dir, bool *codes, struct err *e)
{
    *codes = false;
    if (!file_is_dir(dir)) return 0;
    char *path = path_join(dir, "adapter_config.json");
    json_t *config = NULL;
    int rc = json_read_file(path, CONFIG_MAX_BYTES, &config, e);
    *codes = json_string_value(json_object_get(json_object_get(config, "tailor"), "codes")) != NULL;
    json_decref(config);
    mem_free(path);
    return rc;
}

int adapter_origin_check(const char *dir, const struct model_file *f, bool merging, struct err *e)
{
    if (!file_is_dir(dir)) return 0; /* a GGUF LoRA says nothing of where it comes from but its architecture */
    char *path = path_join(dir, "adapter_config.json");
    json_t *config = NULL;
    int rc = json_read_file(path, CONFIG_MAX_BYTES, &config, e);
    const json_t *own = json_object_get(config, "tailor");
    if (rc == 0) rc = check_alone(dir, json_string_value(json_object_get(own, "over")), e);
    if (rc == 0 && !merging) rc = check_beside(dir, json_string_value(json_object_get(own, "codes")), e);
    if (rc == 0) rc = check_base(dir, f, json_string_value(json_object_get(own, "base")), e);
    if (rc == 0) rc = check_template(dir, f, json_string_value(json_object_get(own, "template")), e);
    json_decref(config);
    mem_free(path);
    return rc;
}
