// What a step is given, and what a block keeps in shared memory.
#pragma once
#include "stage.cuh"

// One matrix: its rows, and of GGUF blocks the other planes (stage.cuh); the scales of rows are in the place of theirs.
// Null where there is none.
struct Held {
  const u8* plane[4];
};

// One layer's parameters; pointers to device memory, null where the model has none.
struct Layer {
  Held qkv, output, gate_up, down;
  const u16 *qkv_bias, *output_bias, *gate_up_bias, *down_bias;
  const u16 *input_norm, *post_norm, *q_norm, *k_norm;
  const float* smoothing;  // of rotated heads, [2, HEADS + KV_HEADS, HEAD_DIM]; engine/key_smoothing.py
  long long window;  // positions that a token sees, itself included
  u8 form[8];        // of the four matrices, by their place in the lists of forms
};

struct Params {
  const Layer* layers;  // [LAYERS]
  Held embedding, head;
  const u16* final_norm;
  const float* inverse_frequencies;  // [HEAD_DIM / 2]
  u8 *keys, *values;                 // [LAYERS, ROWS, KV_HEADS, capacity, HEAD_DIM], the last two contiguous
  float *key_scales, *value_scales;  // of codes: the same without HEAD_DIM, as keys and values lie
  long long layer_stride, row_stride, head_stride;
  int *tokens, *positions, *output;  // output [ROWS, capacity]
  long long output_stride;
  float* logits;                     // [ROWS, VOCAB] or null
  long long logits_stride;
  int capacity;
  float norm_eps, attention_factor;
  u32* counter;                      // steps made with this workspace
  u32* qkv_words;                    // [ROWS, QKV]
  u32* hidden_words[2];              // [ROWS, HIDDEN]: after attention, after the MLP
  u32* act_words;                    // [ROWS, INTERMEDIATE]
  Quad *parts, *long_parts;          // of attention, [ROWS, HEADS, SHORT_SPLITS or LONG_SPLITS, HEAD_DIM / 4]
  Packet *best_packets;              // [ROWS, BLOCKS, 2]: value, index
  u64* times;                        // [BLOCKS, LAYERS * MARKS + 4] clock ticks, where compiled with TIMES
};

constexpr int Q_SIZE = HEADS * HEAD_DIM, KV_SIZE = KV_HEADS * HEAD_DIM, QKV = Q_SIZE + 2 * KV_SIZE;
constexpr int HEAD_GROUP = HEADS / KV_HEADS;
constexpr int THREADS = WARPS * 32;  // that compute; one more warp copies

using QkvShare = Share<QKV, false, GRANULE>;
using HiddenShare = Share<HIDDEN, false, GRANULE>;
using GateUpShare = Share<INTERMEDIATE, true, GRANULE>;
template <class F> using QkvStage = Stage<F, HIDDEN, QkvShare>;
template <class F> using OutputStage = Stage<F, Q_SIZE, HiddenShare>;
template <class F> using GateUpStage = Stage<F, HIDDEN, GateUpShare>;
template <class F> using DownStage = Stage<F, INTERMEDIATE, HiddenShare>;
using HeadStage = Stage<Form<HEAD_FORM>, HIDDEN, Share<VOCAB, false, Form<HEAD_FORM>::KIND == BLOCK_ROWS ? 8 : 1>>;
using QkvForms = Forms<QKV_FORMS>;
using OutputForms = Forms<OUTPUT_FORMS>;
using GateUpForms = Forms<GATE_UP_FORMS>;
using DownForms = Forms<DOWN_FORMS>;

// The scales of rows, where a form has them.
template <class F>
DEVICE const float* row_scales(const Held& matrix) {
  return F::KIND == BLOCK_ROWS ? nullptr : (const float*)matrix.plane[2];
}

constexpr int OWN = HiddenShare::OWN;
constexpr int X_LENGTH = most(most(HIDDEN, INTERMEDIATE), Q_SIZE);
constexpr int X_STRIDE = round_up(X_LENGTH, SLICE) + 8;  // halves; rows are 16 bytes apart modulo 128
constexpr int SHARES = round_up(WARPS, 4);  // room for an output's partial sums, one a warp
constexpr int PARTIAL_SUMS =
    ROWS * 16 * SHARES * most(most(QkvShare::TILES, HiddenShare::TILES), GateUpShare::TILES);
constexpr int X_SUM_STRIDE = round_up(X_LENGTH, SLICE) / SUM_INPUTS + 1;

constexpr int MAX_SLOTS = 64;  // bounds the barriers; only tiles below 4 KB would let more fit

// All query heads of key-value head kv over positions begin .. end - 1 of batch row b: part `split` of that.
struct KvSplit {
  int b, kv, split, begin, end;
};

// What a block has to know of a layer's attention: its first item, and in how many parts each row's result comes.
struct AttentionPlan {
  bool is_long;
  KvSplit item;
  int parts[ROWS];
};

// What the token fed now has of one key-value head, ready for products: queries in 16 bits, key and value.
struct __align__(16) NewToken {
  u16 query[HEAD_GROUP][HEAD_DIM + 8], key[HEAD_DIM], value[HEAD_DIM];  // the last two as they are cached
  float key_scale, value_scale;
};

struct __align__(128) Shared {
  u16 x[ROWS][X_STRIDE];                      // the input of the product at hand, 16-bit
  float partial[2][PARTIAL_SUMS];             // of two products in turn: [batch row, row of the block, warp]
  float squares[ROWS][SHARES];                // of the residual stream: a sum a warp
  float sums[ROWS][SHARES];                   // of the head's input, the same
  Fours part_value[WARPS][HEAD_GROUP][HEAD_DIM / 4 + 1];  // attention: a warp's part of each head
  Pair part_weight[WARPS][HEAD_GROUP];        // its highest score and its sum
  NewToken fed;                               // attention: of the token fed now
  Pair x_sum[ROWS][X_SUM_STRIDE];             // sums of x over the halves of a unit, for tiles of 16 rows
  RowRange qkv, output, gate_up, down, head;       // this block's outputs
  float residual[ROWS][OWN];                  // this block's part of the residual stream
  float cosine[ROWS][HEAD_DIM / 2], sine[ROWS][HEAD_DIM / 2];
  float best_value[WARPS][8];
  int best_index[WARPS][8];
  int position[ROWS], token[ROWS], busy[ROWS];
  Layer layers[LAYERS];
  AttentionPlan plans[LAYERS];
  Params params;
  u64 full[MAX_SLOTS], empty[MAX_SLOTS];
  u32 round[MAX_SLOTS];
};

constexpr int RING_START = round_up(sizeof(Shared), 128);
constexpr int SLOTS = least(MAX_SLOTS, (SHARED_LIMIT - RING_START) / SLOT_BYTES);  // tiles that the ring holds
static_assert(SLOTS >= 2, "the ring has no room");

DEVICE Shared& shared() { return *(Shared*)shared_memory(); }

// Notes when this block got so far; nothing unless compiled with TIMES.
DEVICE void mark(const Params& p, int which) {
#if TIMES
  if (thread() == 0) p.times[block() * (LAYERS * MARKS + 4) + which] = ticks();
#endif
}
