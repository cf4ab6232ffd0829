// Rows of GGUF blocks as formats/block_rows.py lays them out: how a warp holds 128 inputs of them, and what their
// products add. Codes become exact float16 integers; scales, minima and the codes' centre come on the float32 sums.
// Of a run's words each lane has those of the inputs that the tensor cores want of it: weights stay where they are
// copied to, inputs are read in their natural order by all lanes of the warp.
#pragma once
#include "few_product.cuh"

enum BlockType {
  Q4_0 = BLOCK_Q4_0, Q4_1 = BLOCK_Q4_1, Q5_0 = BLOCK_Q5_0, Q5_1 = BLOCK_Q5_1, Q8_0 = BLOCK_Q8_0,
  Q4_K = BLOCK_Q4_K, Q5_K = BLOCK_Q5_K, Q6_K = BLOCK_Q6_K
};
constexpr bool BYTES = BLOCK == Q8_0;
constexpr bool SIX_BIT_SCALES = BLOCK == Q4_K || BLOCK == Q5_K;  // and minima, of 8 groups in 12 bytes
constexpr bool PAIRS = BLOCK == Q4_1 || BLOCK == Q5_1;           // a scale and a minimum a group, float16
constexpr bool MINIMA = SIX_BIT_SCALES || PAIRS;
constexpr int HIGH_BITS = BLOCK == Q6_K ? 2 : BLOCK == Q5_0 || BLOCK == Q5_1 || BLOCK == Q5_K ? 1 : 0;
constexpr int CODE_RUNS = BYTES ? 2 : 1;            // of 64 bytes a row and piece, 16 of them a lane's
constexpr int SHARED = BLOCK == Q6_K ? 16 : 32;     // inputs that share a scale
constexpr int HALF_GROUPS = PIECE / 2 / SHARED;     // of either half of a piece
constexpr int SCALE_BYTES = MINIMA ? 16 : 8;        // of a row and piece; of 6-bit scales those of a whole block
constexpr int STEPS = SHARED / 16;                  // of the tensor cores in a group
constexpr float CENTRE = MINIMA ? 0 : BYTES ? 128 : 8 << HIGH_BITS;
// By what codes of a piece's first and second half are raised; nibbles of the second are 16 times themselves too.
constexpr float FIRST_RAISE = 1024 + CENTRE, SECOND_RAISE = BYTES ? FIRST_RAISE : 64 + CENTRE;
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
        const u32 shifted = code[i][v] ^ 0x80808080u;
        to[i] = permute_bytes(shifted, 0x64646464u, 0x4240);
        to[i + 2] = permute_bytes(shifted, 0x64646464u, 0x4341);
      }
      return;
    }
    nibbles_to_halves(to, code[0][v]);
    if (!HIGH_BITS) return;
    const u32 bits = high[v * HIGH_BITS / 4] >> (v * HIGH_BITS % 4), some = (1 << HIGH_BITS) - 1;
    to[0] = and_or(bits << 4, some << 4 | some << 20, to[0]);
    to[2] = and_or(bits, some << 4 | some << 20, to[2]);
    to[1] = and_or(bits, some << 8 | some << 24, to[1]);
    to[3] = and_or(bits >> 4, some << 8 | some << 24, to[3]);
  }
  // Scale and what is added once a group's codes are scaled. `upper`: the second half of a block of 256; `odd`: the
  // upper of two that share a word.
  DEVICE Pair affine(int group, bool upper, bool odd) const {
    if (SIX_BIT_SCALES) {
      const int at = 8 * group;
      const u32 rest = scales[3] >> at;
      const u32 step = upper ? (rest & 15) | (scales[1] >> (at + 2) & 48) : scales[1] >> at & 63;
      const u32 minimum = upper ? (rest >> 4 & 15) | (scales[2] >> (at + 2) & 48) : scales[2] >> at & 63;
      return {real_half_float((u16)scales[0]) * (float)step,
              -real_half_float((u16)(scales[0] >> 16)) * (float)minimum};
    }
    if (PAIRS) return {real_half_float((u16)scales[group % 4]), real_half_float((u16)(scales[group % 4] >> 16))};
    if (BLOCK == Q6_K) {
      const float step = (float)(signed char)(scales[group / 4] >> (8 * (group % 4)));
      return {real_half_float((u16)(odd ? scales[2] >> 16 : scales[2])) * step, 0};
    }
    return {real_half_float((u16)(scales[group / 2 % 4] >> (16 * (group % 2)))), 0};
  }
};

// What this lane sums up: of each tile and column, rows g and g + 8 of tokens 2 t and 2 t + 1.
struct Accumulators {
  float of[TILES][COLUMNS][4];

  DEVICE void clear() {
#pragma unroll
    for (int m = 0; m < TILES; ++m) {
#pragma unroll
      for (int i = 0; i < 4 * COLUMNS; ++i) of[m][i / 4][i % 4] = 0;
    }
  }
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
