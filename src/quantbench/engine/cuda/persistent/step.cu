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
#include "head.cuh"
#include "layer.cuh"

// The stages run as calls: so each has the registers to itself and none is spilled to memory that the weights
// have long swept out of every cache. Each is compiled once for every form that its matrices have.
struct RunQkv {
  Ring& ring;
  int l;
  u32 epoch;
  template <class F>
  DEVICE void run() const {
    qkv_stage<F>(ring, l, epoch);
    ring.next += tiles_of<QkvStage<F>>(shared().qkv);
  }
};
struct RunOutput {
  Ring& ring;
  int l;
  u32 epoch;
  template <class F>
  DEVICE void run() const {
    output_stage<F>(ring, l, epoch);
    ring.next += tiles_of<OutputStage<F>>(shared().output);
  }
};
struct RunGateUp {
  Ring& ring;
  int l;
  u32 epoch;
  template <class F>
  DEVICE void run() const {
    gate_up_stage<F>(ring, l, epoch);
    ring.next += tiles_of<GateUpStage<F>>(shared().gate_up);
  }
};
struct RunDown {
  Ring& ring;
  int l;
  u32 epoch;
  template <class F>
  DEVICE void run() const {
    down_stage<F>(ring, l, epoch);
    ring.next += tiles_of<DownStage<F>>(shared().down);
  }
};

DEVICE void run_layers(const Params& p, Ring& ring, u32 epoch) {
#pragma unroll 1
  for (int l = 0; l < LAYERS; ++l, ++epoch) {
    const u8* form = shared().layers[l].form;
    with_form<QkvForms>(form[0], RunQkv{ring, l, epoch});
    attention(l, epoch);
    mark(p, l * MARKS + 1);
    with_form<OutputForms>(form[1], RunOutput{ring, l, epoch});
    with_form<GateUpForms>(form[2], RunGateUp{ring, l, epoch});
    with_form<DownForms>(form[3], RunDown{ring, l, epoch});
  }
}

template <template <class> class S>
struct Streaming {
  Ring& ring;
  const Held& matrix;
  RowRange own;
  u64 policy;
  template <class F>
  DEVICE void run() const {
    stream<S<F>>(ring, matrix, own, policy);
  }
};

// The copying warp's way through all matrices.
DEVICE void stream_all(const Params& p, Ring& ring) {
  const Shared& s = shared();
  const u64 policy = passing();
#pragma unroll 1
  for (int l = 0; l < LAYERS; ++l) {
    const Layer& layer = s.layers[l];
    with_form<QkvForms>(layer.form[0], Streaming<QkvStage>{ring, layer.qkv, s.qkv, policy});
    with_form<OutputForms>(layer.form[1], Streaming<OutputStage>{ring, layer.output, s.output, policy});
    with_form<GateUpForms>(layer.form[2], Streaming<GateUpStage>{ring, layer.gate_up, s.gate_up, policy});
    with_form<DownForms>(layer.form[3], Streaming<DownStage>{ring, layer.down, s.down, policy});
  }
  stream<HeadStage, SLOTS>(ring, p.head, s.head, policy);
}

// What all warps need; ends with a barrier of the block.
DEVICE void begin(const Params& given, Ring& ring) {
  Shared& s = shared();
  if (thread() == THREADS) {  // of the copying warp
    ring.begin_shared();
    s.qkv = QkvShare::own();
    s.output = s.down = HiddenShare::own();
    s.gate_up = GateUpShare::own();
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
    stream_all(p, ring);
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
