// Matrix times a few vectors: tensor-core products of 16 rows with up to 8 columns, straight from the ring.
// 8-bit and 4-bit weights become exact float16 integers on the way (a byte or nibble is put under the
// exponent of 1024); scales are applied to float32 sums. The order of inputs within a unit is whatever makes
// loads wide: both operands use the same order, so that no sum changes its terms.
#pragma once

// Where input k of a product lies in x: 4-bit units want (0, 2, 1, 3) of every four.
template <int KIND>
DEVICE int place(int k) {
  return KIND == INT4 ? (k & ~3) | ((k & 1) << 1) | ((k >> 1) & 1) : k;
}

template <int WORDS>
DEVICE void load_words(u32 (&w)[WORDS], const void* from) {
#pragma unroll
  for (int i = 0; i < WORDS; i += 4) *(Quad*)&w[i] = ((const Quad*)from)[i / 4];
}
template <>
DEVICE void load_words<2>(u32 (&w)[2], const void* from) { *(u64*)&w[0] = *(const u64*)from; }
template <>
DEVICE void load_words<1>(u32 (&w)[1], const void* from) { w[0] = *(const u32*)from; }

DEVICE void unit_float(float (&sum)[2][4], const u8* low, const u8* high, bool both, const u16* x) {
  const int t = lane() & 3;
  u32 a[4], b[4] = {0, 0, 0, 0}, v[4];
  load_words(a, low + 16 * t);
  if (both) load_words(b, high + 16 * t);
  load_words(v, x + 8 * t);
  multiply_accumulate(sum[0], a[0], b[0], a[1], b[1], v[0], v[1]);
  multiply_accumulate(sum[1], a[2], b[2], a[3], b[3], v[2], v[3]);
}

DEVICE void bytes_to_halves(u32 (&h)[2], u32 word) {
  const u32 shifted = word ^ 0x80808080u;  // q + 128, unsigned
  h[0] = half2_subtract(permute_bytes(shifted, 0x64646464u, 0x4140), 0x64806480u);
  h[1] = half2_subtract(permute_bytes(shifted, 0x64646464u, 0x4342), 0x64806480u);
}

DEVICE void unit_int8(float (&sum)[2][4], const u8* low, const u8* high, bool both, const u16* x) {
  const int t = lane() & 3;
  u32 a[4], b[4] = {0, 0, 0, 0}, v[8];
  load_words(a, low + 16 * t);
  if (both) load_words(b, high + 16 * t);
  load_words(v, x + 16 * t);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    u32 p[2], q[2] = {0, 0};
    bytes_to_halves(p, a[i]);
    if (both) bytes_to_halves(q, b[i]);
    multiply_accumulate(sum[i & 1], p[0], q[0], p[1], q[1], v[2 * i], v[2 * i + 1]);
  }
}

// Eight nibbles less 8: h[0] bytes 0 and 2 low, h[1] bytes 0 and 2 high, h[2], h[3] the same of bytes 1 and 3.
DEVICE void nibbles_to_halves(u32 (&h)[4], u32 word) {
#pragma unroll
  for (int i = 0; i < 4; i += 2, word >>= 8) {
    h[i] = half2_subtract(and_or(word, 0x000f000fu, 0x64006400u), 0x64086408u);
    h[i + 1] = half2_multiply_add(and_or(word, 0x00f000f0u, 0x64006400u), 0x2c002c00u, 0xd480d480u);  // /16 - 72
  }
}

// One group: sum += scale * (sum of nibbles * x) + zero * (sum of x). Where a tile has 8 rows, the other 8 rows
// of the operand are ones and give the sum of x; else it lies ready at x_sum[b * X_SUM_STRIDE].
DEVICE void unit_int4(float (&sum)[2][4], const u8* low, const u8* high, const u8* low_scale,
                      const u8* high_scale, bool both, const u16* x, const float* x_sum) {
  constexpr int W = GROUP / 32;  // words of a group per lane
  constexpr u32 ONES = 0x3c003c00u;
  const int t = lane() & 3;
  u32 a[W], b[W], v[2 * W], w[2 * W];
  load_words(a, low + 4 * W * t);
  if (both) load_words(b, high + 4 * W * t);
  load_words(v, x + 4 * W * t);
  load_words(w, x + 4 * W * t + GROUP / 2);
  const u32 affine = *(const u32*)low_scale, affine_high = both ? *(const u32*)high_scale : 0;
  float x_sums[2] = {0, 0};
  if (both) {
#pragma unroll
    for (int i = 0; i < 2; ++i) x_sums[i] = x_sum[least(2 * t + i, ROWS - 1) * X_SUM_STRIDE];
  }
  float part[2][4] = {};
#pragma unroll
  for (int i = 0; i < W; ++i) {
    u32 p[4], q[4] = {ONES, ONES, ONES, ONES};
    nibbles_to_halves(p, a[i]);
    if (both) nibbles_to_halves(q, b[i]);
    multiply_accumulate(part[0], p[0], q[0], p[2], q[2], v[2 * i], v[2 * i + 1]);
    multiply_accumulate(part[1], p[1], q[1], p[3], q[3], w[2 * i], w[2 * i + 1]);
  }
  const float scale = real_half_float((u16)affine), zero = real_half_float((u16)(affine >> 16));
  const float scale_high = real_half_float((u16)affine_high), zero_high = real_half_float((u16)(affine_high >> 16));
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float whole = both ? x_sums[i] : part[0][i + 2] + part[1][i + 2];
    sum[0][i] += scale * (part[0][i] + part[1][i]) + zero * whole;
    if (both) sum[0][i + 2] += scale_high * (part[0][i + 2] + part[1][i + 2]) + zero_high * whole;
  }
}

// This warp's share (steps congruent to `mine` modulo WARPS_K) of one tile chunk that lies in a slot.
template <class S>
DEVICE void multiply_chunk(float (&sum)[2][4], const u8* slot, int chunk, int mine) {
  constexpr int STEPS = ceil_div(S::CHUNK, S::STEP);
  const int g = lane() >> 2, units = least(S::CHUNK, S::UNITS - chunk * S::CHUNK);
  const int odd = S::SWAP ? g & 1 : 0, swapped = S::SWAP ? g >> 2 : 0, row = S::SWAP ? g & 3 : g;
  const u8* low = slot + g * S::STRIDE + odd * S::UNIT_BYTES;
  const u8* high = low + 8 * S::STRIDE;
  const u16* x = shared().x[least(row, ROWS - 1)] + chunk * S::CHUNK * S::UNIT + swapped * S::UNIT;
  const float* x_sum = shared().x_sum[0] + chunk * S::CHUNK;
  int step = mine - chunk * STEPS % S::WARPS_K;
  if (step < 0) step += S::WARPS_K;
#pragma unroll 1
  for (int u = step * S::STEP; u < units; u += S::WARPS_K * S::STEP) {
    const u8 *a = low + u * S::UNIT_BYTES, *b = high + u * S::UNIT_BYTES;
    if (S::KIND == INT4) {
      const int scales = units * S::UNIT_BYTES - u * (S::UNIT_BYTES - 4);
      unit_int4(sum, a, b, a + scales, b + scales, !S::SHORT, x + u * S::UNIT, x_sum + u);
      continue;
    }
#pragma unroll
    for (int half = 0; half < S::STEP; ++half) {
      const int shift = half ? (odd ? -S::UNIT_BYTES : S::UNIT_BYTES) : 0;
      const int x_shift = half ? (swapped ? -S::UNIT : S::UNIT) : 0;
      if (S::KIND == FLOAT) unit_float(sum, a + shift, b + shift, !S::SHORT, x + u * S::UNIT + x_shift);
      if (S::KIND == INT8) unit_int8(sum, a + shift, b + shift, !S::SHORT, x + u * S::UNIT + x_shift);
    }
  }
}

// Which batch row this lane's sums i (0..3) belong to; ROWS or more where to none.
template <class S>
DEVICE int batch_row(int i) {
  const int column = 2 * (lane() & 3) + (i & 1);
  if (!S::SWAP) return column;
  return (column >> 2) == ((lane() >> 2) & 1) ? column & 3 : ROWS;
}

// All tiles of this block: emit(tile, share, sum) with the warp's share of the tile's sums, laid out as
// multiply_accumulate leaves them.
template <class S, class Emit>
DEVICE void multiply(Ring& ring, Own own, Emit emit) {
  const int tiles = S::tiles(own), share = warp() % S::WARPS_K;
  const u32 weight = WARPS / S::WARPS_K + (share < WARPS % S::WARPS_K);
  if (warp() < S::WARPS_M * S::WARPS_K) {
#pragma unroll 1
    for (int m = warp() / S::WARPS_K; m < tiles; m += S::WARPS_M) {
      float sum[2][4] = {};
#pragma unroll 1
      for (int c = 0; c < S::CHUNKS; ++c) {
        const u32 tile = ring.next + m * S::CHUNKS + c;
        multiply_chunk<S>(sum, ring.wait_full(tile), c, share);
        ring.release(tile, weight);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[0][i] += sum[1][i];
      emit(m, share, sum[0]);
    }
  }
}

// By how much the ring moves on with this matrix; its user's caller adds it.
template <class S>
DEVICE u32 tiles_of(Own own) {
  return S::tiles(own) * S::CHUNKS;
}

// The same, with the shares left in shared memory for `total`. Ends with a barrier.
template <class S>
DEVICE void multiply_shares(Ring& ring, Own own) {
  multiply<S>(ring, own, [](int tile, int share, float (&sum)[4]) {
    const int row = tile * 16 + (lane() >> 2);
#pragma unroll
    for (int i = 0; i < (S::SHORT ? 2 : 4); ++i) {
      const int b = batch_row<S>(i);
      if (b < ROWS) shared().partial[((b * S::TILES * 16) + row + (i >> 1) * 8) * S::SHARES + share] = sum[i];
    }
  });
  consumer_barrier();
}

// Sum of the shares of one output: `row` counts 16 rows a tile.
template <class S>
DEVICE float total(int row, int b) {
  const float* at = shared().partial + (b * S::TILES * 16 + row) * S::SHARES;
  float sum = 0;
  if (S::SHARES < 4) {
#pragma unroll
    for (int share = 0; share < S::WARPS_K; ++share) sum += at[share];
    return sum;
  }
#pragma unroll
  for (int share = 0; share < S::WARPS_K; share += 4) {
    const Fours four = *(const Fours*)(at + share);
    const float high = share + 3 < S::WARPS_K ? four.v[3] : 0, middle = share + 2 < S::WARPS_K ? four.v[2] : 0;
    sum += (four.v[0] + (share + 1 < S::WARPS_K ? four.v[1] : 0)) + (middle + high);
  }
  return sum;
}
