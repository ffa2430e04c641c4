/* The module's face: which builds of the kernels are in it, which of them this processor runs, and how to call them. */
#include "share.h"

#define API __attribute__((visibility("default")))
#define DECLARE(NAME)                   \
  int snnc_run_##NAME(const Call *call); \
  int64_t snnc_scratch_##NAME(const Call *call); \
  int snnc_learn_##NAME(const Learning *call); \
  int snnc_lesson_##NAME(const Lesson *call);

typedef struct {
  const char *name;
  int level; /* of x86-64; 5: with the second part of the byte manipulations too */
  int (*run)(const Call *);
  int64_t (*scratch)(const Call *);
  int (*learn)(const Learning *);
  int (*lesson)(const Lesson *);
} Variant;
#define ENTRY(NAME, LEVEL) {#NAME, LEVEL, snnc_run_##NAME, snnc_scratch_##NAME, snnc_learn_##NAME, snnc_lesson_##NAME}

#if defined(SNNC_PLAIN)
DECLARE(plain)
#endif
#if defined(SNNC_BASELINE)
DECLARE(baseline)
#endif
#if defined(SNNC_AVX2)
DECLARE(avx2)
#endif
#if defined(SNNC_AVX512)
DECLARE(avx512)
#endif
#if defined(SNNC_VBMI2)
DECLARE(vbmi2)
#endif

static const Variant variants[] = {
#if defined(SNNC_PLAIN)
    ENTRY(plain, 0),
#endif
#if defined(SNNC_BASELINE)
    ENTRY(baseline, 1),
#endif
#if defined(SNNC_AVX2)
    ENTRY(avx2, 3),
#endif
#if defined(SNNC_AVX512)
    ENTRY(avx512, 4),
#endif
#if defined(SNNC_VBMI2)
    ENTRY(vbmi2, 5),
#endif
};

/* Number of builds; the later ones are the faster ones. */
API int64_t snnc_variants(void) { return sizeof variants / sizeof *variants; }

API const char *snnc_name(int64_t variant) { return variants[variant].name; }

/* Whether this processor (and its operating system) has what a build needs. */
API int64_t snnc_supported(int64_t variant) {
  int level = variants[variant].level;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (level >= 3 && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                      __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt")))
    return 0;
  if (level >= 4 && !(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl")))
    return 0;
  if (level >= 5 && !__builtin_cpu_supports("avx512vbmi2")) return 0;
#endif
  return level >= 0;
}

/* Sizes of the tables in 64-bit fields, by which the host checks that it speaks of the same ones. */
API int64_t snnc_fields(int64_t table) {
  static const int64_t sizes[] = {sizeof(Population) / 8, sizeof(Way) / 8,     sizeof(Port) / 8,  sizeof(Call) / 8,
                                  sizeof(Learning) / 8,   sizeof(Product) / 8, sizeof(Factor) / 8,
                                  sizeof(Feed) / 8,       sizeof(Unit) / 8,    sizeof(Lesson) / 8};
  return table >= 0 && table < 10 ? sizes[table] : -1;
}

API int64_t snnc_run(int64_t variant, const Call *call) { return variants[variant].run(call); }
API int64_t snnc_scratch(int64_t variant, const Call *call) { return variants[variant].scratch(call); }

/* One call for each of so many threads: the same samples, of which each takes at least `grain` at a time. */
API int64_t snnc_share(int64_t variant, const Call *calls, int64_t threads, int64_t grain) {
  return share(variants[variant].run, calls, threads, grain);
}
API int64_t snnc_learn(int64_t variant, const Learning *call) { return variants[variant].learn(call); }
API int64_t snnc_lesson(int64_t variant, const Lesson *call) { return variants[variant].lesson(call); }
