// Blocks hand activations to each other as packets (value, epoch) in device memory: a reader polls the data
// itself until it carries this layer's epoch, so that there is neither a barrier nor a fence nor a flag.
// A buffer may be written again only after every reader is done: each product needs the packets of all
// blocks, and five of them lie between two uses of one buffer.
#pragma once

// Polls COUNT pairs of packets, all in flight at once; null pointers are left out.
template <int COUNT>
DEVICE void poll(Packets (&got)[COUNT], const Packet* const (&from)[COUNT], u32 epoch) {
  bool complete = false;
  for (u32 spins = 0; !complete; ++spins) {
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
      if (from[i]) got[i] = load_packets(from[i]);
    complete = true;
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
      if (from[i]) complete = complete && got[i].a.epoch == epoch && got[i].b.epoch == epoch;
    if (spins > SPIN_LIMIT) give_up();
  }
}

DEVICE u32 poll_one(const Packet* from, u32 epoch) {
  Packet got = load_packet(from);
  for (u32 spins = 0; got.epoch != epoch; ++spins) {
    got = load_packet(from);
    if (spins > SPIN_LIMIT) give_up();
  }
  return got.value;
}

DEVICE float warp_sum(float value) {
#pragma unroll
  for (int mask = 16; mask; mask >>= 1) value += shuffle_xor(value, mask);
  return value;
}

// Writes inputs k and k + 1 (k even) of batch row b for a product with weights of KIND.
template <int KIND>
DEVICE void put_pair(int b, int k, u32 halves) {
  u16* x = shared().x[b];
  if (KIND == INT4) {
    x[place<KIND>(k)] = (u16)halves;
    x[place<KIND>(k + 1)] = (u16)(halves >> 16);
  } else {
    *(u32*)&x[k] = halves;
  }
}

constexpr int HIDDEN_PAIRS = HIDDEN / 2, PAIRS_EACH = ceil_div(HIDDEN_PAIRS, THREADS);

// This thread's pairs of the residual stream: pair thread() + i * THREADS of every batch row.
struct HiddenPairs {
  float value[ROWS][PAIRS_EACH][2];
};

DEVICE void read_hidden(HiddenPairs& h, const Packet* packets, u32 epoch) {
  const Packet* from[ROWS * PAIRS_EACH];
  Packets got[ROWS * PAIRS_EACH];
#pragma unroll
  for (int i = 0; i < ROWS * PAIRS_EACH; ++i) {
    const int pair = thread() + (i % PAIRS_EACH) * THREADS;
    from[i] = pair < HIDDEN_PAIRS ? packets + (i / PAIRS_EACH) * HIDDEN + 2 * pair : nullptr;
  }
  poll(got, from, epoch);
#pragma unroll
  for (int i = 0; i < ROWS * PAIRS_EACH; ++i) {
    h.value[i / PAIRS_EACH][i % PAIRS_EACH][0] = from[i] ? bits_float(got[i].a.value) : 0;
    h.value[i / PAIRS_EACH][i % PAIRS_EACH][1] = from[i] ? bits_float(got[i].b.value) : 0;
  }
}

// RMS norm of the residual stream into x, for a product with weights of KIND. Ends with a barrier.
template <int KIND>
DEVICE void normalize(const HiddenPairs& h, const u32 (&weight)[PAIRS_EACH], float eps) {
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < PAIRS_EACH; ++i)
      squares += h.value[b][i][0] * h.value[b][i][0] + h.value[b][i][1] * h.value[b][i][1];
    squares = warp_sum(squares);
    if (lane() == 0) shared().squares[b][warp()] = squares;
  }
  consumer_barrier();
#pragma unroll
  for (int b = 0; b < ROWS; ++b) {
    float squares = 0;
#pragma unroll
    for (int w = 0; w < WARPS; ++w) squares += shared().squares[b][w];
    const float scale = reciprocal_root(squares / HIDDEN + eps);
#pragma unroll
    for (int i = 0; i < PAIRS_EACH; ++i) {
      const int pair = thread() + i * THREADS;
      if (pair >= HIDDEN_PAIRS) continue;
      const float low = h.value[b][i][0] * scale * half_float((u16)weight[i]);
      const float high = h.value[b][i][1] * scale * half_float((u16)(weight[i] >> 16));
      put_pair<KIND>(b, 2 * pair, pack2(low, high));
    }
  }
  consumer_barrier();
}

DEVICE void read_norm(u32 (&weight)[PAIRS_EACH], const u16* norm) {
#pragma unroll
  for (int i = 0; i < PAIRS_EACH; ++i) {
    const int pair = thread() + i * THREADS;
    weight[i] = pair < HIDDEN_PAIRS ? ((const u32*)norm)[pair] : 0;
  }
}

// The MLP's activations into x, four inputs at a time. Ends with a barrier.
DEVICE void read_activations(const Packet* packets, u32 epoch) {
  constexpr int FOURS = INTERMEDIATE / 4, EACH = ceil_div(ROWS * FOURS, THREADS);
  const Packet* from[EACH];
  Packets got[EACH];
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int four = thread() + i * THREADS;
    from[i] = four < ROWS * FOURS ? packets + 2 * four : nullptr;
  }
  poll(got, from, epoch);
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int four = thread() + i * THREADS;
    if (!from[i]) continue;
    u32* x = (u32*)&shared().x[four / FOURS][four % FOURS * 4];
    const u32 a = got[i].a.value, b = got[i].b.value;
    x[0] = LAYER_KIND == INT4 ? permute_bytes(a, b, 0x5410) : a;
    x[1] = LAYER_KIND == INT4 ? permute_bytes(a, b, 0x7632) : b;
  }
  consumer_barrier();
}

// Attention's result into x: the parts over which a head's positions were split, weighed by their log-sums.
// parts[b] of them exist. Ends with a barrier.
DEVICE void read_attention(const Params& p, const int (&parts)[ROWS], u32 epoch) {
  constexpr int PAIRS = Q_SIZE / 2;
  for (int i = thread(); i < ROWS * PAIRS; i += THREADS) {
    const int b = i / PAIRS, pair = i % PAIRS, head = pair / (HEAD_DIM / 2);
    const int first = (b * HEADS + head) * SHORT_SPLITS, count = parts[b];
    const Packet* packets = p.part_packets + (long long)first * (HEAD_DIM / 2) + pair % (HEAD_DIM / 2);
    Packet value[SHORT_SPLITS], weight[SHORT_SPLITS];
    bool complete = false;
    for (u32 spins = 0; !complete; ++spins) {
#pragma unroll
      for (int s = 0; s < SHORT_SPLITS; ++s) {
        if (s >= count) continue;
        value[s] = load_packet(packets + s * (HEAD_DIM / 2));
        weight[s] = load_packet(p.part_weight + first + s);
      }
      complete = true;
#pragma unroll
      for (int s = 0; s < SHORT_SPLITS; ++s)
        if (s < count) complete = complete && value[s].epoch == epoch && weight[s].epoch == epoch;
      if (spins > SPIN_LIMIT) give_up();
    }
    float top = bits_float(weight[0].value), low = 0, high = 0, whole = 0;
#pragma unroll
    for (int s = 1; s < SHORT_SPLITS; ++s)
      if (s < count) top = fmaxf(top, bits_float(weight[s].value));
#pragma unroll
    for (int s = 0; s < SHORT_SPLITS; ++s) {
      if (s >= count) continue;
      const float share = exp2_fast(bits_float(weight[s].value) - top);
      whole += share;
      low += share * half_float((u16)value[s].value);
      high += share * half_float((u16)(value[s].value >> 16));
    }
    put_pair<LAYER_KIND>(b, 2 * pair, count == 1 ? value[0].value : pack2(low / whole, high / whole));
  }
  consumer_barrier();
}
