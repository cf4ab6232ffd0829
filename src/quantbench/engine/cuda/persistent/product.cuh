// Matrix times a few vectors: the tiles of a block, by whole warps or slice by slice, straight from the ring.
#pragma once
#include "block_operand.cuh"
#include "operand.cuh"

// Which batch row this lane's sums i (0..3) belong to; ROWS or more where to none.
template <class S>
DEVICE int batch_row(int i) {
  const int column = 2 * (lane() & 3) + (i & 1);
  if (!S::SWAP) return column;
  return (column >> 2) == ((lane() >> 2) & 1) ? column & 3 : ROWS;
}

// The sums of a tile, less what bytes were raised by: in 8-row tiles the rows of ones say the sum of x.
template <class S>
DEVICE void settle(float (&to)[4], const Sums& sum, const PerRow& x_whole) {
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = sum.a[i] + sum.b[i];
  if (S::KIND != INT8 || S::GROUPS) return;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float whole = S::SHORT ? to[(i & 1) + 2] : x_whole.at(least(batch_row<S>(i), ROWS - 1));
    if (!S::SHORT || i < 2) to[i] -= BYTE_OFFSET * whole;
  }
}

// By how much the ring moves on with this matrix; its user's caller adds it.
template <class S>
DEVICE u32 tiles_of(RowRange own) {
  return S::tiles(own) * S::CHUNKS;
}

// This warp's part of a tile's sums, for `total`.
template <class S>
DEVICE void leave_sums(int tile, const Sums& sum, const WarpSlice& mine, int half) {
  float sums[4];
  settle<S>(sums, sum, mine.whole);
  float* to = shared().partial[half] + warp();
  const int row = tile * 16 + (lane() >> 2);
#pragma unroll
  for (int i = 0; i < (S::SHORT ? 2 : 4); ++i) {
    const int b = batch_row<S>(i);
    if (b < ROWS) to[(b * S::TILES * 16 + row + (i >> 1) * 8) * SHARES] = sums[i] * mine.unscale.at(b);
  }
}

// Products go two at a time, where there are two, so that one is worked at while the other waits for its operands.
//
// Where a tile is one chunk and a warp has one slice of it: two tiles at a time.
template <class S>
DEVICE void multiply_tiles(const Ring& ring, int tiles, const WarpSlice& mine, int half) {
  const int unit = warp() * S::SLICE_UNITS;
  const bool works = warp() < S::SLICES;
  Slice<S> x;
  x.load(works ? warp() : 0);
  int m = 0;
#pragma unroll 1
  for (; S::TILES > 1 && m + 1 < tiles; m += 2) {
    const u32 first = ring.next + m;
    const u8 *slot, *next;
    ring.wait_two(first, slot, next);
    Sums sum, more;
    sum.clear();
    more.clear();
    if (works) {
      Operand<S> a, b;
      a.load(slot, S::UNITS, unit);
      b.load(next, S::UNITS, unit);
      a.multiply(sum, x, S::UNITS - unit);
      b.multiply(more, x, S::UNITS - unit);
    }
    ring.release(first, 1);
    ring.release(first + 1, 1);
    leave_sums<S>(m, sum, mine, half);
    leave_sums<S>(m + 1, more, mine, half);
  }
  if (m >= tiles) return;
  const u8* slot = ring.wait_next(ring.next + m);
  Sums sum;
  sum.clear();
  if (works) {
    Operand<S> a;
    a.load(slot, S::UNITS, unit);
    a.multiply(sum, x, S::UNITS - unit);
  }
  ring.release(ring.next + m, 1);
  leave_sums<S>(m, sum, mine, half);
}

// Else two slices of one chunk at a time: slice, slice + step and so on of the chunk.
template <class S>
DEVICE void multiply_chunk(Sums& sum, Sums& more, const u8* slot, int chunk, int slice, int step) {
  constexpr int CHUNK_SLICES = S::CHUNK / S::SLICE_UNITS;
  const int units = least(S::CHUNK, S::UNITS - chunk * S::CHUNK), slices = ceil_div(units, S::SLICE_UNITS);
#pragma unroll 1
  for (; slice + step < slices; slice += 2 * step) {
    Operand<S> a, b;
    Slice<S> x, y;
    a.load(slot, units, slice * S::SLICE_UNITS, chunk * S::CHUNK);
    b.load(slot, units, (slice + step) * S::SLICE_UNITS, chunk * S::CHUNK);
    x.load(chunk * CHUNK_SLICES + slice);
    y.load(chunk * CHUNK_SLICES + slice + step);
    a.multiply(sum, x, units - slice * S::SLICE_UNITS);
    b.multiply(more, y, units - (slice + step) * S::SLICE_UNITS);
  }
  if (slice >= slices) return;
  Operand<S> a;
  Slice<S> x;
  a.load(slot, units, slice * S::SLICE_UNITS, chunk * S::CHUNK);
  x.load(chunk * CHUNK_SLICES + slice);
  a.multiply(sum, x, units - slice * S::SLICE_UNITS);
}
template <class S>
DEVICE void multiply_slices(const Ring& ring, int tiles, const WarpSlice& mine, int half) {
  u32 tile = ring.next;
#pragma unroll 1
  for (int m = 0; m < tiles; ++m) {
    Sums sum, more;
    sum.clear();
    more.clear();
#pragma unroll 1
    for (int c = 0; c < S::CHUNKS; ++c, ++tile) {
      const u8* slot = ring.wait_next(tile);
      const int first = warp() - c * (S::CHUNK / S::SLICE_UNITS) % WARPS;
      multiply_chunk<S>(sum, more, slot, c, first < 0 ? first + WARPS : first, WARPS);
      ring.release(tile, 1);
    }
    sum.add(more);
    leave_sums<S>(m, sum, mine, half);
  }
}

// All tiles of this block, this warp's slices: leaves the partial sums in shared memory for `total`. Ends with a
// barrier. `half` alternates from product to product, so that partial sums may still be read meanwhile.
template <class S>
DEVICE void multiply(const Ring& ring, int tiles, const WarpSlice& mine, int half) {
  if (S::CHUNKS == 1 && S::SLICES_EACH == 1) {
    multiply_tiles<S>(ring, tiles, mine, half);
  } else {
    multiply_slices<S>(ring, tiles, mine, half);
  }
  consumer_barrier();
}

// The same, but each tile by one warp, from x that all warps have left: emit(tile, sums).
template <class S, class Emit>
DEVICE void multiply_whole(Ring& ring, RowRange own, const PerRow& whole, Emit emit) {
#pragma unroll 1
  for (int m = warp(); m < S::tiles(own); m += WARPS) {
    Sums sum, more;
    sum.clear();
    more.clear();
#pragma unroll 1
    for (int c = 0; c < S::CHUNKS; ++c) {
      const u32 tile = ring.next + m * S::CHUNKS + c;
      const u8* slot = ring.wait_full(tile);
      multiply_chunk<S>(sum, more, slot, c, 0, 1);
      ring.release(tile, WARPS);
    }
    sum.add(more);
    float sums[4];
    settle<S>(sums, sum, whole);
    emit(m, sums);
  }
}

// Shares of one output, or of anything else that each warp adds to.
DEVICE float sum_shares(const float* at) {
  float sum = 0;
#pragma unroll
  for (int share = 0; share < WARPS; share += 4) {
    const Fours four = *(const Fours*)(at + share);
    const float high = share + 3 < WARPS ? four.v[3] : 0, middle = share + 2 < WARPS ? four.v[2] : 0;
    sum += (four.v[0] + (share + 1 < WARPS ? four.v[1] : 0)) + (middle + high);
  }
  return sum;
}

// Sum of the plans of one output: `row` counts 16 rows a tile.
template <class S>
DEVICE float total(int row, int b, int half) {
  return sum_shares(shared().partial[half] + (b * S::TILES * 16 + row) * SHARES);
}
