// What a warp makes of packed weights: exact float16 integers for the tensor cores, and what their sums are worth.
// A byte or nibble is put under the exponent of 1024; what that adds, a multiple of the sum of the inputs, is taken off
// the float32 sums, to which the scales are applied too.
#pragma once
#include "primitives.cuh"

ANYWHERE constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
ANYWHERE constexpr int round_up(int a, int b) { return ceil_div(a, b) * b; }
ANYWHERE constexpr int least(int a, int b) { return a < b ? a : b; }
ANYWHERE constexpr int most(int a, int b) { return a > b ? a : b; }

DEVICE int lane() { return thread() & 31; }
DEVICE int warp() { return thread() >> 5; }

struct __align__(8) Pair {
  float a, b;
};

template <int WORDS>
DEVICE void load_words(u32* w, const void* from) {
  if (WORDS == 1) w[0] = *(const u32*)from;
  if (WORDS == 2) *(u64*)w = *(const u64*)from;
#pragma unroll
  for (int i = 0; i < WORDS / 4; ++i) *(Quad*)(w + 4 * i) = ((const Quad*)from)[i];
}

constexpr u32 ONES = 0x3c003c00u;       // two float16 ones
constexpr u32 HALF_1024 = 0x6400;       // above it float16 counts in ones
constexpr float BYTE_OFFSET = 1152, LOW_OFFSET = 1032, HIGH_OFFSET = 72;  // see the functions below

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

// Byte `i` of a word of double quantization, less `offset`, times `factor`: exact.
DEVICE float byte_value(u32 word, int i, float offset, float factor) {
  return fmaf(bits_float(permute_bytes(word, 0x4b000000u, 0x7440 + i)), factor, -(8388608 + offset) * factor);
}

// What a pair of groups' sums of raised nibbles and of x are multiplied with, from the four bytes behind it: the
// first group's step and zero, then the second's. What raises the nibbles is taken off with the zeros.
struct PairAffine {
  float low, high, x_low, x_high;
  DEVICE explicit PairAffine(u32 word)
      : low(byte_value(word, 0, 0, 1)), high(byte_value(word, 2, 0, 0.0625f)),
        x_low(fmaf(low, -LOW_OFFSET, byte_value(word, 1, 128, 16))),
        x_high(fmaf(high, -16 * HIGH_OFFSET, byte_value(word, 3, 128, 16))) {}
  DEVICE float value(float low_sum, float high_sum, const Pair& x) const {
    return fmaf(low, low_sum, x_low * x.a) + fmaf(high, high_sum, x_high * x.b);
  }
};
