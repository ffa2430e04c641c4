/* One step of the neurons of one sample by whichever of the three steps fits, and what is recorded of it. */
#ifndef SNNC_NEURONS_H
#define SNNC_NEURONS_H
#include "memory.h"
#include "quick.h"
#include "single.h"

static void start(const Population *p, const State *s, int fused, int64_t from, int64_t n) {
  if (fused) {
    const int32_t *init = AT(const int32_t, p->init32);
    memset(s->u + from, 0, sizeof(int32_t) * (size_t)n);
    for (int64_t i = 0; i < n; i++) s->v[from + i] = init[p->each ? from + i : 0];
    return;
  }
  if (p->kind == SINGLE) {
    start_single(p, s, from, n);
    return;
  }
  const int64_t *init = AT(const int64_t, p->init);
  const State64 *w = &s->wide;
  for (int64_t i = from; i < from + n; i++) w->u[i] = w->hold[i] = w->last[i] = 0, w->v[i] = init[i * p->step_init];
  if (p->kind == CLOSED)
    for (int64_t i = from; i < from + n; i++) w->inhibitory[i] = w->used_exc[i] = w->used_inh[i] = 0;
}

/* Copies around the caches if asked to: what fills them up only drives out what the next step reads. */
INLINE void put(void *to, const void *from, int64_t bytes, int64_t stream) {
  int64_t done = 0;
#if defined(__SSE2__)
  if (stream && !((uintptr_t)to % 16))
    for (; done + 16 <= bytes; done += 16)
      _mm_stream_si128((__m128i *)((int8_t *)to + done), _mm_loadu_si128((const __m128i *)((const int8_t *)from + done)));
#endif
  memcpy((int8_t *)to + done, (const int8_t *)from + done, (size_t)(bytes - done));
}

/* What was written past the caches is seen by everybody. */
INLINE void settle(void) {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

static void record(const Port *port, int64_t at, const void *state, int k, int fused, int64_t n) {
  if (!port->state[k]) return;
  if (fused && port->state_bits == 64) { /* states that may be wide, neurons that provably are not */
    int64_t *to = AT(int64_t, port->state[k]) + at;
    const int32_t *x = state;
    for (int64_t i = 0; i < n; i++) to[i] = x[i];
  } else if (fused) {
    put(AT(int32_t, port->state[k]) + at, state, (int64_t)sizeof(int32_t) * n, port->stream);
  } else if (port->state_bits == 64) {
    put(AT(int64_t, port->state[k]) + at, state, (int64_t)sizeof(int64_t) * n, port->stream);
  } else {
    int32_t *to = AT(int32_t, port->state[k]) + at;
    const int64_t *x = state;
    for (int64_t i = 0; i < n; i++) to[i] = (int32_t)x[i];
  }
}

static void seen(int64_t *range, const int8_t *acc, int64_t bits, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int64_t x = bits == 16 ? ((const int16_t *)acc)[i] : bits == 32 ? ((const int32_t *)acc)[i] : ((const int64_t *)acc)[i];
    if (x < range[0]) range[0] = x;
    if (x > range[1]) range[1] = x;
  }
}

/* Neurons from..from+n of one sample and step; acc points at the first of them */
static int step_general(const Run *r, int64_t pop, int8_t *const *acc, int64_t bits, int64_t from, int64_t n, int64_t at,
                        int8_t *fires) {
  const Population *p = r->pops + pop;
  const Port *port = r->ports + pop;
  int64_t x[RECEPTORS][PIECE];
  int bad = OK;
  for (int64_t i = 0; i < n; i += PIECE) {
    int64_t m = n - i < PIECE ? n - i : PIECE;
    for (int64_t k = 0; k < p->receptors; k++) {
      widened(x[k], acc[k], bits, i, m, p->kind == CLOSED ? 0 : p->shift);
      if (!port->extra_x) continue;
      const int64_t *extra = AT(const int64_t, port->extra_x) + at * p->receptors + k * p->n + from + i;
      for (int64_t j = 0; j < m; j++) x[k][j] += extra[j];
    }
    const int64_t *drive = port->extra_drive ? AT(const int64_t, port->extra_drive) + at + from + i : 0;
    if (p->kind == CLOSED)
      bad |= closed64(p, &r->states[pop].wide, from + i, m, x[0], x[1], fires + i);
    else
      bad |= euler64(p, &r->states[pop].wide, from + i, m, x[0], drive, fires + i);
  }
  return bad;
}

INLINE Fused fused_of(const Population *p, int64_t from) {
  int64_t e = p->each ? from : 0;
  return (Fused){AT(const int32_t, p->ku32) + e,   AT(const int32_t, p->kv32) + e,   AT(const int32_t, p->bias32) + from,
                 AT(const int32_t, p->fire32) + e, AT(const int32_t, p->high32) + e, AT(const int32_t, p->to32) + e,
                 (int)p->shift,                    (int)p->frac_u,                   (int)p->frac_v,
                 (int)p->each};
}

/* at: number of the first neuron of the row in [B, window, n]; fires has room for n rounded up to 16. */
static int step_neurons(const Run *r, int64_t pop, int8_t *const *acc, int64_t bits, int fused, int64_t from, int64_t n,
                        int64_t at, int8_t *fires, int *quick) {
  const Population *p = r->pops + pop;
  const Port *port = r->ports + pop;
  const State *s = r->states + pop;
  int bad = OK;
  *quick = 0;
  if (port->range)
    for (int64_t k = 0; k < p->receptors; k++) seen(AT(int64_t, port->range) + 2 * k, acc[k], bits, n);
  if (p->kind == SINGLE) {
    step_single(r, pop, acc, bits, from, n, at, fires);
    record_single(port, at, s, from, n);
    return OK;
  }
  if (!fused) {
    bad = step_general(r, pop, acc, bits, from, n, at, fires);
  } else {
    Fused f = fused_of(p, from);
    int64_t m = (n + 15) / 16 * 16;
    if (bits == 16)
      *quick = quick_step_i16(m, (const int16_t *)acc[0], s->u + from, s->v + from, fires, r->fired, &f, (int)p->mode,
                              (int)p->rounding, (int)p->reset);
    else
      *quick = quick_step_i32(m, (const int32_t *)acc[0], s->u + from, s->v + from, fires, r->fired, &f, (int)p->mode,
                              (int)p->rounding, (int)p->reset);
  }
  at += from;
  if (p->kind == CLOSED) {
    record(port, at, s->wide.used_exc + from, 0, 0, n);
    record(port, at, s->wide.used_inh + from, 1, 0, n);
    record(port, at, s->wide.v + from, 2, 0, n);
  } else if (fused) {
    record(port, at, s->u + from, 0, 1, n);
    record(port, at, s->v + from, 1, 1, n);
  } else {
    record(port, at, s->wide.u + from, 0, 0, n);
    record(port, at, s->wide.v + from, 1, 0, n);
  }
  return bad;
}
#endif
