// Owns the three linear instructions in plain f32 for the ablation of bench/ablation.ts: same operands, no quantization.
// Never part of the engine. One thread.

static float turned[1 << 24];

static void f_linear(Context *ctx, const int32_t *w) {
  int64_t T = w[3], K = w[4], N = w[5];
  multiply(at(ctx, w[0]), K, 1, at(ctx, w[1]), N, at(ctx, w[2]), N, T, N, K, 0);
}

static void f_linear_grad_x(Context *ctx, const int32_t *w) {
  int64_t T = w[4], K = w[5], N = w[6];
  const float *from = at(ctx, w[1]);
  for (int64_t k = 0; k < K; k++)
    for (int64_t n = 0; n < N; n++) turned[n * K + k] = from[k * N + n];
  multiply(at(ctx, w[0]), N, 1, turned, K, at(ctx, w[3]), K, T, K, N, 0);
}

static void f_linear_grad_w(Context *ctx, const int32_t *w) {
  int64_t T = w[4], K = w[5], N = w[6];
  multiply(at(ctx, w[0]), 1, K, at(ctx, w[1]), N, at(ctx, w[3]), N, K, N, T, 0);
}
