// What the bits of GGUF blocks mean, as formats/block_rows.py lays them out: codes as raised float16 integers, and what
// a group's sums are scaled by and shifted. Of one row, as a lane holds it; where words lie is the users' affair.
#pragma once
#include "unpack.cuh"

enum BlockType {
  Q4_0 = BLOCK_Q4_0, Q4_1 = BLOCK_Q4_1, Q5_0 = BLOCK_Q5_0, Q5_1 = BLOCK_Q5_1, Q8_0 = BLOCK_Q8_0,
  Q4_K = BLOCK_Q4_K, Q5_K = BLOCK_Q5_K, Q6_K = BLOCK_Q6_K
};

template <int TYPE>
struct Codes {
  static constexpr bool BYTES = TYPE == Q8_0;
  static constexpr bool SIX_BIT_SCALES = TYPE == Q4_K || TYPE == Q5_K;  // and minima, of 8 groups in 12 bytes
  static constexpr bool PAIRS = TYPE == Q4_1 || TYPE == Q5_1;           // a scale and a minimum a group, float16
  static constexpr bool MINIMA = SIX_BIT_SCALES || PAIRS;
  static constexpr bool SUB = TYPE == Q6_K;                             // scales are multiples of a block's
  static constexpr int HIGH_BITS = TYPE == Q6_K ? 2 : TYPE == Q5_0 || TYPE == Q5_1 || TYPE == Q5_K ? 1 : 0;
  static constexpr int GROUP_INPUTS = SUB ? 16 : 32;                    // that share a scale
  static constexpr int STEPS = GROUP_INPUTS / 16;                       // of the tensor cores in a group
  static constexpr int CENTRE = MINIMA ? 0 : BYTES ? 128 : 8 << HIGH_BITS;  // the code that stands for zero
};

// Raised codes of 16 inputs of the first half of a run, [0] and [2], and of the second half, [1] and [3]: 1024 + code,
// and where nibbles lie beside each other 1024 + 16 * code of the second. Bytes have a first half alone. Of `high` the
// fields for these nibbles begin at bit `at`.
template <int TYPE>
DEVICE void raised_codes(u32 (&to)[4], u32 word, u32 high, int at) {
  constexpr u32 SOME = (1 << Codes<TYPE>::HIGH_BITS) - 1, FIRST = SOME << 4 | SOME << 20, SECOND = SOME << 8 | SOME << 24;
  if (Codes<TYPE>::BYTES) {
    const u32 shifted = word ^ 0x80808080u;
    to[0] = permute_bytes(shifted, 0x64646464u, 0x4240);
    to[2] = permute_bytes(shifted, 0x64646464u, 0x4341);
    return;
  }
  nibbles_to_halves(to, word);
  if (!Codes<TYPE>::HIGH_BITS) return;
  const u32 bits = high >> at;
  to[0] = and_or(bits << 4, FIRST, to[0]);
  to[2] = and_or(bits, FIRST, to[2]);
  to[1] = and_or(bits, SECOND, to[1]);
  to[3] = and_or(bits >> 4, SECOND, to[3]);
}

// Scale of a group, and what is added for each of its inputs. `scales`: of the 128 inputs that the group is in, of
// 6-bit scales those of the whole block, of which `upper` is the second half; `sub`: what Q6_K's are multiples of.
template <int TYPE>
DEVICE Pair group_affine(const u32 (&scales)[4], int group, bool upper, float sub) {
  if (Codes<TYPE>::SIX_BIT_SCALES) {
    const int at = 8 * group;
    const u32 rest = scales[3] >> at;
    const u32 step = upper ? (rest & 15) | (scales[1] >> (at + 2) & 48) : scales[1] >> at & 63;
    const u32 minimum = upper ? (rest >> 4 & 15) | (scales[2] >> (at + 2) & 48) : scales[2] >> at & 63;
    return {real_half_float((u16)scales[0]) * (float)step, -real_half_float((u16)(scales[0] >> 16)) * (float)minimum};
  }
  if (Codes<TYPE>::PAIRS)
    return {real_half_float((u16)scales[group % 4]), real_half_float((u16)(scales[group % 4] >> 16))};
  if (Codes<TYPE>::SUB) return {sub * (float)(signed char)(scales[group / 4] >> (8 * (group % 4))), 0};
  return {real_half_float((u16)(scales[group / 2 % 4] >> (16 * (group % 2)))), 0};
}
