// Owns every limit of the engine: what a tensor program may ask for. Limits of models and rounds are trainer/limits.ts.

/** Longest program or tensor name, printable ASCII characters. */
export const MAX_NAME_LENGTH = 128;
/** Tensors in one program. */
export const MAX_TENSORS = 65_536;
/** Instructions in one program. */
export const MAX_INSTRUCTIONS = 65_536;
/** Dimensions of one tensor. */
export const MAX_RANK = 4;
/** Length of one dimension. */
export const MAX_DIM = 1 << 24;
/** Elements of one tensor: flat indices and their 64-byte-block addresses stay inside i32. */
export const MAX_ELEMENTS = 1 << 30;
/** Operands of one instruction (gradNorm reads one tensor per parameter). */
export const MAX_OPERANDS = 4096;
/** Bytes of a whole arena, scratch included. A backend may hold less and says so when it loads. */
export const MAX_ARENA_BYTES = 64 * 2 ** 30;
/** Bytes of an encoded program. */
export const MAX_PROGRAM_BYTES = 16 * 2 ** 20;
/** Length of an int8 contraction: 127 * 127 * K stays inside i32. */
export const MAX_CONTRACTION = 131_072;
/** Sequence length of attention and positions of a cache: one row of scores fits a thread's stack. */
export const MAX_SEQUENCE = 16_384;
/** Width of one attention head. */
export const MAX_HEAD_WIDTH = 256;
/** Threads of one executor, the calling thread included. */
export const MAX_THREADS = 64;
/** Bytes the WebAssembly executor may grow to: its pointers are 32 bits. */
export const MAX_WASM_BYTES = 4 * 2 ** 30 - 65_536;
