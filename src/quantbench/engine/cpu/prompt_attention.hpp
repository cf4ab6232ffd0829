// Causal attention within whole prompts, float32: blocks of a few queries, scores kept for a block at a time.
// A query's result depends on its own prompt alone, in an order that its position fixes.
#pragma once

#include "product.hpp"
#include "rows.hpp"

namespace {

constexpr int QUERIES = TILE_ROWS;
constexpr int KEYS = 4 * W;  // scored together

struct Prompts {
    float* qkv;  // [tokens, (heads + 2 kv_heads) * dim]
    int64_t count, heads, kv_heads, dim, window;
    float cap;  // of scores; 0 is none
    const int64_t *begins, *rows;  // [count + 1] first tokens; [count] rows of the cache
    int64_t width() const { return (heads + 2 * kv_heads) * dim; }
    int64_t length(int64_t prompt) const { return begins[prompt + 1] - begins[prompt]; }
    int64_t padded(int64_t prompt) const { return (length(prompt) + KEYS - 1) / KEYS * KEYS; }
};

// Keys and values of one head of one prompt, [tokens, dim] with a row every `stride` floats, so that they are
// read one after another: keys [padded / KEYS, dim, KEYS], zero behind the last; values [tokens, dim].
void lay_out(const float* from, const float* values, int64_t length, int64_t padded, int64_t stride, int64_t dim,
             float* keys_out, float* values_out) {
    for (int64_t j = 0; j < padded; ++j) {
        float* to = keys_out + j / KEYS * KEYS * dim + j % KEYS;
        for (int64_t d = 0; d < dim; ++d) to[d * KEYS] = j < length ? from[j * stride + d] : 0.0f;
    }
    for (int64_t j = 0; j < length; ++j) std::memcpy(values_out + j * dim, values + j * stride, dim * sizeof(float));
}

// R queries times KEYS keys: scores[i * room + 0..KEYS).
template <int R>
inline void score_block(const float* q, int64_t stride, const float* keys, int64_t dim, float factor, float* scores,
                        int64_t room) {
    vec acc[R][4] = {};
    for (int64_t d = 0; d < dim; ++d) {
        vec k[4];
        for (int v = 0; v < 4; ++v) k[v] = load(keys + d * KEYS + v * W);
        for (int i = 0; i < R; ++i) {
            const vec query = fill(q[i * stride + d]);
            for (int v = 0; v < 4; ++v) acc[i][v] = multiply_add(query, k[v], acc[i][v]);
        }
    }
    for (int i = 0; i < R; ++i)
        for (int v = 0; v < 4; ++v) store(scores + i * room + v * W, acc[i][v] * factor);
}

// scores [0, end) -> weights of [begin, end), not yet divided by their sum, which is returned; the rest
// within [0, room) becomes zero.
inline float weigh(float* scores, int64_t begin, int64_t end, int64_t room) {
    const float least = -INFINITY;
    for (int64_t j = 0; j < begin; ++j) scores[j] = least;
    for (int64_t j = end; j < room; ++j) scores[j] = least;
    vec high = fill(least), total = {};
    for (int64_t j = 0; j < room; j += W) {
        const vec s = load(scores + j);
        high = s > high ? s : high;
    }
    float top = high[0];
    for (int i = 1; i < W; ++i) top = high[i] > top ? high[i] : top;
    for (int64_t j = 0; j < room; j += W) {
        const vec s = load(scores + j), e = exponential(s - top);
        const vec kept = s > fill(least) ? e : vec{};
        store(scores + j, kept);
        total += kept;
    }
    return sum(total);
}

// out rows of V vectors = weights [R, length of `room`] times values, over `factors`.
template <int R, int V>
inline void mix_block(const float* weights, int64_t room, int64_t length, const float* values, int64_t dim,
                      const float* factors, float* out, int64_t out_stride) {
    vec acc[R][V] = {};
    for (int64_t j = 0; j < length; ++j) {
        vec value[V];
        for (int v = 0; v < V; ++v) value[v] = load(values + j * dim + v * W);
        for (int i = 0; i < R; ++i) {
            const vec weight = fill(weights[i * room + j]);
            for (int v = 0; v < V; ++v) acc[i][v] = multiply_add(weight, value[v], acc[i][v]);
        }
    }
    for (int i = 0; i < R; ++i)
        for (int v = 0; v < V; ++v) store(out + i * out_stride + v * W, acc[i][v] * factors[i]);
}

// One head of one prompt: its keys and values as `lay_out` makes them.
struct Head {
    int64_t prompt, head;
    const float *keys, *values;
};

// Queries first..first+R of one head; `scores` [R, padded].
template <int R>
void attend_block(const Prompts& p, const Head& h, int64_t first, float* scores, float* out) {
    const int64_t stride = p.width(), dim = p.dim, last = first + R, out_stride = p.heads * dim;
    const int64_t start = p.window > 0 && first + 1 > p.window ? (first + 1 - p.window) / KEYS * KEYS : 0;
    const int64_t room = (last - start + KEYS - 1) / KEYS * KEYS;
    const float* queries = p.qkv + (p.begins[h.prompt] + first) * stride + h.head * dim;
    const float factor = 1.0f / std::sqrt(static_cast<float>(dim));
    for (int64_t j = 0; j < room; j += KEYS)
        score_block<R>(queries, stride, h.keys + (start + j) * dim, dim, factor, scores + j, room);
    if (p.cap > 0)
        for (int64_t j = 0; j < R * room; j += W) store(scores + j, capped(load(scores + j), p.cap));
    float factors[R];
    for (int i = 0; i < R; ++i) {
        const int64_t end = first + i + 1, begin = p.window > 0 && end > p.window ? end - p.window : 0;
        factors[i] = 1.0f / weigh(scores + i * room, begin > start ? begin - start : 0, end - start, room);
    }
    const float* values = h.values + start * dim;
    float* to = out + (p.begins[h.prompt] + first) * out_stride + h.head * dim;
    int64_t d = 0;
    for (; d + 4 * W <= dim; d += 4 * W)
        mix_block<R, 4>(scores, room, last - start, values + d, dim, factors, to + d, out_stride);
    for (; d < dim; d += W)
        mix_block<R, 1>(scores, room, last - start, values + d, dim, factors, to + d, out_stride);
}

void attend_queries(const Prompts& p, const Head& h, int64_t first, float* scores, float* out) {
    const int64_t end = p.length(h.prompt);
    if (end - first >= QUERIES) return attend_block<QUERIES>(p, h, first, scores, out);
    for (; first + 2 <= end; first += 2) attend_block<2>(p, h, first, scores, out);
    if (first < end) attend_block<1>(p, h, first, scores, out);
}

// All heads of one prompt.
void attend_prompt(const Prompts& p, int64_t prompt, float* out) {
    const int64_t length = p.length(prompt), padded = p.padded(prompt), groups = p.heads / p.kv_heads;
    const int64_t blocks = (length + QUERIES - 1) / QUERIES, share = p.dim * padded;
    const Scratch keys(p.kv_heads * share), values(p.kv_heads * share);
#pragma omp parallel if (length * length * p.heads * p.dim > FEW_PRODUCTS)
    {
        const Scratch scores(QUERIES * padded);
#pragma omp for schedule(static)
        for (int64_t h = 0; h < p.kv_heads; ++h) {
            const float* first = p.qkv + p.begins[prompt] * p.width() + (p.heads + h) * p.dim;
            lay_out(first, first + p.kv_heads * p.dim, length, padded, p.width(), p.dim, keys.data + h * share,
                    values.data + h * share);
        }
#pragma omp for collapse(2) schedule(dynamic, 8)
        for (int64_t h = 0; h < p.heads; ++h)
            for (int64_t b = blocks - 1; b >= 0; --b) {  // the longest first
                const int64_t shared = h / groups * share;
                const Head head{prompt, h, keys.data + shared, values.data + shared};
                attend_queries(p, head, b * QUERIES, scores.data, out);
            }
    }
}

}  // namespace
