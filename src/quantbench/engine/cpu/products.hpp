// Which product a kind of weight has.
#pragma once

#include "block_product.hpp"
#include "columns.hpp"

namespace {

// kind: 0 float32, 1 bfloat16, 2 float16, 3 int8, 4 int4, 9 int4 with double quantization, 10 int8 in groups; of
// `stored_readers.hpp` 5 to 8; of `blocks.hpp` 16 on; with rows side by side (`columns.hpp`) BESIDE more.
constexpr int BESIDE = 32;
template <class R>
struct Kind {
    typedef R Reader;
};
template <class Use>
void with_kind(int kind, Use use) {
    switch (kind) {
        case 0: return use(Kind<Float32>());
        case 1: return use(Kind<BFloat16>());
        case 2: return use(Kind<Float16>());
        case 3: return use(Kind<Int8>());
        case 4: return use(Kind<Int4>());
        case 5: return use(Kind<ZeroPoint4>());
        case 6: return use(Kind<Table4>());
        case 7: return use(Kind<ZeroPoint8>());
        case 8: return use(Kind<Float8>());
        case 9: return use(Kind<Int4Double>());
        case 10: return use(Kind<Int8Groups>());
        case 16: return use(Kind<Blocks<Q4_0>>());
        case 17: return use(Kind<Blocks<Q4_1>>());
        case 18: return use(Kind<Blocks<Q5_0>>());
        case 19: return use(Kind<Blocks<Q5_1>>());
        case 20: return use(Kind<Blocks<Q8_0>>());
        case 21: return use(Kind<Blocks<Q4_K>>());
        case 22: return use(Kind<Blocks<Q5_K>>());
        case 23: return use(Kind<Blocks<Q6_K>>());
        case 24: return use(Kind<Blocks<IQ4_NL>>());
#if QUANTBENCH_BESIDE
        case BESIDE + 0: return use(Kind<Beside<Float32>>());
        case BESIDE + 1: return use(Kind<Beside<BFloat16>>());
        case BESIDE + 2: return use(Kind<Beside<Float16>>());
        case BESIDE + 3: return use(Kind<Beside<Int8>>());
        case BESIDE + 4: return use(Kind<Beside<Int4>>());
        case BESIDE + 5: return use(Kind<Beside<ZeroPoint4>>());
        case BESIDE + 9: return use(Kind<Beside<Int4Double>>());
#endif
    }
}

template <class R>
void multiply(Kind<R>, const Problem& p) {
    multiply<R>(p);
}
#if QUANTBENCH_BESIDE
template <class R>
void multiply(Kind<Beside<R>>, const Problem& p) {
    multiply_columns<R>(p);
}
#endif

// Which of 32 inputs a kind's reader meets at place i.
inline int input_at(int kind, int i) {
    if (kind == 4 || kind == 5 || kind == 9) return pair_of(code_at(i));
    return kind == 6 ? near_pair_of(i) : kind >= 16 ? code_at(i) : i;
}

void multiply_floats(int kind, Problem p) {
    const bool pairs = kind == 4 || kind == 5 || kind == 9, blocks = kind >= 16 && kind < BESIDE;
    const bool arranged = pairs || kind == 6 || (blocks && !NATURAL);
    const int64_t count = p.rows * p.k;
    const Scratch space(arranged ? count : 0);
    if (pairs) arrange(p.x, count, [](int i) { return pair_of(code_at(i)); }, space.data);
    if (kind == 6) arrange(p.x, count, near_pair_of, space.data);
    if (blocks && !NATURAL) arrange(p.x, count, code_at, space.data);
    if (arranged) p.x = space.data;
    with_kind(kind, [&](auto of) { multiply(of, p); });
}

// y [k] = row n of the weights, dequantized; `space` has room for twice as many.
template <class R>
void row_of(Kind<R>, int kind, const Problem& p, int64_t n, float* space, float* y) {
    unpack<R>(p, n, 1, space);
    const float scale = R::Unpacked::scale(p.scale, n);
    for (int64_t i = 0; i < p.k; ++i) y[(i & ~31) + input_at(kind, i & 31)] = space[i] * scale;
}
#if QUANTBENCH_BESIDE
template <class R>
void row_of(Kind<Beside<R>>, int kind, const Problem& p, int64_t n, float* space, float* y) {
    const AsRow<R> row(p, n, space + p.k);
    row_of(Kind<R>(), kind - BESIDE, row.problem, 0, space, y);
}
#endif

// y [rows, k] = rows `ids` of the weights, dequantized.
void look_up(int kind, const Problem& p, const int64_t* ids) {
    with_kind(kind, [&](auto of) {
        in_parts(p.rows * p.k > FEW_FLOATS, p.rows, [&](int64_t first, int64_t end) {
            const Scratch space(2 * p.k);
            for (int64_t m = first; m < end; ++m) row_of(of, kind, p, ids[m], space.data, p.y + m * p.k);
        });
    });
}

// Bits of activations in `multiply_integers`; 0 where a kind has none.
int integer_bits(int kind) {
#ifdef QUANTBENCH_AVX2
    return kind >= 16 && kind < BESIDE ? 16 : 0;
#else
    return 0;
#endif
}

void multiply_integers(int kind, const Problem& p) {
#ifdef QUANTBENCH_AVX2
    switch (kind) {
        case 16: return multiply_runs<Q4_0>(p);
        case 17: return multiply_runs<Q4_1>(p);
        case 18: return multiply_runs<Q5_0>(p);
        case 19: return multiply_runs<Q5_1>(p);
        case 20: return multiply_runs<Q8_0>(p);
        case 21: return multiply_runs<Q4_K>(p);
        case 22: return multiply_runs<Q5_K>(p);
        case 23: return multiply_runs<Q6_K>(p);
        case 24: return multiply_runs<IQ4_NL>(p);
    }
#endif
}

}  // namespace
