/* Synapses that learn by sums of products: one step, and at the end of an epoch the learning phase. Integers only; random
   numbers and all sizes come from the host. Arrays of synapses are [pre][post]. */
#ifndef SNNC_LEARN_H
#define SNNC_LEARN_H
#include "types.h"

enum { SEND, STEP };                                              /* what is asked for */
enum { PLAIN_SPIKES, OVERWRITE, ADD_SATURATE, ADD_OVERFLOW };     /* payloads */
enum { WAITS_X0 = 1, WAITS_Y0 = 2 };                              /* events that products of dw and dt wait for */
enum { TRACE_LEAST = -128, TRACE_MOST = 255, TRACE_VALUES = TRACE_MOST - TRACE_LEAST + 1, BYTE = 255 };
enum { TRACE_TOP = 127, X_TRACES = 2, Y_TRACES = 3, ALL_TRACES = 5, FRACTION_BITS = 7 };
enum { SUM_LOW = -32769, SUM_HIGH = 32767, LEAST_TAG = -256, LANES = 256 };
enum { CROWD = 4 }; /* rows are the faster way where more than one of so many post-synaptic neurons fired */

/* The same variable of many synapses: a number for each of them, or one for all. */
typedef struct {
  const int16_t *lane;
  int32_t one;
} Read;

typedef struct {
  int64_t n;
  Read depends[3];                /* events x0, y0, u for which a product counts */
  Read event[2];                  /* x0 and y0 as factors */
  Read trace[3][ALL_TRACES];      /* at the time of each event */
  Read synaptic[3];               /* w, d, t */
} Lanes;

INLINE Read all(int32_t number) { return (Read){0, number}; }
INLINE Read each(const int16_t *lane) { return (Read){lane, 0}; }
INLINE int32_t within(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }
INLINE int32_t below(int32_t x, int32_t high) { return x < high ? x : high; }

static Read read_of(const Lanes *lanes, int64_t dependency, int64_t variable) {
  if (variable < 2) return lanes->event[variable];
  if (variable < 2 + ALL_TRACES) return lanes->trace[dependency][variable - 2];
  return lanes->synaptic[variable - 2 - ALL_TRACES];
}

INLINE int32_t factor_of(const Factor *f, int32_t value) {
  value += (int32_t)f->constant;
  if (f->sign) value = (value > 0) - (value < 0);
  return within(value, (int32_t)f->low, (int32_t)f->high);
}

APART void times(uint32_t *restrict part, const int16_t *restrict lane, const Factor *f, int64_t n) {
  int32_t constant = (int32_t)f->constant, low = (int32_t)f->low, high = (int32_t)f->high;
  if (f->sign)
    for (int64_t i = 0; i < n; i++) {
      int32_t value = lane[i] + constant;
      part[i] *= (uint32_t)within((value > 0) - (value < 0), low, high);
    }
  else
    for (int64_t i = 0; i < n; i++) part[i] *= (uint32_t)within(lane[i] + constant, low, high);
}

/* total <- clip(total + clip(part >> shift << left)), the part in 32 bits. */
APART void added(int32_t *restrict total, const uint32_t *restrict part, int64_t shift, int64_t left, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int32_t p = (int32_t)((uint32_t)((int32_t)part[i] >> shift) << left);
    total[i] = within(total[i] + within(p, SUM_LOW, SUM_HIGH), SUM_LOW, SUM_HIGH);
  }
}

/* Registers wrap at 32 bits, so that the order of the factors does not matter: those that all lanes share come first. */
static void product(const Learning *c, const Product *p, const Lanes *lanes, int64_t at, int64_t n, int32_t *total) {
  const Factor *factors = AT(const Factor, c->factors) + p->factor;
  uint32_t part[LANES], one = (uint32_t)p->mantissa;
  Read counts = lanes->depends[p->dependency];
  if (!counts.lane) one *= (uint32_t)counts.one;
  for (int64_t k = 0; k < p->factors; k++) {
    Read r = read_of(lanes, p->dependency, factors[k].variable);
    if (!r.lane) one *= (uint32_t)factor_of(factors + k, r.one);
  }
  for (int64_t i = 0; i < n; i++) part[i] = one;
  if (one) {
    if (counts.lane)
      for (int64_t i = 0; i < n; i++) part[i] = counts.lane[at + i] ? one : 0;
    for (int64_t k = 0; k < p->factors; k++) {
      Read r = read_of(lanes, p->dependency, factors[k].variable);
      if (r.lane) times(part, r.lane + at, factors + k, n);
    }
  }
  added(total, part, p->shift, p->left, n);
}

/* New values of one synaptic variable: 0 the weight, 1 the tag, 2 the delay. */
static void summed(const Learning *c, int64_t which, const Lanes *lanes, const int16_t *value, int16_t *out) {
  const Product *products = AT(const Product, c->products) + c->first[which];
  int32_t low = (int32_t)c->low[which], high = (int32_t)c->high[which], up = TRACE_TOP - (int32_t)c->threshold;
  int32_t low_part = (int32_t)c->low_part[which], high_part = (int32_t)c->high_part[which];
  for (int64_t at = 0; at < lanes->n; at += LANES) {
    int64_t n = lanes->n - at < LANES ? lanes->n - at : LANES;
    int32_t total[LANES];
    for (int64_t i = 0; i < n; i++) total[i] = value[at + i] * (1 << FRACTION_BITS);
    for (int64_t k = 0; k < c->count[which]; k++) product(c, products + k, lanes, at, n, total);
    for (int64_t i = 0; i < n; i++)
      out[at + i] = (int16_t)within((within(total[i], low_part, high_part) + up) >> FRACTION_BITS, low, high);
  }
}

/* All three sums, which read what was there before; the results lie one behind the other. */
static void all_sums(const Learning *c, const Lanes *lanes, int16_t *out) {
  static const int home[3] = {0, 2, 1}; /* where the value of dw, dt and dd stands among w, d, t */
  for (int64_t k = 0; k < 3; k++)
    if (c->count[k]) summed(c, k, lanes, lanes->synaptic[home[k]].lane, out + k * c->room);
}

static int lowest(const int16_t *tags, int64_t n) {
  int16_t least = 0;
  for (int64_t i = 0; i < n; i++) least = tags[i] < least ? tags[i] : least;
  return least < LEAST_TAG;
}

/* A step's decay of every value of a trace, from the least on, and what a spike adds. The host's tables hold negative
   values behind the others. */
static void faces(const Learning *c, int16_t *table, int32_t *rise) {
  const int16_t *floors = AT(const int16_t, c->floors);
  const int64_t *limits = AT(const int64_t, c->limits);
  for (int64_t k = 0; k < ALL_TRACES; k++, floors += TRACE_VALUES, limits += TRACE_VALUES, table += TRACE_VALUES) {
    int64_t side = k < X_TRACES ? 0 : 2, face = c->face[side];
    for (int64_t v = 0; v <= TRACE_MOST; v++) table[v - TRACE_LEAST] = (int16_t)(floors[v] + (face < limits[v]));
    for (int64_t v = TRACE_MOST + 1; v < TRACE_VALUES; v++)
      table[v - TRACE_MOST - 1] = (int16_t)(floors[v] + (face < limits[v]));
    rise[k] = (int32_t)(c->whole[k] + (c->face[side + 1] < c->part[k]));
  }
}

static int silent(const int16_t *start, int64_t n) {
  int16_t any = 0;
  for (int64_t i = 0; i < n; i++) any |= start[i];
  return !any;
}

/* Values of one trace through an epoch; `stride` numbers lie between a step's row and the next one's. */
static void history(int16_t *rows, int64_t stride, const int16_t *start, const int16_t *last, const int16_t *table,
                    int32_t rise, int64_t steps, int64_t n) {
  memcpy(rows, start, (size_t)n * sizeof *rows);
  int quiet = !rise && silent(start, n);
  for (int64_t k = 1; k <= steps; k++) {
    const int16_t *before = rows;
    rows += stride;
    if (quiet)
      memset(rows, 0, (size_t)n * sizeof *rows);
    else
      for (int64_t i = 0; i < n; i++) {
        int32_t kept = table[before[i] - TRACE_LEAST];
        rows[i] = (int16_t)(last[i] == k ? within(kept + rise, 0, TRACE_TOP) : kept);
      }
  }
}

typedef struct {
  const int16_t *x, *y; /* [epoch + 1][traces][n] */
  int64_t fired;        /* post-synaptic neurons that did */
} Past;

INLINE const int16_t *x_row(const Learning *c, const Past *past, int64_t step, int64_t k) {
  return past->x + (step * X_TRACES + k) * c->pre;
}
INLINE const int16_t *y_row(const Learning *c, const Past *past, int64_t step, int64_t k) {
  return past->y + (step * Y_TRACES + k) * c->post;
}

/* All synapses of one pre-synaptic neuron. */
static int one_row(const Learning *c, const Past *past, int64_t j) {
  const int16_t *last_post = AT(const int16_t, c->last_post);
  const int32_t *fired = AT(const int32_t, c->fired);
  int16_t *gathered = AT(int16_t, c->gathered), *own = AT(int16_t, c->own), *out = AT(int16_t, c->out);
  int64_t last = AT(const int16_t, c->last_pre)[j];
  Lanes lanes = {.n = c->post};
  lanes.depends[0] = lanes.event[0] = all(last > 0);
  lanes.depends[1] = lanes.event[1] = past->fired ? each(AT(const int16_t, c->fired_mask)) : all(0);
  lanes.depends[2] = all((int32_t)c->counted);
  for (int64_t k = 0; k < X_TRACES; k++) {
    lanes.trace[0][k] = all(x_row(c, past, last, k)[j]);
    lanes.trace[1][k] = each(gathered + k * c->post);
    lanes.trace[2][k] = all(x_row(c, past, c->epoch, k)[j]);
    if (c->reads & (1 << k))
      for (int64_t f = 0; f < past->fired; f++)
        gathered[k * c->post + fired[f]] = x_row(c, past, last_post[fired[f]], k)[j];
  }
  for (int64_t k = 0; k < Y_TRACES; k++) {
    lanes.trace[0][X_TRACES + k] = each(y_row(c, past, last, k));
    lanes.trace[1][X_TRACES + k] = each(own + k * c->post);
    lanes.trace[2][X_TRACES + k] = each(y_row(c, past, c->epoch, k));
  }
  int16_t *home[3] = {AT(int16_t, c->w) + j * c->post, AT(int16_t, c->t) + j * c->post, AT(int16_t, c->d) + j * c->post};
  lanes.synaptic[0] = each(home[0]);
  lanes.synaptic[1] = each(home[2]);
  lanes.synaptic[2] = each(home[1]);
  all_sums(c, &lanes, out);
  for (int64_t k = 0; k < 3; k++)
    if (c->count[k]) memcpy(home[k], out + k * c->room, (size_t)c->post * sizeof *out);
  return c->count[1] && lowest(out + c->room, c->post);
}

/* All synapses of one post-synaptic neuron that fired, those aside that a row has changed already. Products that wait
   for x0 count for none of the others. */
static int one_column(const Learning *c, const Past *past, int64_t i) {
  const int16_t *spiked = AT(const int16_t, c->spiked_mask), *own = AT(const int16_t, c->own);
  int16_t *columns = AT(int16_t, c->columns), *out = AT(int16_t, c->out);
  int16_t *home[3] = {AT(int16_t, c->w) + i, AT(int16_t, c->t) + i, AT(int16_t, c->d) + i};
  static const int place[3] = {0, 2, 1};
  int64_t last = AT(const int16_t, c->last_post)[i];
  int rest = (c->waits & WAITS_X0) != 0, wide = 0;
  Lanes lanes = {.n = c->pre};
  lanes.depends[1] = lanes.event[1] = all(1);
  lanes.event[0] = each(spiked);
  for (int64_t k = 0; k < X_TRACES; k++) lanes.trace[1][k] = each(x_row(c, past, last, k));
  for (int64_t k = 0; k < Y_TRACES; k++) lanes.trace[1][X_TRACES + k] = all(own[k * c->post + i]);
  for (int64_t k = 0; k < 3; k++) {
    if (c->uses & (1 << k))
      for (int64_t j = 0; j < c->pre; j++) columns[k * c->pre + j] = home[k][j * c->post];
    lanes.synaptic[place[k]] = each(columns + k * c->pre);
  }
  all_sums(c, &lanes, out);
  for (int64_t k = 0; k < 2; k++)
    if (c->count[k])
      for (int64_t j = 0; j < c->pre; j++)
        if (!(rest && spiked[j])) {
          home[k][j * c->post] = out[k * c->room + j];
          wide |= k == 1 && out[k * c->room + j] < LEAST_TAG;
        }
  return wide;
}

/* Which neurons spiked in the epoch, and the post-synaptic traces in the step of their last spike. */
static int64_t marked(const Learning *c, const int16_t *y) {
  const int16_t *last_pre = AT(const int16_t, c->last_pre), *last_post = AT(const int16_t, c->last_post);
  int16_t *spiked = AT(int16_t, c->spiked_mask), *mask = AT(int16_t, c->fired_mask), *own = AT(int16_t, c->own);
  int32_t *fired = AT(int32_t, c->fired);
  int64_t count = 0;
  for (int64_t j = 0; j < c->pre; j++) spiked[j] = last_pre[j] > 0;
  for (int64_t i = 0; i < c->post; i++) {
    mask[i] = last_post[i] > 0;
    if (mask[i]) fired[count++] = (int32_t)i;
    for (int64_t k = 0; k < Y_TRACES; k++) own[k * c->post + i] = y[(last_post[i] * Y_TRACES + k) * c->post + i];
  }
  memset(AT(int16_t, c->gathered), 0, (size_t)(X_TRACES * c->post) * sizeof *own);
  return count;
}

static int learned(const Learning *c) {
  int16_t table[ALL_TRACES * TRACE_VALUES], *x = AT(int16_t, c->x_past), *y = AT(int16_t, c->y_past);
  int16_t *last_pre = AT(int16_t, c->last_pre), *last_post = AT(int16_t, c->last_post);
  int32_t rise[ALL_TRACES];
  int wide = 0;
  faces(c, table, rise);
  for (int64_t k = 0; k < X_TRACES; k++)
    history(x + k * c->pre, X_TRACES * c->pre, AT(int16_t, c->x) + k * c->pre, last_pre, table + k * TRACE_VALUES,
            rise[k], c->epoch, c->pre);
  for (int64_t k = 0, t = X_TRACES; k < Y_TRACES; k++, t++)
    history(y + k * c->post, Y_TRACES * c->post, AT(int16_t, c->y) + k * c->post, last_post, table + t * TRACE_VALUES,
            rise[t], c->epoch, c->post);
  Past past = {x, y, marked(c, y)};
  int by_post = (c->waits & WAITS_Y0) && past.fired;
  int every = c->wide || c->counted || c->count[2] || (by_post && past.fired * CROWD > c->post);
  for (int64_t j = 0; j < c->pre; j++)
    if (every || ((c->waits & WAITS_X0) && last_pre[j])) wide |= one_row(c, &past, j);
  if (!every && by_post)
    for (int64_t f = 0; f < past.fired; f++) wide |= one_column(c, &past, AT(const int32_t, c->fired)[f]);
  memcpy(AT(int16_t, c->x), x_row(c, &past, c->epoch, 0), (size_t)(X_TRACES * c->pre) * sizeof *x);
  if (!c->ports) memcpy(AT(int16_t, c->y), y_row(c, &past, c->epoch, 0), (size_t)(Y_TRACES * c->post) * sizeof *y);
  memset(last_pre, 0, (size_t)c->pre * sizeof *last_pre);
  memset(last_post, 0, (size_t)c->post * sizeof *last_post);
  return wide;
}

/* What the neurons receive by the weights of now. */
static void sent_by(const Learning *c) {
  const int64_t *restrict pre = AT(const int64_t, c->given);
  int64_t *restrict sent = AT(int64_t, c->sent);
  memset(sent, 0, (size_t)c->post * sizeof *sent);
  for (int64_t j = 0; j < c->pre; j++) {
    if (!pre[j]) continue;
    const int16_t *restrict row = AT(const int16_t, c->w) + j * c->post;
    if (pre[j] == 1)
      for (int64_t i = 0; i < c->post; i++) sent[i] += row[i];
    else
      for (int64_t i = 0; i < c->post; i++)
        sent[i] = (int64_t)((uint64_t)sent[i] + (uint64_t)pre[j] * (uint64_t)(int64_t)row[i]);
  }
}

/* What the value of a graded spike does to x1; true if the spike is an event. Half of it, rounded to even. */
static int loaded(int64_t payload, int64_t value, int16_t *x1) {
  int64_t half = value >> 1;
  half = (half + (value & half & 1)) & BYTE;
  if (payload == OVERWRITE) {
    if (value) *x1 = (int16_t)half;
    return value != 0;
  }
  int64_t total = (*x1 + half) & BYTE;
  int passed = total > TRACE_TOP;
  if (payload == ADD_SATURATE) {
    *x1 = (int16_t)(passed ? TRACE_TOP : total);
    return value != 0;
  }
  *x1 = (int16_t)(passed ? total - TRACE_TOP : total);
  return passed && value != 0;
}

/* A neuron's second spike in an epoch adds its impulse at once. */
static void arrived(const Learning *c) {
  const int64_t *pre = AT(const int64_t, c->given);
  int16_t *x = AT(int16_t, c->x), *last = AT(int16_t, c->last_pre);
  int graded = c->payload != PLAIN_SPIKES;
  for (int64_t j = 0; j < c->pre; j++) {
    if (!(graded ? loaded(c->payload, pre[j], x + j) : pre[j] != 0)) continue;
    if (last[j])
      for (int64_t k = graded; k < X_TRACES; k++)
        x[k * c->pre + j] = (int16_t)below(x[k * c->pre + j] + (int32_t)c->kick[k], TRACE_TOP);
    last[j] = (int16_t)c->place;
  }
}

static void heard(const Learning *c) {
  const int64_t *post = AT(const int64_t, c->heard);
  int16_t *y = AT(int16_t, c->y), *last = AT(int16_t, c->last_post);
  for (int64_t i = 0; i < c->post; i++) {
    if (!post[i]) continue;
    if (last[i] && !c->ports)
      for (int64_t k = 0; k < Y_TRACES; k++) {
        int32_t rise = (int32_t)(c->whole[X_TRACES + k] + (c->early < c->part[X_TRACES + k]));
        y[k * c->post + i] = (int16_t)within(y[k * c->post + i] + rise, 0, TRACE_TOP);
      }
    last[i] = (int16_t)c->place;
  }
}

/* Returns whether some tag lies where even silence changes it. */
static int learn_call(const Learning *c) {
  sent_by(c);
  if (c->what == SEND) return (int)c->wide;
  arrived(c);
  heard(c);
  return c->ends ? learned(c) : (int)c->wide;
}
#endif
