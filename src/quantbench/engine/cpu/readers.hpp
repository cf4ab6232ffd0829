// One kind of weight each: `next` hands the weights of STEP inputs from k on to use(vector of floats, its number).
// Where GROUPED, `start` is told each group of inputs before its weights are asked for.
// The layouts are those of weights/formats/{floats,int8,int8_groups,int4}.py.
#pragma once

#include "unpacking.hpp"

namespace {

// How far ahead of its use a weight is asked for: the next rows, since a row ends too soon for the hardware.
constexpr int64_t AHEAD = 8192;  // bytes
inline void expect(const void* p) { __builtin_prefetch(static_cast<const char*>(p) + AHEAD); }

struct Float32 {
    using Unpacked = Float32;  // finishes sums of unpacked weights
    static constexpr int STEP = W;
    static constexpr bool GROUPED = false;
    const float* row;
    Float32(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const float*>(data) + n * k) {}
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k);
        use(load(row + k), 0);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct BFloat16 {
    using Unpacked = Float32;
    static constexpr int STEP = W;
    static constexpr bool GROUPED = false;
    const uint16_t* row;
    BFloat16(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const uint16_t*>(data) + n * k) {}
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k);
        use((vec)(widen_halves(row + k) << 16), 0);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct Float16 {
    using Unpacked = Float32;
    static constexpr int STEP = 16;  // a row is asked for less often
    static constexpr bool GROUPED = false;
    const uint16_t* row;
    Float16(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const uint16_t*>(data) + n * k) {}
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k);
        for (int v = 0; v < STEP / W; ++v) use(halves_to_floats(row + k + v * W), v);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct Int8 {
    using Unpacked = Int8;  // its scales come last
    static constexpr int STEP = W;
    static constexpr bool GROUPED = false;
    const int8_t* row;
    Int8(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const int8_t*>(data) + n * k) {}
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k);
        use(to_floats(widen_signed(row + k)), 0);
    }
    static float scale(const void* scales, int64_t n) { return static_cast<const float*>(scales)[n]; }
};

struct Int8Groups {  // q * scale of its group, exact in float32
    using Unpacked = Float32;
    static constexpr int STEP = W;
    static constexpr bool GROUPED = true;
    static constexpr int64_t span(int64_t group) { return group; }
    const int8_t* row;
    const uint16_t* scales;
    float scale_now;
    Int8Groups(const void* data, const void* scale, const void*, int64_t k, int64_t group, int64_t n)
        : row(static_cast<const int8_t*>(data) + n * k),
          scales(static_cast<const uint16_t*>(scale) + n * (k / group)) {}
    inline void start(int64_t g) { scale_now = half_to_float(scales[g]); }
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k);
        use(to_floats(widen_signed(row + k)) * scale_now, 0);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

// Sixteen bytes hold 32 weights, even inputs low, odd ones high; x is arranged to meet them. A product of scale and
// code is exact, so that the sum with the zero is rounded once, fused or not.
struct Int4Codes {
    static constexpr int STEP = 32;
    static constexpr bool GROUPED = true;
    static constexpr int64_t span(int64_t group) { return group; }
    const uint8_t* row;
    Int4Codes(const void* data, int64_t k, int64_t n) : row(static_cast<const uint8_t*>(data) + n * (k / 2)) {}
#if defined(__AVX512F__)
    Table table;  // the sixteen values that a weight of the present group can have: chosen in one instruction
    inline void begin(float scale, float zero) {
        static const float levels[] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
        table.parts[0] = multiply_add(load(levels), fill(scale), fill(zero));
    }
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k / 2);
        chosen_codes(table, row + k / 2, use);
    }
#else
    float scale_now, zero_now;
    inline void begin(float scale, float zero) {
        scale_now = scale;
        zero_now = zero;
    }
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k / 2);
        scaled_codes(nibbles(row + k / 2) - 8, fill(scale_now), 0, use, fill(zero_now));
    }
#endif
};

struct Int4 : Int4Codes {
    using Unpacked = Float32;
    const uint16_t *scales, *zeros;
    Int4(const void* data, const void* scale, const void* zero, int64_t k, int64_t group, int64_t n)
        : Int4Codes(data, k, n),
          scales(static_cast<const uint16_t*>(scale) + n * (k / group)),
          zeros(static_cast<const uint16_t*>(zero) + n * (k / group)) {}
    inline void start(int64_t g) { begin(half_to_float(scales[g]), half_to_float(zeros[g])); }
    static float scale(const void*, int64_t) { return 1.0f; }
};

// The same codes with double quantization: weights over the row's scale are integers of 13 bits.
struct Int4Double : Int4Codes {
    using Unpacked = Int4Double;  // its rows' scales come last
    const uint8_t* affine;  // step and zero of each group
    Int4Double(const void* data, const void*, const void* affine, int64_t k, int64_t group, int64_t n)
        : Int4Codes(data, k, n), affine(static_cast<const uint8_t*>(affine) + 2 * n * (k / group)) {}
    inline void start(int64_t g) { begin(affine[2 * g], (affine[2 * g + 1] - 128) * 16); }
    static float scale(const void* scales, int64_t n) { return static_cast<const float*>(scales)[n]; }
};

}  // namespace
