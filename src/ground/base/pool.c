/* The thread pool. Owns its threads and the words they wait on. What always holds: a waiter spins for a while and
 * then sleeps on a futex, so a worker that lost its core gets the core of one that only waits; every hand-over is an
 * atomic release paired with an acquire, so fn sees what its caller wrote and the caller what fn wrote. Who takes part
 * in a run is decided by the caller before it, when all workers are idle. */
#include "ground/base/pool.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ground/base/clock.h"
#include "ground/base/core_loss.h"
#include "ground/base/mem.h"

enum { SPIN_NS = 30000, SPIN_CALM_NS = 200000, SPIN_MIN_NS = 1000, PAUSES_PER_LOOK = 8, MAX_THREADS = 1024 };
/* Cores lost to others that are none to speak of. */
#define CALM_LOST 0.02
/* Between looks at who lost cores; from leaving workers out to trying them again, more than doubled each time in vain.
 */
enum { LOOK_NS = 50000000, PAUSE_NS = 200000000, PAUSE_LONGEST = 16 };

/* A word that is waited on, with the number of those asleep on it, alone on two cache lines (adjacent-line prefetch).
 */
struct wait_word {
    _Alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t n_asleep;
    _Atomic uint32_t spin_ns, n_slept; /* see learn() */
    unsigned char apart[112];
};

/* Parts of a worker's share that were taken since the last barrier, alone on its cache lines: nearly always by itself.
 */
struct taken {
    _Alignas(64) _Atomic size_t n;
    unsigned char apart[120];
};

/* [0] is the caller's, of which only the account is used. */
struct worker {
    struct wait_word called; /* times it was called back after it was left out */
    struct pool *pool;
    pthread_t thread;
    _Atomic int tid;
    int cpu;            /* -1: not pinned */
    int number;         /* in a run; -1: left out. Written by the caller while the worker waits */
    uint32_t joins;     /* left out: the last run before the one that it joins again */
    _Atomic bool away;  /* it saw that it is left out, and looks at nothing but `called` */
    uint64_t waited_ns; /* for a core, at the last look */
    uint64_t lost_ns;   /* of that, in the time before it */
};

/* See look_around(). */
struct watch {
    bool on;
    uint64_t last_ns, back_ns; /* the last look; when to call back who was left out */
    int pause;                 /* in units of PAUSE_NS */
};

struct pool {
    struct wait_word run;     /* number of the current run; stop is looked at when it changes */
    struct wait_word done;    /* workers that finished it, of n_thread - 1 */
    struct wait_word phase;   /* barriers passed */
    struct wait_word arrived; /* workers at the barrier; nobody sleeps on it */
    _Atomic bool calm;        /* at the last look around nobody else wanted our cores */
    pool_fn fn;
    void *arg;
    _Atomic bool stop;      /* looked at by one who was left out, whenever it comes to it */
    int n_thread, n_active; /* started; taking part in runs */
    bool spin;              /* not when there are more threads than CPUs: the one waited for may need this one */
    struct watch watch;
    struct worker *workers; /* [n_thread] */
    struct taken *taken;    /* [n_thread] */
};

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); /* EAGAIN, EINTR: the caller looks again */
}

static void futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* How long to spin this time. A spin that ends in sleep all the same halves the next one: the other side shares our
 * core then, and every spin is time taken from it. Every 32nd wait tries the full time again, and a spin that was worth
 * it restores it. (Two workers on one core beside a busy neighbour, 20 us between barriers: 350 us a run of four
 * barriers with a fixed spin, 170 us with this one.) While nobody else wants our cores the other side is at work on its
 * own, and a wait of some parts of a millisecond is cheaper spun through than slept: a virtual core that halts takes
 * long to come back. */
static void learn(struct wait_word *w, uint32_t spin_ns, bool slept, bool calm)
{
    if (calm)
        spin_ns = SPIN_CALM_NS;
    else if (!slept)
        spin_ns = SPIN_NS;
    else if (atomic_fetch_add_explicit(&w->n_slept, 1, memory_order_relaxed) % 32 == 31)
        spin_ns = SPIN_NS;
    else
        spin_ns = spin_ns / 2 > SPIN_MIN_NS ? spin_ns / 2 : SPIN_MIN_NS;
    atomic_store_explicit(&w->spin_ns, spin_ns, memory_order_relaxed);
}

static bool spin_until_change(const struct wait_word *w, uint32_t old, uint32_t spin_ns)
{
    uint64_t end = clock_ns() + spin_ns;
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            cpu_relax();
            if (atomic_load_explicit(&w->value, memory_order_acquire) != old) return true;
        }
    } while (clock_ns() < end);
    return false;
}

/* Wait while w->value == old; returns the new value. n_asleep goes up before the kernel compares the word, and wake()
 * reads it after the word changed, both sequentially consistent: one of the two sees the other. */
static uint32_t wait_change(const struct pool *p, struct wait_word *w, uint32_t old, bool spin)
{
    uint32_t now = atomic_load_explicit(&w->value, memory_order_acquire);
    if (now != old) return now;
    uint32_t spin_ns = atomic_load_explicit(&w->spin_ns, memory_order_relaxed);
    bool slept = !spin || !spin_until_change(w, old, spin_ns);
    if (spin) learn(w, spin_ns, slept, atomic_load_explicit(&p->calm, memory_order_relaxed));
    while ((now = atomic_load_explicit(&w->value, memory_order_acquire)) == old) {
        atomic_fetch_add(&w->n_asleep, 1);
        futex_wait(&w->value, old);
        atomic_fetch_sub(&w->n_asleep, 1);
    }
    return now;
}

static void wake(struct wait_word *w)
{
    if (atomic_load(&w->n_asleep)) futex_wake_all(&w->value);
}

static void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* the set may have shrunk meanwhile: unpinned then */
}

/* Returns the number of the run after which the worker is called back. */
static uint32_t stay_away(struct worker *w, uint32_t *n_call)
{
    atomic_store_explicit(&w->away, true, memory_order_release);
    *n_call = wait_change(w->pool, &w->called, *n_call, false);
    return w->joins;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    if (w->cpu >= 0) pin_to(w->cpu);
    atomic_store(&w->tid, gettid());
    for (uint32_t run = 0, n_call = 0;;) {
        run = wait_change(p, &p->run, run, p->spin);
        if (p->stop) return NULL;
        if (w->number < 0) {
            run = stay_away(w, &n_call);
            continue;
        }
        int n_active = p->n_active; /* once all are done the caller may change it */
        p->fn(p->arg, w->number, n_active);
        if (atomic_fetch_add(&p->done.value, 1) + 1 == (uint32_t)n_active - 1) wake(&p->done);
    }
}

/* The CPU for each worker when the process was given fewer CPUs than the machine has; all -1 otherwise. Worker 0 is
 * the caller's thread and is left alone: its affinity is not ours to change. */
static void choose_cpus(struct pool *p)
{
    cpu_set_t set;
    long n_machine = sysconf(_SC_NPROCESSORS_ONLN);
    bool known = sched_getaffinity(0, sizeof set, &set) == 0;
    bool pin = known && CPU_COUNT(&set) < n_machine && p->n_thread <= CPU_COUNT(&set);
    int cpu = -1;
    for (int i = 0; i < p->n_thread; i++) {
        do cpu++;
        while (pin && !CPU_ISSET(cpu, &set));
        p->workers[i].cpu = pin ? cpu : -1;
    }
}

/* Workers take no signals: those are for main(). n_started counts the caller. */
static int start_workers(struct pool *p, int *n_started, struct err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int number = 0;
    for (*n_started = 1; *n_started < p->n_thread && number == 0; *n_started += number == 0) {
        struct worker *w = &p->workers[*n_started];
        w->pool = p;
        w->number = *n_started;
        number = pthread_create(&w->thread, NULL, worker_main, w);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (number == 0) return 0;
    errno = number;
    return err_set_errno(e, "threads", "cannot start thread %d of %d", *n_started + 1, p->n_thread);
}

static void stop_workers(struct pool *p, int n_started)
{
    p->stop = true;
    atomic_fetch_add(&p->run.value, 1);
    wake(&p->run);
    for (int i = 1; i < n_started; i++) {
        atomic_fetch_add(&p->workers[i].called.value, 1);
        wake(&p->workers[i].called);
        pthread_join(p->workers[i].thread, NULL);
    }
}

/* Before anyone is let go: what wakes them publishes this too. */
static void nothing_taken(struct pool *p)
{
    for (int i = 0; i < p->n_thread; i++) atomic_store_explicit(&p->taken[i].n, 0, memory_order_relaxed);
}

static void free_memory(struct pool *p)
{
    mem_free(p->taken);
    mem_free(p->workers);
    mem_free(p);
}

int pool_new(struct pool **out, int n_thread, struct err *e)
{
    if (n_thread < 1 || n_thread > MAX_THREADS)
        return err_set(e, ERR_INPUT, "threads", "cannot use %d threads: 1 to %d are possible", n_thread,
                       (int)MAX_THREADS);
    struct pool *p = mem_try_aligned(sizeof *p);
    struct worker *workers = mem_try_aligned((size_t)n_thread * sizeof *workers);
    struct taken *taken = mem_try_aligned((size_t)n_thread * sizeof *taken);
    if (!p || !workers || !taken) {
        mem_free(p);
        mem_free(workers);
        mem_free(taken);
        return err_set(e, ERR_NOMEM, "threads", "cannot start %d threads: out of memory", n_thread);
    }
    memset(p, 0, sizeof *p);
    memset(workers, 0, (size_t)n_thread * sizeof *workers);
    p->n_thread = p->n_active = n_thread;
    p->workers = workers;
    p->taken = taken;
    nothing_taken(p);
    p->run.spin_ns = p->done.spin_ns = p->phase.spin_ns = SPIN_NS;
    p->spin = n_thread <= pool_cpus_available();
    choose_cpus(p);
    int n_started, rc = start_workers(p, &n_started, e);
    if (rc) {
        stop_workers(p, n_started);
        free_memory(p);
        return rc;
    }
    *out = p;
    return 0;
}

void pool_free(struct pool *p)
{
    if (!p) return;
    stop_workers(p, p->n_thread);
    free_memory(p);
}

int pool_size(const struct pool *p)
{
    return p->n_thread;
}

static void leave_out(struct pool *p)
{
    struct worker *most = NULL;
    for (struct worker *w = p->workers + 1; w < p->workers + p->n_thread; w++)
        if (w->number >= 0 && (!most || w->lost_ns >= most->lost_ns)) most = w;
    most->number = -1;
    p->n_active--;
}

/* One that has not yet seen that it is left out stays so for now: it would read what is written here. */
static void call_back(struct pool *p)
{
    for (struct worker *w = p->workers + 1; w < p->workers + p->n_thread; w++) {
        if (w->number >= 0 || !atomic_load_explicit(&w->away, memory_order_acquire)) continue;
        w->away = false;
        w->number = p->n_active++;
        w->joins = atomic_load_explicit(&p->run.value, memory_order_relaxed);
        atomic_fetch_add(&w->called.value, 1);
        wake(&w->called);
    }
}

static void renumber(struct pool *p)
{
    int number = 1;
    for (int i = 1; i < p->n_thread; i++)
        if (p->workers[i].number >= 0) p->workers[i].number = number++;
}

void pool_limit(struct pool *p, int n)
{
    if (n > p->n_active) call_back(p);
    while (p->n_active > n) leave_out(p);
    renumber(p);
}

/* Cores that others held since the last look, summed over those taking part; time without work counts as not lost. */
static double cores_lost(struct pool *p, uint64_t passed_ns)
{
    uint64_t lost = 0;
    for (int i = 0; i < p->n_thread; i++) {
        struct worker *w = &p->workers[i];
        int tid = i ? atomic_load(&w->tid) : gettid();
        uint64_t waited, before = w->waited_ns;
        if (!tid || !core_loss_waited(tid, &waited)) continue;
        bool known = before && waited >= before && (i || tid == w->tid);
        w->lost_ns = known ? waited - before : 0;
        w->waited_ns = waited;
        if (!i) w->tid = tid;
        if (w->number >= 0) lost += w->lost_ns;
    }
    return (double)lost / (double)passed_ns;
}

/* Now and then: leave out as many workers as others hold cores, and call them back after a while to see whether the
 * cores are free again. */
static void look_around(struct pool *p)
{
    struct watch *s = &p->watch;
    uint64_t now = clock_ns(), passed = now - s->last_ns;
    if (passed < LOOK_NS) return;
    double lost = cores_lost(p, passed);
    int n_out = core_loss_leave_out(lost, p->n_active);
    atomic_store_explicit(&p->calm, p->n_active == p->n_thread && lost < CALM_LOST, memory_order_relaxed);
    s->last_ns = now;
    if (n_out) {
        s->pause = s->pause * 2 < PAUSE_LONGEST ? s->pause * 2 + 1 : PAUSE_LONGEST;
        s->back_ns = now + (uint64_t)s->pause * PAUSE_NS;
        pool_limit(p, p->n_active - n_out);
    } else if (p->n_active == p->n_thread) {
        s->pause = 0;
    } else if (now > s->back_ns) {
        pool_limit(p, p->n_thread);
    }
}

void pool_watch(struct pool *p)
{
    p->watch.on = p->n_thread > 1;
}

void pool_run(struct pool *p, pool_fn fn, void *arg)
{
    if (p->watch.on) look_around(p);
    uint32_t n_other = (uint32_t)p->n_active - 1;
    p->fn = fn;
    p->arg = arg;
    nothing_taken(p);
    if (n_other || p->n_active < p->n_thread) {
        atomic_store_explicit(&p->done.value, 0, memory_order_relaxed);
        atomic_fetch_add(&p->run.value, 1);
        wake(&p->run);
    }
    fn(arg, 0, p->n_active);
    uint32_t done = atomic_load_explicit(&p->done.value, memory_order_acquire);
    while (done != n_other) done = wait_change(p, &p->done, done, p->spin);
}

/* The phase is the sense of a sense-reversing barrier, counted instead of flipped. */
void pool_barrier(struct pool *p)
{
    if (p->n_active == 1) {
        nothing_taken(p);
        return;
    }
    uint32_t phase = atomic_load_explicit(&p->phase.value, memory_order_acquire);
    if (atomic_fetch_add(&p->arrived.value, 1) + 1 == (uint32_t)p->n_active) {
        atomic_store_explicit(&p->arrived.value, 0, memory_order_relaxed);
        nothing_taken(p);
        atomic_fetch_add(&p->phase.value, 1);
        wake(&p->phase);
    } else {
        wait_change(p, &p->phase, phase, p->spin);
    }
}

void pool_share(size_t n, size_t grain, int worker, int n_worker, size_t *begin, size_t *end)
{
    size_t n_grain = n / grain + (n % grain != 0), workers = (size_t)n_worker, w = (size_t)worker;
    size_t each = n_grain / workers, extra = n_grain % workers;
    /* The last workers take the grain more, since the last grain of all may be a short one. */
    size_t first_extra = workers - extra;
    size_t from = w * each + (w > first_extra ? w - first_extra : 0);
    size_t to = from + each + (w >= first_extra);
    *begin = min_size(from * grain, n);
    *end = min_size(to * grain, n);
}

size_t pool_take_part(struct pool *p, int share)
{
    return atomic_fetch_add_explicit(&p->taken[share].n, 1, memory_order_relaxed);
}

bool pool_take(struct pool *p, size_t n, size_t step, int worker, size_t *begin, size_t *end)
{
    for (int i = 0; i < p->n_active; i++) {
        int w = (worker + i) % p->n_active;
        size_t from, to;
        pool_share(n, 1, w, p->n_active, &from, &to);
        size_t n_part = (to - from + step - 1) / step;
        if (atomic_load_explicit(&p->taken[w].n, memory_order_relaxed) >= n_part) continue;
        size_t part = pool_take_part(p, w);
        if (part >= n_part) continue;
        *begin = from + part * step;
        *end = min_size(*begin + step, to);
        return true;
    }
    return false;
}
