// How a matrix is shared out over blocks, and how its rows are cut into tiles.
#pragma once
#include "block_codes.cuh"

template <bool FIRST, class A, class B>
struct Select {
  using Type = A;
};
template <class A, class B>
struct Select<false, A, B> {
  using Type = B;
};

enum Kind { FLOAT = KIND_FLOAT, INT8 = KIND_INT8, INT4 = KIND_INT4, BLOCK_ROWS = KIND_BLOCKS };

// What a matrix is held in, as a number (forms.py): its kind, whether its 4-bit groups have steps and zeros of 8 bits,
// its GGUF type, and the inputs that share a scale (0: a row's do).
template <int FORM_>
struct Form {
  static constexpr int FORM = FORM_, KIND = FORM & 3, TYPE = FORM >> 3 & 15, GROUP = FORM >> 7;
  static constexpr bool DOUBLE = FORM >> 2 & 1;
};
// Up to four forms, those that the matrices of one place in a layer have: 16 bits each, of which the highest says that
// there is one.
template <u64 LIST>
struct Forms {
  using First = Form<(int)(LIST & 0x7fff)>;
  using Rest = Forms<(LIST >> 16)>;
  static constexpr bool LAST = LIST >> 16 == 0;
  ANYWHERE static constexpr bool have(int form) {
    for (u64 rest = LIST; rest; rest >>= 16)
      if ((int)(rest & 0x7fff) == form) return true;
    return false;
  }
};
// use.run<Form>() of the form at a place of a list: the one decision that is made while the kernel runs.
template <class LIST, class Use>
DEVICE void with_form(int place, const Use& use) {
  if constexpr (LIST::LAST) {
    use.template run<typename LIST::First>();
  } else {
    if (place == 0) use.template run<typename LIST::First>();
    else with_form<typename LIST::Rest>(place - 1, use);
  }
}

ANYWHERE constexpr int power_of_two(int n) {  // the least that is at least n
  int p = 1;
  while (p < n) p *= 2;
  return p;
}

// The outputs of one matrix that this block owns.
struct RowRange {
  int first, count;
};

// How the outputs of a matrix are shared out, the same whatever it is held in: blocks own consecutive ones, so many
// TOGETHER rows. A paired matrix has 2 * OUT rows (gate, up) and a block owns the rows of both. Tensors of GGUF blocks
// want granules of 8 rows, which begin at a multiple of 16 bytes in each of them.
template <int OUT_, bool PAIRED_, int TOGETHER_>
struct Share {
  static constexpr int OUT = OUT_, TOGETHER = TOGETHER_;
  static constexpr bool PAIRED = PAIRED_;
  static constexpr int OWN = ceil_div(OUT / TOGETHER, BLOCKS) * TOGETHER;  // outputs of a block, at most
  static constexpr bool SHORT = !PAIRED && OWN <= 8;                     // tiles of 8 rows
  static constexpr int TILE_ROWS = SHORT ? 8 : 16;
  static constexpr int TILE_OUT = PAIRED ? 8 : TILE_ROWS;
  static constexpr int TILES = ceil_div(OWN, TILE_OUT);
  static_assert(OUT % TOGETHER == 0, "a shape that the layout does not hold");

  DEVICE static RowRange own() {
    const int first = (int)((long long)(OUT / TOGETHER) * block() / BLOCKS) * TOGETHER;
    return {first, (int)((long long)(OUT / TOGETHER) * (block() + 1) / BLOCKS) * TOGETHER - first};
  }
  DEVICE static int tiles(RowRange own) { return ceil_div(own.count, TILE_OUT); }
};

// One matrix [OUT, INPUTS] of a form. A tile is up to 16 rows x CHUNK units of inputs. A tile of whole rows is one run
// of memory, copied at once; chunks of rows are copied row by row. GGUF blocks lie in four such planes, one behind the
// other in a slot: codes, the bits above them, scales, and what these are multiples of.
template <class F, int INPUTS_, class SHARE>
struct Stage : F, SHARE {
  using SHARE::OUT, SHARE::PAIRED, SHARE::OWN, SHARE::SHORT, SHARE::TILE_ROWS, SHARE::TILE_OUT, SHARE::TILES;
  using F::KIND, F::GROUP;
  using Type = Codes<F::TYPE>;
  static constexpr int INPUTS = INPUTS_;
  static constexpr bool BLOCKED = KIND == BLOCK_ROWS;
  static constexpr bool GROUPS = KIND == INT4 || (KIND == INT8 && GROUP != 0);  // scales lie behind a row
  static constexpr int BLOCK_UNIT = Type::BYTES || INPUTS % 128 != 0 ? 64 : 128;
  static constexpr int UNIT =  // inputs of one warp step
      BLOCKED ? BLOCK_UNIT : KIND == INT4 ? GROUP : KIND == INT8 ? (GROUP == 32 ? 32 : 64) : 32;
  static constexpr int UNIT_BYTES = KIND == INT4 || (BLOCKED && !Type::BYTES) ? UNIT / 2 : KIND == FLOAT ? 64 : UNIT;
  static constexpr int UNITS = INPUTS / UNIT;
  static constexpr int SLICE_UNITS = SLICE / UNIT;
  static constexpr int SLICES = ceil_div(INPUTS, SLICE);
  static constexpr int SLICES_EACH = ceil_div(SLICES, WARPS);
  static constexpr bool PARTIAL = INPUTS % SLICE != 0;  // the last slice is not whole
  static constexpr int DATA_BYTES = UNITS * UNIT_BYTES;
  static constexpr int PLANES = BLOCKED ? 4 : 1;

  // Where the scales of a unit begin, from the first: 4 bytes a unit of 4-bit weights, 2 bytes a group of 8-bit ones.
  ANYWHERE static constexpr int scale_place(int unit) {
    return KIND == INT4 ? 4 * unit : GROUPS ? 2 * (unit * UNIT / most(GROUP, 1)) : 0;
  }
  ANYWHERE static constexpr int scale_bytes(int units) { return round_up(scale_place(units), 16); }
  static constexpr int ROW_BYTES = DATA_BYTES + scale_bytes(UNITS);
  // Bytes of a row in a plane; of the last one those of the whole row, whatever the units.
  ANYWHERE static constexpr int plane_bytes(int plane, int units) {
    return plane == 0   ? units * UNIT_BYTES + scale_bytes(units)
           : plane == 1 ? units * UNIT * Type::HIGH_BITS / 8
           : plane == 2 ? units * UNIT / (Type::PAIRS ? 8 : 16)
           : Type::SUB  ? INPUTS / 256 * 2
                        : 0;
  }
  ANYWHERE static constexpr int row_bytes(int units) {  // in all planes
    int bytes = 0;
    for (int plane = 0; plane < PLANES; ++plane) bytes += plane_bytes(plane, units);
    return bytes;
  }
  // In shared memory chunks lie 64 bytes apart modulo 128, so that two rows are read without conflict.
  ANYWHERE static constexpr int padding(int units) {
    const int bytes = plane_bytes(0, units);
    return round_up(bytes + 64, 128) - 64 - bytes;
  }
  ANYWHERE static constexpr int chunk() {  // whole slices, and scales that start at a multiple of 16 bytes
    if (TILE_ROWS * row_bytes(UNITS) <= SLOT_BYTES) return UNITS;
    constexpr int STEP =
        most(SLICE_UNITS, BLOCKED ? 256 / UNIT : KIND == INT4 ? 4 : GROUPS ? 8 * GROUP / UNIT : 1);
    int units = round_up(UNITS, STEP);
    while (units > STEP && TILE_ROWS * (row_bytes(units) + padding(units)) > SLOT_BYTES) units -= STEP;
    return round_up(ceil_div(UNITS, ceil_div(UNITS, units)), STEP);
  }
  static constexpr int CHUNK = chunk();
  static constexpr int CHUNKS = ceil_div(UNITS, CHUNK);
  static constexpr int STRIDE = plane_bytes(0, CHUNK) + (CHUNKS == 1 ? 0 : padding(CHUNK));  // of rows in a slot
  ANYWHERE static constexpr int plane_stride(int plane) { return plane == 0 ? STRIDE : plane_bytes(plane, CHUNK); }
  ANYWHERE static constexpr int plane_place(int plane) {  // in a slot
    int place = 0;
    for (int before = 0; before < plane; ++before) place += TILE_ROWS * plane_stride(before);
    return place;
  }
  static_assert(INPUTS % UNIT == 0, "a shape that the layout does not hold");
  static_assert(!BLOCKED || (SHARE::TOGETHER % 8 == 0 && (CHUNKS == 1 || INPUTS % 256 == 0)),
                "copies that would not start at a multiple of 16 bytes");
  static_assert(plane_place(PLANES) <= SLOT_BYTES, "a tile does not fit its slot");
  // Whole rows often start at the same bank. Then units go in pairs, odd rows take a pair's second half first,
  // and columns 4 to 7 hold the inputs in that order: rows of either parity find their sums in their columns.
  static_assert(ROWS <= 4, "such rows find their sums in four columns");
  static constexpr bool SWAP = !GROUPS && !BLOCKED && CHUNKS == 1 && ROW_BYTES % 128 == 0;
  // Whether sums of x must be known beforehand.
  static constexpr bool SUMS = !SHORT && (BLOCKED ? Type::MINIMA : KIND != FLOAT);
  static constexpr int SUM_UNIT = BLOCKED ? 64 : UNIT;  // inputs whose halves have sums of their own
  static_assert(!SUMS || !(GROUPS || BLOCKED) || SUM_UNIT >= SUM_INPUTS, "the sums have no room");
};
