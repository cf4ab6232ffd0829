// 4-bit matrices times a few tokens, at the speed at which the weights can be read: tensor-core products of 16 weight
// rows with 8 tokens, whose left operand comes from the packed bytes by one instruction for two weights.
//
// A block takes TILES times 16 rows of the matrix and one slice of its inputs; its WARPS warps take pieces of 128
// inputs in turn, so that together they read runs of memory. Each thread copies into shared memory what itself will
// multiply, STAGES - 1 pieces ahead, so that no barrier of the block stands between copying and multiplying (scales
// alone cross the lanes of a warp). The weights of the first pieces are asked for before the kernel before has ended.
//
// Compiled with: GROUP (inputs that share a scale, or of a pair of groups where DOUBLE), TILES, COLUMNS (of 8 tokens),
// WARPS, STAGES, LEAST_BLOCKS (of a multiprocessor), EPILOGUE.
#include "finish.cuh"
#include "unpack.cuh"

enum Epilogue { STORE = EPILOGUE_STORE, GATE = EPILOGUE_GATE, BEST = EPILOGUE_BEST, SUMS = EPILOGUE_SUMS };

struct Product {
  const u8* weights;   // [outputs, row_bytes]
  const float* scale;  // [outputs], of double quantization, else null
  const u16* bias;     // [outputs] or null
  const u16* x;        // float16 [tokens, inputs], contiguous
  void* out;           // STORE: float16 [tokens, outputs]; GATE: [tokens, outputs / 2]; BEST: float [tiles, tokens];
                       // SUMS: float [slices, tokens, outputs]
  int* ids;            // BEST: [tiles, tokens]
  int tokens, outputs, inputs, row_bytes, slices, order;  // order: of what reads gated units
};

constexpr int PIECE = 128;               // inputs
constexpr int UNITS = PIECE / GROUP;     // of a piece
constexpr int WORDS = GROUP / 32;        // of a unit of one row, that a lane multiplies
constexpr int HALF_BYTES = GROUP / 4;    // of x that a lane has for the low nibbles of a unit
constexpr int COPY = least(HALF_BYTES, 16), COPIES = HALF_BYTES / COPY;
constexpr int ROWS = 16 * TILES, TOKENS = 8 * COLUMNS, THREADS = 32 * WARPS;
constexpr int AT_ONCE = COLUMNS > 2 ? 1 : 2;  // tiles that a warp sums side by side, to hide what each waits for
constexpr int OUTPUTS = EPILOGUE == GATE ? ROWS / 2 : ROWS;  // of a block
constexpr int ROOM = ROWS + 4;  // floats from token to token of the partial sums, for no two lanes to meet at a bank

// One piece as a warp holds it: everything but the scales lies where the lane that copied it reads it.
struct __align__(16) Stage {
  u32 words[TILES][2][UNITS][32][WORDS];  // rows g and g + 8 of 16
  u32 x[COLUMNS][UNITS][2][COPIES][32][COPY / 4];
  u32 affine[ROWS][UNITS];
};
constexpr int STAGE_BYTES = sizeof(Stage) * STAGES * WARPS;
constexpr int SUM_BYTES = 4 * WARPS * TOKENS * ROOM;
static_assert(SUM_BYTES <= STAGE_BYTES, "partial sums take the place of the stages");
static_assert(STAGE_BYTES <= SHARED_LIMIT, "the stages have no room");

DEVICE Stage& stage(int i) { return ((Stage*)shared_memory())[warp() * STAGES + i]; }
DEVICE float* partial(int of_warp, int token) { return (float*)shared_memory() + (of_warp * TOKENS + token) * ROOM; }

// Which row of the matrix is row i of this block; the last one in place of those beyond.
DEVICE int matrix_row(const Product& p, int tile, int i) {
  if (EPILOGUE != GATE) return least(tile * ROWS + i, p.outputs - 1);
  const int width = p.outputs / 2, up = i >= ROWS / 2;
  return least(tile * (ROWS / 2) + i - up * (ROWS / 2), width - 1) + up * width;
}

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
  DEVICE void add_piece(const Stage& from) {
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

// All pieces of this warp: `first`, `first` + WARPS and so on before `end`.
DEVICE void sum_pieces(Accumulators& sums, const Product& p, int tile, int first, int end) {
  const Places places(p, tile);
#pragma unroll
  for (int s = 0; s < STAGES - 1; ++s)
    if (first + s * WARPS < end) copy_weights(stage(s), p, places, first + s * WARPS);
  let_successor_start();
  wait_for_predecessor();
#pragma unroll
  for (int s = 0; s < STAGES - 1; ++s) {
    if (first + s * WARPS < end) copy_x(stage(s), p, first + s * WARPS);
    copy_commit();
  }
  int now = 0;
#pragma unroll 1
  for (int piece = first; piece < end; piece += WARPS) {
    const int next = piece + (STAGES - 1) * WARPS, free = now ? now - 1 : STAGES - 1;
    if (next < end) {
      copy_weights(stage(free), p, places, next);
      copy_x(stage(free), p, next);
    }
    copy_commit();
    copy_wait<STAGES - 1>();
    warp_barrier();
    sums.add_piece(stage(now));
    warp_barrier();
    now = now == STAGES - 1 ? 0 : now + 1;
  }
}

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
      ((float*)p.out)[((long long)slice * p.tokens + token) * width + column] = sum;
    } else {
      const float y = EPILOGUE == GATE ? silu(sum) * total(p, tile, token, i + OUTPUTS) : sum;
      const int place = EPILOGUE == GATE ? place_of(column, p.order) : column;
      ((u16*)p.out)[(long long)token * width + place] = (u16)pack2(y, 0);
    }
  }
}

KERNEL(THREADS, LEAST_BLOCKS) void few_rows(const __grid_constant__ Product p) {
  const int tiles = ceil_div(EPILOGUE == GATE ? p.outputs / 2 : p.outputs, OUTPUTS);
  const int tile = block() % tiles, slice = block() / tiles, pieces = ceil_div(p.inputs, PIECE);
  Accumulators sums;
  sums.clear();
  sum_pieces(sums, p, tile, pieces * slice / p.slices + warp(), pieces * (slice + 1) / p.slices);
  block_barrier();
  leave(sums);
  block_barrier();
#pragma unroll 1
  for (int token = warp(); token < p.tokens; token += WARPS) {
    if (EPILOGUE == BEST) leave_best(p, tile, token);
    if (EPILOGUE != BEST) leave_outputs(p, tile, slice, token);
  }
}
