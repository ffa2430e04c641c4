/* Spike bytes to event lists. */
#ifndef SNNC_EVENTS_H
#define SNNC_EVENTS_H
#include "types.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* Bit i of the result: byte i is not zero / is negative. */
#if defined(__AVX512BW__)
INLINE uint64_t nonzero64(const int8_t *p) {
  __m512i x = _mm512_loadu_si512(p);
  return _mm512_test_epi8_mask(x, x);
}
INLINE uint64_t negative64(const int8_t *p) { return _mm512_movepi8_mask(_mm512_loadu_si512(p)); }
#define LAST64(p, n, rest) _mm512_storeu_si512(rest, _mm512_maskz_loadu_epi8(((uint64_t)1 << (n)) - 1, p))
#elif defined(__AVX2__)
INLINE uint64_t zero32(const int8_t *p) {
  __m256i x = _mm256_loadu_si256((const __m256i *)p);
  return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_setzero_si256()));
}
INLINE uint64_t nonzero64(const int8_t *p) { return ~(zero32(p) | zero32(p + 32) << 32); }
INLINE uint64_t negative64(const int8_t *p) {
  uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_loadu_si256((const __m256i *)p));
  uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_loadu_si256((const __m256i *)(p + 32)));
  return low | (uint64_t)high << 32;
}
#elif defined(__SSE2__)
INLINE uint64_t nonzero64(const int8_t *p) {
  uint64_t m = 0;
  for (int k = 0; k < 4; k++) {
    __m128i x = _mm_loadu_si128((const __m128i *)(p + 16 * k));
    m |= (uint64_t)(0xFFFF ^ (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_setzero_si128()))) << (16 * k);
  }
  return m;
}
INLINE uint64_t negative64(const int8_t *p) {
  uint64_t m = 0;
  for (int k = 0; k < 4; k++)
    m |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * k))) << (16 * k);
  return m;
}
#else
INLINE uint64_t nonzero64(const int8_t *p) {
  uint64_t m = 0;
  for (int k = 0; k < 64; k++) m |= (uint64_t)(p[k] != 0) << k;
  return m;
}
INLINE uint64_t negative64(const int8_t *p) {
  uint64_t m = 0;
  for (int k = 0; k < 64; k++) m |= (uint64_t)(p[k] < 0) << k;
  return m;
}
#endif

/* Copies n < 64 bytes, zeros behind. */
#if !defined(LAST64)
#define LAST64(p, n, rest) memset(rest, 0, 64), memcpy(rest, p, (size_t)(n))
#endif

/* Appends the positions of the set bits. Branches on the number of events cannot be predicted, so more is written than
   there is: a list has room for 64 entries more than its rows can hold. */
#if defined(__AVX512VBMI2__)
INLINE void emit16(__m128i within, uint32_t base, uint32_t *to) {
  _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_cvtepu8_epi32(within), _mm512_set1_epi32((int)base)));
}
INLINE uint32_t *emit(uint64_t m, uint32_t base, uint32_t *to) {
  const __m512i first = _mm512_set_epi64(0x3F3E3D3C3B3A3938, 0x3736353433323130, 0x2F2E2D2C2B2A2928, 0x2726252423222120,
                                         0x1F1E1D1C1B1A1918, 0x1716151413121110, 0x0F0E0D0C0B0A0908, 0x0706050403020100);
  const __m512i within = _mm512_maskz_compress_epi8(m, first);
  int64_t count = __builtin_popcountll(m);
  emit16(_mm512_castsi512_si128(within), base, to);
  if (count > 16) {
    emit16(_mm512_extracti32x4_epi32(within, 1), base, to + 16);
    emit16(_mm512_extracti32x4_epi32(within, 2), base, to + 32);
    emit16(_mm512_extracti32x4_epi32(within, 3), base, to + 48);
  }
  return to + count;
}
#elif defined(__AVX512F__)
enum { SOME = 8 };
INLINE void emit16(uint64_t m, uint32_t base, uint32_t *to) {
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i at = _mm512_add_epi32(first, _mm512_set1_epi32((int)base));
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi32((__mmask16)m, at)); /* its store form is slow on some */
}
INLINE uint32_t *emit(uint64_t m, uint32_t base, uint32_t *to) {
  int64_t count = __builtin_popcountll(m);
  if (count <= SOME) {
    _Pragma("GCC unroll 8") for (int k = 0; k < SOME; k++, m &= m - 1) {
      to[k] = base + (uint32_t)_tzcnt_u64(m); /* 64 for none */
      __asm__ volatile("" ::: "memory"); /* gathering them into a vector costs more than stores do */
    }
    return to + count;
  }
  emit16(m, base, to);
  emit16(m >> 16, base + 16, to + __builtin_popcountll(m & 0xFFFF)); /* no count waits for another */
  emit16(m >> 32, base + 32, to + __builtin_popcountll(m & 0xFFFFFFFF));
  emit16(m >> 48, base + 48, to + __builtin_popcountll(m & 0xFFFFFFFFFFFF));
  return to + count;
}
#else
#if defined(__BMI__)
#define LOWEST(m) ((uint32_t)_tzcnt_u64(m)) /* 64 for none */
#else
#define LOWEST(m) ((uint32_t)__builtin_ctzll((m) | 1ull << 63))
#endif
#define APART_STORES __asm__ volatile("" ::: "memory") /* gathering them into a vector costs more than they do */
INLINE uint32_t *emit(uint64_t m, uint32_t base, uint32_t *to) {
  uint32_t *end = to + __builtin_popcountll(m);
  for (int k = 0; k < 4; k++, m &= m - 1) {
    to[k] = base + LOWEST(m);
    APART_STORES;
  }
  for (to += 4; m; m &= m - 1) *to++ = base + LOWEST(m);
  return end;
}
#endif

/* The spikes of one sign, 64 at a time: to a list, to bits, or both. Returns how many. */
INLINE uint32_t positions(const int8_t *s, int64_t n, uint32_t *to, uint64_t *bits, const int ternary, const int minus,
                          uint64_t *other) {
  int8_t rest[64];
  uint32_t count = 0, *from = to;
  for (int64_t i = 0; i < n; i += 64) {
    const int8_t *p = s + i;
    if (n - i < 64) {
      LAST64(p, n - i, rest);
      p = rest;
    }
    uint64_t m = minus ? negative64(p) : nonzero64(p);
    if (ternary && !minus) {
      uint64_t sign = negative64(p);
      *other |= sign;
      m &= ~sign;
    }
    if (bits) bits[i / 64] = m;
    if (to)
      to = emit(m, (uint32_t)i, to);
    else
      count += (uint32_t)__builtin_popcountll(m);
  }
  return to ? (uint32_t)(to - from) : count;
}

/* Appends one row of binary spikes that are there as bits. */
INLINE void append_bits(Signal *g, int64_t row, const void *fired, int64_t n) {
  uint32_t *from = g->index ? g->index + g->used : 0, *to = from, count = 0;
  uint64_t *bits = g->bits[0] ? g->bits[0] + row * g->words + 1 : 0;
  if (bits) bits[-1] = bits[g->words - 3] = bits[g->words - 2] = 0;
  for (int64_t i = 0; i < n; i += 64) {
    uint64_t m;
    memcpy(&m, (const int8_t *)fired + i / 8, sizeof m);
    if (n - i < 64) m &= ((uint64_t)1 << (n - i)) - 1;
    if (bits) bits[i / 64] = m;
    if (to)
      to = emit(m, (uint32_t)i, to);
    else
      count += (uint32_t)__builtin_popcountll(m);
  }
  if (to) count = (uint32_t)(to - from);
  g->rows[row] = (Row){g->used, count, 0};
  g->used += count;
}

/* Appends one row of spikes to a signal. */
INLINE void append(Signal *g, int64_t row, const int8_t *s, int64_t n, int64_t ternary) {
  uint32_t *from = g->index ? g->index + g->used : 0, plus, minus = 0;
  uint64_t *bits = g->bits[0] ? g->bits[0] + row * g->words + 1 : 0, other = 0;
  if (bits) bits[-1] = bits[g->words - 3] = bits[g->words - 2] = 0;
  if (!ternary)
    plus = positions(s, n, from, bits, 0, 0, &other);
  else
    plus = positions(s, n, from, bits, 1, 0, &other);
  if (other) {
    bits = g->bits[1] ? g->bits[1] + row * g->words + 1 : 0;
    if (bits) bits[-1] = bits[g->words - 3] = bits[g->words - 2] = 0;
    minus = positions(s, n, from ? from + plus : 0, bits, 1, 1, &other);
  }
  g->rows[row] = (Row){g->used, plus, minus};
  g->used += plus + minus;
}

/* True if a byte is none of -1, 0, 1; of 0 and 1 only if they are binary. */
INLINE int strange(const int8_t *s, int64_t n, int64_t binary) {
  uint8_t bad = 0;
  if (binary) {
    for (int64_t i = 0; i < n; i++) bad |= (uint8_t)s[i];
    return bad > 1;
  }
  for (int64_t i = 0; i < n; i++) bad |= (uint8_t)((uint8_t)(s[i] + 1) > 2);
  return bad;
}
#endif
