// Products with weights whose rows lie side by side (AVX2): each value of an activation meets eight outputs' weights
// in a vector, so that there is nothing to sum across vectors. An element's sum runs along its inputs, in spans whose
// sums are added one after another, however many rows there are.
#pragma once

#include "cuts.hpp"

#ifdef QUANTBENCH_AVX2

namespace {

constexpr int BROAD = QUANTBENCH_BESIDE / W;  // vectors of outputs side by side
constexpr int PAIR = 2;                       // of these stay together
constexpr int64_t SPAN = 256;                 // inputs whose products are summed before they join the others
constexpr int64_t NEAR = 192 << 10;           // bytes of activations that stay in the second cache

// Up to 64 rows, a multiple of 16.
struct Strip {
    int64_t n, vectors;
    Strip(const Problem& p, int64_t number)
        : n(number * QUANTBENCH_BESIDE), vectors((p.n - n < QUANTBENCH_BESIDE ? p.n - n : QUANTBENCH_BESIDE) / W) {}
    // Where its rows begin that have `units` times `unit` bytes each: [units, rows, unit].
    const char* in(const void* data, int64_t units, int64_t unit) const {
        return static_cast<const char*>(data) + n * units * unit;
    }
};

// Activations in tiles of up to six rows, whose sums fit into the registers: [k, rows of the tile], as weights meet
// them, and the sums of their groups, [groups, rows of the tile].
struct Turned {
    int64_t k, rows, span, spans;
    bool grouped;
    Scratch data;
    Turned(const Problem& p, bool grouped)
        : k(p.k), rows(p.rows), span(grouped ? p.group : SPAN), spans((k + span - 1) / span), grouped(grouped),
          data(rows * (k + spans)) {
        in_parts(rows * k > FEW_FLOATS, tiles(), [&](int64_t tile, int64_t end) {
            for (; tile < end; ++tile)
                for (int64_t m = start(tile); m < start(tile + 1); ++m)
                    grouped ? turn_codes(p.x + m * k, m - start(tile), tile) : turn(p.x + m * k, m - start(tile), tile);
        });
    }
    int64_t tiles() const { return (rows + 5) / 6; }
    int64_t start(int64_t tile) const {  // the first row; the last seven or eight are four and three or four
        if (tile == tiles()) return rows;
        const bool late = tile > 0 && tile == tiles() - 1 && rows % 6 > 0 && rows % 6 < 3;
        return tile * 6 - (late ? 2 : 0);
    }
    int64_t high(int64_t tile) const { return start(tile + 1) - start(tile); }
    float* of(int64_t tile) const { return data.data + start(tile) * k; }
    float* sums(int64_t tile) const { return data.data + rows * k + start(tile) * spans; }

  private:
    void turn(const float* x, int64_t i, int64_t tile) const {
        const int64_t high = this->high(tile);
        float* to = of(tile) + i;
        for (int64_t at = 0; at < k; ++at) to[at * high] = x[at];
    }
    void turn_codes(const float* x, int64_t i, int64_t tile) const {
        const int64_t high = this->high(tile);
        float *to = of(tile) + i, *sums = this->sums(tile) + i;
        const vec places = {1, 0x1p-4f, 0x1p-8f, 0x1p-12f, 0x1p-16f, 0x1p-20f, 0x1p-24f, 1};
        for (int64_t g = 0; g < spans; ++g) {
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

// INPUTS weights of each of T * 8 outputs times as many inputs of a tile of MR rows.
template <class C, int MR, int T, int... J>
__attribute__((always_inline)) inline void meet(const char* words, const float* x, vec (*acc)[T],
                                                std::integer_sequence<int, J...>) {
    const auto one = [&](auto place) __attribute__((always_inline)) {
        const typename C::template Cut<place> cut;
        if constexpr (MR == 1) {
            const vec xs = spread(x[place]);
            for (int t = 0; t < T; ++t) add_product(cut(words + t * W * C::BYTES), xs, acc[0][t]);
        } else {
            vec w[T];
            for (int t = 0; t < T; ++t) w[t] = in_register(cut(words + t * W * C::BYTES));
            for (int i = 0; i < MR; ++i) {
                const vec xs = spread(x[place * MR + i]);
                for (int t = 0; t < T; ++t) add_product(w[t], xs, acc[i][t]);
            }
        }
    };
    (one(std::integral_constant<int, J>()), ...);
}

// Scales, adds bias and residual, and stores eight outputs of row m from n on.
template <class C>
inline void finish_eight(const Problem& p, int64_t m, int64_t n, vec total) {
    vec scale = fill(1);
    if constexpr (C::ROW_SCALES) scale = load(static_cast<const float*>(p.scale) + n);
    const vec value = multiply_add(total, scale, p.bias ? load(p.bias + n) : vec{});
    const int64_t at = m * p.stride + n;
    store(p.y + at, p.residual ? value + load(p.residual + at) : value);
}

// A tile of MR rows times T vectors of a strip's outputs from vector `first` on.
template <class C, int MR, int T>
void columns_tile(const Problem& p, const Turned& x, int64_t tile, const Strip& strip, int64_t first) {
    const char* words = strip.in(p.data, p.k / C::INPUTS, C::BYTES) + first * W * C::BYTES;
    const char *scales = nullptr, *zeros = nullptr;
    if constexpr (C::GROUPED) {
        scales = strip.in(p.scale, x.spans, 2) + first * W * 2;
        zeros = strip.in(p.zero, x.spans, 2) + first * W * 2;
    }
    const float *xs = x.of(tile), *sums = x.sums(tile);
    const int64_t step = strip.vectors * W * C::BYTES;
    vec totals[MR][T] = {};
    for (int64_t g = 0; g < x.spans; ++g) {
        vec acc[MR][T] = {};
        const int64_t end = x.span < p.k - g * x.span ? x.span : p.k - g * x.span;
        for (int64_t k = 0; k < end; k += C::ROUND, xs += C::ROUND * MR)
            for (int i = 0; i < C::ROUND / C::INPUTS; ++i, words += step)
                meet<C, MR, T>(words, xs + i * C::INPUTS * MR, acc, std::make_integer_sequence<int, C::INPUTS>());
        for (int t = 0; t < T; ++t) {
            Affine a;
            if constexpr (C::GROUPED) {
                const int64_t at = (g * strip.vectors + t) * W * 2;
                a = C::affine(scales + at, zeros + at);
            }
            for (int i = 0; i < MR; ++i) {
                vec& total = totals[i][t];
                if constexpr (C::GROUPED)
                    total = multiply_add(a.scale, acc[i][t], multiply_add(a.zero, fill(sums[g * MR + i]), total));
                else
                    total += acc[i][t];
            }
        }
    }
    for (int i = 0; i < MR; ++i)
        for (int t = 0; t < T; ++t) finish_eight<C>(p, x.start(tile) + i, strip.n + (first + t) * W, totals[i][t]);
}

// A tile of MR rows times vectors t to `end` of a strip; as many chains of sums as hide their latency.
template <class C, int MR, int T = MR == 1 ? BROAD : MR == 2 ? 4 : PAIR>
void columns_strip(const Problem& p, const Turned& x, int64_t tile, const Strip& strip, int64_t t, int64_t end) {
    for (; t + T <= end; t += T) columns_tile<C, MR, T>(p, x, tile, strip, t);
    if constexpr (T > PAIR) columns_strip<C, MR, T / 2>(p, x, tile, strip, t, end);
}

template <class C>
void columns_of(const Problem& p, const Turned& x, int64_t tile, const Strip& strip, int64_t t, int64_t end) {
    switch (x.high(tile)) {
        case 1: return columns_strip<C, 1>(p, x, tile, strip, t, end);
        case 2: return columns_strip<C, 2>(p, x, tile, strip, t, end);
        case 3: return columns_strip<C, 3>(p, x, tile, strip, t, end);
        case 4: return columns_strip<C, 4>(p, x, tile, strip, t, end);
        case 5: return columns_strip<C, 5>(p, x, tile, strip, t, end);
        default: return columns_strip<C, 6>(p, x, tile, strip, t, end);
    }
}

// Tiles from `from` to `to` times pairs of vectors from `first` to `end`, counted through all strips.
template <class C>
void columns_between(const Problem& p, const Turned& x, int64_t from, int64_t to, int64_t first, int64_t end) {
    constexpr int64_t PAIRS = BROAD / PAIR;
    while (first < end) {
        const int64_t number = first / PAIRS, next = (number + 1) * PAIRS < end ? (number + 1) * PAIRS : end;
        const Strip strip(p, number);
        for (int64_t tile = from; tile < to && tile < x.tiles(); ++tile)
            columns_of<C>(p, x, tile, strip, (first - number * PAIRS) * PAIR, (next - number * PAIRS) * PAIR);
        first = next;
    }
}

// All rows, as many tiles at a time as stay in the cache while the weights pass by.
template <class R>
void multiply_columns(const Problem& p) {
    typedef Cuts<R> C;
    const Turned x(p, C::GROUPED);
    const int64_t most = NEAR / (p.k * 4 * 6), step = most > 1 ? most : 1;
    const bool many = p.n * p.k > FEW_WEIGHTS || p.rows * p.n * p.k > FEW_PRODUCTS;
    in_parts(many, p.n / (PAIR * W), [&](int64_t first, int64_t end) {
        for (int64_t from = 0; from < x.tiles(); from += step) columns_between<C>(p, x, from, from + step, first, end);
    });
}

// One row as it is without others beside it; `space` has room for its bytes.
template <class R>
struct AsRow {
    Problem problem;
    AsRow(const Problem& p, int64_t n, float* space) : problem(p) {
        typedef Cuts<R> C;
        const Strip strip(p, n / QUANTBENCH_BESIDE);
        char* to = reinterpret_cast<char*>(space);
        const auto gathered = [&](const void* data, int64_t units, int64_t unit) {
            const char* from = strip.in(data, units, unit) + (n - strip.n) * unit;
            char* const begin = to;
            for (int64_t i = 0; i < units; ++i, to += unit) std::memcpy(to, from + i * strip.vectors * W * unit, unit);
            return begin;
        };
        problem.data = gathered(p.data, p.k / C::INPUTS, C::BYTES);
        if (C::GROUPED) problem.zero = gathered(p.zero, p.k / p.group, 2);
        if (C::GROUPED && !C::ROW_SCALES) problem.scale = gathered(p.scale, p.k / p.group, 2);
        if (C::ROW_SCALES) problem.scale = static_cast<const float*>(p.scale) + n;
    }
};

}  // namespace

#endif
