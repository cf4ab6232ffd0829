// How a matrix is shared out over blocks, and how its rows are cut into tiles.
#pragma once
#include "unpack.cuh"

template <bool FIRST, class A, class B>
struct Select {
  using Type = A;
};
template <class A, class B>
struct Select<false, A, B> {
  using Type = B;
};

enum Kind { FLOAT = KIND_FLOAT, INT8 = KIND_INT8, INT4 = KIND_INT4 };
constexpr int INT8_UNIT = INT8_GROUP == 32 ? 32 : 64;

ANYWHERE constexpr int power_of_two(int n) {  // the least that is at least n
  int p = 1;
  while (p < n) p *= 2;
  return p;
}

// The outputs of one matrix that this block owns.
struct RowRange {
  int first, count;
};

// One matrix [OUT, INPUTS]: blocks own consecutive outputs. A paired matrix has 2 * OUT rows (gate, up) and a
// block owns the rows of both. A tile is up to 16 rows x CHUNK units of inputs. A tile of whole rows is one run of
// memory, copied at once; chunks of rows are copied row by row.
template <int KIND_, int INPUTS_, int OUT_, bool PAIRED_>
struct Stage {
  static constexpr int KIND = KIND_, INPUTS = INPUTS_, OUT = OUT_;
  static constexpr bool PAIRED = PAIRED_;
  static constexpr int OWN = ceil_div(OUT, BLOCKS);   // outputs of a block, at most
  static constexpr bool SHORT = !PAIRED && OWN <= 8;  // tiles of 8 rows
  static constexpr int TILE_ROWS = SHORT ? 8 : 16;
  static constexpr int TILE_OUT = PAIRED ? 8 : TILE_ROWS;
  static constexpr bool GROUPS = KIND == INT4 || (KIND == INT8 && INT8_GROUP != 0);  // scales lie behind a row
  static constexpr int UNIT = KIND == INT4 ? GROUP : KIND == INT8 ? INT8_UNIT : 32;  // inputs of one warp step
  static constexpr int UNIT_BYTES = KIND == INT4 ? GROUP / 2 : KIND == INT8 ? UNIT : 64;
  static constexpr int UNITS = INPUTS / UNIT;
  static constexpr int SLICE_UNITS = SLICE / UNIT;
  static constexpr int SLICES = ceil_div(INPUTS, SLICE);
  static constexpr int SLICES_EACH = ceil_div(SLICES, WARPS);
  static constexpr bool PARTIAL = INPUTS % SLICE != 0;  // the last slice is not whole
  static constexpr int DATA_BYTES = UNITS * UNIT_BYTES;

  // Where the scales of a unit begin, from the first: 4 bytes a unit of 4-bit weights, 2 bytes a group of 8-bit ones.
  ANYWHERE static constexpr int scale_place(int unit) {
    return KIND == INT4 ? 4 * unit : GROUPS ? 2 * (unit * UNIT / most(INT8_GROUP, 1)) : 0;
  }
  ANYWHERE static constexpr int scale_bytes(int units) { return round_up(scale_place(units), 16); }
  static constexpr int ROW_BYTES = DATA_BYTES + scale_bytes(UNITS);
  // In shared memory chunks lie 64 bytes apart modulo 128, so that two rows are read without conflict.
  ANYWHERE static constexpr int stride(int units) {
    return round_up(units * UNIT_BYTES + scale_bytes(units) + 64, 128) - 64;
  }
  ANYWHERE static constexpr int chunk() {  // whole slices, and scales that start at a multiple of 16 bytes
    if (TILE_ROWS * ROW_BYTES <= SLOT_BYTES) return UNITS;
    constexpr int STEP = most(SLICE_UNITS, KIND == INT4 ? 4 : GROUPS ? 8 * INT8_GROUP / UNIT : 1);
    int units = round_up(UNITS, STEP);
    while (units > STEP && TILE_ROWS * stride(units) > SLOT_BYTES) units -= STEP;
    return round_up(ceil_div(UNITS, ceil_div(UNITS, units)), STEP);
  }
  static constexpr int CHUNK = chunk();
  static constexpr int CHUNKS = ceil_div(UNITS, CHUNK);
  static constexpr int STRIDE = CHUNKS == 1 ? ROW_BYTES : stride(CHUNK);
  static_assert(INPUTS % UNIT == 0, "a shape that the layout does not hold");
  static_assert(TILE_ROWS * STRIDE <= SLOT_BYTES, "a tile does not fit its slot");
  // Whole rows often start at the same bank. Then units go in pairs, odd rows take a pair's second half first,
  // and columns 4 to 7 hold the inputs in that order: rows of either parity find their sums in their columns.
  static_assert(ROWS <= 4, "such rows find their sums in four columns");
  static constexpr bool SWAP = !GROUPS && CHUNKS == 1 && ROW_BYTES % 128 == 0;
  static constexpr int TILES = ceil_div(OWN, TILE_OUT);
  static constexpr bool SUMS = KIND != FLOAT && !SHORT;  // whether sums of x must be known beforehand

  DEVICE static RowRange own() {
    const int first = (int)((long long)OUT * block() / BLOCKS);
    return {first, (int)((long long)OUT * (block() + 1) / BLOCKS) - first};
  }
  DEVICE static int tiles(RowRange own) { return ceil_div(own.count, TILE_OUT); }
};
