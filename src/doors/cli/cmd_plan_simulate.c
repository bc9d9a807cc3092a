/* plan simulate: a load on predicted step times, request by request. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "doors/cli/cli.h"
#include "doors/cli/plan_against.h"
#include "doors/cli/plan_local.h"
#include "doors/cli/plan_options.h"
#include "doors/cli/plan_target.h"
#include "doors/cli/print_wrapped.h"
#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/base/sort.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/plan/arrivals.h"
#include "lifecycle/plan/offer.h"

extern const struct command cmd_plan_simulate;

static const struct param params[] = {
    PLAN_SYSTEM_PARAMS,
    {"measure", PARAM_BOOL, 0, NULL, 0, 0, NULL, "true", NULL, "time the model at hand, so that predictions rest on it",
     "对手头的模型计时，使预测以实测为准"},
    {"trace", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "F.csv",
     "recorded requests: columns arrival_s, prompt_tokens, output_tokens",
     "记录的请求：列 arrival_s、prompt_tokens、output_tokens"},
    {"arrivals", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "KIND",
     "poisson:RATE, uniform:RATE, bursts:RATE:CV (calls a second; CV: spread of the gaps) or closed:USERS (each asks "
     "again when answered)",
     "poisson:速率、uniform:速率、bursts:速率:CV（每秒调用数；CV 为间隔的离散程度）或 "
     "closed:用户数（得到回答后再次提问）"},
    {"requests", PARAM_INT, 0, NULL, 1, SIM_MAX_REQUESTS, NULL, "10000", "N", "how many requests to draw",
     "生成的请求数"},
    {"prompt_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "512", "N", "length of a prompt, mean",
     "提示词平均长度"},
    {"output_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "128", "N", "length of an answer, mean",
     "回答平均长度"},
    {"length_cv", PARAM_FLOAT, 0, NULL, 0, 10, NULL, "0", "X",
     "spread of the lengths: standard deviation over mean (log-normal); 0: all alike",
     "长度的离散程度：标准差与均值之比（对数正态）；0 表示相同"},
    {"think_s", PARAM_FLOAT, 0, "s", 0, 1e6, NULL, "0", "X",
     "with closed: time between an answer and the next question", "closed 方式下从得到回答到下一次提问的时间"},
    {"replicas", PARAM_INT, 0, NULL, 1, SIM_MAX_REPLICAS, NULL, NULL, "N",
     "equal systems behind a balancer; otherwise as many as --count makes",
     "负载均衡后的相同系统数；未给出时由 --count 决定"},
    {"balancer", PARAM_CHOICE, 0, NULL, 0, 0, "least|turns|random", "least", NULL,
     "who gets a request: the replica with the fewest, each in turn, or any", "请求分配：最少连接、轮流或随机"},
    {"max_batch", PARAM_INT, 0, "sequences", 1, 100000, NULL, NULL, "N",
     "answers that a replica computes together; otherwise what the software does",
     "每个副本同时计算的回答数；未给出时按推理软件"},
    {"chunk_tokens", PARAM_INT, 0, "tokens", 1, 1000000, NULL, NULL, "N",
     "tokens of one step at most, prompts in pieces; otherwise what the software does",
     "每步最多的词元数，提示词分块；未给出时按推理软件"},
    {"warmup", PARAM_FLOAT, 0, NULL, 0, 0.9, NULL, "0.1", "X",
     "share of the requests, at the start, that figures leave out", "统计时略去的起始请求比例"},
    {"against", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "URL",
     "a server that runs on this machine with the model of --model (http://127.0.0.1:8321): the same loads are put on "
     "it "
     "and on the simulation, and compared",
     "本机上运行 --model 所给模型的服务（http://127.0.0.1:8321）：对其与模拟施加相同负载并比较"},
    {"loads", PARAM_INTS, 0, NULL, 1, 1000, NULL, "1,4,8", "N,N,N", "with against: users at a time",
     "against 方式下的同时用户数"},
    {"rounds", PARAM_INT, 0, NULL, 1, 25, NULL, "3", "N",
     "with against: how often every load is put on both; the middle round counts",
     "against 方式下每个负载重复的轮数，取居中的一轮"},
    {"seed", PARAM_INT, 0, NULL, 0, 1e15, NULL, "1", "N", "of all draws", "随机种子"},
};

enum { MAX_LOADS = 20, MAX_ROUNDS = 25 };
enum { LEAST_REQUESTS = 31 }; /* that show what one takes beside computing */
/* How far the simulation may be off to be called right. */
#define AGREES 0.20

struct job {
    struct plan_target target; /* its system is used with --hardware */
    struct plan_measured measured;
    struct plan_system system;
    struct plan_goal goal; /* lengths: the means of the requests */
    struct sim_setup setup;
    struct sim_request *request;
    size_t n;
    double rate_s;                /* of Poisson arrivals; 0: others */
    int n_round;                  /* of a comparison with a server, that have begun */
    double request_s[MAX_ROUNDS]; /* that the server takes for a request beside computing, by round */
};

/* --- what is asked --- */

static int draw(const struct param_set *args, struct job *j, struct err *e)
{
    struct arrivals a = {.n = (size_t)param_int(args, "requests"),
                         .prompt_tokens = (double)param_int(args, "prompt_tokens"),
                         .output_tokens = (double)param_int(args, "output_tokens"),
                         .length_cv = param_float(args, "length_cv"),
                         .seed = (uint64_t)param_int(args, "seed")};
    int rc = arrivals_parse(param_str(args, "arrivals"), &a, e);
    if (rc) return rc;
    j->n = a.n;
    j->setup.users = a.kind == ARRIVAL_CLOSED ? a.users : 0;
    j->rate_s = a.kind == ARRIVAL_POISSON ? a.rate_s : 0;
    return arrivals_draw(&a, &j->request, e);
}

static int read_requests(const struct param_set *args, struct job *j, struct err *e)
{
    const char *trace = param_str(args, "trace");
    int rc = param_need_one(args, "simulate", "trace", "arrivals", e);
    if (rc) return rc;
    rc = trace ? arrivals_read(trace, &j->request, &j->n, e) : draw(args, j, e);
    if (rc) return rc;
    j->setup.warmup_share = trace && !param_is_set(args, "warmup") ? 0 : param_float(args, "warmup");
    for (size_t i = 0; i < j->n; i++) {
        j->goal.prompt_tokens += (double)j->request[i].prompt_tokens / (double)j->n;
        j->goal.output_tokens += (double)j->request[i].output_tokens / (double)j->n;
    }
    return 0;
}

static int find_system(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                       struct job *j, struct err *e)
{
    struct plan_load one = {1, (int)ceil(j->goal.prompt_tokens), (int)ceil(j->goal.output_tokens)};
    if (!param_str(args, "hardware")) return plan_local_system(c, args, catalogue, &one, &j->measured, &j->system, e);
    int rc = plan_target_of(c, args, catalogue, false, &j->target, e);
    if (rc == 0) j->system = j->target.system;
    return rc;
}

/* The tokens that the cache holds, by the mean request. */
static double cache_tokens(const struct job *j)
{
    struct plan_load one = {1, (int)ceil(j->goal.prompt_tokens), (int)ceil(j->goal.output_tokens)};
    struct plan_memory m;
    plan_memory_of(&j->system, &one, &m);
    return m.max_sequences * (one.prompt_tokens + one.output_tokens);
}

static int set_up(const struct param_set *args, struct job *j, struct err *e)
{
    const char *balancer = param_str(args, "balancer");
    double kv_tokens = cache_tokens(j);
    if (kv_tokens < 1)
        return err_set(e, ERR_USAGE, "hardware",
                       "cannot simulate \"%s\": the memory of %s does not hold the model and one conversation",
                       j->system.model->name, j->system.hardware ? j->system.hardware->id : "this machine");
    sim_server_of(&j->system, kv_tokens, &j->setup.server);
    if (j->n_round) j->setup.server.first_token_s = j->request_s[j->n_round - 1];
    if (param_is_set(args, "max_batch")) j->setup.server.max_running = (int)param_int(args, "max_batch");
    if (param_is_set(args, "chunk_tokens")) j->setup.server.chunk_tokens = (int)param_int(args, "chunk_tokens");
    j->setup.replicas = param_is_set(args, "replicas") ? (int)param_int(args, "replicas")
                        : j->system.hardware           ? j->target.replicas
                                                       : 1;
    j->setup.balancer = str_eq(balancer, "least")   ? SIM_LEAST_REQUESTS
                        : str_eq(balancer, "turns") ? SIM_ROUND_ROBIN
                                                    : SIM_RANDOM;
    j->setup.seed = (uint64_t)param_int(args, "seed");
    j->setup.think_s = param_float(args, "think_s");
    j->setup.interrupted = cli_interrupted;
    return 0;
}

/* The formulas of queueing.h for the same load; false where they do not apply. */
static bool closed_form(const struct job *j, struct queue_result *out)
{
    struct offer o = {.room = j->setup.server.max_running};
    double tokens = j->goal.prompt_tokens + j->goal.output_tokens / 2;
    o.room = fmax(1, floor(fmin(o.room, j->setup.server.kv_tokens / tokens)));
    return j->rate_s > 0 && offer_wait(&j->system, &j->goal, &o, j->rate_s / j->setup.replicas, out, NULL) == 0;
}

/* --- results --- */

static json_t *quantiles_json(const struct sim_quantiles *q)
{
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "mean", 1e3 * q->mean, "p50", 1e3 * q->p50, "p90", 1e3 * q->p90,
                     "p95", 1e3 * q->p95, "p99", 1e3 * q->p99, "max", 1e3 * q->max);
}

static json_t *result_json(const struct job *j, const struct sim_result *r, double seconds)
{
    struct queue_result q;
    json_t *form = json_null();
    if (closed_form(j, &q))
        form = json_pack("{s:b,s:f,s:o,s:o,s:o}", "stable", q.stable, "utilization", q.utilization, "running",
                         json_finite(q.running), "p_wait", json_finite(q.p_wait), "mean_wait_ms",
                         json_finite(1e3 * q.mean_wait_s));
    json_t *o = json_pack(
        "{s:s,s:s,s:s,s:i,s:I,s:o,s:o,s:o,s:o}", "model", j->system.model->name, "quant", j->system.quant->name,
        "hardware", j->system.hardware ? j->system.hardware->id : "this machine", "replicas", j->setup.replicas,
        "requests", (json_int_t)r->n, "wait_ms", quantiles_json(&r->wait_s), "ttft_ms", quantiles_json(&r->ttft_s),
        "tpot_ms", quantiles_json(&r->tpot_s), "total_ms", quantiles_json(&r->total_s));
    json_t *more =
        json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:I,s:I,s:f,s:o}", "makespan_s", r->makespan_s, "requests_s",
                  r->requests_s, "output_tok_s", r->output_tok_s, "utilization", r->busy, "mean_batch", r->mean_batch,
                  "in_system", r->in_system, "kv_peak", r->kv_peak, "steps", (json_int_t)r->steps, "preemptions",
                  (json_int_t)r->preemptions, "simulated_in_s", seconds, "closed_form", form);
    if (o && more && json_object_update(o, more) == 0) {
        json_decref(more);
        return o;
    }
    json_decref(more);
    json_decref(o);
    return NULL;
}

static void print_quantiles(const char *name, const struct sim_quantiles *q)
{
    printf("%s%*s %8.0f %8.0f %8.0f %8.0f %8.0f %8.0f\n", name, str_padding(name, 22), "", 1e3 * q->mean, 1e3 * q->p50,
           1e3 * q->p90, 1e3 * q->p95, 1e3 * q->p99, 1e3 * q->max);
}

static void print_result(const struct cli *c, const struct job *j, const struct sim_result *r)
{
    struct queue_result q;
    print_wrapped(
        cli_text(c, "%s %s on %d replicas, each %d x %s: %zu requests in the figures, mean %.0f + %.0f tokens\n\n",
                 "%s %s，%d 个副本 x %d 卡 %s：统计 %zu 个请求，平均 %.0f + %.0f 词元\n\n"),
        j->system.model->name, j->system.quant->name, j->setup.replicas, j->system.layout.tp * j->system.layout.pp,
        j->system.hardware ? j->system.hardware->id : cli_text(c, "this machine", "本机"), r->n, j->goal.prompt_tokens,
        j->goal.output_tokens);
    const char *unit = cli_text(c, "ms", "毫秒"), *mean = cli_text(c, "mean", "平均"),
               *max = cli_text(c, "max", "最大");
    printf("%s%*s %*s%s %8s %8s %8s %8s %*s%s\n", unit, str_padding(unit, 22), "", str_padding(mean, 8), "", mean,
           "p50", "p90", "p95", "p99", str_padding(max, 8), "", max);
    print_quantiles(cli_text(c, "wait for a place", "等待位置"), &r->wait_s);
    print_quantiles(cli_text(c, "first token (TTFT)", "首词元（TTFT）"), &r->ttft_s);
    print_quantiles(cli_text(c, "between tokens (TPOT)", "词元间隔（TPOT）"), &r->tpot_s);
    print_quantiles(cli_text(c, "whole answer", "完整回答"), &r->total_s);
    print_wrapped(cli_text(c, "p50: half of the requests take at most this; p90, p95, p99: 90, 95, 99 of a hundred\n",
                           "p50：一半的请求不超过此值；p90、p95、p99：百分之 90、95、99 的请求不超过此值\n"));
    print_wrapped(
        cli_text(c,
                 "\n%.4g requests and %.0f tokens a second; a replica computes %.0f %% of the time, %.1f answers "
                 "together\ncache filled to %.0f %% at most, %llu answers interrupted for lack of room\n",
                 "\n每秒 %.4g 个请求、%.0f 词元；副本 %.0f%% 的时间在计算，平均同时 %.1f 个回答\n"
                 "缓存最多占用 %.0f%%，因空间不足中断 %llu 次\n"),
        r->requests_s, r->output_tok_s, 100 * r->busy, r->mean_batch, 100 * r->kv_peak,
        (unsigned long long)r->preemptions);
    if (closed_form(j, &q) && q.stable)
        print_wrapped(cli_text(c, "by formula: %.1f answers together, %.2f %% of requests wait, %.0f ms on average\n",
                               "按公式：平均同时 %.1f 个回答，%.2f%% 的请求等待，平均 %.0f 毫秒\n"),
                      q.running, 100 * q.p_wait, 1e3 * q.mean_wait_s);
    else if (j->rate_s > 0)
        printf("%s\n", cli_text(c, "by formula: more arrives than is answered, the queue grows without end",
                                "按公式：到达多于应答，队列会无限增长"));
}

/* --- beside a server --- */

struct pair {
    struct load_times real, simulated;
};

/* A load, round by round; sorted by how far the simulation is off once all are there. */
struct beside {
    int users, n_round;
    struct pair round[MAX_ROUNDS];
};

static double off_by(const struct pair *p)
{
    return p->simulated.total_s / p->real.total_s - 1;
}

static int by_off(const void *a, const void *b)
{
    double x = off_by(a), y = off_by(b);
    return (x > y) - (x < y);
}

static const struct pair *middle(const struct beside *b)
{
    return &b->round[b->n_round / 2];
}

static bool all_agree(const struct beside *b, size_t n)
{
    bool all = true;
    for (size_t i = 0; i < n; i++) all = all && fabs(off_by(middle(&b[i]))) <= AGREES;
    return all;
}

static json_t *beside_json(const struct beside *b)
{
    const struct load_times *r = &middle(b)->real, *s = &middle(b)->simulated;
    return json_pack("{s:i,s:I,s:f,s:f,s:f,s:{s:f,s:f,s:f},s:{s:f,s:f,s:f},s:{s:f,s:f,s:f,s:f,s:f}}", "users", b->users,
                     "requests", (json_int_t)r->n, "prompt_tokens", r->prompt_tokens, "output_tokens", r->output_tokens,
                     "cached_tokens", r->cached_tokens, "server", "ttft_ms", 1e3 * r->ttft_s, "tpot_ms",
                     1e3 * r->tpot_s, "total_ms", 1e3 * r->total_s, "simulated", "ttft_ms", 1e3 * s->ttft_s, "tpot_ms",
                     1e3 * s->tpot_s, "total_ms", 1e3 * s->total_s, "error", "ttft", s->ttft_s / r->ttft_s - 1, "tpot",
                     r->tpot_s > 0 ? s->tpot_s / r->tpot_s - 1 : 0, "total", off_by(middle(b)), "total_low",
                     off_by(&b->round[0]), "total_high", off_by(&b->round[b->n_round - 1]));
}

static void print_load(const struct beside *b)
{
    const struct load_times *r = &middle(b)->real, *s = &middle(b)->simulated;
    char range[32];
    snprintf(range, sizeof range, "%+.0f..%+.0f %%", 100 * off_by(&b->round[0]),
             100 * off_by(&b->round[b->n_round - 1]));
    printf("%5d %8.0f %6.1f %6.0f %10.0f %6.1f %6.0f %+8.0f %% %14s\n", b->users, 1e3 * r->ttft_s, 1e3 * r->tpot_s,
           1e3 * r->total_s, 1e3 * s->ttft_s, 1e3 * s->tpot_s, 1e3 * s->total_s, 100 * off_by(middle(b)), range);
}

static void print_beside(const struct cli *c, const struct job *j, const struct beside *b, size_t n)
{
    print_wrapped(
        cli_text(c,
                 "milliseconds; TTFT: until the first token, TPOT: between two tokens, whole: until the answer "
                 "is complete. A request takes %.1f ms at the server beside computing, as its answers of one "
                 "token show; the simulation adds them. Of %d rounds the middle one is shown, by how far the "
                 "whole answer is off.\n\n",
                 "单位毫秒；TTFT 为首词元时间，TPOT 为词元间隔，完整为整个回答的时间。由单词元回答测得，"
                 "服务处理一个请求在计算之外需要 %.1f 毫秒，模拟已计入。共 %d 轮，按完整回答的偏差取居中的一轮。"
                 "\n\n"),
        1e3 * j->request_s[j->n_round / 2], b[0].n_round);
    printf("%s\n", cli_text(c, "users     TTFT   TPOT  whole | simulated: TTFT TPOT whole  off by     all rounds",
                            " 用户     TTFT   TPOT   完整 | 模拟：TTFT   TPOT   完整      偏差         各轮范围"));
    for (size_t i = 0; i < n; i++) print_load(&b[i]);
    putchar('\n');
    print_wrapped(all_agree(b, n)
                      ? cli_text(c, "The simulation is within %.0f %% of the server at every load.\n",
                                 "每个负载下模拟与服务的偏差均在 %.0f%% 以内。\n")
                      : cli_text(c,
                                 "The simulation is more than %.0f %% off at a load: it speaks for this server "
                                 "only where nothing else computes here and both use the same --threads.\n",
                                 "有负载的偏差超过 %.0f%%：只有本机没有其他计算、且两者 --threads "
                                 "相同时，模拟才能代表该服务。\n"),
                  100 * AGREES);
}

/* The machine as it is now: timed again, since what others do on it changes within seconds. */
static int look_again(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                      struct job *j, struct err *e)
{
    int rc = find_system(c, args, catalogue, j, e);
    return rc ? rc : set_up(args, j, e);
}

static void mean_of(struct load_times *a, const struct load_times *b)
{
    a->ttft_s = (a->ttft_s + b->ttft_s) / 2;
    a->tpot_s = (a->tpot_s + b->tpot_s) / 2;
    a->total_s = (a->total_s + b->total_s) / 2;
}

/* What a request takes at the server beside computing (connection, parsing, tokens of the text, waking): the middle of
 * some that let it compute as little as can be, less the step that does it. */
static int measure_request(const struct param_set *args, struct job *j, struct err *e)
{
    struct load_times t;
    int rc = load_least(param_str(args, "against"), LEAST_REQUESTS, &t, e);
    if (rc) return rc;
    const struct sim_server *s = &j->setup.server;
    struct plan_step step = {.prefill_tokens = t.prompt_tokens - t.cached_tokens, .prefill_from = t.cached_tokens};
    j->setup.server.first_token_s = fmax(0, t.total_s - s->step_s(s->arg, &step));
    j->request_s[j->n_round++] = j->setup.server.first_token_s;
    return 0;
}

/* Three requests a user, six at least: the first of each user and those that come while others are answered. */
static size_t n_requests(const struct param_set *args, int users)
{
    if (param_is_set(args, "requests")) return (size_t)param_int(args, "requests");
    return users > 2 ? 3 * (size_t)users : 6;
}

/* One load on the server, and simulated with the machine as it was before and after. */
static int compare_load(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                        struct job *j, int users, struct pair *p, struct err *e)
{
    struct load_times after;
    int rc = load_server(param_str(args, "against"), users, n_requests(args, users),
                         (int)param_int(args, "prompt_tokens"), (int)param_int(args, "output_tokens"), &p->real, e);
    if (rc == 0) rc = load_simulated(&j->setup, users, &p->real, &p->simulated, e);
    if (rc || !param_bool(args, "measure")) return rc;
    rc = look_again(c, args, catalogue, j, e);
    if (rc == 0) rc = load_simulated(&j->setup, users, &p->real, &after, e);
    if (rc == 0) mean_of(&p->simulated, &after);
    return rc;
}

/* All loads, a few times over: what disturbs the machine for seconds meets one round of each. */
static int run_rounds(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                      struct job *j, struct beside *b, size_t n, struct err *e)
{
    int rounds = (int)param_int(args, "rounds"), rc = 0;
    for (int k = 0; rc == 0 && k < rounds; k++) {
        rc = measure_request(args, j, e);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            b[i].users = (int)param_int_at(args, "loads", i);
            b[i].n_round = rounds;
            rc = compare_load(c, args, catalogue, j, b[i].users, &b[i].round[k], e);
        }
    }
    for (size_t i = 0; rc == 0 && i < n; i++) qsort(b[i].round, (size_t)rounds, sizeof b[i].round[0], by_off);
    sort_doubles(j->request_s, (size_t)j->n_round);
    return rc;
}

static void print_beside_json(const struct param_set *args, const struct job *j, const struct beside *b, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) (void)json_array_append_new(list, beside_json(&b[i]));
    cli_print_json(json_pack("{s:s,s:f,s:i,s:b,s:o}", "server", param_str(args, "against"), "request_ms",
                             1e3 * j->request_s[j->n_round / 2], "rounds", b[0].n_round, "within_20_percent",
                             all_agree(b, n), "loads", list));
}

static int compare_loads(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                         struct job *j, struct err *e)
{
    size_t n = param_count(args, "loads");
    if (n > MAX_LOADS) return err_set(e, ERR_USAGE, "loads", "cannot compare %zu loads: at most %d", n, (int)MAX_LOADS);
    struct beside *b = mem_alloc(n * sizeof *b);
    int rc = run_rounds(c, args, catalogue, j, b, n, e);
    if (rc == 0 && c->json)
        print_beside_json(args, j, b, n);
    else if (rc == 0)
        print_beside(c, j, b, n);
    mem_free(b);
    return rc;
}

static int run_against(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                       struct job *j, struct err *e)
{
    if (param_str(args, "hardware") || param_str(args, "trace") || param_str(args, "arrivals"))
        return err_set(
            e, ERR_USAGE, "against",
            "cannot compare with a server and --hardware, --trace or --arrivals: it runs on this machine, under "
            "the loads of --loads");
    j->goal.prompt_tokens = (double)param_int(args, "prompt_tokens");
    j->goal.output_tokens = (double)param_int(args, "output_tokens");
    int rc = look_again(c, args, catalogue, j, e);
    return rc ? rc : compare_loads(c, args, catalogue, j, e);
}

static int run_job(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue, struct job *j,
                   struct err *e)
{
    struct sim_result r;
    j->goal = (struct plan_goal){.max_load = 1, .cv = 1, .ttft_s = 1, .tpot_s = 1};
    if (param_str(args, "against")) return run_against(c, args, catalogue, j, e);
    int rc = read_requests(args, j, e);
    if (rc == 0) rc = find_system(c, args, catalogue, j, e);
    if (rc == 0) rc = set_up(args, j, e);
    double start = clock_s();
    if (rc == 0) rc = simulate(&j->setup, j->request, j->n, &r, e);
    if (rc) return rc;
    if (c->json)
        cli_print_json(result_json(j, &r, clock_s() - start));
    else
        print_result(c, j, &r);
    return 0;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue catalogue;
    struct job *j = mem_alloc(sizeof *j);
    int rc = catalogue_open(&catalogue, c->home, param_str(args, "catalog"), e);
    if (rc == 0) rc = run_job(c, args, &catalogue, j, e);
    catalogue_free(&catalogue);
    mem_free(j->request);
    mem_free(j);
    return rc;
}

const struct command cmd_plan_simulate = {
    .name = "plan simulate",
    .summary_en = "simulate a load on predicted speeds: waiting, first tokens, percentiles",
    .summary_zh = "按预测速度模拟负载：等待、首词元与各分位数",
    .usage = "--model M [--hardware H [--count N]] (--arrivals poisson:RATE|closed:USERS|... | --trace F.csv) "
             "[--requests N] [--replicas N]",
    .example = "tailor plan simulate --model Qwen3-8B --hardware RTX4090 --arrivals poisson:2",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
