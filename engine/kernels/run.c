// Owns the walk over a lowered program: one C call executes every instruction. Lowering is lower.ts.

#include "kernel.h"
#include "rows.c"
#include "loss.c"
#include "quantize.c"
#include "linear.c"
#include "attention.c"
#include "linear-bf16.c"

#ifndef RUN_NAME
#define RUN_NAME run_program
#endif

static void step(Context *ctx, int32_t code, const int32_t *w) {
  switch (code) {
    case 0: k_check(ctx, w); break;
    case 1: k_embed(ctx, w); break;
    case 2: k_embed_grad(ctx, w); break;
    case 3: k_rms_norm(ctx, w); break;
    case 4: k_rms_norm_grad_x(ctx, w); break;
    case 5: k_rms_norm_grad_gain(ctx, w); break;
    case 6: k_linear(ctx, w); break;
    case 7: k_linear_grad_x(ctx, w); break;
    case 8: k_linear_grad_w(ctx, w); break;
    case 9: k_rope(ctx, w); break;
    case 10: k_attention(ctx, w); break;
    case 11: k_attention_grad(ctx, w); break;
    case 12: k_swiglu(ctx, w); break;
    case 13: k_swiglu_grad(ctx, w); break;
    case 14: k_cross_entropy(ctx, w); break;
    case 15: k_cross_entropy_grad(ctx, w); break;
    case 16: k_add(ctx, w); break;
    case 17: k_scale(ctx, w); break;
    case 18: k_copy(ctx, w); break;
    case 19: k_zero(ctx, w); break;
    case 20: k_grad_norm(ctx, w); break;
    case 21: k_adamw(ctx, w); break;
    case 22: k_cache_write(ctx, w); break;
    case 23: k_attention_decode(ctx, w); break;
    case 24: k_linear_bf16(ctx, w); break;
    case 25: k_linear_bf16_grad_x(ctx, w); break;
    case 26: k_linear_bf16_grad_w(ctx, w); break;
    default: __builtin_trap();
  }
}

// Words: count, then per instruction its code, index in the program, length of operands, operands. Every thread runs this;
// a failure stops all of them after the same instruction.
void RUN_NAME(Context *ctx) {
  const int32_t *w = ctx->shared->commands;
  int32_t count = *w++;
  for (int32_t i = 0; i < count; i++) {
    step(ctx, w[0], w + 3);
    if (barrier(ctx) != REASON_NONE) {
      if (ctx->index == 0) ctx->shared->failed_at = w[1];
      break;
    }
    w += 3 + w[2];
  }
  // After this no helper reads the shared words until the next job, so the caller may reset them.
  barrier(ctx);
}
