/* What downloads share. Owns nothing. */
#include "lifecycle/hub/net.h"

#include "ground/http/http_get.h"

int hub_check_cancelled(const struct hub_net *net, struct err *e)
{
    bool stop = net->o->is_cancelled && net->o->is_cancelled(net->o->arg);
    return stop ? err_set(e, ERR_INTERRUPTED, NULL, "interrupted; the same command goes on where this one stopped") : 0;
}

int hub_get_text(struct hub_net *net, const char *url, const char *credential, struct buf *body, struct err *e)
{
    struct http_get g = {.fetch = {.url = url, .credential = credential},
                         .n_retry = net->o->n_retry,
                         .is_cancelled = net->o->is_cancelled,
                         .arg = net->o->arg};
    return http_get_text(net->client, &g, body, e);
}
