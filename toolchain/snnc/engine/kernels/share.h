/* Samples shared out among threads as they come. The calling thread works too; helpers are kept, and one that the system
   starts late finds less to do, or nothing, and delays nobody. A child process that was forked has none of them and
   starts its own. */
#ifndef SNNC_SHARE_H
#define SNNC_SHARE_H
#include "types.h"

typedef int (*Execute)(const Call *);

typedef struct {
  Execute run;
  const Call *calls; /* one for each thread: the same samples, memory of its own */
  int64_t count, grain;
  int64_t next;   /* first sample that nobody has taken */
  int64_t places; /* calls that are taken */
  int64_t ends;   /* how the pieces ended, together */
} Job;

/* Takes samples: a share of what is left, so that the last pieces are small; nonzero if there were any. */
static int take_some(Job *j, Call *c) {
  int64_t at = __atomic_load_n(&j->next, __ATOMIC_RELAXED), size;
  do {
    int64_t left = j->calls->end - at;
    if (left <= 0) return 0;
    size = left / (2 * j->count);
    if (size > c->chunk) size = c->chunk;
    if (size < j->grain) size = j->grain;
    if (size > left) size = left;
  } while (!__atomic_compare_exchange_n(&j->next, &at, at + size, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  c->begin = at;
  c->end = at + size;
  return 1;
}

static void take_part(Job *j) {
  int64_t place = __atomic_fetch_add(&j->places, 1, __ATOMIC_RELAXED), ends = 0;
  if (place >= j->count) return;
  Call c = j->calls[place];
  while (take_some(j, &c)) ends |= j->run(&c);
  __atomic_fetch_or(&j->ends, ends, __ATOMIC_RELAXED);
}

#if defined(_WIN32)
static void with_others(Job *j) { take_part(j); }
#else
#include <pthread.h>
#include <signal.h>
#include <time.h>

#define CLOSED_JOB ((uint64_t)1 << 31)
#define SPIN_NS 100000 /* waking somebody who sleeps takes as long */
#define STACK (4 << 20)
#define MOST 255

typedef struct {
  pthread_mutex_t turn; /* held for a whole job */
  pthread_mutex_t lock;
  pthread_cond_t wake, done;
  int64_t threads, sleeping;
  uint64_t state; /* number of the job << 32 | whether it is closed | how many helpers work on it */
  Job job;
} Pool;
#define NOBODY                                                                                                      \
  {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0,   \
   CLOSED_JOB, {0, 0, 0, 0, 0, 0, 0}}
static Pool pool = NOBODY;

static uint64_t state_of(void) { return __atomic_load_n(&pool.state, __ATOMIC_SEQ_CST); }
static uint64_t number_of(uint64_t state) { return state >> 32; }
static uint64_t at_work(uint64_t state) { return state & (CLOSED_JOB - 1); }
static int closed_state(uint64_t state) { return (state & CLOSED_JOB) && !at_work(state); }

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void pause_a_little(void) {
  for (int k = 0; k < 16; k++) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#else
    __asm__ volatile("" ::: "memory");
#endif
  }
}

/* Waits a short while for another job than this one, then sleeps. */
static uint64_t next_job(uint64_t seen) {
  uint64_t state = state_of();
  for (int64_t end = now_ns() + SPIN_NS; number_of(state) == seen && now_ns() < end; state = state_of())
    pause_a_little();
  if (number_of(state) != seen) return state;
  pthread_mutex_lock(&pool.lock);
  __atomic_fetch_add(&pool.sleeping, 1, __ATOMIC_SEQ_CST);
  while (number_of(state = state_of()) == seen) pthread_cond_wait(&pool.wake, &pool.lock);
  __atomic_fetch_sub(&pool.sleeping, 1, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&pool.lock);
  return state;
}

static void *help(void *first) {
  uint64_t seen = (uint64_t)(uintptr_t)first;
  for (;;) {
    uint64_t state = next_job(seen);
    while (!(state & CLOSED_JOB)) {
      if (!__atomic_compare_exchange_n(&pool.state, &state, state + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) continue;
      take_part(&pool.job);
      if (closed_state(__atomic_sub_fetch(&pool.state, 1, __ATOMIC_SEQ_CST))) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.lock);
      }
      break;
    }
    seen = number_of(state);
  }
  return 0;
}

static void forget_all(void) {
  static const Pool nobody = NOBODY;
  pool = nobody;
}

/* Starts helpers until there are so many; fewer if the system has no more. They leave signals to others. */
static void start_helpers(int64_t wanted) {
  static int watched;
  if (wanted > MOST) wanted = MOST;
  if (pool.threads >= wanted) return;
  if (!watched) watched = !pthread_atfork(0, 0, forget_all);
  sigset_t all, before;
  pthread_attr_t how;
  sigfillset(&all);
  pthread_attr_init(&how);
  pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&how, STACK);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  for (void *seen = (void *)(uintptr_t)number_of(state_of()); pool.threads < wanted; pool.threads++)
    if (pthread_create(&thread, &how, help, seen)) break;
  pthread_sigmask(SIG_SETMASK, &before, 0);
  pthread_attr_destroy(&how);
}

static void wait_for_helpers(void) {
  uint64_t state = __atomic_or_fetch(&pool.state, CLOSED_JOB, __ATOMIC_SEQ_CST);
  for (int64_t end = now_ns() + SPIN_NS; at_work(state) && now_ns() < end; state = state_of()) pause_a_little();
  if (!at_work(state)) return;
  pthread_mutex_lock(&pool.lock);
  while (at_work(state_of())) pthread_cond_wait(&pool.done, &pool.lock);
  pthread_mutex_unlock(&pool.lock);
}

/* Works a job off with helpers; alone if they work for somebody else. */
static void with_others(Job *j) {
  if (j->count < 2 || pthread_mutex_trylock(&pool.turn)) {
    take_part(j);
    return;
  }
  start_helpers(j->count - 1);
  pool.job = *j;
  __atomic_store_n(&pool.state, (number_of(state_of()) + 1) << 32, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&pool.sleeping, __ATOMIC_SEQ_CST)) {
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
  }
  take_part(&pool.job);
  wait_for_helpers();
  *j = pool.job;
  pthread_mutex_unlock(&pool.turn);
}
#endif

static int64_t share(Execute run, const Call *calls, int64_t count, int64_t grain) {
  Job j = {run, calls, count, grain, calls->begin, 0, 0};
  with_others(&j);
  return j.ends;
}
#endif
