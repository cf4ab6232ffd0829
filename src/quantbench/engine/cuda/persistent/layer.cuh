// The stages of one layer but attention, and the embedding's way into the first: what step.cu says who waits for.
#pragma once
#include "attention.cuh"
#include "embedding.cuh"

// Scale and bias of one output row, loaded before the wait for its input.
struct Affine {
  float scale, bias;
};
DEVICE Affine read_affine(const float* scale, const u16* bias, int row) {
  return {scale ? scale[row] : 1, bias ? half_float(bias[row]) : 0};
}

// Thread i finishes output i % STRIDE of batch row i / STRIDE; P says where the sums lie.
template <class S, class P = S>
struct Finish {
  static constexpr int STRIDE = power_of_two(S::OWN);
  RowRange own;
  const float* scale;
  const u16* bias;
  Affine ahead;

  DEVICE Finish(RowRange own_, const float* scale_, const u16* bias_) : own(own_), scale(scale_), bias(bias_) {
    ahead = read_affine(scale, bias, own.first + least(thread() % STRIDE, own.count - 1));
  }
  // use(output of the block, batch row, its value over scale) for every output.
  template <class Use>
  DEVICE void each(int half, Use use) const {
#pragma unroll 1
    for (int i = thread(); i < STRIDE * ROWS; i += THREADS) {
      const int out = i % STRIDE, b = i / STRIDE;
      if (out >= own.count) continue;
      const Affine a = THREADS % STRIDE == 0 || i < THREADS ? ahead : read_affine(scale, bias, own.first + out);
      use(out, b, total<P>(out, b, half) * a.scale, a.bias);
    }
  }
};

// Every block gives all blocks its part of the residual stream, as if a layer had left it.
DEVICE void embed(const Params& p, u32 epoch) {
  const RowRange own = shared().output;
#pragma unroll 1
  for (int i = thread(); i < ROWS * OWN; i += THREADS) {
    const int b = i / OWN, out = i % OWN, k = own.first + out;
    if (out >= own.count) continue;
    const float x = embedding(p, shared().token[b], k);
    shared().residual[b][out] = x;
    st_relaxed_gpu(p.hidden_words[1] + b * HIDDEN + k, tagged(x, epoch));
  }
}

// The product of the normed residual stream, as of `epoch`, with `tiles` tiles; its sums lie ready for `total`.
// One function for both of a layer, so that the second finds its instructions at hand.
template <class S>
DEVICE_CALL void normed_product(Ring ring, int tiles, const u32* words, const u16* weight, u32 epoch) {
  HiddenFours h;
  NormFours norm;
  WarpSlice mine;
  read_norm(norm, weight);
  read_hidden(h, words, epoch);
  put_weighted<S>(mine, h, norm);
  leave_squares(h);
  multiply<S>(ring, tiles, mine, 0);
}
// Tiles of either matrix look alike where those of the first have 16 rows too.
template <class F>
using NormedQkv = typename Select<QkvShare::SHORT || (QkvShare::TILES > GateUpShare::TILES) || !GateUpForms::have(F::FORM),
                                  QkvStage<F>, GateUpStage<F>>::Type;

template <class F>
DEVICE_CALL void gate_up_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  using S = GateUpStage<F>;
  const float* scales = row_scales<F>(layer.gate_up);
  constexpr int STRIDE = power_of_two(S::OWN);
  const RowRange own = shared().gate_up;
  const int first = own.first + least(thread() % STRIDE, own.count - 1);
  const Affine gate = read_affine(scales, layer.gate_up_bias, first);
  const Affine up = read_affine(scales, layer.gate_up_bias, first + INTERMEDIATE);
  normed_product<S>(ring, S::tiles(own), p.hidden_words[0], layer.post_norm, epoch);
#pragma unroll 1
  for (int i = thread(); i < STRIDE * ROWS; i += THREADS) {
    const int out = i % STRIDE, b = i / STRIDE, row = out / 8 * 16 + out % 8;
    if (out >= own.count) continue;
    Affine g = gate, u = up;
    if (THREADS % STRIDE != 0 && i >= THREADS) {
      g = read_affine(scales, layer.gate_up_bias, own.first + out);
      u = read_affine(scales, layer.gate_up_bias, own.first + out + INTERMEDIATE);
    }
    const float norm = norm_scale(b);
    const float x = silu(total<S>(row, b, 0) * norm * g.scale + g.bias) *
                    (total<S>(row + 8, b, 0) * norm * u.scale + u.bias);
    st_relaxed_gpu(p.act_words + b * INTERMEDIATE + own.first + out, tagged(x, epoch));
  }
  mark(p, l * MARKS + 4);
}

template <class F>
DEVICE_CALL void qkv_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  const Finish<QkvStage<F>, NormedQkv<F>> finish(shared().qkv, row_scales<F>(layer.qkv), layer.qkv_bias);
  normed_product<NormedQkv<F>>(ring, QkvShare::tiles(finish.own), p.hidden_words[1], layer.input_norm, epoch - 1);
  u32* to = p.qkv_words + finish.own.first;
  finish.each(0, [&](int out, int b, float y, float bias) {
    st_relaxed_gpu(to + b * QKV + out, tagged(y * norm_scale(b) + bias, epoch));
  });
  mark(p, l * MARKS);
}

// Output and down projections: their sums join the residual stream.
template <class S>
DEVICE void residual_stage(const Ring& ring, const Finish<S>& finish, const WarpSlice& mine, u32* to, u32 epoch) {
  multiply<S>(ring, S::tiles(finish.own), mine, 1);
  finish.each(1, [&](int out, int b, float y, float bias) {
    const float residual = shared().residual[b][out] += y + bias;
    st_relaxed_gpu(to + b * HIDDEN + finish.own.first + out, tagged(residual, epoch));
  });
}

template <class F>
DEVICE_CALL void output_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  using S = OutputStage<F>;
  const Finish<S> finish(shared().output, row_scales<F>(layer.output), layer.output_bias);
  WarpSlice mine;
  mine.clear();
  read_attention<S>(mine, p, shared().plans[l].parts, epoch);
  mark(p, l * MARKS + 2);
  residual_stage<S>(ring, finish, mine, p.hidden_words[0], epoch);
  mark(p, l * MARKS + 3);
}

template <class F>
DEVICE_CALL void down_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  using S = DownStage<F>;
  const Finish<S> finish(shared().down, row_scales<F>(layer.down), layer.down_bias);
  WarpSlice mine;
  mine.clear();
  read_activations<S>(mine, p.act_words, epoch);
  mark(p, l * MARKS + 5);
  residual_stage<S>(ring, finish, mine, p.hidden_words[1], epoch);
  mark(p, l * MARKS + 6);
}
