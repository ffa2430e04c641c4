/* Convolutions of few input channels by tables: what a strip of the window (a kernel row, or one place of it, over all
   channels) adds to all outputs of a position is looked up by the strip's spikes. Outputs are summed in registers and
   written once, whereas events would add to the same few addresses again and again. */
#ifndef SNNC_LOOKUP_H
#define SNNC_LOOKUP_H
#include "rows.h"

/* Where the bits of a strip lie: `planes` pieces of `width` bits, `apart` bits from each other; a piece begins at `first`
   and moves by `step` bits per column and `row` bits per row of the input. An output's window has `across` strips in
   each of its rows, `far` columns from each other; outputs are `hop` columns apart. Tables are
   [kernel_h][across][2**bits][made_c]. */
typedef struct {
  int64_t given_h, kernel_h, stride, padding, dilation, planes, apart, row, step, first, width, bits, columns, across, far,
      hop;
} Strips;

INLINE uint64_t bits_at(const uint8_t *base, int64_t bit) {
  uint64_t word;
  memcpy(&word, base + (bit >> 3), sizeof word);
  return word >> (bit & 7);
}

typedef VECTOR_OF(uint64_t, 64) eight;
typedef VECTOR_OF(uint32_t, 32) eight32;
enum { NEAR = 8 }; /* columns whose strips lie in one word; rows of keys are filled up to as many */

/* keys[row of the input][column]: where in a table the sums of the strip stand. */
#define KEYS(NAME, PLANES)                                                                                           \
  static void NAME(const Way *w, const Strips *g, const uint8_t *base, uint32_t *keys) {                            \
    const eight lane = {0, 1, 2, 3, 4, 5, 6, 7}, moved = lane * (uint64_t)g->step;                                  \
    const uint64_t *inside = AT(const uint64_t, w->index);                                                          \
    const int64_t columns = g->columns, apart = g->apart, width = g->width;                                         \
    const int size = __builtin_ctzll((uint64_t)w->made_c);                                                          \
    for (int64_t y = 0; y < g->given_h; y++, keys += columns)                                                       \
      for (int64_t x = 0; x < columns; x += NEAR) {                                                                 \
        int64_t bit = g->first + y * g->row + x * g->step;                                                          \
        const eight valid = *(const eight *)(inside + x);                                                           \
        eight strip = {0};                                                                                          \
        for (int k = 0; k < PLANES; k++, bit += apart)                                                              \
          strip |= (((eight){0} + bits_at(base, bit)) >> moved & valid) << (uint64_t)(k * width);                   \
        *(eight32 *)(keys + x) = __builtin_convertvector(strip << (uint64_t)size, eight32);                         \
      }                                                                                                             \
  }
KEYS(keys_1, 1)
KEYS(keys_2, 2)
KEYS(keys_3, 3)

/* Sums of `count` strips for `high` rows of `wide` outputs; each row's keys lie `ahead` from the last one's. They are
   written, added or subtracted: whoever looks up first needs no cleared accumulators. */
enum { WRITTEN, ADDED, SUBTRACTED };
enum { TOGETHER = 5 }; /* strips summed before they are written */
#define LOOK_UP(NAME, VEC, C)                                                                                        \
  INLINE void NAME##_some(int16_t *acc, int64_t wide, const int16_t *const *t, const uint32_t *const *k, int64_t at, \
                          int64_t hop, const int count, const int how) {                                            \
    const int16_t *t0 = t[0], *t1 = t[count > 1 ? 1 : 0], *t2 = t[count > 2 ? 2 : 0], *t3 = t[count > 3 ? 3 : 0],     \
                  *t4 = t[count > 4 ? 4 : 0];                                                                       \
    const uint32_t *k0 = k[0] + at, *k1 = k[count > 1 ? 1 : 0] + at, *k2 = k[count > 2 ? 2 : 0] + at,                \
                   *k3 = k[count > 3 ? 3 : 0] + at, *k4 = k[count > 4 ? 4 : 0] + at;                                 \
    for (int64_t x = 0; x < wide; x++) {                                                                            \
      VEC *to = (VEC *)(acc + x * C), sum = *(const VEC *)(t0 + k0[x * hop]);                                        \
      if (count > 1) sum += *(const VEC *)(t1 + k1[x * hop]);                                                       \
      if (count > 2) sum += *(const VEC *)(t2 + k2[x * hop]);                                                       \
      if (count > 3) sum += *(const VEC *)(t3 + k3[x * hop]);                                                       \
      if (count > 4) sum += *(const VEC *)(t4 + k4[x * hop]);                                                       \
      if (how == ADDED) sum += *to;                                                                                 \
      if (how == SUBTRACTED) sum = *to - sum;                                                                       \
      *to = sum;                                                                                                    \
    }                                                                                                               \
  }                                                                                                                 \
  INLINE void NAME##_row(int16_t *acc, int64_t wide, const int16_t *const *t, const uint32_t *const *k, int64_t at,  \
                         int64_t hop, int count, const int how) {                                                   \
    if (count >= TOGETHER)                                                                                          \
      NAME##_some(acc, wide, t, k, at, hop, TOGETHER, how);                                                         \
    else if (count == 4)                                                                                            \
      NAME##_some(acc, wide, t, k, at, hop, 4, how);                                                                \
    else if (count == 3)                                                                                            \
      NAME##_some(acc, wide, t, k, at, hop, 3, how);                                                                \
    else if (count == 2)                                                                                            \
      NAME##_some(acc, wide, t, k, at, hop, 2, how);                                                                \
    else                                                                                                            \
      NAME##_some(acc, wide, t, k, at, hop, 1, how);                                                                \
  }                                                                                                                 \
  APART void NAME(int16_t *acc, int64_t high, int64_t wide, const int16_t *const *t, const uint32_t *const *k,      \
                  int64_t ahead, int64_t hop, int count, int how) {                                                 \
    for (int64_t at = 0; at < high * ahead; at += ahead, acc += wide * C) {                                         \
      if (how == WRITTEN)                                                                                           \
        NAME##_row(acc, wide, t, k, at, hop, count, WRITTEN);                                                       \
      else if (how == ADDED)                                                                                        \
        NAME##_row(acc, wide, t, k, at, hop, count, ADDED);                                                         \
      else                                                                                                          \
        NAME##_row(acc, wide, t, k, at, hop, count, SUBTRACTED);                                                    \
      for (int i = TOGETHER; i < count; i += TOGETHER)                                                              \
        if (how == SUBTRACTED)                                                                                      \
          NAME##_row(acc, wide, t + i, k + i, at, hop, count - i, SUBTRACTED);                                      \
        else                                                                                                        \
          NAME##_row(acc, wide, t + i, k + i, at, hop, count - i, ADDED);                                           \
    }                                                                                                               \
  }
LOOK_UP(look_up8, h16, 8)
LOOK_UP(look_up16, h32, 16)
LOOK_UP(look_up32, h64, 32)

enum { LOOKS = 16 }; /* strips of a window, at most */

static int64_t keys_of(const Way *w) {
  const Strips *g = AT(const Strips, w->start);
  return (g->given_h + 2 * g->padding) * g->columns;
}

/* The sums of one step; bits: its spikes, bit after bit, with a word of zeros before and two behind. */
static void look_up(const Way *w, const uint64_t *bits, uint32_t *keys, int16_t *acc, int how) {
  const Strips *g = AT(const Strips, w->start);
  const uint8_t *base = (const uint8_t *)bits;
  const int16_t *tables[LOOKS];
  const uint32_t *rows[LOOKS];
  int64_t above = g->padding * g->columns, ahead = g->stride * g->columns;
  int count = 0;
  memset(keys, 0, sizeof(uint32_t) * (size_t)above); /* the first sum of each table is that of no spikes */
  memset(keys + above + g->given_h * g->columns, 0, sizeof(uint32_t) * (size_t)above);
  if (g->planes == 1)
    keys_1(w, g, base, keys + above);
  else if (g->planes == 2)
    keys_2(w, g, base, keys + above);
  else
    keys_3(w, g, base, keys + above);
  for (int64_t k = 0; k < g->kernel_h; k++)
    for (int64_t x = 0; x < g->across; x++, count++) {
      tables[count] = AT(const int16_t, w->data) + ((k * g->across + x) << g->bits) * w->made_c;
      rows[count] = keys + k * g->dilation * g->columns + x * g->far;
    }
  if (w->made_c == 8)
    look_up8(acc, w->made_h, w->made_w, tables, rows, ahead, g->hop, count, how);
  else if (w->made_c == 16)
    look_up16(acc, w->made_h, w->made_w, tables, rows, ahead, g->hop, count, how);
  else
    look_up32(acc, w->made_h, w->made_w, tables, rows, ahead, g->hop, count, how);
}
#endif
