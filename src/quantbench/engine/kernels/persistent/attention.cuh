// One token's attention over the cache, on tensor cores. A block takes all query heads of one key-value head, so that
// the cache is read once, and a run of positions; a warp takes 16 positions at once. Short texts: at most
// SHORT_SPLITS runs, and whoever needs the result joins the parts. Long texts: as many runs as there are blocks; then
// a block a head joins them.
//
// Scores, positions by heads, are keys times queries; values, dimensions by heads, are cached values times weights.
// Lane 4 g + t has of a key or query (head g) dimensions KEY_PART * t and on, of a value VALUE_PART * g and on:
// runs of memory, and the same order in both operands.
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

// A warp's attention so far, of heads 2 t and 2 t + 1: sums of the values of dimensions VALUE_PART * g and on.
struct Accumulator {
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
  // For send_heads.
  DEVICE void leave() const {
    const int g = lane() >> 2, t = lane() & 3;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int head = 2 * t + h;
      if (head >= HEAD_GROUP) continue;
      if (g == 0) shared().part_weight[warp()][head] = {top[h], sum[h]};
      Pair* to = (Pair*)shared().part_value[warp()][head] + VALUE_WORDS * g;
#pragma unroll
      for (int j = 0; j < STEPS; ++j) to[j] = {value[j][h], value[j][h + 2]};
    }
  }
};

// One item; its results go to pairs and weights, `splits` parts apart from head to head.
DEVICE void attend(int layer, const Item& item, Packet* pairs, Packet* weights, int splits, u32 epoch) {
  const int position = shared().position[item.b], count = item.end - item.begin;
  const bool newest = item.end > position;  // the token fed now is among them
  const Cache cache = cache_of(shared().params, layer, item.b, item.kv);
  const int stored = newest ? item.end - 1 : item.end, mine = item.begin + warp() * RUN;
  if (mine < item.end) {
    Positions p;
    p.load(cache, mine, stored);
    const bool holder = newest && (count - 1) / RUN % WARPS == warp();
    u32 query[KEY_WORDS];
    NewToken token;
    read_new(query, token, shared().layers[layer], item, holder, epoch);
    if (holder && shared().busy[item.b]) token.store(cache, position);
    Accumulator sums;
    sums.clear();
#pragma unroll 1
    for (int at = mine;;) {
      if (holder && item.end - at <= RUN) token.put_into(p, item.end - 1 - at);
      sums.add(p, query, item.end - at);
      if ((at += SWEEP) >= item.end) break;
      p.load(cache, at, stored);
    }
    sums.leave();
  }
  consumer_barrier();
  send_heads(least(ceil_div(count, RUN), WARPS), pairs, weights, splits, epoch);
}

// The positions that a token sees, and how they are shared out.
struct Span {
  int first, count;
};
DEVICE Span span_of(int b, long long window) {
  const int end = shared().position[b] + 1;
  const int first = window < end ? end - (int)window : 0;
  return {first, end - first};
}
constexpr int SHORT_MOST = SHORT_SPLITS * SHORT_SPLIT;  // positions of a short text
DEVICE bool all_short(long long window) {
  bool all = true;
#pragma unroll
  for (int b = 0; b < ROWS; ++b) all = all && span_of(b, window).count <= SHORT_MOST;
  return all;
}
DEVICE int run_length(int count, int splits) { return most(LEAST_RUN, round_up(ceil_div(count, splits), RUN)); }

// Item i of a layer whose texts take at most `splits` parts; empty where begin >= end. `split` says which part.
DEVICE Item item_of(int i, int splits, long long window, int& split) {
  const int kv = i % KV_HEADS, b = i / (KV_HEADS * splits);
  split = i / KV_HEADS % splits;
  const Span span = span_of(b, window);
  const int length = run_length(span.count, splits), begin = split * length;
  return {b, kv, span.first + begin, span.first + least(begin + length, span.count)};
}

// Into how many parts each batch row's attention comes.
DEVICE void count_parts(int (&parts)[ROWS], long long window) {
  const bool is_short = all_short(window);
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    const int count = span_of(b, window).count;
    parts[b] = is_short ? ceil_div(count, run_length(count, SHORT_SPLITS)) : 1;
  }
}

// The copying warp asks for the keys and values that this block will need.
DEVICE void prefetch_cache(const Params& p, int layer) {
  const long long window = shared().layers[layer].window;
  if (block() >= ROWS * KV_HEADS * SHORT_SPLITS || !all_short(window)) return;
  int split;
  const Item item = item_of(block(), SHORT_SPLITS, window, split);
  const Cache cache = cache_of(p, layer, item.b, item.kv);
#pragma unroll 1
  for (int at = item.begin + lane(); at < item.end; at += 32) {
    prefetch(cache.keys + (long long)at * HEAD_DIM);
    prefetch(cache.values + (long long)at * HEAD_DIM);
  }
}

// The attention of all batch rows, on its way to all blocks.
DEVICE_CALL void attention(int layer, u32 epoch) {
  const Params& p = shared().params;
  const long long window = shared().layers[layer].window;
  const bool is_short = all_short(window);
  const int splits = is_short ? SHORT_SPLITS : LONG_SPLITS;
  Packet* packets = is_short ? p.part_packets : p.long_packets;
  Packet* weights = is_short ? p.part_weight : p.long_weight;
#pragma unroll 1
  for (int i = block(); i < ROWS * KV_HEADS * splits; i += BLOCKS) {
    int split;
    const Item item = item_of(i, splits, window, split);
    const int part = (item.b * HEADS + item.kv * HEAD_GROUP) * splits + split;
    if (item.begin >= item.end) continue;
    if (i >= BLOCKS) consumer_barrier();  // the last item's parts have been read
    attend(layer, item, packets + (long long)part * (HEAD_DIM / 2), weights + part, splits, epoch);
  }
  if (is_short) return;
#pragma unroll 1
  for (int i = block(); i < ROWS * HEADS; i += BLOCKS) {
    const int count = span_of(i / HEADS, window).count;
    join_parts(p.long_packets + (long long)i * LONG_SPLITS * (HEAD_DIM / 2), p.long_weight + i * LONG_SPLITS,
               ceil_div(count, run_length(count, LONG_SPLITS)),
               p.part_packets + (long long)i * SHORT_SPLITS * (HEAD_DIM / 2), p.part_weight + i * SHORT_SPLITS, epoch);
  }
}
