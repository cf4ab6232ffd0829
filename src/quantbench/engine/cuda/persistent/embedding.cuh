// One value of the embedding, whatever it is held in: each block reads its few of a token's row.
#pragma once
#include "shared.cuh"

using EmbeddingForm = Form<EMBEDDING_FORM>;
using EmbeddingRow = Stage<EmbeddingForm, HIDDEN, Share<VOCAB, false, EmbeddingForm::KIND == BLOCK_ROWS ? 8 : 1>>;

// Of a row of 4-bit groups.
DEVICE float nibble_value(const u8* row, int k, const float* scales, int token) {
  constexpr int GROUP = most(EmbeddingForm::GROUP, 2);  // something, where there is none
  const int group = k / GROUP, e = k % GROUP;
  const u32 byte = row[group * (GROUP / 2) + e % (GROUP / 2)];
  const u16* affine = (const u16*)(row + EmbeddingRow::DATA_BYTES) + 2 * group;
  const float nibble = (float)(e < GROUP / 2 ? byte & 15 : byte >> 4) - 8;
  if (EmbeddingForm::DOUBLE) {
    const u32 pair = affine[e < GROUP / 2 ? 0 : 1];
    return (nibble * (float)(pair & 255) + (float)(((int)(pair >> 8) - 128) * 16)) * scales[token];
  }
  return nibble * real_half_float(affine[0]) + real_half_float(affine[1]);
}

// Of a row of blocks, whose order of bytes formats/block_rows.py tells.
DEVICE float block_value(const Held& table, int k, int token) {
  using S = EmbeddingRow;
  using Type = S::Type;
  constexpr int HALF = Type::BYTES ? S::UNIT : S::UNIT / 2, WORDS = S::UNIT_BYTES / 16, BITS = Type::HIGH_BITS;
  const int unit = k / S::UNIT, half = k % S::UNIT / HALF, place = k % HALF % 16;
  const int word = place % 8 / 2 * WORDS + k % HALF / 16, odd = place / 8, second = place % 2;
  const u8 *row[4];
  for (int plane = 0; plane < 4; ++plane)
    row[plane] = table.plane[plane] + (long long)token * S::plane_bytes(plane, S::UNITS);
  const u32 byte = row[0][unit * S::UNIT_BYTES + 4 * word + 2 * second + odd];
  int code = Type::BYTES ? (int)(byte ^ 128) : half ? byte >> 4 : byte & 15;
  if (BITS) {
    const u32* high = (const u32*)(row[1] + unit * S::plane_bytes(1, 1));
    const int field = 16 * second + 4 * (2 * half + odd) + word * BITS % 4;
    code |= (high[word * BITS / 4] >> field & ((1 << BITS) - 1)) << 4;
  }
  const bool wide = Type::SIX_BIT_SCALES;
  const u32* from = (const u32*)(row[2] + (wide ? unit / 2 * 16 : unit * S::plane_bytes(2, 1)));
  u32 scales[4];
  for (int i = 0; i < 4; ++i) scales[i] = from[least(i, wide ? 3 : most(S::plane_bytes(2, 1) / 4 - 1, 0))];
  const float sub = Type::SUB ? real_half_float(*(const u16*)(row[3] + unit / 2 * 2)) : 0;
  const Pair affine = group_affine<S::TYPE>(scales, k % S::UNIT / Type::GROUP_INPUTS, unit & 1, sub);
  return affine.a * (float)(code - Type::CENTRE) + affine.b;
}

// Row `token` of the embedding, input k.
DEVICE float embedding(const Params& p, int token, int k) {
  using S = EmbeddingRow;
  if (S::BLOCKED) return block_value(p.embedding, k, token);
  const u8* row = p.embedding.plane[0] + (long long)token * S::ROW_BYTES;
  const float* scales = row_scales<EmbeddingForm>(p.embedding);
  if (S::KIND == FLOAT) return half_float(((const u16*)row)[k]);
  if (S::KIND == INT4) return nibble_value(row, k, scales, token);
  const float byte = (float)(signed char)row[k];
  if (!S::GROUPS) return byte * scales[token];
  return byte * real_half_float(*(const u16*)(row + S::DATA_BYTES + S::scale_place(k / S::UNIT)));
}
