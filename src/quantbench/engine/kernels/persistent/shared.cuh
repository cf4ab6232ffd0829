// What a step is given, and what a block keeps in shared memory.
#pragma once

// One layer's parameters; pointers to device memory, null where the model has none.
struct Layer {
  const u8 *qkv, *output, *gate_up, *down;                                   // matrices
  const float *qkv_scale, *output_scale, *gate_up_scale, *down_scale;        // of 8-bit rows
  const u16 *qkv_bias, *output_bias, *gate_up_bias, *down_bias;
  const u16 *input_norm, *post_norm, *q_norm, *k_norm;
  long long window;  // positions that a token sees, itself included
};

struct Params {
  const Layer* layers;  // [LAYERS]
  const u8 *embedding, *head;
  const float *embedding_scale, *head_scale;
  const u16* final_norm;
  const float* inverse_frequencies;  // [HEAD_DIM / 2]
  u16 *keys, *values;                // [LAYERS, ROWS, KV_HEADS, capacity, HEAD_DIM], the last two contiguous
  long long layer_stride, row_stride, head_stride;
  int *tokens, *positions, *output;  // output [ROWS, capacity]
  long long output_stride;
  float* logits;                     // [ROWS, VOCAB] or null
  long long logits_stride;
  int capacity;
  float norm_eps, attention_factor;
  u32* counter;                      // steps made with this workspace
  Packet *qkv_packets;               // [ROWS, QKV] floats
  Packet *hidden_packets[2];         // [ROWS, HIDDEN] floats: after attention, after the MLP
  Packet *act_packets;               // [ROWS, INTERMEDIATE / 2] pairs of halves
  Packet *part_packets, *part_weight;    // [ROWS, HEADS, SHORT_SPLITS, HEAD_DIM / 2] pairs, and a log-sum each
  Packet *long_packets, *long_weight;    // the same with LONG_SPLITS
  Packet *best_packets;              // [ROWS, BLOCKS, 2]: value, index
  u64* times;                        // [BLOCKS, LAYERS * MARKS + 4] clock ticks, where compiled with TIMES
};

constexpr int MARKS = 9;  // times taken a layer
constexpr int Q_SIZE = HEADS * HEAD_DIM, KV_SIZE = KV_HEADS * HEAD_DIM, QKV = Q_SIZE + 2 * KV_SIZE;
constexpr int HEAD_GROUP = HEADS / KV_HEADS;
constexpr int THREADS = WARPS * 32;  // that compute; one more warp copies

using QkvStage = Stage<LAYER_KIND, HIDDEN, QKV, 1, false>;
using OutputStage = Stage<LAYER_KIND, Q_SIZE, HIDDEN, 1, false>;
using GateUpStage = Stage<LAYER_KIND, HIDDEN, INTERMEDIATE, 2, true>;
using DownStage = Stage<LAYER_KIND, INTERMEDIATE, HIDDEN, 1, false>;
using HeadStage = Stage<HEAD_KIND, HIDDEN, VOCAB, 1, false, true>;

constexpr int OWN = OutputStage::OWN;
constexpr int X_LENGTH = most(most(HIDDEN, INTERMEDIATE), Q_SIZE);
constexpr int X_STRIDE = round_up(X_LENGTH, 64) + 8;  // halves; rows are 16 bytes apart modulo 128
template <class S>
ANYWHERE constexpr int partial_sums() {
  return S::TILES * 16 * S::WARPS_K;
}
constexpr int PARTIAL_SUMS = ROWS * most(most(partial_sums<QkvStage>(), partial_sums<OutputStage>()),
                                         most(partial_sums<GateUpStage>(), partial_sums<DownStage>()));
constexpr int MERGE_STRIDE = HEAD_DIM + 4;

constexpr int MAX_SLOTS = 64;

struct __align__(128) Shared {
  u16 x[ROWS][X_STRIDE];                      // the input of the product at hand, 16-bit
  u16 new_key[HEAD_DIM], new_value[HEAD_DIM];
  float new_line[2][HEAD_DIM];
  float query[HEAD_GROUP][HEAD_DIM];
  float merge[2][WARPS][MERGE_STRIDE];
  float partial[PARTIAL_SUMS];                // [row of the block, warp of the K split, batch row]
  float residual[ROWS][OWN];                  // this block's part of the residual stream
  float squares[ROWS][WARPS];
  float cosine[ROWS][HEAD_DIM / 2], sine[ROWS][HEAD_DIM / 2];
  float best_value[WARPS][8];
  int best_index[WARPS][8];
  int position[ROWS], token[ROWS], busy[ROWS];
  Layer layers[LAYERS];
  u64 full[MAX_SLOTS], empty[MAX_SLOTS];
  u32 round[MAX_SLOTS];
};

constexpr int RING_START = round_up(sizeof(Shared), 128);
constexpr int SLOTS = least(MAX_SLOTS, (SHARED_LIMIT - RING_START) / SLOT_BYTES);  // tiles that the ring holds
static_assert(SLOTS >= 2, "the ring has no room");

DEVICE Shared& shared() { return *(Shared*)shared_memory(); }
