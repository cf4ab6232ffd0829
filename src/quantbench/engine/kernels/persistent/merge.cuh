// A head's attention in parts: values with the highest score and the sum of the weights; joining them. Scores are in
// powers of two. attention.cuh says who takes which positions.
#pragma once

constexpr float NOTHING = -1e30f;  // a score below all others that still subtracts

// Joins the parts that `count` warps left in shared memory: each head goes out as packets, pairs of values and a
// log-sum. `splits` parts lie from one head's packets to the next's.
DEVICE void send_heads(int count, Packet* pairs, Packet* weights, int splits, u32 epoch) {
  const Shared& s = shared();
#pragma unroll 1
  for (int i = thread(); i < HEAD_GROUP * HEAD_DIM / 2; i += THREADS) {
    const int head = i / (HEAD_DIM / 2), pair = i % (HEAD_DIM / 2);
    Pair weight[WARPS];
    float highest = NOTHING, whole = 0, low = 0, high = 0;
#pragma unroll
    for (int w = 0; w < WARPS; ++w) {
      weight[w] = {NOTHING, 0};
      if (w < count) weight[w] = s.part_weight[w][head];
      highest = fmaxf(highest, weight[w].a);
    }
#pragma unroll
    for (int w = 0; w < WARPS; ++w) {
      if (w >= count) continue;
      const float share = exp2_fast(weight[w].a - highest);
      const Pair value = ((const Pair*)s.part_value[w][head])[pair];
      whole += share * weight[w].b;
      low += share * value.a;
      high += share * value.b;
    }
    const float scale = divide(1, whole);
    store_far(pairs + (long long)head * splits * (HEAD_DIM / 2) + pair, pack2(low * scale, high * scale), epoch);
    if (pair == 0) store_far(weights + head * splits, float_bits(highest + log2_fast(whole)), epoch);
  }
}

// Joins the `count` long parts of one head: a thread a pair of values.
DEVICE void join_parts(const Packet* pairs, const Packet* weights, int count, Packet* to, Packet* to_weight,
                       u32 epoch) {
  constexpr int AT_ONCE = 4;
  if (thread() >= HEAD_DIM / 2) return;
  float highest = NOTHING, whole = 0, low = 0, high = 0;
#pragma unroll 1
  for (int start = 0; start < count; start += AT_ONCE) {
    Packet value[AT_ONCE], weight[AT_ONCE];
    bool complete = false;
    for (u32 spins = 0; !complete; ++spins) {
      complete = true;
#pragma unroll
      for (int i = 0; i < AT_ONCE; ++i) {
        const int part = least(start + i, count - 1);
        weight[i] = load_far(weights + part);
        value[i] = load_far(pairs + part * (HEAD_DIM / 2) + thread());
      }
#pragma unroll
      for (int i = 0; i < AT_ONCE; ++i) complete = complete && weight[i].epoch == epoch && value[i].epoch == epoch;
      if (spins > SPIN_LIMIT) give_up();
    }
#pragma unroll
    for (int i = 0; i < AT_ONCE; ++i) {
      if (start + i >= count) continue;
      const float now = fmaxf(highest, bits_float(weight[i].value));
      const float keep = exp2_fast(highest - now), share = exp2_fast(bits_float(weight[i].value) - now);
      highest = now;
      whole = whole * keep + share;
      low = low * keep + share * half_float((u16)value[i].value);
      high = high * keep + share * half_float((u16)(value[i].value >> 16));
    }
  }
  const float scale = divide(1, whole);
  store_far(to + thread(), pack2(low * scale, high * scale), epoch);
  if (thread() == 0) store_far(to_weight, float_bits(highest + log2_fast(whole)), epoch);
}
