// What is done to single rows: norm, rotation, activation, and attention of one query.
#pragma once

#include "kv_cells.hpp"

#include <algorithm>

namespace {

inline vec activate(int kind, vec x) {
    if (kind == 0) return x / (exponential(-x) + 1.0f);
    if (kind == 2) {  // x * (1 + tanh(u)) / 2 = x / (1 + exp(-2u))
        const vec u = (x + x * x * x * 0.044715f) * 0.7978845608028654f;
        return x / (exponential(u * -2.0f) + 1.0f);
    }
    for (int i = 0; i < W; ++i)
        x[i] = kind == 1 ? 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.7071067811865476f)) : (x[i] > 0 ? x[i] : 0.0f);
    return x;
}

// cap * tanh(x / cap).
inline vec capped(vec x, float cap) { return (1.0f - 2.0f / (exponential(x * (2.0f / cap)) + 1.0f)) * cap; }

float dot(const float* a, const float* b, int64_t length) {
    vec total = {};
    for (int64_t i = 0; i < length; i += W) total = multiply_add(load(a + i), load(b + i), total);
    return sum(total);
}

void norm_row(const float* x, const float* weight, int64_t length, float eps, float* y) {
    const float inverse = 1.0f / std::sqrt(dot(x, x, length) / length + eps);
    for (int64_t i = 0; i < length; i += W) store(y + i, load(x + i) * inverse * load(weight + i));
}

void rotate(float* x, const float* cos, const float* sin, int64_t length) {
    const int64_t half = length / 2;
    for (int64_t i = 0; i < half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a * cos[i] + b * sin[i];
        x[i + half] = b * cos[i + half] + a * sin[i + half];
    }
}

// A rotated head less its offset, times its factors, which lie `stride` behind the offset; engine/key_smoothing.py.
void smooth(float* x, const float* offset, int64_t stride, int64_t length) {
    for (int64_t i = 0; i < length; i += W)
        store(x + i, (load(x + i) - load(offset + i)) * load(offset + stride + i));
}

// scores [length] = query . keys * 1 / sqrt(dim); the largest of them is returned.
template <class Cells>
float score(const float* query, const Cells& keys, int64_t length, int64_t dim, float* scores) {
    const float factor = 1.0f / std::sqrt(static_cast<float>(dim));
    float top = -INFINITY;
    for (int64_t i = 0; i < length; i += 4) {
        vec totals[4] = {};
        const int count = static_cast<int>(length - i < 4 ? length - i : 4);
        if (count == 4)
            for (int64_t d = 0; d < dim; d += W) {
                const vec q = load(query + d);
                for (int j = 0; j < 4; ++j) totals[j] = multiply_add(q, keys.at((i + j) * dim + d), totals[j]);
            }
        else
            for (int64_t d = 0; d < dim; d += W)
                for (int j = 0; j < count; ++j)
                    totals[j] = multiply_add(load(query + d), keys.at((i + j) * dim + d), totals[j]);
        float sums[4];
        sum_four(totals, sums);
        for (int j = 0; j < count; ++j) {
            scores[i + j] = sums[j] * factor * keys.scale(i + j);
            top = scores[i + j] > top ? scores[i + j] : top;
        }
    }
    return top;
}

// out [VECTORS * W] = sum over i of weights[i] * values[i * dim + first ...], times `factor`.
template <int VECTORS, class Cells>
void mix(const float* weights, const Cells& values, int64_t first, int64_t length, int64_t dim, float factor, float* out) {
    vec even[VECTORS] = {}, odd[VECTORS] = {};
    int64_t i = 0;
    for (; i + 2 <= length; i += 2)
        for (int v = 0; v < VECTORS; ++v) {
            even[v] = multiply_add(values.at(i * dim + first + v * W), fill(weights[i]), even[v]);
            odd[v] = multiply_add(values.at((i + 1) * dim + first + v * W), fill(weights[i + 1]), odd[v]);
        }
    for (int v = 0; v < VECTORS; ++v) {
        if (i < length) even[v] = multiply_add(values.at(i * dim + first + v * W), fill(weights[i]), even[v]);
        store(out + v * W, (even[v] + odd[v]) * factor);
    }
}

// Attention of one query over its row's keys and values [length, dim], scores capped where `cap` is not 0; `scores` has
// room for length + 16.
template <class Cells>
void attend_head(const float* query, const Cells& keys, const Cells& values, int64_t length, int64_t dim,
                 float cap, float* scores, float* out) {
    float top = score(query, keys, length, dim, scores);
    if (cap > 0) {
        for (int64_t i = 0; i < length; i += W) store(scores + i, capped(load(scores + i), cap));
        top = capped(fill(top), cap)[0];
    }
    for (int64_t i = length; i % W != 0; ++i) scores[i] = -INFINITY;
    vec total = {};
    for (int64_t i = 0; i < length; i += W) {
        vec e = exponential(load(scores + i) - top);
        for (int64_t j = length - i; j < W; ++j) e[j] = 0.0f;
        store(scores + i, e);
        total += e;
    }
    const float inverse = 1.0f / sum(total);
    values.scale_all(scores, length);
    int64_t d = 0;
    for (; d + 4 * W <= dim; d += 4 * W) mix<4>(scores, values, d, length, dim, inverse, out + d);
    for (; d < dim; d += W) mix<1>(scores, values, d, length, dim, inverse, out + d);
}

// The first place of the greatest of x; -1 where that is not finite, NaN counting as the greatest.
int64_t best_of(const float* x, int64_t length) {
    const int64_t whole = length / W * W;
    vec high = fill(-INFINITY), rest = {};
    for (int64_t i = 0; i < whole; i += W) {
        const vec v = load(x + i);
        high = v > high ? v : high;
        rest += v - v;
    }
    float top = -INFINITY, left = sum(rest);  // NaN where anything is not finite
    for (int i = 0; i < W; ++i) top = high[i] > top ? high[i] : top;
    for (int64_t i = whole; i < length; ++i) {
        top = x[i] > top ? x[i] : top;
        left += x[i] - x[i];
    }
    if (left != 0 && (!(std::fabs(top) < INFINITY) || std::any_of(x, x + length, [](float f) { return f != f; })))
        return -1;
    return std::find(x, x + length, top) - x;
}

}  // namespace
