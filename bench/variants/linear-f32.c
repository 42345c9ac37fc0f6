// Owns the three linear instructions in plain f32 for the ablation of bench/ablation.ts: same operands, no quantization.
// Never part of the engine. One thread; panels and sums are those of linear-bf16.c, without its rounding.

static float left[1 << 24], right[1 << 24];

// Lines are rows of src[rows][depth]: to[panel][k][width], zero beyond the last line.
static void f_rows(In src, int64_t rows, int64_t depth, int64_t width, Out to) {
  for (int64_t line = 0; line < rows; line += width)
    for (int64_t k = 0; k < depth; k++)
      for (int64_t l = 0; l < width; l++) to[line * depth + k * width + l] = line + l < rows ? src[(line + l) * depth + k] : 0.0f;
}

// Lines are columns of src[depth][columns].
static void f_columns(In src, int64_t depth, int64_t columns, int64_t width, Out to) {
  for (int64_t c = 0; c < columns; c += width)
    for (int64_t k = 0; k < depth; k++)
      for (int64_t l = 0; l < width; l++) to[c * depth + k * width + l] = c + l < columns ? src[k * columns + c + l] : 0.0f;
}

static void f_linear(Context *ctx, const int32_t *w) {
  int64_t T = w[3], K = w[4], N = w[5];
  f_rows(at(ctx, w[0]), T, K, BF16_PANEL_A, left);
  f_columns(at(ctx, w[1]), K, N, PANEL_B, right);
  product_bf16(ctx, left, right, T, K, N, at(ctx, w[2]));
}

static void f_linear_grad_x(Context *ctx, const int32_t *w) {
  int64_t T = w[4], K = w[5], N = w[6];
  f_rows(at(ctx, w[0]), T, N, BF16_PANEL_A, left);
  f_rows(at(ctx, w[1]), K, N, PANEL_B, right);
  product_bf16(ctx, left, right, T, N, K, at(ctx, w[3]));
}

static void f_linear_grad_w(Context *ctx, const int32_t *w) {
  int64_t T = w[4], K = w[5], N = w[6];
  f_columns(at(ctx, w[0]), T, K, BF16_PANEL_A, left);
  f_columns(at(ctx, w[1]), T, N, PANEL_B, right);
  product_bf16(ctx, left, right, K, T, N, at(ctx, w[3]));
}
