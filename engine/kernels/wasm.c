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
