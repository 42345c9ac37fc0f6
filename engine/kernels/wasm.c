// Owns the WebAssembly entry points and the barrier of its threads. Memory is imported and shared; every thread is an
// instance of the module with its own stack.

#include "kernel.h"

void run_program(Context *ctx);

#define SPINS 2000

static void wait_while(volatile int32_t *word, int32_t value) {
  for (int i = 0; i < SPINS; i++)
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) return;
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) __builtin_wasm_memory_atomic_wait32((int *)word, value, -1);
}

static void wake_all(volatile int32_t *word) { __builtin_wasm_memory_atomic_notify((int *)word, 1024); }

int32_t barrier(Context *ctx) {
  Shared *s = ctx->shared;
  if (ctx->count == 1) return s->failed;
  int32_t phase = __atomic_load_n(&s->phase, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&s->arrived, 1, __ATOMIC_ACQ_REL) == ctx->count) {
    s->stopped = s->failed;
    __atomic_store_n(&s->arrived, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&s->phase, phase + 1, __ATOMIC_RELEASE);
    wake_all(&s->phase);
  } else {
    wait_while(&s->phase, phase);
  }
  return s->stopped;
}

static void work(Shared *s, int index) {
  Context ctx = {index, s->threads, s->state, s->work, s};
  run_program(&ctx);
}

// Runs on the calling thread and every helper; returns the reason of failure, or 0.
__attribute__((export_name("run"))) int32_t run(Shared *s, const int32_t *commands, char *state, char *arena) {
  s->commands = commands;
  s->state = state;
  s->work = arena;
  s->failed = REASON_NONE;
  s->failed_at = -1;
  if (s->threads > 1) {
    __atomic_add_fetch(&s->job, 1, __ATOMIC_RELEASE);
    wake_all(&s->job);
  }
  work(s, 0);
  return s->failed;
}

// Body of a helper thread: one run per job until `exit`. `seen` is the job number before the helper was started.
__attribute__((export_name("help"))) void help(Shared *s, int index, int32_t seen) {
  for (;;) {
    wait_while(&s->job, seen);
    seen += 1;
    if (__atomic_load_n(&s->exit, __ATOMIC_ACQUIRE)) return;
    work(s, index);
  }
}

__attribute__((export_name("stop"))) void stop(Shared *s) {
  __atomic_store_n(&s->exit, 1, __ATOMIC_RELEASE);
  __atomic_add_fetch(&s->job, 1, __ATOMIC_RELEASE);
  wake_all(&s->job);
}

#if defined(RELAXED128)
#include <wasm_simd128.h>

#define PROBES 4096

// 1 when the relaxed dot product is the exact sum of four products of an unsigned and a signed byte on this host.
__attribute__((export_name("probe"))) int32_t probe(void) {
  uint32_t random = 1;
  for (int i = 0; i < PROBES; i++) {
    uint8_t left[16];
    int8_t right[16];
    int32_t got[4];
    for (int l = 0; l < 16; l++) {
      random = random * 1664525u + 1013904223u;
      // Every fourth round at the ends of the ranges, where sums of pairs saturate.
      left[l] = i % 4 == 0 ? 255 - (random >> 31) : (uint8_t)(random >> 24);
      right[l] = i % 4 == 0 ? (i & 4 ? 127 : -127) : (int8_t)(random >> 16);
    }
#if defined(RELAXED_TWIN)
    __builtin_memset(got, 0, sizeof got);
    for (int l = 0; l < 16; l++) got[l / 4] += left[l] * right[l];
#else
    wasm_v128_store(got, wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_v128_load(right), wasm_v128_load(left), wasm_i32x4_splat(0)));
#endif
    for (int g = 0; g < 4; g++) {
      int32_t sum = 0;
      for (int l = 4 * g; l < 4 * g + 4; l++) sum += left[l] * right[l];
      if (sum != got[g]) return 0;
    }
  }
  return 1;
}
#endif
