// Which product a kind of weight has.
#pragma once

#include "block_product.hpp"
#include "nibble_panels.hpp"

namespace {

// kind: 0 float32, 1 bfloat16, 2 float16, 3 int8, 4 int4, 9 int4 with double quantization, 10 int8 in groups; of
// `stored_readers.hpp` 5 to 8; of `blocks.hpp` 16 on.
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
    }
}

// Which of 32 inputs a kind's reader meets at place i.
inline int input_at(int kind, int i) {
    if (kind == 4 || kind == 5 || kind == 9) return pair_of(code_at(i));
    return kind == 6 ? near_pair_of(i) : kind >= 16 ? code_at(i) : i;
}

void multiply_floats(int kind, Problem p) {
    const bool pairs = (kind == 4 || kind == 5 || kind == 9) && !BY_COLUMNS<Int4>;
    const bool arranged = pairs || kind == 6 || (kind >= 16 && !NATURAL);
    const int64_t count = p.rows * p.k;
    const Scratch space(arranged ? count : 0);
    if (pairs) arrange(p.x, count, [](int i) { return pair_of(code_at(i)); }, space.data);
    if (kind == 6) arrange(p.x, count, near_pair_of, space.data);
    if (kind >= 16 && !NATURAL) arrange(p.x, count, code_at, space.data);
    if (arranged) p.x = space.data;
    with_kind(kind, [&](auto of) {
        typedef typename decltype(of)::Reader R;
        if constexpr (BY_COLUMNS<R>)
            multiply_columns<R>(p);
        else
            multiply<R>(p);
    });
}

// y [rows, k] = rows `ids` of the weights, dequantized.
void look_up(int kind, const Problem& p, const int64_t* ids) {
    with_kind(kind, [&](auto of) {
        typedef typename decltype(of)::Reader R;
#pragma omp parallel if (p.rows * p.k > FEW_FLOATS)
        {
            const Scratch space(p.k);
#pragma omp for schedule(static)
            for (int64_t m = 0; m < p.rows; ++m) {
                unpack<R>(p, ids[m], 1, space.data);
                const float scale = R::Unpacked::scale(p.scale, ids[m]);
                for (int64_t i = 0; i < p.k; ++i)
                    p.y[m * p.k + (i & ~31) + input_at(kind, i & 31)] = space.data[i] * scale;
            }
        }
    });
}

// Bits of activations in `multiply_integers`; 0 where a kind has none.
int integer_bits(int kind) {
#ifdef QUANTBENCH_AVX2
    return kind >= 16 ? 16 : 0;
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
