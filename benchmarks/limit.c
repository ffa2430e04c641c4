/* What this machine can do at best: rows of int8 weights added into int16 registers, and one neuron update. */
#include <stdint.h>
#include <string.h>
#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512BW__)
typedef __m512i vec;
#define LANES 32
#define ROW(p) _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(p)))
#define SUM(a, b) _mm512_add_epi16(a, b)
#elif defined(__AVX2__)
typedef __m256i vec;
#define LANES 16
#define ROW(p) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(p)))
#define SUM(a, b) _mm256_add_epi16(a, b)
#else
typedef int16_t vec __attribute__((vector_size(16)));
typedef int8_t half __attribute__((vector_size(8)));
#define LANES 8
static inline vec ROW(const int8_t *p) {
    half h;
    memcpy(&h, p, sizeof h);
    return __builtin_convertvector(h, vec);
}
#define SUM(a, b) ((a) + (b))
#endif
#define TILE (8 * LANES)

/* Neurons per row of weights. */
long tile(void) { return TILE; }

/* Adds `count` rows, named by `events`, into registers; `repeat` times. At most 255 rows of int8 fit int16. */
void event_add(const int8_t *weights, const int32_t *events, long count, long repeat, int16_t *out) {
    for (long r = 0; r < repeat; r++) {
        vec a[8];
        memset(a, 0, sizeof a);
        for (long e = 0; e < count; e++) {
            const int8_t *row = weights + (long)events[e] * TILE;
#pragma GCC unroll 8
            for (int k = 0; k < 8; k++) a[k] = SUM(a[k], ROW(row + k * LANES));
        }
        memcpy(out + (r & 1) * TILE, a, sizeof a);
        __asm__ volatile("" : : "r"(out) : "memory");
    }
}

/* One step of `n` current-based neurons that reset to zero. x * k / 4096 toward zero: 43 bits are exact in a double. */
__attribute__((noinline)) static void step(long n, const int32_t *restrict x, const int32_t *restrict bias, double ku,
                                           double kv, int32_t threshold, int32_t *restrict u, int32_t *restrict v,
                                           uint8_t *restrict s) {
    for (long i = 0; i < n; i++) {
        int32_t current = (int32_t)((double)u[i] * ku) + (x[i] << 7);
        int32_t membrane = (int32_t)((double)v[i] * kv) + current + bias[i];
        int32_t fires = membrane > threshold;
        u[i] = current;
        v[i] = fires ? 0 : membrane;
        s[i] = (uint8_t)fires;
    }
}

/* `steps` steps; `a` and `s` hold `rows` rows of input sums and of spikes, used in turn. */
void update(long n, long steps, long rows, const int32_t *a, const int32_t *bias, int32_t ku, int32_t kv,
            int32_t threshold, int32_t *u, int32_t *v, uint8_t *s) {
    for (long t = 0; t < steps; t++)
        step(n, a + (t % rows) * n, bias, ku / 4096.0, kv / 4096.0, threshold, u, v, s + (t % rows) * n);
}
