// Owns the linear layers of profile bf16x: f32 sums in order, an output a thread's own. No tensor cores: the order of their
// sums is not this one.
#include "kernel.cuh"

#define SIDE 32

// w: left, right, out, rows, depth, columns, then strides: of the left's rows and depth, of the right's depth and columns
// [M2]. A block 32 x 32 outputs, a thread four of one column.
BLOCK_KERNEL(k_product_bf16) {
  BEGIN;
  __shared__ float left[SIDE][SIDE + 1], right[SIDE][SIDE + 1];
  int64_t rows = w[3], depth = w[4], columns = w[5], across = (columns + SIDE - 1) / SIDE;
  int64_t row0 = blockIdx.x / across * SIDE, column0 = blockIdx.x % across * SIDE;
  int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
  float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  for (int64_t k0 = 0; k0 < depth; k0 += SIDE) {
    int some = (int)(depth - k0 < SIDE ? depth - k0 : SIDE);
    for (int i = 0; i < 4; i++) {
      int line = y + 8 * i;
      bool in_left = row0 + line < rows && x < some, in_right = line < some && column0 + x < columns;
      left[line][x] = in_left ? BF16(FLOATS(0)[(row0 + line) * w[6] + (k0 + x) * w[7]]) : 0.0f;
      right[line][x] = in_right ? BF16(FLOATS(1)[(k0 + line) * w[8] + (column0 + x) * w[9]]) : 0.0f;
    }
    __syncthreads();
    for (int k = 0; k < some; k++)
      for (int i = 0; i < 4; i++) sums[i] = add(sums[i], mul(left[y + 8 * i][k], right[k][x]));
    __syncthreads();
  }
  for (int i = 0; i < 4; i++) {
    int64_t row = row0 + y + 8 * i, column = column0 + x;
    if (row >= rows || column >= columns) continue;
    FLOATS(2)[row * columns + column] = sums[i];
    FINITE(sums[i]);
  }
}
