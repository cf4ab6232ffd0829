// How a matrix is shared out over blocks, and how its rows are cut into tiles.
#pragma once

enum Kind { FLOAT = 0, INT8 = 1, INT4 = 2 };

ANYWHERE constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
ANYWHERE constexpr int round_up(int a, int b) { return ceil_div(a, b) * b; }
ANYWHERE constexpr int least(int a, int b) { return a < b ? a : b; }
ANYWHERE constexpr int most(int a, int b) { return a > b ? a : b; }

DEVICE int lane() { return thread() & 31; }
DEVICE int warp() { return thread() >> 5; }

// One matrix [OUT, INPUTS]: blocks own consecutive outputs, in whole multiples of GRAIN. A paired matrix has
// 2 * OUT rows (gate, up) and a block owns the rows of both. A tile is up to 16 rows x CHUNK units of inputs;
// where WHOLE, one warp multiplies all of it.
template <int KIND_, int INPUTS_, int OUT_, int GRAIN, bool PAIRED_, bool WHOLE = false>
struct Stage {
  static constexpr int KIND = KIND_, INPUTS = INPUTS_, OUT = OUT_;
  static constexpr bool PAIRED = PAIRED_;
  static constexpr int OWN = ceil_div(OUT / GRAIN, BLOCKS) * GRAIN;  // outputs of a block, at most
  static constexpr bool SHORT = !PAIRED && OWN <= 8;                 // tiles of 8 rows
  static constexpr int TILE_ROWS = SHORT ? 8 : 16;
  static constexpr int TILE_OUT = PAIRED ? 8 : TILE_ROWS;
  static constexpr int UNIT = KIND == INT4 ? GROUP : KIND == INT8 ? 64 : 32;  // inputs of one warp step
  static constexpr int UNIT_BYTES = KIND == INT4 ? GROUP / 2 : 64;
  static constexpr int UNITS = INPUTS / UNIT;
  static constexpr int DATA_BYTES = UNITS * UNIT_BYTES;
  static constexpr long long ROW_BYTES =
      KIND == INT4 ? round_up(DATA_BYTES + 4 * UNITS, 16) : DATA_BYTES;  // in device memory

  ANYWHERE static constexpr int scale_bytes(int units) { return KIND == INT4 ? round_up(units * 4, 16) : 0; }
  // In shared memory rows lie 64 bytes apart modulo 128, so that two rows are read without conflict.
  ANYWHERE static constexpr int stride(int units) {
    return round_up(units * UNIT_BYTES + scale_bytes(units) + 64, 128) - 64;
  }
  ANYWHERE static constexpr int chunk() {
    int units = UNITS;
    while (units > (KIND == INT4 ? 4 : 1) && TILE_ROWS * stride(units) > SLOT_BYTES) units -= KIND != INT4 ? 1 : units % 4 ? units % 4 : 4;
    int even = ceil_div(UNITS, ceil_div(UNITS, units));
    return least(units, KIND == INT4 && even < UNITS ? round_up(even, 4) : even);
  }
  static constexpr int CHUNK = chunk();
  static constexpr int CHUNKS = ceil_div(UNITS, CHUNK);
  static constexpr int STRIDE = stride(CHUNK);
  static_assert(INPUTS % UNIT == 0 && OUT % GRAIN == 0, "a shape that the layout does not hold");
  static_assert(TILE_ROWS * STRIDE <= SLOT_BYTES, "a tile does not fit its slot");

  static constexpr int TILES = ceil_div(OWN, TILE_OUT);
  static constexpr int WARPS_M = least(TILES, WARPS);     // tiles at work at once
  static constexpr int WARPS_K = WHOLE ? 1 : WARPS / WARPS_M;  // warps that share a tile's inputs

  DEVICE static int first() { return (int)((long long)(OUT / GRAIN) * block() / BLOCKS) * GRAIN; }
  DEVICE static int last() { return (int)((long long)(OUT / GRAIN) * (block() + 1) / BLOCKS) * GRAIN; }
  DEVICE static int tiles() { return ceil_div(last() - first(), TILE_OUT); }
};
