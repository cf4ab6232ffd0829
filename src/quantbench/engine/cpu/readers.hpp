// One kind of weight each: `next` yields the weights of STEP inputs from k on, as vectors of floats. Where GROUPED,
// `start` is told each group of inputs before its weights are asked for.
// The layouts are those of engine/weights.py.
#pragma once

#include "vectors.hpp"

namespace {

// How far ahead of its use a weight is asked for: the next rows, since a row ends too soon for the hardware.
constexpr int64_t AHEAD = 8192;  // bytes
inline void expect(const void* p) { __builtin_prefetch(static_cast<const char*>(p) + AHEAD); }

struct Float32 {
    using Unpacked = Float32;  // finishes sums of unpacked weights
    static constexpr int STEP = W, VECTORS = 1;
    static constexpr bool GROUPED = false;
    const float* row;
    Float32(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const float*>(data) + n * k) {}
    inline void next(int64_t k, vec* out) {
        expect(row + k);
        out[0] = load(row + k);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct BFloat16 {
    using Unpacked = Float32;
    static constexpr int STEP = W, VECTORS = 1;
    static constexpr bool GROUPED = false;
    const uint16_t* row;
    BFloat16(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const uint16_t*>(data) + n * k) {}
    inline void next(int64_t k, vec* out) {
        expect(row + k);
        out[0] = (vec)(widen_halves(row + k) << 16);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct Float16 {
    using Unpacked = Float32;
    static constexpr int STEP = W, VECTORS = 1;
    static constexpr bool GROUPED = false;
    const uint16_t* row;
    Float16(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const uint16_t*>(data) + n * k) {}
    inline void next(int64_t k, vec* out) {
        expect(row + k);
        out[0] = halves_to_floats(row + k);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct Int8 {
    using Unpacked = Int8;  // its scales come last
    static constexpr int STEP = W, VECTORS = 1;
    static constexpr bool GROUPED = false;
    const int8_t* row;
    Int8(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const int8_t*>(data) + n * k) {}
    inline void next(int64_t k, vec* out) {
        expect(row + k);
        out[0] = to_floats(widen_signed(row + k));
    }
    static float scale(const void* scales, int64_t n) { return static_cast<const float*>(scales)[n]; }
};

// W bytes hold 2 W weights: the even inputs first, then the odd ones, as `split_pairs` lays out x.
struct Int4 {
    using Unpacked = Float32;
    static constexpr int STEP = 2 * W, VECTORS = 2;
    static constexpr bool GROUPED = true;
    const uint8_t* row;
    const uint16_t *scales, *zeros;
    int64_t group;
    Table table;  // the sixteen values that a weight of the present group can have
    Int4(const void* data, const void* scale, const void* zero, int64_t k, int64_t group, int64_t n)
        : row(static_cast<const uint8_t*>(data) + n * (k / 2)),
          scales(static_cast<const uint16_t*>(scale) + n * (k / group)),
          zeros(static_cast<const uint16_t*>(zero) + n * (k / group)),
          group(group) {}
    inline void start(int64_t g) {
        static const float levels[] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
        for (int i = 0; i < 16 / W; ++i) {
            vec scaled = load(levels + i * W) * half_to_float(scales[g]);
            asm volatile("" : "+m"(scaled));  // round here as the reference does: no fused multiply-add
            table.parts[i] = scaled + half_to_float(zeros[g]);
        }
    }
    inline void next(int64_t k, vec* out) {
        expect(row + k / 2);
        const ivec bytes = widen_unsigned(row + k / 2);
        out[0] = choose(table, bytes);
        out[1] = choose(table, bytes >> 4);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

}  // namespace
