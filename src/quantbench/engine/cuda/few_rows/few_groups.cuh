// 4-bit rows with a scale and a zero a group: how a warp holds 128 inputs of them, and what their products add.
#pragma once
#include "few_product.cuh"

constexpr int UNITS = PIECE / GROUP;     // of a piece
constexpr int WORDS = GROUP / 32;        // of a unit of one row, that a lane multiplies
constexpr int HALF_BYTES = GROUP / 4;    // of x that a lane has for the low nibbles of a unit
constexpr int COPY = least(HALF_BYTES, 16), COPIES = HALF_BYTES / COPY;
constexpr int AT_ONCE = COLUMNS > 2 ? 1 : 2;  // tiles that a warp sums side by side, to hide what each waits for

// One piece as a warp holds it: everything but the scales lies where the lane that copied it reads it.
struct __align__(16) Stage {
  u32 words[TILES][2][UNITS][32][WORDS];  // rows g and g + 8 of 16
  u32 x[COLUMNS][UNITS][2][COPIES][32][COPY / 4];
  u32 affine[ROWS][UNITS];
};

// Where the rows lie that this lane copies, in bytes from the matrix's begin.
struct Places {
  u32 row[TILES][2];
  u32 affine[ceil_div(ROWS, 32)];

  DEVICE Places(const Product& p, int tile) {
    const int g = lane() >> 2;
#pragma unroll
    for (int m = 0; m < TILES; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) row[m][h] = (u32)matrix_row(p, tile, 16 * m + 8 * h + g) * (u32)p.row_bytes;
    }
#pragma unroll
    for (int i = 0; i < ceil_div(ROWS, 32); ++i)
      affine[i] = (u32)matrix_row(p, tile, least(lane() + 32 * i, ROWS - 1)) * (u32)p.row_bytes + p.inputs / 2;
  }
};

DEVICE void copy_weights(Stage& to, const Product& p, const Places& places, int piece) {
  const int t = lane() & 3, there = p.inputs - piece * PIECE;  // inputs that there are
#pragma unroll
  for (int m = 0; m < TILES; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
      for (int u = 0; u < UNITS; ++u) {
        const u8* from = p.weights + places.row[m][h] + piece * (PIECE / 2) + u * (GROUP / 2) + t * (4 * WORDS);
        const bool inside = UNITS == 1 || u * GROUP < there;
        copy_async<4 * WORDS>(to.words[m][h][u][lane()], inside ? from : p.weights, inside ? 4 * WORDS : 0);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < ceil_div(ROWS, 32); ++i) {
    const int row = lane() + 32 * i;
    const u8* from = p.weights + places.affine[i] + piece * 4 * UNITS;
    if (row < ROWS) copy_async<4 * UNITS>(to.affine[row], from, least(4 * UNITS, 4 * (there / GROUP)));
  }
}

DEVICE void copy_x(Stage& to, const Product& p, int piece) {
  const int g = lane() >> 2, t = lane() & 3, there = p.inputs - piece * PIECE;
#pragma unroll
  for (int c = 0; c < COLUMNS; ++c) {
    const int token = 8 * c + g;
    const u8* row = (const u8*)(p.x + (long long)least(token, p.tokens - 1) * p.inputs + piece * PIECE);
#pragma unroll
    for (int u = 0; u < UNITS; ++u) {
      const bool inside = token < p.tokens && (UNITS == 1 || u * GROUP < there);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int i = 0; i < COPIES; ++i) {
          const u8* from = row + (u * 2 + half) * GROUP + t * HALF_BYTES + i * COPY;
          copy_async<COPY, true>(to.x[c][u][half][i][lane()], inside ? from : (const u8*)p.x, inside ? COPY : 0);
        }
      }
    }
  }
}

// The right operand of one unit: its low and high half, and its sums over either, of tokens 2 t and 2 t + 1.
struct Inputs {
  u32 words[2][2 * WORDS];
  Pair above[2];  // DOUBLE: the sums; else `raised`

  DEVICE void load(const Stage& from, int c, int u) {
    float sum[2][4] = {};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      __align__(16) u32 got[2 * WORDS];
#pragma unroll
      for (int i = 0; i < COPIES; ++i) load_words<COPY / 4>(got + i * (COPY / 4), from.x[c][u][half][i][lane()]);
#pragma unroll
      for (int i = 0; i < 2 * WORDS; i += 2) {  // inputs 0 to 3 as (0, 2) and (1, 3), as nibbles come
        words[half][i] = permute_bytes(got[i], got[i + 1], 0x5410);
        words[half][i + 1] = permute_bytes(got[i], got[i + 1], 0x7632);
        multiply_accumulate(sum[half], ONES, ONES, ONES, ONES, words[half][i], words[half][i + 1]);
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) above[i] = DOUBLE ? Pair{sum[0][i], sum[1][i]} : raised(sum[0][i], sum[1][i]);
  }
};

// sum += what the sums of raised nibbles are worth, for rows g and g + 8.
DEVICE void add_unit(float (&sum)[4], const float (&low)[4], const float (&high)[4], const u32 (&affine)[2],
                     const Pair (&above)[2]) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    if (DOUBLE) {
      const PairAffine pair(affine[h]);
#pragma unroll
      for (int i = 0; i < 2; ++i) sum[2 * h + i] += pair.value(low[2 * h + i], high[2 * h + i], above[i]);
    } else {
      const float scale = real_half_float((u16)affine[h]), zero = real_half_float((u16)(affine[h] >> 16));
#pragma unroll
      for (int i = 0; i < 2; ++i)
        sum[2 * h + i] += scale * (low[2 * h + i] + 0.0625f * high[2 * h + i] - above[i].a) + zero * above[i].b;
    }
  }
}

// A lane's sums, and what pieces add to them.
struct Accumulators : TileSums {
  DEVICE void add_piece(const Stage& from, const Product&, const Places&, int) {
#pragma unroll
    for (int u = 0; u < UNITS; ++u) {
      Inputs x[COLUMNS];
#pragma unroll
      for (int c = 0; c < COLUMNS; ++c) x[c].load(from, c, u);
#pragma unroll
      for (int m = 0; m + AT_ONCE <= TILES; m += AT_ONCE) add_tiles<AT_ONCE>(from, m, u, x);
      if (TILES % AT_ONCE) add_tiles<TILES % AT_ONCE>(from, TILES - TILES % AT_ONCE, u, x);
    }
  }

 private:
  // COUNT tiles from the m-th on.
  template <int COUNT>
  DEVICE void add_tiles(const Stage& from, int m, int u, const Inputs (&x)[COLUMNS]) {
    __align__(16) u32 words[most(COUNT, 1)][2][WORDS];
    float low[most(COUNT, 1)][COLUMNS][4] = {}, high[most(COUNT, 1)][COLUMNS][4] = {};
#pragma unroll
    for (int n = 0; n < COUNT; ++n) {
      load_words<WORDS>(words[n][0], from.words[m + n][0][u][lane()]);
      load_words<WORDS>(words[n][1], from.words[m + n][1][u][lane()]);
    }
#pragma unroll
    for (int i = 0; i < WORDS; ++i) {
#pragma unroll
      for (int n = 0; n < COUNT; ++n) {
        u32 p[4], q[4];
        nibbles_to_halves(p, words[n][0][i]);
        nibbles_to_halves(q, words[n][1][i]);
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c) {
          const u32(&a)[2 * WORDS] = x[c].words[0], (&b)[2 * WORDS] = x[c].words[1];
          multiply_accumulate(low[n][c], p[0], q[0], p[2], q[2], a[2 * i], a[2 * i + 1]);
          multiply_accumulate(high[n][c], p[1], q[1], p[3], q[3], b[2 * i], b[2 * i + 1]);
        }
      }
    }
    const int g = lane() >> 2;
#pragma unroll
    for (int n = 0; n < COUNT; ++n) {
      const u32 affine[2] = {from.affine[16 * (m + n) + g][u], from.affine[16 * (m + n) + 8 + g][u]};
#pragma unroll
      for (int c = 0; c < COLUMNS; ++c) add_unit(of[m + n][c], low[n][c], high[n][c], affine, x[c].above);
    }
  }
};
