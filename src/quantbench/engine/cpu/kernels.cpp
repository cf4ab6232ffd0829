// Matrix products with packed weights, and the small steps between them, for one CPU; float32 arithmetic
// unless a function says otherwise.
//
// Compiled at first use by `build.py` for the machine at hand and called through ctypes. Weights are read in
// the layouts of engine/weights.py, converted in registers and never stored as floats. Every output element
// is summed in the same order whatever the number of rows, so a row's result does not depend on its batch.
// Nothing is allocated that outlives a call, and no argument is checked here: `linear.py` and `operations.py` do.

#include "layers.hpp"
#include "prompt_attention.hpp"
#include "prompt_dot.hpp"
#include "prompt_product.hpp"
#include "token_attention.hpp"

#include <algorithm>

extern "C" {

// y [rows, n] = x [rows, k] times weights [n, k], scaled, plus bias [n] and residual [rows, n] if given.
// kind: see `products.hpp`. k is a multiple of 16, of a group where there are groups (4 bits: that of 32), and of a block.
void quantbench_linear(int kind, const float* x, int64_t rows, int64_t k, int64_t n, const void* data,
                       const void* scale, const void* zero, int64_t group, const float* bias,
                       const float* residual, float* y) {
    multiply_floats(kind, Problem{x, data, scale, zero, bias, residual, y, rows, k, n, group});
}

// y [rows, k] = rows `ids` of the weights [n, k], as floats.
void quantbench_rows(int kind, int64_t k, int64_t n, const void* data, const void* scale, const void* zero, int64_t group,
                     const int64_t* ids, int64_t rows, float* y) {
    look_up(kind, Problem{nullptr, data, scale, zero, nullptr, nullptr, y, rows, k, n, group}, ids);
}

// Rows that lie side by side in kinds with 32 added; 0 where the kernels know none of these.
int quantbench_rows_beside() { return QUANTBENCH_BESIDE; }

// Bits of activations in `quantbench_linear_integers`; 0 where a kind has none.
int quantbench_linear_bits(int kind) { return integer_bits(kind); }

// As `quantbench_linear`, for the kinds whose `quantbench_linear_bits` are not 0, in integer arithmetic.
void quantbench_linear_integers(int kind, const float* x, int64_t rows, int64_t k, int64_t n, const void* data,
                                const void* scale, const void* zero, int64_t group, const float* bias,
                                const float* residual, float* y) {
    multiply_integers(kind, Problem{x, data, scale, zero, bias, residual, y, rows, k, n, group});
}

// Bits of activations (and at most of weights) in `quantbench_linear_prompt`; 0 where it has no way of its own.
int quantbench_prompt_bits(int kind) {
#ifdef QUANTBENCH_VNNI
    return kind == 2 ? 13 : kind == 3 || kind == 4 || kind == 9 ? 8 : 0;
#elif defined(QUANTBENCH_DOT)
    return kind == 3 || kind == 4 || kind == 9 ? 8 : 0;
#else
    return 0;
#endif
}

// As `quantbench_linear`, for the kinds whose `quantbench_prompt_bits` are not 0, in integer arithmetic. With gate
// (0 silu, 1 gelu, 2 gelu by tanh, 3 relu; -1 none) the weights are gates, then ups: y [rows, n / 2] =
// activation(gate) * up.
void quantbench_linear_prompt(int kind, const float* x, int64_t rows, int64_t k, int64_t n, const void* data,
                              const void* scale, const void* zero, int64_t group, const float* bias,
                              const float* residual, float* y, int gate) {
#ifdef QUANTBENCH_VNNI
    const Problem p{x, data, scale, zero, bias, residual, y, rows, k, n, group, gate};
    switch (kind) {
        case 2: return multiply_prompt<Halves>(p);
        case 3: return multiply_prompt<Bytes>(p);
        case 4: return multiply_prompt<Nibbles>(p);
        case 9: return multiply_prompt<DoubleNibbles>(p);
    }
#elif defined(QUANTBENCH_DOT)
    const Problem p{x, data, scale, zero, bias, residual, y, rows, k, n, group, gate};
    switch (kind) {
        case 3: return multiply_dots<DotBytes>(p);
        case 4: return multiply_dots<DotNibbles<Int4>>(p);
        case 9: return multiply_dots<DotNibbles<Int4Double>>(p);
    }
#endif
}

// y [rows, length] = x / root mean square of its row * weight; length is a multiple of 16.
void quantbench_norm(const float* x, const float* weight, int64_t rows, int64_t length, float eps, float* y) {
    in_parts(rows * length > FEW_FLOATS, rows, [&](int64_t m, int64_t end) {
        for (; m < end; ++m) norm_row(x + m * length, weight, length, eps, y + m * length);
    });
}

// y [rows, length] = activation(gate) * up, where x [rows, 2 * length] holds gate and up; length: multiple
// of 16. kind: 0 silu, 1 gelu, 2 gelu by tanh, 3 relu.
void quantbench_gate(int kind, const float* x, int64_t rows, int64_t length, float* y) {
    in_parts(rows * length > FEW_FLOATS, rows, [&](int64_t m, int64_t end) {
        for (; m < end; ++m)
            for (int64_t i = 0; i < length; i += W) {
                const vec gate = load(x + m * 2 * length + i), up = load(x + m * 2 * length + length + i);
                store(y + m * length + i, activate(kind, gate) * up);
            }
    });
}

// y [length] = activation(x); length: multiple of 16. kind as in `quantbench_gate`.
void quantbench_activate(int kind, const float* x, int64_t length, float* y) {
    in_parts(length > FEW_FLOATS, length / W, [&](int64_t first, int64_t end) {
        for (int64_t i = first * W; i < end * W; i += W) store(y + i, activate(kind, load(x + i)));
    });
}

// x [length] = cap * tanh(x / cap), in place.
void quantbench_cap(float* x, int64_t length, float cap) {
    const int64_t whole = length / W * W;
    in_parts(length > FEW_FLOATS, whole / W, [&](int64_t first, int64_t end) {
        for (int64_t i = first * W; i < end * W; i += W) store(x + i, capped(load(x + i), cap));
    });
    for (int64_t i = whole; i < length; ++i) x[i] = capped(fill(x[i]), cap)[0];
}

// Tokens that follow what is in the cache: norms (if given) and rotation of queries and keys, their smoothing (if
// given), writing keys and values into the cache, attention over the positions up to each one's own. Token i stands at positions[i] of cache
// row i; with `places` [tokens] of cache row places[i], and may then see others of this call. qkv [tokens, (heads +
// 2 kv_heads) * dim], out [tokens, heads * dim]. window 0 is no window, cap 0 no cap of scores. dim is a multiple of 16.
// The projections are overwritten.
void quantbench_attend(float* qkv, int64_t tokens, int64_t heads, int64_t kv_heads, int64_t dim,
                       const int64_t* positions, const int64_t* places, const Cached* cache, const float* q_norm,
                       const float* k_norm, const float* smoothing, float eps, int64_t capacity, int64_t window,
                       float cap, float* out) {
    const NewTokens t{qkv,    tokens, heads,     kv_heads, dim,      positions, places,
                      q_norm, k_norm, smoothing, eps,      capacity, window,    cap};
    with_cells(*cache, dim, [&](const auto& keys, const auto& values) { attend_tokens(t, *cache, keys, values, out); });
}

// Whole prompts from position 0 on: norms (if given) and rotation of queries and keys in place, keys and values
// into the cache at rows [count], causal attention over them as they are read from there. begins [count + 1]: each
// prompt's first token; qkv [tokens, (heads + 2 kv_heads) * dim], out [tokens, heads * dim], the rest as in `quantbench_attend`.
void quantbench_attend_prompts(float* qkv, const int64_t* begins, const int64_t* rows, int64_t count, int64_t heads,
                               int64_t kv_heads, int64_t dim, const Cached* cache, const float* q_norm,
                               const float* k_norm, const float* smoothing, float eps, int64_t capacity,
                               int64_t window, float cap, float* out) {
    const Prompts p{qkv, count, heads, kv_heads, dim, window, cap, begins, rows};
    for (int64_t prompt = 0; prompt < count; ++prompt) {
        const auto keep_token = [&](int64_t at) {
            float* row = qkv + (begins[prompt] + at) * p.width();
            for (int64_t h = 0; h < heads + kv_heads; ++h) {
                const float* norm = h < heads ? q_norm : k_norm;
                if (norm) norm_row(row + h * dim, norm, dim, eps, row + h * dim);
                rotate(row + h * dim, cache->cos + at * dim, cache->sin + at * dim, dim);
                if (smoothing) smooth(row + h * dim, smoothing + h * dim, (heads + kv_heads) * dim, dim);
            }
            with_cells(*cache, dim, [&](const auto& keys, const auto& values) {
                for (int64_t h = 0; h < kv_heads; ++h) {
                    const int64_t to = (rows[prompt] * kv_heads + h) * capacity + at;
                    float *key = row + (heads + h) * dim, *value = key + kv_heads * dim;
                    keys.from(to).put(key), keys.from(to).read(key);
                    values.from(to).put(value), values.from(to).read(value);
                }
            });
        };
        in_parts(p.length(prompt) * p.width() > FEW_FLOATS, p.length(prompt), [&](int64_t at, int64_t end) {
            for (; at < end; ++at) keep_token(at);
        });
        attend_prompt(p, prompt, out);
    }
}

// All layers of a step over x [tokens, hidden], in place; positions, places and capacity as in `quantbench_attend`.
void quantbench_layers(const Layer* layers, const Cached* caches, const Shape* s, int64_t tokens,
                       const int64_t* positions, const int64_t* places, int64_t capacity, float* x) {
    const int64_t queries = s->heads * s->dim, width = queries + 2 * s->kv_heads * s->dim;
    const Scratch normed(tokens * s->hidden), heads(tokens * width), mixed(tokens * queries),
        wide(tokens * 2 * s->width), gated(tokens * s->width);
    for (int64_t i = 0; i < s->layers; ++i) {
        const Layer& layer = layers[i];
        const int64_t gates = layer.down.parts[0].inputs;
        quantbench_norm(x, layer.attention_norm, tokens, s->hidden, s->eps, normed.data);
        multiply(layer.qkv, normed.data, tokens, nullptr, heads.data);
        quantbench_attend(heads.data, tokens, s->heads, s->kv_heads, s->dim, positions, places, caches + i,
                          layer.q_norm, layer.k_norm, layer.smoothing, s->eps, capacity, layer.window, 0, mixed.data);
        multiply(layer.output, mixed.data, tokens, x, x);
        quantbench_norm(x, layer.mlp_norm, tokens, s->hidden, s->eps, normed.data);
        multiply(layer.up, normed.data, tokens, nullptr, wide.data);
        quantbench_gate(static_cast<int>(s->activation), wide.data, tokens, gates, gated.data);
        multiply(layer.down, gated.data, tokens, x, x);
    }
}

// Steps one after another, each row's most likely token next, until a row draws one of `stops` or none (-1), or for
// `most` steps; how many there were. tokens [most + 1, rows]: the first are given, each step writes the next.
// positions [rows] are those of the first tokens, and move on; the rest as in `quantbench_layers`.
int64_t quantbench_steps(const Layer* layers, const Cached* caches, const Shape* s, const Ends* ends, int64_t rows,
                         int64_t* positions, int64_t capacity, const int64_t* stops, int64_t stop_count, int64_t most,
                         int64_t* tokens) {
    const Operand &embedding = ends->embedding.parts[0], &head = ends->head.parts[0];
    const Scratch x(rows * s->hidden), normed(rows * s->hidden), logits(rows * head.outputs);
    for (int64_t step = 0; step < most; ++step, tokens += rows) {
        quantbench_rows(static_cast<int>(embedding.kind), embedding.inputs, embedding.outputs, embedding.data,
                        embedding.scale, embedding.zero, embedding.group, tokens, rows, x.data);
        quantbench_layers(layers, caches, s, rows, positions, nullptr, capacity, x.data);
        quantbench_norm(x.data, ends->norm, rows, s->hidden, s->eps, normed.data);
        multiply(ends->head, normed.data, rows, nullptr, logits.data);
        bool last = false;
        for (int64_t i = 0; i < rows; ++i) {
            const int64_t token = tokens[rows + i] = best_of(logits.data + i * head.outputs, head.outputs);
            ++positions[i];
            last = last || token < 0 || std::find(stops, stops + stop_count, token) != stops + stop_count;
        }
        if (last) return step + 1;
    }
    return most;
}

}  // extern "C"
