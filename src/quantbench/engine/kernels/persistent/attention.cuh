// One token's attention over the cache, positions split over blocks. Short texts: a block takes one query head
// and SHORT_SPLIT positions, and whoever needs the result joins the parts. Long texts: a block takes all query
// heads of one key-value head (the cache is read once) and a long run of positions; then a block a head joins
// the parts, treating each part as a position whose score is its log-sum. Scores are in powers of two.
#pragma once

constexpr int SUB = HEAD_DIM / 8;                  // lanes that share a position, 8 dimensions each
constexpr int SIDE = 32 / SUB;                     // positions of a warp at once
constexpr int SWEEP = WARPS * SIDE;                // positions of a block at once
constexpr float NOTHING = -1e30f;                  // a score below all others that still subtracts

template <int N>
struct Accumulator {  // of N query heads, 8 dimensions a lane
  float top[N], sum[N], value[N][8];

  DEVICE void clear() {
#pragma unroll
    for (int n = 0; n < N; ++n) {
      top[n] = NOTHING;
      sum[n] = 0;
#pragma unroll
      for (int e = 0; e < 8; ++e) value[n][e] = 0;
    }
  }
  DEVICE void add(int n, float score, const float (&v)[8], bool valid) {
    const float now = fmaxf(top[n], score);
    const float keep = exp2_fast(top[n] - now), share = valid ? exp2_fast(score - now) : 0;
    top[n] = now;
    sum[n] = sum[n] * keep + share;
#pragma unroll
    for (int e = 0; e < 8; ++e) value[n][e] = value[n][e] * keep + share * v[e];
  }
};

DEVICE void unpack8(float (&to)[8], const Quad& from) {
  const u32 words[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = half_float((u16)words[i]);
    to[2 * i + 1] = half_float((u16)(words[i] >> 16));
  }
}

// Joins one head's accumulators of all lanes and warps; the result goes out as pairs and a log-sum.
template <int N>
DEVICE void merge(Accumulator<N>& a, int n, Packet* pairs, Packet* weight, u32 epoch) {
  float(&lines)[WARPS][MERGE_STRIDE] = shared().merge[n & 1];
  float top = a.top[n];
#pragma unroll
  for (int mask = SUB; mask < 32; mask <<= 1) top = fmaxf(top, shuffle_xor(top, mask));
  const float keep = exp2_fast(a.top[n] - top);
  float sum = a.sum[n] * keep;
#pragma unroll
  for (int mask = SUB; mask < 32; mask <<= 1) sum += shuffle_xor(sum, mask);
#pragma unroll
  for (int e = 0; e < 8; ++e) {
    float value = a.value[n][e] * keep;
#pragma unroll
    for (int mask = SUB; mask < 32; mask <<= 1) value += shuffle_xor(value, mask);
    if (lane() < SUB) lines[warp()][lane() * 8 + e] = value;
  }
  if (lane() == 0) {
    lines[warp()][HEAD_DIM] = top;
    lines[warp()][HEAD_DIM + 1] = sum;
  }
  consumer_barrier();
  if (thread() >= HEAD_DIM / 2) return;
  float highest = NOTHING, whole = 0, low = 0, high = 0;
#pragma unroll
  for (int w = 0; w < WARPS; ++w) highest = fmaxf(highest, lines[w][HEAD_DIM]);
#pragma unroll
  for (int w = 0; w < WARPS; ++w) {
    const float share = exp2_fast(lines[w][HEAD_DIM] - highest);
    whole += share * lines[w][HEAD_DIM + 1];
    low += share * lines[w][2 * thread()];
    high += share * lines[w][2 * thread() + 1];
  }
  store_packet(pairs + thread(), pack2(low / whole, high / whole), epoch);
  if (thread() == 0) store_packet(weight, float_bits(highest + log2_fast(whole)), epoch);
}

// A head of the new token from packets, normed and turned: dimension lane() + 32 i in the warp's `to`.
DEVICE void read_head(float* to, const Packet* packets, const u16* norm, bool turn, int b, const Params& p,
                      u32 epoch) {
  float squares = 0;
  for (int d = lane(); d < HEAD_DIM; d += 32) {
    to[d] = bits_float(poll_one(packets + d, epoch));
    squares += to[d] * to[d];
  }
  if (norm) {
    const float scale = reciprocal_root(warp_sum(squares) / HEAD_DIM + p.norm_eps);
    for (int d = lane(); d < HEAD_DIM; d += 32) to[d] *= scale * half_float(norm[d]);
  }
  warp_barrier();
  if (turn) {
    for (int d = lane(); d < HEAD_DIM / 2; d += 32) {
      const float low = to[d], high = to[d + HEAD_DIM / 2];
      const float c = shared().cosine[b][d], s = shared().sine[b][d];
      to[d] = low * c - high * s;
      to[d + HEAD_DIM / 2] = high * c + low * s;
    }
    warp_barrier();
  }
}

struct Cache {  // of one layer, batch row and key-value head
  u16 *keys, *values;
};

DEVICE Cache cache_of(const Params& p, int layer, int b, int kv) {
  const long long at = layer * p.layer_stride + b * p.row_stride + kv * p.head_stride;
  return {p.keys + at, p.values + at};
}

// Queries head .. head + N - 1 of the new token, scaled, into shared memory; its key and value too where this
// item holds the newest position, and into the cache where `keep`. Ends with a barrier.
template <int N>
DEVICE void read_heads(const Params& p, const Layer& layer, int b, int head, int kv, bool newest,
                       const Cache* keep, u32 epoch) {
  const Packet* packets = p.qkv_packets + (long long)b * QKV;
  for (int n = warp(); n < N + (newest ? 2 : 0); n += WARPS) {
    if (n < N) {
      float* query = shared().query[n];
      read_head(query, packets + (head + n) * HEAD_DIM, layer.q_norm, true, b, p, epoch);
      for (int d = lane(); d < HEAD_DIM; d += 32) query[d] *= SOFTMAX_SCALE * 1.44269504f;
    } else {
      const bool is_key = n == N;
      float* line = shared().new_line[is_key ? 0 : 1];
      read_head(line, packets + Q_SIZE + (is_key ? 0 : KV_SIZE) + kv * HEAD_DIM, is_key ? layer.k_norm : nullptr,
                is_key, b, p, epoch);
      u16* target = is_key ? shared().new_key : shared().new_value;
      u16* stored = keep ? (is_key ? keep->keys : keep->values) + (long long)shared().position[b] * HEAD_DIM : nullptr;
      for (int d = lane(); d < HEAD_DIM; d += 32) {
        target[d] = (u16)pack2(line[d], 0);
        if (stored) stored[d] = target[d];
      }
    }
  }
  consumer_barrier();
}

// One item: N query heads from `head` on over positions begin .. end - 1 of batch row b.
template <int N>
DEVICE void attend(const Params& p, int layer, int b, int head, int begin, int end, Packet* pairs, Packet* weight,
                   int splits, u32 epoch) {
  const int kv = head / HEAD_GROUP, position = shared().position[b];
  const bool newest = end > position;  // the token fed now is among them
  const Cache cache = cache_of(p, layer, b, kv);
  const int stored = newest ? end - 1 : end, sub = lane() % SUB;
  const int mine = begin + warp() * SIDE + lane() / SUB;
  Quad key[2], value[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int at = mine + i * SWEEP;
    key[i] = value[i] = {0, 0, 0, 0};
    if (at < stored) {
      key[i] = *(const Quad*)(cache.keys + (long long)at * HEAD_DIM + sub * 8);
      value[i] = *(const Quad*)(cache.values + (long long)at * HEAD_DIM + sub * 8);
    }
  }
  const bool keep = newest && head % HEAD_GROUP == 0 && position < p.capacity && shared().busy[b];
  read_heads<N>(p, shared().layers[layer], b, head, kv, newest, keep ? &cache : nullptr, epoch);
  Accumulator<N> a;
  a.clear();
  for (int start = begin; start < end; start += 2 * SWEEP) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = start + (mine - begin) + i * SWEEP, next = at + 2 * SWEEP;
      const bool valid = at < end;
      if (newest && at == end - 1) {
        key[i] = *(const Quad*)&shared().new_key[sub * 8];
        value[i] = *(const Quad*)&shared().new_value[sub * 8];
      }
      float line[8], score[N];
      unpack8(line, key[i]);
      if (next < stored) key[i] = *(const Quad*)(cache.keys + (long long)next * HEAD_DIM + sub * 8);
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const float* q = &shared().query[n][sub * 8];
        score[n] = 0;
#pragma unroll
        for (int e = 0; e < 8; ++e) score[n] += q[e] * line[e];
#pragma unroll
        for (int mask = 1; mask < SUB; mask <<= 1) score[n] += shuffle_xor(score[n], mask);
      }
      unpack8(line, value[i]);
      if (next < stored) value[i] = *(const Quad*)(cache.values + (long long)next * HEAD_DIM + sub * 8);
#pragma unroll
      for (int n = 0; n < N; ++n) a.add(n, valid ? score[n] : NOTHING, line, valid);
    }
  }
#pragma unroll
  for (int n = 0; n < N; ++n)
    merge(a, n, pairs + (long long)n * splits * (HEAD_DIM / 2), weight + n * splits, epoch);
}

// Joins the `count` long parts of one head.
DEVICE void join_parts(const Packet* pairs, const Packet* weights, int count, Packet* to, Packet* to_weight,
                       u32 epoch) {
  const int sub = lane() % SUB;
  Accumulator<1> a;
  a.clear();
  consumer_barrier();  // the last merge has been read
  for (int start = 0; start < count; start += SWEEP) {
    const int part = start + warp() * SIDE + lane() / SUB;
    const bool valid = part < count;
    const Packet* at = pairs + (long long)part * (HEAD_DIM / 2) + sub * 4;
    const Packet* from[2] = {valid ? at : nullptr, valid ? at + 2 : nullptr};
    Packets got[2] = {};
    poll(got, from, epoch);
    const float score = valid ? bits_float(poll_one(weights + part, epoch)) : NOTHING;
    const Quad words = {got[0].a.value, got[0].b.value, got[1].a.value, got[1].b.value};
    float v[8];
    unpack8(v, words);
    a.add(0, score, v, valid);
  }
  merge(a, 0, to, to_weight, epoch);
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

// The attention of all batch rows; afterwards parts[b] parts of every head are under way to all blocks.
DEVICE void attention(const Params& p, int layer, int (&parts)[ROWS], u32 epoch) {
  const long long window = shared().layers[layer].window;
  int longest = 0;
#pragma unroll
  for (int b = 0; b < ROWS; ++b) longest = most(longest, span_of(b, window).count);
  const bool is_short = longest <= SHORT_SPLIT * SHORT_SPLITS;
#pragma unroll
  for (int b = 0; b < ROWS; ++b) parts[b] = is_short ? ceil_div(span_of(b, window).count, SHORT_SPLIT) : 1;
  if (is_short) {
    for (int i = block(); i < ROWS * HEADS * SHORT_SPLITS; i += BLOCKS) {
      const int head = i % HEADS, split = i / HEADS % SHORT_SPLITS, b = i / (HEADS * SHORT_SPLITS);
      const Span span = span_of(b, window);
      const int begin = split * SHORT_SPLIT, end = least(begin + SHORT_SPLIT, span.count);
      const int part = (b * HEADS + head) * SHORT_SPLITS + split;
      if (begin < end)
        attend<1>(p, layer, b, head, span.first + begin, span.first + end,
                  p.part_packets + (long long)part * (HEAD_DIM / 2), p.part_weight + part, SHORT_SPLITS, epoch);
    }
    return;
  }
  for (int i = block(); i < ROWS * KV_HEADS * LONG_SPLITS; i += BLOCKS) {
    const int kv = i % KV_HEADS, split = i / KV_HEADS % LONG_SPLITS, b = i / (KV_HEADS * LONG_SPLITS);
    const Span span = span_of(b, window);
    const int length = ceil_div(span.count, LONG_SPLITS);
    const int begin = split * length, end = least(begin + length, span.count);
    const int part = (b * HEADS + kv * HEAD_GROUP) * LONG_SPLITS + split;
    if (begin < end)
      attend<HEAD_GROUP>(p, layer, b, kv * HEAD_GROUP, span.first + begin, span.first + end,
                         p.long_packets + (long long)part * (HEAD_DIM / 2), p.long_weight + part, LONG_SPLITS, epoch);
  }
  for (int i = block(); i < ROWS * HEADS; i += BLOCKS) {
    const Span span = span_of(i / HEADS, window);
    const int count = ceil_div(span.count, ceil_div(span.count, LONG_SPLITS));
    join_parts(p.long_packets + (long long)i * LONG_SPLITS * (HEAD_DIM / 2), p.long_weight + i * LONG_SPLITS, count,
               p.part_packets + (long long)i * SHORT_SPLITS * (HEAD_DIM / 2), p.part_weight + i * SHORT_SPLITS, epoch);
  }
}
