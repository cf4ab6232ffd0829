// Readers of formats that other libraries store; see `readers.hpp` for what a reader is. A scale is multiplied
// in before the product, so that values are those of the format's own dequantization up to its last bit.
// Layouts: weights/formats/{integers,tables,float8}.py.
#pragma once

#include "readers.hpp"

namespace {

// Sixteen bytes hold 32 codes, even inputs low, odd ones high; x is arranged to meet them.
struct Nibbled {
    using Unpacked = Float32;
    static constexpr int STEP = 32;
    static constexpr bool GROUPED = true;
    static constexpr int64_t span(int64_t group) { return group; }
    const uint8_t* row;
    Nibbled(const void* data, int64_t k, int64_t n) : row(static_cast<const uint8_t*>(data) + n * (k / 2)) {}
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct Table4 : Nibbled {  // levels[q] * scale
    const float *scales, *levels;
    Table table;  // the sixteen values that a weight of the present group can have
    Table4(const void* data, const void* scale, const void* levels, int64_t k, int64_t group, int64_t n)
        : Nibbled(data, k, n),
          scales(static_cast<const float*>(scale) + n * (k / group)),
          levels(static_cast<const float*>(levels)) {}
    inline void start(int64_t g) {
        for (int i = 0; i < 16 / W; ++i) table.parts[i] = load(levels + i * W) * scales[g];
    }
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k / 2);
        chosen_codes(table, row + k / 2, use);
    }
};

struct ZeroPoint4 : Nibbled {  // (q - zero) * scale; zero need not be whole
    const uint16_t *scales, *zeros;
    float scale_now, zero_now;
    ZeroPoint4(const void* data, const void* scale, const void* zero, int64_t k, int64_t group, int64_t n)
        : Nibbled(data, k, n),
          scales(static_cast<const uint16_t*>(scale) + n * (k / group)),
          zeros(static_cast<const uint16_t*>(zero) + n * (k / group)) {}
    inline void start(int64_t g) {
        scale_now = half_to_float(scales[g]) * UNIT;
        zero_now = half_to_float(zeros[g]) / UNIT;
    }
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k / 2);
        const codes c = nibbles(row + k / 2);
        const vec zeros = fill(zero_now), scales = fill(scale_now);
        for (int v = 0; v < PARTS; ++v) use((part(c, v) - zeros) * scales, v);
    }
};

struct ZeroPoint8 {  // (q - zero) * scale
    using Unpacked = Float32;
    static constexpr int STEP = W;
    static constexpr bool GROUPED = true;
    static constexpr int64_t span(int64_t group) { return group; }
    const uint8_t* row;
    const uint16_t *scales, *zeros;
    float scale_now, zero_now;
    ZeroPoint8(const void* data, const void* scale, const void* zero, int64_t k, int64_t group, int64_t n)
        : row(static_cast<const uint8_t*>(data) + n * k),
          scales(static_cast<const uint16_t*>(scale) + n * (k / group)),
          zeros(static_cast<const uint16_t*>(zero) + n * (k / group)) {}
    inline void start(int64_t g) {
        scale_now = half_to_float(scales[g]);
        zero_now = half_to_float(zeros[g]);
    }
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k);
        use((to_floats(widen_unsigned(row + k)) - zero_now) * scale_now, 0);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

// e4m3: its bits are those of a float16 with one bit less in the exponent, times 2^-8.
struct Float8 {
    using Unpacked = Float32;
    static constexpr int STEP = W;
    static constexpr bool GROUPED = true;
    static constexpr int64_t span(int64_t group) { return group; }
    const uint8_t* row;
    const float* scales;
    float scale_now;
    Float8(const void* data, const void* scale, const void*, int64_t k, int64_t group, int64_t n)
        : row(static_cast<const uint8_t*>(data) + n * k), scales(static_cast<const float*>(scale) + n * (k / group)) {}
    inline void start(int64_t g) { scale_now = scales[g]; }
    template <class Use>
    inline void next(int64_t k, Use use) {
        expect(row + k);
        const ivec bytes = widen_unsigned(row + k);
        const ivec bits = ((bytes & 0x80) << 24) | ((bytes & 0x7f) << 20);  // a float32 with the exponent 120 too small
        use((vec)bits * 0x1p120f * scale_now, 0);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

}  // namespace
