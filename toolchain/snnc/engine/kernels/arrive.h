/* Adds what arrives at a population in one step to its accumulators, by the kind of each way. */
#ifndef SNNC_ARRIVE_H
#define SNNC_ARRIVE_H
#include "memory.h"
#include "scatter.h"

INLINE const Row *arriving(const Run *r, const Way *w, int64_t sample, int64_t step) {
  static const Row none = {0, 0, 0};
  const Signal *g = r->signals + w->source;
  int64_t t = step - w->delay - g->first;
  return t >= 0 && t < g->steps ? g->rows + sample * g->steps + t : &none;
}

static void add16(void *acc, int64_t bits, const int16_t *x, int64_t n) {
  if (bits == 32)
    add16_32(acc, x, n);
  else
    add16_64(acc, x, n);
}

static void dense_piece(const Run *r, const Way *w, const uint32_t *index, int64_t n, int64_t tile, int64_t width,
                        int8_t *acc, int64_t bits, int minus) {
  const int8_t *data = AT(const int8_t, w->data) + tile * w->n_in * width * (w->kind == DENSE16 ? 2 : 1);
  if (w->kind == DENSE16) {
    if (bits == 32) {
      rows16(data, 2 * width, index, n, (int32_t *)acc, w->offset, minus);
      return;
    }
    for (int64_t e = 0; e < n; e += w->limit) {
      int64_t m = n - e < w->limit ? n - e : w->limit;
      memset(r->part, 0, sizeof(int32_t) * (size_t)width);
      rows16(data, 2 * width, index + e, m, (int32_t *)r->part, w->offset, minus);
      add32_64((int64_t *)acc, (const int32_t *)r->part, width);
    }
    return;
  }
  if (bits == 16) {
    rows8(data, width, width, index, n, (int16_t *)acc, w->offset, minus);
    return;
  }
  for (int64_t e = 0; e < n; e += w->limit) {
    int64_t m = n - e < w->limit ? n - e : w->limit;
    memset(r->part, 0, sizeof(int16_t) * (size_t)width);
    rows8(data, width, width, index + e, m, (int16_t *)r->part, w->offset, minus);
    add16(acc, bits, (const int16_t *)r->part, width);
  }
}

static void add_dense(const Run *r, const Way *w, const Row *row, int64_t tile, int64_t width, int8_t *acc,
                      int64_t bits) {
  const uint32_t *index = r->signals[w->source].index + row->start;
  if (row->plus) dense_piece(r, w, index, row->plus, tile, width, acc, bits, 0);
  if (row->minus) dense_piece(r, w, index + row->plus, row->minus, tile, width, acc, bits, 1);
}

static void add_vector(const Way *w, int64_t step, int64_t from, int64_t n, int8_t *acc, int64_t bits) {
  if (step < w->from) return;
  const int32_t *x = AT(const int32_t, w->data) + from;
  if (bits == 16)
    add32_16((int16_t *)acc, x, n);
  else if (bits == 32)
    add32_32((int32_t *)acc, x, n);
  else
    add32_64((int64_t *)acc, x, n);
}

static void add_numbers(const Run *r, const Population *p, const Way *w, int64_t sample, int64_t step, int8_t *acc) {
  const Port *port = r->ports + w->source;
  const Population *source = r->pops + w->source;
  int64_t t = step - w->delay - source->first;
  if (t < 0 || t >= window(r, source)) return;
  int64_t at = (r->begin + sample) * port->given_sample + t * port->given_step;
  numbers(w, AT(const int64_t, port->given + at), (int64_t *)acc, p->n);
}

/* Whether the first way writes all sums of a receptor; padding stays what it was. */
INLINE int written_first(const Run *r, const Population *p, int64_t receptor, int64_t sample, int64_t step) {
  const Way *w = r->ways + p->way;
  return p->ways && w->kind == TABLE16 && w->receptor == receptor && arriving(r, w, sample, step)->plus;
}

/* Adds everything that arrives at a population in one step to whole accumulators. */
static void add_ways(const Run *r, const Population *p, int64_t sample, int64_t step) {
  size_t width = (size_t)(p->acc / 8);
  for (int64_t k = 0; k < p->receptors; k++)
    if (!written_first(r, p, k, sample, step)) memset(r->acc[k], 0, width * (size_t)padded(p));
  for (int64_t k = p->way; k < p->way + p->ways; k++) {
    const Way *w = r->ways + k;
    int8_t *acc = r->acc[w->receptor];
    if (w->kind == VECTOR) {
      add_vector(w, step, 0, p->n, acc, p->acc);
      continue;
    }
    if (w->numbers) {
      add_numbers(r, p, w, sample, step, acc);
      continue;
    }
    const Row *row = arriving(r, w, sample, step);
    if (!(row->plus | row->minus)) continue;
    const Signal *g = r->signals + w->source;
    const uint32_t *index = g->index ? g->index + row->start : 0;
    if (w->kind == DENSE8 || w->kind == DENSE16) {
      for (int64_t j = 0; j < p->tiles; j++)
        add_dense(r, w, row, j, p->tile, acc + (int64_t)width * j * p->tile, p->acc);
    } else if (w->kind == CONV16) {
      taps(w, index, row->plus, r->frames[k], 0);
      if (row->minus) taps(w, index + row->plus, row->minus, r->frames[k], 1);
      take(w, r->frames[k], acc, p->acc);
    } else if (w->kind == CONV8) {
      gather(w, index, row->plus, r->frames[k], 0);
      if (row->minus) gather(w, index + row->plus, row->minus, r->frames[k], 1);
      take(w, r->frames[k], acc, p->acc);
    } else if (w->kind == TABLE16) {
      int64_t at = (row - g->rows) * g->words + 1;
      int how = k == p->way && row->plus ? WRITTEN : ADDED;
      if (row->plus) look_up(w, g->bits[0] + at, r->keys, (int16_t *)acc, how);
      if (row->minus) look_up(w, g->bits[1] + at, r->keys, (int16_t *)acc, SUBTRACTED);
    } else {
      wide(w, index, row->plus, acc, p->acc, p->n, 1);
      if (row->minus) wide(w, index + row->plus, row->minus, acc, p->acc, p->n, -1);
    }
  }
}
#endif
