/* The euler step of fused.h with 16-bit multiplications, for decays that all neurons share.

   x * k / 2**f for 0 <= k < 2**f, 0 < f < 16 and |x| < 2**31, x = 65536 h + l: twice h * (k << (15 - f)) is what h
   contributes, and the upper half of l * (k << (16 - f)) is floor(l * k / 2**f). Both factors fit 16 bits, so that two
   multiplications of halves take the place of two of 32 bits, the splitting and the shifts. Rounding toward zero works
   on the magnitude and puts the sign back when the product is added. */
#ifndef SNNC_QUICK_H
#define SNNC_QUICK_H
#include "fused.h"

#if defined(__AVX512BW__)
#include <immintrin.h>
#define HAVE_QUICK 1
enum { QUICK = 16 };
typedef __m512i quick;
typedef __mmask16 chosen;
INLINE quick q_load(const int32_t *p) { return _mm512_loadu_si512(p); }
INLINE void q_store(int32_t *p, quick x) { _mm512_storeu_si512(p, x); }
INLINE quick q_all(int32_t x) { return _mm512_set1_epi32(x); }
INLINE quick q_add(quick a, quick b) { return _mm512_add_epi32(a, b); }
INLINE quick q_sub(quick a, quick b) { return _mm512_sub_epi32(a, b); }
INLINE quick q_min(quick a, quick b) { return _mm512_min_epi32(a, b); }
INLINE quick q_max(quick a, quick b) { return _mm512_max_epi32(a, b); }
INLINE quick q_up(quick x, __m128i shift) { return _mm512_sll_epi32(x, shift); }
INLINE quick q_high(quick x, quick k) { return _mm512_madd_epi16(x, k); }
INLINE quick q_low(quick x, quick k) { return _mm512_mulhi_epu16(x, k); }
INLINE quick q_size(quick x) { return _mm512_abs_epi32(x); }
INLINE chosen q_more(quick a, quick b) { return _mm512_cmpgt_epi32_mask(a, b); }
INLINE quick q_pick(chosen m, quick a, quick b) { return _mm512_mask_blend_epi32(m, b, a); }
INLINE quick q_add_if(chosen m, quick a, quick b) { return _mm512_mask_add_epi32(a, m, a, b); }
INLINE quick q_signed(quick a, quick r, quick x) { /* a + r with the sign of x */
  return _mm512_mask_sub_epi32(_mm512_add_epi32(a, r), _mm512_movepi32_mask(x), a, r);
}
INLINE quick q_acc16(const int16_t *p) { return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)p)); }
INLINE uint32_t q_fires(int8_t *s, const chosen *m) {
  _mm_storeu_si128((__m128i *)s, _mm_maskz_set1_epi8(*m, 1));
  return *m;
}
#elif defined(__AVX2__)
#include <immintrin.h>
#define HAVE_QUICK 1
enum { QUICK = 8 };
typedef __m256i quick, chosen;
INLINE quick q_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void q_store(int32_t *p, quick x) { _mm256_storeu_si256((__m256i *)p, x); }
INLINE quick q_all(int32_t x) { return _mm256_set1_epi32(x); }
INLINE quick q_add(quick a, quick b) { return _mm256_add_epi32(a, b); }
INLINE quick q_sub(quick a, quick b) { return _mm256_sub_epi32(a, b); }
INLINE quick q_min(quick a, quick b) { return _mm256_min_epi32(a, b); }
INLINE quick q_max(quick a, quick b) { return _mm256_max_epi32(a, b); }
INLINE quick q_up(quick x, __m128i shift) { return _mm256_sll_epi32(x, shift); }
INLINE quick q_high(quick x, quick k) { return _mm256_madd_epi16(x, k); }
INLINE quick q_low(quick x, quick k) { return _mm256_mulhi_epu16(x, k); }
INLINE quick q_size(quick x) { return _mm256_abs_epi32(x); }
INLINE chosen q_more(quick a, quick b) { return _mm256_cmpgt_epi32(a, b); }
INLINE quick q_pick(chosen m, quick a, quick b) { return _mm256_blendv_epi8(b, a, m); }
INLINE quick q_add_if(chosen m, quick a, quick b) { return _mm256_add_epi32(a, _mm256_and_si256(m, b)); }
INLINE quick q_signed(quick a, quick r, quick x) { return _mm256_add_epi32(a, _mm256_sign_epi32(r, x)); }
INLINE quick q_acc16(const int16_t *p) { return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)); }
INLINE uint32_t q_fires(int8_t *s, const chosen *m) {
  __m256i x = _mm256_permute4x64_epi64(_mm256_packs_epi32(m[0], m[1]), 0xD8);
  __m128i y = _mm_packs_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  _mm_storeu_si128((__m128i *)s, _mm_sub_epi8(_mm_setzero_si128(), y));
  return (uint32_t)_mm_movemask_epi8(y);
}
#elif defined(__SSE2__)
#include <emmintrin.h>
#define HAVE_QUICK 1
enum { QUICK = 4 };
typedef __m128i quick, chosen;
INLINE quick q_load(const int32_t *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE void q_store(int32_t *p, quick x) { _mm_storeu_si128((__m128i *)p, x); }
INLINE quick q_all(int32_t x) { return _mm_set1_epi32(x); }
INLINE quick q_add(quick a, quick b) { return _mm_add_epi32(a, b); }
INLINE quick q_sub(quick a, quick b) { return _mm_sub_epi32(a, b); }
INLINE chosen q_more(quick a, quick b) { return _mm_cmpgt_epi32(a, b); }
INLINE quick q_pick(chosen m, quick a, quick b) { return _mm_or_si128(_mm_and_si128(m, a), _mm_andnot_si128(m, b)); }
INLINE quick q_min(quick a, quick b) { return q_pick(q_more(a, b), b, a); }
INLINE quick q_max(quick a, quick b) { return q_pick(q_more(a, b), a, b); }
INLINE quick q_up(quick x, __m128i shift) { return _mm_sll_epi32(x, shift); }
INLINE quick q_high(quick x, quick k) { return _mm_madd_epi16(x, k); }
INLINE quick q_low(quick x, quick k) { return _mm_mulhi_epu16(x, k); }
INLINE quick q_flip(quick x, quick sign) { return _mm_sub_epi32(_mm_xor_si128(x, sign), sign); }
INLINE quick q_size(quick x) { return q_flip(x, _mm_srai_epi32(x, 31)); }
INLINE quick q_add_if(chosen m, quick a, quick b) { return _mm_add_epi32(a, _mm_and_si128(m, b)); }
INLINE quick q_signed(quick a, quick r, quick x) { return _mm_add_epi32(a, q_flip(r, _mm_srai_epi32(x, 31))); }
INLINE quick q_acc16(const int16_t *p) {
  __m128i x = _mm_loadl_epi64((const __m128i *)p);
  return _mm_srai_epi32(_mm_unpacklo_epi16(x, x), 16);
}
INLINE uint32_t q_fires(int8_t *s, const chosen *m) {
  __m128i y = _mm_packs_epi16(_mm_packs_epi32(m[0], m[1]), _mm_packs_epi32(m[2], m[3]));
  _mm_storeu_si128((__m128i *)s, _mm_sub_epi8(_mm_setzero_si128(), y));
  return (uint32_t)_mm_movemask_epi8(y);
}
#endif

#if defined(HAVE_QUICK)
INLINE quick q_acc32(const int32_t *p) { return q_load(p); }

/* a + x * k / 2**f */
INLINE quick q_decayed(quick a, quick x, quick high, quick low, const int rounding) {
  quick size = rounding == TOWARD_ZERO ? q_size(x) : x;
  quick h = q_high(size, high), r = q_add(q_add(h, h), q_low(size, low));
  return rounding == TOWARD_ZERO ? q_signed(a, r, x) : q_add(a, r);
}

INLINE quick q_clipped(quick x, quick top, const int mode) {
  return mode != FREE ? q_max(q_min(x, top), q_sub(q_all(0), top)) : x;
}

#define QUICK_STEP(NAME, ACC, LOAD)                                                                                  \
  INLINE void NAME(int64_t n, const ACC *restrict a, int32_t *restrict u, int32_t *restrict v, int8_t *restrict s, \
                   uint16_t *restrict fired, const Fused *f, const int mode, const int rounding, const int reset) {  \
    const int32_t *restrict bias = f->bias;                                                                         \
    const __m128i shift = _mm_cvtsi32_si128(f->shift);                                                              \
    const quick uh = q_all(*f->ku << (15 - f->fu) << 16), ul = q_all(*f->ku << (16 - f->fu));                        \
    const quick vh = q_all(*f->kv << (15 - f->fv) << 16), vl = q_all(*f->kv << (16 - f->fv));                        \
    const quick fire = q_all(*f->fire), high = q_all(*f->high), to = q_all(*f->to);                                 \
    const quick half = q_all(TURN / 2), below = q_all(1 - TURN / 2), turn = q_all(TURN), top = q_all(TURN / 2 - 1);  \
    for (int64_t i = 0; i < n; i += 16) {                                                                           \
      chosen fires[16 / QUICK];                                                                                     \
      _Pragma("GCC unroll 4") for (int k = 0; k < 16 / QUICK; k++) {                                                \
        int64_t j = i + k * QUICK;                                                                                  \
        quick un = q_decayed(q_up(LOAD(a + j), shift), q_load(u + j), uh, ul, rounding);                            \
        if (mode == LAVA) {                                                                                         \
          un = q_add_if(q_more(un, half), un, q_sub(q_all(0), turn));                                               \
          un = q_add_if(q_more(below, un), un, turn);                                                               \
        }                                                                                                           \
        quick vn = q_decayed(q_add(un, q_load(bias + j)), q_load(v + j), vh, vl, rounding);                         \
        vn = q_clipped(vn, top, mode);                                                                              \
        fires[k] = q_more(vn, fire);                                                                                \
        q_store(u + j, un);                                                                                         \
        if (reset == RESET_TO) vn = q_pick(fires[k], to, vn);                                                       \
        if (reset == SUBTRACT) vn = q_pick(fires[k], q_clipped(q_sub(vn, high), top, mode), vn);                    \
        q_store(v + j, vn);                                                                                         \
      }                                                                                                             \
      fired[i / 16] = (uint16_t)q_fires(s + i, fires);                                                              \
    }                                                                                                               \
  }
QUICK_STEP(quick_i16, int16_t, q_acc16)
QUICK_STEP(quick_i32, int32_t, q_acc32)

#define QUICK_RESET(NAME, M, R)                                                                                      \
  if (reset == RESET_TO)                                                                                            \
    NAME(n, a, u, v, s, fired, f, M, R, RESET_TO);                                                                         \
  else if (reset == SUBTRACT)                                                                                       \
    NAME(n, a, u, v, s, fired, f, M, R, SUBTRACT);                                                                         \
  else                                                                                                              \
    NAME(n, a, u, v, s, fired, f, M, R, KEEP);
/* Nonzero if spikes were also written as bits to `fired`. */
#define QUICK_OF(NAME, STEP, SLOW, ACC)                                                                              \
  static int NAME(int64_t n, const ACC *a, int32_t *u, int32_t *v, int8_t *s, uint16_t *fired, const Fused *f,      \
                  int mode, int rounding, int reset) {                                                              \
    if (!is_quick(f)) {                                                                                             \
      SLOW(n, a, u, v, s, f, mode, rounding, reset);                                                                \
      return 0;                                                                                                     \
    }                                                                                                               \
    if (mode == LAVA) {                                                                                             \
      QUICK_RESET(STEP, LAVA, TOWARD_ZERO)                                                                          \
    } else if (mode == CLIPPED) {                                                                                   \
      QUICK_RESET(STEP, CLIPPED, TOWARD_ZERO)                                                                       \
    } else if (rounding == FLOOR) {                                                                                 \
      QUICK_RESET(STEP, FREE, FLOOR)                                                                                \
    } else {                                                                                                        \
      QUICK_RESET(STEP, FREE, TOWARD_ZERO)                                                                          \
    }                                                                                                               \
    return 1;                                                                                                       \
  }
INLINE int is_quick(const Fused *f) {
  return !f->each && f->fu > 0 && f->fu < 16 && f->fv > 0 && f->fv < 16 && *f->ku < 1 << f->fu && *f->kv < 1 << f->fv;
}
QUICK_OF(quick_step_i16, quick_i16, step_i16, int16_t)
QUICK_OF(quick_step_i32, quick_i32, step_i32, int32_t)
#else
#define QUICK_OF(NAME, SLOW, ACC)                                                                                    \
  static int NAME(int64_t n, const ACC *a, int32_t *u, int32_t *v, int8_t *s, uint16_t *fired, const Fused *f,      \
                  int mode, int rounding, int reset) {                                                              \
    (void)fired;                                                                                                    \
    SLOW(n, a, u, v, s, f, mode, rounding, reset);                                                                  \
    return 0;                                                                                                       \
  }
QUICK_OF(quick_step_i16, step_i16, int16_t)
QUICK_OF(quick_step_i32, step_i32, int32_t)
#endif
#endif
