// The head of the model: logits or the most likely token, and the end of a step.
#pragma once
#include "exchange.cuh"
#include "finish.cuh"

// The head: logits to memory, or the best of this block's vocabulary rows to block 0.
DEVICE void head_stage(const Params& p, Ring& ring, u32 epoch) {
  using S = HeadStage;
  const RowRange own = shared().head;
  const float* scales = row_scales<S>(p.head);
  HiddenFours h;
  NormFours norm;
  PerRow whole;
  read_norm(norm, p.final_norm);
  read_hidden(h, p.hidden_words[1], epoch - 1);
  mark(p, LAYERS * MARKS + 1);
  normalize<S>(whole, h, norm);
  Best best[2] = {{-INFINITY_BITS, 0x7fffffff}, {-INFINITY_BITS, 0x7fffffff}};
  multiply_whole<S>(ring, own, whole, [&](int tile, float (&sum)[4]) {
#pragma unroll
    for (int i = 0; i < (S::SHORT ? 2 : 4); ++i) {
      const int out = tile * S::TILE_OUT + (lane() >> 2) + (i >> 1) * 8, row = own.first + out, b = batch_row<S>(i);
      if (b >= ROWS || out >= own.count) continue;
      const float logit = sum[i] * (scales ? scales[row] : 1);
      if (p.logits) p.logits[b * p.logits_stride + row] = logit;
      best[i & 1].take(fminf(logit, INFINITY_BITS), row);  // of NaN and infinity fminf gives infinity
    }
  });
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int mask = S::SWAP ? 8 : 4; mask < 32; mask <<= 1)
      best[i].take(shuffle_xor(best[i].value, mask), shuffle_xor(best[i].index, mask));
    // With swapped columns, lanes 0 to 3 hold even rows of columns 0 to 3, lanes 4 to 7 odd rows of columns 4 to 7.
    if (S::SWAP) {
      const int other = lane() ^ 6;  // the same batch rows of the other parity
      best[i].take(shuffle_from(best[i].value, other), shuffle_from(best[i].index, other));
    }
    if (lane() < 4) {
      shared().best_value[warp()][2 * lane() + i] = best[i].value;
      shared().best_index[warp()][2 * lane() + i] = best[i].index;
    }
  }
  consumer_barrier();
  if (thread() >= ROWS) return;
  Best top = {-INFINITY_BITS, 0x7fffffff};
#pragma unroll 1
  for (int w = 0; w < WARPS; ++w) top.take(shared().best_value[w][thread()], shared().best_index[w][thread()]);
  Packet* to = p.best_packets + (thread() * BLOCKS + block()) * 2;
  st_relaxed_gpu(to, float_bits(top.value), epoch);
  st_relaxed_gpu(to + 1, (u32)top.index, epoch);
}

// Block 0 waits for every block, so that nothing of this step is read after it: the next token, then the count.
DEVICE void finish(const Params& p, u32 epoch) {
  for (int b = warp(); b < ROWS; b += WARPS) {
    Best best = {-INFINITY_BITS, 0x7fffffff};
    constexpr int EACH = ceil_div(BLOCKS, 32);
    Quad got[EACH];  // value, epoch, index, epoch
    bool complete = false;
    for (u32 spins = 0; !complete; ++spins) {
      complete = true;
#pragma unroll
      for (int i = 0; i < EACH; ++i) {
        got[i] = ld_relaxed_gpu((const Quad*)(p.best_packets + (b * BLOCKS + least(lane() + 32 * i, BLOCKS - 1)) * 2));
        complete = complete && got[i].y == epoch && got[i].w == epoch;
      }
      if (spins > SPIN_LIMIT) trap();
    }
#pragma unroll
    for (int i = 0; i < EACH; ++i) best.take(bits_float(got[i].x), (int)got[i].z);
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) best.take(shuffle_xor(best.value, mask), shuffle_xor(best.index, mask));
    if (lane() != 0 || p.logits || !shared().busy[b]) continue;
    const bool finite = best.value < INFINITY_BITS && best.value > -INFINITY_BITS;
    const int token = finite ? best.index : NO_TOKEN, next = shared().position[b] + 1;
    p.tokens[b] = token;
    p.positions[b] = next;
    if (next < p.capacity) p.output[b * p.output_stride + next] = token;
  }
  consumer_barrier();
  if (thread() == 0) *p.counter += 1;
}

