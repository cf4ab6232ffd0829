// Packed weights of 32 outputs, laid out once a call for the integer products of prompts. Each kind says how
// wide its codes are, how activations are packed to meet them, and how a panel is filled.
#pragma once

#include "codes.hpp"

#ifdef QUANTBENCH_VNNI

namespace {

constexpr int PANEL = 2 * W;  // outputs side by side; where gated 16 gates, then their ups

// Row of the weights where half `v` of the panel that begins at output n begins.
inline int64_t row_of(const Problem& p, int64_t n, int v) { return n + v * (p.gate < 0 ? W : p.n / 2); }

// `words` [k * bytes / 4, PANEL]; `scales` and `zeros` [groups, PANEL] where a kind has them.
struct Panel {
    Scratch words, scales, zeros;
    Panel(int64_t k, int64_t groups, int bytes)
        : words(k * bytes / 4 * PANEL), scales(groups * PANEL), zeros(groups * PANEL) {}
};

// The instruction itself: around its intrinsic gcc 12 copies every sum twice a step.
inline void add_bytes(__m512i& sums, __m512i w, __m512i x) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(w), "v"(x));
}

inline int pack_bytes(__m512i q, int32_t* out) {
    _mm_store_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(q));
    return 4;
}

struct Bytes {  // int8 weights
    static constexpr int BYTES = 1, OFFSET = 128;
    static constexpr float LIMIT = 127;
    static constexpr bool SCALES = false, ZEROS = false;
    static int64_t row_bytes(int64_t k) { return k; }
    static int64_t span(int64_t) { return 64; }
    static int pack(__m512i q, int32_t* out) { return pack_bytes(q, out); }
    static void dot(__m512i& sums, __m512i w, __m512i x) { add_bytes(sums, w, x); }
    static void fill(const Problem& p, const Codes&, int64_t n, Panel& panel) {
        for (int v = 0; v < 2; ++v)
            turn_rows(p.data, p.k, row_of(p, n, v), p.n, p.k / 4, [&](int64_t word, __m512i rows) {
                _mm512_store_si512(panel.words.data + word * PANEL + v * W,
                                   _mm512_xor_si512(rows, _mm512_set1_epi8(-128)));
            });
    }
};

struct Nibbles {  // int4 weights: of eight inputs first the even ones, then the odd ones
    // Scale and zero of group `at` of row `row`, its place among all groups.
    static void affine(const Problem& p, int64_t, int64_t at, float* scale, float* zero) {
        *scale = half_to_float(static_cast<const uint16_t*>(p.scale)[at]);
        *zero = half_to_float(static_cast<const uint16_t*>(p.zero)[at]);
    }
    static constexpr int BYTES = 1, OFFSET = 8;
    static constexpr float LIMIT = 127;
    static constexpr bool SCALES = true, ZEROS = true;
    static int64_t row_bytes(int64_t k) { return k / 2; }
    static int64_t span(int64_t group) {
        return group <= MOST_SPAN ? group : group % MOST_SPAN == 0 ? MOST_SPAN : group % 64 == 0 ? 64 : 32;
    }
    static int pack(__m512i q, int32_t* out) {
        const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
        _mm_store_si128(reinterpret_cast<__m128i*>(out), _mm_shuffle_epi8(_mm512_cvtepi32_epi8(q), order));
        return 4;
    }
    static void dot(__m512i& sums, __m512i w, __m512i x) { add_bytes(sums, w, x); }
    static void fill(const Problem& p, const Codes& c, int64_t n, Panel& panel) { fill_as<Nibbles>(p, c, n, panel); }
    template <class K>
    static void fill_as(const Problem& p, const Codes& c, int64_t n, Panel& panel) {
        const __m512i low = _mm512_set1_epi8(15);
        for (int v = 0; v < 2; ++v)
            turn_rows(p.data, p.k / 2, row_of(p, n, v), p.n, p.k / 8, [&](int64_t word, __m512i rows) {
                float* to = panel.words.data + 2 * word * PANEL + v * W;
                _mm512_store_si512(to, _mm512_and_si512(rows, low));
                _mm512_store_si512(to + PANEL, _mm512_and_si512(_mm512_srli_epi32(rows, 4), low));
            });
        const int64_t groups = p.k / p.group;
        for (int64_t i = 0; i < PANEL; ++i)
            for (int64_t g = 0; g < c.groups; ++g) {
                const int64_t row = row_of(p, n, i / W) + i % W, at = row * groups + g * c.span / p.group;
                float *scale = panel.scales.data + g * PANEL + i, *zero = panel.zeros.data + g * PANEL + i;
                *scale = *zero = 0;
                if (row < p.n) K::affine(p, row, at, scale, zero);
            }
    }
};

struct DoubleNibbles : Nibbles {  // the same with double quantization
    static void affine(const Problem& p, int64_t row, int64_t at, float* scale, float* zero) {
        const auto* pair = static_cast<const uint8_t*>(p.zero) + 2 * at;
        const float by_row = static_cast<const float*>(p.scale)[row];
        *scale = static_cast<float>(pair[0]) * by_row;
        *zero = static_cast<float>((pair[1] - 128) * 16) * by_row;
    }
    static void fill(const Problem& p, const Codes& c, int64_t n, Panel& panel) {
        fill_as<DoubleNibbles>(p, c, n, panel);
    }
};

// float16 weights and activations as 13-bit integers with a scale per 128 inputs: 4095 * 4095 * 128 < 2^31.
struct Halves {
    static constexpr int BYTES = 2, OFFSET = 0;
    static constexpr float LIMIT = 4095;
    static constexpr bool SCALES = true, ZEROS = false;
    static int64_t row_bytes(int64_t k) { return 2 * k; }
    static int64_t span(int64_t) { return MOST_SPAN; }
    static int pack(__m512i q, int32_t* out) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(q));
        return 8;
    }
    static void dot(__m512i& sums, __m512i w, __m512i x) {
        asm("vpdpwssd %2, %1, %0" : "+v"(sums) : "v"(w), "v"(x));
    }
    // Codes of one group of one row [count], and their scale.
    static float encode_row(const uint16_t* w, int64_t count, int16_t* out) {
        vec high = {};
        for (int64_t i = 0; i < count; i += W)
            high = (vec)_mm512_max_ps((__m512)high, (__m512)magnitude(halves_to_floats(w + i)));
        const float top = greatest(high), inverse = top > 0 ? LIMIT / top : 0.0f;
        for (int64_t i = 0; i < count; i += W)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                                _mm512_cvtepi32_epi16(_mm512_cvtps_epi32((__m512)(halves_to_floats(w + i) * inverse))));
        return top / LIMIT;
    }
    static void fill(const Problem& p, const Codes& c, int64_t n, Panel& panel) {
        alignas(64) int16_t codes[W][MOST_SPAN] = {};
        for (int v = 0; v < 2; ++v)
            for (int64_t g = 0; g < c.groups; ++g) {
                const int64_t begin = g * c.span, count = c.inputs(g);
                for (int i = 0; i < W; ++i) {
                    const int64_t row = row_of(p, n, v) + i;
                    const auto* w = static_cast<const uint16_t*>(p.data) + row * p.k + begin;
                    panel.scales.data[g * PANEL + v * W + i] = row < p.n ? encode_row(w, count, codes[i]) : 0.0f;
                }
                turn_rows(codes, sizeof codes[0], 0, W, count / 2, [&](int64_t word, __m512i rows) {
                    _mm512_store_si512(panel.words.data + (begin / 2 + word) * PANEL + v * W, rows);
                });
            }
    }
};

}  // namespace

#endif
