// Products with 4-bit codes on AVX2, eight outputs in a vector: a word of a row holds eight inputs' codes, each is
// cut out where it stands (times 16 for every place, which the activations take back) and made a float: three
// instructions for eight weights. Scale and zero come once a group: sum of w * x = scale * sum of code * x + zero *
// sum of x. An element's sum runs along its inputs, group by group, however many rows there are.
#pragma once

#include "product.hpp"

#ifdef QUANTBENCH_AVX2
#include <algorithm>

namespace {

constexpr int RUN = 32;      // inputs in sixteen bytes
constexpr int WORD = 8;      // inputs in a word

// Words of 16 bits, one of each of eight rows.
template <class Place>
inline __m128i eight_words(const void* data, Place place) {
    const auto* from = static_cast<const uint16_t*>(data);
    return _mm_setr_epi16(from[place(0)], from[place(1)], from[place(2)], from[place(3)], from[place(4)],
                          from[place(5)], from[place(6)], from[place(7)]);
}
template <class Place>
inline vec eight_halves(const void* data, Place place) {
    return (vec)_mm256_cvtph_ps(eight_words(data, place));
}

// Of one group of each of eight rows, which stands at place(0) to place(7) among all groups: weights over their
// row's scale are code * scale + zero, codes 0 to 15.
struct Affine {
    vec scale, zero;
};
template <class Place>
inline Affine affine_of(const Int4*, const Problem& p, Place place) {
    const vec scale = eight_halves(p.scale, place);
    return {scale, multiply_add(scale, fill(-8), eight_halves(p.zero, place))};
}
template <class Place>
inline Affine affine_of(const ZeroPoint4*, const Problem& p, Place place) {
    const vec scale = eight_halves(p.scale, place);
    return {scale, -scale * eight_halves(p.zero, place)};
}
template <class Place>
inline Affine affine_of(const Int4Double*, const Problem& p, Place place) {
    const __m256i pairs = _mm256_cvtepu16_epi32(eight_words(p.zero, place));  // step low, zero high
    const vec scale = to_floats((ivec)_mm256_and_si256(pairs, _mm256_set1_epi32(255)));
    const vec zero = to_floats((ivec)_mm256_srli_epi32(pairs, 8));
    return {scale, multiply_add(scale, fill(-8), multiply_add(zero, fill(16), fill(-128 * 16)))};
}

// T times eight rows of weights from n on; where not WHOLE the last one again for those that are missing.
template <class R, int T, bool WHOLE>
struct Columns {
    const Problem& p;
    int64_t n;
    int64_t bytes = p.k / 2, groups = p.k / p.group, last = p.n - 1 - n;
    const uint8_t* data = static_cast<const uint8_t*>(p.data) + n * bytes;
    bool far = p.n * p.k > FEW_WEIGHTS;  // too large to be in a cache of its own
    Columns(const Problem& p, int64_t n) : p(p), n(n) {}
    inline int64_t there(int64_t i) const { return WHOLE ? i : std::min(i, last); }
    inline Affine affine(int t, int64_t g) const {
        const int64_t first = n * groups + g, stride = groups;
        return affine_of(static_cast<const R*>(nullptr), p, [&](int i) { return first + there(t * W + i) * stride; });
    }
    // Four words of each row from input k on: words [4][T].
    __attribute__((always_inline)) inline void turn(int64_t k, __m256i (*words)[T]) const {
        const int64_t thrice = 3 * bytes;
        for (int t = 0; t < T; ++t) {
            __m256i both[4];
            if constexpr (WHOLE) {
                const uint8_t *low = data + k / 2 + t * W * bytes, *high = low + 4 * bytes;
                both[0] = pair(low, high);
                both[1] = pair(low + bytes, high + bytes);
                both[2] = pair(low + 2 * bytes, high + 2 * bytes);
                both[3] = pair(low + thrice, high + thrice);
            } else {
                for (int i = 0; i < 4; ++i) both[i] = pair(row(t * W + i) + k / 2, row(t * W + i + 4) + k / 2);
            }
            const __m256i a = _mm256_unpacklo_epi32(both[0], both[1]), b = _mm256_unpacklo_epi32(both[2], both[3]);
            const __m256i c = _mm256_unpackhi_epi32(both[0], both[1]), d = _mm256_unpackhi_epi32(both[2], both[3]);
            words[0][t] = _mm256_unpacklo_epi64(a, b);
            words[1][t] = _mm256_unpackhi_epi64(a, b);
            words[2][t] = _mm256_unpacklo_epi64(c, d);
            words[3][t] = _mm256_unpackhi_epi64(c, d);
        }
    }
    inline const uint8_t* row(int i) const { return data + there(i) * bytes; }
    static inline __m256i pair(const uint8_t* low, const uint8_t* high) {
        const auto sixteen = [](const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
        return _mm256_inserti128_si256(_mm256_castsi128_si256(sixteen(low)), sixteen(high), 1);
    }
    inline void expect(int64_t k) const {  // the same inputs of the rows that come next
        if (far && k % 128 == 0)
            for (int i = 0; i < T * W; ++i) __builtin_prefetch(data + (i + T * W) * bytes + k / 2);
    }
    void finish(int64_t m, int t, vec total) const {
        const int64_t first = n + t * W, at = m * p.stride + first;
        if (first + W > p.n) {
            float sums[W];
            store(sums, total);
            for (int64_t i = 0; i < p.n - first; ++i) {
                const float scale = R::Unpacked::scale(p.scale, first + i);
                const float value = std::fma(sums[i], scale, p.bias ? p.bias[first + i] : 0.0f);
                p.y[at + i] = p.residual ? value + p.residual[at + i] : value;
            }
            return;
        }
        vec scale = fill(1);
        if constexpr (std::is_same_v<R, Int4Double>) scale = load(static_cast<const float*>(p.scale) + first);
        const vec value = multiply_add(total, scale, p.bias ? load(p.bias + first) : vec{});
        store(p.y + at, p.residual ? value + load(p.residual + at) : value);
    }
};

// Cuts code J out of words, times 16^J; the last one as it is. The mask stays in a register: two loads a code are one
// too many.
template <int J>
struct Cut {
    __m256i mask = _mm256_set1_epi32(15 << 4 * (J % 7));
    Cut() { asm("" : "+x"(mask)); }
    inline vec operator()(__m256i words) const {
        if constexpr (J == WORD - 1) return to_floats((ivec)_mm256_srli_epi32(words, 28));
        return to_floats((ivec)_mm256_and_si256(words, mask));
    }
};

// Activations [rows, k] as codes meet them, and the sums of their groups.
struct Turned {
    int64_t k, span, groups;
    Scratch data, sums;
    explicit Turned(const Problem& p)
        : k(p.k), span(p.group), groups(p.k / p.group), data(p.rows * p.k), sums(p.rows * groups) {
#pragma omp parallel for schedule(static) if (p.rows * p.k > FEW_FLOATS)
        for (int64_t at = 0; at < p.rows * groups; ++at) {
            const vec places = {1, 0x1p-4f, 0x1p-8f, 0x1p-12f, 0x1p-16f, 0x1p-20f, 0x1p-24f, 1};
            vec total = {};
            for (int64_t i = at * span; i < (at + 1) * span; i += W) {
                total += load(p.x + i);
                store(data.data + i, load(p.x + i) * places);
            }
            sums.data[at] = sum(total);
        }
    }
    const float* row(int64_t m) const { return data.data + m * k; }
    vec of_group(int64_t m, int64_t g) const { return fill(sums.data[m * groups + g]); }
};

// One word of each row times eight inputs of MR rows of x, `stride` apart.
template <int MR, int T, int... J>
__attribute__((always_inline)) inline void meet(const __m256i* words, const float* x, int64_t stride, vec (*acc)[T],
                 std::integer_sequence<int, J...>) {
    const auto one = [&](auto place) __attribute__((always_inline)) {
        const Cut<place> cut;
        vec xs[MR];
        for (int i = 0; i < MR; ++i) xs[i] = fill(x[i * stride + place]);
        for (int t = 0; t < T; ++t) {
            const vec w = cut(words[t]);
            for (int i = 0; i < MR; ++i) acc[i][t] = multiply_add(w, xs[i], acc[i][t]);
        }
    };
    (one(std::integral_constant<int, J>()), ...);
}

// MR rows of x from m on times T * 8 outputs from n on.
template <class R, int MR, int T, bool WHOLE>
void columns_tile(const Problem& p, const Turned& x, int64_t m, int64_t n) {
    const Columns<R, T, WHOLE> columns(p, n);
    vec totals[MR][T] = {};
    for (int64_t g = 0; g < x.groups; ++g) {
        vec acc[MR][T] = {};
        for (int64_t k = g * x.span; k < (g + 1) * x.span; k += RUN) {
            __m256i words[RUN / WORD][T];
            columns.expect(k);
            columns.turn(k, words);
            for (int d = 0; d < RUN / WORD; ++d)
                meet<MR, T>(words[d], x.row(m) + k + d * WORD, x.k, acc, std::make_integer_sequence<int, WORD>());
        }
        for (int t = 0; t < T; ++t) {
            const Affine a = columns.affine(t, g);
            for (int i = 0; i < MR; ++i) {
                const vec shifted = multiply_add(a.zero, x.of_group(m + i, g), totals[i][t]);
                totals[i][t] = multiply_add(a.scale, acc[i][t], shifted);
            }
        }
    }
    for (int i = 0; i < MR; ++i)
        for (int t = 0; t < T; ++t) columns.finish(m + i, t, totals[i][t]);
}

// MR rows of x from m on times all outputs.
template <class R, int MR, int T>
void columns_rows(const Problem& p, const Turned& x, int64_t m) {
#pragma omp parallel for schedule(static) if (p.n * p.k > FEW_WEIGHTS)
    for (int64_t n = 0; n < p.n; n += T * W)
        n + T * W <= p.n ? columns_tile<R, MR, T, true>(p, x, m, n) : columns_tile<R, MR, T, false>(p, x, m, n);
}

// At most four rows; as many chains of sums as hide their latency.
template <class R>
void columns_few(const Problem& p, const Turned& x) {
    switch (p.rows) {
        case 1: return columns_rows<R, 1, 8>(p, x, 0);
        case 2: return columns_rows<R, 2, 4>(p, x, 0);
        case 3: return columns_rows<R, 3, 4>(p, x, 0);
        default: return columns_rows<R, 4, 2>(p, x, 0);
    }
}

}  // namespace

#endif
