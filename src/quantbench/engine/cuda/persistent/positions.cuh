// What a warp holds of attention: 16 cached positions, a query, and the key and value of the token fed now. Lane
// 4 g + t has of a key or query (head g) dimensions KEY_PART * t and on, of a value VALUE_PART * g and on: runs of
// memory, and the same order in both operands of a product.
#pragma once
#include "exchange.cuh"

constexpr int KEY_PART = HEAD_DIM / 4, VALUE_PART = HEAD_DIM / 8;
constexpr int KEY_WORDS = KEY_PART / 2, VALUE_WORDS = VALUE_PART / 2;
constexpr int STEPS = HEAD_DIM / 16;   // tensor-core products of 16 dimensions
constexpr int RUN = 16;                // positions of a warp at once
constexpr int SWEEP = WARPS * RUN;     // of a block

struct Cache {  // of one layer, batch row and key-value head
  u16 *keys, *values;
};

DEVICE Cache cache_of(const Params& p, int layer, int b, int kv) {
  const long long at = layer * p.layer_stride + b * p.row_stride + kv * p.head_stride;
  return {p.keys + at, p.values + at};
}

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

// Puts the key and value of the token fed now in their place, `at` of the 16.
DEVICE void put_new(Positions& p, int at) {
  const int g = lane() >> 2, t = lane() & 3;
  __align__(16) u32 key[KEY_WORDS], value[VALUE_WORDS];
  load_words<KEY_WORDS>(key, shared().fed.key + KEY_PART * t);
  load_words<VALUE_WORDS>(value, shared().fed.value + VALUE_PART * g);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int w = 0; w < KEY_WORDS; ++w) p.key[i][w] = Positions::key_at(i) == at ? key[w] : p.key[i][w];
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int w = 0; w < VALUE_WORDS; ++w) p.value[i][w] = Positions::value_at(i) == at ? value[w] : p.value[i][w];
  }
}

// Four of a query or key, HEAD_FOURS of them in as many lanes: normed where there is a norm, rotated, times `factor`.
constexpr int HEAD_FOURS = HEAD_DIM / 4;
DEVICE void turn(float (&x)[4], const u16* norm, int b, int four, float factor) {
  if (QK_NORM) {
    const float squares = sum_lanes<HEAD_FOURS>(x[0] * x[0] + x[1] * x[1] + x[2] * x[2] + x[3] * x[3]);
    const float scale = reciprocal_root(squares / HEAD_DIM + shared().params.norm_eps);
#pragma unroll
    for (int e = 0; e < 4; ++e) x[e] *= scale * half_float(norm[4 * four + e]);
  }
  const int angle = four % (HEAD_FOURS / 2) * 4;
  const float sign = four < HEAD_FOURS / 2 ? -factor : factor;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const float other = shuffle_xor(x[e], HEAD_FOURS / 2);  // half a head away
    x[e] = x[e] * shared().cosine[b][angle + e] * factor + other * shared().sine[b][angle + e] * sign;
  }
}

// Which of the fours a thread takes: counted from the last thread, for the first ones come later from the stage before.
DEVICE int new_four(int i) { return THREADS - 1 - thread() + i * THREADS; }

// Waits for the queries of one key-value head and for its new key and value, which all threads leave in shared
// memory; ends with a barrier. `place` is where they belong in the cache, negative where they do not.
DEVICE void read_new(const Layer& layer, const KvSplit& item, const Cache& cache, long long place, u32 epoch) {
  constexpr int FOURS = (HEAD_GROUP + 2) * HEAD_FOURS, EACH = ceil_div(FOURS, THREADS);
  const u32* words = shared().params.qkv_words + item.b * QKV;
  const Quad* from[EACH];
  bool waiting[EACH];
  Quad got[EACH];
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int all = new_four(i), line = least(all / HEAD_FOURS, HEAD_GROUP + 1);
    const int head = line < HEAD_GROUP    ? item.kv * HEAD_GROUP + line
                     : line == HEAD_GROUP ? HEADS + item.kv
                                          : HEADS + KV_HEADS + item.kv;
    from[i] = (const Quad*)words + head * HEAD_FOURS + all % HEAD_FOURS;
    waiting[i] = all < FOURS;
    got[i] = {0, 0, 0, 0};
  }
  poll_quads(got, from, waiting, epoch);
  NewToken& to = shared().fed;
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int all = new_four(i), line = all / HEAD_FOURS, four = all % HEAD_FOURS;
    if ((all & ~31) >= FOURS) continue;  // none of this warp's
    float x[4] = {untagged(got[i].x), untagged(got[i].y), untagged(got[i].z), untagged(got[i].w)};
    float turned[4] = {x[0], x[1], x[2], x[3]};
    const bool query = line < HEAD_GROUP;
    turn(turned, query ? layer.q_norm : layer.k_norm, item.b, four, query ? SOFTMAX_SCALE * 1.44269504f : 1);
    u16* row = query ? to.query[least(line, HEAD_GROUP - 1)] : line == HEAD_GROUP ? to.key : to.value;
#pragma unroll
    for (int e = 0; e < 4; ++e) x[e] = line <= HEAD_GROUP ? turned[e] : x[e];
    const u32 low = pack2(x[0], x[1]), high = pack2(x[2], x[3]);
    if (all >= FOURS) continue;
    u32* word = (u32*)(row + 4 * four);
    word[0] = low, word[1] = high;
    if (!query && place >= 0) {
      u32* cached = (u32*)((line == HEAD_GROUP ? cache.keys : cache.values) + place + 4 * four);
      cached[0] = low, cached[1] = high;
    }
  }
  consumer_barrier();
}
