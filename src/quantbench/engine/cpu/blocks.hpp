// Readers of GGUF blocks, byte for byte as a file holds them (layouts: weights/formats/ggml_blocks.py). A scale is
// multiplied in before the product, so that values are those of the format's own dequantization up to its last bit.
#pragma once

#include "readers.hpp"

namespace {

constexpr int64_t BLOCKS_AHEAD = 16384;  // bytes: four rows of 8192 inputs, whose successors come next

// Blocks of INPUTS inputs, BYTES long. `start` meets a block; `runs` gives STEP inputs of it, 32 at a time, to
// use(number, codes, d) or use(number, codes, d, m), values being codes * d (+ m).
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
    inline void runs(int64_t k, Use use) const {
        const int step = Block::INPUTS == STEP ? 0 : static_cast<int>(static_cast<uint64_t>(k) % Block::INPUTS / STEP);
        constexpr int bytes = Block::BYTES * STEP / Block::INPUTS;
        for (int at = 0; at < bytes; at += 64) __builtin_prefetch(block.at + step * bytes + at + BLOCKS_AHEAD);
        block.runs(step, use);
    }
    template <class Use>
    inline void next(int64_t k, Use use) const {
        runs(k, [&](int number, codes c, auto d, auto... m) __attribute__((always_inline)) {
            scaled_codes(c, d, number * PARTS, use, m...);
        });
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct Block32 {
    static constexpr int INPUTS = 32, STEP = 32;
    static constexpr bool SHIFTED = false;
    const uint8_t* at;
    inline void start(const uint8_t* block) { at = block; }
    inline vec d() const { return fill_half(at); }
    inline vec m() const { return fill_half(at + 2); }
};

struct Q4_0 : Block32 {
    static constexpr int BYTES = 18;
    template <class Use>
    inline void runs(int, Use use) const {
        use(0, nibbles(at + 2) - 8, d());
    }
};

struct IQ4_NL : Block32 {
    static constexpr int BYTES = 18;
    template <class Use>
    inline void runs(int, Use use) const {
        static const int8_t levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
        use(0, look_up(levels, nibbles(at + 2)), d());
    }
};

struct Q4_1 : Block32 {
    static constexpr int BYTES = 20;
    static constexpr bool SHIFTED = true;
    template <class Use>
    inline void runs(int, Use use) const {
        use(0, nibbles(at + 4), d(), m());
    }
};

struct Q5_0 : Block32 {
    static constexpr int BYTES = 22;
    template <class Use>
    inline void runs(int, Use use) const {
        use(0, nibbles(at + 6) | (unset_bits(at + 2) & -16), d());
    }
};

struct Q5_1 : Block32 {
    static constexpr int BYTES = 24;
    static constexpr bool SHIFTED = true;
    template <class Use>
    inline void runs(int, Use use) const {
        use(0, nibbles(at + 8) | (~unset_bits(at + 4) & 16), d(), m());
    }
};

struct Q8_0 : Block32 {
    static constexpr int BYTES = 34;
    template <class Use>
    inline void runs(int, Use use) const {
        use(0, load_codes(at + 2), d());
    }
};

// Q4_K and Q5_K: eight sub-blocks of 32, their scales and minima six bits each of twelve bytes, times d and m.
struct SubBlocks {
    static constexpr int INPUTS = 256, STEP = 64;
    static constexpr bool SHIFTED = true;
    const uint8_t* at;
    float d[8], m[8];
    inline void start(const uint8_t* block) {
        at = block;
        uint32_t a, b, c;
        std::memcpy(&a, block + 4, 4);
        std::memcpy(&b, block + 8, 4);
        std::memcpy(&c, block + 12, 4);
        const uint32_t fours = 0x0f0f0f0f, sixes = 0x3f3f3f3f, tops = 0x30303030;
        const uint64_t words[] = {(a & sixes) | static_cast<uint64_t>((c & fours) | (a >> 2 & tops)) << 32,
                                  (b & sixes) | static_cast<uint64_t>((c >> 4 & fours) | (b >> 2 & tops)) << 32};
        uint8_t bytes[16];
        std::memcpy(bytes, words, 16);
        float wide[16];
        for (int v = 0; v < 16; v += W) store(wide + v, to_floats(widen_unsigned(bytes + v)));
        const float scale = half_at(block), minimum = -half_at(block + 2);
        for (int j = 0; j < 8; ++j) d[j] = scale * wide[j];
        for (int j = 0; j < 8; ++j) m[j] = minimum * wide[8 + j];
    }
};

struct Q4_K : SubBlocks {
    static constexpr int BYTES = 144;
    template <class Use>
    inline void runs(int step, Use use) const {
        const codes bytes = load_codes(at + 16 + step * 32);
        use(0, low_four(bytes), fill(d[2 * step]), fill(m[2 * step]));
        use(1, high_four(bytes), fill(d[2 * step + 1]), fill(m[2 * step + 1]));
    }
};

struct Q5_K : SubBlocks {
    static constexpr int BYTES = 176;
    template <class Use>
    inline void runs(int step, Use use) const {
        typedef uint16_t words __attribute__((vector_size(32)));
        const codes bytes = load_codes(at + 48 + step * 32);
        const words high = (words)load_codes(at + 16) >> static_cast<uint16_t>(2 * step);
        use(0, low_four(bytes) | ((codes)(high << 4) & 16), fill(d[2 * step]), fill(m[2 * step]));
        use(1, high_four(bytes) | ((codes)(high << 3) & 16), fill(d[2 * step + 1]), fill(m[2 * step + 1]));
    }
};

// Sixteen scales of sixteen inputs each, signed bytes, times d at the end.
struct Q6_K {
    static constexpr int INPUTS = 256, BYTES = 210, STEP = 128;
    static constexpr bool SHIFTED = false;
    const uint8_t* at;
    float d[16];
    inline void start(const uint8_t* block) {
        at = block;
        const float scale = half_at(block + 208);
        const auto* scales = reinterpret_cast<const int8_t*>(block + 192);
        for (int v = 0; v < 16; v += W) store(d + v, to_floats(widen_signed(scales + v)) * fill(scale));
    }
    inline Halved scales(int run) const { return halved(d[2 * run], d[2 * run + 1]); }
    template <class Use>
    inline void runs(int half, Use use) const {
        const codes first = load_codes(at + half * 64), second = load_codes(at + half * 64 + 32);
        const codes high = load_codes(at + 128 + half * 32);
        use(0, (low_four(first) | two_bits<0>(high)) - 32, scales(half * 4));
        use(1, (low_four(second) | two_bits<2>(high)) - 32, scales(half * 4 + 1));
        use(2, (high_four(first) | two_bits<4>(high)) - 32, scales(half * 4 + 2));
        use(3, (high_four(second) | two_bits<6>(high)) - 32, scales(half * 4 + 3));
    }
};

}  // namespace
