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

template <class S>
struct Rows {  // this thread's outputs: index i of own * ROWS is output i % own of batch row i / own
  int first, own;
  DEVICE Rows() : first(S::first()), own(S::last() - S::first()) {}
  DEVICE int count() const { return own * ROWS; }
  DEVICE int row(int i) const { return first + i % own; }
  DEVICE Affine affine(const float* scale, const u16* bias) const {
    return thread() < count() ? read_affine(scale, bias, row(thread())) : Affine{1, 0};
  }
  DEVICE float result(int i, Affine ahead, const float* scale, const u16* bias) const {
    const Affine a = i == thread() ? ahead : read_affine(scale, bias, row(i));
    return total<S>(i % own, i / own) * a.scale + a.bias;
  }
};

DEVICE void qkv_stage(const Params& p, const Layer& layer, Ring& ring, u32 epoch) {
  const Rows<QkvStage> rows;
  const Affine ahead = rows.affine(layer.qkv_scale, layer.qkv_bias);
  multiply_shares<QkvStage>(ring);
  for (int i = thread(); i < rows.count(); i += THREADS) {
    const float y = rows.result(i, ahead, layer.qkv_scale, layer.qkv_bias);
    store_packet(p.qkv_packets + (i / rows.own) * QKV + rows.row(i), float_bits(y), epoch);
  }
}

// Output and down projections: their sums join the residual stream.
template <class S>
DEVICE void residual_stage(Ring& ring, const float* scale, const u16* bias, Affine ahead, Packet* to, u32 epoch) {
  const Rows<S> rows;
  multiply_shares<S>(ring);
  for (int i = thread(); i < rows.count(); i += THREADS) {
    float& residual = shared().residual[i / rows.own][i % rows.own];
    residual += rows.result(i, ahead, scale, bias);
    store_packet(to + (i / rows.own) * HIDDEN + rows.row(i), float_bits(residual), epoch);
  }
}

DEVICE float gate_up_row(const Layer& layer, const Affine (&a)[2], int out, int b) {
  const int row = out / 8 * 16 + out % 8;
  const float gate = total<GateUpStage>(row, b) * a[0].scale + a[0].bias;
  return activate(gate) * (total<GateUpStage>(row + 8, b) * a[1].scale + a[1].bias);
}

DEVICE void gate_up_stage(const Params& p, const Layer& layer, Ring& ring, u32 epoch) {
  const int first = GateUpStage::first(), pairs = (GateUpStage::last() - first) / 2;
  Affine ahead[2][2];  // [output of the pair][gate, up]
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first + least(thread(), pairs - 1) * 2 + i / 2 + (i & 1) * INTERMEDIATE;
    ahead[i / 2][i & 1] = read_affine(layer.gate_up_scale, layer.gate_up_bias, row);
  }
  multiply_shares<GateUpStage>(ring);
  for (int i = thread(); i < pairs * ROWS; i += THREADS) {
    const int pair = i % pairs, b = i / pairs;
    if (i != thread() || i >= pairs) {
#pragma unroll
      for (int j = 0; j < 4; ++j)
        ahead[j / 2][j & 1] = read_affine(layer.gate_up_scale, layer.gate_up_bias,
                                          first + pair * 2 + j / 2 + (j & 1) * INTERMEDIATE);
    }
    const float low = gate_up_row(layer, ahead[0], 2 * pair, b), high = gate_up_row(layer, ahead[1], 2 * pair + 1, b);
    store_packet(p.act_packets + b * (INTERMEDIATE / 2) + first / 2 + pair, pack2(low, high), epoch);
  }
}

// Row `token` of the embedding, input k.
DEVICE float embedding(const Params& p, int token, int k) {
  using S = Stage<EMBEDDING_KIND, HIDDEN, VOCAB, 1, false>;
  const u8* row = p.embedding + (long long)token * S::ROW_BYTES;
  if (EMBEDDING_KIND == FLOAT) return half_float(((const u16*)row)[k]);
  if (EMBEDDING_KIND == INT8) return (float)(signed char)row[k] * p.embedding_scale[token];
  const int group = k / GROUP, e = k % GROUP;
  const u32 byte = row[group * (GROUP / 2) + e % (GROUP / 2)];
  const u16* affine = (const u16*)(row + S::DATA_BYTES) + 2 * group;
  const float nibble = (float)(e < GROUP / 2 ? byte & 15 : byte >> 4) - 8;
  return nibble * real_half_float(affine[0]) + real_half_float(affine[1]);
}

DEVICE void embed(HiddenPairs& h, const Params& p) {
  const int first = OutputStage::first(), last = OutputStage::last();
#pragma unroll
  for (int i = 0; i < ROWS * PAIRS_EACH * 2; ++i) {
    const int b = i / (PAIRS_EACH * 2), pair = thread() + (i / 2 % PAIRS_EACH) * THREADS, k = 2 * pair + (i & 1);
    const float x = pair < HIDDEN_PAIRS ? embedding(p, shared().token[b], k) : 0;
    h.value[b][i / 2 % PAIRS_EACH][i & 1] = x;
    if (k >= first && k < last) shared().residual[b][k - first] = x;
  }
}

// Notes when this block got so far; nothing unless compiled with TIMES.
DEVICE void mark(const Params& p, int which) {
#if TIMES
  if (thread() == 0) p.times[block() * (LAYERS * MARKS + 4) + which] = ticks();
#endif
}

DEVICE void run_layers(const Params& p, Ring& ring, u32 epoch) {
  HiddenPairs h;
  u32 norm[PAIRS_EACH];
  for (int l = 0; l < LAYERS; ++l, ++epoch) {
    const Layer& layer = shared().layers[l];
    read_norm(norm, layer.input_norm);
    if (l == 0) {
      embed(h, p);
    } else {
      read_hidden(h, p.hidden_packets[1], epoch - 1);
    }
    normalize<LAYER_KIND>(h, norm, p.norm_eps);
    mark(p, l * MARKS);
    qkv_stage(p, layer, ring, epoch);
    mark(p, l * MARKS + 1);

    int parts[ROWS];
    attention(p, l, parts, epoch);
    mark(p, l * MARKS + 2);

    Affine ahead = Rows<OutputStage>().affine(layer.output_scale, layer.output_bias);
    read_attention(p, parts, epoch);
    mark(p, l * MARKS + 3);
    residual_stage<OutputStage>(ring, layer.output_scale, layer.output_bias, ahead, p.hidden_packets[0], epoch);
    mark(p, l * MARKS + 4);

    read_norm(norm, layer.post_norm);
    read_hidden(h, p.hidden_packets[0], epoch);
    normalize<LAYER_KIND>(h, norm, p.norm_eps);
    mark(p, l * MARKS + 5);
    gate_up_stage(p, layer, ring, epoch);
    mark(p, l * MARKS + 6);

    ahead = Rows<DownStage>().affine(layer.down_scale, layer.down_bias);
    read_activations(p.act_packets, epoch);
    mark(p, l * MARKS + 7);
    residual_stage<DownStage>(ring, layer.down_scale, layer.down_bias, ahead, p.hidden_packets[1], epoch);
    mark(p, l * MARKS + 8);
  }
  read_norm(norm, p.final_norm);
  read_hidden(h, p.hidden_packets[1], epoch - 1);
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
  const int first = HeadStage::first(), last = HeadStage::last();
  Best best[2] = {{-INFINITY_BITS, 0x7fffffff}, {-INFINITY_BITS, 0x7fffffff}};
  multiply<HeadStage>(ring, [&](int tile, int, float (&sum)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = first + tile * HeadStage::TILE_OUT + (lane() >> 2) + (i >> 1) * 8, b = 2 * (lane() & 3) + (i & 1);
      if (b >= ROWS || row >= last || (HeadStage::SHORT && i >= 2)) continue;
      const float logit = sum[i] * (p.head_scale ? p.head_scale[row] : 1);
      if (p.logits) p.logits[b * p.logits_stride + row] = logit;
      best[i & 1].take(logit, row);
    }
  });
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int mask = 4; mask < 32; mask <<= 1)
      best[i].take(shuffle_xor(best[i].value, mask), shuffle_xor(best[i].index, mask));
    if (lane() < 4) {
      shared().best_value[warp()][2 * lane() + i] = best[i].value;
      shared().best_index[warp()][2 * lane() + i] = best[i].index;
    }
  }
  consumer_barrier();
  if (thread() >= ROWS) return;
  Best top = {-INFINITY_BITS, 0x7fffffff};
  for (int w = 0; w < WARPS; ++w) top.take(shared().best_value[w][thread()], shared().best_index[w][thread()]);
  Packet* to = p.best_packets + (thread() * BLOCKS + block()) * 2;
  store_packet(to, float_bits(top.value), epoch);
  store_packet(to + 1, (u32)top.index, epoch);
}

// Block 0 waits for every block, so that nothing of this step is read after it: the next token, then the count.
DEVICE void finish(const Params& p, u32 epoch) {
  for (int b = warp(); b < ROWS; b += WARPS) {
    Best best = {-INFINITY_BITS, 0x7fffffff};
    for (int i = lane(); i < BLOCKS; i += 32) {
      const Packet* at[1] = {p.best_packets + (b * BLOCKS + i) * 2};
      Packets got[1];
      poll(got, at, epoch);
      best.take(bits_float(got[0].a.value), (int)got[0].b.value);
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
  if (thread() == 0) ring.begin_shared();
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
    for (int l = 0; l < LAYERS; ++l) {
      stream<QkvStage>(ring, s.layers[l].qkv);
      stream<OutputStage>(ring, s.layers[l].output);
      stream<GateUpStage>(ring, s.layers[l].gate_up);
      stream<DownStage>(ring, s.layers[l].down);
    }
    stream<HeadStage>(ring, p.head);
    return;
  }
  mark(p, LAYERS * MARKS);
  run_layers(p, ring, epoch);
  head_stage(p, ring, epoch + LAYERS);
  mark(p, LAYERS * MARKS + 2);
  if (block() == 0) finish(p, epoch + LAYERS);
  mark(p, LAYERS * MARKS + 3);
}
