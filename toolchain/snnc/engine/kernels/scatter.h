/* Additions of events to whole frames: convolutions, sparse and wide weights, vectors. */
#ifndef SNNC_SCATTER_H
#define SNNC_SCATTER_H
#include "rows.h"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

/* Where the events of one neuron go: rows of `run` weights, the first at `at`, each at a distance from a table. */
typedef struct {
  int32_t at, weight, rows, run, delta, fan;
} Tap;

/* A vector at a time whose size divides the channels, so that loads meet stores of the same address and size, which
   the processor forwards. Where vectors of this size are several registers the compiler splits them. */
#define TAPS(NAME, ACC, VEC, CHUNK, WIDEN)                                                                           \
  INLINE void NAME##_sign(const Tap *taps, const int16_t *weight, const int32_t *delta, const uint32_t *index,      \
                          int64_t n, ACC *frame, const int minus) {                                                 \
    for (int64_t e = 0; e < n; e++) {                                                                               \
      const Tap *t = taps + index[e];                                                                               \
      const int16_t *w = weight + t->weight;                                                                        \
      const int32_t *far = delta + t->delta, *end = far + t->rows;                                                  \
      ACC *corner = frame + t->at;                                                                                  \
      const int32_t run = t->run;                                                                                   \
      for (; far < end; far++) {                                                                                    \
        ACC *a = corner + *far;                                                                                     \
        const ACC *stop = a + run;                                                                                  \
        for (; a < stop; a += CHUNK, w += CHUNK) {                                                                  \
          VEC x = WIDEN(w);                                                                                         \
          *(VEC *)a = minus ? *(const VEC *)a - x : *(const VEC *)a + x;                                            \
        }                                                                                                           \
      }                                                                                                             \
    }                                                                                                               \
  }                                                                                                                 \
  APART void NAME(const Tap *taps, const int16_t *weight, const int32_t *delta, const uint32_t *index, int64_t n,   \
                  void *frame, int minus) {                                                                         \
    if (minus)                                                                                                      \
      NAME##_sign(taps, weight, delta, index, n, frame, 1);                                                         \
    else                                                                                                            \
      NAME##_sign(taps, weight, delta, index, n, frame, 0);                                                         \
  }
#define SAME_h16(w) (*(const h16 *)(w))
#define SAME_h32(w) (*(const h32 *)(w))
#define SAME_h64(w) (*(const h64 *)(w))
INLINE w32 widen8(const int16_t *w) { return __builtin_convertvector(*(const h16 *)w, w32); }
INLINE w64 widen16(const int16_t *w) {
#if defined(__AVX512F__)
  return (w64)_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)w));
#else
  return __builtin_convertvector(*(const h32 *)w, w64);
#endif
}
TAPS(taps16_8, int16_t, h16, 8, SAME_h16)
TAPS(taps16_16, int16_t, h32, 16, SAME_h32)
TAPS(taps16_32, int16_t, h64, 32, SAME_h64)
TAPS(taps32_8, int32_t, w32, 8, widen8)
TAPS(taps32_16, int32_t, w64, 16, widen16)

static void taps(const Way *w, const uint32_t *index, int64_t n, void *frame, int minus) {
  const Tap *taps = AT(const Tap, w->table);
  const int16_t *weight = AT(const int16_t, w->data);
  const int32_t *delta = AT(const int32_t, w->delta);
  if (w->bits == 32 && w->chunk == 8)
    taps32_8(taps, weight, delta, index, n, frame, minus);
  else if (w->bits == 32)
    taps32_16(taps, weight, delta, index, n, frame, minus);
  else if (w->chunk == 8)
    taps16_8(taps, weight, delta, index, n, frame, minus);
  else if (w->chunk == 16)
    taps16_16(taps, weight, delta, index, n, frame, minus);
  else
    taps16_32(taps, weight, delta, index, n, frame, minus);
}

/* The same for many channels: all events of one position of the input add to the same outputs, so that their rows are
   summed in registers. Sending neurons are channel-last: a position's are neighbours, and so are its events. */
static void gather(const Way *w, const uint32_t *index, int64_t n, void *frame, int minus) {
  enum { SPAN = 512 };
  int16_t part[SPAN];
  uint32_t channels = (uint32_t)w->channels;
  for (int64_t e = 0, next; e < n; e = next) {
    uint32_t position = index[e] / channels, end = (position + 1) * channels;
    for (next = e + 1; next < n && index[next] < end;) next++;
    const Tap *t = AT(const Tap, w->table) + position;
    const int32_t *delta = AT(const int32_t, w->delta) + t->delta;
    int64_t stride = (int64_t)t->rows * t->run;
    const int8_t *weight = AT(const int8_t, w->data) + t->weight - (int64_t)(position * channels) * stride;
    for (int32_t k = 0; k < t->rows; k++, weight += t->run) {
      if (w->bits == 16) {
        rows8(weight, stride, t->run, index + e, next - e, (int16_t *)frame + t->at + delta[k], w->offset, minus);
        continue;
      }
      for (int64_t q = 0; q < t->run; q += SPAN) {
        int64_t some = t->run - q < SPAN ? t->run - q : SPAN;
        int32_t *to = (int32_t *)frame + t->at + delta[k] + q;
        for (int64_t f = e; f < next; f += w->limit) {
          int64_t m = next - f < w->limit ? next - f : w->limit;
          memset(part, 0, sizeof(int16_t) * (size_t)some);
          rows8(weight + q, stride, some, index + f, m, part, w->offset, minus);
          for (int64_t i = 0; i < some; i++) to[i] += part[i];
        }
      }
    }
  }
}

/* Adds the inner part of a frame to the accumulators and clears the frame. */
#define TAKE(NAME, FRAME, ACC)                                                                                       \
  static void NAME(const Way *w, FRAME *restrict frame, ACC *restrict acc) {                                        \
    int64_t row = w->made_w * w->made_c;                                                                            \
    for (int64_t y = 0; y < w->made_h; y++) {                                                                       \
      const FRAME *f = frame + w->origin + y * w->stride;                                                           \
      if (w->padded_c == w->made_c) {                                                                               \
        for (int64_t i = 0; i < row; i++) acc[i] += (ACC)f[i];                                                      \
      } else {                                                                                                      \
        for (int64_t x = 0; x < w->made_w; x++)                                                                     \
          for (int64_t c = 0; c < w->made_c; c++) acc[x * w->made_c + c] += (ACC)f[x * w->padded_c + c];            \
      }                                                                                                             \
      acc += row;                                                                                                   \
    }                                                                                                               \
    memset(frame, 0, (size_t)w->frame * sizeof(FRAME));                                                             \
  }
TAKE(take16_16, int16_t, int16_t)
TAKE(take16_32, int16_t, int32_t)
TAKE(take16_64, int16_t, int64_t)
TAKE(take32_32, int32_t, int32_t)
TAKE(take32_64, int32_t, int64_t)

static void take(const Way *w, void *frame, void *acc, int64_t bits) {
  if (w->bits == 16) {
    if (bits == 16)
      take16_16(w, frame, acc);
    else if (bits == 32)
      take16_32(w, frame, acc);
    else
      take16_64(w, frame, acc);
  } else if (bits == 32) {
    take32_32(w, frame, acc);
  } else {
    take32_64(w, frame, acc);
  }
}

#define WIDE(NAME, ACC)                                                                                              \
  INLINE void NAME##_sparse(const Way *w, int64_t i, ACC *acc, int64_t times) {                                     \
    const int64_t *start = AT(const int64_t, w->start);                                                             \
    const int32_t *to = AT(const int32_t, w->index), *value = AT(const int32_t, w->data);                           \
    for (int64_t k = start[i]; k < start[i + 1]; k++) acc[to[k]] += (ACC)(value[k] * times);                        \
  }                                                                                                                 \
  INLINE void NAME##_dense(const Way *w, int64_t i, ACC *restrict acc, int64_t times, int64_t n) {                  \
    const int32_t *restrict row = AT(const int32_t, w->data) + i * n;                                               \
    for (int64_t k = 0; k < n; k++) acc[k] += (ACC)(row[k] * times);                                                \
  }                                                                                                                 \
  static void NAME(const Way *w, const uint32_t *index, int64_t events, ACC *acc, int64_t n, int64_t times) {       \
    for (int64_t e = 0; e < events; e++)                                                                            \
      if (w->kind == SPARSE32)                                                                                      \
        NAME##_sparse(w, index[e], acc, times);                                                                     \
      else                                                                                                          \
        NAME##_dense(w, index[e], acc, times, n);                                                                   \
  }
WIDE(wide16, int16_t)
WIDE(wide32, int32_t)
WIDE(wide64, int64_t)

static void numbers(const Way *w, const int64_t *sent, int64_t *acc, int64_t n) {
  for (int64_t i = 0; i < w->n_in; i++) {
    if (!sent[i]) continue;
    if (w->kind == SPARSE32)
      wide64_sparse(w, i, acc, sent[i]);
    else
      wide64_dense(w, i, acc, sent[i], n);
  }
}

static void wide(const Way *w, const uint32_t *index, int64_t events, void *acc, int64_t bits, int64_t n, int sign) {
  if (bits == 16)
    wide16(w, index, events, acc, n, sign);
  else if (bits == 32)
    wide32(w, index, events, acc, n, sign);
  else
    wide64(w, index, events, acc, n, sign);
}

#define ADD(NAME, FROM, ACC)                                                                  \
  static void NAME(ACC *restrict acc, const FROM *restrict x, int64_t n) {                    \
    for (int64_t i = 0; i < n; i++) acc[i] += (ACC)x[i];                                      \
  }
ADD(add16_32, int16_t, int32_t)
ADD(add16_64, int16_t, int64_t)
ADD(add32_16, int32_t, int16_t)
ADD(add32_32, int32_t, int32_t)
ADD(add32_64, int32_t, int64_t)
#endif
