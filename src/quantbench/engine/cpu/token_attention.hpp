// Attention of tokens that follow what is in the cache: norms, rotation, keys and values into the cache, and each
// query over the positions up to its own.
#pragma once

#include "product.hpp"
#include "rows.hpp"

namespace {

// Token i stands at positions[i] of cache row i; with `places` of cache row places[i].
struct NewTokens {
    float* qkv;  // [count, (heads + 2 kv_heads) * dim], overwritten
    int64_t count, heads, kv_heads, dim;
    const int64_t *positions, *places;
    const float *q_norm, *k_norm;  // [dim], null where there is none
    const float* smoothing;        // [2, heads + kv_heads, dim], see `smooth`; null where there is none
    float eps;
    int64_t capacity, window;
    float cap;

    int64_t width() const { return (heads + 2 * kv_heads) * dim; }
    // What stands at x, head h of those that are turned, of a token at a position.
    void turn(float* x, int64_t h, int64_t at, const Cached& c) const {
        const float* norm = h < heads ? q_norm : k_norm;
        if (norm) norm_row(x, norm, dim, eps, x);
        rotate(x, c.cos + at * dim, c.sin + at * dim, dim);
        if (smoothing) smooth(x, smoothing + h * dim, (heads + kv_heads) * dim, dim);
    }
    // The first position of head h in the row of token b.
    int64_t begin(int64_t b, int64_t h) const { return ((places ? places[b] : b) * kv_heads + h) * capacity; }
};

// The key and value of head h of token b, into the cache.
template <class Cells>
void keep(const NewTokens& t, const Cached& c, const Cells& keys, const Cells& values, int64_t b, int64_t h) {
    const int64_t at = t.positions[b];
    float *key = t.qkv + b * t.width() + (t.heads + h) * t.dim, *value = key + t.kv_heads * t.dim;
    t.turn(key, t.heads + h, at, c);
    keys.from(t.begin(b, h) + at).put(key);
    values.from(t.begin(b, h) + at).put(value);
}

// All queries of head h of token b; `scores` has room for the capacity and a vector.
template <class Cells>
void attend_group(const NewTokens& t, const Cached& c, const Cells& keys, const Cells& values, int64_t b, int64_t h,
                  float* scores, float* out) {
    const int64_t groups = t.heads / t.kv_heads, at = t.positions[b], end = at + 1;
    const int64_t begin = t.window > 0 && end > t.window ? end - t.window : 0, first = t.begin(b, h) + begin;
    for (int64_t g = 0; g < groups; ++g) {
        float* query = t.qkv + b * t.width() + (h * groups + g) * t.dim;
        t.turn(query, h * groups + g, at, c);
        attend_head(query, keys.from(first), values.from(first), end - begin, t.dim, t.cap, scores,
                    out + (b * t.heads + h * groups + g) * t.dim);
    }
}

template <class Cells>
void attend_tokens(const NewTokens& t, const Cached& c, const Cells& keys, const Cells& values, float* out) {
    int64_t products = 0;
    for (int64_t b = 0; b < t.count; ++b) products += 2 * t.positions[b] * t.heads * t.dim;
    const bool many = products > FEW_PRODUCTS / 4;
    if (t.places)  // all are there before any is read
        in_parts(many, t.count * t.kv_heads, [&](int64_t at, int64_t end) {
            for (; at < end; ++at) keep(t, c, keys, values, at / t.kv_heads, at % t.kv_heads);
        });
    in_turns(many, t.count * t.kv_heads, t.capacity + W, [&](int64_t at, float* scores) {
        const int64_t b = at / t.kv_heads, h = at % t.kv_heads;
        if (!t.places) keep(t, c, keys, values, b, h);
        attend_group(t, c, keys, values, b, h, scores, out);
    });
}

}  // namespace
