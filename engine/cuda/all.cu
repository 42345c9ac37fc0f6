// Owns the one compilation unit of the CUDA engine.
#include "rows.cu"
#include "linear.cu"
#include "linear-bf16.cu"
#include "loss.cu"
#include "attention.cu"
