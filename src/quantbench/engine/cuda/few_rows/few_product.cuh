// A product of a matrix with a few tokens: what it is given, and how a block's share of it is cut.
#pragma once
#include "unpack.cuh"

enum Epilogue { STORE = EPILOGUE_STORE, GATE = EPILOGUE_GATE, BEST = EPILOGUE_BEST, SUMS = EPILOGUE_SUMS };

struct Product {
  const u8* weights;   // [outputs, row_bytes]; of GGUF blocks their codes
  const float* scale;  // [outputs], of double quantization, else null
  const u8* scales;    // of blocks, with `high` and `sub`: see formats/block_rows.py
  const u32* high;
  const u16* sub;
  const u16* bias;     // [outputs] or null
  const u16* x;        // float16 [tokens, inputs], contiguous
  void* out;           // STORE: float16 [tokens, outputs]; GATE: [tokens, outputs / 2]; BEST: float [tiles, tokens];
                       // SUMS: float [slices, tokens, outputs]
  int* ids;            // BEST: [tiles, tokens]
  int tokens, outputs, inputs, row_bytes, slices, order;  // order: of what reads gated units
  int out_stride;      // from token to token of `out`, in elements; of BEST no one asks
};

constexpr int PIECE = 128;  // inputs
constexpr int ROWS = 16 * TILES, TOKENS = 8 * COLUMNS, THREADS = 32 * WARPS;
constexpr int OUTPUTS = EPILOGUE == GATE ? ROWS / 2 : ROWS;  // of a block
constexpr int ROOM = ROWS + 4;  // floats from token to token of the partial sums, for no two lanes to meet at a bank

DEVICE float* partial(int of_warp, int token) { return (float*)shared_memory() + (of_warp * TOKENS + token) * ROOM; }

// Which row of the matrix is row i of this block; the last one in place of those beyond.
DEVICE int matrix_row(const Product& p, int tile, int i) {
  if (EPILOGUE != GATE) return least(tile * ROWS + i, p.outputs - 1);
  const int width = p.outputs / 2, up = i >= ROWS / 2;
  return least(tile * (ROWS / 2) + i - up * (ROWS / 2), width - 1) + up * width;
}

// What a lane sums up: of each tile and column, rows g and g + 8 of tokens 2 t and 2 t + 1.
struct TileSums {
  float of[TILES][COLUMNS][4];

  DEVICE void clear() {
#pragma unroll
    for (int m = 0; m < TILES; ++m) {
#pragma unroll
      for (int i = 0; i < 4 * COLUMNS; ++i) of[m][i / 4][i % 4] = 0;
    }
  }
};
