// What becomes of a block's sums: partial sums of its warps meet in shared memory, and each outcome has its writer.
#pragma once
#include "few_product.cuh"
#include "finish.cuh"

DEVICE void leave(const Accumulators& sums) {
  const int g = lane() >> 2, t = lane() & 3;
#pragma unroll
  for (int m = 0; m < TILES; ++m) {
#pragma unroll
    for (int c = 0; c < COLUMNS; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        partial(warp(), 8 * c + 2 * t + (i & 1))[16 * m + 8 * (i >> 1) + g] = sums.of[m][c][i];
    }
  }
}

// Row i of this block, its scale applied, its bias added.
DEVICE float total(const Product& p, int tile, int token, int i) {
  float sum = 0;
#pragma unroll
  for (int w = 0; w < WARPS; ++w) sum += partial(w, token)[i];
  const int row = matrix_row(p, tile, i);
  if (DOUBLE) sum *= p.scale[row];
  return p.bias ? sum + real_half_float(p.bias[row]) : sum;
}

// Where input i lies for its reader: see interleave.py.
DEVICE int place_of(int i, int order) {
  if (order == 1) return i;
  const int in_run = i & (order - 1), quarter = order / 4, c = in_run / quarter, v = in_run % quarter / 4;
  return (i & -order) + 16 * v + 8 * (i & 1) + 2 * c + (i >> 1 & 1);
}

DEVICE void leave_best(const Product& p, int tile, int token) {
  Best best = {-INFINITY_BITS, 0x7fffffff};
#pragma unroll 1
  for (int i = lane(); i < ROWS; i += 32)
    if (tile * ROWS + i < p.outputs) best.take(fminf(total(p, tile, token, i), INFINITY_BITS), tile * ROWS + i);
#pragma unroll
  for (int mask = 16; mask; mask >>= 1) best.take(shuffle_xor(best.value, mask), shuffle_xor(best.index, mask));
  if (lane()) return;
  ((float*)p.out)[tile * p.tokens + token] = best.value;
  p.ids[tile * p.tokens + token] = least(best.index, p.outputs - 1);
}

DEVICE void leave_outputs(const Product& p, int tile, int slice, int token) {
  const int width = EPILOGUE == GATE ? p.outputs / 2 : p.outputs;
#pragma unroll 1
  for (int i = lane(); i < OUTPUTS; i += 32) {
    const int column = tile * OUTPUTS + i;
    if (column >= width) continue;
    const float sum = total(p, tile, token, i);
    if (EPILOGUE == SUMS) {
      ((float*)p.out)[((long long)slice * p.tokens + token) * p.out_stride + column] = sum;
    } else {
      const float y = EPILOGUE == GATE ? silu(sum) * total(p, tile, token, i + OUTPUTS) : sum;
      const int place = EPILOGUE == GATE ? place_of(column, p.order) : column;
      ((u16*)p.out)[(long long)token * p.out_stride + place] = (u16)pack2(y, 0);
    }
  }
}
