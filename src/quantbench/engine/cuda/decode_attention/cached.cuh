// What a warp holds of cached keys and values, and what it sums up over them, on tensor cores: 16 positions at once.
//
// Scores, positions by heads, are keys times queries; values, dimensions by heads, are cached values times weights.
// Lane 4 g + t has of a key or query (head g) dimensions KEY_PART * t and on, of a value VALUE_PART * g and on: runs of
// memory, and the same order in both operands of a product.
#pragma once
#include "unpack.cuh"

constexpr int KEY_PART = HEAD_DIM / 4, VALUE_PART = HEAD_DIM / 8;
constexpr int KEY_WORDS = KEY_PART / 2, VALUE_WORDS = VALUE_PART / 2;
constexpr int STEPS = HEAD_DIM / 16;   // tensor-core products of 16 dimensions
constexpr int RUN = 16;                // positions of a warp at once
constexpr int SWEEP = WARPS * RUN;     // of a block
constexpr float NOTHING = -1e30f;  // a score below all others that still subtracts

struct Cache {  // of one layer, batch row and key-value head
  u16 *keys, *values;
};

// This lane's part of 16 cached positions: keys g and g + 8, values 2 t, 2 t + 1, 2 t + 8, 2 t + 9.
struct Positions {
  __align__(16) u32 key[2][KEY_WORDS], value[4][VALUE_WORDS];

  DEVICE static int key_at(int i) { return (lane() >> 2) + 8 * i; }
  DEVICE static int value_at(int i) { return 2 * (lane() & 3) + (i & 1) + 8 * (i >> 1); }

  DEVICE void load(const Cache& cache, int first, int stored) {
    const int g = lane() >> 2, t = lane() & 3;
#pragma unroll
    for (int i = 0; i < 2; ++i) load_or_zero(key[i], cache.keys + KEY_PART * t, first + key_at(i), stored);
#pragma unroll
    for (int i = 0; i < 4; ++i) load_or_zero(value[i], cache.values + VALUE_PART * g, first + value_at(i), stored);
  }

 private:
  // Of position `at` what this lane has of a key or value, zero from `stored` on.
  template <int WORDS>
  DEVICE static void load_or_zero(u32 (&to)[WORDS], const u16* from, long long at, int stored) {
#pragma unroll
    for (int w = 0; w < WORDS; ++w) to[w] = 0;
    if (at < stored) load_words<WORDS>(to, from + at * HEAD_DIM);
  }
};

// A warp's attention so far, of heads 2 t and 2 t + 1: sums of the values of dimensions VALUE_PART * g and on.
struct WarpSums {
  float top[2], sum[4], value[STEPS][4];

  DEVICE void clear() {
    top[0] = top[1] = NOTHING;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sum[i] = 0;
#pragma unroll
      for (int j = 0; j < STEPS; ++j) value[j][i] = 0;
    }
  }
  // 16 positions, of which the first `valid` count.
  DEVICE void add(const Positions& p, const u32 (&query)[KEY_WORDS], int valid) {
    float score[4] = {0, 0, 0, 0}, more[4] = {0, 0, 0, 0};
#pragma unroll
    for (int s = 0; s < STEPS; ++s)
      multiply_accumulate(s & 1 ? more : score, p.key[0][2 * s], p.key[1][2 * s], p.key[0][2 * s + 1],
                          p.key[1][2 * s + 1], query[2 * s], query[2 * s + 1]);
    float share[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) score[i] = Positions::key_at(i >> 1) < valid ? score[i] + more[i] : NOTHING;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float now = fmaxf(score[h], score[h + 2]);
#pragma unroll
      for (int mask = 4; mask < 32; mask <<= 1) now = fmaxf(now, shuffle_xor(now, mask));
      now = fmaxf(now, top[h]);
      const float keep = exp2_fast(top[h] - now);
      top[h] = now;
#pragma unroll
      for (int i = h; i < 4; i += 2) {
        share[i] = Positions::key_at(i >> 1) < valid ? exp2_fast(score[i] - now) : 0;
        sum[i] *= keep;
#pragma unroll
        for (int j = 0; j < STEPS; ++j) value[j][i] *= keep;
      }
    }
    const u32 low = transpose8(pack2(share[0], share[1])), high = transpose8(pack2(share[2], share[3]));
    constexpr u32 ALL = BF16 ? 0x3f803f80u : ONES;
    multiply_accumulate(sum, ALL, ALL, ALL, ALL, low, high);
#pragma unroll
    for (int j = 0; j < STEPS; ++j)
      multiply_accumulate(value[j], permute_bytes(p.value[0][j], p.value[1][j], 0x5410),
                          permute_bytes(p.value[0][j], p.value[1][j], 0x7632),
                          permute_bytes(p.value[2][j], p.value[3][j], 0x5410),
                          permute_bytes(p.value[2][j], p.value[3][j], 0x7632), low, high);
  }
};
