// One block's attention accumulators: adding positions, and joining the accumulators of all lanes and warps.
// Scores are in powers of two. attention.cuh says who takes which positions.
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
  Line(&lines)[WARPS] = shared().merge[n & 1];
  float top = a.top[n];
#pragma unroll
  for (int mask = SUB; mask < 32; mask <<= 1) top = fmaxf(top, shuffle_xor(top, mask));
  const float keep = exp2_fast(a.top[n] - top);
  float sum = a.sum[n] * keep, value[8];
#pragma unroll
  for (int e = 0; e < 8; ++e) value[e] = a.value[n][e] * keep;
#pragma unroll
  for (int mask = SUB; mask < 32; mask <<= 1) {
    sum += shuffle_xor(sum, mask);
#pragma unroll
    for (int e = 0; e < 8; ++e) value[e] += shuffle_xor(value[e], mask);
  }
  Line& line = lines[warp()];
  if (lane() < SUB) {
#pragma unroll
    for (int e = 0; e < 8; e += 2) line.pair[lane() * 4 + e / 2] = {value[e], value[e + 1]};
  }
  if (lane() == 0) line.weight = {top, sum};
  consumer_barrier();
  if (thread() >= HEAD_DIM / 2) return;
  float highest = NOTHING, whole = 0, low = 0, high = 0;
  Pair weights[WARPS];
#pragma unroll
  for (int w = 0; w < WARPS; ++w) {
    weights[w] = lines[w].weight;
    highest = fmaxf(highest, weights[w].a);
  }
#pragma unroll
  for (int w = 0; w < WARPS; ++w) {
    const float share = exp2_fast(weights[w].a - highest);
    const Pair pair = lines[w].pair[thread()];
    whole += share * weights[w].b;
    low += share * pair.a;
    high += share * pair.b;
  }
  const float scale = divide(1, whole);
  store_far(pairs + thread(), pack2(low * scale, high * scale), epoch);
  if (thread() == 0) store_far(weight, float_bits(highest + log2_fast(whole)), epoch);
}

