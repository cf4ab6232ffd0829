// Rows of GGUF blocks as the first operand, from the planes in which they lie (formats/block_rows.py). Codes become exact
// float16 integers less the code that stands for zero; scales come on the float32 sums of a group.
#pragma once
#include "operand.cuh"

// One slice of the rows of a tile: rows g and, in tiles of 16, g + 8. Where a tile has 8 rows, the other 8 of the operand
// are ones for types with minima and give the sum of x.
template <class S>
struct BlockOperand {
  using Type = typename S::Type;
  static constexpr int WORDS = S::UNIT_BYTES / 16;  // of a unit's codes that a lane has
  static constexpr int HALVES = S::SHORT ? 1 : 2, UNITS = S::SLICE_UNITS;
  static constexpr int HIGH_WORDS = Type::HIGH_BITS ? most(1, WORDS * Type::HIGH_BITS / 4) : 0;
  static constexpr int SCALE_WORDS = Type::SIX_BIT_SCALES ? 4 : S::UNIT / (Type::PAIRS ? 32 : 64);
  static constexpr int GROUPS = S::UNIT / Type::GROUP_INPUTS;            // of a unit
  static constexpr int FIRST_GROUPS = Type::BYTES ? GROUPS : GROUPS / 2;  // of its first half, where it has two
  // What takes the raise and the code of zero off.
  static constexpr u32 FIRST_RAISE = HALF_1024 + Type::CENTRE, SECOND_RAISE = HALF_1024 + 16 * Type::CENTRE;
  __align__(16) u32 word[HALVES][UNITS][WORDS];
  __align__(16) u32 scale[HALVES][UNITS][4];
  __align__(8) u32 high[HALVES][UNITS][most(HIGH_WORDS, 1)];
  u32 sub[HALVES][UNITS];
  u32 first_unit;

  // The slice that begins at `unit` of a chunk of `units`, before which the rows have `before`.
  DEVICE void load(const u8* slot, int units, int unit, int before = 0) {
    const int g = lane() >> 2, t = lane() & 3;
    first_unit = unit;
#pragma unroll
    for (int h = 0; h < HALVES; ++h) {
      const int row = g + 8 * h;
      const u8* high_row = slot + S::plane_place(1) + row * S::plane_stride(1);
      const u8* scale_row = slot + S::plane_place(2) + row * S::plane_stride(2);
      const u8* sub_row = slot + S::plane_place(3) + row * S::plane_stride(3);
#pragma unroll
      for (int u = 0; u < UNITS; ++u) {
        const int at = unit + u;
        if (S::PARTIAL && at >= units) break;
        load_words<WORDS>(word[h][u], slot + row * S::STRIDE + at * S::UNIT_BYTES + 4 * WORDS * t);
        load_words<SCALE_WORDS>(scale[h][u], scale_row + (Type::SIX_BIT_SCALES ? at / 2 : at) * 4 * SCALE_WORDS);
        if (HIGH_WORDS)
          load_words<HIGH_WORDS>(high[h][u],
                                 high_row + at * S::plane_bytes(1, 1) + t * WORDS * Type::HIGH_BITS / 4 * 4);
        if (Type::SUB) sub[h][u] = *(const u16*)(sub_row + (before + at) / 2 * 2);
      }
    }
  }
  // Adds its products with x, of which the first `units` units count.
  DEVICE void multiply(Sums& sum, const Slice<S>& x, int units) const {
#pragma unroll
    for (int u = 0; u < UNITS; ++u) {
      if (S::PARTIAL && u >= units) break;
#pragma unroll
      for (int group = 0; group < FIRST_GROUPS; ++group) multiply_groups(sum, x, u, group);
    }
  }

 private:
  // Codes of word v, less what they are raised by; ones in place of rows that are not there.
  DEVICE void codes(u32 (&to)[4], int h, int u, int v) const {
    if (h >= HALVES) {
#pragma unroll
      for (int i = 0; i < 4; ++i) to[i] = Type::MINIMA ? ONES : 0;
      return;
    }
    constexpr int BITS = Type::HIGH_BITS;
    const int shared_by_lanes = WORDS * BITS % 4 ? (lane() & 1) * (WORDS * BITS % 4) : 0;  // a word for two lanes
    raised_codes<S::TYPE>(to, word[h][u][v], high[h][u][v * BITS / 4], v * BITS % 4 + shared_by_lanes);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const u32 raise = i & 1 ? SECOND_RAISE : FIRST_RAISE;
      if (!Type::BYTES || i % 2 == 0) to[i] = subtract_halves(to[i], raise << 16 | raise);
    }
  }
  // A group of the unit's first half, and the one that lies beside it in the second.
  DEVICE void multiply_groups(Sums& sum, const Slice<S>& x, int u, int group) const {
    float first[4] = {}, second[4] = {};
    const u32* inputs = x.words + u * (S::UNIT / 8);
#pragma unroll
    for (int v = group * Type::STEPS; v < (group + 1) * Type::STEPS; ++v) {
      u32 a[4], b[4];
      codes(a, 0, u, v);
      codes(b, 1, u, v);
      multiply_accumulate(first, a[0], b[0], a[2], b[2], inputs[2 * v], inputs[2 * v + 1]);
      if (!Type::BYTES)
        multiply_accumulate(second, a[1], b[1], a[3], b[3], inputs[S::UNIT / 16 + 2 * v],
                            inputs[S::UNIT / 16 + 2 * v + 1]);
    }
    add(sum.a, x, first, u, group, 1);
    if (!Type::BYTES) add(sum.b, x, second, u, FIRST_GROUPS + group, 0.0625f);
  }
  DEVICE void add(float (&sum)[4], const Slice<S>& x, const float (&part)[4], int u, int group, float factor) const {
    const int summed = u * S::UNIT / 32 + group;  // which 32 inputs of the slice they are, of types with minima
#pragma unroll
    for (int h = 0; h < HALVES; ++h) {
      const bool upper = (first_unit + u) & 1;
      const Pair affine = group_affine<S::TYPE>(scale[h][u], group, upper, Type::SUB ? real_half_float((u16)sub[h][u]) : 0);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        sum[2 * h + i] += affine.a * factor * part[2 * h + i];
        if (!Type::MINIMA) continue;
        const Pair& above = x.above[Slice<S>::SUMMED > 1 ? summed / 2 : 0][i];
        sum[2 * h + i] += affine.b * (S::SHORT ? part[2 + i] : summed & 1 ? above.b : above.a);
      }
    }
  }
};

template <class S>
using Operand = typename Select<S::BLOCKED, BlockOperand<S>, RowsOperand<S>>::Type;
