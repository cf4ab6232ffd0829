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
  // use(output of the block, batch row, its value) for every output.
  template <class Use>
  DEVICE void each(Use use) const {
#pragma unroll 1
    for (int i = thread(); i < STRIDE * ROWS; i += THREADS) {
      const int out = i % STRIDE, b = i / STRIDE;
      if (out >= own.count) continue;
      const Affine a = THREADS % STRIDE == 0 || i < THREADS ? ahead : read_affine(scale, bias, own.first + out);
      use(out, b, total<S>(out, b) * a.scale + a.bias);
    }
  }
};

DEVICE void gate_up_stage(const Params& p, const Layer& layer, Ring& ring, u32 epoch) {
  using S = GateUpStage;
  constexpr int STRIDE = power_of_two(S::OWN);
  const Own own = shared().gate_up;
  const int mine = own.first + least(thread() % STRIDE, own.count - 1);
  const Affine gate = read_affine(layer.gate_up_scale, layer.gate_up_bias, mine);
  const Affine up = read_affine(layer.gate_up_scale, layer.gate_up_bias, mine + INTERMEDIATE);
  multiply_shares<S>(ring, own);
#pragma unroll 1
  for (int i = thread(); i < STRIDE * ROWS; i += THREADS) {
    const int out = i % STRIDE, b = i / STRIDE, row = out / 8 * 16 + out % 8;
    if (out >= own.count) continue;
    Affine g = gate, u = up;
    if (THREADS % STRIDE != 0 && i >= THREADS) {
      g = read_affine(layer.gate_up_scale, layer.gate_up_bias, own.first + out);
      u = read_affine(layer.gate_up_scale, layer.gate_up_bias, own.first + out + INTERMEDIATE);
    }
    const float x = activate(total<S>(row, b) * g.scale + g.bias) * (total<S>(row + 8, b) * u.scale + u.bias);
    store_replicas(p.act_words, ROWS * INTERMEDIATE, b * INTERMEDIATE + own.first + out, tagged(x, epoch));
  }
}

// Output and down projections: their sums join the residual stream.
template <class S>
DEVICE void residual_stage(Ring& ring, const Finish<S>& finish, u32* to, u32 epoch) {
  multiply_shares<S>(ring, finish.own);
  finish.each([&](int out, int b, float y) {
    const float residual = shared().residual[b][out] += y;
    store_replicas(to, ROWS * HIDDEN, b * HIDDEN + finish.own.first + out, tagged(residual, epoch));
  });
}

// Row `token` of the embedding, input k.
DEVICE float embedding(const Params& p, int token, int k) {
  using S = Stage<EMBEDDING_KIND, HIDDEN, VOCAB, false, true>;
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

// Notes when this block got so far; nothing unless compiled with TIMES.
DEVICE void mark(const Params& p, int which) {
#if TIMES
  if (thread() == 0) p.times[block() * (LAYERS * MARKS + 4) + which] = ticks();
#endif
}

DEVICE void run_layers(const Params& p, Ring& ring, u32 epoch) {
  HiddenFours h;
  NormFours norm;
#pragma unroll 1
  for (int l = 0; l < LAYERS; ++l, ++epoch) {
    const Layer& layer = shared().layers[l];
    read_norm(norm, layer.input_norm);
    prefetch_cache(p, l);
    const Finish<QkvStage> qkv(shared().qkv, layer.qkv_scale, layer.qkv_bias);
    if (l == 0) {
      embed(h, p);
    } else {
      read_hidden(h, p.hidden_words[1], epoch - 1);
    }
    mark(p, l * MARKS);
    normalize<LAYER_KIND>(h, norm, p.norm_eps);
    mark(p, l * MARKS + 1);
    multiply_shares<QkvStage>(ring, qkv.own);
    qkv.each([&](int out, int b, float y) { store_far(p.qkv_words + b * QKV + qkv.own.first + out, tagged(y, epoch)); });
    mark(p, l * MARKS + 2);

    int parts[ROWS];
    attention(p, l, parts, epoch);
    mark(p, l * MARKS + 3);

    const Finish<OutputStage> output(shared().output, layer.output_scale, layer.output_bias);
    read_attention(p, parts, epoch);
    mark(p, l * MARKS + 4);
    residual_stage<OutputStage>(ring, output, p.hidden_words[0], epoch);
    mark(p, l * MARKS + 5);

    read_norm(norm, layer.post_norm);
    read_hidden(h, p.hidden_words[0], epoch);
    mark(p, l * MARKS + 6);
    normalize<LAYER_KIND>(h, norm, p.norm_eps);
    mark(p, l * MARKS + 7);
    gate_up_stage(p, layer, ring, epoch);
    mark(p, l * MARKS + 8);

    const Finish<DownStage> down(shared().down, layer.down_scale, layer.down_bias);
    read_activations(p.act_words, epoch);
    mark(p, l * MARKS + 9);
    residual_stage<DownStage>(ring, down, p.hidden_words[1], epoch);
    mark(p, l * MARKS + 10);
  }
  read_norm(norm, p.final_norm);
  read_hidden(h, p.hidden_words[1], epoch - 1);
  normalize<HEAD_KIND>(h, norm, p.norm_eps);
  mark(p, LAYERS * MARKS + 1);
}

struct Best {
  float value;
  int index;
  DEVICE void take(float v, int i) {
    if (v > value || (v == value && i < index)) value = v, index = i;
  }
};

// The head: logits to memory, or the best of this block's vocabulary rows to block 0.
DEVICE void head_stage(const Params& p, Ring& ring, u32 epoch) {
  using S = HeadStage;
  const Own own = shared().head;
  Best best[2] = {{-INFINITY_BITS, 0x7fffffff}, {-INFINITY_BITS, 0x7fffffff}};
  multiply<S>(ring, own, [&](int tile, int, float (&sum)[4]) {
#pragma unroll
    for (int i = 0; i < (S::SHORT ? 2 : 4); ++i) {
      const int out = tile * S::TILE_OUT + (lane() >> 2) + (i >> 1) * 8, row = own.first + out, b = batch_row<S>(i);
      if (b >= ROWS || out >= own.count) continue;
      const float logit = sum[i] * (p.head_scale ? p.head_scale[row] : 1);
      if (p.logits) p.logits[b * p.logits_stride + row] = logit;
      best[i & 1].take(logit, row);
    }
  });
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int mask = S::SWAP ? 8 : 4; mask < 32; mask <<= 1)
      best[i].take(shuffle_xor(best[i].value, mask), shuffle_xor(best[i].index, mask));
    // With swapped columns, lanes 0 to 3 hold even rows of columns 0 to 3, lanes 4 to 7 odd rows of columns 4 to 7.
    if (S::SWAP) {
      const int other = lane() ^ 6;  // the same batch rows of the other parity
      best[i].take(shuffle_from(best[i].value, other), shuffle_from(best[i].index, other));
    }
    if (lane() < 4) {
      shared().best_value[warp()][2 * lane() + i] = best[i].value;
      shared().best_index[warp()][2 * lane() + i] = best[i].index;
    }
  }
  consumer_barrier();
  if (thread() >= ROWS) return;
  Best top = {-INFINITY_BITS, 0x7fffffff};
#pragma unroll 1
  for (int w = 0; w < WARPS; ++w) top.take(shared().best_value[w][thread()], shared().best_index[w][thread()]);
  Packet* to = p.best_packets + (thread() * BLOCKS + block()) * 2;
  store_far(to, float_bits(top.value), epoch);
  store_far(to + 1, (u32)top.index, epoch);
}

DEVICE u32 poll_packet(const Packet* from, u32 epoch) {
  Packet got = load_far(from);
  for (u32 spins = 0; got.epoch != epoch; ++spins) {
    got = load_far(from);
    if (spins > SPIN_LIMIT) give_up();
  }
  return got.value;
}

// Block 0 waits for every block, so that nothing of this step is read after it: the next token, then the count.
DEVICE void finish(const Params& p, u32 epoch) {
  for (int b = warp(); b < ROWS; b += WARPS) {
    Best best = {-INFINITY_BITS, 0x7fffffff};
    for (int i = lane(); i < BLOCKS; i += 32) {
      const Packet* at = p.best_packets + (b * BLOCKS + i) * 2;
      best.take(bits_float(poll_packet(at, epoch)), (int)poll_packet(at + 1, epoch));
    }
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) best.take(shuffle_xor(best.value, mask), shuffle_xor(best.index, mask));
    if (lane() != 0 || p.logits || !shared().busy[b]) continue;
    const int token = best.index < VOCAB ? best.index : 0, next = shared().position[b] + 1;
    p.tokens[b] = token;
    p.positions[b] = next;
    if (next < p.capacity) p.output[b * p.output_stride + next] = token;
  }
  consumer_barrier();
  if (thread() == 0) *p.counter += 1;
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
  for (int i = thread(); i < ROWS * HEAD_DIM / 2; i += THREADS + 32) {
    const int b = i / (HEAD_DIM / 2), d = i % (HEAD_DIM / 2);
    float sine, cosine;
    sine_cosine(s.position[b] * p.inverse_frequencies[d], &sine, &cosine);
    s.cosine[b][d] = cosine * p.attention_factor;
    s.sine[b][d] = sine * p.attention_factor;
  }
  block_barrier();
}

KERNEL void decode_step(const __grid_constant__ Params p) {
  Shared& s = shared();
  Ring ring = {shared_memory() + RING_START, s.full, s.empty, s.round, 0};
  const u32 epoch = *p.counter * (LAYERS + 1) + 1;  // of the first layer; the head's is LAYERS later
  begin(p, ring);
  if (warp() == WARPS) {
#pragma unroll 1
    for (int l = 0; l < LAYERS; ++l) {
      stream<QkvStage>(ring, s.layers[l].qkv, s.qkv);
      stream<OutputStage>(ring, s.layers[l].output, s.output);
      stream<GateUpStage>(ring, s.layers[l].gate_up, s.gate_up);
      stream<DownStage>(ring, s.layers[l].down, s.down);
    }
    stream<HeadStage>(ring, p.head, s.head);
    return;
  }
  mark(p, LAYERS * MARKS);
  run_layers(p, ring, epoch);
  head_stage(p, ring, epoch + LAYERS);
  mark(p, LAYERS * MARKS + 2);
  if (block() == 0) finish(p, epoch + LAYERS);
  mark(p, LAYERS * MARKS + 3);
}
