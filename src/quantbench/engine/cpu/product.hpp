// Products of float32 rows with packed weights. An element's sum runs in the same order however many rows
// there are: by vectors along the inputs, then across the vector.
#pragma once

#include "blocks.hpp"
#include "parts.hpp"
#include "stored_readers.hpp"

#include <utility>

namespace {

// Work below some 50 microseconds stays on one thread: on a busy machine a second one may come much later.
constexpr int64_t FEW_WEIGHTS = 1 << 19;    // read by one thread in that time
constexpr int64_t FEW_PRODUCTS = 1 << 22;   // multiplied and added by one thread in that time
constexpr int64_t FEW_FLOATS = 1 << 16;     // passed through a norm or a gate

struct Problem {
    const float* x;  // [rows, k]; in the order in which a kind's codes come
    const void *data, *scale, *zero;
    const float *bias, *residual;
    float* y;  // [rows, n], or [rows, n / 2] where gated
    int64_t rows, k, n, group;
    int gate = -1;  // of prompts: outputs are gates, then ups, and this activation joins them; -1 is none
    int64_t stride = n;  // from a row of y, and of the residual, to the next
};

// Sums, scales and stores NR neighbouring elements of one row.
template <class R, int NR>
inline void finish(const Problem& p, int64_t m, int64_t n, const vec* totals) {
    float sums[NR];
    if constexpr (NR == 1)
        sums[0] = sum(totals[0]);
    else
        for (int j = 0; j < NR; j += 4) sum_four(totals + j, sums + j);
    for (int j = 0; j < NR; ++j) {
        // an explicit fused multiply-add, so that it is the same wherever this is inlined
        const float value = std::fma(sums[j], R::scale(p.scale, n + j), p.bias ? p.bias[n + j] : 0.0f);
        const int64_t at = m * p.stride + n + j;
        p.y[at] = p.residual ? value + p.residual[at] : value;
    }
}

// Inputs of a group of weights.
template <class R>
inline int64_t span_of(const Problem& p) {
    if constexpr (R::GROUPED) return R::span(p.group);
    return p.k;
}

template <class R>
inline R reader_of(const Problem& p, int64_t n) {
    return R(p.data, p.scale, p.zero, p.k, p.group, n);
}

// MR rows of x times sizeof...(J) rows of weights, converting as it goes: for few rows, where reading weights is all.
// A vector of weights is used where it is made: the registers have no room for those of all rows.
template <class R, int MR, int... J>
inline void tile_rows_direct(const Problem& p, int64_t m, int64_t n, std::integer_sequence<int, J...>) {
    constexpr int NR = sizeof...(J);
    vec acc[MR][NR] = {};
    R readers[NR] = {reader_of<R>(p, n + J)...};
    const float* x = p.x + m * p.k;
    const int64_t span = span_of<R>(p), k = p.k;
    for (int64_t start = 0, g = 0; start < k; start += span, ++g) {
        if constexpr (R::GROUPED) (readers[J].start(g), ...);
        for (int64_t at = start; at < start + span; at += R::STEP)
            (readers[J].next(at, [&](vec w, int v) __attribute__((always_inline)) {
                for (int i = 0; i < MR; ++i)
                    acc[i][J] = multiply_add(load(x + i * k + at + v * W), w, acc[i][J]);
            }), ...);
    }
    for (int i = 0; i < MR; ++i) finish<R, NR>(p, m + i, n, acc[i]);
}

template <class R, int MR, int NR>
void tile_direct(const Problem& p, int64_t m, int64_t n) {
    tile_rows_direct<R, MR>(p, m, n, std::make_integer_sequence<int, NR>());
}

// Floats of `count` weight rows, [count, k], in the order in which `tile_direct` meets them.
template <class R>
void unpack(const Problem& p, int64_t n, int count, float* out) {
    const int64_t span = span_of<R>(p);
    for (int j = 0; j < count; ++j, out += p.k) {
        R reader = reader_of<R>(p, n + j);
        for (int64_t start = 0, g = 0; start < p.k; start += span, ++g) {
            if constexpr (R::GROUPED) reader.start(g);
            for (int64_t k = start; k < start + span; k += R::STEP)
                reader.next(k, [&](vec w, int v) { store(out + k + v * W, w); });
        }
    }
}

template <class R, int MR, int NR>
void tile_unpacked(const Problem& p, const float* weights, int64_t m, int64_t n) {
    vec acc[MR][NR] = {};
    const float* x = p.x + m * p.k;
    for (int64_t k = 0; k < p.k; k += W) {
        vec xs[MR];
        for (int i = 0; i < MR; ++i) xs[i] = in_register(load(x + i * p.k + k));
        for (int j = 0; j < NR; ++j) {
            const vec w = in_register(load(weights + j * p.k + k));
            for (int i = 0; i < MR; ++i) acc[i][j] = multiply_add(xs[i], w, acc[i][j]);
        }
    }
    for (int i = 0; i < MR; ++i) finish<R, NR>(p, m + i, n, acc[i]);
}

template <class R, int NR>
void rows_direct(const Problem& p, int64_t n) {
    switch (p.rows) {
        case 1: return tile_direct<R, 1, NR>(p, 0, n);
        case 2: return tile_direct<R, 2, NR>(p, 0, n);
        case 3: return tile_direct<R, 3, NR>(p, 0, n);
    }
    if constexpr (TILE_ROWS >= 4) return tile_direct<R, 4, NR>(p, 0, n);
    tile_direct<R, 2, NR>(p, 0, n);
    tile_direct<R, 2, NR>(p, 2, n);
}

template <class R, int MR>
void rows_unpacked(const Problem& p, const float* weights, int64_t m, int64_t n, int count) {
    int j = 0;
    for (; j + 4 <= count; j += 4) tile_unpacked<R, MR, 4>(p, weights + j * p.k, m, n + j);
    for (; j < count; ++j) tile_unpacked<R, MR, 1>(p, weights + j * p.k, m, n + j);
}

// All rows of x times `count` unpacked weight rows: TILE_ROWS of x stay close while the weights pass by.
template <class R>
void block_unpacked(const Problem& p, const float* weights, int64_t n, int count) {
    int64_t m = 0;
    for (; m + TILE_ROWS <= p.rows; m += TILE_ROWS) rows_unpacked<R, TILE_ROWS>(p, weights, m, n, count);
    for (; m + 2 <= p.rows; m += 2) rows_unpacked<R, 2>(p, weights, m, n, count);
    if (m < p.rows) rows_unpacked<R, 1>(p, weights, m, n, count);
}

template <class R>
void multiply_few(const Problem& p) {
    constexpr int NR = 4;
    const int64_t blocks = p.n / NR;
    const int64_t pairs = p.rows == 1 ? p.n / (2 * NR) : 0;  // eight chains hide the latency of one row
    in_parts(p.n * p.k > FEW_WEIGHTS, blocks - pairs, [&](int64_t first, int64_t end) {
        for (; first < end && first < pairs; ++first) tile_direct<R, 1, 2 * NR>(p, 0, first * 2 * NR);
        for (; first < end; ++first) rows_direct<R, NR>(p, (first + pairs) * NR);
    });
    for (int64_t n = blocks * NR; n < p.n; ++n) rows_direct<R, 1>(p, n);
}

template <class R>
void multiply_many(const Problem& p) {
    constexpr int NB = 32;
    in_parts(p.rows * p.n * p.k > FEW_PRODUCTS, (p.n + NB - 1) / NB, [&](int64_t first, int64_t end) {
        const Scratch weights(NB * p.k);
        for (int64_t n = first * NB; n < p.n && n < end * NB; n += NB) {
            const int count = static_cast<int>(n + NB <= p.n ? NB : p.n - n);
            unpack<R>(p, n, count, weights.data);
            block_unpacked<typename R::Unpacked>(p, weights.data, n, count);
        }
    });
}

template <class R>
void multiply(const Problem& p) {
    p.rows <= 4 ? multiply_few<R>(p) : multiply_many<R>(p);
}

}  // namespace
