/* Runs groups of populations over chunks of the batch: all steps of a chunk go through one population after the other
   while their spikes are in the cache. */
#ifndef SNNC_RUN_H
#define SNNC_RUN_H
#include "events.h"
#include "quick.h"
#include "general.h"
#include "lookup.h"
#include "rows.h"
#include "scatter.h"

typedef struct {
  int32_t *u, *v;
  State64 wide;
} State;

typedef struct {
  const Call *call;
  const Population *pops;
  const Way *ways;
  const Port *ports;
  Signal *signals; /* per population */
  State *states;
  void **frames;        /* per way, zero between steps */
  int8_t **sent;        /* per population: spikes of a chunk, or of one step */
  int8_t *acc[RECEPTORS];
  int8_t *part;         /* sums of one tile in another width */
  int8_t *fires;        /* spikes of one step with room behind */
  uint16_t *fired;      /* spikes of one step as bits */
  uint32_t *keys;       /* of one step of one way that looks up */
  int64_t begin, end;   /* samples of this chunk */
} Run;

/* ---- memory: the same walk measures and hands out; the address sanitizer gets red zones between the pieces */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define RED 256
#else
#define RED 0
#endif
typedef struct {
  int8_t *base;
  int64_t used;
} Arena;

#define SLACK 64 /* vectors may be read, and events be written, past an end */
static void *room(Arena *a, int64_t bytes) {
  int8_t *p = a->base ? a->base + a->used : 0;
  int64_t size = (bytes + 63) / 64 * 64 + SLACK;
  a->used += size + RED;
#if defined(__SANITIZE_ADDRESS__)
  if (p) {
    __asan_unpoison_memory_region(p, (size_t)size);
    __asan_poison_memory_region(p + size, RED);
  }
#endif
  return p;
}

INLINE int64_t window(const Run *r, const Population *p) { return r->call->steps + p->extra; }
INLINE int64_t padded(const Population *p) {
  int64_t n = (p->n + 63) / 64 * 64, m = p->tiles * p->tile;
  return n > m ? n : m;
}

/* Whether somebody reads a population's spikes as bits; as a list. */
static int read_as(const Call *c, int64_t i, int bits) {
  const Way *w = AT(const Way, c->ways_at);
  if (!bits && c->counts) return 1;
  for (int64_t k = 0; k < c->ways; k++)
    if (w[k].source == i && (w[k].kind == TABLE16) == bits) return 1;
  return 0;
}

static void lay_signal(Run *r, Arena *a, int64_t i, int64_t rows, Signal *g) {
  const Population *p = r->pops + i;
  int64_t words = (p->n + 63) / 64 + 3, size = rows * words * (int64_t)sizeof(uint64_t);
  int bits = read_as(r->call, i, 1);
  void *row = room(a, rows * (int64_t)sizeof(Row));
  void *index = read_as(r->call, i, 0) ? room(a, (rows * p->n + 64) * (int64_t)sizeof(uint32_t)) : 0;
  void *plus = bits ? room(a, size) : 0, *minus = bits && p->ternary ? room(a, size) : 0;
  if (g) *g = (Signal){0, 0, row, index, 0, {plus, minus}, words};
}

static void lay_population(Run *r, Arena *a, int64_t i, int64_t chunk) {
  const Population *p = r->pops + i;
  const Port *port = r->ports + i;
  Signal *g = r->signals ? r->signals + i : 0;
  int64_t steps = port->forced ? r->call->steps : window(r, p);
  if (port->consumed && !p->numbers && p->kind != CONSTANT) {
    lay_signal(r, a, i, chunk * steps, g);
    if (g) g->first = port->forced ? p->latency : p->first, g->steps = steps;
  }
  if (!port->run || p->kind == GIVEN || p->kind == CONSTANT) return;
  int64_t n = padded(p);
  void *sent = port->out ? 0 : room(a, p->tiled ? chunk * steps * p->n : n);
  void *u = room(a, 8 * n), *v = room(a, 8 * n), *hold = room(a, 8 * n), *last = room(a, n);
  void *inhibitory = p->kind == CLOSED ? room(a, 8 * n) : 0;
  void *used_exc = p->kind == CLOSED ? room(a, 8 * n) : 0, *used_inh = p->kind == CLOSED ? room(a, 8 * n) : 0;
  if (!r->states) return;
  r->sent[i] = sent;
  r->states[i] = (State){u, v, {u, v, hold, inhibitory, used_exc, used_inh, last}};
}

static int64_t lay_out(Run *r, int8_t *base) {
  const Call *c = r->call;
  Arena a = {base, 0};
  int64_t widest = 64, chunk = c->chunk, keys = 0;
  r->signals = room(&a, (int64_t)sizeof(Signal) * c->populations);
  r->states = room(&a, (int64_t)sizeof(State) * c->populations);
  r->sent = room(&a, (int64_t)sizeof(int8_t *) * c->populations);
  r->frames = room(&a, (int64_t)sizeof(void *) * c->ways);
  for (int64_t i = 0; i < c->populations; i++) {
    lay_population(r, &a, i, chunk);
    if (r->ports[i].run && padded(r->pops + i) > widest) widest = padded(r->pops + i);
  }
  for (int64_t i = 0; i < c->populations; i++)
    for (int64_t k = r->pops[i].way; k < r->pops[i].way + r->pops[i].ways; k++) {
      if (r->ways[k].kind == TABLE16 && keys_of(r->ways + k) > keys) keys = keys_of(r->ways + k);
      int64_t conv = r->ways[k].kind == CONV16 || r->ways[k].kind == CONV8;
      int64_t bytes = conv && r->ports[i].run ? r->ways[k].frame * r->ways[k].bits / 8 : 0;
      void *frame = bytes ? room(&a, bytes) : 0;
      if (!base) continue;
      r->frames[k] = frame;
      if (bytes) memset(frame, 0, (size_t)bytes);
    }
  for (int k = 0; k < RECEPTORS; k++) r->acc[k] = room(&a, 8 * widest);
  r->part = room(&a, 8 * widest);
  r->fires = room(&a, widest);
  r->fired = room(&a, widest / 8);
  r->keys = room(&a, keys * (int64_t)sizeof(uint32_t));
  return a.used;
}

/* ---- states */
static void start(const Population *p, const State *s, int fused, int64_t from, int64_t n) {
  if (fused) {
    const int32_t *init = AT(const int32_t, p->init32);
    memset(s->u + from, 0, sizeof(int32_t) * (size_t)n);
    for (int64_t i = 0; i < n; i++) s->v[from + i] = init[p->each ? from + i : 0];
    return;
  }
  const int64_t *init = AT(const int64_t, p->init);
  const State64 *w = &s->wide;
  for (int64_t i = from; i < from + n; i++) w->u[i] = w->hold[i] = w->last[i] = 0, w->v[i] = init[i * p->step_init];
  if (p->kind == CLOSED)
    for (int64_t i = from; i < from + n; i++) w->inhibitory[i] = w->used_exc[i] = w->used_inh[i] = 0;
}

static void record(const Port *port, int64_t at, const void *state, int k, int fused, int64_t n) {
  if (!port->state[k]) return;
  if (fused) {
    memcpy(AT(int32_t, port->state[k]) + at, state, sizeof(int32_t) * (size_t)n);
  } else if (port->state_bits == 64) {
    memcpy(AT(int64_t, port->state[k]) + at, state, sizeof(int64_t) * (size_t)n);
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

static void widened(int64_t *to, const int8_t *acc, int64_t bits, int64_t from, int64_t n, int64_t shift) {
  if (bits == 16)
    for (int64_t i = 0; i < n; i++) to[i] = (int64_t)((uint64_t)((const int16_t *)acc)[from + i] << shift);
  else if (bits == 32)
    for (int64_t i = 0; i < n; i++) to[i] = (int64_t)((uint64_t)((const int32_t *)acc)[from + i] << shift);
  else
    for (int64_t i = 0; i < n; i++) to[i] = (int64_t)((uint64_t)((const int64_t *)acc)[from + i] << shift);
}

/* ---- neurons from..from+n of one sample and step; acc points at the first of them */
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

/* ---- what arrives */
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

/* Adds everything that arrives at a population in one step to whole accumulators. */
static void add_ways(const Run *r, const Population *p, int64_t sample, int64_t step) {
  size_t width = (size_t)(p->acc / 8);
  for (int64_t k = 0; k < p->receptors; k++) memset(r->acc[k], 0, width * (size_t)padded(p));
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
      if (row->plus) look_up(w, g->bits[0] + at, r->keys, (int16_t *)acc, 0);
      if (row->minus) look_up(w, g->bits[1] + at, r->keys, (int16_t *)acc, 1);
    } else {
      wide(w, index, row->plus, acc, p->acc, p->n, 1);
      if (row->minus) wide(w, index + row->plus, row->minus, acc, p->acc, p->n, -1);
    }
  }
}

/* ---- populations */
/* Lists spikes that are given; nonzero if one of them is none of -1, 0, 1. */
static int list_given(Run *r, int64_t pop) {
  const Port *port = r->ports + pop;
  const Population *p = r->pops + pop;
  Signal *g = r->signals + pop;
  int64_t base = port->forced ? port->forced : port->given;
  int64_t sample = port->forced ? port->forced_sample : port->given_sample;
  int64_t step = port->forced ? port->forced_step : port->given_step;
  int bad = 0;
  g->used = 0;
  for (int64_t b = r->begin; b < r->end; b++)
    for (int64_t t = 0; t < g->steps; t++) {
      const int8_t *s = AT(const int8_t, base + b * sample + t * step);
      append(g, (b - r->begin) * g->steps + t, s, p->n, p->ternary);
      bad |= strange(s, p->n);
    }
  return bad;
}

static int strange_given(const Run *r, int64_t pop) {
  const Port *port = r->ports + pop;
  const Population *p = r->pops + pop;
  for (int64_t b = r->begin; b < r->end; b++)
    for (int64_t t = 0; t < window(r, p); t++)
      if (strange(AT(const int8_t, port->given + b * port->given_sample + t * port->given_step), p->n)) return 1;
  return 0;
}

/* One step of a population that is not tiled; its events are listed at once. */
static int frame_step(Run *r, int64_t pop, int64_t sample, int64_t step, int fused) {
  const Population *p = r->pops + pop;
  const Port *port = r->ports + pop;
  int64_t t = step - p->first, steps = window(r, p), n = p->n;
  int64_t at = ((r->begin + sample) * steps + t) * n;
  int8_t *to = port->out ? AT(int8_t, port->out) + at : r->sent[pop];
  int8_t *fires = n % 16 ? r->fires : to;
  if (step == p->restart) start(p, r->states + pop, fused, 0, padded(p));
  add_ways(r, p, sample, step);
  int quick, bad = step_neurons(r, pop, r->acc, p->acc, fused, 0, n, at, fires, &quick);
  if (fires != to) memcpy(to, fires, (size_t)n);
  if (!port->consumed || port->forced) return bad;
  if (quick)
    append_bits(r->signals + pop, sample * steps + t, r->fired, n);
  else
    append(r->signals + pop, sample * steps + t, to, n, p->ternary);
  return bad;
}

INLINE int is_fused(const Run *r, int64_t pop) {
  const Population *p = r->pops + pop;
  const Port *port = r->ports + pop;
  return p->kind == EULER && window(r, p) <= p->fused && !port->extra_x && !port->extra_drive;
}

/* Populations that are stepped together. */
static int run_together(Run *r, const int64_t *members, int64_t count) {
  int64_t first = INT64_MAX, last = 0;
  int bad = OK;
  for (int64_t k = 0; k < count; k++) {
    const Population *p = r->pops + members[k];
    if (p->first < first) first = p->first;
    if (p->first + window(r, p) > last) last = p->first + window(r, p);
    if (!r->ports[members[k]].forced) r->signals[members[k]].used = 0;
  }
  for (int64_t b = 0; b < r->end - r->begin; b++) {
    for (int64_t k = 0; k < count; k++)
      start(r->pops + members[k], r->states + members[k], is_fused(r, members[k]), 0, padded(r->pops + members[k]));
    for (int64_t step = first; step < last; step++)
      for (int64_t k = 0; k < count; k++) {
        const Population *p = r->pops + members[k];
        if (step >= p->first && step < p->first + window(r, p))
          bad |= frame_step(r, members[k], b, step, is_fused(r, members[k]));
      }
  }
  return bad;
}

/* Sums of one tile in one step; 16 bits wide if the number of events proves that they fit. */
static int64_t add_tile(const Run *r, const Population *p, int64_t sample, int64_t step, int64_t tile) {
  int64_t bits = p->acc, events = 0, room = INT64_MAX, from = tile * p->tile;
  const Row *rows[8];
  for (int64_t k = 0; k < p->ways && k < 8; k++) {
    const Way *w = r->ways + p->way + k;
    int64_t limit = w->kind == DENSE8 ? w->limit : w->kind == VECTOR ? -1 : 0; /* a vector is there without events */
    if (limit < room) room = limit;
    if (w->kind == VECTOR) continue;
    rows[k] = arriving(r, w, sample, step);
    events += rows[k]->plus + rows[k]->minus;
  }
  if (bits == 32 && p->ways <= 8 && events <= room) bits = 16;
  for (int64_t k = 0; k < p->receptors; k++) memset(r->acc[k], 0, (size_t)(bits / 8 * p->tile));
  for (int64_t k = 0; k < p->ways; k++) {
    const Way *w = r->ways + p->way + k;
    if (w->kind == VECTOR)
      add_vector(w, step, from, p->n - from < p->tile ? p->n - from : p->tile, r->acc[w->receptor], bits);
    else
      add_dense(r, w, k < 8 ? rows[k] : arriving(r, w, sample, step), tile, p->tile, r->acc[w->receptor], bits);
  }
  return bits;
}

/* A population with dense input only: a tile of its weights stays in the cache while the whole chunk passes. */
static int run_tiled(Run *r, int64_t pop) {
  const Population *p = r->pops + pop;
  const Port *port = r->ports + pop;
  const State *s = r->states + pop;
  int64_t steps = window(r, p), samples = r->end - r->begin;
  int8_t *out = port->out ? AT(int8_t, port->out) + r->begin * steps * p->n : r->sent[pop];
  int fused = is_fused(r, pop), bad = OK, quick;
  for (int64_t tile = 0; tile < p->tiles; tile++) {
    int64_t from = tile * p->tile, n = p->n - from < p->tile ? p->n - from : p->tile;
    for (int64_t b = 0; b < samples; b++) {
      start(p, s, fused, from, p->tile);
      for (int64_t t = 0; t < steps; t++) {
        int8_t *to = out + (b * steps + t) * p->n + from, *fires = n % 16 ? r->fires : to;
        if (p->first + t == p->restart) start(p, s, fused, from, p->tile);
        int64_t bits = add_tile(r, p, b, p->first + t, tile);
        bad |= step_neurons(r, pop, r->acc, bits, fused, from, n, ((r->begin + b) * steps + t) * p->n, fires, &quick);
        if (fires != to) memcpy(to, fires, (size_t)n);
      }
    }
  }
  if (!port->consumed || port->forced) return bad;
  Signal *g = r->signals + pop;
  g->used = 0;
  for (int64_t row = 0; row < samples * steps; row++) append(g, row, out + row * p->n, p->n, p->ternary);
  return bad;
}

static int run_group(Run *r, const int64_t *members, int64_t count, int64_t loop) {
  for (int64_t k = 0; k < count; k++)
    if (r->ports[members[k]].forced && r->ports[members[k]].consumed) list_given(r, members[k]);
  const Population *p = r->pops + members[0];
  if (p->kind == CONSTANT || !r->ports[members[0]].run) return OK;
  if (p->kind != GIVEN) return !loop && p->tiled ? run_tiled(r, members[0]) : run_together(r, members, count);
  if (p->numbers) return OK;
  int listed = r->ports[members[0]].consumed && !r->ports[members[0]].forced;
  return (listed ? list_given(r, members[0]) : strange_given(r, members[0])) ? NOT_SPIKES : OK;
}

static void count(const Run *r) {
  int64_t *counts = AT(int64_t, r->call->counts);
  for (int64_t i = 0; i < r->call->populations; i++) {
    const Population *p = r->pops + i;
    if (!r->ports[i].run) continue;
    for (int64_t k = p->way; k < p->way + p->ways; k++) {
      const Way *w = r->ways + k;
      if (w->kind == VECTOR || w->numbers) continue;
      const Signal *g = r->signals + w->source;
      int64_t last = p->first + window(r, p) - w->delay - g->first;
      for (int64_t b = 0; b < r->end - r->begin; b++)
        for (int64_t t = p->first - w->delay - g->first > 0 ? p->first - w->delay - g->first : 0;
             t < g->steps && t < last; t++) {
          const Row *row = g->rows + b * g->steps + t;
          int64_t n = row->plus + (int64_t)row->minus;
          counts[2 * k] += n;
          if (w->fan)
            for (int64_t e = 0; e < n; e++) counts[2 * k + 1] += AT(const int32_t, w->fan)[g->index[row->start + e]];
          else
            counts[2 * k + 1] += n * p->n;
        }
    }
  }
}

static Run run_of(const Call *c, int8_t *base) {
  Run r = {c, AT(const Population, c->pops_at), AT(const Way, c->ways_at), AT(const Port, c->ports), 0, 0, 0, 0, {0, 0},
           0, 0, 0, 0, 0, 0};
  lay_out(&r, base);
  return r;
}

static int run_call(const Call *c) {
  Run r = run_of(c, AT(int8_t, c->scratch));
  const int64_t *groups = AT(const int64_t, c->groups), *members = AT(const int64_t, c->members);
  for (r.begin = c->begin; r.begin < c->end; r.begin = r.end) {
    r.end = r.begin + c->chunk < c->end ? r.begin + c->chunk : c->end;
    for (int64_t i = 0; i < c->populations; i++) /* signals that other executors made */
      if (!r.ports[i].run && r.ports[i].consumed && !r.pops[i].numbers && r.pops[i].kind != CONSTANT) list_given(&r, i);
    for (int64_t k = c->group; k < c->group_end; k++) {
      int bad = run_group(&r, members + groups[3 * k], groups[3 * k + 1], groups[3 * k + 2]);
      if (bad) return bad;
    }
    if (c->counts) count(&r);
  }
  return OK;
}

static int64_t scratch_of(const Call *c) {
  Run r = {c, AT(const Population, c->pops_at), AT(const Way, c->ways_at), AT(const Port, c->ports), 0, 0, 0, 0, {0, 0},
           0, 0, 0, 0, 0, 0};
  return lay_out(&r, 0);
}
#endif
