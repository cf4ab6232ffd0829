// A head's attention in parts: values with the highest score and the sum of the weights; joining them. Scores are in
// powers of two. attention.cuh says who takes which positions. A part travels as one 16-byte store a lane: four values
// in 16 bits, the log-sum of the part's weights, the epoch.
#pragma once
#include "shared.cuh"

constexpr float NOTHING = -1e30f;  // a score below all others that still subtracts
constexpr int PART = HEAD_DIM / 4;  // 16-byte words of a part

DEVICE bool is_new_part(const Quad& q, u32 epoch) { return q.w == epoch; }

// Four values of several parts, as they are joined.
struct SoftmaxState {
  float value[4], highest, whole;

  DEVICE void clear() {
    highest = NOTHING, whole = 0;
#pragma unroll
    for (int e = 0; e < 4; ++e) value[e] = 0;
  }
  // A part whose log-sum is at most `highest`.
  DEVICE void add_below(const Quad& part) {
    const float share = exp2_fast(bits_float(part.z) - highest);
    whole += share;
    value[0] += share * half_float((u16)part.x);
    value[1] += share * half_float((u16)(part.x >> 16));
    value[2] += share * half_float((u16)part.y);
    value[3] += share * half_float((u16)(part.y >> 16));
  }
  DEVICE void add(const Quad& part) {
    const float now = fmaxf(highest, bits_float(part.z)), keep = exp2_fast(highest - now);
    highest = now;
    whole *= keep;
#pragma unroll
    for (int e = 0; e < 4; ++e) value[e] *= keep;
    add_below(part);
  }
  // The parts of the warp's other lanes with the same four values.
  DEVICE void add_lanes() {
#pragma unroll
    for (int mask = PART; mask < 32; mask <<= 1) {
      const float other = shuffle_xor(highest, mask), now = fmaxf(highest, other);
      const float keep = exp2_fast(highest - now), share = exp2_fast(other - now);
      highest = now;
      whole = whole * keep + shuffle_xor(whole, mask) * share;
#pragma unroll
      for (int e = 0; e < 4; ++e) value[e] = value[e] * keep + shuffle_xor(value[e], mask) * share;
    }
  }
  DEVICE void finish() {
    const float scale = divide(1, whole);
#pragma unroll
    for (int e = 0; e < 4; ++e) value[e] *= scale;
  }
  DEVICE void send(Quad* to, u32 epoch) const {
    st_relaxed_gpu_b128(to, {pack2(value[0], value[1]), pack2(value[2], value[3]),
                         float_bits(highest + log2_fast(whole)), epoch});
  }
};

// Four values of a head of which `count` warps left parts in shared memory.
DEVICE void join_warps(SoftmaxState& joined, int count, int head, int four) {
  const Shared& s = shared();
  Pair weight[WARPS];
  joined.clear();
#pragma unroll
  for (int w = 0; w < WARPS; ++w) {
    weight[w] = {NOTHING, 0};
    if (w < count) weight[w] = s.part_weight[w][head];
    joined.highest = fmaxf(joined.highest, weight[w].a);
  }
#pragma unroll
  for (int w = 0; w < WARPS; ++w) {
    if (w >= count) continue;
    const float share = exp2_fast(weight[w].a - joined.highest);
    const Fours value = s.part_value[w][head][four];
    joined.whole += share * weight[w].b;
#pragma unroll
    for (int e = 0; e < 4; ++e) joined.value[e] += share * value.v[e];
  }
  joined.finish();
}

// Joins the parts that `count` warps left in shared memory: each head goes out as a part. `splits` parts lie from one
// head's to the next's.
DEVICE void send_heads(int count, Quad* parts, int splits, u32 epoch) {
#pragma unroll 1
  for (int i = thread(); i < HEAD_GROUP * PART; i += THREADS) {
    const int head = i / PART, four = i % PART;
    SoftmaxState joined;
    join_warps(joined, count, head, four);
    joined.send(parts + (long long)head * splits * PART + four, epoch);
  }
}

// Joins the `count` long parts of one head, for which all threads are called: so many threads as a part has words take
// a part, and then the next that none has; a warp's are joined in it, and the warps' as those of `send_heads`.
DEVICE void join_parts(const Quad* parts, int count, Quad* to, u32 epoch) {
  constexpr int AT_ONCE = THREADS / PART, EACH = ceil_div(LONG_SPLITS, AT_ONCE);
  const int first = thread() / PART, four = thread() % PART;
  Quad part[EACH];
  bool complete = false;
  for (u32 spins = 0; !complete; ++spins) {
    complete = true;
#pragma unroll
    for (int i = 0; i < EACH; ++i)
      part[i] = ld_relaxed_gpu_b128(parts + least(first + i * AT_ONCE, count - 1) * PART + four);
#pragma unroll
    for (int i = 0; i < EACH; ++i) complete = complete && is_new_part(part[i], epoch);
    if (spins > SPIN_LIMIT) trap();
  }
  SoftmaxState joined;
  joined.clear();
#pragma unroll
  for (int i = 0; i < EACH; ++i)
    if (first + i * AT_ONCE < count) joined.add(part[i]);
  joined.add_lanes();
  consumer_barrier();  // what lay there has been read
  if (lane() == 0) shared().part_weight[warp()][0] = {joined.highest, joined.whole};
  if (lane() < PART)
    shared().part_value[warp()][0][four] = {joined.value[0], joined.value[1], joined.value[2], joined.value[3]};
  consumer_barrier();
  if (thread() >= PART) return;
  join_warps(joined, WARPS, 0, four);
  joined.send(to + four, epoch);
}
