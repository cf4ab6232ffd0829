// Readers of GGUF blocks, byte for byte as a file holds them (layouts: weights/formats/ggml_blocks.py). A scale is
// multiplied in before the product, so that values are those of the format's own dequantization up to its last bit.
#pragma once

#include "readers.hpp"

namespace {

// Blocks of INPUTS inputs, BYTES long. `start` meets a block, `values(part, use)` gives STEP inputs of it to
// use(vector, its number).
template <class Block>
struct Blocks {
    using Unpacked = Float32;
    static constexpr int STEP = Block::STEP;
    static constexpr bool GROUPED = true;
    static constexpr int64_t span(int64_t) { return Block::INPUTS; }
    const uint8_t* row;
    Block block;
    Blocks(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const uint8_t*>(data) + n * (k / Block::INPUTS * Block::BYTES)) {}
    inline void start(int64_t g) { block.start(row + g * Block::BYTES); }
    template <class Use>
    inline void next(int64_t k, Use use) {
        const int step = Block::INPUTS == STEP ? 0 : static_cast<int>(k % Block::INPUTS / STEP);
        expect(block.at + step * (Block::BYTES * STEP / Block::INPUTS));
        block.values(step, use);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct Block32 {
    static constexpr int INPUTS = 32, STEP = 32;
    const uint8_t* at;
    inline void start(const uint8_t* block) { at = block; }
    inline vec d() const { return fill_half(at) * UNIT; }
    inline vec m() const { return fill_half(at + 2); }
};

struct Q4_0 : Block32 {
    static constexpr int BYTES = 18;
    template <class Use>
    inline void values(int, Use use) const {
        scaled_codes(nibbles(at + 2) - 8, d(), 0, use);
    }
};

struct IQ4_NL : Block32 {
    static constexpr int BYTES = 18;
    template <class Use>
    inline void values(int, Use use) const {
        static const int8_t levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
        scaled_codes(look_up(levels, nibbles(at + 2)), d(), 0, use);
    }
};

struct Q4_1 : Block32 {
    static constexpr int BYTES = 20;
    template <class Use>
    inline void values(int, Use use) const {
        shifted_codes(nibbles(at + 4), d(), m(), 0, use);
    }
};

struct Q5_0 : Block32 {
    static constexpr int BYTES = 22;
    template <class Use>
    inline void values(int, Use use) const {
        scaled_codes((nibbles(at + 6) | fifth_bits(at + 2)) - 16, d(), 0, use);
    }
};

struct Q5_1 : Block32 {
    static constexpr int BYTES = 24;
    template <class Use>
    inline void values(int, Use use) const {
        shifted_codes(nibbles(at + 8) | fifth_bits(at + 4), d(), m(), 0, use);
    }
};

struct Q8_0 : Block32 {
    static constexpr int BYTES = 34;
    template <class Use>
    inline void values(int, Use use) const {
        scaled_codes(load_codes(at + 2), d(), 0, use);
    }
};

// Q4_K and Q5_K: eight sub-blocks of 32, their scales and minima six bits each of twelve bytes, times d and m.
struct SubBlocks {
    static constexpr int INPUTS = 256, STEP = 64;
    const uint8_t* at;
    float d[8], m[8];
    inline void start(const uint8_t* block) {
        at = block;
        uint32_t a, b, c;
        std::memcpy(&a, block + 4, 4);
        std::memcpy(&b, block + 8, 4);
        std::memcpy(&c, block + 12, 4);
        const uint32_t fours = 0x0f0f0f0f, sixes = 0x3f3f3f3f, tops = 0x30303030;
        const uint32_t words[] = {a & sixes, (c & fours) | (a >> 2 & tops),  // scales
                                  b & sixes, (c >> 4 & fours) | (b >> 2 & tops)};
        uint8_t bytes[16];
        std::memcpy(bytes, words, 16);
        const float scale = half_at(block) * UNIT, minimum = -half_at(block + 2);
        for (int j = 0; j < 8; ++j) d[j] = scale * static_cast<float>(bytes[j]);
        for (int j = 0; j < 8; ++j) m[j] = minimum * static_cast<float>(bytes[8 + j]);
    }
};

struct Q4_K : SubBlocks {
    static constexpr int BYTES = 144;
    template <class Use>
    inline void values(int step, Use use) const {
        const codes bytes = load_codes(at + 16 + step * 32);
        shifted_codes(low_four(bytes), fill(d[2 * step]), fill(m[2 * step]), 0, use);
        shifted_codes(high_four(bytes), fill(d[2 * step + 1]), fill(m[2 * step + 1]), PARTS, use);
    }
};

struct Q5_K : SubBlocks {
    static constexpr int BYTES = 176;
    template <class Use>
    inline void values(int step, Use use) const {
        typedef uint16_t words __attribute__((vector_size(32)));
        const codes bytes = load_codes(at + 48 + step * 32);
        const words high = (words)load_codes(at + 16) >> static_cast<uint16_t>(2 * step);
        shifted_codes(low_four(bytes) | ((codes)(high << 4) & 16), fill(d[2 * step]), fill(m[2 * step]), 0, use);
        shifted_codes(high_four(bytes) | ((codes)(high << 3) & 16), fill(d[2 * step + 1]), fill(m[2 * step + 1]), PARTS,
                      use);
    }
};

// Sixteen scales of sixteen inputs each, signed bytes, times d at the end.
struct Q6_K {
    static constexpr int INPUTS = 256, BYTES = 210, STEP = 128;
    const uint8_t* at;
    float d[16];
    inline void start(const uint8_t* block) {
        at = block;
        const float scale = half_at(block + 208) * UNIT;
        for (int j = 0; j < 16; ++j) d[j] = scale * static_cast<float>(static_cast<int8_t>(block[192 + j]));
    }
    template <class Use>
    inline void quarter(codes c, const float* scales, int first, Use use) const {
#if defined(QUANTBENCH_AVX2)
        const vec both = (vec)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_set1_ps(scales[0])),
                                                   _mm_set1_ps(scales[1]), 1);
        scaled_codes(c - 32, both, first, use);
#else
        for (int v = 0; v < PARTS; ++v) use(part(c - 32, v) * fill(scales[v * W / 16]), first + v);
#endif
    }
    template <class Use>
    inline void values(int half, Use use) const {
        const codes first = load_codes(at + half * 64), second = load_codes(at + half * 64 + 32);
        const codes high = load_codes(at + 128 + half * 32);
        const float* scales = d + half * 8;
        quarter(low_four(first) | two_bits<0>(high), scales, 0, use);
        quarter(low_four(second) | two_bits<2>(high), scales + 2, PARTS, use);
        quarter(high_four(first) | two_bits<4>(high), scales + 4, 2 * PARTS, use);
        quarter(high_four(second) | two_bits<6>(high), scales + 6, 3 * PARTS, use);
    }
};

}  // namespace
