/* Membranes in IEEE single precision with two currents (SpiNNaker2). This is the only place that holds any: each
   operation rounds once, so nothing may be contracted, reordered or kept in wider registers. */
#ifndef SNNC_SINGLE_H
#define SNNC_SINGLE_H
#include <float.h>
#include "memory.h"

#if defined(__FAST_MATH__)
#error "roundings are part of the result: compile without -ffast-math"
#endif
_Static_assert(FLT_EVAL_METHOD == 0, "operations on float have to round to float");

static void start_single(const Population *p, const State *s, int64_t from, int64_t n) {
  float *v = (float *)s->wide.v;
  memset((float *)s->wide.u + from, 0, sizeof(float) * (size_t)n);
  memset((float *)s->wide.inhibitory + from, 0, sizeof(float) * (size_t)n);
  memcpy(v + from, AT(const float, p->init) + from, sizeof(float) * (size_t)n);
}

/* Sums of weights, and what is added to them from outside; both are whole numbers, which are rounded together. */
static void singled(float *to, const int8_t *acc, int64_t bits, int64_t from, int64_t n, const int64_t *extra) {
  if (extra) {
    int64_t whole[PIECE];
    widened(whole, acc, bits, from, n, 0);
    for (int64_t i = 0; i < n; i++) to[i] = (float)(whole[i] + extra[i]);
  } else if (bits == 16) {
    for (int64_t i = 0; i < n; i++) to[i] = ((const int16_t *)acc)[from + i];
  } else if (bits == 32) {
    for (int64_t i = 0; i < n; i++) to[i] = (float)((const int32_t *)acc)[from + i];
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = (float)((const int64_t *)acc)[from + i];
  }
}

/* exc = ku*exc + x0; inh = ku*inh + x1; v = (kv*v + (exc - inh)) + bias. */
INLINE void single(const Population *p, const State *s, int64_t from, int64_t m, const float *x0, const float *x1,
                   int8_t *restrict fires, const int ge, const int reset) {
  float *restrict exc = (float *)s->wide.u + from, *restrict inh = (float *)s->wide.inhibitory + from;
  float *restrict v = (float *)s->wide.v + from;
  const float *restrict ku = AT(const float, p->ku) + from, *restrict kv = AT(const float, p->kv) + from;
  const float *restrict bias = AT(const float, p->bias) + from, *restrict high = AT(const float, p->high) + from;
  const float *restrict to = AT(const float, p->to) + from;
  for (int64_t i = 0; i < m; i++) {
    float e = ku[i] * exc[i] + x0[i], h = ku[i] * inh[i] + x1[i];
    float w = (kv[i] * v[i] + (e - h)) + bias[i];
    int fired = ge ? w >= high[i] : w > high[i];
    float behind = reset == SUBTRACT ? w - high[i] : reset == RESET_TO ? to[i] : w;
    exc[i] = e;
    inh[i] = h;
    v[i] = fired ? behind : w;
    fires[i] = (int8_t)fired;
  }
}

static void single_piece(const Population *p, const State *s, int64_t from, int64_t m, const float *x0,
                         const float *x1, int8_t *fires) {
  if (p->reset == SUBTRACT)
    single(p, s, from, m, x0, x1, fires, (int)p->ge, SUBTRACT);
  else if (p->reset == RESET_TO)
    single(p, s, from, m, x0, x1, fires, (int)p->ge, RESET_TO);
  else
    single(p, s, from, m, x0, x1, fires, (int)p->ge, KEEP);
}

/* Neurons from..from+n of one sample and step; acc points at the first of them. */
static void step_single(const Run *r, int64_t pop, int8_t *const *acc, int64_t bits, int64_t from, int64_t n,
                        int64_t at, int8_t *fires) {
  const Population *p = r->pops + pop;
  const int64_t *extra = AT(const int64_t, r->ports[pop].extra_x);
  float x[RECEPTORS][PIECE];
  for (int64_t i = 0; i < n; i += PIECE) {
    int64_t m = n - i < PIECE ? n - i : PIECE;
    for (int64_t k = 0; k < RECEPTORS; k++)
      singled(x[k], acc[k], bits, i, m, extra ? extra + at * RECEPTORS + k * p->n + from + i : 0);
    single_piece(p, r->states + pop, from + i, m, x[0], x[1], fires + i);
  }
}

/* Traces show them in double precision, as those of every executor do. */
static void record_single(const Port *port, int64_t at, const State *s, int64_t from, int64_t n) {
  const int64_t *states[] = {s->wide.u, s->wide.inhibitory, s->wide.v};
  for (int k = 0; k < 3; k++) {
    if (!port->state[k]) continue;
    double *to = AT(double, port->state[k]) + at + from;
    const float *state = (const float *)states[k] + from;
    for (int64_t i = 0; i < n; i++) to[i] = state[i];
  }
}
#endif
