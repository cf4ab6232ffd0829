// Blocks hand activations to each other through device memory. Every value carries the epoch (the count of layers
// run so far), so that a reader polls the data itself until it is new: neither barrier nor fence nor flag.
//   tagged word: a float32 rounded to 16 bits of mantissa, the epoch's low 8 bits below. Only for buffers that are
//     written in every layer: what is stale is then always one or two epochs old.
//   packet: 32 bits of anything and the whole epoch.
// A buffer may be written again only after every reader is done: each product needs the values of all blocks, and
// five of them lie between two uses of one buffer. Words that all blocks read exist REPLICAS times, so that not
// all of them poll the same lines.
#pragma once

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

DEVICE float poll_word(const u32* from, u32 epoch) {
  u32 word = load_far(from);
  for (u32 spins = 0; !is_new(word, epoch); ++spins) {
    word = load_far(from);
    if (spins > SPIN_LIMIT) give_up();
  }
  return untagged(word);
}

// Polls COUNT quads of tagged words, all in flight at once, those again that were not new; null pointers are left
// out.
template <int COUNT>
DEVICE void poll_quads(Quad (&got)[COUNT], const Quad* const (&from)[COUNT], u32 epoch) {
  bool waiting[COUNT], complete = false;
#pragma unroll
  for (int i = 0; i < COUNT; ++i) waiting[i] = from[i] != nullptr;
  for (u32 spins = 0; !complete; ++spins) {
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
      if (waiting[i]) got[i] = load_far(from[i]);
    complete = true;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
      waiting[i] = waiting[i] && !is_new(got[i], epoch);
      complete = complete && !waiting[i];
    }
    if (!complete) pause();
    if (spins > SPIN_LIMIT) give_up();
  }
}

// Where this block reads a replicated buffer; what is written goes to all replicas.
DEVICE const u32* replica(const u32* buffer, int words) { return buffer + block() % REPLICAS * words; }
DEVICE void store_replicas(u32* buffer, int words, int at, u32 word) {
#pragma unroll
  for (int r = 0; r < REPLICAS; ++r) store_far(buffer + r * words + at, word);
}

template <int LANES>
DEVICE float sum_lanes(float value) {
#pragma unroll
  for (int mask = LANES / 2; mask; mask >>= 1) value += shuffle_xor(value, mask);
  return value;
}

// Four inputs k .. k + 3 (k a multiple of 4) of batch row b, for a product with weights of KIND: 4-bit units want
// them as (0, 2, 1, 3).
template <int KIND>
DEVICE void put_four(int b, int k, u32 low, u32 high) {
  u32* x = (u32*)&shared().x[b][k];
  x[0] = KIND == INT4 ? permute_bytes(low, high, 0x5410) : low;
  x[1] = KIND == INT4 ? permute_bytes(low, high, 0x7632) : high;
}

// Sums of x over groups, for 4-bit tiles of 16 rows: lanes hold fours of inputs, `four` counts them.
DEVICE void put_group_sum(int b, int four, float sum, bool valid) {
  sum = sum_lanes<GROUP / 4>(sum);
  if (valid && lane() % (GROUP / 4) == 0) shared().x_sum[b][four / (GROUP / 4)] = sum;
}

constexpr int HIDDEN_FOURS = HIDDEN / 4, FOURS_EACH = ceil_div(HIDDEN_FOURS, THREADS);

// This thread's part of the residual stream: fours thread() + i * THREADS of every batch row.
struct HiddenFours {
  float value[ROWS][FOURS_EACH][4];
};
struct NormFours {
  u32 low[FOURS_EACH], high[FOURS_EACH];
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
  Quad got[ROWS * FOURS_EACH];
  words = replica(words, ROWS * HIDDEN);
#pragma unroll
  for (int i = 0; i < ROWS * FOURS_EACH; ++i) {
    const int four = thread() + (i % FOURS_EACH) * THREADS;
    got[i] = {0, 0, 0, 0};
    from[i] = four < HIDDEN_FOURS ? (const Quad*)(words + (i / FOURS_EACH) * HIDDEN) + four : nullptr;
  }
  poll_quads(got, from, epoch);
#pragma unroll
  for (int i = 0; i < ROWS * FOURS_EACH; ++i) {
    const u32 word[4] = {got[i].x, got[i].y, got[i].z, got[i].w};
#pragma unroll
    for (int e = 0; e < 4; ++e) h.value[i / FOURS_EACH][i % FOURS_EACH][e] = untagged(word[e]);
  }
}

// RMS norm of the residual stream into x, for a product with weights of KIND. Ends with a barrier.
template <int KIND>
DEVICE void normalize(const HiddenFours& h, const NormFours& norm, float eps) {
  constexpr int HOLDERS = least(WARPS, ceil_div(HIDDEN_FOURS, 32));  // warps with a part of the stream
  float weighted[ROWS][FOURS_EACH][4];
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < FOURS_EACH; ++i) {
      const float weight[4] = {half_float((u16)norm.low[i]), half_float((u16)(norm.low[i] >> 16)),
                               half_float((u16)norm.high[i]), half_float((u16)(norm.high[i] >> 16))};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        squares += h.value[b][i][e] * h.value[b][i][e];
        weighted[b][i][e] = h.value[b][i][e] * weight[e];
      }
    }
    squares = sum_lanes<32>(squares);
    if (lane() == 0) shared().squares[b][warp()] = squares;
  }
  consumer_barrier();
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    float squares = 0;
#pragma unroll
    for (int w = 0; w < HOLDERS; ++w) squares += shared().squares[b][w];
    const float scale = reciprocal_root(squares / HIDDEN + eps);
#pragma unroll
    for (int i = 0; i < FOURS_EACH; ++i) {
      const int four = thread() + i * THREADS;
      float(&x)[4] = weighted[b][i];
#pragma unroll
      for (int e = 0; e < 4; ++e) x[e] *= scale;
      if (four < HIDDEN_FOURS) put_four<KIND>(b, 4 * four, pack2(x[0], x[1]), pack2(x[2], x[3]));
      if (KIND == INT4) put_group_sum(b, four, (x[0] + x[1]) + (x[2] + x[3]), four < HIDDEN_FOURS);
    }
  }
  consumer_barrier();
}

// The MLP's activations into x. Ends with a barrier.
DEVICE void read_activations(const u32* words, u32 epoch) {
  constexpr int FOURS = INTERMEDIATE / 4, EACH = ceil_div(ROWS * FOURS, THREADS);
  const Quad* from[EACH];
  Quad got[EACH];
  words = replica(words, ROWS * INTERMEDIATE);
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int four = thread() + i * THREADS;
    got[i] = {0, 0, 0, 0};
    from[i] = four < ROWS * FOURS ? (const Quad*)words + four : nullptr;
  }
  poll_quads(got, from, epoch);
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int four = thread() + i * THREADS;
    const float x[4] = {untagged(got[i].x), untagged(got[i].y), untagged(got[i].z), untagged(got[i].w)};
    if (from[i]) put_four<LAYER_KIND>(four / FOURS, four % FOURS * 4, pack2(x[0], x[1]), pack2(x[2], x[3]));
    if (LAYER_KIND == INT4 && !DownStage::SHORT)
      put_group_sum(four / FOURS, four % FOURS, (x[0] + x[1]) + (x[2] + x[3]), from[i] != nullptr);
  }
  consumer_barrier();
}

// One four of attention's result: the parts over which a head's positions were split, weighed by their log-sums.
DEVICE void join_four(float (&x)[4], const Packet* pairs, const Packet* weights, int count, u32 epoch) {
  Packet low[SHORT_SPLITS], high[SHORT_SPLITS], weight[SHORT_SPLITS];
  bool complete = false;
  for (u32 spins = 0; !complete; ++spins) {
    complete = true;
#pragma unroll
    for (int s = 0; s < SHORT_SPLITS; ++s) {
      if (s >= count) continue;
      low[s] = load_far(pairs + s * (HEAD_DIM / 2));
      high[s] = load_far(pairs + s * (HEAD_DIM / 2) + 1);
      weight[s] = load_far(weights + s);
    }
#pragma unroll
    for (int s = 0; s < SHORT_SPLITS; ++s)
      if (s < count) complete = complete && low[s].epoch == epoch && high[s].epoch == epoch && weight[s].epoch == epoch;
    if (spins > SPIN_LIMIT) give_up();
  }
  float top = bits_float(weight[0].value), whole = 0;
#pragma unroll
  for (int s = 1; s < SHORT_SPLITS; ++s)
    if (s < count) top = fmaxf(top, bits_float(weight[s].value));
  x[0] = x[1] = x[2] = x[3] = 0;
#pragma unroll
  for (int s = 0; s < SHORT_SPLITS; ++s) {
    if (s >= count) continue;
    const float share = exp2_fast(bits_float(weight[s].value) - top);
    whole += share;
    x[0] += share * half_float((u16)low[s].value);
    x[1] += share * half_float((u16)(low[s].value >> 16));
    x[2] += share * half_float((u16)high[s].value);
    x[3] += share * half_float((u16)(high[s].value >> 16));
  }
  const float scale = divide(1, whole);
#pragma unroll
  for (int e = 0; e < 4; ++e) x[e] *= scale;
}

DEVICE int parts_of(int b) { return shared().parts[b]; }

// Attention's result into x; Shared::parts says how many parts of every head exist. Ends with a barrier.
DEVICE void read_attention(const Params& p, u32 epoch) {
  constexpr int FOURS = Q_SIZE / 4;
#pragma unroll 1
  for (int start = 0; start < ROWS * FOURS; start += THREADS) {
    const int i = start + thread(), b = i / FOURS, four = i % FOURS, head = four / (HEAD_DIM / 4);
    const bool valid = i < ROWS * FOURS;
    float x[4] = {0, 0, 0, 0};
    if (valid) {
      const int first = (b * HEADS + head) * SHORT_SPLITS;
      const Packet* pairs = p.part_packets + (long long)first * (HEAD_DIM / 2) + four % (HEAD_DIM / 4) * 2;
      join_four(x, pairs, p.part_weight + first, parts_of(b), epoch);
      put_four<LAYER_KIND>(b, four * 4, pack2(x[0], x[1]), pack2(x[2], x[3]));
    }
    if (LAYER_KIND == INT4 && !OutputStage::SHORT) put_group_sum(b, four, (x[0] + x[1]) + (x[2] + x[3]), valid);
  }
  consumer_barrier();
}
