// What a warp holds of attention: 16 cached positions, a query, and the key and value of the token fed now. Lane
// 4 g + t has of a key or query (head g) dimensions KEY_PART * t and on, of a value VALUE_PART * g and on: runs of
// memory, and the same order in both operands of a product. Keys and values are cached in 16 bits, or as codes of
// 8 bits with a scale a token and head (KV_CODES; engine/kv_format.py), which become 16-bit floats in registers.
#pragma once
#include "exchange.cuh"

constexpr int KEY_PART = HEAD_DIM / 4, VALUE_PART = HEAD_DIM / 8;
constexpr bool CODED = KV_CODES != 0;
constexpr int CELL = CODED ? 1 : 2;    // bytes of a cached element
constexpr int QUERY_WORDS = KEY_PART / 2, KEY_WORDS = KEY_PART * CELL / 4, VALUE_WORDS = VALUE_PART * CELL / 4;
constexpr int STEPS = HEAD_DIM / 16;   // tensor-core products of 16 dimensions
constexpr int RUN = 16;                // positions of a warp at once
constexpr int SWEEP = WARPS * RUN;     // of a block
constexpr float GREATEST = KV_CODES == 1 ? 127 : KV_CODES == 2 ? 448 : 1;  // code

struct Cache {  // of one layer, batch row and key-value head
  u8 *keys, *values;
  float *key_scales, *value_scales;
};

DEVICE Cache cache_of(const Params& p, int layer, int b, int kv) {
  const long long at = layer * p.layer_stride + b * p.row_stride + kv * p.head_stride;
  return {p.keys + at * CELL, p.values + at * CELL, p.key_scales + at / HEAD_DIM, p.value_scales + at / HEAD_DIM};
}

// Four codes as 16-bit floats, exact: they lack their scale.
DEVICE void codes_to_floats(u32 (&h)[2], u32 word) {
#pragma unroll
  for (int i = 0; i < 2; ++i, word >>= 16) {
    if (KV_CODES == 2) {
      h[i] = fp8_to_halves(word & 0xffff);
      if (BF16) h[i] = pack2(real_half_float((u16)h[i]), real_half_float((u16)(h[i] >> 16)));
    } else if (BF16) {
      h[i] = pack2((float)(signed char)word, (float)(signed char)(word >> 8));
    } else {
      h[i] = subtract_halves(permute_bytes(word ^ 0x80808080u, 0x64646464u, 0x4140), 0x64806480u);
    }
  }
}

// A code of a float that is at most the greatest.
DEVICE u32 code_of(float x) { return KV_CODES == 2 ? fp8_of(x) : (u32)nearest_integer(x) & 0xff; }

// This lane's part of 16 cached positions: keys g and g + 8, values 2 t, 2 t + 1, 2 t + 8, 2 t + 9; with codes the scales
// of keys g and g + 8, and what the greatest code of values g and g + 8 is worth.
struct Positions {
  __align__(16) u32 key[2][KEY_WORDS], value[4][VALUE_WORDS];
  float key_scale[2], value_top[2];

  DEVICE static int key_at(int i) { return (lane() >> 2) + 8 * i; }
  DEVICE static int value_at(int i) { return 2 * (lane() & 3) + (i & 1) + 8 * (i >> 1); }

  DEVICE void load(const Cache& cache, int first, int stored) {
    const int g = lane() >> 2, t = lane() & 3;
#pragma unroll
    for (int i = 0; i < 2; ++i) load_or_zero(key[i], cache.keys + KEY_PART * CELL * t, first + key_at(i), stored);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      load_or_zero(value[i], cache.values + VALUE_PART * CELL * g, first + value_at(i), stored);
    if (!CODED) return;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = first + key_at(i);
      key_scale[i] = at < stored ? cache.key_scales[at] : 0;
      value_top[i] = at < stored ? cache.value_scales[at] * GREATEST : 0;
    }
  }
  // For step s of a product: key i's words, and values' of dimensions 2 s and 2 s + 1 at two positions.
  DEVICE void key_words(u32 (&h)[2], int i, int s) const {
    if (CODED) return codes_to_floats(h, key[i][s]);
    h[0] = key[i][2 * s], h[1] = key[i][2 * s + 1];
  }
  DEVICE void value_words(u32 (&h)[2], int i, int s) const {
    if (CODED) return codes_to_floats(h, permute_bytes(value[i][s / 2], value[i + 1][s / 2], s & 1 ? 0x7362 : 0x5140));
    h[0] = permute_bytes(value[i][s], value[i + 1][s], 0x5410);
    h[1] = permute_bytes(value[i][s], value[i + 1][s], 0x7632);
  }

 private:
  // Of position `at` what this lane has of a key or value, zero from `stored` on.
  template <int WORDS>
  DEVICE static void load_or_zero(u32 (&to)[WORDS], const u8* from, long long at, int stored) {
#pragma unroll
    for (int w = 0; w < WORDS; ++w) to[w] = 0;
    if (at < stored) load_words<WORDS>(to, from + at * HEAD_DIM * CELL);
  }
};

// Puts the key and value of the token fed now in their place, `at` of the 16.
DEVICE void put_new(Positions& p, int at) {
  const int g = lane() >> 2, t = lane() & 3;
  const NewToken& fed = shared().fed;
  __align__(16) u32 key[KEY_WORDS], value[VALUE_WORDS];
  load_words<KEY_WORDS>(key, (const u8*)fed.key + KEY_PART * CELL * t);
  load_words<VALUE_WORDS>(value, (const u8*)fed.value + VALUE_PART * CELL * g);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const bool here = Positions::key_at(i) == at;
#pragma unroll
    for (int w = 0; w < KEY_WORDS; ++w) p.key[i][w] = here ? key[w] : p.key[i][w];
    if (!CODED) continue;
    p.key_scale[i] = here ? fed.key_scale : p.key_scale[i];
    p.value_top[i] = here ? fed.value_scale * GREATEST : p.value_top[i];
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

// Four of a key or value, HEAD_FOURS of them in as many lanes -> their codes, and the head's scale.
DEVICE u32 codes_of(u32 low, u32 high, float& scale) {
  float x[4], top = 0, other = 0;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const u32 word = e < 2 ? low : high;
    x[e] = half_float((u16)(e & 1 ? word >> 16 : word));
    top = fmaxf(top, fabsf(x[e]));
    other += x[e] * 0;
  }
#pragma unroll
  for (int mask = HEAD_FOURS / 2; mask; mask >>= 1) top = fmaxf(top, shuffle_xor(top, mask));
  top = fmaxf(top, 1e-30f) + sum_lanes<HEAD_FOURS>(other);  // not a number where one is not finite
  scale = top / GREATEST;
  const float factor = GREATEST / top;
  u32 codes = 0;
#pragma unroll
  for (int e = 0; e < 4; ++e) codes |= code_of(x[e] * factor) << (8 * e);
  return codes;
}

// What is kept of four of a key or value: 16-bit floats, or codes with the head's scale.
struct NewFour {
  u32 words[2];
  float scale;
};
DEVICE void keep_new(const NewFour& x, bool key, int four, const Cache& cache, long long place) {
  constexpr int WORDS = CODED ? 1 : 2;
  NewToken& fed = shared().fed;
  u32* to = (u32*)(key ? fed.key : fed.value) + WORDS * four;
  u32* cached = (u32*)((key ? cache.keys : cache.values) + place * HEAD_DIM * CELL) + WORDS * four;
#pragma unroll
  for (int w = 0; w < WORDS; ++w) {
    to[w] = x.words[w];
    if (place >= 0) cached[w] = x.words[w];
  }
  if (!CODED || four != 0) return;
  (key ? fed.key_scale : fed.value_scale) = x.scale;
  if (place >= 0) (key ? cache.key_scales : cache.value_scales)[place] = x.scale;
}

// Which of the fours a thread takes: counted from the last thread, for the first ones come later from the stage before.
DEVICE int new_four(int i) { return THREADS - 1 - thread() + i * THREADS; }

// Waits for the queries of one key-value head and for its new key and value, which all threads leave in shared
// memory; ends with a barrier. `place` is their position in the cache, negative where they have none.
DEVICE void read_new(const Layer& layer, const KvSplit& item, const Cache& cache, long long place, u32 epoch) {
  constexpr int FOURS = (HEAD_GROUP + 2) * HEAD_FOURS, EACH = ceil_div(FOURS, THREADS);
  const u32* words = shared().params.qkv_words + item.b * QKV;
  const Quad* from[EACH];
  bool waiting[EACH];
  Quad got[EACH];
  Fours offset[EACH], factor[EACH];  // on their way meanwhile
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int all = new_four(i), line = least(all / HEAD_FOURS, HEAD_GROUP + 1);
    const int head = line < HEAD_GROUP    ? item.kv * HEAD_GROUP + line
                     : line == HEAD_GROUP ? HEADS + item.kv
                                          : HEADS + KV_HEADS + item.kv;
    from[i] = (const Quad*)words + head * HEAD_FOURS + all % HEAD_FOURS;
    waiting[i] = all < FOURS;
    got[i] = {0, 0, 0, 0};
    if (!SMOOTHING) continue;
    const int turned = least(head, HEADS + KV_HEADS - 1) * HEAD_FOURS + all % HEAD_FOURS;
    offset[i] = ((const Fours*)layer.smoothing)[turned];
    factor[i] = ((const Fours*)layer.smoothing)[turned + (HEADS + KV_HEADS) * HEAD_FOURS];
  }
  poll_quads(got, from, waiting, epoch);
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int all = new_four(i), line = all / HEAD_FOURS, four = all % HEAD_FOURS;
    if ((all & ~31) >= FOURS) continue;  // none of this warp's
    float x[4] = {untagged(got[i].x), untagged(got[i].y), untagged(got[i].z), untagged(got[i].w)};
    float turned[4] = {x[0], x[1], x[2], x[3]};
    const bool query = line < HEAD_GROUP;
    turn(turned, query ? layer.q_norm : layer.k_norm, item.b, four, query ? SOFTMAX_SCALE * 1.44269504f : 1);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (SMOOTHING) turned[e] = (turned[e] - offset[i].v[e]) * factor[i].v[e];
      x[e] = line <= HEAD_GROUP ? turned[e] : x[e];
    }
    const u32 low = pack2(x[0], x[1]), high = pack2(x[2], x[3]);
    NewFour kept = {{low, high}, 0};
    if (CODED) kept.words[0] = codes_of(low, high, kept.scale);
    if (all >= FOURS) continue;
    if (query)
      *(u64*)(shared().fed.query[line] + 4 * four) = (u64)high << 32 | low;
    else
      keep_new(kept, line == HEAD_GROUP, four, cache, place);
  }
  consumer_barrier();
}
