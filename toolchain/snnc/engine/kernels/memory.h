/* What one call of the kernels works on, and how its scratch memory is laid out. */
#ifndef SNNC_MEMORY_H
#define SNNC_MEMORY_H
#include "general.h"
#include "lookup.h"

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

/* The same walk measures and hands out; the address sanitizer gets red zones between the pieces. */
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
  void *inhibitory = p->receptors > 1 ? room(a, 8 * n) : 0;
  void *used_exc = p->kind == CLOSED ? room(a, 8 * n) : 0, *used_inh = p->kind == CLOSED ? room(a, 8 * n) : 0;
  if (!r->states) return;
  r->sent[i] = sent;
  r->states[i] = (State){u, v, {u, v, hold, inhibitory, used_exc, used_inh, last}};
}

static void widened(int64_t *to, const int8_t *acc, int64_t bits, int64_t from, int64_t n, int64_t shift) {
  if (bits == 16)
    for (int64_t i = 0; i < n; i++) to[i] = (int64_t)((uint64_t)((const int16_t *)acc)[from + i] << shift);
  else if (bits == 32)
    for (int64_t i = 0; i < n; i++) to[i] = (int64_t)((uint64_t)((const int32_t *)acc)[from + i] << shift);
  else
    for (int64_t i = 0; i < n; i++) to[i] = (int64_t)((uint64_t)((const int64_t *)acc)[from + i] << shift);
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
#endif
