// Owns the limits of checkpoint files and of generation. Limits of data and rounds are limits.ts, of widths model.ts.

/** Bytes of the JSON header of a safetensors file; the reference reader takes 100 MB, a model of ours needs under 1 MB. */
export const MAX_SAFETENSORS_HEADER = 16 * 2 ** 20;
export const MAX_SAFETENSORS_TENSORS = 65_536;
export const MAX_SAFETENSORS_RANK = 8;
export const MAX_SAFETENSORS_NAME = 512;

/** Sequences that one generator holds in its cache at once. */
export const MAX_GENERATION_SLOTS = 256;
/** Rows of one decode run. */
export const MAX_DECODE_ROWS = 1_024;
/** Requests that wait for a slot. */
export const MAX_WAITING_REQUESTS = 1_024;
/** Entries of a logit bias map. */
export const MAX_LOGIT_BIASES = 1_024;
/** Alternatives reported beside each token. */
export const MAX_TOP_LOGPROBS = 20;
/** Tokens that end a reply. */
export const MAX_STOP_TOKENS = 64;
