// Prompts' activations as small integers: one scale per token and group of inputs, in the order in which
// `prompt_product.hpp` reads them. Its AVX-512 VNNI instructions are the only reason for this file.
#pragma once

#include "product.hpp"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512F__) && !defined(QUANTBENCH_PORTABLE)
#define QUANTBENCH_VNNI 1

namespace {

constexpr int MOST_SPAN = 128;  // inputs that share a scale, at most
constexpr int TILE = 8;  // rows multiplied together; the last tile of a call has 4 or 8

// Rows of tile t start at t * TILE; with R rows in it, all arrays hold its groups one after another, and
// within a group the R rows' values side by side: `data` four bytes of a row, then those of the next row.
struct Codes {
    int64_t rows, k, span, groups;  // rows padded to a multiple of 4; `span` inputs share a scale
    Scratch data, scales, sums, offsets;
    Codes(int64_t count, int64_t k, int64_t span, int bytes)
        : rows((count + 3) / 4 * 4), k(k), span(span), groups((k + span - 1) / span),
          data(rows * k * bytes / 4), scales(rows * groups), sums(rows * groups), offsets(rows * groups) {}
    int64_t inputs(int64_t g) const { return k - g * span < span ? k - g * span : span; }  // of group g
    int32_t* words() const { return reinterpret_cast<int32_t*>(data.data); }
    int32_t* starts() const { return reinterpret_cast<int32_t*>(offsets.data); }
};

inline void transpose(__m512i* r) {  // 16 x 16 words
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; ++j) {
            r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
            r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; ++j) {
            t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; ++j) {
        r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
    }
}

// The first `there` of 16.
inline __mmask16 mask_of(int64_t there) { return static_cast<__mmask16>(there >= W ? 0xffff : (1 << there) - 1); }

// `words` words of each of 16 rows of bytes, turned: use(word, its values in the 16 rows). Rows from `end` on do not
// exist and are zero.
template <class Use>
inline void turn_rows(const void* data, int64_t stride, int64_t row, int64_t end, int64_t words, Use use) {
    for (int64_t at = 0; at < words; at += 16) {
        const int64_t width = words - at < 16 ? words - at : 16;
        const char* bytes = static_cast<const char*>(data) + at * 4;
        __m512i r[16];
        for (int i = 0; i < 16; ++i)
            r[i] = row + i < end ? _mm512_maskz_loadu_epi32(mask_of(width), bytes + (row + i) * stride)
                                 : _mm512_setzero_si512();
        transpose(r);
        for (int64_t j = 0; j < width; ++j) use(at + j, r[j]);
    }
}

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
inline void encode_group(const float* x, int64_t count, int32_t* words, float* scale, float* total, int32_t* start) {
    float top;
    survey(x, count, &top, total);
    const float inverse = top > 0 ? B::LIMIT / top : 0.0f;
    *scale = top / B::LIMIT + (*total - *total);  // what is not finite stays so
    __m512i sums = _mm512_setzero_si512();
    for (int64_t i = 0; i < count; i += W) {
        const __m512i q = _mm512_cvtps_epi32((__m512)(load(x + i) * inverse));
        sums = _mm512_add_epi32(sums, q);
        words += B::pack(q, words);
    }
    *start = -B::OFFSET * _mm512_reduce_add_epi32(sums);
}

template <class B>
void encode_tile(const Problem& p, const Codes& c, int64_t first) {
    const int64_t high = c.rows - first < TILE ? c.rows - first : TILE;
    int32_t* to = c.words() + first * c.k * B::BYTES / 4;
    alignas(64) int32_t codes[TILE][MOST_SPAN * B::BYTES / 4] = {};  // of one group, row by row
    for (int64_t g = 0; g < c.groups; ++g) {
        const int64_t begin = g * c.span, count = c.inputs(g);
        for (int64_t i = 0; i < high; ++i) {
            const int64_t at = first * c.groups + g * high + i;
            c.scales.data[at] = c.sums.data[at] = 0;
            c.starts()[at] = 0;
            if (first + i < p.rows)
                encode_group<B>(p.x + (first + i) * c.k + begin, count, codes[i], c.scales.data + at,
                                c.sums.data + at, c.starts() + at);
        }
        turn_rows(codes, sizeof codes[0], 0, high, count * B::BYTES / 4, [&](int64_t, __m512i rows) {
            _mm512_mask_storeu_epi32(to, mask_of(high), rows);
            to += high;
        });
    }
}

template <class B>
void encode(const Problem& p, const Codes& c) {
#pragma omp parallel for schedule(static) if (c.rows * c.k > FEW_FLOATS)
    for (int64_t first = 0; first < c.rows; first += TILE) encode_tile<B>(p, c, first);
}

}  // namespace

#endif
