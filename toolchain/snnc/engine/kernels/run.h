/* Runs groups of populations over chunks of the batch: all steps of a chunk go through one population after the other
   while their spikes are in the cache. */
#ifndef SNNC_RUN_H
#define SNNC_RUN_H
#include "arrive.h"
#include "events.h"
#include "neurons.h"

/* Lists spikes that are given; nonzero if one of them is none of -1, 0, 1. */
static int list_given(Run *r, int64_t pop) {
  const Port *port = r->ports + pop;
  const Population *p = r->pops + pop;
  Signal *g = r->signals + pop;
  int64_t base = port->forced ? port->forced : port->given;
  int64_t sample = port->forced ? port->forced_sample : port->given_sample;
  int64_t step = port->forced ? port->forced_step : port->given_step;
  int64_t binary = port->binary && !port->forced;
  int bad = 0;
  g->used = 0;
  for (int64_t b = r->begin; b < r->end; b++)
    for (int64_t t = 0; t < g->steps; t++) {
      const int8_t *s = AT(const int8_t, base + b * sample + t * step);
      append(g, (b - r->begin) * g->steps + t, s, p->n, p->ternary && !binary);
      bad |= strange(s, p->n, binary);
    }
  return bad;
}

static int strange_given(const Run *r, int64_t pop) {
  const Port *port = r->ports + pop;
  const Population *p = r->pops + pop;
  for (int64_t b = r->begin; b < r->end; b++)
    for (int64_t t = 0; t < window(r, p); t++)
      if (strange(AT(const int8_t, port->given + b * port->given_sample + t * port->given_step), p->n,
                  port->binary))
        return 1;
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

/* Fetches a share of the next tile's weights in every step, if a chunk reads about all of them: its events name rows in
   an order that no processor foresees. */
static void fetch_ahead(const Run *r, const Population *p, int64_t tile, int64_t share, int64_t shares) {
  for (int64_t k = p->way; k < p->way + p->ways && tile + 1 < p->tiles; k++) {
    const Way *w = r->ways + k;
    if (w->kind == VECTOR || r->signals[w->source].used < w->n_in) continue;
    int64_t bytes = w->n_in * p->tile * (w->kind == DENSE16 ? 2 : 1);
    const int8_t *from = AT(const int8_t, w->data) + (tile + 1) * bytes;
    for (int64_t i = bytes * share / shares / 64 * 64; i < bytes * (share + 1) / shares; i += 64)
      __builtin_prefetch(from + i, 0, 2);
  }
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
        fetch_ahead(r, p, tile, b * steps + t, samples * steps);
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
  int ends = OK;
  for (r.begin = c->begin; r.begin < c->end; r.begin = r.end) {
    int bad = OK; /* the other chunks run, so that an end does not depend on how samples are shared out */
    r.end = r.begin + c->chunk < c->end ? r.begin + c->chunk : c->end;
    for (int64_t i = 0; i < c->populations; i++) /* signals that other executors made */
      if (!r.ports[i].run && r.ports[i].consumed && !r.pops[i].numbers && r.pops[i].kind != CONSTANT) list_given(&r, i);
    for (int64_t k = c->group; k < c->group_end && !bad; k++)
      bad = run_group(&r, members + groups[3 * k], groups[3 * k + 1], groups[3 * k + 2]);
    if (c->counts && !bad) count(&r);
    ends |= bad;
  }
  settle(); /* before another thread reads */
  return ends;
}

static int64_t scratch_of(const Call *c) {
  Run r = {c, AT(const Population, c->pops_at), AT(const Way, c->ways_at), AT(const Port, c->ports), 0, 0, 0, 0, {0, 0},
           0, 0, 0, 0, 0, 0};
  return lay_out(&r, 0);
}
#endif
