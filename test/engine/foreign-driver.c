// Runs lowered programs from standard input on one thread and writes their state and work regions to standard output: how
// kernels of another processor are compared under an emulator. Argument: the level. Little-endian words; see foreign.ts.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Pool Pool;
int32_t native_levels(void);
Pool *pool_create(int32_t threads, int32_t level);
int32_t pool_run(Pool *pool, const int32_t *commands, void *state, void *arena);
int32_t pool_failed_at(Pool *pool);
void pool_destroy(Pool *pool);

static char *take(int64_t bytes) {
  char *region = aligned_alloc(64, (size_t)(bytes + 127) / 64 * 64);
  if (!region || fread(region, 1, (size_t)bytes, stdin) != (size_t)bytes) exit(2);
  return region;
}

// Without an argument: the levels. Else per program: lengths of commands (words), state and work (bytes), then the three.
int main(int count, char **arguments) {
  if (count < 2) return printf("%d\n", native_levels()) < 0;
  Pool *pool = pool_create(1, atoi(arguments[1]));
  int32_t head[3];
  if (!pool) return 3;
  while (fread(head, 4, 3, stdin) == 3) {
    char *commands = take(4 * (int64_t)head[0]), *state = take(head[1]), *work = take(head[2]);
    int32_t result[2] = {pool_run(pool, (const int32_t *)commands, state, work), 0};
    result[1] = pool_failed_at(pool);
    fwrite(result, 4, 2, stdout);
    fwrite(state, 1, (size_t)head[1], stdout);
    fwrite(work, 1, (size_t)head[2], stdout);
    fflush(stdout);
    free(commands);
    free(state);
    free(work);
  }
  pool_destroy(pool);
  return 0;
}
