// Products of prompts with packed weights in 8-bit integers on Arm (dot product, and i8mm where it is there): as in
// `prompt_product.hpp` sums within a group of inputs are exact and groups are added in float32 in their order.
#pragma once

#include "product.hpp"
#include "rows.hpp"

#if defined(QUANTBENCH_NEON) && defined(__ARM_FEATURE_DOTPROD)
#define QUANTBENCH_DOT 1

namespace {

constexpr int SIDE = 4;  // rows times columns of a tile

// Rows of 8-bit codes, a scale for each group of `span` inputs; `shift` is what a group adds by itself: the sum of a
// row's inputs, or the zero of a column's weights.
struct Coded {
    int64_t k, span, groups;
    Scratch data, scales, shifts;
    Coded(int64_t rows, int64_t k, int64_t span)
        : k(k), span(span), groups((k + span - 1) / span),
          data(rows * k / 4), scales(rows * groups), shifts(rows * groups) {}
    int8_t* codes(int64_t row) const { return reinterpret_cast<int8_t*>(data.data) + row * k; }
    int64_t inputs(int64_t g) const { return k - g * span < span ? k - g * span : span; }
};

inline int8x16_t narrowed(const int32x4_t* q) {
    return vcombine_s8(vmovn_s16(vcombine_s16(vmovn_s32(q[0]), vmovn_s32(q[1]))),
                       vmovn_s16(vcombine_s16(vmovn_s32(q[2]), vmovn_s32(q[3]))));
}

// One group of one row of activations. NIBBLES: of 32 inputs the even ones first, as they meet the codes of 4 bits.
template <bool NIBBLES>
inline void encode_group(const float* x, int64_t count, int8_t* codes, float* scale, float* total) {
    vec high = {}, all = {};
    for (int64_t i = 0; i < count; i += W) {
        high = (vec)vmaxq_f32((float32x4_t)high, vabsq_f32((float32x4_t)load(x + i)));
        all += load(x + i);
    }
    const float top = vmaxvq_f32((float32x4_t)high), inverse = top > 0 ? 127 / top : 0.0f;
    *total = sum(all);
    *scale = top / 127 + (*total - *total);  // what is not finite stays so
    for (int64_t i = 0; i < count; i += 16) {
        int32x4_t q[4];
        for (int v = 0; v < 4; ++v) q[v] = vcvtnq_s32_f32((float32x4_t)(load(x + i + v * W) * inverse));
        vst1q_s8(codes + i, narrowed(q));
    }
    if constexpr (NIBBLES)
        for (int64_t i = 0; i < count; i += 32) {
            const int8x16_t first = vld1q_s8(codes + i), second = vld1q_s8(codes + i + 16);
            vst1q_s8(codes + i, vuzp1q_s8(first, second));
            vst1q_s8(codes + i + 16, vuzp2q_s8(first, second));
        }
}

template <bool NIBBLES>
void encode_rows(const Problem& p, const Coded& to) {
#pragma omp parallel for schedule(static) if (p.rows * p.k > FEW_FLOATS)
    for (int64_t m = 0; m < p.rows; ++m)
        for (int64_t g = 0; g < to.groups; ++g) {
            const int64_t begin = g * to.span, at = m * to.groups + g;
            encode_group<NIBBLES>(p.x + m * p.k + begin, to.inputs(g), to.codes(m) + begin, to.scales.data + at,
                                  to.shifts.data + at);
        }
}

struct DotBytes {  // int8 weights, whose scales come last
    using Finish = Int8;
    static constexpr bool NIBBLES = false;
    static int64_t span(int64_t) { return 64; }
    static void read(const Problem& p, int64_t n, const Coded& to, int64_t column) {
        std::memcpy(to.codes(column), static_cast<const int8_t*>(p.data) + n * p.k, p.k);
        for (int64_t g = 0; g < to.groups; ++g) {
            to.scales.data[column * to.groups + g] = 1;
            to.shifts.data[column * to.groups + g] = 0;
        }
    }
};

template <class Reader>
struct DotNibbles {  // int4 weights: a scale and a zero for each of their groups
    using Finish = typename Reader::Unpacked;
    static constexpr bool NIBBLES = true;
    static constexpr int64_t MOST = 128;
    static int64_t span(int64_t group) {
        return group <= MOST ? group : group % MOST == 0 ? MOST : group % 64 == 0 ? 64 : 32;
    }
    static void read(const Problem& p, int64_t n, const Coded& to, int64_t column) {
        Reader reader = reader_of<Reader>(p, n);
        for (int64_t g = 0; g < to.groups; ++g) {
            reader.start(g * to.span / p.group);
            to.scales.data[column * to.groups + g] = reader.scale_now;
            to.shifts.data[column * to.groups + g] = reader.zero_now;
        }
        for (int64_t at = 0; at < p.k; at += 32) {
            const codes all = nibbles(reader.row + at / 2) - 8;
            std::memcpy(to.codes(column) + at, &all, 32);
        }
    }
};

// Exact sums of one group: out[i][j] of SIDE rows and SIDE columns, whose codes begin at x[i] and w[j].
inline void dot_group(const int8_t* const* x, const int8_t* const* w, int64_t count, int32_t (*out)[SIDE]) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
    int32x4_t sums[2][2] = {};  // of two rows and two columns each
    for (int64_t at = 0; at < count; at += 16) {
        int64x2_t rows[SIDE], columns[SIDE];
        for (int i = 0; i < SIDE; ++i) rows[i] = vreinterpretq_s64_s8(vld1q_s8(x[i] + at));
        for (int j = 0; j < SIDE; ++j) columns[j] = vreinterpretq_s64_s8(vld1q_s8(w[j] + at));
        for (int i = 0; i < 2; ++i)
            for (int j = 0; j < 2; ++j) {
                const auto pair = [](int64x2_t a) { return vreinterpretq_s8_s64(a); };
                sums[i][j] = vmmlaq_s32(sums[i][j], pair(vzip1q_s64(rows[2 * i], rows[2 * i + 1])),
                                        pair(vzip1q_s64(columns[2 * j], columns[2 * j + 1])));
                sums[i][j] = vmmlaq_s32(sums[i][j], pair(vzip2q_s64(rows[2 * i], rows[2 * i + 1])),
                                        pair(vzip2q_s64(columns[2 * j], columns[2 * j + 1])));
            }
    }
    for (int i = 0; i < SIDE; ++i)
        for (int j = 0; j < SIDE; ++j) out[i][j] = sums[i / 2][j / 2][i % 2 * 2 + j % 2];
#else
    int32x4_t sums[SIDE][SIDE] = {};
    for (int64_t at = 0; at < count; at += 16) {
        int8x16_t columns[SIDE];
        for (int j = 0; j < SIDE; ++j) columns[j] = vld1q_s8(w[j] + at);
        for (int i = 0; i < SIDE; ++i) {
            const int8x16_t row = vld1q_s8(x[i] + at);
            for (int j = 0; j < SIDE; ++j) sums[i][j] = vdotq_s32(sums[i][j], row, columns[j]);
        }
    }
    for (int i = 0; i < SIDE; ++i)
        for (int j = 0; j < SIDE; ++j) out[i][j] = vaddvq_s32(sums[i][j]);
#endif
}

// Products of SIDE rows from m on with SIDE columns, those of `w` from `first` on; rows and columns that are not there
// are the last ones again.
inline void dot_tile(const Problem& p, const Coded& x, const Coded& w, int64_t m, int64_t first, float (*out)[SIDE]) {
    int64_t rows[SIDE];
    for (int i = 0; i < SIDE; ++i) rows[i] = m + i < p.rows ? m + i : p.rows - 1;
    for (int i = 0; i < SIDE; ++i)
        for (int j = 0; j < SIDE; ++j) out[i][j] = 0;
    for (int64_t g = 0; g < x.groups; ++g) {
        const int8_t *left[SIDE], *right[SIDE];
        for (int i = 0; i < SIDE; ++i) left[i] = x.codes(rows[i]) + g * x.span;
        for (int j = 0; j < SIDE; ++j) right[j] = w.codes(first + j) + g * x.span;
        int32_t sums[SIDE][SIDE];
        dot_group(left, right, x.inputs(g), sums);
        for (int i = 0; i < SIDE; ++i)
            for (int j = 0; j < SIDE; ++j) {
                const int64_t row = rows[i] * x.groups + g, column = (first + j) * w.groups + g;
                const float scaled = static_cast<float>(sums[i][j]) * w.scales.data[column];
                out[i][j] = std::fma(scaled, x.scales.data[row], out[i][j]);
                out[i][j] = std::fma(w.shifts.data[column], x.shifts.data[row], out[i][j]);
            }
    }
}

// An output: its sum times the scale of its row of weights, if that comes last, plus bias.
template <class Finish>
inline float settled(const Problem& p, int64_t n, float sum) {
    return std::fma(sum, Finish::scale(p.scale, n), p.bias ? p.bias[n] : 0.0f);
}

template <class B>
inline void deliver_tile(const Problem& p, int64_t m, int64_t n, int64_t columns, const float (*sums)[SIDE],
                         const float (*ups)[SIDE]) {
    using Finish = typename B::Finish;
    const int64_t half = p.n / 2;
    for (int64_t i = 0; i < SIDE && m + i < p.rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
            const float value = settled<Finish>(p, n + j, sums[i][j]);
            if (p.gate >= 0) {
                const float up = settled<Finish>(p, n + j + half, ups[i][j]);
                p.y[(m + i) * half + n + j] = activate(p.gate, fill(value))[0] * up;
            } else {
                const int64_t at = (m + i) * p.n + n + j;
                p.y[at] = p.residual ? value + p.residual[at] : value;
            }
        }
}

template <class B>
void multiply_dots(const Problem& p) {
    const Coded x(p.rows, p.k, B::span(p.group));
    encode_rows<B::NIBBLES>(p, x);
    const int64_t outputs = p.gate < 0 ? p.n : p.n / 2;
#pragma omp parallel if (p.rows * p.n * p.k > FEW_PRODUCTS || p.n * p.k > FEW_WEIGHTS)
    {
        const Coded w(2 * SIDE, p.k, x.span);  // columns; where gated their ups after them
#pragma omp for schedule(static)
        for (int64_t n = 0; n < outputs; n += SIDE) {
            const int64_t columns = n + SIDE < outputs ? SIDE : outputs - n;
            for (int64_t j = 0; j < SIDE; ++j) {
                const int64_t at = n + (j < columns ? j : columns - 1);
                B::read(p, at, w, j);
                if (p.gate >= 0) B::read(p, at + outputs, w, SIDE + j);
            }
            for (int64_t m = 0; m < p.rows; m += SIDE) {
                float sums[SIDE][SIDE], ups[SIDE][SIDE];
                dot_tile(p, x, w, m, 0, sums);
                if (p.gate >= 0) dot_tile(p, x, w, m, SIDE, ups);
                deliver_tile<B>(p, m, n, columns, sums, ups);
            }
        }
    }
}

}  // namespace

#endif
