// Owns the entry points of the native library: the pool of threads, its barrier, the choice of instruction set.

#include "kernel.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#endif
#if defined(__x86_64__)
#include <cpuid.h>
// Of <asm/prctl.h> since Linux 5.16.
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#define TILE_DATA 18
#include <immintrin.h>
#define SETTLE_FLOATS unsigned saved = _mm_getcsr(); _mm_setcsr(0x1f80)
#define RESTORE_FLOATS _mm_setcsr(saved)
#define PAUSE _mm_pause()
#else
#define SETTLE_FLOATS
#define RESTORE_FLOATS
#define PAUSE
#endif

typedef void Runner(Context *ctx);
Runner run_base, run_avx2, run_avx_vnni, run_avx512, run_amx, run_neon_dot;

enum { LEVEL_BASE = 0, LEVEL_AVX2 = 1, LEVEL_AVX_VNNI = 2, LEVEL_AVX512_VNNI = 3, LEVEL_AMX_INT8 = 4, LEVEL_NEON_DOT = 5 };

// Kernels of a level, 0 where this library was built without them.
static Runner *runner_of(int32_t level) {
#if defined(HAVE_AMX)
  if (level == LEVEL_AMX_INT8) return run_amx;
#endif
#if defined(HAVE_AVX512)
  if (level == LEVEL_AVX512_VNNI) return run_avx512;
#endif
#if defined(HAVE_AVX_VNNI)
  if (level == LEVEL_AVX_VNNI) return run_avx_vnni;
#endif
#if defined(HAVE_AVX2)
  if (level == LEVEL_AVX2) return run_avx2;
#endif
#if defined(HAVE_NEON_DOT)
  if (level == LEVEL_NEON_DOT) return run_neon_dot;
#endif
  return level == LEVEL_BASE ? run_base : 0;
}

#if defined(__x86_64__)
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

#if defined(TWIN)
static int has_avx_vnni(void) { return 1; }
static int has_avx512(void) { return 1; }
static int has_amx(void) { return 1; }
#else
// AVX-VNNI (VEX): CPUID leaf 7, subleaf 1, EAX bit 4. Not every compiler's cpu_supports knows it.
static int has_avx_vnni(void) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4));
}

static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

// AMX-TILE and AMX-INT8: CPUID leaf 7, EDX bits 24 and 25; the system must keep tiles (XCR0 bits 17 and 18), and Linux
// wants to be asked before a process uses their data (state component 18).
static int has_amx(void) {
#if defined(__linux__)
  unsigned a, b, c, d, low, high;
  unsigned long granted = 0;
  if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 24 & 3) != 3) return 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) return 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low >> 17 & 3) != 3) return 0;
  if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) != 0) return 0;
  return syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &granted) == 0 && (granted >> TILE_DATA & 1);
#else
  return 0;
#endif
}
#endif

static int processor_has(int32_t level) {
  __builtin_cpu_init();
  if (level == LEVEL_AVX2) return has_avx2();
  if (level == LEVEL_AVX_VNNI) return has_avx2() && has_avx_vnni();
  if (level == LEVEL_AVX512_VNNI) return has_avx2() && has_avx512();
  if (level == LEVEL_AMX_INT8) return has_avx2() && has_amx();
  return level == LEVEL_BASE;
}
#elif defined(__aarch64__) && defined(__linux__)
static int processor_has(int32_t level) { return level == LEVEL_BASE || (level == LEVEL_NEON_DOT && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP)); }
#else
static int processor_has(int32_t level) { return level == LEVEL_BASE; }
#endif

// The levels this processor has and this library was built with, a bit for each.
int32_t native_levels(void) {
  int32_t levels = 0;
  for (int32_t level = LEVEL_BASE; level <= LEVEL_NEON_DOT; level++)
    if (runner_of(level) && processor_has(level)) levels |= 1 << level;
  return levels;
}

typedef struct Pool Pool;
typedef struct {
  Pool *pool;
  int index;
  pthread_t thread;
} Helper;

struct Pool {
  Shared shared;
  Runner *run;
  int helpers;
  Helper helper[];
};

#define SPINS 4000

static void wait_while(volatile int32_t *word, int32_t value) {
  for (int i = 0; i < SPINS; i++) {
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) return;
    PAUSE;
  }
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
#else
    sched_yield();
#endif
  }
}

static void wake_all(volatile int32_t *word) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0);
#else
  (void)word;
#endif
}

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

// Flush-to-zero off and rounding to nearest, whatever the host left in the control word.
static void work(Pool *pool, int index) {
  Shared *s = &pool->shared;
  Context ctx = {index, s->threads, s->state, s->work, s};
  SETTLE_FLOATS;
  pool->run(&ctx);
  RESTORE_FLOATS;
}

static void *help(void *argument) {
  Helper *helper = argument;
  Shared *s = &helper->pool->shared;
  for (int32_t seen = 0;; seen++) {
    wait_while(&s->job, seen);
    if (__atomic_load_n(&s->exit, __ATOMIC_ACQUIRE)) return 0;
    work(helper->pool, helper->index);
  }
}

void pool_destroy(Pool *pool) {
  __atomic_store_n(&pool->shared.exit, 1, __ATOMIC_RELEASE);
  __atomic_add_fetch(&pool->shared.job, 1, __ATOMIC_RELEASE);
  wake_all(&pool->shared.job);
  for (int i = 0; i < pool->helpers; i++) pthread_join(pool->helper[i].thread, 0);
  free(pool);
}

// A pool of `threads`, the caller's included, at a level the processor has; 0 when threads cannot be made.
Pool *pool_create(int32_t threads, int32_t level) {
  if (level < 0 || !(native_levels() >> level & 1)) return 0;
  Pool *pool = calloc(1, sizeof *pool + sizeof(Helper) * (size_t)threads);
  if (!pool) return 0;
  pool->run = runner_of(level);
  pool->shared.threads = threads;
  for (int i = 0; i < threads - 1; i++) {
    Helper *helper = &pool->helper[i];
    helper->pool = pool;
    helper->index = i + 1;
    if (pthread_create(&helper->thread, 0, help, helper) != 0) {
      pool_destroy(pool);
      return 0;
    }
    pool->helpers = i + 1;
  }
  return pool;
}

// Runs a lowered program; answers the reason of failure, or 0.
int32_t pool_run(Pool *pool, const int32_t *commands, void *state, void *arena) {
  Shared *s = &pool->shared;
  s->commands = commands;
  s->state = state;
  s->work = arena;
  s->failed = REASON_NONE;
  s->failed_at = -1;
  if (s->threads > 1) {
    __atomic_add_fetch(&s->job, 1, __ATOMIC_RELEASE);
    wake_all(&s->job);
  }
  work(pool, 0);
  return s->failed;
}

int32_t pool_failed_at(Pool *pool) { return pool->shared.failed_at; }

#define HUGE_PAGE (2 << 20)

// Asks for large pages under a region about to be used: arenas are walked end to end, and small pages cost misses.
void native_prepare(void *region, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  uintptr_t from = ((uintptr_t)region + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE, to = ((uintptr_t)region + (uintptr_t)bytes) / HUGE_PAGE * HUGE_PAGE;
  if (to > from) madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
  (void)region, (void)bytes;
#endif
}
