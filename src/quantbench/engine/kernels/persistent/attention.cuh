// One token's attention over the cache, positions split over blocks. Short texts: a block takes one query head
// and SHORT_SPLIT positions, and whoever needs the result joins the parts. Long texts: a block takes all query
// heads of one key-value head (the cache is read once) and a long run of positions; then a block a head joins
// the parts, treating each part as a position whose score is its log-sum. Scores are in powers of two.
#pragma once

// Eight dimensions of a new head, and those that they turn with: words of all 4 quads.
struct HeadWords {
  Quad own[2], other[2];
};

DEVICE void eight(float (&to)[8], const Quad (&from)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    to[4 * i] = untagged(from[i].x);
    to[4 * i + 1] = untagged(from[i].y);
    to[4 * i + 2] = untagged(from[i].z);
    to[4 * i + 3] = untagged(from[i].w);
  }
}

DEVICE int own_dimension() { return lane() % SUB * 8; }
DEVICE int other_dimension() { return (lane() % SUB * 8 + HEAD_DIM / 2) % HEAD_DIM; }

// Dimensions own_dimension() .. + 7 of a head, normed where there is a norm, and rotated.
DEVICE void turn(float (&to)[8], const HeadWords& words, const u16* norm, int b, float eps) {
  float other[8];
  eight(to, words.own);
  eight(other, words.other);
  if (QK_NORM) {
    float squares = 0;
#pragma unroll
    for (int e = 0; e < 8; ++e) squares += to[e] * to[e];
    const float scale = reciprocal_root(sum_lanes<SUB>(squares) / HEAD_DIM + eps);
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      to[e] *= scale * half_float(norm[own_dimension() + e]);
      other[e] *= scale * half_float(norm[other_dimension() + e]);
    }
  }
  const int first = own_dimension() % (HEAD_DIM / 2);
  const float sign = own_dimension() < HEAD_DIM / 2 ? -1 : 1;
#pragma unroll
  for (int e = 0; e < 8; ++e)
    to[e] = to[e] * shared().cosine[b][first + e] + sign * other[e] * shared().sine[b][first + e];
}

DEVICE Quad pack8(const float (&x)[8]) {
  return {pack2(x[0], x[1]), pack2(x[2], x[3]), pack2(x[4], x[5]), pack2(x[6], x[7])};
}

struct NewToken {
  float query[8];
  Quad key, value;
};

// Reads the new token's query head and, where `holder`, its key and value: the warp that holds its position.
DEVICE void read_new(NewToken& token, const Params& p, const Layer& layer, int b, int head, int kv, bool holder,
                     u32 epoch) {
  const u32* words = p.qkv_words + b * QKV;
  const Quad *own = (const Quad*)(words + own_dimension()), *other = (const Quad*)(words + other_dimension());
  const int at[3] = {head * (HEAD_DIM / 4), (Q_SIZE + kv * HEAD_DIM) / 4, (Q_SIZE + KV_SIZE + kv * HEAD_DIM) / 4};
  const Quad* from[10];
  Quad got[10];
#pragma unroll
  for (int i = 0; i < 10; ++i) {
    got[i] = {0, 0, 0, 0};
    from[i] = (i & 2 ? other : own) + at[i / 4] + (i & 1);
    if (i >= 4 && !holder) from[i] = nullptr;
  }
  poll_quads(got, from, epoch);
  turn(token.query, {{got[0], got[1]}, {got[2], got[3]}}, layer.q_norm, b, p.norm_eps);
#pragma unroll
  for (int e = 0; e < 8; ++e) token.query[e] *= SOFTMAX_SCALE * 1.44269504f;
  if (!holder) return;
  float line[8];
  turn(line, {{got[4], got[5]}, {got[6], got[7]}}, layer.k_norm, b, p.norm_eps);
  token.key = pack8(line);
  eight(line, {got[8], got[9]});
  token.value = pack8(line);
}

struct Cache {  // of one layer, batch row and key-value head
  u16 *keys, *values;
};

DEVICE Cache cache_of(const Params& p, int layer, int b, int kv) {
  const long long at = layer * p.layer_stride + b * p.row_stride + kv * p.head_stride;
  return {p.keys + at, p.values + at};
}

struct Item {  // query heads from `head` on over positions begin .. end - 1 of batch row b
  int b, head, begin, end;
};

// One item of N query heads; its results go to pairs and weight, `splits` parts apart from head to head.
template <int N>
DEVICE void attend(const Params& p, int layer, const Item& item, Packet* pairs, Packet* weight, int splits, u32 epoch) {
  const int kv = item.head / HEAD_GROUP, position = shared().position[item.b], end = item.end;
  const bool newest = end > position;  // the token fed now is among them
  const Cache cache = cache_of(p, layer, item.b, kv);
  const int stored = newest ? end - 1 : end;
  const int mine = item.begin + warp() * SIDE + lane() / SUB;
  Quad key = {0, 0, 0, 0}, value = key;
  if (mine < stored) {
    key = *(const Quad*)(cache.keys + (long long)mine * HEAD_DIM + own_dimension());
    value = *(const Quad*)(cache.values + (long long)mine * HEAD_DIM + own_dimension());
  }
  const bool holder = newest && (end - 1 - item.begin) / SIDE % WARPS == warp();
  NewToken token;
#pragma unroll
  for (int n = 0; n < N; ++n) {
    if (n > 0 && n % WARPS != warp()) continue;
    read_new(token, p, shared().layers[layer], item.b, item.head + n, kv, holder, epoch);
    if (N > 1 && lane() < SUB) {
#pragma unroll
      for (int e = 0; e < 8; ++e) shared().query[n][lane() * 8 + e] = token.query[e];
    }
  }
  if (holder && item.head % HEAD_GROUP == 0 && shared().busy[item.b] && lane() < SUB) {
    *(Quad*)(cache.keys + (long long)position * HEAD_DIM + own_dimension()) = token.key;
    *(Quad*)(cache.values + (long long)position * HEAD_DIM + own_dimension()) = token.value;
  }
  if (N > 1) consumer_barrier();
  Accumulator<N> a;
  a.clear();
#pragma unroll 1
  for (int start = item.begin; start < end; start += SWEEP) {
    const int at = start + (mine - item.begin), next = at + SWEEP;
    const bool valid = at < end;
    if (newest && at == end - 1) {
      key = token.key;
      value = token.value;
    }
    float line[8], score[N];
    unpack8(line, key);
    if (next < stored) key = *(const Quad*)(cache.keys + (long long)next * HEAD_DIM + own_dimension());
#pragma unroll
    for (int n = 0; n < N; ++n) {
      score[n] = 0;
#pragma unroll
      for (int e = 0; e < 8; ++e)
        score[n] += (N > 1 ? shared().query[n][own_dimension() + e] : token.query[e]) * line[e];
      score[n] = sum_lanes<SUB>(score[n]);
    }
    unpack8(line, value);
    if (next < stored) value = *(const Quad*)(cache.values + (long long)next * HEAD_DIM + own_dimension());
#pragma unroll
    for (int n = 0; n < N; ++n) a.add(n, valid ? score[n] : NOTHING, line, valid);
  }
#pragma unroll
  for (int n = 0; n < N; ++n)
    merge(a, n, pairs + (long long)n * splits * (HEAD_DIM / 2), weight + n * splits, epoch);
  consumer_barrier();  // the last merge has been read
}

// Joins the `count` long parts of one head.
DEVICE void join_parts(const Packet* pairs, const Packet* weights, int count, Packet* to, Packet* to_weight,
                       u32 epoch) {
  Accumulator<1> a;
  a.clear();
#pragma unroll 1
  for (int start = 0; start < count; start += SWEEP) {
    const int part = start + warp() * SIDE + lane() / SUB;
    const bool valid = part < count;
    const Packet* at = pairs + (long long)part * (HEAD_DIM / 2) + own_dimension() / 2;
    Packet got[4] = {}, weight = {0, epoch};
    bool complete = !valid;
    for (u32 spins = 0; !complete; ++spins) {
      weight = load_far(weights + part);
      complete = weight.epoch == epoch;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        got[i] = load_far(at + i);
        complete = complete && got[i].epoch == epoch;
      }
      if (spins > SPIN_LIMIT) give_up();
    }
    float v[8];
    unpack8(v, {got[0].value, got[1].value, got[2].value, got[3].value});
    a.add(0, valid ? bits_float(weight.value) : NOTHING, v, valid);
  }
  merge(a, 0, to, to_weight, epoch);
  consumer_barrier();
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

// Texts longer than the short splits hold; see above.
DEVICE_CALL void attention_long(const Params& p, int layer, u32 epoch) {
  const long long window = shared().layers[layer].window;
  for (int i = block(); i < ROWS * KV_HEADS * LONG_SPLITS; i += BLOCKS) {
    const int kv = i % KV_HEADS, split = i / KV_HEADS % LONG_SPLITS, b = i / (KV_HEADS * LONG_SPLITS);
    const Span span = span_of(b, window);
    const int length = ceil_div(span.count, LONG_SPLITS);
    const int begin = split * length, end = least(begin + length, span.count);
    const int part = (b * HEADS + kv * HEAD_GROUP) * LONG_SPLITS + split;
    if (begin < end)
      attend<HEAD_GROUP>(p, layer, {b, kv * HEAD_GROUP, span.first + begin, span.first + end},
                         p.long_packets + (long long)part * (HEAD_DIM / 2), p.long_weight + part, LONG_SPLITS, epoch);
  }
  for (int i = block(); i < ROWS * HEADS; i += BLOCKS) {
    const Span span = span_of(i / HEADS, window);
    const int count = ceil_div(span.count, ceil_div(span.count, LONG_SPLITS));
    join_parts(p.long_packets + (long long)i * LONG_SPLITS * (HEAD_DIM / 2), p.long_weight + i * LONG_SPLITS, count,
               p.part_packets + (long long)i * SHORT_SPLITS * (HEAD_DIM / 2), p.part_weight + i * SHORT_SPLITS, epoch);
  }
}

DEVICE int longest_span(long long window) {
  int longest = 0;
#pragma unroll
  for (int b = 0; b < ROWS; ++b) longest = most(longest, span_of(b, window).count);
  return longest;
}

struct ShortItem {
  Item item;
  int part;
};
// Item i of a layer with short texts; empty where begin >= end.
DEVICE ShortItem short_item(int i, long long window) {
  const int head = i % HEADS, split = i / HEADS % SHORT_SPLITS, b = i / (HEADS * SHORT_SPLITS);
  const Span span = span_of(b, window);
  const int begin = split * SHORT_SPLIT, end = least(begin + SHORT_SPLIT, span.count);
  return {{b, head, span.first + begin, span.first + end}, (b * HEADS + head) * SHORT_SPLITS + split};
}

// The copying warp asks for the keys and values that this block will need.
DEVICE void prefetch_cache(const Params& p, int layer) {
  const long long window = shared().layers[layer].window;
  if (block() >= ROWS * HEADS * SHORT_SPLITS || longest_span(window) > SHORT_SPLIT * SHORT_SPLITS) return;
  const Item item = short_item(block(), window).item;
  const Cache cache = cache_of(p, layer, item.b, item.head / HEAD_GROUP);
#pragma unroll 1
  for (int at = item.begin + lane(); at < item.end; at += 32) {
    prefetch(cache.keys + (long long)at * HEAD_DIM);
    prefetch(cache.values + (long long)at * HEAD_DIM);
  }
}

// One item of a short text.
DEVICE_CALL void attention_short(int layer, u32 epoch) {
  const Params& p = shared().params;
  const long long window = shared().layers[layer].window;
#pragma unroll 1
  for (int i = block(); i < ROWS * HEADS * SHORT_SPLITS; i += BLOCKS) {
    const ShortItem own = short_item(i, window);
    if (own.item.begin < own.item.end)
      attend<1>(p, layer, own.item, p.part_packets + (long long)own.part * (HEAD_DIM / 2), p.part_weight + own.part,
                SHORT_SPLITS, epoch);
  }
}

// The attention of all batch rows; afterwards Shared::parts parts of every head are under way to all blocks.
DEVICE void attention(int layer, u32 epoch) {
  const long long window = shared().layers[layer].window;
  const bool is_short = longest_span(window) <= SHORT_SPLIT * SHORT_SPLITS;
  if (thread() < ROWS) shared().parts[thread()] = is_short ? ceil_div(span_of(thread(), window).count, SHORT_SPLIT) : 1;
  if (is_short) {
    attention_short(layer, epoch);
  } else {
    attention_long(shared().params, layer, epoch);
  }
  consumer_barrier();
}
