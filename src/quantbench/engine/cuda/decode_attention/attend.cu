// Attention of one new token a row over its cached keys and values; rotates the new token's heads and stores its key
// and value. A block takes one key-value head of one row with all query heads that share it, for one chunk of the
// positions; its warps take 16 positions in turn.
//
// What is cached does not depend on the kernel before, which computes the new token's heads: each warp has its first
// HELD times 16 positions in registers, and the rest on their way into the second-level cache, before it waits for that
// kernel. So all that earlier steps write must be complete when the first kernel of a step starts: triton/argmax.py.
//
// Compiled with: HEAD_DIM, BF16, QK_NORM, WARPS, HELD, LEAST_BLOCKS (of a multiprocessor), SHARED_LIMIT.
#include "cached.cuh"

struct Attention {
  const u16* qkv;              // [rows, (heads + 2 kv_heads) * HEAD_DIM], not rotated
  const u16 *q_norm, *k_norm;  // [HEAD_DIM] or null
  const float *cosines, *sines;  // [positions, HEAD_DIM / 2]
  const int* positions;        // [rows]: of the new tokens
  u16 *keys, *values;          // of one layer: [rows, kv_heads, capacity, HEAD_DIM]
  u16* out;                    // [rows, heads * HEAD_DIM] in the order of who reads it, where there is one chunk, else
  float *parts, *extremes, *totals;  // [rows, heads, chunks, HEAD_DIM] and without the last
  long long row_stride, head_stride;  // of the cache
  int rows, heads, kv_heads, capacity, window, chunk, chunks, order;
  float scale, eps;            // scale: of scores, in powers of two
};

constexpr int THREADS = 32 * WARPS;
constexpr int MOST_GROUP = 8;  // query heads of a key-value head
constexpr int HALF = HEAD_DIM / 2, HEAD_FOURS = HEAD_DIM / 4;

struct __align__(16) Shared {
  u16 query[MOST_GROUP][HEAD_DIM], key[HEAD_DIM], value[HEAD_DIM];
  Fours part_value[WARPS][MOST_GROUP][HEAD_FOURS + 1];
  Pair part_weight[WARPS][MOST_GROUP];  // its highest score and its sum
};
static_assert(sizeof(Shared) <= SHARED_LIMIT, "the parts have no room");
DEVICE Shared& shared() { return *(Shared*)shared_memory(); }

// What a block has to do: positions [begin, end) of a row, the newest of which may be the new token's own.
struct Share {
  int head, row, chunk, position, begin, end;
  bool newest;  // the new token is among them

  DEVICE explicit Share(const Attention& p) {
    head = block() % p.kv_heads, row = block() / p.kv_heads % p.rows, chunk = block() / (p.kv_heads * p.rows);
    position = p.positions[row];
    const int first = p.window ? most(position - p.window + 1, 0) : 0;
    begin = most(chunk * p.chunk, first), end = least((chunk + 1) * p.chunk, position + 1);
    newest = end > position;
  }
  // Nothing to do: an idle row, or a chunk that its text has not reached.
  DEVICE bool idle(const Attention& p) const {
    return position < 0 || position >= p.capacity || chunk * p.chunk > position;
  }
  DEVICE int stored() const { return newest ? position : end; }
};

// Four of a query or key, HEAD_FOURS of them in as many lanes: normed where there is a norm, rotated, times `factor`.
DEVICE void turn(float (&x)[4], const u16* norm, const Fours& cosine, const Fours& sine, int four, float eps,
                 float factor) {
  if (QK_NORM) {
    float squares = x[0] * x[0] + x[1] * x[1] + x[2] * x[2] + x[3] * x[3];
#pragma unroll
    for (int mask = HEAD_FOURS / 2; mask; mask >>= 1) squares += shuffle_xor(squares, mask);
    const float scale = reciprocal_root(squares / HEAD_DIM + eps);
#pragma unroll
    for (int e = 0; e < 4; ++e) x[e] *= scale * half_float(norm[4 * four + e]);
  }
  const float sign = four < HEAD_FOURS / 2 ? -factor : factor;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const float other = shuffle_xor(x[e], HEAD_FOURS / 2);  // half a head away
    x[e] = x[e] * cosine.v[e] * factor + other * sine.v[e] * sign;
  }
}

// The queries of the head, rotated, and the new key and value into shared memory; these into the cache, too.
DEVICE void read_new(const Attention& p, const Share& share, int group, const Fours& cosine, const Fours& sine) {
  const u16* source = p.qkv + (long long)share.row * (p.heads + 2 * p.kv_heads) * HEAD_DIM;
  const long long place = share.row * p.row_stride + share.head * p.head_stride + (long long)share.position * HEAD_DIM;
#pragma unroll 1
  for (int all = thread(); (all & ~31) < (group + 2) * HEAD_FOURS; all += THREADS) {
    const int line = least(all / HEAD_FOURS, group + 1), four = all % HEAD_FOURS;
    const bool query = line < group, key = line == group;
    const int head = query ? share.head * group + line : p.heads + (key ? 0 : p.kv_heads) + share.head;
    const u64 got = *(const u64*)(source + head * HEAD_DIM + 4 * four);
    float x[4], turned[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) x[e] = turned[e] = half_float((u16)(got >> 16 * e));
    turn(turned, query ? p.q_norm : p.k_norm, cosine, sine, four, p.eps, query ? p.scale : 1);
    if (all >= (group + 2) * HEAD_FOURS) continue;
    const bool as_is = !query && !key;
    const u32 low = as_is ? (u32)got : pack2(turned[0], turned[1]);
    const u32 high = as_is ? (u32)(got >> 32) : pack2(turned[2], turned[3]);
    *(u64*)((query ? shared().query[line] : key ? shared().key : shared().value) + 4 * four) = (u64)high << 32 | low;
    if (!query && share.newest) *(u64*)((key ? p.keys : p.values) + place + 4 * four) = (u64)high << 32 | low;
  }
}

// Puts the new key and value in their place, `at` of the 16.
DEVICE void put_new(Positions& p, int at) {
  __align__(16) u32 key[KEY_WORDS], value[VALUE_WORDS];
  load_words<KEY_WORDS>(key, shared().key + KEY_PART * (lane() & 3));
  load_words<VALUE_WORDS>(value, shared().value + VALUE_PART * (lane() >> 2));
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

// A warp's sums into shared memory.
DEVICE void leave(const WarpSums& sums, int group) {
  const int g = lane() >> 2, t = lane() & 3;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int head = 2 * t + h;
    if (head >= group) continue;
    if (g == 0) shared().part_weight[warp()][head] = {sums.top[h], sums.sum[h]};
#pragma unroll
    for (int j = 0; j < STEPS; j += 2)
      shared().part_value[warp()][head][STEPS / 2 * g + j / 2] = {
          {sums.value[j][h], sums.value[j][h + 2], sums.value[j + 1][h], sums.value[j + 1][h + 2]}};
  }
}

// Where input i lies for its reader: see interleave.py.
DEVICE int place_of(int i, int order) {
  if (order == 1) return i;
  const int in_run = i & (order - 1), quarter = order / 4, c = in_run / quarter, v = in_run % quarter / 4;
  return (i & -order) + 16 * v + 8 * (i & 1) + 2 * c + (i >> 1 & 1);
}

// Joins what `count` warps left: the result of each head, or its part of this chunk.
DEVICE void join(const Attention& p, const Share& share, int group, int count) {
#pragma unroll 1
  for (int i = thread(); i < group * HEAD_FOURS; i += THREADS) {
    const int head = i / HEAD_FOURS, four = i % HEAD_FOURS;
    float highest = NOTHING, whole = 0, sum[4] = {0, 0, 0, 0};
    for (int w = 0; w < count; ++w) highest = fmaxf(highest, shared().part_weight[w][head].a);
    for (int w = 0; w < count; ++w) {
      const Pair weight = shared().part_weight[w][head];
      const Fours value = shared().part_value[w][head][four];
      const float shrink = exp2_fast(weight.a - highest);
      whole += shrink * weight.b;
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[e] += shrink * value.v[e];
    }
    const long long row = (long long)share.row * p.heads + share.head * group + head;
    if (p.chunks > 1) {
      const long long slot = row * p.chunks + share.chunk;
      *(Fours*)(p.parts + slot * HEAD_DIM + 4 * four) = {{sum[0], sum[1], sum[2], sum[3]}};
      if (four == 0) p.extremes[slot] = highest, p.totals[slot] = whole;
      continue;
    }
    const float scale = divide(1, whole);
    u16* to = p.out + (long long)share.row * p.heads * HEAD_DIM;
#pragma unroll
    for (int e = 0; e < 4; e += 2) {
      const u32 pair = pack2(sum[e] * scale, sum[e + 1] * scale);
      const int column = (share.head * group + head) * HEAD_DIM + 4 * four + e;
      to[place_of(column, p.order)] = (u16)pair;
      to[place_of(column + 1, p.order)] = (u16)(pair >> 16);
    }
  }
}

KERNEL(THREADS, LEAST_BLOCKS) void attend(const __grid_constant__ Attention p) {
  const Share share(p);
  const bool idle = share.idle(p);
  const int group = p.heads / p.kv_heads, mine = share.begin + warp() * RUN;
  Positions held[HELD];
  Fours cosine, sine;
  const Cache cache = {p.keys + share.row * p.row_stride + share.head * p.head_stride,
                       p.values + share.row * p.row_stride + share.head * p.head_stride};
  if (!idle) {
#pragma unroll
    for (int i = 0; i < HELD; ++i) held[i].load(cache, mine + i * SWEEP, share.stored());
    const long long angle = (long long)share.position * HALF + thread() % (HEAD_FOURS / 2) * 4;
    cosine = *(const Fours*)(p.cosines + angle), sine = *(const Fours*)(p.sines + angle);
    const int rest = share.begin + HELD * SWEEP, there = share.stored() - rest;
    if (thread() == 0 && there > 0) {
      prefetch_bulk(cache.keys + (long long)rest * HEAD_DIM, there * HEAD_DIM * 2);
      prefetch_bulk(cache.values + (long long)rest * HEAD_DIM, there * HEAD_DIM * 2);
    }
  }
  let_successor_start();
  wait_for_predecessor();
  if (idle) return;
  read_new(p, share, group, cosine, sine);
  block_barrier();
  WarpSums sums;
  sums.clear();
  __align__(16) u32 query[KEY_WORDS];
  load_words<KEY_WORDS>(query, shared().query[least(lane() >> 2, group - 1)] + KEY_PART * (lane() & 3));
#pragma unroll 1
  for (int at = mine; at < share.end;) {
#pragma unroll
    for (int i = 0; i < HELD; ++i, at += SWEEP) {
      if (at >= share.end) break;
      if (share.newest && share.end - at <= RUN) put_new(held[i], share.position - at);
      sums.add(held[i], query, share.end - at);
      if (at + HELD * SWEEP < share.end) held[i].load(cache, at + HELD * SWEEP, share.stored());
    }
  }
  leave(sums, group);
  block_barrier();
  join(p, share, group, least(most(ceil_div(share.end - share.begin, RUN), 0), WARPS));
}
