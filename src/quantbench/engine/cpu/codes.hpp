// Prompts' activations as small integers: one scale per token and group of inputs, in the order in which
// `prompt_product.hpp` reads them. Its AVX-512 VNNI instructions are the only reason for this file.
#pragma once

#include "product.hpp"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512F__) && !defined(QUANTBENCH_PORTABLE)
#define QUANTBENCH_VNNI 1

namespace {

constexpr int TILE = 12;  // rows multiplied together; the last tile of a call has 4, 8 or 12

// Rows of tile t start at t * TILE; with R rows in it, all arrays hold its groups one after another, and
// within a group the R rows' values side by side: `data` four bytes of a row, then those of the next row.
struct Codes {
    int64_t rows, k, span, groups;  // rows padded to a multiple of 4; `span` inputs share a scale
    Scratch data, scales, sums, offsets;
    Codes(int64_t count, int64_t k, int64_t span, int bytes)
        : rows((count + 3) / 4 * 4), k(k), span(span), groups((k + span - 1) / span),
          data(rows * k * bytes / 4), scales(rows * groups), sums(rows * groups), offsets(rows * groups) {}
    int32_t* words() const { return reinterpret_cast<int32_t*>(data.data); }
    int32_t* starts() const { return reinterpret_cast<int32_t*>(offsets.data); }
};

inline float greatest(vec v) { return _mm512_reduce_max_ps((__m512)v); }
inline vec magnitude(vec v) { return (vec)_mm512_abs_ps((__m512)v); }

// Largest magnitude and sum of `count` floats, a multiple of 16.
inline void survey(const float* x, int64_t count, float* top, float* total) {
    vec high = {}, all = {};
    for (int64_t i = 0; i < count; i += W) {
        const vec v = load(x + i);
        high = (vec)_mm512_max_ps((__m512)high, (__m512)magnitude(v));
        all += v;
    }
    *top = greatest(high);
    *total = sum(all);
}

// One group of one row: codes of 8 bits (or 16: B::BYTES 2), the scale, and what the sums start from.
template <class B>
inline void encode_group(const float* x, int64_t count, int64_t stride, int32_t* words, float* scale,
                         float* total, int32_t* start) {
    float top;
    survey(x, count, &top, total);
    const float inverse = top > 0 ? B::LIMIT / top : 0.0f;
    *scale = top / B::LIMIT + (*total - *total);  // what is not finite stays so
    __m512i sums = _mm512_setzero_si512();
    alignas(64) int32_t out[8];
    for (int64_t i = 0; i < count; i += W) {
        const __m512i q = _mm512_cvtps_epi32((__m512)(load(x + i) * inverse));
        sums = _mm512_add_epi32(sums, q);
        const int n = B::pack(q, out);
        for (int j = 0; j < n; ++j, words += stride) *words = out[j];
    }
    *start = -B::OFFSET * _mm512_reduce_add_epi32(sums);
}

template <class B>
void encode_tile(const Problem& p, const Codes& c, int64_t first) {
    const int64_t high = c.rows - first < TILE ? c.rows - first : TILE;
    const int64_t words = c.k * B::BYTES / 4, group_words = c.span * B::BYTES / 4;
    for (int64_t i = 0; i < high; ++i)
        for (int64_t g = 0; g < c.groups; ++g) {
            const int64_t at = first * c.groups + g * high + i, begin = g * c.span;
            const int64_t count = c.k - begin < c.span ? c.k - begin : c.span;
            int32_t* to = c.words() + first * words + g * group_words * high + i;
            if (first + i < p.rows) {
                encode_group<B>(p.x + (first + i) * c.k + begin, count, high, to, c.scales.data + at,
                                c.sums.data + at, c.starts() + at);
                continue;
            }
            for (int64_t j = 0; j < count * B::BYTES / 4; ++j) to[j * high] = 0;
            c.scales.data[at] = c.sums.data[at] = 0;
            c.starts()[at] = 0;
        }
}

template <class B>
void encode(const Problem& p, const Codes& c) {
#pragma omp parallel for schedule(static) if (c.rows * c.k > FEW_FLOATS)
    for (int64_t first = 0; first < c.rows; first += TILE) encode_tile<B>(p, c, first);
}

}  // namespace

#endif
