// The products of `nibble_columns.hpp` for many rows: codes as floats in panels that stay in the first cache, met by
// six rows at a time. An element's sum has the same order as there.
#pragma once

#include "nibble_columns.hpp"

#ifdef QUANTBENCH_AVX2

namespace {

// Which kinds are multiplied so.
template <class R>
constexpr bool BY_COLUMNS = std::is_base_of_v<Int4Codes, R> || std::is_same_v<R, ZeroPoint4>;

constexpr int COLUMNS = 32;    // outputs that many rows meet together
constexpr int64_t NEAR = 128;  // inputs of theirs at a time, or a group of more

// COLUMNS outputs' codes of some inputs as floats: pairs of vectors, [COLUMNS / 16, inputs, 16].
constexpr int PAIR = 2 * W, PAIRS = COLUMNS / PAIR, ALL = COLUMNS / W;
template <class Columns>
inline void unpack_columns(const Columns& columns, int64_t start, int64_t count, float* out) {
    for (int64_t k = 0; k < count; k += RUN) {
        __m256i words[RUN / WORD][ALL];
        columns.expect(start + k);
        columns.turn(start + k, words);
        for (int d = 0; d < RUN / WORD; ++d) {
            float* to = out + (k + d * WORD) * PAIR;
            const auto one = [&](auto place) __attribute__((always_inline)) {
                const Cut<place> cut;
                for (int t = 0; t < ALL; ++t)
                    store(to + t / 2 * count * PAIR + place * PAIR + t % 2 * W, cut(words[d][t]));
            };
            one(std::integral_constant<int, 0>()), one(std::integral_constant<int, 1>());
            one(std::integral_constant<int, 2>()), one(std::integral_constant<int, 3>());
            one(std::integral_constant<int, 4>()), one(std::integral_constant<int, 5>());
            one(std::integral_constant<int, 6>()), one(std::integral_constant<int, 7>());
        }
    }
}

// Sums of MR rows and one pair of vectors over one group: [MR][2].
template <int MR>
__attribute__((always_inline)) inline void group_of_pair(const float* x, int64_t stride, const float* w, int64_t count,
                                                         vec (*acc)[2]) {
    for (int64_t k = 0; k < count; ++k) {
        const vec first = load(w + k * PAIR), second = load(w + k * PAIR + W);
        for (int i = 0; i < MR; ++i) {
            const vec xs = fill(x[i * stride + k]);
            acc[i][0] = multiply_add(first, xs, acc[i][0]);
            acc[i][1] = multiply_add(second, xs, acc[i][1]);
        }
    }
}

// What many rows meet at a time: COLUMNS outputs and `count` inputs from `start` on, whole groups.
struct Panel4 {
    int64_t start, count, span;
    const float* codes;     // as `unpack_columns` makes them
    const Affine* affines;  // [groups, ALL]
};

// MR rows from m on: what the panel adds to their `totals` [rows, COLUMNS].
template <int MR>
void panel_rows(const Panel4& panel, const Turned& x, int64_t m, float* totals) {
    for (int pair = 0; pair < PAIRS; ++pair) {
        float* to = totals + m * COLUMNS + pair * PAIR;
        vec sums[MR][2];
        for (int i = 0; i < MR; ++i)
            for (int v = 0; v < 2; ++v) sums[i][v] = load(to + i * COLUMNS + v * W);
        for (int64_t at = 0; at < panel.count; at += panel.span) {
            const int64_t g = at / panel.span, k = panel.start + at;
            vec acc[MR][2] = {};
            group_of_pair<MR>(x.row(m) + k, x.k, panel.codes + (pair * panel.count + at) * PAIR, panel.span, acc);
            for (int v = 0; v < 2; ++v) {
                const Affine a = panel.affines[g * ALL + pair * 2 + v];
                for (int i = 0; i < MR; ++i)
                    sums[i][v] = multiply_add(a.scale, acc[i][v],
                                              multiply_add(a.zero, x.of_group(m + i, k / panel.span), sums[i][v]));
            }
        }
        for (int i = 0; i < MR; ++i)
            for (int v = 0; v < 2; ++v) store(to + i * COLUMNS + v * W, sums[i][v]);
    }
}

// COLUMNS outputs from n on, all rows; `space` holds a panel of `most` inputs and its affines, `totals` the sums.
template <class R, bool WHOLE>
void columns_of_many(const Problem& p, const Turned& x, int64_t n, int64_t most, float* space, float* totals) {
    const Columns<R, ALL, WHOLE> columns(p, n);
    Affine* affines = reinterpret_cast<Affine*>(space + most * COLUMNS);
    std::memset(totals, 0, p.rows * COLUMNS * sizeof(float));
    for (int64_t start = 0; start < p.k; start += most) {
        const Panel4 panel{start, std::min(most, p.k - start), x.span, space, affines};
        unpack_columns(columns, start, panel.count, space);
        for (int64_t g = 0; g < panel.count / x.span; ++g)
            for (int t = 0; t < ALL; ++t) affines[g * ALL + t] = columns.affine(t, start / x.span + g);
        int64_t m = 0;
        for (; m + 6 <= p.rows; m += 6) panel_rows<6>(panel, x, m, totals);
        for (; m + 2 <= p.rows; m += 2) panel_rows<2>(panel, x, m, totals);
        if (m < p.rows) panel_rows<1>(panel, x, m, totals);
    }
    for (int64_t m = 0; m < p.rows; ++m)
        for (int t = 0; t < ALL && n + t * W < p.n; ++t) columns.finish(m, t, load(totals + m * COLUMNS + t * W));
}

template <class R>
void columns_many(const Problem& p, const Turned& x) {
    const int64_t most = std::max<int64_t>(1, NEAR / x.span) * x.span;
#pragma omp parallel if (p.rows * p.n * p.k > FEW_PRODUCTS)
    {
        const Scratch space(most * COLUMNS + most / x.span * ALL * 2 * W), totals(p.rows * COLUMNS);
#pragma omp for schedule(static)
        for (int64_t n = 0; n < p.n; n += COLUMNS)
            n + COLUMNS <= p.n ? columns_of_many<R, true>(p, x, n, most, space.data, totals.data)
                               : columns_of_many<R, false>(p, x, n, most, space.data, totals.data);
    }
}

template <class R>
void multiply_columns(const Problem& p) {
    const Turned x(p);
    p.rows <= 4 ? columns_few<R>(p, x) : columns_many<R>(p, x);
}

}  // namespace

#else
namespace {
template <class R>
constexpr bool BY_COLUMNS = false;
template <class R>
void multiply_columns(const Problem&) {}
}  // namespace
#endif
