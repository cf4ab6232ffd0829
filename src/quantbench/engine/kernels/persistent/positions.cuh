// What a warp holds of attention: 16 cached positions, a query, and the key and value of the token fed now. Lane
// 4 g + t has of a key or query (head g) dimensions KEY_PART * t and on, of a value VALUE_PART * g and on: runs of
// memory, and the same order in both operands of a product.
#pragma once

constexpr int KEY_PART = HEAD_DIM / 4, VALUE_PART = HEAD_DIM / 8;
constexpr int KEY_WORDS = KEY_PART / 2, VALUE_WORDS = VALUE_PART / 2;
constexpr int STEPS = HEAD_DIM / 16;   // tensor-core products of 16 dimensions
constexpr int RUN = 16;                // positions of a warp at once
constexpr int SWEEP = WARPS * RUN;     // of a block

// Key or value numbers of the token fed now: COUNT of them from `words`.
template <int COUNT>
DEVICE void list_quads(const Quad** from, const u32* words) {
#pragma unroll
  for (int i = 0; i < COUNT / 4; ++i) from[i] = (const Quad*)words + i;
}
template <int COUNT>
DEVICE void read_quads(float (&to)[COUNT], const Quad* got) {
#pragma unroll
  for (int i = 0; i < COUNT / 4; ++i) {
    to[4 * i] = untagged(got[i].x);
    to[4 * i + 1] = untagged(got[i].y);
    to[4 * i + 2] = untagged(got[i].z);
    to[4 * i + 3] = untagged(got[i].w);
  }
}

// This lane's part of a query or key: normed where there is a norm, rotated, times `factor`, in 16 bits.
DEVICE void turn(u32 (&to)[KEY_WORDS], float (&x)[KEY_PART], const u16* norm, int b, float factor) {
  const int t = lane() & 3;
  if (QK_NORM) {
    float squares = 0;
#pragma unroll
    for (int e = 0; e < KEY_PART; ++e) squares += x[e] * x[e];
    squares += shuffle_xor(squares, 1);
    squares += shuffle_xor(squares, 2);
    const float scale = reciprocal_root(squares / HEAD_DIM + shared().params.norm_eps);
#pragma unroll
    for (int e = 0; e < KEY_PART; ++e) x[e] *= scale * half_float(norm[KEY_PART * t + e]);
  }
  const float* cosine = shared().cosine[b] + KEY_PART * (t & 1);
  const float* sine = shared().sine[b] + KEY_PART * (t & 1);
  const float sign = t < 2 ? -factor : factor;
  float y[KEY_PART];
#pragma unroll
  for (int e = 0; e < KEY_PART; ++e) {
    const float other = shuffle_xor(x[e], 2);  // half a head away
    y[e] = x[e] * cosine[e] * factor + other * sine[e] * sign;
  }
#pragma unroll
  for (int i = 0; i < KEY_WORDS; ++i) to[i] = pack2(y[2 * i], y[2 * i + 1]);
}

struct Cache {  // of one layer, batch row and key-value head
  u16 *keys, *values;
};

DEVICE Cache cache_of(const Params& p, int layer, int b, int kv) {
  const long long at = layer * p.layer_stride + b * p.row_stride + kv * p.head_stride;
  return {p.keys + at, p.values + at};
}

struct Item {  // all query heads of key-value head kv over positions begin .. end - 1 of batch row b
  int b, kv, begin, end;
};

// This lane's part of 16 cached positions: keys g and g + 8, values 2 t, 2 t + 1, 2 t + 8, 2 t + 9.
struct Positions {
  __align__(16) u32 key[2][KEY_WORDS], value[4][VALUE_WORDS];

  DEVICE static int key_at(int i) { return (lane() >> 2) + 8 * i; }
  DEVICE static int value_at(int i) { return 2 * (lane() & 3) + (i & 1) + 8 * (i >> 1); }

  DEVICE void load(const Cache& cache, int first, int stored) {
    const int g = lane() >> 2, t = lane() & 3;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int w = 0; w < KEY_WORDS; ++w) key[i][w] = 0;
      const long long at = first + key_at(i);
      if (at < stored) load_words<KEY_WORDS>(key[i], cache.keys + at * HEAD_DIM + KEY_PART * t);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int w = 0; w < VALUE_WORDS; ++w) value[i][w] = 0;
      const long long at = first + value_at(i);
      if (at < stored) load_words<VALUE_WORDS>(value[i], cache.values + at * HEAD_DIM + VALUE_PART * g);
    }
  }
};

// The key and value of the token fed now, as the lanes of the warp that holds its position have them.
struct NewToken {
  u32 key[KEY_WORDS], value[VALUE_WORDS];

  DEVICE void put_into(Positions& p, int at) const {  // `at` of its 16
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
  DEVICE void store(const Cache& cache, int position) const {
    const int g = lane() >> 2, t = lane() & 3;
    u32* keys = (u32*)(cache.keys + (long long)position * HEAD_DIM + KEY_PART * t);
    u32* values = (u32*)(cache.values + (long long)position * HEAD_DIM + VALUE_PART * g);
#pragma unroll
    for (int w = 0; w < KEY_WORDS; ++w)
      if (g == 0) keys[w] = key[w];
#pragma unroll
    for (int w = 0; w < VALUE_WORDS; ++w)
      if (t == 0) values[w] = value[w];
  }
};

// Waits for the queries and, where `holder`, for the new key and value.
DEVICE void read_new(u32 (&query)[KEY_WORDS], NewToken& token, const Layer& layer, const Item& item, bool holder,
                     u32 epoch) {
  const Params& p = shared().params;
  const int g = lane() >> 2, t = lane() & 3;
  constexpr int KEY_QUADS = KEY_PART / 4, VALUE_QUADS = VALUE_PART / 4, COUNT = 2 * KEY_QUADS + VALUE_QUADS;
  const u32* words = p.qkv_words + item.b * QKV;
  const Quad* from[COUNT];
  bool waiting[COUNT];
  Quad got[COUNT];
  list_quads<KEY_PART>(from, words + (item.kv * HEAD_GROUP + least(g, HEAD_GROUP - 1)) * HEAD_DIM + KEY_PART * t);
  list_quads<KEY_PART>(from + KEY_QUADS, words + Q_SIZE + item.kv * HEAD_DIM + KEY_PART * t);
  list_quads<VALUE_PART>(from + 2 * KEY_QUADS, words + Q_SIZE + KV_SIZE + item.kv * HEAD_DIM + VALUE_PART * g);
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
    waiting[i] = i < KEY_QUADS || holder;
    got[i] = {0, 0, 0, 0};
  }
  poll_quads(got, from, waiting, epoch);
  float line[KEY_PART];
  read_quads<KEY_PART>(line, got);
  turn(query, line, layer.q_norm, item.b, SOFTMAX_SCALE * 1.44269504f);
  if (!holder) return;
  read_quads<KEY_PART>(line, got + KEY_QUADS);
  turn(token.key, line, layer.k_norm, item.b, 1);
  float value[VALUE_PART];
  read_quads<VALUE_PART>(value, got + 2 * KEY_QUADS);
#pragma unroll
  for (int i = 0; i < VALUE_WORDS; ++i) token.value[i] = pack2(value[2 * i], value[2 * i + 1]);
}
