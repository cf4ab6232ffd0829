// Products of prompts with packed weights in integer arithmetic (AVX-512 VNNI): sums within a group of inputs
// are exact, groups are added in float32 in their order. So an element depends on its row and its column
// alone, whatever stands beside them.
#pragma once

#include "panels.hpp"
#include "rows.hpp"
#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef QUANTBENCH_VNNI

namespace {

inline int team() {
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

// Sums of 16 rows of weights from `n` on: times their scales (int8), plus bias; `mask` are those there are.
template <class B>
inline __m512 settled(const Problem& p, int64_t n, vec total, __mmask16 mask) {
    __m512 y = (__m512)total;
    if constexpr (!B::SCALES) y = _mm512_mul_ps(y, _mm512_maskz_loadu_ps(mask, static_cast<const float*>(p.scale) + n));
    return p.bias ? _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, p.bias + n)) : y;
}

// The outputs of `rows` rows of a panel. Kept apart: where it is inlined, gcc 12 holds the sums of the products before
// it in memory.
template <class B>
[[gnu::noinline]] void deliver(const Problem& p, int64_t m, int64_t n, int64_t rows, const vec (*totals)[2]) {
    for (const int64_t end = m + rows; m < end; ++m, ++totals) {
        if (p.gate >= 0) {
            const int64_t half = p.n / 2;
            const __mmask16 mask = mask_of(half - n);
            const vec gate = (vec)settled<B>(p, n, (*totals)[0], mask);
            const vec up = (vec)settled<B>(p, n + half, (*totals)[1], mask);
            _mm512_mask_storeu_ps(p.y + m * half + n, mask, (__m512)(activate(p.gate, gate) * up));
            continue;
        }
        for (int v = 0; v < 2 && n + v * W < p.n; ++v) {
            const int64_t column = n + v * W, at = m * p.n + column;
            const __mmask16 mask = mask_of(p.n - column);
            __m512 y = settled<B>(p, column, (*totals)[v], mask);
            if (p.residual) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, p.residual + at));
            _mm512_mask_storeu_ps(p.y + at, mask, y);
        }
    }
}

// `steps` words of R rows times PANEL outputs, exact.
template <class B, int R>
inline void dot_group(const int32_t* x, const float* w, int64_t steps, const int32_t* starts, __m512i (&sums)[R][2]) {
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) sums[i][0] = sums[i][1] = _mm512_set1_epi32(starts[i]);
    for (int64_t s = 0; s < steps; ++s, x += R, w += PANEL) {
        const __m512i left = _mm512_load_si512(w), right = _mm512_load_si512(w + W);
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            const __m512i value = _mm512_set1_epi32(x[i]);
            B::dot(sums[i][0], left, value);
            B::dot(sums[i][1], right, value);
        }
    }
}

template <class B, int R>
void tile_rows(const Problem& p, const Codes& c, const Panel& panel, int64_t m, int64_t n) {
    vec totals[R][2] = {};
    const int32_t* x = c.words() + m * (c.k * B::BYTES / 4);
    const float* w = panel.words.data;
    for (int64_t g = 0; g < c.groups; ++g) {
        const int64_t at = m * c.groups + g * R, steps = c.inputs(g) * B::BYTES / 4;
        __m512i sums[R][2];
        dot_group<B, R>(x, w, steps, c.starts() + at, sums);
        x += steps * R;
        w += steps * PANEL;
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
                vec part = to_floats((ivec)sums[i][v]);
                const int64_t column = g * PANEL + v * W;
                if constexpr (B::SCALES) part = part * load(panel.scales.data + column);
                const __m512 scale = _mm512_set1_ps(c.scales.data[at + i]);
                totals[i][v] = (vec)_mm512_fmadd_ps((__m512)part, scale, (__m512)totals[i][v]);
                if constexpr (B::ZEROS)
                    totals[i][v] = (vec)_mm512_fmadd_ps((__m512)load(panel.zeros.data + column),
                                                        _mm512_set1_ps(c.sums.data[at + i]), (__m512)totals[i][v]);
            }
    }
    deliver<B>(p, m, n, m + R < p.rows ? R : p.rows - m, totals);
}

// Share m / rows of the weights that this thread will most likely lay out next.
template <class B>
inline void expect_panel(const Problem& p, const Codes& c, int64_t n, int64_t m) {
    const int64_t row = B::row_bytes(p.k), share = W * row * TILE / c.rows + 64;
    const char* data = static_cast<const char*>(p.data);
    for (int v = 0; v < 2; ++v) {
        const int64_t begin = row_of(p, n, v) * row, from = begin + m / TILE * share;
        for (int64_t at = from; at < from + share && at < begin + W * row && at < p.n * row; at += 64)
            __builtin_prefetch(data + at, 0, 2);
    }
}

template <class B>
void panel_rows(const Problem& p, const Codes& c, const Panel& panel, int64_t n, int64_t next) {
    int64_t m = 0;
    for (; m + TILE <= c.rows; m += TILE) {
        expect_panel<B>(p, c, next, m);
        tile_rows<B, TILE>(p, c, panel, m, n);
    }
    if (m < c.rows) tile_rows<B, TILE / 2>(p, c, panel, m, n);
}

template <class B>
void multiply_prompt(const Problem& p) {
    const Codes codes(p.rows, p.k, B::span(p.group), B::BYTES);
    encode<B>(p, codes);
#pragma omp parallel if (p.rows * p.n * p.k > FEW_PRODUCTS || p.n * p.k > FEW_WEIGHTS)
    {
        Panel panel(p.k, codes.groups, B::BYTES);
        const int64_t outputs = p.gate < 0 ? p.n : p.n / 2, step = p.gate < 0 ? PANEL : W;
#pragma omp for schedule(dynamic, 1)
        for (int64_t n = 0; n < outputs; n += step) {
            B::fill(p, codes, n, panel);
            panel_rows<B>(p, codes, panel, n, n + team() * step);
        }
    }
}

}  // namespace

#endif
