// Runs lowered programs from standard input on one thread and writes their state and work regions to standard output: how
// kernels of another processor are compared under an emulator. Little-endian words; see foreign.ts.

#include "kernel.h"
#include <stdio.h>
#include <stdlib.h>

void run_base(Context *ctx);

int32_t barrier(Context *ctx) { return ctx->shared->failed; }

static char *take(int64_t bytes) {
  char *region = aligned_alloc(64, (size_t)(bytes + 127) / 64 * 64);
  if (!region || fread(region, 1, (size_t)bytes, stdin) != (size_t)bytes) exit(2);
  return region;
}

// Per program: lengths of commands (words), state and work (bytes), then the three.
int main(void) {
  int32_t head[3];
  while (fread(head, 4, 3, stdin) == 3) {
    Shared shared = {0};
    shared.threads = 1;
    shared.commands = (const int32_t *)take(4 * (int64_t)head[0]);
    shared.state = take(head[1]);
    shared.work = take(head[2]);
    shared.failed_at = -1;
    Context ctx = {0, 1, shared.state, shared.work, &shared};
    run_base(&ctx);
    fwrite((const void *)&shared.failed, 4, 1, stdout);
    fwrite((const void *)&shared.failed_at, 4, 1, stdout);
    fwrite(shared.state, 1, (size_t)head[1], stdout);
    fwrite(shared.work, 1, (size_t)head[2], stdout);
    fflush(stdout);
    free((void *)shared.commands);
    free(shared.state);
    free(shared.work);
  }
  return 0;
}
