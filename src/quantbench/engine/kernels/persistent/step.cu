// One decode step of a whole model in one launch: every block stays on its multiprocessor and owns some rows of
// each matrix; five stages a layer hand their results on as packets (exchange.cuh), while the weights of the
// stages ahead stream into shared memory (ring.cuh). All blocks must be resident at once: cooperative launch.
//
// Stages of a layer: norm, queries, keys, values | attention | output, residual | norm, gate, up, activation |
// down, residual. The residual stream is float32, kept by the block that owns the row.

DEVICE float activate(float x) {
#if ACTIVATION == 0  // silu
  return divide(x, 1 + exp2_fast(-1.44269504f * x));
#elif ACTIVATION == 1  // gelu
  return 0.5f * x * (1 + erff(0.70710678f * x));
#elif ACTIVATION == 2  // gelu, by tanh
  return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
#else  // relu
  return fmaxf(x, 0);
#endif
}

// Scale and bias of one output row, loaded before the wait for its input.
struct Affine {
  float scale, bias;
};
DEVICE Affine read_affine(const float* scale, const u16* bias, int row) {
  return {scale ? scale[row] : 1, bias ? half_float(bias[row]) : 0};
}

// Thread i finishes output i % STRIDE of batch row i / STRIDE.
template <class S>
struct Finish {
  static constexpr int STRIDE = power_of_two(S::OWN);
  Own own;
  const float* scale;
  const u16* bias;
  Affine ahead;

  DEVICE Finish(Own own_, const float* scale_, const u16* bias_) : own(own_), scale(scale_), bias(bias_) {
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
      use(out, b, total<S>(out, b, half) * a.scale, a.bias);
    }
  }
};

// Row `token` of the embedding, input k.
DEVICE float embedding(const Params& p, int token, int k) {
  using S = Stage<EMBEDDING_KIND, HIDDEN, VOCAB, false>;
  const u8* row = p.embedding + (long long)token * S::ROW_BYTES;
  if (EMBEDDING_KIND == FLOAT) return half_float(((const u16*)row)[k]);
  if (EMBEDDING_KIND == INT8) return (float)(signed char)row[k] * p.embedding_scale[token];
  const int group = k / GROUP, e = k % GROUP;
  const u32 byte = row[group * (GROUP / 2) + e % (GROUP / 2)];
  const u16* affine = (const u16*)(row + S::DATA_BYTES) + 2 * group;
  const float nibble = (float)(e < GROUP / 2 ? byte & 15 : byte >> 4) - 8;
  return nibble * real_half_float(affine[0]) + real_half_float(affine[1]);
}

DEVICE void embed(HiddenFours& h, const Params& p) {
  const Own own = shared().output;
#pragma unroll
  for (int i = 0; i < ROWS * FOURS_EACH; ++i) {
    const int b = i / FOURS_EACH, four = thread() + (i % FOURS_EACH) * THREADS;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int k = 4 * four + e;
      const float x = four < HIDDEN_FOURS ? embedding(p, shared().token[b], k) : 0;
      h.value[b][i % FOURS_EACH][e] = x;
      if (k >= own.first && k < own.first + own.count) shared().residual[b][k - own.first] = x;
    }
  }
}

// The norm before a product S: of the residual stream as of `epoch`, or of the embedding where there are no words.
template <class S>
DEVICE void read_normed(Mine& mine, const u32* words, const u16* weight, u32 epoch, int half) {
  HiddenFours h;
  NormFours norm;
  read_norm(norm, weight);
  if (words) {
    read_hidden(h, words, epoch);
  } else {
    embed(h, shared().params);
  }
  put_weighted<S>(mine, h, norm);
  leave_squares(h, half);
}

DEVICE_CALL void gate_up_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  using S = GateUpStage;
  constexpr int STRIDE = power_of_two(S::OWN);
  const Own own = shared().gate_up;
  const int first = own.first + least(thread() % STRIDE, own.count - 1);
  const Affine gate = read_affine(layer.gate_up_scale, layer.gate_up_bias, first);
  const Affine up = read_affine(layer.gate_up_scale, layer.gate_up_bias, first + INTERMEDIATE);
  Mine mine;
  read_normed<S>(mine, p.hidden_words[0], layer.post_norm, epoch, 0);
  mark(p, l * MARKS + 5);
  multiply<S>(ring, own, mine, 0);
#pragma unroll 1
  for (int i = thread(); i < STRIDE * ROWS; i += THREADS) {
    const int out = i % STRIDE, b = i / STRIDE, row = out / 8 * 16 + out % 8;
    if (out >= own.count) continue;
    Affine g = gate, u = up;
    if (THREADS % STRIDE != 0 && i >= THREADS) {
      g = read_affine(layer.gate_up_scale, layer.gate_up_bias, own.first + out);
      u = read_affine(layer.gate_up_scale, layer.gate_up_bias, own.first + out + INTERMEDIATE);
    }
    const float norm = norm_scale(b, 0);
    const float x = activate(total<S>(row, b, 0) * norm * g.scale + g.bias) *
                    (total<S>(row + 8, b, 0) * norm * u.scale + u.bias);
    store_far(p.act_words + b * INTERMEDIATE + own.first + out, tagged(x, epoch));
  }
  mark(p, l * MARKS + 6);
}

DEVICE_CALL void qkv_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  const Finish<QkvStage> finish(shared().qkv, layer.qkv_scale, layer.qkv_bias);
  Mine mine;
  read_normed<QkvStage>(mine, l ? p.hidden_words[1] : nullptr, layer.input_norm, epoch - 1, 0);
  mark(p, l * MARKS);
  multiply<QkvStage>(ring, finish.own, mine, 0);
  u32* to = p.qkv_words + finish.own.first;
  finish.each(0, [&](int out, int b, float y, float bias) {
    store_far(to + b * QKV + out, tagged(y * norm_scale(b, 0) + bias, epoch));
  });
  mark(p, l * MARKS + 1);
}

// Output and down projections: their sums join the residual stream.
template <class S>
DEVICE void residual_stage(const Ring& ring, const Finish<S>& finish, const Mine& mine, u32* to, u32 epoch) {
  multiply<S>(ring, finish.own, mine, 1);
  finish.each(1, [&](int out, int b, float y, float bias) {
    const float residual = shared().residual[b][out] += y + bias;
    store_far(to + b * HIDDEN + finish.own.first + out, tagged(residual, epoch));
  });
}

DEVICE_CALL void output_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  const Finish<OutputStage> finish(shared().output, layer.output_scale, layer.output_bias);
  Mine mine;
  mine.clear();
  read_attention(mine, p, shared().shares[l].parts, epoch);
  mark(p, l * MARKS + 3);
  residual_stage<OutputStage>(ring, finish, mine, p.hidden_words[0], epoch);
  mark(p, l * MARKS + 4);
}

DEVICE_CALL void down_stage(Ring ring, int l, u32 epoch) {
  const Params& p = shared().params;
  const Layer& layer = shared().layers[l];
  const Finish<DownStage> finish(shared().down, layer.down_scale, layer.down_bias);
  Mine mine;
  mine.clear();
  read_activations(mine, p.act_words, epoch);
  mark(p, l * MARKS + 7);
  residual_stage<DownStage>(ring, finish, mine, p.hidden_words[1], epoch);
  mark(p, l * MARKS + 8);
}

// The stages run as calls: so each has the registers to itself and none is spilled to memory that the weights
// have long swept out of every cache.
DEVICE void run_layers(const Params& p, Ring& ring, u32 epoch) {
#pragma unroll 1
  for (int l = 0; l < LAYERS; ++l, ++epoch) {
    qkv_stage(ring, l, epoch);
    ring.next += tiles_of<QkvStage>(shared().qkv);
    attention(l, epoch);
    mark(p, l * MARKS + 2);
    output_stage(ring, l, epoch);
    ring.next += tiles_of<OutputStage>(shared().output);
    gate_up_stage(ring, l, epoch);
    ring.next += tiles_of<GateUpStage>(shared().gate_up);
    down_stage(ring, l, epoch);
    ring.next += tiles_of<DownStage>(shared().down);
  }
}

DEVICE void begin(const Params& p, Ring& ring) {
  Shared& s = shared();
  if (thread() == 0) {
    ring.begin_shared();
    s.qkv = QkvStage::own();
    s.output = OutputStage::own();
    s.gate_up = GateUpStage::own();
    s.down = DownStage::own();
    s.head = HeadStage::own();
  }
  if (thread() < ROWS) {
    const int position = p.positions[thread()], token = p.tokens[thread()];
    s.busy[thread()] = position >= 0 && position < p.capacity;
    s.position[thread()] = s.busy[thread()] ? position : 0;
    s.token[thread()] = token >= 0 && token < VOCAB ? token : 0;
  }
  const u64* from = (const u64*)p.layers;
  u64* to = (u64*)s.layers;
  for (int i = thread(); i < (int)(sizeof(s.layers) / 8); i += THREADS + 32) to[i] = from[i];
  block_barrier();
  for (int l = thread(); l < LAYERS; l += THREADS + 32) share_out(l);
  for (int i = thread(); i < ROWS * HEAD_DIM / 2; i += THREADS + 32) {
    const int b = i / (HEAD_DIM / 2), d = i % (HEAD_DIM / 2);
    float sine, cosine;
    sine_cosine(s.position[b] * p.inverse_frequencies[d], &sine, &cosine);
    s.cosine[b][d] = cosine * p.attention_factor;
    s.sine[b][d] = sine * p.attention_factor;
  }
  block_barrier();
}

template <class T>
DEVICE void prefetch_run(const T* from, int count) {
  for (int at = lane() * 128; from && at < count * (int)sizeof(T); at += 32 * 128) prefetch((const u8*)from + at);
}

// The copying warp is ahead of the others: it asks for the norms, and for scales and biases of this block's rows.
DEVICE void prefetch_small(const Layer& layer) {
  const Shared& s = shared();
  prefetch_run(layer.input_norm, HIDDEN);
  prefetch_run(layer.post_norm, HIDDEN);
  if (layer.qkv_scale) {
    prefetch_run(layer.qkv_scale + s.qkv.first, s.qkv.count);
    prefetch_run(layer.output_scale + s.output.first, s.output.count);
    prefetch_run(layer.gate_up_scale + s.gate_up.first, s.gate_up.count);
    prefetch_run(layer.gate_up_scale + INTERMEDIATE + s.gate_up.first, s.gate_up.count);
    prefetch_run(layer.down_scale + s.down.first, s.down.count);
  }
  if (layer.qkv_bias) prefetch_run(layer.qkv_bias + s.qkv.first, s.qkv.count);
}

KERNEL void decode_step(const __grid_constant__ Params given) {
  Shared& s = shared();
  if (thread() < (int)(sizeof(Params) / 8)) ((u64*)&s.params)[thread()] = ((const u64*)&given)[thread()];
  block_barrier();
  const Params& p = s.params;
  Ring ring = {shared_memory() + RING_START, s.full, s.empty, s.round, 0};
  const u32 epoch = *p.counter * (LAYERS + 1) + 1;  // of the first layer; the head's is LAYERS later
  begin(p, ring);
  if (warp() == WARPS) {
#pragma unroll 1
    for (int l = 0; l < LAYERS; ++l) {
      prefetch_small(s.layers[l]);
      prefetch_cache(p, l);
      stream<QkvStage>(ring, s.layers[l].qkv, s.qkv);
      stream<OutputStage>(ring, s.layers[l].output, s.output);
      stream<GateUpStage>(ring, s.layers[l].gate_up, s.gate_up);
      stream<DownStage>(ring, s.layers[l].down, s.down);
    }
    stream<HeadStage, SLOTS>(ring, p.head, s.head);
    return;
  }
  mark(p, LAYERS * MARKS);
  run_layers(p, ring, epoch);
  head_stage(p, ring, epoch + LAYERS);
  mark(p, LAYERS * MARKS + 2);
  if (block() == 0) finish(p, epoch + LAYERS);
  mark(p, LAYERS * MARKS + 3);
}
