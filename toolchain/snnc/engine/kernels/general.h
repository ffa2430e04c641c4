/* Neuron steps in 64 bits with every field that the intermediate representation has. Options are uniform over a
   population, so each stage is a loop over a piece of neurons that the compiler vectorises. */
#ifndef SNNC_GENERAL_H
#define SNNC_GENERAL_H
#include "types.h"

typedef int64_t i64;
#define EACH _Pragma("GCC ivdep") for (i64 i = 0; i < m; i++) /* arrays are the same or apart */

INLINE void wrap_to(i64 *x, i64 m, i64 bits) {
  if (bits >= 64) return;
  i64 half = (i64)1 << (bits - 1), mask = (i64)(((uint64_t)1 << bits) - 1);
  EACH x[i] = ((x[i] + half) & mask) - half;
}

/* Brings x back into a width; nonzero if the policy refuses and something was outside. */
static int overflow(i64 *x, i64 m, i64 bits, i64 policy) {
  if (policy == NOTHING) return OK;
  i64 high = (i64)(((uint64_t)1 << (bits - 1)) - 1), low = -high - 1;
  if (policy == WRAP) {
    wrap_to(x, m, bits);
  } else if (policy == WRAP_ONCE) {
    i64 half = (i64)((uint64_t)1 << (bits - 1)), turn = bits >= 64 ? 0 : (i64)((uint64_t)1 << bits);
    EACH x[i] = x[i] > half ? x[i] - turn : x[i];
    EACH x[i] = x[i] <= -half ? x[i] + turn : x[i];
  } else if (policy == REFUSE) {
    i64 out = 0;
    EACH out |= (x[i] > high) | (x[i] < low);
    return out ? LEFT_WIDTH : OK;
  } else {
    if (policy == SYMMETRIC) low = -high;
    EACH x[i] = x[i] > high ? high : x[i] < low ? low : x[i];
  }
  return OK;
}

/* to = x * k / 2**f rounded. */
static void decayed(i64 *to, const i64 *x, const i64 *k, i64 m, i64 f, i64 rounding) {
  if (f == 0) {
    EACH to[i] = x[i] * k[i];
  } else if (rounding == FLOOR) {
    EACH to[i] = (x[i] * k[i]) >> f;
  } else if (rounding == TOWARD_ZERO) {
    EACH {
      i64 p = x[i] * k[i], sign = p >> 63;
      to[i] = ((((p ^ sign) - sign) >> f) ^ sign) - sign;
    }
  } else {
    i64 half = (i64)1 << (f - 1);
    EACH {
      i64 p = x[i] * k[i], whole = p >> f, rest = p - (i64)((uint64_t)whole << f);
      to[i] = whole + ((rest > half) | ((rest == half) & (whole & 1)));
    }
  }
}

/* A parameter of neurons from..from+m as an array. */
INLINE const i64 *parameter(i64 address, i64 each, i64 from, i64 m, i64 *room) {
  const i64 *p = AT(const i64, address);
  if (each) return p + from;
  i64 value = *p;
  EACH room[i] = value;
  return room;
}
#define PARAMETER(NAME)    \
  i64 NAME##_room[PIECE]; \
  const i64 *NAME = parameter(p->NAME, p->step_##NAME, from, m, NAME##_room)

typedef struct {
  i64 *u, *v, *hold; /* closed form: u is the decayed excitatory current */
  i64 *inhibitory, *used_exc, *used_inh;
  int8_t *last;
} State64;

INLINE void limited(const Population *p, i64 *v, i64 m) {
  i64 low = p->minimum, high = p->maximum;
  if (low != INT64_MIN) EACH v[i] = v[i] < low ? low : v[i];
  if (high != INT64_MAX) EACH v[i] = v[i] > high ? high : v[i];
}

static int reset64(const Population *p, i64 *v, const i64 *s, const i64 *high, const i64 *low, i64 from, i64 m) {
  if (p->reset == KEEP) return OK;
  if (p->reset == RESET_TO) {
    PARAMETER(to);
    EACH v[i] = s[i] ? to[i] : v[i];
    return OK;
  }
  EACH v[i] -= s[i] > 0 ? high[i] : s[i] < 0 ? low[i] : 0;
  int bad = overflow(v, m, p->state_bits, p->v_policy);
  limited(p, v, m);
  return bad;
}

INLINE void fired64(const Population *p, i64 *s, const i64 *v, const i64 *high, const i64 *low, i64 m) {
  if (p->ge) {
    EACH s[i] = v[i] >= high[i];
    if (p->ternary) EACH s[i] -= v[i] <= low[i];
  } else {
    EACH s[i] = v[i] > high[i];
    if (p->ternary) EACH s[i] -= v[i] < low[i];
  }
}

/* One euler step of m <= PIECE neurons; x: summed input in state units (overwritten), drive: 0 or beside the bias. */
static int euler64(const Population *p, const State64 *st, i64 from, i64 m, i64 *x, const i64 *drive, int8_t *out) {
  i64 old[PIECE], sum[PIECE], s[PIECE];
  i64 *u = st->u + from, *v = st->v + from;
  int bad = OK;
  PARAMETER(ku);
  PARAMETER(kv);
  PARAMETER(bias);
  PARAMETER(high);
  PARAMETER(low);
  bad |= overflow(x, m, p->acc_bits, p->acc_policy);
  decayed(u, u, ku, m, p->frac_u, p->rounding);
  EACH u[i] += x[i];
  wrap_to(u, m, p->register_bits);
  bad |= overflow(u, m, p->state_bits, p->u_policy);
  memcpy(old, v, sizeof(i64) * (size_t)m);
  decayed(v, v, kv, m, p->frac_v, p->rounding);
  EACH sum[i] = u[i] + bias[i];
  if (drive) EACH sum[i] += drive[i];
  bad |= overflow(sum, m, p->state_bits, p->drive_policy);
  EACH v[i] += sum[i];
  wrap_to(v, m, p->register_bits);
  bad |= overflow(v, m, p->state_bits, p->v_policy);
  limited(p, v, m);
  i64 *hold = st->hold + from;
  if (p->refractory) EACH v[i] = hold[i] > 0 ? old[i] : v[i];
  if (p->reset_delay) {
    EACH s[i] = st->last[from + i];
    bad |= reset64(p, v, s, high, low, from, m);
  }
  fired64(p, s, v, high, low, m);
  if (p->refractory) EACH s[i] = hold[i] > 0 ? 0 : s[i];
  if (!p->reset_delay) bad |= reset64(p, v, s, high, low, from, m);
  if (p->reset_u) EACH u[i] = s[i] ? 0 : u[i];
  if (p->refractory) EACH hold[i] = s[i] ? p->refractory : hold[i] > 0 ? hold[i] - 1 : 0;
  EACH out[i] = (int8_t)s[i];
  EACH st->last[from + i] = (int8_t)s[i];
  return bad;
}

/* One closed-form step; exc and inh: ring sums (overwritten). */
static int closed64(const Population *p, const State64 *st, i64 from, i64 m, i64 *exc, i64 *inh, int8_t *out) {
  i64 top = (i64)(((uint64_t)1 << p->acc_bits) - 1), bits = p->state_bits, a[PIECE], gap[PIECE];
  i64 *v = st->v + from, *hold = st->hold + from;
  PARAMETER(gain_u);
  PARAMETER(ku);
  PARAMETER(bias);
  PARAMETER(gain);
  PARAMETER(rest);
  PARAMETER(kv);
  PARAMETER(high);
  PARAMETER(to);
  for (int part = 0; part < RECEPTORS; part++) {
    i64 *x = part ? inh : exc, *kept = (part ? st->inhibitory : st->u) + from;
    i64 *used = (part ? st->used_inh : st->used_exc) + from;
    EACH x[i] = (i64)((uint64_t)(x[i] > top ? top : x[i]) << p->shift);
    wrap_to(x, m, bits);
    EACH used[i] = kept[i] + ((x[i] * gain_u[i]) >> p->frac_g);
    wrap_to(used, m, bits);
    EACH kept[i] = (used[i] * ku[i]) >> p->frac_u;
    wrap_to(kept, m, bits);
  }
  const i64 *used_exc = st->used_exc + from, *used_inh = st->used_inh + from;
  EACH a[i] = used_exc[i] - used_inh[i] + bias[i];
  wrap_to(a, m, bits);
  EACH a[i] = ((a[i] * gain[i]) >> p->state_frac) + rest[i];
  wrap_to(a, m, bits);
  EACH gap[i] = a[i] - v[i];
  wrap_to(gap, m, bits);
  EACH a[i] -= (kv[i] * gap[i]) >> p->state_frac;
  wrap_to(a, m, bits);
  EACH v[i] = hold[i] > 0 ? v[i] : a[i];
  if (p->ge)
    EACH out[i] = v[i] >= high[i];
  else
    EACH out[i] = v[i] > high[i];
  EACH v[i] = out[i] ? to[i] : v[i];
  if (p->refractory) EACH hold[i] = out[i] ? p->refractory : hold[i] > 0 ? hold[i] - 1 : hold[i];
  return OK;
}
#endif
