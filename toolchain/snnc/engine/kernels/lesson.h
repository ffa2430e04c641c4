/* One sample through everything that is stepped together in a network that learns: populations, and projections whose
   synapses change under way. Numbers are int64, rows are [device steps][n]; random numbers are the host's. */
#ifndef SNNC_LESSON_H
#define SNNC_LESSON_H
#include "learn.h"
#include "neurons.h"

/* What arrives in a step before anything is shifted: a row that is known, and what others sent. */
static const int64_t *arrives(const Lesson *c, const Unit *u, int64_t step) {
  const int64_t *fixed = AT(const int64_t, u->fixed) + step * u->inputs;
  if (!u->feeds && !u->shift) return fixed;
  int64_t *x = AT(int64_t, u->room), n = u->inputs;
  memcpy(x, fixed, (size_t)n * sizeof *x);
  for (int64_t k = u->feed; k < u->feed + u->feeds; k++) {
    const Feed *f = AT(const Feed, c->feeds) + k;
    if (step < f->delay) continue;
    const int64_t *row = AT(const int64_t, f->source) + (step - f->delay) * f->n_in, *where = AT(const int64_t, f->where);
    if (where) {
      for (int64_t i = 0; i < n; i++) x[i] += row[where[i]];
      continue;
    }
    for (int64_t j = 0; j < f->n_in; j++) {
      if (!row[j]) continue;
      const int32_t *w = AT(const int32_t, f->weights) + j * n;
      for (int64_t i = 0; i < n; i++) x[i] += row[j] * w[i];
    }
  }
  for (int64_t i = 0; i < n; i++) x[i] = (int64_t)((uint64_t)x[i] << u->shift);
  return x;
}

INLINE State state_of(const Unit *u) {
  return (State){0, 0, {AT(int64_t, u->u), AT(int64_t, u->v), AT(int64_t, u->hold), 0, 0, 0, AT(int8_t, u->last)}};
}

static int step_cells(const Lesson *c, const Unit *u, int64_t step) {
  const Population *p = AT(const Population, u->population);
  const int64_t *x = arrives(c, u, step);
  State s = state_of(u);
  int64_t *sent = AT(int64_t, u->sent) + step * u->n, part[PIECE];
  int8_t fires[PIECE];
  int bad = OK;
  if (step == p->restart) start(p, &s, 0, 0, u->n);
  for (int64_t i = 0; i < u->n; i += PIECE) {
    int64_t m = u->n - i < PIECE ? u->n - i : PIECE;
    memcpy(part, x + i, (size_t)m * sizeof *part);
    bad |= euler64(p, &s.wide, i, m, part, 0, fires);
    for (int64_t j = 0; j < m; j++) sent[i + j] = fires[j];
  }
  size_t size = (size_t)u->n * sizeof(int64_t);
  if (u->state[0]) memcpy(AT(int64_t, u->state[0]) + step * u->n, s.wide.u, size);
  if (u->state[1]) memcpy(AT(int64_t, u->state[1]) + step * u->n, s.wide.v, size);
  return bad;
}

/* Traces that stand at their end after a learning phase. */
static void count_full(const Unit *u, const Learning *l) {
  int64_t *full = AT(int64_t, u->full);
  for (int64_t k = 0; k < ALL_TRACES; k++) {
    if (!(u->counted >> k & 1)) continue;
    int64_t n = k < X_TRACES ? l->pre : l->post;
    const int16_t *row = k < X_TRACES ? AT(const int16_t, l->x) + k * n : AT(const int16_t, l->y) + (k - X_TRACES) * n;
    for (int64_t i = 0; i < n; i++) full[k] += row[i] >= TRACE_TOP;
  }
}

/* A step of learning, counted from the first one of the sample; the sums go to `sent`. */
static void step_synapses(const Unit *u, const int64_t *pre, int64_t step, int64_t *sent) {
  Learning *l = AT(Learning, u->learning);
  int64_t wide = l->wide;
  memcpy(&l->place, AT(const int64_t, u->rolls) + step * ROLLED, ROLLED * sizeof(int64_t));
  l->what = STEP, l->wide = wide;
  l->given = (int64_t)(intptr_t)pre, l->sent = (int64_t)(intptr_t)sent;
  l->heard = u->post + step * u->n * (int64_t)sizeof(int64_t);
  if (u->third) memcpy(AT(int16_t, l->y), AT(const int16_t, u->third), (size_t)(Y_TRACES * u->n) * sizeof(int16_t));
  l->wide = learn_call(l);
  if (l->ends) count_full(u, l);
}

static void step_projection(const Lesson *c, const Unit *u, int64_t step) {
  Learning *l = AT(Learning, u->learning);
  const int64_t *pre = arrives(c, u, step), *bias = AT(const int64_t, u->bias);
  int64_t *sent = AT(int64_t, u->sent) + step * u->n;
  if (c->late && u->learns && step) {
    step_synapses(u, pre, step - 1, sent);
  } else {
    l->what = SEND, l->given = (int64_t)(intptr_t)pre, l->sent = (int64_t)(intptr_t)sent;
    learn_call(l);
  }
  if (u->up >= 0)
    for (int64_t i = 0; i < u->n; i++) sent[i] = (int64_t)((uint64_t)sent[i] << u->up);
  else
    for (int64_t i = 0; i < u->n; i++) sent[i] >>= -u->up;
  if (bias)
    for (int64_t i = 0; i < u->n; i++) sent[i] += bias[i];
}

/* The end of a step where nothing is late; what the synapses send has been sent. */
static void learn_now(const Unit *u, int64_t step) {
  const int64_t *pre = u->feeds || u->shift ? AT(const int64_t, u->room) : AT(const int64_t, u->fixed) + step * u->inputs;
  step_synapses(u, pre, step, AT(int64_t, u->spare));
}

static int lesson_call(const Lesson *c) {
  const Unit *units = AT(const Unit, c->units_at);
  int bad = OK;
  for (int64_t k = 0; k < c->units; k++) {
    State s = state_of(units + k);
    if (!units[k].learning) start(AT(const Population, units[k].population), &s, 0, 0, units[k].n);
  }
  for (int64_t step = 0; step < c->steps && !bad; step++) {
    for (int64_t k = 0; k < c->units; k++)
      if (units[k].learning)
        step_projection(c, units + k, step);
      else
        bad |= step_cells(c, units + k, step);
    for (int64_t k = 0; k < c->units && !c->late; k++)
      if (units[k].learning && units[k].learns) learn_now(units + k, step);
  }
  return bad;
}
#endif
