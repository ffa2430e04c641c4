/* What a prepared plan is made of. Every field is 64 bits wide, so that the host fills a table of integers; pointers are
   integers too. snnc/engine/layout.py names the same fields in the same order. */
#ifndef SNNC_TYPES_H
#define SNNC_TYPES_H
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline)) /* a loop that needs all registers */
#else
#define INLINE static inline
#define APART static
#endif

enum { GIVEN, EULER, CLOSED, CONSTANT, SINGLE };                /* kinds of population */
enum { DENSE8, DENSE16, DENSE32, CONV16, SPARSE32, VECTOR, CONV8, TABLE16 }; /* kinds of way */
enum { SATURATE, SYMMETRIC, WRAP, WRAP_ONCE, REFUSE, NOTHING }; /* overflow policies */
enum { TOWARD_ZERO, FLOOR, NEAREST_EVEN };                      /* roundings */
enum { RESET_TO, SUBTRACT, KEEP };                              /* resets */
enum { FREE, LAVA, CLIPPED };                                   /* what may overflow in the fused step */
enum { OK = 0, LEFT_WIDTH = 1, NOT_SPIKES = 2 };                /* how a run ends */
#define RECEPTORS 2
#define PIECE 256 /* neurons that the general step holds at a time */

typedef struct {
  int64_t kind, n, first, extra, latency, restart, ternary, numbers;
  int64_t way, ways;   /* range of the table of ways */
  int64_t tile, tiles; /* width of packed rows, and how many cover n */
  int64_t tiled;       /* tiles outermost: every way is dense */
  int64_t acc;         /* bits of an accumulator: 16, 32 or 64 */
  int64_t receptors, shift;
  int64_t fused, mode, rounding, reset, each; /* fused: steps for which the 32-bit step is proven */
  int64_t frac_u, frac_v, frac_g;
  int64_t ku32, kv32, bias32, fire32, high32, to32, init32; /* int32 arrays; without each, of the first only [0] */
  int64_t register_bits, state_bits, acc_bits, acc_policy, u_policy, v_policy, drive_policy;
  int64_t minimum, maximum, ge, reset_delay, reset_u, refractory, state_frac;
  int64_t ku, kv, bias, high, low, to, init, gain_u, gain, rest;                       /* int64 arrays */
  int64_t step_ku, step_kv, step_bias, step_high, step_low, step_to, step_init, step_gain_u, step_gain, step_rest;
} Population;

typedef struct {
  int64_t kind, source, delay, receptor, n_in, numbers;
  int64_t offset, limit; /* dense: what packing took from each weight; events whose sum fits 16 bits */
  int64_t data, index, start;
  int64_t from; /* VECTOR: first device step */
  int64_t table, delta, frame, chunk, bits, made_h, made_w, made_c, padded_c, stride, origin, fan, channels;
} Way;

typedef struct {
  int64_t run;                              /* compute it; otherwise it is given or not there */
  int64_t given, given_sample, given_step;  /* int8 (or int64 numbers) over the window; strides in bytes */
  int64_t forced, forced_sample, forced_step; /* int8 over logical time */
  int64_t out;                              /* int8 [B, window, n] or 0 */
  int64_t state[3], state_bits;             /* [B, window, n] or 0: u, v or exc, inh, v */
  int64_t extra_x, extra_drive;             /* int64 [B, window, (receptors,) n] or 0 */
  int64_t range;                            /* int64 [receptors][2]: smallest and largest sum, or 0 */
  int64_t consumed;                         /* somebody needs its events */
  int64_t binary;                           /* what is given has to be 0 or 1 */
  int64_t stream;                           /* states are many: they are written past the caches */
} Port;

typedef struct {
  int64_t populations, ways;                         /* numbers of them */
  int64_t pops_at, ways_at, groups, members, ports; /* tables; a group is (start, count, loop) */
  int64_t group, group_end, begin, end, steps, chunk;
  int64_t scratch;
  int64_t counts; /* int64 [ways][2] events and synapses touched, or 0 */
} Call;

/* One step of synapses that learn; see learn.h. Random numbers are the host's. */
typedef struct {
  int64_t dependency, mantissa, shift, left, factor, factors; /* of the table of factors: the first, and how many */
} Product;

typedef struct {
  int64_t variable, constant, sign, low, high;
} Factor;

typedef struct {
  int64_t what, pre, post, epoch, room;                 /* room: numbers between two results, max(pre, post) */
  int64_t w, t, d, x, y, last_pre, last_post;           /* int16 [pre][post], [traces][n], [n] */
  int64_t given, heard, sent;                           /* int64 [pre], [post], [post] */
  int64_t payload, ports, waits, reads, uses;
  int64_t place, early, ends, wide, counted, threshold, face[4];
  int64_t floors, limits, whole[5], part[5], kick[2];   /* int16 and int64 [traces][values] */
  int64_t products, factors, first[3], count[3];
  int64_t low[3], high[3], low_part[3], high_part[3];
  int64_t x_past, y_past;                               /* int16 [epoch + 1][traces][n] */
  int64_t own, gathered, columns, out;                  /* int16 [3][post], [2][post], [3][pre], [3][room] */
  int64_t spiked_mask, fired_mask, fired;               /* int16 [pre], int16 [post], int32 [post] */
} Learning;

/* A way between two that are stepped together; see lesson.h. */
typedef struct {
  int64_t source, delay, n_in; /* int64 [device steps][n_in] */
  int64_t where, weights;      /* int64 [n]: it copies; or int32 [n_in][n] */
} Feed;

/* A population, or a projection that learns. */
typedef struct {
  int64_t n, inputs, fixed, shift;                /* int64 [device steps][inputs] */
  int64_t feed, feeds;                            /* range of the table of feeds */
  int64_t sent, room, spare;                      /* int64 [device steps][n], [inputs], [n] */
  int64_t learning;                               /* of a projection: a table of Learning */
  int64_t learns, rolls, up, bias, third, post;   /* int64 [steps][ROLLED], [n]; int16 [3][n]; int64 [device steps][n] */
  int64_t full, counted;                          /* traces at their end, int64 [5]; bits of those that count */
  int64_t population, u, v, hold, last, state[2]; /* of a population: one row; int64 [n], int8 [n]; [device steps][n] */
} Unit;

typedef struct {
  int64_t units, units_at, feeds, steps, late; /* late: synapses see a step when it is over */
} Lesson;
enum { ROLLED = 10 }; /* fields of Learning that change in every step: from place to the faces */

/* An event list: rows of one population, step by step; plus first, then minus. Where somebody reads bits, the spikes of
   a row are there as bits too, those of each sign apart. */
typedef struct {
  int64_t start;
  uint32_t plus, minus;
} Row;

typedef struct {
  int64_t first, steps; /* device steps that have rows */
  Row *rows;            /* [chunk][steps] */
  uint32_t *index;      /* 0: only bits are read */
  int64_t used;
  uint64_t *bits[2];    /* [chunk][steps][words], 0: nobody reads them */
  int64_t words;
} Signal;

#define AT(type, address) ((type *)(intptr_t)(address))
#endif
