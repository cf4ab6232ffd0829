// Products with 4-bit codes on AVX2, eight outputs in a vector. Words of up to 64 rows lie side by side; each holds
// eight inputs' codes of its row, and a code is cut out where it stands (times 16 for every place, which the
// activations take back) and made a float: three instructions for eight weights, of which four a cycle are possible.
// Scale and zero come once a group: sum of w * x = scale * sum of code * x + zero * sum of x. An element's sum runs
// along its inputs, group by group, however many rows there are.
#pragma once

#include "product.hpp"

// Rows side by side in the layout of `weights/formats/beside.py`; 0 where kernels want rows as they are.
#ifdef QUANTBENCH_AVX2
#define QUANTBENCH_BESIDE 64
#else
#define QUANTBENCH_BESIDE 0
#endif

namespace {

// A kind of weight whose rows lie side by side.
template <class R>
struct Beside {
    typedef R Kind;
};

#ifdef QUANTBENCH_AVX2

constexpr int WORD = 8;                    // inputs in a word
constexpr int BROAD = QUANTBENCH_BESIDE / W;  // vectors of outputs side by side
constexpr int64_t NEAR = 192 << 10;        // bytes of activations that stay in the second cache

// Up to 64 rows from n on, a multiple of eight.
struct Strip {
    int64_t n, vectors;
    Strip(const Problem& p, int64_t number)
        : n(number * QUANTBENCH_BESIDE), vectors((p.n - n < QUANTBENCH_BESIDE ? p.n - n : QUANTBENCH_BESIDE) / W) {}
    static int64_t count(const Problem& p) { return (p.n + QUANTBENCH_BESIDE - 1) / QUANTBENCH_BESIDE; }
    // Where `unit` bytes of each of its rows begin that have `units` of them: [units, rows, unit].
    const char* in(const void* data, int64_t units, int64_t unit) const {
        return static_cast<const char*>(data) + n * units * unit;
    }
};

inline __m128i eight_words(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline vec eight_halves(const char* p) { return (vec)_mm256_cvtph_ps(eight_words(p)); }

// Of one group of each of eight rows: weights over their row's scale are code * scale + zero, codes 0 to 15.
// scales and zeros: where two bytes of each row begin.
struct Affine {
    vec scale, zero;
};
inline Affine affine_of(const Int4*, const char* scales, const char* zeros) {
    const vec scale = eight_halves(scales);
    return {scale, multiply_add(scale, fill(-8), eight_halves(zeros))};
}
inline Affine affine_of(const ZeroPoint4*, const char* scales, const char* zeros) {
    const vec scale = eight_halves(scales);
    return {scale, -scale * eight_halves(zeros)};
}
inline Affine affine_of(const Int4Double*, const char*, const char* zeros) {
    const __m256i pairs = _mm256_cvtepu16_epi32(eight_words(zeros));  // step low, zero high
    const vec scale = to_floats((ivec)_mm256_and_si256(pairs, _mm256_set1_epi32(255)));
    const vec zero = to_floats((ivec)_mm256_srli_epi32(pairs, 8));
    return {scale, multiply_add(scale, fill(-8), multiply_add(zero, fill(16), fill(-128 * 16)))};
}

// Four bytes in every place, loaded here and now: hoisted out of a loop, or all before their use, such values would
// drive sums out of the registers.
template <class T>
inline vec spread(const T& value) {
    vec out;
    asm volatile("vbroadcastss %1, %0" : "=x"(out) : "m"(value));
    return out;
}

// Cuts code J out of words, times 16^J; the last one as it is.
template <int J>
struct Cut {
    __m256i mask;
    Cut() {
        static const int32_t BITS = 15 << 4 * (J % 7);
        mask = (__m256i)spread(BITS);
    }
    inline vec operator()(__m256i words) const {
        if constexpr (J == WORD - 1) return to_floats((ivec)_mm256_srli_epi32(words, 28));
        return to_floats((ivec)_mm256_and_si256(words, mask));
    }
};

// Activations as codes meet them, in tiles of up to six rows, whose sums fit into the registers: [k, rows of the tile],
// and the sums of their groups, [groups, rows of the tile].
struct Turned {
    int64_t k, span, groups, rows;
    Scratch data;
    explicit Turned(const Problem& p)
        : k(p.k), span(p.group), groups(p.k / p.group), rows(p.rows), data(rows * (k + groups)) {
        in_parts(rows * k > FEW_FLOATS, tiles(), [&](int64_t tile, int64_t end) {
            for (; tile < end; ++tile)
                for (int64_t m = start(tile); m < start(tile + 1); ++m) turn(p.x + m * k, m - start(tile), tile);
        });
    }
    int64_t tiles() const { return (rows + 5) / 6; }
    int64_t start(int64_t tile) const {  // the first row; the last seven or eight are four and three or four
        if (tile == tiles()) return rows;
        const bool late = tile > 0 && tile == tiles() - 1 && rows % 6 > 0 && rows % 6 < 3;
        return tile * 6 - (late ? 2 : 0);
    }
    int64_t high(int64_t tile) const { return start(tile + 1) - start(tile); }
    const float* of(int64_t tile) const { return data.data + start(tile) * k; }
    const float* sums(int64_t tile) const { return data.data + rows * k + start(tile) * groups; }

  private:
    void turn(const float* x, int64_t i, int64_t tile) {
        const int64_t high = this->high(tile);
        float *to = data.data + start(tile) * k + i, *sums = data.data + rows * k + start(tile) * groups + i;
        const vec places = {1, 0x1p-4f, 0x1p-8f, 0x1p-12f, 0x1p-16f, 0x1p-20f, 0x1p-24f, 1};
        for (int64_t g = 0; g < groups; ++g) {
            vec total = {};
            for (int64_t at = g * span; at < (g + 1) * span; at += W) {
                const vec scaled = load(x + at) * places;
                total += load(x + at);
                if (high == 1)
                    store(to + at, scaled);
                else
                    for (int j = 0; j < W; ++j) to[(at + j) * high] = scaled[j];
            }
            sums[g * high] = sum(total);
        }
    }
};

// A word of each of T * 8 outputs times eight inputs of a tile of MR rows.
template <int MR, int T, int... J>
__attribute__((always_inline)) inline void meet(const __m256i* words, const float* x, vec (*acc)[T],
                                                std::integer_sequence<int, J...>) {
    const auto one = [&](auto place) __attribute__((always_inline)) {
        const Cut<place> cut;
        if constexpr (MR == 1) {
            const vec xs = spread(x[place]);
            for (int t = 0; t < T; ++t) acc[0][t] = multiply_add(cut(words[t]), xs, acc[0][t]);
        } else {
            vec w[T];
            for (int t = 0; t < T; ++t) w[t] = in_register(cut(words[t]));
            for (int i = 0; i < MR; ++i) {
                const vec xs = spread(x[place * MR + i]);
                for (int t = 0; t < T; ++t) add_product(w[t], xs, acc[i][t]);
            }
        }
    };
    (one(std::integral_constant<int, J>()), ...);
}

// Scales, adds bias and residual, and stores eight outputs of row m from n on.
template <class R>
inline void finish_eight(const Problem& p, int64_t m, int64_t n, vec total) {
    vec scale = fill(1);
    if constexpr (std::is_same_v<R, Int4Double>) scale = load(static_cast<const float*>(p.scale) + n);
    const vec value = multiply_add(total, scale, p.bias ? load(p.bias + n) : vec{});
    const int64_t at = m * p.stride + n;
    store(p.y + at, p.residual ? value + load(p.residual + at) : value);
}

// A tile of MR rows times T vectors of a strip's outputs from vector `first` on.
template <class R, int MR, int T>
void columns_tile(const Problem& p, const Turned& x, int64_t tile, const Strip& strip, int64_t first) {
    const auto* words = reinterpret_cast<const __m256i*>(strip.in(p.data, p.k / WORD, 4)) + first;
    const char* scales = strip.in(p.scale, x.groups, 2) + first * 2 * W;
    const char* zeros = strip.in(p.zero, x.groups, 2) + first * 2 * W;
    const float *xs = x.of(tile), *sums = x.sums(tile);
    vec totals[MR][T] = {};
    for (int64_t g = 0; g < x.groups; ++g) {
        vec acc[MR][T] = {};
        for (int64_t k = 0; k < x.span; k += WORD, words += strip.vectors, xs += WORD * MR)
            meet<MR, T>(words, xs, acc, std::make_integer_sequence<int, WORD>());
        for (int t = 0; t < T; ++t) {
            const int64_t at = (g * strip.vectors + t) * 2 * W;
            const Affine a = affine_of(static_cast<const R*>(nullptr), scales + at, zeros + at);
            for (int i = 0; i < MR; ++i) {
                const vec shifted = multiply_add(a.zero, fill(sums[g * MR + i]), totals[i][t]);
                totals[i][t] = multiply_add(a.scale, acc[i][t], shifted);
            }
        }
    }
    for (int i = 0; i < MR; ++i)
        for (int t = 0; t < T; ++t) finish_eight<R>(p, x.start(tile) + i, strip.n + (first + t) * W, totals[i][t]);
}

// A tile of MR rows times a strip; as many chains of sums as hide their latency.
template <class R, int MR>
void columns_strip(const Problem& p, const Turned& x, int64_t tile, const Strip& strip) {
    constexpr int T = MR == 1 ? BROAD : MR == 2 ? 4 : 2;
    int64_t t = 0;
    for (; t + T <= strip.vectors; t += T) columns_tile<R, MR, T>(p, x, tile, strip, t);
    for (; t < strip.vectors; ++t) columns_tile<R, MR, 1>(p, x, tile, strip, t);
}

template <class R>
void columns_of(const Problem& p, const Turned& x, int64_t tile, const Strip& strip) {
    switch (x.high(tile)) {
        case 1: return columns_strip<R, 1>(p, x, tile, strip);
        case 2: return columns_strip<R, 2>(p, x, tile, strip);
        case 3: return columns_strip<R, 3>(p, x, tile, strip);
        case 4: return columns_strip<R, 4>(p, x, tile, strip);
        case 5: return columns_strip<R, 5>(p, x, tile, strip);
        default: return columns_strip<R, 6>(p, x, tile, strip);
    }
}

// All rows, as many tiles at a time as stay in the cache while the weights pass by.
template <class R>
void multiply_columns(const Problem& p) {
    const Turned x(p);
    const int64_t most = NEAR / (p.k * 4 * 6), step = most > 1 ? most : 1;
    const bool many = p.n * p.k > FEW_WEIGHTS || p.rows * p.n * p.k > FEW_PRODUCTS;
    in_parts(many, Strip::count(p), [&](int64_t first, int64_t end) {
        for (int64_t from = 0; from < x.tiles(); from += step)
            for (int64_t number = first; number < end; ++number)
                for (int64_t tile = from; tile < from + step && tile < x.tiles(); ++tile)
                    columns_of<R>(p, x, tile, Strip(p, number));
    });
}

// One row as it is without others beside it; `space` has room for its bytes.
template <class R>
struct AsRow {
    Problem problem;
    AsRow(const Problem& p, int64_t n, float* space) : problem(p) {
        const Strip strip(p, n / QUANTBENCH_BESIDE);
        const int64_t groups = p.k / p.group, row = n - strip.n;
        char* to = reinterpret_cast<char*>(space);
        const auto gathered = [&](const void* data, int64_t units, int64_t unit) {
            const char* from = strip.in(data, units, unit) + row * unit;
            char* const begin = to;
            for (int64_t i = 0; i < units; ++i, to += unit) std::memcpy(to, from + i * strip.vectors * W * unit, unit);
            return begin;
        };
        problem.data = gathered(p.data, p.k / WORD, 4);
        problem.zero = gathered(p.zero, groups, 2);
        problem.scale = std::is_same_v<R, Int4Double> ? static_cast<const char*>(p.scale) + n * 4
                                                      : gathered(p.scale, groups, 2);
    }
};

#endif

}  // namespace
