/* Sums of packed weight rows, one per event.

   A row is a sequence of blocks of 64 bytes, then at most one of 32 and one of 16 (none of 16 for 16-bit weights). A
   block holds two halves of neurons in words of twice the width: neuron j of the upper half in the high bits, neuron j
   of the lower half, with an offset that makes it non-negative, in the low bits. Summing words (`all`) and their high
   parts (`odd`) apart takes three instructions for twice as many weights as widening them would; the sum of the low
   parts is all - (odd << bits), exact modulo the width of the word and therefore exact when the true sum fits. */
#ifndef SNNC_ROWS_H
#define SNNC_ROWS_H
#include "types.h"

#define VECTOR_OF(type, bytes) type __attribute__((vector_size(bytes), aligned(sizeof(type)), may_alias))
typedef VECTOR_OF(int16_t, 64) h64;
typedef VECTOR_OF(int16_t, 32) h32;
typedef VECTOR_OF(int16_t, 16) h16;
typedef VECTOR_OF(int32_t, 64) w64;
typedef VECTOR_OF(int32_t, 32) w32;
typedef VECTOR_OF(int32_t, 16) w16;

/* K vectors of a row; BLOCK bytes in each block. acc gets sign * (sum + n * offset) added. */
#define ROWS(NAME, VEC, LANE, K, BLOCK)                                                                              \
  INLINE void NAME(const int8_t *w, int64_t stride, const uint32_t *index, int64_t n, LANE *acc, int64_t offset,    \
                   int minus) {                                                                                     \
    enum { LANES = sizeof(VEC) / sizeof(LANE), HALF = BLOCK / sizeof(LANE), BITS = 4 * sizeof(LANE) };              \
    VEC all[K], odd[K];                                                                                             \
    _Pragma("GCC unroll 16") for (int k = 0; k < K; k++) all[k] = odd[k] = (VEC){0};                                \
    for (int64_t e = 0; e < n; e++) {                                                                               \
      const VEC *row = (const VEC *)(w + (int64_t)index[e] * stride);                                               \
      _Pragma("GCC unroll 16") for (int k = 0; k < K; k++) {                                                        \
        VEC x = row[k];                                                                                             \
        all[k] += x;                                                                                                \
        odd[k] += x >> BITS;                                                                                        \
      }                                                                                                             \
    }                                                                                                               \
    LANE high = (LANE)(n * offset), low = (LANE)(n * (offset - ((int64_t)1 << (BITS - 1))));                        \
    _Pragma("GCC unroll 16") for (int k = 0; k < K; k++) {                                                          \
      VEC *to = (VEC *)(acc + k * LANES / HALF * 2 * HALF + k * LANES % HALF);                                      \
      VEC *up = (VEC *)((LANE *)to + HALF);                                                                         \
      VEC a = all[k] - (odd[k] << BITS) + low, b = odd[k] + high;                                                   \
      *to = minus ? *to - a : *to + a;                                                                              \
      *up = minus ? *up - b : *up + b;                                                                              \
    }                                                                                                               \
  }

#if defined(__AVX512BW__)
ROWS(rows8_8, h64, int16_t, 8, 64)
ROWS(rows8_4, h64, int16_t, 4, 64)
ROWS(rows8_3, h64, int16_t, 3, 64)
ROWS(rows8_2, h64, int16_t, 2, 64)
ROWS(rows8_1, h64, int16_t, 1, 64)
ROWS(rows8_32, h32, int16_t, 1, 32)
ROWS(rows16_8, w64, int32_t, 8, 64)
ROWS(rows16_4, w64, int32_t, 4, 64)
ROWS(rows16_2, w64, int32_t, 2, 64)
ROWS(rows16_1, w64, int32_t, 1, 64)
ROWS(rows16_32, w32, int32_t, 1, 32)
#define WIDEST 8
#elif defined(__AVX2__)
ROWS(rows8_2, h32, int16_t, 4, 64)
ROWS(rows8_1, h32, int16_t, 2, 64)
ROWS(rows8_32, h32, int16_t, 1, 32)
ROWS(rows16_2, w32, int32_t, 4, 64)
ROWS(rows16_1, w32, int32_t, 2, 64)
ROWS(rows16_32, w32, int32_t, 1, 32)
#define WIDEST 2
#else
ROWS(rows8_1, h16, int16_t, 4, 64)
ROWS(rows8_32, h16, int16_t, 2, 32)
ROWS(rows16_1, w16, int32_t, 4, 64)
ROWS(rows16_32, w16, int32_t, 2, 32)
#define WIDEST 1
#endif
ROWS(rows8_16, h16, int16_t, 1, 16)

#if WIDEST >= 8
#define WIDE8(P) for (; bytes >= 512; bytes -= 512, w += 512, acc += 512 / P) STEP(P, 8);
#else
#define WIDE8(P)
#endif
#if WIDEST >= 4
#define WIDE4(P) for (; bytes >= 256; bytes -= 256, w += 256, acc += 256 / P) STEP(P, 4);
#else
#define WIDE4(P)
#endif
#if WIDEST >= 4
#define WIDE3(P) for (; bytes >= 192; bytes -= 192, w += 192, acc += 192 / P) STEP(P, 3);
#else
#define WIDE3(P)
#endif
#if WIDEST >= 2
#define WIDE2(P) for (; bytes >= 128; bytes -= 128, w += 128, acc += 128 / P) STEP(P, 2);
#else
#define WIDE2(P)
#endif
#define NAME_1(K) rows8_##K
#define NAME_2(K) rows16_##K
#define STEP(P, K) NAME_##P(K)(w, stride, index, n, acc, offset, minus)

/* acc[0 .. bytes) += (or -=) the first bytes of the rows of n events; the true sums must fit 16 bits. */
INLINE void rows8_sign(const int8_t *w, int64_t stride, int64_t bytes, const uint32_t *index, int64_t n, int16_t *acc,
                       int64_t offset, const int minus) {
  WIDE8(1)
  WIDE4(1)
  WIDE3(1)
  WIDE2(1)
  for (; bytes >= 64; bytes -= 64, w += 64, acc += 64) STEP(1, 1);
  if (bytes >= 32) {
    STEP(1, 32);
    bytes -= 32, w += 32, acc += 32;
  }
  if (bytes >= 16) STEP(1, 16);
}
APART void rows8(const int8_t *w, int64_t stride, int64_t bytes, const uint32_t *index, int64_t n, int16_t *acc,
                 int64_t offset, int minus) {
  if (minus)
    rows8_sign(w, stride, bytes, index, n, acc, offset, 1);
  else
    rows8_sign(w, stride, bytes, index, n, acc, offset, 0);
}

/* The same for 16-bit weights: stride / 2 neurons, sums that fit 32 bits. */
INLINE void rows16_sign(const int8_t *w, int64_t stride, const uint32_t *index, int64_t n, int32_t *acc,
                        int64_t offset, const int minus) {
  int64_t bytes = stride;
  WIDE8(2)
  WIDE4(2)
  WIDE2(2)
  for (; bytes >= 64; bytes -= 64, w += 64, acc += 32) STEP(2, 1);
  if (bytes >= 32) STEP(2, 32);
}
APART void rows16(const int8_t *w, int64_t stride, const uint32_t *index, int64_t n, int32_t *acc, int64_t offset,
                   int minus) {
  if (minus)
    rows16_sign(w, stride, index, n, acc, offset, 1);
  else
    rows16_sign(w, stride, index, n, acc, offset, 0);
}
#endif
