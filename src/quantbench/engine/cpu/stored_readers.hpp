// Readers of formats that other libraries store; see `readers.hpp` for what a reader is. A scale is multiplied
// in before the product, so that values are those of the format's own dequantization up to its last bit.
// Layouts: weights/formats/{integers,tables,float8}.py of packed codes, ggml_blocks.py of GGUF blocks.
#pragma once

#include "readers.hpp"

namespace {

// W bytes hold 2 W codes, even inputs low, odd ones high, as `split_pairs` lays out x.
inline Table scaled(const float* levels, float scale) {
    Table table;
    for (int i = 0; i < 16 / W; ++i) table.parts[i] = load(levels + i * W) * scale;
    return table;
}

struct Nibbled {
    using Unpacked = Float32;
    static constexpr int STEP = 2 * W, VECTORS = 2;
    static constexpr bool GROUPED = true;
    const uint8_t* row;
    Table table;  // the sixteen values that a weight of the present group can have
    Nibbled(const void* data, int64_t k, int64_t n) : row(static_cast<const uint8_t*>(data) + n * (k / 2)) {}
    inline void next(int64_t k, vec* out) {
        expect(row + k / 2);
        const ivec bytes = widen_unsigned(row + k / 2);
        out[0] = choose(table, bytes);
        out[1] = choose(table, bytes >> 4);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct ZeroPoint4 : Nibbled {  // (q - zero) * scale
    const uint16_t *scales, *zeros;
    ZeroPoint4(const void* data, const void* scale, const void* zero, int64_t k, int64_t group, int64_t n)
        : Nibbled(data, k, n),
          scales(static_cast<const uint16_t*>(scale) + n * (k / group)),
          zeros(static_cast<const uint16_t*>(zero) + n * (k / group)) {}
    inline void start(int64_t g) {
        static const float codes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        for (int i = 0; i < 16 / W; ++i)
            table.parts[i] = (load(codes + i * W) - half_to_float(zeros[g])) * half_to_float(scales[g]);
    }
};

struct Table4 : Nibbled {  // levels[q] * scale
    const float *scales, *levels;
    Table4(const void* data, const void* scale, const void* levels, int64_t k, int64_t group, int64_t n)
        : Nibbled(data, k, n),
          scales(static_cast<const float*>(scale) + n * (k / group)),
          levels(static_cast<const float*>(levels)) {}
    inline void start(int64_t g) { table = scaled(levels, scales[g]); }
};

struct ZeroPoint8 {  // (q - zero) * scale
    using Unpacked = Float32;
    static constexpr int STEP = W, VECTORS = 1;
    static constexpr bool GROUPED = true;
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
    inline void next(int64_t k, vec* out) {
        expect(row + k);
        out[0] = (to_floats(widen_unsigned(row + k)) - zero_now) * scale_now;
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

// e4m3: its bits are those of a float16 with one bit less in the exponent, times 2^-8.
struct Float8 {
    using Unpacked = Float32;
    static constexpr int STEP = W, VECTORS = 1;
    static constexpr bool GROUPED = true;
    const uint8_t* row;
    const float* scales;
    float scale_now;
    Float8(const void* data, const void* scale, const void*, int64_t k, int64_t group, int64_t n)
        : row(static_cast<const uint8_t*>(data) + n * k), scales(static_cast<const float*>(scale) + n * (k / group)) {}
    inline void start(int64_t g) { scale_now = scales[g]; }
    inline void next(int64_t k, vec* out) {
        expect(row + k);
        const ivec bytes = widen_unsigned(row + k);
        const ivec bits = ((bytes & 0x80) << 24) | ((bytes & 0x7f) << 20);  // a float32 with the exponent 120 too small
        out[0] = (vec)bits * 0x1p120f * scale_now;
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

inline float half_at(const uint8_t* p) {
    uint16_t bits;
    std::memcpy(&bits, p, 2);
    return half_to_float(bits);
}

constexpr int PARTS = 32 / W;  // vectors of 32 inputs

// Blocks of 32 (or 256) inputs, BYTES long, whose values `Block::values(block, sub-block, out)` gives 32 at a time
// in their own order.
template <class Block>
struct Blocks {
    using Unpacked = Float32;
    static constexpr int STEP = 32, VECTORS = PARTS;
    static constexpr bool GROUPED = false;
    const uint8_t* row;
    Blocks(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const uint8_t*>(data) + n * (k / Block::INPUTS * Block::BYTES)) {}
    inline void next(int64_t k, vec* out) {
        const uint8_t* block = row + k / Block::INPUTS * Block::BYTES;
        expect(block + k % Block::INPUTS * Block::BYTES / Block::INPUTS);
        Block::values(block, k % Block::INPUTS / 32, out);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

// Part v of 32 codes in sixteen bytes: the low nibbles of all of them, then the high ones.
inline ivec half_bytes(const uint8_t* bytes, int v) {
    const int at = v * W;
    return (widen_unsigned(bytes + at % 16) >> (at < 16 ? 0 : 4)) & 15;
}

// Part v of 32 bits, each as 0 or 16.
inline ivec fifth_bits(const uint8_t* bits, int v) {
    uint32_t word;
    std::memcpy(&word, bits, 4);
    word >>= v * W;
#if defined(__AVX512F__)
    return (ivec)_mm512_maskz_mov_epi32(static_cast<__mmask16>(word), _mm512_set1_epi32(16));
#else
    ivec places;
    for (int i = 0; i < W; ++i) places[i] = i;
    return (((ivec{} + static_cast<int32_t>(word)) >> places) & 1) << 4;
#endif
}

inline void choose_all(const Table& table, const uint8_t* bytes, vec* out) {
    for (int v = 0; v < PARTS; ++v) out[v] = choose(table, half_bytes(bytes, v));
}

struct Q4_0 {
    static constexpr int INPUTS = 32, BYTES = 18;
    static void values(const uint8_t* block, int64_t, vec* out) {
        const vec d = fill(half_at(block));
        for (int v = 0; v < PARTS; ++v) out[v] = to_floats(half_bytes(block + 2, v) - 8) * d;
    }
};

struct IQ4_NL {
    static constexpr int INPUTS = 32, BYTES = 18;
    static void values(const uint8_t* block, int64_t, vec* out) {
        static const float levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
        choose_all(scaled(levels, half_at(block)), block + 2, out);
    }
};

struct Q4_1 {
    static constexpr int INPUTS = 32, BYTES = 20;
    static void values(const uint8_t* block, int64_t, vec* out) {
        const vec d = fill(half_at(block)), m = fill(half_at(block + 2));
        for (int v = 0; v < PARTS; ++v) out[v] = multiply_add(to_floats(half_bytes(block + 4, v)), d, m);
    }
};

struct Q5_0 {
    static constexpr int INPUTS = 32, BYTES = 22;
    static void values(const uint8_t* block, int64_t, vec* out) {
        const vec d = fill(half_at(block));
        for (int v = 0; v < PARTS; ++v)
            out[v] = to_floats((half_bytes(block + 6, v) | fifth_bits(block + 2, v)) - 16) * d;
    }
};

struct Q5_1 {
    static constexpr int INPUTS = 32, BYTES = 24;
    static void values(const uint8_t* block, int64_t, vec* out) {
        const vec d = fill(half_at(block)), m = fill(half_at(block + 2));
        for (int v = 0; v < PARTS; ++v)
            out[v] = multiply_add(to_floats(half_bytes(block + 8, v) | fifth_bits(block + 4, v)), d, m);
    }
};

struct Q8_0 {
    static constexpr int INPUTS = 32, BYTES = 34;
    static void values(const uint8_t* block, int64_t, vec* out) {
        const vec d = fill(half_at(block));
        const auto* q = reinterpret_cast<const int8_t*>(block + 2);
        for (int v = 0; v < PARTS; ++v) out[v] = to_floats(widen_signed(q + v * W)) * d;
    }
};

// Scale and minimum of sub-block j, six bits each of the twelve bytes `s`, times those of the block.
inline void scale_and_minimum(const uint8_t* block, int64_t j, vec* d, vec* m) {
    const uint8_t* s = block + 4;
    const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    const int minimum = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | (s[j] >> 6) << 4;
    *d = fill(half_at(block) * static_cast<float>(scale));
    *m = fill(-half_at(block + 2) * static_cast<float>(minimum));
}

struct Q4_K {
    static constexpr int INPUTS = 256, BYTES = 144;
    static void values(const uint8_t* block, int64_t j, vec* out) {
        vec d, m;
        scale_and_minimum(block, j, &d, &m);
        const uint8_t* bytes = block + 16 + j / 2 * 32;
        const int shift = j % 2 ? 4 : 0;
        for (int v = 0; v < PARTS; ++v)
            out[v] = multiply_add(to_floats((widen_unsigned(bytes + v * W) >> shift) & 15), d, m);
    }
};

struct Q5_K {
    static constexpr int INPUTS = 256, BYTES = 176;
    static void values(const uint8_t* block, int64_t j, vec* out) {
        vec d, m;
        scale_and_minimum(block, j, &d, &m);
        const uint8_t *bytes = block + 48 + j / 2 * 32, *high = block + 16;
        const int shift = j % 2 ? 4 : 0, bit = static_cast<int>(j);
        for (int v = 0; v < PARTS; ++v) {
            const ivec fifth = ((widen_unsigned(high + v * W) >> bit) & 1) << 4;
            out[v] = multiply_add(to_floats(((widen_unsigned(bytes + v * W) >> shift) & 15) | fifth), d, m);
        }
    }
};

struct Q6_K {
    static constexpr int INPUTS = 256, BYTES = 210;
    static void values(const uint8_t* block, int64_t j, vec* out) {
        const int64_t half = j / 4, quarter = j % 4;  // of the block, of the half
        const uint8_t *low = block + half * 64 + quarter % 2 * 32, *high = block + 128 + half * 32;
        const auto* scales = reinterpret_cast<const int8_t*>(block + 192) + j * 2;
        const int shift = static_cast<int>(quarter) * 2, side = quarter / 2 ? 4 : 0;
        const float d = half_at(block + 208);
        for (int v = 0; v < PARTS; ++v) {
            const ivec top = ((widen_unsigned(high + v * W) >> shift) & 3) << 4;
            const ivec q = (((widen_unsigned(low + v * W) >> side) & 15) | top) - 32;
            out[v] = to_floats(q) * fill(d * static_cast<float>(scales[v * W / 16]));
        }
    }
};

}  // namespace
