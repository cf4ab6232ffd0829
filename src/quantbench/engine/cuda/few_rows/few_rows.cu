// Packed matrices times a few tokens, at the speed at which the weights can be read: tensor-core products of 16 weight
// rows with 8 tokens, whose left operand comes from the packed bytes by one instruction for two weights.
//
// A block takes TILES times 16 rows of the matrix and one slice of its inputs; its WARPS warps take pieces of 128
// inputs in turn, so that together they read runs of memory. Each thread copies into shared memory what itself will
// multiply, STAGES - 1 pieces ahead, so that no barrier of the block stands between copying and multiplying (scales
// and inputs of blocks alone cross the lanes of a warp). The weights of the first pieces are asked for before the
// kernel before has ended.
//
// Compiled with: BLOCK (a GGUF type, or 0), GROUP (inputs that share a scale, or a pair of groups where DOUBLE), TILES,
// COLUMNS (of 8 tokens), WARPS, STAGES, LEAST_BLOCKS (of a multiprocessor), EPILOGUE.
#include "few_product.cuh"
#if BLOCK
#include "few_blocks.cuh"
#else
#include "few_groups.cuh"
#endif
#include "few_outcome.cuh"

constexpr int STAGE_BYTES = sizeof(Stage) * STAGES * WARPS;
constexpr int SUM_BYTES = 4 * WARPS * TOKENS * ROOM;
static_assert(SUM_BYTES <= STAGE_BYTES, "partial sums take the place of the stages");
static_assert(STAGE_BYTES <= SHARED_LIMIT, "the stages have no room");

DEVICE Stage& stage(int i) { return ((Stage*)shared_memory())[warp() * STAGES + i]; }

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
    sums.add_piece(stage(now), p, places, piece);
    warp_barrier();
    now = now == STAGES - 1 ? 0 : now + 1;
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
