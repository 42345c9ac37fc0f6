// Owns SHA-256 (FIPS 180-4) of many equal leaves with the processor's SHA instructions, two leaves at a time, and the tree
// above them (base/merkle.ts: leaves begin with a zero byte, nodes with a one). Where there are no such instructions it says so.

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__SHA__)
#include <cpuid.h>
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define LANES 2

static const uint32_t ROUND[64] __attribute__((aligned(16))) = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74,
  0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d,
  0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
  0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
  0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// State as the instructions want it: words a b e f and c d g h, highest first.
typedef struct {
  __m128i abef, cdgh;
} State;

INLINE State begin(void) {
  State s = {_mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c), _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
  return s;
}

// One block of each of `lanes` messages; interleaving hides the latency of the round instruction.
INLINE void blocks(State *s, const uint8_t *const *from, const int lanes) {
  const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
  __m128i w[LANES][4];
  State old[LANES];
  for (int l = 0; l < lanes; l++) {
    old[l] = s[l];
    for (int i = 0; i < 4; i++) w[l][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(from[l] + 16 * i)), swap);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++)
    for (int l = 0; l < lanes; l++) {
      __m128i sum = _mm_add_epi32(w[l][i & 3], _mm_load_si128((const __m128i *)(ROUND + 4 * i)));
      s[l].cdgh = _mm_sha256rnds2_epu32(s[l].cdgh, s[l].abef, sum);
      s[l].abef = _mm_sha256rnds2_epu32(s[l].abef, s[l].cdgh, _mm_shuffle_epi32(sum, 0x0e));
      if (i < 12) {
        __m128i mixed = _mm_add_epi32(_mm_sha256msg1_epu32(w[l][i & 3], w[l][(i + 1) & 3]), _mm_alignr_epi8(w[l][(i + 3) & 3], w[l][(i + 2) & 3], 4));
        w[l][i & 3] = _mm_sha256msg2_epu32(mixed, w[l][(i + 3) & 3]);
      }
    }
  for (int l = 0; l < lanes; l++) {
    s[l].abef = _mm_add_epi32(s[l].abef, old[l].abef);
    s[l].cdgh = _mm_add_epi32(s[l].cdgh, old[l].cdgh);
  }
}

INLINE void finish(State s, uint8_t *out) {
  uint32_t abef[4], cdgh[4];
  _mm_storeu_si128((__m128i *)abef, s.abef);
  _mm_storeu_si128((__m128i *)cdgh, s.cdgh);
  uint32_t words[8] = {abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]};
  for (int i = 0; i < 8; i++) {
    uint32_t turned = __builtin_bswap32(words[i]);
    memcpy(out + 4 * i, &turned, 4);
  }
}

// Hashes of `lanes` messages: one byte `first`, then `length` bytes each.
INLINE void hash_lanes(uint8_t first, const uint8_t *const *bytes, int64_t length, uint8_t *const *out, const int lanes) {
  State s[LANES];
  uint8_t edge[LANES][128];
  const uint8_t *from[LANES];
  int64_t at = 0;
  for (int l = 0; l < lanes; l++) s[l] = begin();
  if (length >= 63) {
    for (int l = 0; l < lanes; l++) {
      edge[l][0] = first;
      memcpy(edge[l] + 1, bytes[l], 63);
      from[l] = edge[l];
    }
    blocks(s, from, lanes);
    for (at = 63; at + 64 <= length; at += 64) {
      for (int l = 0; l < lanes; l++) from[l] = bytes[l] + at;
      blocks(s, from, lanes);
    }
  }
  int64_t rest = length - at, head = at == 0;
  int64_t tail = rest + head < 56 ? 64 : 128;
  uint64_t bits = __builtin_bswap64((uint64_t)(length + 1) * 8);
  for (int l = 0; l < lanes; l++) {
    memset(edge[l], 0, sizeof edge[l]);
    edge[l][0] = first;
    memcpy(edge[l] + head, bytes[l] + at, rest);
    edge[l][head + rest] = 0x80;
    memcpy(edge[l] + tail - 8, &bits, 8);
  }
  for (int64_t done = 0; done < tail; done += 64) {
    for (int l = 0; l < lanes; l++) from[l] = edge[l] + done;
    blocks(s, from, lanes);
  }
  for (int l = 0; l < lanes; l++) finish(s[l], out[l]);
}

static void hash_many(uint8_t first, const uint8_t *bytes, int64_t count, int64_t length, uint8_t *out) {
  int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const uint8_t *from[2] = {bytes + i * length, bytes + (i + 1) * length};
    // A pair is read whole before its hashes are written, so hashing a level onto itself is safe.
    uint8_t *to[2] = {out + i * 32, out + (i + 1) * 32};
    hash_lanes(first, from, length, to, 2);
  }
  if (i < count) {
    const uint8_t *from[1] = {bytes + i * length};
    uint8_t *to[1] = {out + i * 32};
    hash_lanes(first, from, length, to, 1);
  }
}

// 1 when this processor can.
int32_t leaf_hash_ready(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & (1u << 29))) return 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3);
}

// out[32 * i] = leaf hash of the i-th piece of `leaf` bytes; the last piece may be shorter.
void hash_leaves(const uint8_t *bytes, int64_t length, int64_t leaf, uint8_t *out) {
  int64_t whole = length / leaf;
  hash_many(0, bytes, whole, leaf, out);
  if (whole * leaf < length) hash_many(0, bytes + whole * leaf, 1, length - whole * leaf, out + 32 * whole);
}

// Folds `count` hashes, at least one, to the root, which ends up first. An odd one at the end is carried up.
void fold_hashes(uint8_t *hashes, int64_t count) {
  for (; count > 1; count = (count + 1) / 2) {
    hash_many(1, hashes, count / 2, 64, hashes);
    if (count % 2 == 1) memmove(hashes + count / 2 * 32, hashes + (count - 1) * 32, 32);
  }
}

#else
int32_t leaf_hash_ready(void) { return 0; }
void hash_leaves(const uint8_t *bytes, int64_t length, int64_t leaf, uint8_t *out) { (void)bytes, (void)length, (void)leaf, (void)out; }
void fold_hashes(uint8_t *hashes, int64_t count) { (void)hashes, (void)count; }
#endif
