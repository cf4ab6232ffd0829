// One token's attention over the cache, on tensor cores. A block takes all query heads of one key-value head, so that
// the cache is read once, and a run of positions; a warp takes 16 positions at once. Short texts: at most
// SHORT_SPLITS runs, and whoever needs the result joins the parts. Long texts: as many runs as there are blocks; then
// a block a head joins them.
//
// Scores, positions by heads, are keys times queries; values, dimensions by heads, are cached values times weights.
// positions.cuh says which lane holds what.
#pragma once
#include "positions.cuh"

// A warp's attention so far, of heads 2 t and 2 t + 1: sums of the values of dimensions VALUE_PART * g and on, times
// GREATEST.
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
  DEVICE void add(const Positions& p, const u32 (&query)[QUERY_WORDS], int valid) {
    float score[4], share[4];
    scores_of(score, p, query, valid);
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
    u32 low = transpose8(pack2(share[0], share[1])), high = transpose8(pack2(share[2], share[3]));
    constexpr u32 ALL = BF16 ? 0x3f803f80u : ONES;
    multiply_accumulate(sum, ALL, ALL, ALL, ALL, low, high);
    if (CODED) {  // weights times the greatest values: products with codes are values times GREATEST
      low = transpose8(pack2(share[0] * p.value_top[0], share[1] * p.value_top[0]));
      high = transpose8(pack2(share[2] * p.value_top[1], share[3] * p.value_top[1]));
    }
#pragma unroll
    for (int j = 0; j < STEPS; ++j) {
      u32 a[2], b[2];
      p.value_words(a, 0, j);
      p.value_words(b, 2, j);
      multiply_accumulate(value[j], a[0], a[1], b[0], b[1], low, high);
    }
  }
  // For send_heads.
  DEVICE void leave() const {
    const int g = lane() >> 2, t = lane() & 3;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int head = 2 * t + h;
      if (head >= HEAD_GROUP) continue;
      if (g == 0) shared().part_weight[warp()][head] = {top[h], sum[h]};
      Fours* to = shared().part_value[warp()][head] + STEPS / 2 * g;
#pragma unroll
      for (int j = 0; j < STEPS; j += 2) {  // odd rows begin with the second four, so that all banks are busy
        const bool odd = STEPS > 2 && g & 1;
        const int other = STEPS > 2 ? j ^ 2 : j;
        Fours four;
#pragma unroll
        for (int e = 0; e < 4; ++e)
          four.v[e] = (odd ? value[other + e / 2][h + 2 * (e % 2)] : value[j + e / 2][h + 2 * (e % 2)]) * (1 / GREATEST);
        to[(odd ? other : j) / 2] = four;
      }
    }
  }

 private:
  // In powers of two; NOTHING for positions that do not count.
  DEVICE static void scores_of(float (&score)[4], const Positions& p, const u32 (&query)[QUERY_WORDS], int valid) {
    float even[4] = {0, 0, 0, 0}, odd[4] = {0, 0, 0, 0};
#pragma unroll
    for (int s = 0; s < STEPS; ++s) {
      u32 a[2], b[2];
      p.key_words(a, 0, s);
      p.key_words(b, 1, s);
      multiply_accumulate(s & 1 ? odd : even, a[0], b[0], a[1], b[1], query[2 * s], query[2 * s + 1]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float whole = (even[i] + odd[i]) * (CODED ? p.key_scale[i >> 1] : 1);
      score[i] = Positions::key_at(i >> 1) < valid ? whole : NOTHING;
    }
  }
};

// One item; its result goes to parts, those of two heads `splits` parts apart.
DEVICE void attend(int layer, const KvSplit& item, Quad* parts, int splits, u32 epoch) {
  const int position = shared().position[item.b], count = item.end - item.begin;
  const bool newest = item.end > position;  // the token fed now is among them
  const Cache cache = cache_of(shared().params, layer, item.b, item.kv);
  const int stored = newest ? item.end - 1 : item.end, mine = item.begin + warp() * RUN;
  Positions p, next;
  p.load(cache, mine, stored);
  next.load(cache, mine + SWEEP, stored);
  const long long place = newest && shared().busy[item.b] ? position : -1;
  read_new(shared().layers[layer], item, cache, place, epoch);
  if (mine < item.end) {
    const bool holder = newest && (count - 1) / RUN % WARPS == warp();
    __align__(16) u32 query[QUERY_WORDS];
    load_words<QUERY_WORDS>(query, shared().fed.query[least(lane() >> 2, HEAD_GROUP - 1)] + KEY_PART * (lane() & 3));
    Accumulator sums;
    sums.clear();
#pragma unroll 1
    for (int at = mine; at < item.end; at += SWEEP) {  // the next positions are on their way meanwhile
      if (holder && item.end - at <= RUN) put_new(p, item.end - 1 - at);
      sums.add(p, query, item.end - at);
      p = next;
      next.load(cache, at + 2 * SWEEP, stored);
    }
    sums.leave();
  }
  consumer_barrier();
  send_heads(least(ceil_div(count, RUN), WARPS), parts, splits, epoch);
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
constexpr int MOST_AHEAD = 96 * 1024;  // bytes: so that a layer's cache of all blocks stays in the second-level cache
constexpr int SHORT_MOST = SHORT_SPLITS * SHORT_SPLIT;  // positions of a short text
DEVICE bool all_short(long long window) {
  bool all = true;
#pragma unroll
  for (int b = 0; b < ROWS; ++b) all = all && span_of(b, window).count <= SHORT_MOST;
  return all;
}
DEVICE int run_length(int count, int splits) { return most(LEAST_RUN, round_up(ceil_div(count, splits), RUN)); }

// KvSplit i of a layer whose texts take at most SPLITS parts; empty where begin >= end.
template <int SPLITS>
DEVICE KvSplit split_of(int i, long long window) {
  const int kv = i % KV_HEADS, split = i / KV_HEADS % SPLITS, b = i / (KV_HEADS * SPLITS);
  if (b >= ROWS) return {0, 0, 0, 0, 0};
  const Span span = span_of(b, window);
  const int length = run_length(span.count, SPLITS), begin = split * length;
  return {b, kv, split, span.first + begin, span.first + least(begin + length, span.count)};
}
DEVICE KvSplit split_of(int i, long long window, bool is_long) {
  return is_long ? split_of<LONG_SPLITS>(i, window) : split_of<SHORT_SPLITS>(i, window);
}

// Before the first layer: positions stay the same for the whole step.
DEVICE void plan_attention(int layer) {
  const long long window = shared().layers[layer].window;
  AttentionPlan& share = shared().plans[layer];
  share.is_long = !all_short(window);
  share.item = split_of(block(), window, share.is_long);
  for (int b = 0; b < ROWS; ++b) {
    const int count = span_of(b, window).count;
    share.parts[b] = share.is_long ? 1 : ceil_div(count, run_length(count, SHORT_SPLITS));
  }
}

// Brings the cache that this block reads in a layer into the second-level cache, before it is needed.
DEVICE void ask_for_cache(int layer) {
  if (!ASK_AHEAD || layer >= LAYERS || thread() >= 4) return;
  const KvSplit& item = shared().plans[layer].item;
  const int count = least(item.end, shared().position[item.b]) - item.begin;
  if (count <= 0) return;
  const Cache cache = cache_of(shared().params, layer, item.b, item.kv);
  const u8* from = (thread() & 1 ? cache.values : cache.keys) + (long long)item.begin * HEAD_DIM * CELL;
  u32 bytes = count * HEAD_DIM * CELL;
  if (thread() >= 2) {
    if (!CODED) return;
    from = (const u8*)((thread() & 1 ? cache.value_scales : cache.key_scales) + item.begin);
    bytes = count * 4;
  }
  const u32 over = (u32)(u64)from & 15;
  prefetch_bulk(from - over, least(round_up(bytes + over, 16), MOST_AHEAD));
}

// The attention of all batch rows, on its way to all blocks.
DEVICE_CALL void attention(int layer, u32 epoch) {
  const Params& p = shared().params;
  const bool is_long = shared().plans[layer].is_long;
  const long long window = shared().layers[layer].window;
  const int splits = is_long ? LONG_SPLITS : SHORT_SPLITS;
  Quad* parts = is_long ? p.long_parts : p.parts;
  KvSplit item = shared().plans[layer].item;
#pragma unroll 1
  for (int i = block(); i < ROWS * KV_HEADS * splits; i += BLOCKS) {
    if (i >= BLOCKS) {
      item = split_of(i, window, is_long);
      consumer_barrier();  // the last item's parts have been read
    }
    const int part = (item.b * HEADS + item.kv * HEAD_GROUP) * splits + item.split;
    if (item.begin < item.end) attend(layer, item, parts + (long long)part * PART, splits, epoch);
  }
  ask_for_cache(layer + 1);
  if (!is_long) return;
#pragma unroll 1
  for (int i = BLOCKS - 1 - block(); i < ROWS * HEADS; i += BLOCKS) {  // the last blocks may have had no item
    const int count = span_of(i / HEADS, window).count;
    join_parts(p.long_parts + (long long)i * LONG_SPLITS * PART, ceil_div(count, run_length(count, LONG_SPLITS)),
               p.parts + i * SHORT_SPLITS * PART, epoch);
  }
}
