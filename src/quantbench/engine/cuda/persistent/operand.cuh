// Matrix times a few vectors: tensor-core products of 16 rows with up to 8 columns, straight from the ring.
// 8-bit and 4-bit weights become exact float16 integers on the way: a byte or nibble is put under the exponent of
// 1024, and what that adds, a multiple of the sum of the inputs, is taken off the float32 sums, to which the
// scales are applied too. The order of inputs within a unit is whatever makes loads wide: both operands use the
// same order, so that no sum changes its terms.
//
// A warp multiplies the inputs that it fetched itself (slices of 128, slice s by warp s modulo WARPS), so that it
// waits for no other warp of its block before the partial sums meet.
#pragma once
#include "ring.cuh"
#include "unpack.cuh"

template <int LANES>
DEVICE float sum_lanes(float value) {
#pragma unroll
  for (int mask = LANES / 2; mask; mask >>= 1) value += shuffle_xor(value, mask);
  return value;
}

// One number a batch row; read with an index that is not known at compile time.
struct PerRow {
  float of[ROWS];
  DEVICE float at(int b) const {
    float value = of[0];
#pragma unroll
    for (int i = 1; i < ROWS; ++i) value = b == i ? of[i] : value;
    return value;
  }
};

// What a warp knows of its own slices of x.
struct WarpSlice {
  PerRow unscale;  // by which its sums are multiplied
  PerRow whole;    // sum of x, for 8-bit weights

  DEVICE void clear() {
#pragma unroll
    for (int b = 0; b < ROWS; ++b) unscale.of[b] = 1, whole.of[b] = 0;
  }
  template <class S>
  DEVICE void take_whole(int b, float lane_sum) {
    if (S::SUMS && S::KIND == INT8 && !S::GROUPS) whole.of[b] = sum_lanes<32>(lane_sum);
  }
};

constexpr int SLICE_WORDS = SLICE / 8;  // of x that a lane holds for one slice

// Two tiles of 8 rows: sums of the tensor core in two chains, and what they are worth.
struct Sums {
  float a[4], b[4];
  DEVICE void clear() {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = b[i] = 0;
  }
  DEVICE void add(const Sums& more) {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] += more.a[i], b[i] += more.b[i];
  }
};

// One slice of x, as the lanes hold it for the second operand.
template <class S>
struct Slice {
  static constexpr bool ABOVE = S::SUMS && (S::GROUPS || S::BLOCKED);
  static constexpr int SUMMED = ABOVE ? SLICE / S::SUM_UNIT : 1;
  __align__(16) u32 words[SLICE_WORDS];
  // Of columns 2 t and 2 t + 1, for tiles of 16 rows with groups: what bytes or nibbles add (`raised`), or the sums
  // with double quantization and of blocks.
  Pair above[SUMMED][2];

  DEVICE void load(int slice) {
    const int t = lane() & 3, g = lane() >> 2, row = S::SWAP ? g & 3 : g;
    const bool swapped = S::SWAP && g >> 2;
    const u16* x = shared().x[least(row, ROWS - 1)] + slice * SLICE;
    constexpr int PIECE = S::BLOCKED ? 4 : S::KIND == INT4 ? S::GROUP / 16 : S::UNIT / 8;  // words that lie together
    constexpr int PIECES = SLICE_WORDS / PIECE;
#pragma unroll
    for (int i = 0; i < PIECES; ++i) {
      const int at = (i ^ (swapped ? 1 : 0)) * PIECE * 8 + 2 * PIECE * t;
      load_words<PIECE>(words + i * PIECE, x + at);
    }
    if (!ABOVE) return;
#pragma unroll
    for (int u = 0; u < SUMMED; ++u) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const Pair sums = shared().x_sum[least(2 * t + i, ROWS - 1)][slice * SUMMED + u];
        above[u][i] = S::KIND == INT8 ? Pair{BYTE_OFFSET * (sums.a + sums.b), 0}
                      : S::DOUBLE || S::BLOCKED ? sums : raised(sums.a, sums.b);
      }
    }
  }
};

// One slice of the rows of a tile, as the lanes hold it for the first operand: rows g and, in tiles of 16, g + 8.
// Where a tile has 8 rows, the other 8 of the operand are ones for packed weights and give the sum of x.
template <class S>
struct RowsOperand {
  static constexpr int WORDS = S::UNIT_BYTES / 16;  // of a unit
  static constexpr int HALVES = S::SHORT ? 1 : 2;
  __align__(16) u32 word[HALVES][S::SLICE_UNITS][WORDS];
  u32 affine[HALVES][S::GROUPS ? S::SLICE_UNITS : 1];

  // The slice that begins at `unit` of a chunk of `units`.
  DEVICE void load(const u8* slot, int units, int unit, int = 0) {
    const int g = lane() >> 2, t = lane() & 3, odd = S::SWAP ? g & 1 : 0;
#pragma unroll
    for (int h = 0; h < HALVES; ++h) {
      const u8* row = slot + (g + 8 * h) * S::STRIDE;
#pragma unroll
      for (int u = 0; u < S::SLICE_UNITS; ++u) {
        if (S::PARTIAL && unit + u >= units) break;
        load_words<WORDS>(word[h][u], row + (unit + (u ^ odd)) * S::UNIT_BYTES + 4 * WORDS * t);
        const u8* scale = row + units * S::UNIT_BYTES + S::scale_place(unit + u);
        if (S::KIND == INT4) affine[h][u] = *(const u32*)scale;
        if (S::KIND == INT8 && S::GROUPS) affine[h][u] = *(const u16*)scale;
      }
    }
  }
  // Adds its products with x, of which the first `units` units count.
  DEVICE void multiply(Sums& sum, const Slice<S>& x, int units) const {
#pragma unroll
    for (int u = 0; u < S::SLICE_UNITS; ++u) {
      if (S::PARTIAL && u >= units) break;
      const u32* inputs = x.words + u * (S::UNIT / 8);
      if (S::KIND == FLOAT) multiply_float(sum, u, inputs);
      const Pair(&above)[2] = x.above[Slice<S>::ABOVE ? u : 0];
      if (S::KIND == INT8 && !S::GROUPS) multiply_int8(sum.a, sum.b, u, inputs);
      if (S::KIND == INT8 && S::GROUPS) multiply_int8_group(sum.a, u, inputs, above);
      if (S::KIND == INT4) multiply_int4(sum.a, u, inputs, above);
    }
  }

 private:
  DEVICE u32 high(int u, int i) const { return HALVES == 2 ? word[HALVES - 1][u][i] : 0; }

  DEVICE void multiply_float(Sums& sum, int u, const u32* x) const {
    const u32(&a)[WORDS] = word[0][u];
    multiply_accumulate(sum.a, a[0], high(u, 0), a[1], high(u, 1), x[0], x[1]);
    multiply_accumulate(sum.b, a[2], high(u, 2), a[3], high(u, 3), x[2], x[3]);
  }
  DEVICE void multiply_int8(float (&even)[4], float (&odd)[4], int u, const u32* x) const {
#pragma unroll
    for (int i = 0; i < WORDS; ++i) {
      u32 p[2], q[2] = {ONES, ONES};
      bytes_to_halves(p, word[0][u][i]);
      if (HALVES == 2) bytes_to_halves(q, high(u, i));
      multiply_accumulate(i & 1 ? odd : even, p[0], q[0], p[1], q[1], x[2 * i], x[2 * i + 1]);
    }
  }
  // Inputs of one group: sum += scale * (sum of byte * x).
  DEVICE void multiply_int8_group(float (&sum)[4], int u, const u32* x, const Pair (&above)[2]) const {
    float part[2][4] = {};
    multiply_int8(part[0], part[1], u, x);
#pragma unroll
    for (int i = 0; i < 4; ++i) part[0][i] += part[1][i];
#pragma unroll
    for (int i = 0; i < 2 * HALVES; ++i) {
      const float over = HALVES == 2 ? above[i & 1].a : BYTE_OFFSET * part[0][i + 2];
      sum[i] += real_half_float((u16)affine[i >> 1][u]) * (part[0][i] - over);
    }
  }
  // One group: sum += scale * (sum of (nibble - 8) * x) + zero * (sum of x); with double quantization a pair of them.
  DEVICE void multiply_int4(float (&sum)[4], int u, const u32* x, const Pair (&above)[2]) const {
    float part[2][2][4] = {};  // [chain, low or high nibbles]
#pragma unroll
    for (int i = 0; i < WORDS; ++i) {
      u32 p[4], q[4] = {ONES, ONES, ONES, ONES};
      nibbles_to_halves(p, word[0][u][i]);
      if (HALVES == 2) nibbles_to_halves(q, high(u, i));
      multiply_accumulate(part[i & 1][0], p[0], q[0], p[2], q[2], x[2 * i], x[2 * i + 1]);
      multiply_accumulate(part[i & 1][1], p[1], q[1], p[3], q[3], x[2 * (WORDS + i)], x[2 * (WORDS + i) + 1]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) part[0][half][i] += part[1][half][i];
    }
    if (S::DOUBLE) {
#pragma unroll
      for (int h = 0; h < HALVES; ++h) {
        const PairAffine pair(affine[h][u]);
#pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; ++i)
          sum[i] += pair.value(part[0][0][i], part[0][1][i],
                               HALVES == 2 ? above[i & 1] : Pair{part[0][0][i + 2], part[0][1][i + 2]});
      }
      return;
    }
#pragma unroll
    for (int i = 0; i < 2 * HALVES; ++i) {
      const Pair over = HALVES == 2 ? above[i & 1] : raised(part[0][0][i + 2], part[0][1][i + 2]);
      const u32 both = affine[i >> 1][u];
      const float scale = real_half_float((u16)both), zero = real_half_float((u16)(both >> 16));
      sum[i] += scale * (part[0][0][i] + 0.0625f * part[0][1][i] - over.a) + zero * over.b;
    }
  }
};
