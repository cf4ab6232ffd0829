// Rows of GGUF blocks as formats/block_rows.py lays them out: how a warp holds 128 inputs of them, and what their
// products add. Codes become exact float16 integers; scales, minima and the codes' centre come on the float32 sums.
// Of a run's words each lane has those of the inputs that the tensor cores want of it: weights stay where they are
// copied to, inputs are read in their natural order by all lanes of the warp.
#pragma once
#include "block_codes.cuh"
#include "few_product.cuh"

using Type = Codes<BLOCK>;
constexpr bool BYTES = Type::BYTES;
constexpr bool SIX_BIT_SCALES = Type::SIX_BIT_SCALES, PAIRS = Type::PAIRS, MINIMA = Type::MINIMA;
constexpr int HIGH_BITS = Type::HIGH_BITS;
constexpr int CODE_RUNS = BYTES ? 2 : 1;            // of 64 bytes a row and piece, 16 of them a lane's
constexpr int HALF_GROUPS = PIECE / 2 / Type::GROUP_INPUTS;     // of either half of a piece
constexpr int SCALE_BYTES = MINIMA ? 16 : 8;        // of a row and piece; of 6-bit scales those of a whole block
constexpr int STEPS = Type::STEPS;
// By what codes of a piece's first and second half are raised; nibbles of the second are 16 times themselves too.
constexpr float FIRST_RAISE = 1024 + Type::CENTRE, SECOND_RAISE = BYTES ? FIRST_RAISE : 64 + Type::CENTRE;
constexpr float SECOND_FACTOR = BYTES ? 1 : 0.0625f;
constexpr int X_ROOM = PIECE + 8;  // float16 from token to token, so that no two lanes meet at a bank

struct __align__(16) Stage {
  u32 words[TILES][2][CODE_RUNS][32][4];  // rows g and g + 8 of 16, where the lane that copied them reads them
  u32 scales[ROWS][4];
  u16 x[TOKENS][X_ROOM];
  u32 high[TILES][2][HIGH_BITS ? 32 : 1][most(HIGH_BITS, 1)];
};

// Which rows of the matrix this lane copies: codes and the bits above them, and scales.
struct Places {
  u32 row[TILES][2];
  u32 scales[ceil_div(ROWS, 32)];

  DEVICE Places(const Product& p, int tile) {
#pragma unroll
    for (int m = 0; m < TILES; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) row[m][h] = matrix_row(p, tile, 16 * m + 8 * h + (lane() >> 2));
    }
#pragma unroll
    for (int i = 0; i < ceil_div(ROWS, 32); ++i) scales[i] = matrix_row(p, tile, least(lane() + 32 * i, ROWS - 1));
  }
};

// Of Q6_K: what a block's scales are multiples of lies at this place among all of them, two in a word.
DEVICE u32 sub_place(const Product& p, u32 row, int piece) { return row * (p.inputs / 256) + piece / 2; }

DEVICE void copy_scales(Stage& to, const Product& p, const Places& places, int piece) {
#pragma unroll
  for (int i = 0; i < ceil_div(ROWS, 32); ++i) {
    const int at = lane() + 32 * i;
    if (at >= ROWS) continue;
    const u8* from = p.scales + (u64)places.scales[i] * (p.inputs / (PAIRS ? 8 : 16));
    from += SIX_BIT_SCALES ? piece / 2 * 16 : piece * SCALE_BYTES;
    copy_async<SCALE_BYTES>(to.scales[at], from, SCALE_BYTES);
    if (BLOCK != Q6_K) continue;
    const u32 first = sub_place(p, places.scales[i], piece) & ~1u, count = p.outputs * (p.inputs / 256);
    copy_async<4>(to.scales[at] + 2, p.sub + first, least(4, 2 * (count - first)));
  }
}

DEVICE void copy_weights(Stage& to, const Product& p, const Places& places, int piece) {
  const int t = lane() & 3;
#pragma unroll
  for (int m = 0; m < TILES; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const u64 row = places.row[m][h];
      const u8* codes = p.weights + row * p.row_bytes + t * 16;
#pragma unroll
      for (int i = 0; i < CODE_RUNS; ++i)
        copy_async<16>(to.words[m][h][i][lane()], codes + (piece * CODE_RUNS + i) * 64, 16);
      if (!HIGH_BITS) continue;
      const u32* high = p.high + row * (p.inputs / 32 * HIGH_BITS) + (piece * 4 + t) * HIGH_BITS;
      copy_async<4 * most(HIGH_BITS, 1)>(to.high[m][h][HIGH_BITS ? lane() : 0], high, 4 * HIGH_BITS);
    }
  }
  copy_scales(to, p, places, piece);
}

DEVICE void copy_x(Stage& to, const Product& p, int piece) {
#pragma unroll
  for (int i = 0; i < COLUMNS * 4; ++i) {
    const int part = lane() + 32 * i, token = part / 16, at = part % 16 * 8;
    if (token < p.tokens)
      copy_async<16, true>(&to.x[token][at], p.x + (long long)token * p.inputs + piece * PIECE + at, 16);
  }
}

// The right operand of one piece, and its sums over each group, of tokens 2 t and 2 t + 1.
struct Inputs {
  u32 words[PIECE / 16][2];
  Pair sum[2 * HALF_GROUPS];

  DEVICE void load(const Stage& from, int c) {
    const u32* row = (const u32*)from.x[8 * c + (lane() >> 2)] + (lane() & 3);
#pragma unroll
    for (int k = 0; k < PIECE / 16; ++k) words[k][0] = row[8 * k], words[k][1] = row[8 * k + 4];
#pragma unroll
    for (int group = 0; group < 2 * HALF_GROUPS; ++group) {
      float sums[4] = {};
#pragma unroll
      for (int k = group * STEPS; k < (group + 1) * STEPS; ++k)
        multiply_accumulate(sums, ONES, ONES, ONES, ONES, words[k][0], words[k][1]);
      sum[group] = {sums[0], sums[1]};
    }
  }
};

// One row of a piece as a lane has it: codes, the bits above them, and what scales them.
struct Row {
  __align__(16) u32 code[CODE_RUNS][4];
  __align__(16) u32 scales[4];
  __align__(8) u32 high[most(HIGH_BITS, 1)];

  DEVICE void load(const Stage& from, int m, int h) {
#pragma unroll
    for (int i = 0; i < CODE_RUNS; ++i) load_words<4>(code[i], from.words[m][h][i][lane()]);
    load_words<4>(scales, from.scales[16 * m + 8 * h + (lane() >> 2)]);
    if (HIGH_BITS) load_words<most(HIGH_BITS, 1)>(high, from.high[m][h][HIGH_BITS ? lane() : 0]);
  }
  // Raised codes of step v of either half: first half [0] and [2], second half [1] and [3].
  DEVICE void halves(u32 (&to)[4], int v) const {
    if (BYTES) {
#pragma unroll
      for (int i = 0; i < CODE_RUNS; ++i) {
        u32 run[4];
        raised_codes<BLOCK>(run, code[i][v], 0, 0);
        to[i] = run[0], to[i + 2] = run[2];
      }
    } else {
      raised_codes<BLOCK>(to, code[0][v], high[v * HIGH_BITS / 4], v * HIGH_BITS % 4);
    }
  }
  // Scale and what is added once a group's codes are scaled. `upper`: the second half of a block of 256; `odd`: the
  // upper of two that share a word.
  DEVICE Pair affine(int group, bool upper, bool odd) const {
    const float sub = BLOCK == Q6_K ? real_half_float((u16)(odd ? scales[2] >> 16 : scales[2])) : 0;
    return group_affine<BLOCK>(scales, group, upper, sub);
  }
};

// A lane's sums, and what pieces add to them.
struct Accumulators : TileSums {
  DEVICE void add_piece(const Stage& from, const Product& p, const Places& places, int piece) {
    Inputs x[COLUMNS];
#pragma unroll
    for (int c = 0; c < COLUMNS; ++c) x[c].load(from, c);
#pragma unroll
    for (int m = 0; m < TILES; ++m) {
      Row rows[2];
      bool odd[2];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        rows[h].load(from, m, h);
        odd[h] = BLOCK == Q6_K && (sub_place(p, places.row[m][h], piece) & 1);
      }
#pragma unroll
      for (int group = 0; group < HALF_GROUPS; ++group) add_groups(of[m], rows, x, group, piece & 1, odd);
    }
  }

 private:
  // A group of the piece's first half, and the one that lies beside it in the second.
  static DEVICE void add_groups(float (&sum)[COLUMNS][4], const Row (&rows)[2], const Inputs (&x)[COLUMNS], int group,
                                bool upper, const bool (&odd)[2]) {
    float first[COLUMNS][4] = {}, second[COLUMNS][4] = {};
#pragma unroll
    for (int v = group * STEPS; v < (group + 1) * STEPS; ++v) {
      u32 a[2][4];
      rows[0].halves(a[0], v);
      rows[1].halves(a[1], v);
#pragma unroll
      for (int c = 0; c < COLUMNS; ++c) {
        const u32(&x_first)[2] = x[c].words[v], (&x_second)[2] = x[c].words[PIECE / 32 + v];
        multiply_accumulate(first[c], a[0][0], a[1][0], a[0][2], a[1][2], x_first[0], x_first[1]);
        multiply_accumulate(second[c], a[0][1], a[1][1], a[0][3], a[1][3], x_second[0], x_second[1]);
      }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const Pair one = rows[h].affine(group, upper, odd[h]), two = rows[h].affine(HALF_GROUPS + group, upper, odd[h]);
#pragma unroll
      for (int c = 0; c < COLUMNS; ++c) {
        const Pair &x_one = x[c].sum[group], &x_two = x[c].sum[HALF_GROUPS + group];
        add(sum[c][2 * h], one, first[c][2 * h] - FIRST_RAISE * x_one.a, x_one.a);
        add(sum[c][2 * h + 1], one, first[c][2 * h + 1] - FIRST_RAISE * x_one.b, x_one.b);
        add(sum[c][2 * h], two, SECOND_FACTOR * second[c][2 * h] - SECOND_RAISE * x_two.a, x_two.a);
        add(sum[c][2 * h + 1], two, SECOND_FACTOR * second[c][2 * h + 1] - SECOND_RAISE * x_two.b, x_two.b);
      }
    }
  }
  static DEVICE void add(float& sum, const Pair& affine, float codes, float x) {
    sum += affine.a * codes;
    if (MINIMA) sum += affine.b * x;
  }
};
