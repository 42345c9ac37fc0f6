// Owns the part of the CUDA driver's interface that the engine calls, over kernels run on this processor (cuda-shim.h). It is
// loaded in the driver's place: same calls, same arguments. x86-64 with a System V stack.
#include "all.cu"
#include <stdio.h>
#include <stdlib.h>

Dim3 blockIdx, threadIdx, blockDim;

typedef void Code(ARGUMENTS);
typedef struct { const char *name; Code *code; int synchronizes; } Kernel;
static Kernel kernels[64];
static int kernel_count;
static long allocated;

void register_kernel(const char *name, void *code, int synchronizes) { kernels[kernel_count++] = Kernel{name, (Code *)code, synchronizes}; }

#define MOST_THREADS 256
#define MOST_BYTES ((size_t)64 << 20)
#define STACK (32 << 10)
typedef struct { void *stack; int done; } Fiber;
static Fiber fibers[MOST_THREADS];
static char *stacks;
static void *scheduler;
static int running;
static struct { Code *code; char *state, *work; const int *words; int *status; int at, offset; } launch;

extern "C" void fiber_switch(void **from, void *to);
asm(".text\n.globl fiber_switch\nfiber_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");

static void yield_fiber(void) { fiber_switch(&fibers[running].stack, scheduler); }
void block_barrier(void) { yield_fiber(); }

static void call(void) { launch.code(launch.state, launch.work, launch.words, launch.status, launch.at, launch.offset); }

static void body(void) {
  call();
  fibers[running].done = 1;
  for (;;) yield_fiber();
}

// Threads of a warp meet here with their fragments; the product is taken as the PTX manual lays the fragments out.
static unsigned exchange_a[MOST_THREADS][4], exchange_b[MOST_THREADS][2];
void mma_s8(int *c, const unsigned *a, const unsigned *b) {
  int own = running, first = own / 32 * 32, group = own % 32 / 4, quad = own % 4;
  memcpy(exchange_a[own], a, 16);
  memcpy(exchange_b[own], b, 8);
  block_barrier();
  for (int i = 0; i < 4; i++) {
    int row = group + 8 * (i >> 1), column = 2 * quad + (i & 1), sum = c[i];
    for (int k = 0; k < 32; k++) {
      // a: row r, depth k is byte k % 4 of register (r / 8) + 2 * (k / 16) of thread (r % 8) * 4 + k % 16 / 4.
      unsigned wa = exchange_a[first + row % 8 * 4 + k % 16 / 4][row / 8 + 2 * (k / 16)];
      unsigned wb = exchange_b[first + column * 4 + k % 16 / 4][k / 16];
      sum += (int)(int8_t)(wa >> 8 * (k % 4)) * (int)(int8_t)(wb >> 8 * (k % 4));
    }
    c[i] = sum;
  }
  block_barrier();
}

static void run_block(int threads) {
  if (!stacks) stacks = (char *)aligned_alloc(64, (size_t)MOST_THREADS * STACK);
  for (int i = 0; i < threads; i++) {
    void **top = (void **)(stacks + (size_t)(i + 1) * STACK - 64);
    *top = (void *)body;
    for (int r = 1; r <= 6; r++) top[-r] = 0;
    fibers[i].stack = top - 6;
    fibers[i].done = 0;
  }
  for (int left = threads; left > 0;) {
    left = 0;
    for (running = 0; running < threads; running++) {
      if (fibers[running].done) continue;
      threadIdx.x = (unsigned)running;
      fiber_switch(&scheduler, fibers[running].stack);
      left += !fibers[running].done;
    }
  }
}

extern "C" {
int cuInit(unsigned) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int) { *device = 0; return 0; }
int cuDeviceGetName(char *name, int length, int) { snprintf(name, (size_t)length, "kernels on the processor"); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int) { *value = attribute == 75 ? 8 : attribute == 76 ? 0 : 1; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int) { *context = (void *)1; return 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxSetCurrent(void *) { return 0; }
int cuModuleLoadData(void **module, const void *image) { *module = (void *)1; return strstr((const char *)image, ".visible .entry k_product") ? 0 : 218; }
int cuModuleUnload(void *) { return 0; }
int cuModuleGetFunction(void **function, void *, const char *name) {
  for (int i = 0; i < kernel_count; i++)
    if (!strcmp(kernels[i].name, name)) { *function = &kernels[i]; return 0; }
  return 500;
}
int cuMemAllocManaged(void **pointer, size_t bytes, unsigned) {
  if (bytes > MOST_BYTES) return 2;
  *pointer = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(*pointer, 0xff, bytes);
  allocated++;
  return *pointer ? 0 : 2;
}
int cuMemFree_v2(void *pointer) { free(pointer); allocated--; return 0; }
int cuMemsetD8_v2(void *pointer, unsigned char value, size_t bytes) { memset(pointer, value, bytes); return 0; }
int cuCtxSynchronize(void) { return 0; }
long shim_allocated(void) { return allocated; }

int cuLaunchKernel(void *function, unsigned grid, unsigned, unsigned, unsigned block, unsigned, unsigned, unsigned, void *, void **parameters, void **) {
  Kernel *kernel = (Kernel *)function;
  if (block > MOST_THREADS) return 1;
  launch.code = kernel->code;
  launch.state = *(char **)parameters[0];
  launch.work = *(char **)parameters[1];
  launch.words = *(const int **)parameters[2];
  launch.status = *(int **)parameters[3];
  launch.at = *(int *)parameters[4];
  launch.offset = *(int *)parameters[5];
  blockDim = Dim3{block, 1, 1};
  for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++) {
    if (kernel->synchronizes) run_block((int)block);
    else
      for (threadIdx.x = 0; threadIdx.x < block; threadIdx.x++) call();
  }
  return 0;
}
}
