// One decode step of a whole model in one launch: every block stays on its multiprocessor and owns some rows of
// each matrix; five stages a layer hand their results on as packets (exchange.cuh), while the weights of the
// stages ahead stream into shared memory (ring.cuh). All blocks must be resident at once: cooperative launch.
//
// Words
//   stage  one matrix and what is done with its outputs; a template of the matrix's shape (stage.cuh)
//   row range  the outputs of a matrix that a block owns; the residual stream's rows never leave their block
//   tile   up to 16 rows of a row range: what the ring holds in a slot and a tensor core multiplies at once
//   chunk  the inputs of a tile that fit into a slot; mostly all of them
//   unit   the inputs of one tensor-core step: a group of 4-bit weights, 64 bytes of others
//   slice  128 inputs: what one warp fetches, turns into 16 bits and multiplies without asking another warp
//   split  a run of one text's positions that one block attends to; its result is a part
//   epoch  the count of layers run so far: what tells a new value from an old one
//
// A layer, and who waits for whom. All blocks make every stage; an arrow is a value that carries its epoch, polled
// by whoever needs it. No barrier spans blocks.
//
//     hidden[1] -> norm, queries, keys, values -> qkv -> attention -> parts -> output, + residual -> hidden[0]
//     hidden[0] -> norm, gate and up, SwiGLU   -> act -> down, + residual -> hidden[1], of the next layer
//
//     qkv stage      needs all of hidden[1]: every block waits for every block
//     attention      needs the queries, key and value of one key-value head: of a few blocks
//     output stage   needs all parts; long texts are joined before, a block a head
//     gate, up stage needs all of hidden[0]; its epilogue is fused: both rows of a pair are in one block
//     down stage     needs all of act
//
// Within a block one warp copies and never computes: it fills the ring as far ahead as it has slots, whatever the
// others wait for. WARPS warps compute: a barrier of theirs stands where partial sums meet, none between stages.
// The residual stream is float32, kept by the block that owns the row.
#include "attention.cuh"
#include "head.cuh"

// Scale and bias of one output row, loaded before the wait for its input.
struct Affine {
  float scale, bias;
};
DEVICE Affine read_affine(const float* scale, const u16* bias, int row) {
  return {scale ? scale[row] : 1, bias ? half_float(bias[row]) : 0};
}

// Thread i finishes output i % STRIDE of batch row i / STRIDE; P says where the sums lie.
template <class S, class P = S>
struct Finish {
  static constexpr int STRIDE = power_of_two(S::OWN);
  RowRange own;
  const float* scale;
  const u16* bias;
  Affine ahead;

  DEVICE Finish(RowRange own_, const float* scale_, const u16* bias_) : own(own_), scale(scale_), bias(bias_) {
    ahead = read_affine(scale, bias, own.first + least(thread() % STRIDE, own.count - 1));
  }
  // use(output of the block, batch row, its value over scale) for every output.
  template <class Use>
  DEVICE void each(int half, Use use) const {
#pragma unroll 1
    for (int i = thread(); i < STRIDE * ROWS; i += THREADS) {
      const int out = i % STRIDE, b = i / STRIDE;
      if (out >= own.count) continue;
      const Affine a = THREADS % STRIDE == 0 || i < THREADS ? ahead : read_affine(scale, bias, own.first + out);
      use(out, b, total<P>(out, b, half) * a.scale, a.bias);
    }
  }
};

// Row `token` of the embedding, input k.
DEVICE float embedding(const Params& p, int token, int k) {
  using S = Stage<EMBEDDING_KIND, HIDDEN, VOCAB, false>;
  const u8* row = p.embedding + (long long)token * S::ROW_BYTES;
  if (EMBEDDING_KIND == FLOAT) return half_float(((const u16*)row)[k]);
  if (EMBEDDING_KIND == INT8) {
    const float byte = (float)(signed char)row[k];
    if (!S::GROUPS) return byte * p.embedding_scale[token];
    return byte * real_half_float(*(const u16*)(row + S::DATA_BYTES + S::scale_place(k / S::UNIT)));
  }
  const int group = k / GROUP, e = k % GROUP;
  const u32 byte = row[group * (GROUP / 2) + e % (GROUP / 2)];
  const u16* affine = (const u16*)(row + S::DATA_BYTES) + 2 * group;
  const float nibble = (float)(e < GROUP / 2 ? byte & 15 : byte >> 4) - 8;
  if (DOUBLE) {
    const u32 pair = affine[e < GROUP / 2 ? 0 : 1];
    return (nibble * (float)(pair & 255) + (float)(((int)(pair >> 8) - 128) * 16)) * p.embedding_scale[token];
  }
  return nibble * real_half_float(affine[0]) + real_half_float(affine[1]);
}

// Every block gives all blocks its part of the residual stream, as if a layer had left it.
DEVICE void embed(const Params& p, u32 epoch) {
  const RowRange own = shared().output;
#pragma unroll 1
  for (int i = thread(); i < ROWS * OWN; i += THREADS) {
    const int b = i / OWN, out = i % OWN, k = own.first + out;
    if (out >= own.count) continue;
    const float x = embedding(p, shared().token[b], k);
    shared().residual[b][out] = x;
    st_relaxed_gpu(p.hidden_words[1] + b * HIDDEN + k, tagged(x, epoch));
  }
}

// The product of the normed residual stream, as of `epoch`, with `tiles` tiles; its sums lie ready for `total`.
// One function for both of a layer, so that the second finds its instructions at hand.
template <class S>
DEVICE_CALL void normed_product(Ring ring, int tiles, const u32* words, const u16* weight, u32 epoch) {
  HiddenFours h;
  NormFours norm;
  WarpSlice mine;
  read_norm(norm, weight);
  read_hidden(h, words, epoch);
  put_weighted<S>(mine, h, norm);
  leave_squares(h);
  multiply<S>(ring, tiles, mine, 0);
}
// Tiles of either matrix look alike where those of the first have 16 rows too.
using NormedQkv = Select<QkvStage::SHORT || (QkvStage::TILES > GateUpStage::TILES), QkvStage, GateUpStage>::Type;

DEVICE_CALL void gate_up_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  using S = GateUpStage;
  constexpr int STRIDE = power_of_two(S::OWN);
  const RowRange own = shared().gate_up;
  const int first = own.first + least(thread() % STRIDE, own.count - 1);
  const Affine gate = read_affine(layer.gate_up_scale, layer.gate_up_bias, first);
  const Affine up = read_affine(layer.gate_up_scale, layer.gate_up_bias, first + INTERMEDIATE);
  normed_product<S>(ring, S::tiles(own), p.hidden_words[0], layer.post_norm, epoch);
#pragma unroll 1
  for (int i = thread(); i < STRIDE * ROWS; i += THREADS) {
    const int out = i % STRIDE, b = i / STRIDE, row = out / 8 * 16 + out % 8;
    if (out >= own.count) continue;
    Affine g = gate, u = up;
    if (THREADS % STRIDE != 0 && i >= THREADS) {
      g = read_affine(layer.gate_up_scale, layer.gate_up_bias, own.first + out);
      u = read_affine(layer.gate_up_scale, layer.gate_up_bias, own.first + out + INTERMEDIATE);
    }
    const float norm = norm_scale(b);
    const float x = silu(total<S>(row, b, 0) * norm * g.scale + g.bias) *
                    (total<S>(row + 8, b, 0) * norm * u.scale + u.bias);
    st_relaxed_gpu(p.act_words + b * INTERMEDIATE + own.first + out, tagged(x, epoch));
  }
  mark(p, l * MARKS + 4);
}

DEVICE_CALL void qkv_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  const Finish<QkvStage, NormedQkv> finish(shared().qkv, layer.qkv_scale, layer.qkv_bias);
  normed_product<NormedQkv>(ring, QkvStage::tiles(finish.own), p.hidden_words[1], layer.input_norm, epoch - 1);
  u32* to = p.qkv_words + finish.own.first;
  finish.each(0, [&](int out, int b, float y, float bias) {
    st_relaxed_gpu(to + b * QKV + out, tagged(y * norm_scale(b) + bias, epoch));
  });
  mark(p, l * MARKS);
}

// Output and down projections: their sums join the residual stream.
template <class S>
DEVICE void residual_stage(const Ring& ring, const Finish<S>& finish, const WarpSlice& mine, u32* to, u32 epoch) {
  multiply<S>(ring, S::tiles(finish.own), mine, 1);
  finish.each(1, [&](int out, int b, float y, float bias) {
    const float residual = shared().residual[b][out] += y + bias;
    st_relaxed_gpu(to + b * HIDDEN + finish.own.first + out, tagged(residual, epoch));
  });
}

DEVICE_CALL void output_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  const Finish<OutputStage> finish(shared().output, layer.output_scale, layer.output_bias);
  WarpSlice mine;
  mine.clear();
  read_attention(mine, p, shared().plans[l].parts, epoch);
  mark(p, l * MARKS + 2);
  residual_stage<OutputStage>(ring, finish, mine, p.hidden_words[0], epoch);
  mark(p, l * MARKS + 3);
}

DEVICE_CALL void down_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  const Finish<DownStage> finish(shared().down, layer.down_scale, layer.down_bias);
  WarpSlice mine;
  mine.clear();
  read_activations(mine, p.act_words, epoch);
  mark(p, l * MARKS + 5);
  residual_stage<DownStage>(ring, finish, mine, p.hidden_words[1], epoch);
  mark(p, l * MARKS + 6);
}

// The stages run as calls: so each has the registers to itself and none is spilled to memory that the weights
// have long swept out of every cache.
DEVICE void run_layers(const Params& p, Ring& ring, u32 epoch) {
#pragma unroll 1
  for (int l = 0; l < LAYERS; ++l, ++epoch) {
    qkv_stage(ring, l, epoch);
    ring.next += tiles_of<QkvStage>(shared().qkv);
    attention(l, epoch);
    mark(p, l * MARKS + 1);
    output_stage(ring, l, epoch);
    ring.next += tiles_of<OutputStage>(shared().output);
    gate_up_stage(ring, l, epoch);
    ring.next += tiles_of<GateUpStage>(shared().gate_up);
    down_stage(ring, l, epoch);
    ring.next += tiles_of<DownStage>(shared().down);
  }
}

// What all warps need; ends with a barrier of the block.
DEVICE void begin(const Params& given, Ring& ring) {
  Shared& s = shared();
  if (thread() == THREADS) {  // of the copying warp
    ring.begin_shared();
    s.qkv = QkvStage::own();
    s.output = OutputStage::own();
    s.gate_up = GateUpStage::own();
    s.down = DownStage::own();
    s.head = HeadStage::own();
  }
  if (thread() < ROWS) {
    const int position = given.positions[thread()], token = given.tokens[thread()];
    s.busy[thread()] = position >= 0 && position < given.capacity;
    s.position[thread()] = s.busy[thread()] ? position : 0;
    s.token[thread()] = token >= 0 && token < VOCAB ? token : 0;
  }
  const u64* from = (const u64*)given.layers;
  u64* to = (u64*)s.layers;
  for (int i = thread(); i < (int)(sizeof(s.layers) / 8); i += THREADS + 32) to[i] = from[i];
  if (thread() < (int)(sizeof(Params) / 8)) ((u64*)&s.params)[thread()] = ((const u64*)&given)[thread()];
  block_barrier();
}

// What the computing warps need besides, while the first weights are on their way; ends with their barrier.
DEVICE void begin_computing(const Params& p) {
  Shared& s = shared();
  for (int l = thread(); l < LAYERS; l += THREADS) plan_attention(l);
  for (int i = thread(); i < ROWS * HEAD_DIM / 2; i += THREADS) {
    const int b = i / (HEAD_DIM / 2), d = i % (HEAD_DIM / 2);
    float sine, cosine;
    sine_cosine(s.position[b] * p.inverse_frequencies[d], &sine, &cosine);
    s.cosine[b][d] = cosine * p.attention_factor;
    s.sine[b][d] = sine * p.attention_factor;
  }
  consumer_barrier();
  ask_for_cache(0);
}

static_assert((LAYERS + 1) % 256 != 0, "the first tag would be that of fresh memory");

KERNEL(THREADS + 32, 1) void decode_step(const __grid_constant__ Params given) {
  Shared& s = shared();
  const Params& p = s.params;
  Ring ring = {shared_memory() + RING_START, s.full, s.empty, s.round, 0};
  // Of the first layer: the embedding's is one less, the head's LAYERS more. None is 0, which fresh memory holds.
  const u32 epoch = (*given.counter + 1) * (LAYERS + 1) + 1;
  begin(given, ring);
  if (warp() == WARPS) {
    const u64 policy = passing();
#pragma unroll 1
    for (int l = 0; l < LAYERS; ++l) {
      stream<QkvStage>(ring, s.layers[l].qkv, s.qkv, policy);
      stream<OutputStage>(ring, s.layers[l].output, s.output, policy);
      stream<GateUpStage>(ring, s.layers[l].gate_up, s.gate_up, policy);
      stream<DownStage>(ring, s.layers[l].down, s.down, policy);
    }
    stream<HeadStage, SLOTS>(ring, p.head, s.head, policy);
    return;
  }
  embed(p, epoch - 1);
  begin_computing(p);
  mark(p, LAYERS * MARKS);
  run_layers(p, ring, epoch);
  head_stage(p, ring, epoch + LAYERS);
  mark(p, LAYERS * MARKS + 2);
  if (block() == 0) finish(p, epoch + LAYERS);
  mark(p, LAYERS * MARKS + 3);
}
