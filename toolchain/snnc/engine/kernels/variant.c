/* One build of the kernels for one instruction set; VARIANT names it. */
#include "lesson.h"
#include "run.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

int JOIN(snnc_run_, VARIANT)(const Call *call) { return run_call(call); }
int64_t JOIN(snnc_scratch_, VARIANT)(const Call *call) { return scratch_of(call); }
int JOIN(snnc_learn_, VARIANT)(const Learning *call) { return learn_call(call); }
int JOIN(snnc_lesson_, VARIANT)(const Lesson *call) { return lesson_call(call); }
