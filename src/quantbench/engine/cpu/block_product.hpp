// Products of GGUF blocks with activations as 16-bit integers, a scale per row and 32 inputs: on AVX2 half the
// instructions of the product in floats. Sums of 32 inputs are exact (128 * 32767 * 4 < 2^24 in each of eight lanes),
// runs of 32 are added in float32 in their order, by lanes, then across: an element depends on its row and its column
// alone, however many rows there are.
#pragma once

#include "product.hpp"

#ifdef QUANTBENCH_AVX2

namespace {

constexpr float MOST = 32767;

// 32 codes as words: those of even inputs, those of odd ones.
struct Words {
    __m256i even, odd;
};
template <bool NEGATIVE>  // whether codes can be
inline Words widen(codes c) {
    const __m256i all = (__m256i)c;
    if constexpr (NEGATIVE) return {_mm256_maddubs_epi16(_mm256_set1_epi16(1), all), _mm256_srai_epi16(all, 8)};
    return {_mm256_and_si256(all, _mm256_set1_epi16(255)), _mm256_srli_epi16(all, 8)};
}
template <bool NEGATIVE>
inline Words widen(Words w) {
    return w;
}

inline __m256i in_order(__m256i a, __m256i b) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8); }

// Activations: each row's runs of 32, their scales, and their sums by lanes.
struct Integers {
    int64_t runs;  // of a row
    Scratch words, scales, sums;
    Integers(int64_t rows, int64_t k)
        : runs(k / 32), words(rows * k / 2), scales(rows * runs), sums(rows * runs * W) {}
    const Words& at(int64_t run) const { return reinterpret_cast<const Words*>(words.data)[run]; }
    void encode(const float* x, int64_t run) {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        __m256 high = _mm256_setzero_ps(), total = high;
        for (int v = 0; v < 4; ++v) {
            const __m256 xs = (__m256)load(x + v * W);
            high = _mm256_max_ps(high, _mm256_andnot_ps(sign, xs));
            total = _mm256_add_ps(total, _mm256_sub_ps(xs, xs));  // what is not finite stays so
        }
        float tops[W], top = 0;
        store(tops, (vec)high);
        for (int i = 0; i < W; ++i) top = tops[i] > top ? tops[i] : top;
        const float inverse = top > 0 ? MOST / top : 0.0f;
        scales.data[run] = top / MOST + sum((vec)total);
        __m256i q[4];
        for (int v = 0; v < 4; ++v) q[v] = _mm256_cvtps_epi32((__m256)(load(x + v * W) * inverse));
        const __m256i first = in_order(q[0], q[1]), second = in_order(q[2], q[3]);
        const auto low = [](__m256i pairs) { return _mm256_srai_epi32(_mm256_slli_epi32(pairs, 16), 16); };
        Words& to = reinterpret_cast<Words*>(words.data)[run];
        to.even = in_order(low(first), low(second));
        to.odd = in_order(_mm256_srai_epi32(first, 16), _mm256_srai_epi32(second, 16));
        const __m256i one = _mm256_set1_epi16(1);
        const __m256i all = _mm256_add_epi32(_mm256_madd_epi16(to.even, one), _mm256_madd_epi16(to.odd, one));
        store(sums.data + run * W, to_floats((ivec)all) * scales.data[run]);
    }
};

void encode(const Problem& p, Integers& to) {
    in_parts(p.rows * p.k > FEW_FLOATS, p.rows * to.runs, [&](int64_t run, int64_t end) {
        for (; run < end; ++run) to.encode(p.x + run * 32, run);
    });
}

// Unpacked runs of one row of weights, to be met by many rows.
template <bool SHIFTED>
struct Run {
    Words words;
    vec d;
    vec m[SHIFTED];
};

template <bool SHIFTED>
struct Unpacked {
    static constexpr int STEP = 32;
    static int64_t span(int64_t) { return 32; }
    const Run<SHIFTED>* all;
    int64_t now;
    inline void start(int64_t g) { now = g; }
    template <class Use>
    inline void runs(int64_t, Use use) const {
        const Run<SHIFTED>& run = all[now];
        if constexpr (SHIFTED)
            use(0, run.words, run.d, run.m[0]);
        else
            use(0, run.words, run.d);
    }
};

// MR rows of x times the rows of weights that make(0), make(1) ... read.
template <int MR, class Make, int... J>
inline void tile_runs(const Problem& p, const Integers& x, int64_t m, int64_t n, Make make,
                      std::integer_sequence<int, J...>) {
    typedef decltype(make(0)) R;
    constexpr int NR = sizeof...(J);
    vec acc[MR][NR] = {};
    R readers[NR] = {make(J)...};
    const int64_t span = R::span(0), k = p.k, first = m * x.runs;
    for (int64_t start = 0, g = 0; start < k; start += span, ++g) {
        (readers[J].start(g), ...);
        for (int64_t at = start; at < start + span; at += R::STEP)
            (readers[J].runs(at, [&](int number, auto c, vec d, auto... shift) __attribute__((always_inline)) {
                const Words w = widen<sizeof...(shift) == 0>(c);
                for (int i = 0; i < MR; ++i) {
                    const int64_t run = first + i * x.runs + (at >> 5) + number;
                    const Words& to = x.at(run);
                    const __m256i dot = _mm256_add_epi32(_mm256_madd_epi16(w.even, to.even),
                                                         _mm256_madd_epi16(w.odd, to.odd));
                    vec& sum = acc[i][J];
                    sum = multiply_add(to_floats((ivec)dot), d * fill(x.scales.data[run]), sum);
                    ((sum = multiply_add(load(x.sums.data + run * W), shift, sum)), ...);
                }
            }), ...);
    }
    for (int i = 0; i < MR; ++i) finish<Float32, NR>(p, m + i, n, acc[i]);
}

// All rows of x, MR at a time.
template <int MR, int NR, class Make>
inline void rows_of_runs(const Problem& p, const Integers& x, int64_t n, Make make) {
    const std::make_integer_sequence<int, NR> columns;
    int64_t m = 0;
    for (; m + MR <= p.rows; m += MR) tile_runs<MR>(p, x, m, n, make, columns);
    for (; m < p.rows; ++m) tile_runs<1>(p, x, m, n, make, columns);
}

template <class Block>
void few_runs(const Problem& p, const Integers& x) {
    constexpr int NR = 4;
    in_parts(p.n * p.k > FEW_WEIGHTS, p.n / NR, [&](int64_t first, int64_t end) {
        for (int64_t n = first * NR; n < end * NR; n += NR)
            rows_of_runs<2, NR>(p, x, n, [&](int j) { return reader_of<Blocks<Block>>(p, n + j); });
    });
    for (int64_t n = p.n - p.n % NR; n < p.n; ++n)
        rows_of_runs<2, 1>(p, x, n, [&](int j) { return reader_of<Blocks<Block>>(p, n + j); });
}

template <class Block, class To>
void unpack_runs(const Problem& p, int64_t n, To* to) {
    auto reader = reader_of<Blocks<Block>>(p, n);
    for (int64_t start = 0, g = 0; start < p.k; start += Block::INPUTS, ++g) {
        reader.start(g);
        for (int64_t k = start; k < start + Block::INPUTS; k += Block::STEP)
            reader.runs(k, [&](int number, codes c, vec d, auto... m) {
                To& run = to[k / 32 + number];
                run.words = widen<!Block::SHIFTED>(c);
                run.d = d;
                if constexpr (sizeof...(m) > 0) run.m[0] = (m, ...);
            });
    }
}

template <class Block>
void many_runs(const Problem& p, const Integers& x) {
    typedef Run<Block::SHIFTED> To;
    constexpr int NB = 16, NR = 4;
    in_parts(p.rows * p.n * p.k > FEW_PRODUCTS, (p.n + NB - 1) / NB, [&](int64_t first, int64_t end) {
        const Scratch space(NB * x.runs * sizeof(To) / 4);
        To* all = reinterpret_cast<To*>(space.data);
        const auto reader = [&](int64_t j) { return Unpacked<Block::SHIFTED>{all + j * x.runs, 0}; };
        for (int64_t n = first * NB; n < p.n && n < end * NB; n += NB) {
            const int64_t count = n + NB <= p.n ? NB : p.n - n;
            for (int64_t j = 0; j < count; ++j) unpack_runs<Block>(p, n + j, all + j * x.runs);
            int64_t j = 0;
            for (; j + NR <= count; j += NR)
                rows_of_runs<2, NR>(p, x, n + j, [&](int i) { return reader(j + i); });
            for (; j < count; ++j) rows_of_runs<2, 1>(p, x, n + j, [&](int i) { return reader(j + i); });
        }
    });
}

template <class Block>
void multiply_runs(const Problem& p) {
    Integers x(p.rows, p.k);
    encode(p, x);
    p.rows <= 4 ? few_runs<Block>(p, x) : many_runs<Block>(p, x);
}

}  // namespace

#endif
