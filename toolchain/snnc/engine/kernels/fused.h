/* The euler step in 32 bits, for populations whose bounds prove that nothing else than what is done here can act:
   FREE: no register overflows within the steps of the run. LAVA: u wraps once at 24 bits, v saturates symmetrically.
   CLIPPED: the same where u never gets so far. */
#ifndef SNNC_FUSED_H
#define SNNC_FUSED_H
#include "types.h"

#define TURN (1 << 24)

/* x * k / 2**f: floor of the split product; a mask added to the low part of negative x makes it round toward zero.
   Exact for 0 <= k <= 2**f, f <= 16: the low product stays below 2**32. */
INLINE int32_t decay32(int32_t x, uint32_t k, int f, int rounding) {
  uint32_t mask = (1u << f) - 1, low = ((uint32_t)x & mask) * k;
  if (rounding == TOWARD_ZERO) low += (uint32_t)(x >> 31) & mask;
  return (int32_t)((uint32_t)(x >> f) * k + (low >> f));
}

typedef struct {
  const int32_t *ku, *kv, *bias, *fire, *high, *to;
  int shift, fu, fv, each;
} Fused;

#define FUSED(NAME, ACC)                                                                                             \
  INLINE void NAME(int64_t n, const ACC *restrict a, int32_t *restrict u, int32_t *restrict v, int8_t *restrict s, \
                   const Fused *f, int fu, int fv, const int mode, const int rounding, const int reset,             \
                   const int each) {                                                                                \
    const int32_t *restrict ku = f->ku, *restrict kv = f->kv, *restrict bias = f->bias, *restrict fire = f->fire;    \
    const int32_t *restrict high = f->high, *restrict to = f->to;                                                   \
    const int32_t ku0 = *ku, kv0 = *kv, fire0 = *fire, high0 = *high, to0 = *to;                                    \
    const int shift = f->shift;                                                                                     \
    for (int64_t i = 0; i < n; i++) {                                                                               \
      int32_t x = (int32_t)((uint32_t)(int32_t)a[i] << shift);                                                      \
      int32_t un = decay32(u[i], (uint32_t)(each ? ku[i] : ku0), fu, rounding) + x;                                 \
      if (mode == LAVA) {                                                                                           \
        un = un > TURN / 2 ? un - TURN : un;                                                                        \
        un = un <= -TURN / 2 ? un + TURN : un;                                                                      \
      }                                                                                                             \
      int32_t vn = decay32(v[i], (uint32_t)(each ? kv[i] : kv0), fv, rounding) + un + bias[i];                      \
      if (mode == LAVA) {                                                                                           \
        vn = vn > TURN / 2 - 1 ? TURN / 2 - 1 : vn;                                                                 \
        vn = vn < 1 - TURN / 2 ? 1 - TURN / 2 : vn;                                                                 \
      }                                                                                                             \
      int fires = vn > (each ? fire[i] : fire0);                                                                    \
      u[i] = un;                                                                                                    \
      if (reset == RESET_TO) v[i] = fires ? (each ? to[i] : to0) : vn;                                              \
      if (reset == SUBTRACT) {                                                                                      \
        int32_t rest = vn - (each ? high[i] : high0);                                                               \
        if (mode == LAVA) rest = rest > TURN / 2 - 1 ? TURN / 2 - 1 : rest < 1 - TURN / 2 ? 1 - TURN / 2 : rest;    \
        v[i] = fires ? rest : vn;                                                                                   \
      }                                                                                                             \
      if (reset == KEEP) v[i] = vn;                                                                                 \
      s[i] = (int8_t)fires;                                                                                         \
    }                                                                                                               \
  }
FUSED(fused_i16, int16_t)
FUSED(fused_i32, int32_t)

#define PICK_EACH(NAME, FU, FV, M, R, T)                                                                             \
  if (f->each)                                                                                                      \
    NAME(n, a, u, v, s, f, f->fu, f->fv, M, R, T, 1);                                                               \
  else                                                                                                              \
    NAME(n, a, u, v, s, f, FU, FV, M, R, T, 0);
#define PICK_RESET(NAME, FU, FV, M, R)                                                                               \
  if (reset == RESET_TO) {                                                                                          \
    PICK_EACH(NAME, FU, FV, M, R, RESET_TO)                                                                         \
  } else if (reset == SUBTRACT) {                                                                                   \
    PICK_EACH(NAME, FU, FV, M, R, SUBTRACT)                                                                         \
  } else {                                                                                                          \
    PICK_EACH(NAME, FU, FV, M, R, KEEP)                                                                             \
  }
/* Fractional bits that are known to the compiler make shifts cheaper; 12 is what Loihi and the defaults have. */
#define STEP_OF(NAME, STEP, ACC)                                                                                     \
  static void NAME(int64_t n, const ACC *a, int32_t *u, int32_t *v, int8_t *s, const Fused *f, int mode,            \
                   int rounding, int reset) {                                                                       \
    if (rounding == FLOOR && mode == FREE) {                                                                        \
      PICK_RESET(STEP, f->fu, f->fv, FREE, FLOOR)                                                                   \
    } else if (mode != FREE) {                                                                                      \
      PICK_RESET(STEP, 12, 12, LAVA, TOWARD_ZERO)                                                                   \
    } else if (f->fu == 12 && f->fv == 12) {                                                                        \
      PICK_RESET(STEP, 12, 12, FREE, TOWARD_ZERO)                                                                   \
    } else {                                                                                                        \
      PICK_RESET(STEP, f->fu, f->fv, FREE, TOWARD_ZERO)                                                             \
    }                                                                                                               \
  }
STEP_OF(step_i16, fused_i16, int16_t)
STEP_OF(step_i32, fused_i32, int32_t)
#endif
