// Blocks hand activations to each other through device memory. Every value carries the epoch (the count of layers
// run so far), so that a reader polls the data itself until it is new: neither barrier nor fence nor flag.
//   tagged word: a float32 rounded to 16 bits of mantissa, the epoch's low 8 bits below. Only for buffers that are
//     written in every layer: what is stale is then always one or two epochs old.
//   packet: 32 bits of anything and the whole epoch; a part of attention (merge.cuh) is 16 bytes in one store.
// A buffer may be written again only after every reader is done: each product needs the values of all blocks, and
// five of them lie between two uses of one buffer.
#pragma once
#include "merge.cuh"
#include "product.cuh"

DEVICE u32 tagged(float value, u32 epoch) {
  const u32 bits = float_bits(value);
  const u32 rounded = value == value ? bits + 0x80 : bits;
  return (rounded & ~0xffu) | (epoch & 0xff);
}
DEVICE float untagged(u32 word) { return bits_float(word & ~0xffu); }
DEVICE bool is_new(u32 word, u32 epoch) { return ((word ^ epoch) & 0xff) == 0; }
DEVICE bool is_new(const Quad& q, u32 epoch) {
  return (((q.x ^ epoch) | (q.y ^ epoch) | (q.z ^ epoch) | (q.w ^ epoch)) & 0xff) == 0;
}

// Polls COUNT quads of tagged words, all in flight at once, those again that were not new; only those that are
// `waiting`, though every pointer must be good, for the compiler may load ahead of the question.
template <int COUNT>
DEVICE void poll_quads(Quad (&got)[COUNT], const Quad* const (&from)[COUNT], bool (&waiting)[COUNT], u32 epoch) {
  bool complete = false;
  for (u32 spins = 0; !complete; ++spins) {
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
      if (waiting[i]) got[i] = ld_relaxed_gpu(from[i]);
    complete = true;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
      waiting[i] = waiting[i] && !is_new(got[i], epoch);
      complete = complete && !waiting[i];
    }
    if (spins > SPIN_LIMIT) trap();
  }
}

// Four inputs of batch row b into x for a product S: fours of a row are counted, those beyond its end dropped. 4-bit
// units want them as (0, 2, 1, 3), blocks the eight of each lane together. Also keeps the sums over groups for tiles of
// 16 rows, or returns this lane's sum for 8-bit ones: of the 16-bit values that the tensor cores see. All lanes call.
template <class S>
DEVICE float put_inputs(int b, int four, u32 low, u32 high) {
  constexpr bool PERMUTE = S::KIND == INT4;
  if (four < S::INPUTS / 4) {
    const int pair = four % 8 * 2;  // of 32 inputs: of lane t the pairs t, t + 4, t + 8 and t + 12
    u32* x = (u32*)&shared().x[b][S::BLOCKED ? four / 8 * 32 : 4 * four] + (S::BLOCKED ? pair % 4 * 4 + pair / 4 : 0);
    x[0] = PERMUTE ? permute_bytes(low, high, 0x5410) : low;
    x[S::BLOCKED ? 4 : 1] = PERMUTE ? permute_bytes(low, high, 0x7632) : high;
  }
  if (!S::SUMS) return 0;
  const float sum = (half_float((u16)low) + half_float((u16)(low >> 16))) +
                    (half_float((u16)high) + half_float((u16)(high >> 16)));
  if (S::KIND == INT8 && !S::GROUPS) return sum;
  constexpr int LANES = S::SUM_UNIT / 8;  // that hold half of what has sums of its own
  const float half = sum_lanes<LANES>(sum), other = shuffle_xor(half, LANES);
  if (lane() % (2 * LANES) == 0 && four < S::INPUTS / 4) shared().x_sum[b][four / (2 * LANES)] = {half, other};
  return 0;
}

constexpr int HIDDEN_FOURS = HIDDEN / 4, FOURS_EACH = ceil_div(HIDDEN_FOURS, THREADS);

// This thread's part of the residual stream: fours thread() + i * THREADS of every batch row.
struct HiddenFours {
  float value[ROWS][FOURS_EACH][4];
};
struct NormFours {
  u32 low[FOURS_EACH], high[FOURS_EACH];

  DEVICE float weight(int i, int e) const {
    const u32 word = e < 2 ? low[i] : high[i];
    return half_float((u16)(e & 1 ? word >> 16 : word));
  }
};

DEVICE void read_norm(NormFours& norm, const u16* weight) {
#pragma unroll
  for (int i = 0; i < FOURS_EACH; ++i) {
    const int four = thread() + i * THREADS;
    norm.low[i] = norm.high[i] = 0;
    if (four < HIDDEN_FOURS) {
      norm.low[i] = ((const u32*)weight)[2 * four];
      norm.high[i] = ((const u32*)weight)[2 * four + 1];
    }
  }
}

DEVICE void read_hidden(HiddenFours& h, const u32* words, u32 epoch) {
  const Quad* from[ROWS * FOURS_EACH];
  bool waiting[ROWS * FOURS_EACH];
  Quad got[ROWS * FOURS_EACH];
#pragma unroll
  for (int i = 0; i < ROWS * FOURS_EACH; ++i) {
    const int four = thread() + (i % FOURS_EACH) * THREADS;
    got[i] = {0, 0, 0, 0};
    waiting[i] = four < HIDDEN_FOURS;
    from[i] = (const Quad*)(words + (i / FOURS_EACH) * HIDDEN) + least(four, HIDDEN_FOURS - 1);
  }
  poll_quads(got, from, waiting, epoch);
#pragma unroll
  for (int i = 0; i < ROWS * FOURS_EACH; ++i) {
    const u32 word[4] = {got[i].x, got[i].y, got[i].z, got[i].w};
#pragma unroll
    for (int e = 0; e < 4; ++e) h.value[i / FOURS_EACH][i % FOURS_EACH][e] = untagged(word[e]);
  }
}

// Each warp's part of the sum of the residual stream's squares, for `norm_scale` after a barrier.
DEVICE void leave_squares(const HiddenFours& h) {
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < FOURS_EACH; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) squares += h.value[b][i][e] * h.value[b][i][e];
    }
    squares = sum_lanes<32>(squares);
    if (lane() == 0) shared().squares[b][warp()] = squares;
  }
}
DEVICE float norm_scale(int b) {
  return reciprocal_root(sum_shares(shared().squares[b]) * (1.0f / HIDDEN) + shared().params.norm_eps);
}

// The residual stream times the norm's weights into x: this warp's slices, for a product S. What the norm divides
// by is not known yet (`leave_squares`), so every warp scales its inputs by a power of two that brings the greatest
// between 2^8 and 2^9. Both are undone on the sums.
template <class S>
DEVICE void put_weighted(WarpSlice& mine, const HiddenFours& h, const NormFours& norm) {
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    float weighted[FOURS_EACH][4], whole = 0;
    u32 top = 0;
#pragma unroll
    for (int i = 0; i < FOURS_EACH; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        weighted[i][e] = h.value[b][i][e] * norm.weight(i, e);
        const u32 size = float_bits(weighted[i][e]) & 0x7fffffffu;
        top = size > top ? size : top;
      }
    }
    const u32 exponent = most((int)(max_lanes(top) >> 23), 16);
    const float scale = bits_float((2 * 127 + 8 - exponent) << 23);
    mine.unscale.of[b] = bits_float((exponent - 8) << 23);
#pragma unroll
    for (int i = 0; i < FOURS_EACH; ++i) {
      const float(&x)[4] = weighted[i];
      whole += put_inputs<S>(b, thread() + i * THREADS, pack2(x[0] * scale, x[1] * scale),
                             pack2(x[2] * scale, x[3] * scale));
    }
    mine.take_whole<S>(b, whole);
  }
  warp_barrier();
}

// RMS norm of the residual stream into x, all of it for every warp, for a product S; sums of x. Ends with a barrier.
template <class S>
DEVICE void normalize(PerRow& whole, const HiddenFours& h, const NormFours& norm) {
  leave_squares(h);
  consumer_barrier();
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    const float scale = norm_scale(b);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < FOURS_EACH; ++i) {
      float x[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) x[e] = h.value[b][i][e] * scale * norm.weight(i, e);
      sum += put_inputs<S>(b, thread() + i * THREADS, pack2(x[0], x[1]), pack2(x[2], x[3]));
    }
    sum = sum_lanes<32>(sum);
    if (lane() == 0) shared().sums[b][warp()] = sum;
  }
  consumer_barrier();
#pragma unroll
  for (int b = 0; b < ROWS; ++b) whole.of[b] = sum_shares(shared().sums[b]);
}

// The MLP's activations into x, this warp's slices.
template <class S>
DEVICE void read_activations(WarpSlice& mine, const u32* words, u32 epoch) {
  constexpr int EACH = S::SLICES_EACH, COUNT = EACH * ROWS;
  const Quad* from[COUNT];
  bool waiting[COUNT];
  Quad got[COUNT];
#pragma unroll
  for (int i = 0; i < COUNT; ++i) {
    const int four = thread() + i % EACH * THREADS;
    got[i] = {0, 0, 0, 0};
    waiting[i] = four < INTERMEDIATE / 4;
    from[i] = (const Quad*)(words + i / EACH * INTERMEDIATE) + least(four, INTERMEDIATE / 4 - 1);
  }
  poll_quads(got, from, waiting, epoch);
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    float whole = 0;
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
      const Quad& q = got[b * EACH + i];
      whole += put_inputs<S>(b, thread() + i * THREADS, pack2(untagged(q.x), untagged(q.y)),
                             pack2(untagged(q.z), untagged(q.w)));
    }
    mine.take_whole<S>(b, whole);
  }
  warp_barrier();
}

// One four of attention's result: the parts over which a head's positions were split, weighed by their log-sums.
DEVICE void join_four(float (&x)[4], const Quad* parts, int count, u32 epoch) {
  Quad part[SHORT_SPLITS];
  bool complete = false;
  for (u32 spins = 0; !complete; ++spins) {
    complete = true;
#pragma unroll
    for (int s = 0; s < SHORT_SPLITS; ++s)
      if (s < count) part[s] = ld_relaxed_gpu_b128(parts + s * PART);
#pragma unroll
    for (int s = 0; s < SHORT_SPLITS; ++s)
      if (s < count) complete = complete && is_new_part(part[s], epoch);
    if (spins > SPIN_LIMIT) trap();
  }
  SoftmaxState joined;
  joined.clear();
#pragma unroll
  for (int s = 0; s < SHORT_SPLITS; ++s)
    if (s < count) joined.highest = fmaxf(joined.highest, bits_float(part[s].z));
#pragma unroll
  for (int s = 0; s < SHORT_SPLITS; ++s)
    if (s < count) joined.add_below(part[s]);
  joined.finish();
#pragma unroll
  for (int e = 0; e < 4; ++e) x[e] = joined.value[e];
}

// Attention's result into x, this warp's slices; every head exists in parts[b] parts.
template <class S>
DEVICE void read_attention(WarpSlice& mine, const Params& p, const int (&parts)[ROWS], u32 epoch) {
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    float whole = 0;
#pragma unroll 1
    for (int i = 0; i < S::SLICES_EACH; ++i) {
      const int four = thread() + i * THREADS, head = four / PART;
      float x[4] = {0, 0, 0, 0};
      if (four < Q_SIZE / 4)
        join_four(x, p.parts + (b * HEADS + head) * SHORT_SPLITS * PART + four % PART, parts[b], epoch);
      whole += put_inputs<S>(b, four, pack2(x[0], x[1]), pack2(x[2], x[3]));
    }
    mine.take_whole<S>(b, whole);
  }
  warp_barrier();
}
