// Matrix times a few vectors: tensor-core products of 16 rows with up to 8 columns, straight from the ring.
// 8-bit and 4-bit weights become exact float16 integers on the way: a byte or nibble is put under the exponent of
// 1024, and what that adds, a multiple of the sum of the inputs, is taken off the float32 sums, to which the
// scales are applied too. The order of inputs within a unit is whatever makes loads wide: both operands use the
// same order, so that no sum changes its terms.
//
// A warp multiplies the inputs that it fetched itself (slices of 128, slice s by warp s modulo WARPS), so that it
// waits for no other warp of its block before the partial sums meet.
#pragma once

template <int WORDS>
DEVICE void load_words(u32* w, const void* from) {
  if (WORDS == 1) w[0] = *(const u32*)from;
  if (WORDS == 2) *(u64*)w = *(const u64*)from;
#pragma unroll
  for (int i = 0; i < WORDS / 4; ++i) *(Quad*)(w + 4 * i) = ((const Quad*)from)[i];
}

template <int LANES>
DEVICE float sum_lanes(float value) {
#pragma unroll
  for (int mask = LANES / 2; mask; mask >>= 1) value += shuffle_xor(value, mask);
  return value;
}

// One number a batch row; read with an index that is not known at compile time.
struct PerRow {
  float of[ROWS];
  DEVICE float at(int b) const {
    float value = of[0];
#pragma unroll
    for (int i = 1; i < ROWS; ++i) value = b == i ? of[i] : value;
    return value;
  }
};

// What a warp knows of its own slices of x.
struct Mine {
  PerRow unscale;  // by which its sums are multiplied
  PerRow whole;    // sum of x, for 8-bit weights

  DEVICE void clear() {
#pragma unroll
    for (int b = 0; b < ROWS; ++b) unscale.of[b] = 1, whole.of[b] = 0;
  }
  template <class S>
  DEVICE void take_whole(int b, float lane_sum) {
    if (S::SUMS && S::KIND == INT8) whole.of[b] = sum_lanes<32>(lane_sum);
  }
};

constexpr int SLICE_WORDS = SLICE / 8;  // of x that a lane holds for one slice
constexpr u32 ONES = 0x3c003c00u;       // two float16 ones
constexpr float BYTE_OFFSET = 1152, LOW_OFFSET = 1032, HIGH_OFFSET = 72;  // see the functions below

// Two tiles of 8 rows: sums of the tensor core in two chains, and what they are worth.
struct Sums {
  float a[4], b[4];
  DEVICE void clear() {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = b[i] = 0;
  }
  DEVICE void add(const Sums& more) {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] += more.a[i], b[i] += more.b[i];
  }
};

// Four bytes as 1152 + byte.
DEVICE void bytes_to_halves(u32 (&h)[2], u32 word) {
  const u32 shifted = word ^ 0x80808080u;
  h[0] = permute_bytes(shifted, 0x64646464u, 0x4140);
  h[1] = permute_bytes(shifted, 0x64646464u, 0x4342);
}

// Eight nibbles: h[0] bytes 0 and 2 low as 1024 + n, h[1] bytes 0 and 2 high as 1024 + 16 n; h[2] and h[3] the same
// of bytes 1 and 3.
DEVICE void nibbles_to_halves(u32 (&h)[4], u32 word) {
#pragma unroll
  for (int i = 0; i < 4; i += 2, word >>= 8) {
    h[i] = and_or(word, 0x000f000fu, 0x64006400u);
    h[i + 1] = and_or(word, 0x00f000f0u, 0x64006400u);
  }
}

// By what the sums of one 4-bit group exceed those of its nibbles less 8, and the sum of x: from its sums over the
// group's low and high nibbles.
DEVICE Pair raised(float low, float high) { return {LOW_OFFSET * low + HIGH_OFFSET * high, low + high}; }

// One slice of x, as the lanes hold it for the second operand.
template <class S>
struct Slice {
  static constexpr bool GROUPS = S::KIND == INT4 && S::SUMS;
  __align__(16) u32 words[SLICE_WORDS];
  Pair above[GROUPS ? S::SLICE_UNITS : 1][2];  // `raised` of columns 2 t and 2 t + 1, for 4-bit tiles of 16 rows

  DEVICE void load(int slice) {
    const int t = lane() & 3, g = lane() >> 2, row = S::SWAP ? g & 3 : g;
    const bool swapped = S::SWAP && g >> 2;
    const u16* x = shared().x[least(row, ROWS - 1)] + slice * SLICE;
    constexpr int PIECE = S::KIND == INT4 ? GROUP / 16 : S::UNIT / 8;  // words that lie together
    constexpr int PIECES = SLICE_WORDS / PIECE;
#pragma unroll
    for (int i = 0; i < PIECES; ++i) {
      const int at = (i ^ (swapped ? 1 : 0)) * PIECE * 8 + 2 * PIECE * t;
      load_words<PIECE>(words + i * PIECE, x + at);
    }
    if (!GROUPS) return;
#pragma unroll
    for (int u = 0; u < (GROUPS ? S::SLICE_UNITS : 1); ++u) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const Pair sums = shared().x_sum[least(2 * t + i, ROWS - 1)][slice * S::SLICE_UNITS + u];
        above[u][i] = raised(sums.a, sums.b);
      }
    }
  }
};

// One slice of the rows of a tile, as the lanes hold it for the first operand: rows g and, in tiles of 16, g + 8.
// Where a tile has 8 rows, the other 8 of the operand are ones for packed weights and give the sum of x.
template <class S>
struct Operand {
  static constexpr int WORDS = S::KIND == INT4 ? GROUP / 32 : 4;  // of a unit
  static constexpr int HALVES = S::SHORT ? 1 : 2;
  __align__(16) u32 word[HALVES][S::SLICE_UNITS][WORDS];
  u32 affine[HALVES][S::KIND == INT4 ? S::SLICE_UNITS : 1];

  // The slice that begins at `unit` of a chunk of `units`.
  DEVICE void load(const u8* slot, int units, int unit) {
    const int g = lane() >> 2, t = lane() & 3, odd = S::SWAP ? g & 1 : 0;
#pragma unroll
    for (int h = 0; h < HALVES; ++h) {
      const u8* row = slot + (g + 8 * h) * S::STRIDE;
#pragma unroll
      for (int u = 0; u < S::SLICE_UNITS; ++u) {
        if (S::PARTIAL && unit + u >= units) break;
        load_words<WORDS>(word[h][u], row + (unit + (u ^ odd)) * S::UNIT_BYTES + 4 * WORDS * t);
        if (S::KIND == INT4) affine[h][u] = *(const u32*)(row + units * S::UNIT_BYTES + 4 * (unit + u));
      }
    }
  }
  // Adds its products with x, of which the first `units` units count.
  DEVICE void multiply(Sums& sum, const Slice<S>& x, int units) const {
#pragma unroll
    for (int u = 0; u < S::SLICE_UNITS; ++u) {
      if (S::PARTIAL && u >= units) break;
      const u32* inputs = x.words + u * (S::UNIT / 8);
      if (S::KIND == FLOAT) multiply_float(sum, u, inputs);
      if (S::KIND == INT8) multiply_int8(sum, u, inputs);
      if (S::KIND == INT4) multiply_int4(sum.a, u, inputs, x.above[Slice<S>::GROUPS ? u : 0]);
    }
  }

 private:
  DEVICE u32 high(int u, int i) const { return HALVES == 2 ? word[HALVES - 1][u][i] : 0; }

  DEVICE void multiply_float(Sums& sum, int u, const u32* x) const {
    const u32(&a)[WORDS] = word[0][u];
    multiply_accumulate(sum.a, a[0], high(u, 0), a[1], high(u, 1), x[0], x[1]);
    multiply_accumulate(sum.b, a[2], high(u, 2), a[3], high(u, 3), x[2], x[3]);
  }
  DEVICE void multiply_int8(Sums& sum, int u, const u32* x) const {
#pragma unroll
    for (int i = 0; i < WORDS; ++i) {
      u32 p[2], q[2] = {ONES, ONES};
      bytes_to_halves(p, word[0][u][i]);
      if (HALVES == 2) bytes_to_halves(q, high(u, i));
      multiply_accumulate(i & 1 ? sum.b : sum.a, p[0], q[0], p[1], q[1], x[2 * i], x[2 * i + 1]);
    }
  }
  // One group: sum += scale * (sum of (nibble - 8) * x) + zero * (sum of x).
  DEVICE void multiply_int4(float (&sum)[4], int u, const u32* x, const Pair (&above)[2]) const {
    float part[2][2][4] = {};  // [chain, low or high nibbles]
#pragma unroll
    for (int i = 0; i < WORDS; ++i) {
      u32 p[4], q[4] = {ONES, ONES, ONES, ONES};
      nibbles_to_halves(p, word[0][u][i]);
      if (HALVES == 2) nibbles_to_halves(q, high(u, i));
      multiply_accumulate(part[i & 1][0], p[0], q[0], p[2], q[2], x[2 * i], x[2 * i + 1]);
      multiply_accumulate(part[i & 1][1], p[1], q[1], p[3], q[3], x[2 * (WORDS + i)], x[2 * (WORDS + i) + 1]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) part[0][half][i] += part[1][half][i];
    }
#pragma unroll
    for (int i = 0; i < 2 * HALVES; ++i) {
      const Pair over = HALVES == 2 ? above[i & 1] : raised(part[0][0][i + 2], part[0][1][i + 2]);
      const u32 both = affine[i >> 1][u];
      const float scale = real_half_float((u16)both), zero = real_half_float((u16)(both >> 16));
      sum[i] += scale * (part[0][0][i] + 0.0625f * part[0][1][i] - over.a) + zero * over.b;
    }
  }
};

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
  if (S::KIND != INT8) return;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float whole = S::SHORT ? to[(i & 1) + 2] : x_whole.at(least(batch_row<S>(i), ROWS - 1));
    if (!S::SHORT || i < 2) to[i] -= BYTE_OFFSET * whole;
  }
}

// By how much the ring moves on with this matrix; its user's caller adds it.
template <class S>
DEVICE u32 tiles_of(Own own) {
  return S::tiles(own) * S::CHUNKS;
}

// This warp's part of a tile's sums, for `total`.
template <class S>
DEVICE void leave_sums(int tile, const Sums& sum, const Mine& mine, int half) {
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
DEVICE void multiply_tiles(const Ring& ring, int tiles, const Mine& mine, int half) {
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
    a.load(slot, units, slice * S::SLICE_UNITS);
    b.load(slot, units, (slice + step) * S::SLICE_UNITS);
    x.load(chunk * CHUNK_SLICES + slice);
    y.load(chunk * CHUNK_SLICES + slice + step);
    a.multiply(sum, x, units - slice * S::SLICE_UNITS);
    b.multiply(more, y, units - (slice + step) * S::SLICE_UNITS);
  }
  if (slice >= slices) return;
  Operand<S> a;
  Slice<S> x;
  a.load(slot, units, slice * S::SLICE_UNITS);
  x.load(chunk * CHUNK_SLICES + slice);
  a.multiply(sum, x, units - slice * S::SLICE_UNITS);
}
template <class S>
DEVICE void multiply_slices(const Ring& ring, int tiles, const Mine& mine, int half) {
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
DEVICE void multiply(const Ring& ring, int tiles, const Mine& mine, int half) {
  if (S::CHUNKS == 1 && S::SLICES_EACH == 1) {
    multiply_tiles<S>(ring, tiles, mine, half);
  } else {
    multiply_slices<S>(ring, tiles, mine, half);
  }
  consumer_barrier();
}

// The same, but each tile by one warp, from x that all warps have left: emit(tile, sums).
template <class S, class Emit>
DEVICE void multiply_whole(Ring& ring, Own own, const PerRow& whole, Emit emit) {
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

// Sum of the shares of one output: `row` counts 16 rows a tile.
template <class S>
DEVICE float total(int row, int b, int half) {
  return sum_shares(shared().partial[half] + (b * S::TILES * 16 + row) * SHARES);
}
