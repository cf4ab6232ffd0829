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
  u32* qkv_words;                    // [ROWS, QKV]
  u32* hidden_words[2];              // [REPLICAS, ROWS, HIDDEN]: after attention, after the MLP
  u32* act_words;                    // [REPLICAS, ROWS, INTERMEDIATE]
  Packet *part_packets, *part_weight;    // [ROWS, HEADS, SHORT_SPLITS, HEAD_DIM / 2] pairs, and a log-sum each
  Packet *long_packets, *long_weight;    // the same with LONG_SPLITS
  Packet *best_packets;              // [ROWS, BLOCKS, 2]: value, index
  u64* times;                        // [BLOCKS, LAYERS * MARKS + 4] clock ticks, where compiled with TIMES
};

constexpr int MARKS = 11;  // times taken a layer
constexpr int Q_SIZE = HEADS * HEAD_DIM, KV_SIZE = KV_HEADS * HEAD_DIM, QKV = Q_SIZE + 2 * KV_SIZE;
constexpr int HEAD_GROUP = HEADS / KV_HEADS;
constexpr int THREADS = WARPS * 32;  // that compute; one more warp copies

using QkvStage = Stage<LAYER_KIND, HIDDEN, QKV, false>;
using OutputStage = Stage<LAYER_KIND, Q_SIZE, HIDDEN, false>;
using GateUpStage = Stage<LAYER_KIND, HIDDEN, INTERMEDIATE, true>;
using DownStage = Stage<LAYER_KIND, INTERMEDIATE, HIDDEN, false>;
using HeadStage = Stage<HEAD_KIND, HIDDEN, VOCAB, false, true>;

constexpr int OWN = OutputStage::OWN;
constexpr int X_LENGTH = most(most(HIDDEN, INTERMEDIATE), Q_SIZE);
constexpr int X_STRIDE = round_up(X_LENGTH, 64) + 8;  // halves; rows are 16 bytes apart modulo 128
template <class S>
ANYWHERE constexpr int partial_sums() {
  return S::TILES * 16 * S::SHARES;
}
constexpr int PARTIAL_SUMS = ROWS * most(most(partial_sums<QkvStage>(), partial_sums<OutputStage>()),
                                         most(partial_sums<GateUpStage>(), partial_sums<DownStage>()));
constexpr int X_SUM_STRIDE = round_up(X_LENGTH / GROUP + 1, 4);

struct __align__(8) Pair {
  float a, b;
};
struct Line {  // one warp's part of a head's attention: values, then the highest score and the sum
  Pair pair[HEAD_DIM / 2], weight;
};

constexpr int MAX_SLOTS = 64;

struct __align__(128) Shared {
  u16 x[ROWS][X_STRIDE];                      // the input of the product at hand, 16-bit
  float partial[PARTIAL_SUMS];                // [batch row, row of the block, share]
  float x_sum[ROWS][X_SUM_STRIDE];            // sums of x over groups, for 4-bit tiles of 16 rows
  Own qkv, output, gate_up, down, head;       // this block's outputs
  Line merge[2][WARPS];
  float query[HEAD_GROUP][HEAD_DIM];          // of long texts
  float residual[ROWS][OWN];                  // this block's part of the residual stream
  float squares[ROWS][WARPS];
  float cosine[ROWS][HEAD_DIM / 2], sine[ROWS][HEAD_DIM / 2];
  float best_value[WARPS][8];
  int best_index[WARPS][8];
  int position[ROWS], token[ROWS], busy[ROWS];
  Layer layers[LAYERS];
  Params params;
  int parts[ROWS];                            // of every head's attention in this layer
  u64 full[MAX_SLOTS], empty[MAX_SLOTS];
  u32 round[MAX_SLOTS];
};

constexpr int RING_START = round_up(sizeof(Shared), 128);
constexpr int SLOTS = least(MAX_SLOTS, (SHARED_LIMIT - RING_START) / SLOT_BYTES);  // tiles that the ring holds
static_assert(SLOTS >= 2, "the ring has no room");

DEVICE Shared& shared() { return *(Shared*)shared_memory(); }
