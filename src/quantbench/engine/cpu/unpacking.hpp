// Codes of up to eight bits, 32 at a time: put together as bytes, where one instruction treats all of them, and only
// then made floats. On AVX2 a byte becomes a float in two steps, without being widened in order: it is moved to the
// top of its word, so that it comes out 2^24 times too large (scales are multiplied by UNIT), and four of each half
// meet in a vector. `arrange` gives inputs the same order.
#pragma once

#include "parts.hpp"

namespace {

typedef int8_t codes __attribute__((vector_size(32)));

constexpr int PARTS = 32 / W;  // vectors of 32 inputs
#if defined(QUANTBENCH_AVX2)
constexpr float UNIT = 0x1p-24f;
constexpr bool NATURAL = false;  // whether vectors hold codes in their own order
constexpr int code_at(int place) { return place / 8 * 4 + place % 4 + (place % 8 < 4 ? 0 : 16); }
#else
constexpr float UNIT = 1.0f;
constexpr bool NATURAL = true;
constexpr int code_at(int place) { return place; }
#endif
// Input of code i where bytes hold two neighbours, even inputs low: `nibbles` gives the low ones of all bytes first,
// `chosen_codes` those of W bytes.
constexpr int pair_of(int i) { return i < 16 ? 2 * i : 2 * i - 31; }
constexpr int near_pair_of(int i) { return i / (2 * W) * 2 * W + i % W * 2 + i / W % 2; }

// x [count], a multiple of 32, in the order in which a kind's codes meet it.
template <class Order>
void arrange(const float* x, int64_t count, Order order, float* out) {
    in_parts(count > (1 << 16), count / 32, [&](int64_t first, int64_t end) {
        for (int64_t start = first * 32; start < end * 32; start += 32)
            for (int i = 0; i < 32; ++i) out[start + i] = x[start + order(i)];
    });
}

inline codes load_codes(const void* p) {
    codes out;
    std::memcpy(&out, p, 32);
    return out;
}

#if defined(QUANTBENCH_NEON)
struct Sixteens {  // 32 codes in the two vectors that hold them
    int8x16_t low, high;
};
inline codes joined(uint8x16_t low, uint8x16_t high) {
    const Sixteens both{vreinterpretq_s8_u8(low), vreinterpretq_s8_u8(high)};
    codes out;
    std::memcpy(&out, &both, 32);
    return out;
}
inline Sixteens parted(codes c) {
    Sixteens out;
    std::memcpy(&out, &c, 32);
    return out;
}
#endif

// The low or the high four bits of 32 bytes; of those two bits at `shift`, as 0 to 48.
inline codes low_four(codes bytes) { return bytes & 15; }
inline codes high_four(codes bytes) {
    typedef uint16_t words __attribute__((vector_size(32)));
    return (codes)((words)bytes >> 4) & 15;
}
template <int SHIFT>
inline codes two_bits(codes bytes) {
    typedef uint16_t words __attribute__((vector_size(32)));
    return (codes)(SHIFT < 4 ? (words)bytes << (4 - SHIFT) : (words)bytes >> (SHIFT - 4)) & 48;
}

// 32 codes in sixteen bytes: the low nibbles of all of them, then the high ones.
inline codes nibbles(const uint8_t* bytes) {
#if defined(__AVX2__)
    const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
    return (codes)_mm256_srlv_epi32(both, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)) & 15;
#elif defined(QUANTBENCH_NEON)
    const uint8x16_t both = vld1q_u8(bytes);
    return joined(vandq_u8(both, vdupq_n_u8(15)), vshrq_n_u8(both, 4));
#else
    codes out;
    for (int i = 0; i < 16; ++i) {
        out[i] = bytes[i] & 15;
        out[16 + i] = bytes[i] >> 4;
    }
    return out;
#endif
}

// 32 bits, each as 0 where it is set and as -1 where not.
inline codes unset_bits(const uint8_t* bits) {
    uint32_t word;
    std::memcpy(&word, bits, 4);
#if defined(__AVX2__)
    const __m256i bytes = _mm256_shuffle_epi8(
        _mm256_set1_epi32(static_cast<int>(word)),
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    const __m256i one = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));  // of the eight in each byte
    return (codes)_mm256_cmpeq_epi8(_mm256_and_si256(bytes, one), _mm256_setzero_si256());
#elif defined(QUANTBENCH_NEON)
    const uint8x16_t one = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));  // of the eight in each byte
    const auto unset = [one](uint32_t two) {
        const uint8x8_t first = vdup_n_u8(two & 255), second = vdup_n_u8(two >> 8 & 255);
        return vceqzq_u8(vandq_u8(vcombine_u8(first, second), one));
    };
    return joined(unset(word), unset(word >> 16));
#else
    codes out;
    for (int i = 0; i < 32; ++i) out[i] = static_cast<int8_t>((word >> i & 1) - 1);
    return out;
#endif
}

// levels[codes], sixteen signed bytes.
inline codes look_up(const int8_t* levels, codes index) {
#if defined(__AVX2__)
    const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
    return (codes)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), (__m256i)index);
#elif defined(QUANTBENCH_NEON)
    const uint8x16_t table = vreinterpretq_u8_s8(vld1q_s8(levels));
    const Sixteens at = parted(index);
    return joined(vqtbl1q_u8(table, vreinterpretq_u8_s8(at.low)), vqtbl1q_u8(table, vreinterpretq_u8_s8(at.high)));
#else
    codes out;
    for (int i = 0; i < 32; ++i) out[i] = levels[index[i]];
    return out;
#endif
}

// Part v of the codes as floats, times 1 / UNIT.
inline vec part(codes c, int v) {
#if defined(QUANTBENCH_AVX2)
    const auto word = [v](int i) { return (v * 4 + i) << 24 | 0x808080; };
    const __m256i tops =
        _mm256_setr_epi32(word(0), word(1), word(2), word(3), word(0), word(1), word(2), word(3));
    return to_floats((ivec)_mm256_shuffle_epi8((__m256i)c, tops));
#elif defined(__AVX512F__)
    const __m256i all = (__m256i)c;
    return to_floats((ivec)_mm512_cvtepi8_epi32(v ? _mm256_extracti128_si256(all, 1) : _mm256_castsi256_si128(all)));
#elif defined(QUANTBENCH_NEON)
    const Sixteens both = parted(c);
    const int8x16_t sixteen = v < 4 ? both.low : both.high;
    const int16x8_t eight = v & 2 ? vmovl_high_s8(sixteen) : vmovl_s8(vget_low_s8(sixteen));
    return to_floats((ivec)(v & 1 ? vmovl_high_s16(eight) : vmovl_s16(vget_low_s16(eight))));
#else
    return to_floats(widen_signed(reinterpret_cast<const int8_t*>(&c) + v * W));
#endif
}

// One factor for the first sixteen of 32 codes, one for the others.
#if defined(QUANTBENCH_AVX2)
typedef vec Halved;  // four of each half are in every vector
inline Halved halved(float first, float second) {
    return (vec)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_set1_ps(first)), _mm_set1_ps(second), 1);
}
#else
struct Halved {
    vec parts[2];
};
inline Halved halved(float first, float second) { return Halved{{fill(first), fill(second)}}; }
inline vec factor(const Halved& d, int v) { return d.parts[v / (PARTS / 2)]; }
#endif
inline vec factor(vec d, int) { return d; }

// 32 codes from vector `first` on, to use(vector, its number): codes * d, or codes * d + m.
template <class D, class Use>
inline void scaled_codes(codes c, D d, int first, Use use) {
    for (int v = 0; v < PARTS; ++v) use(part(c, v) * (factor(d, v) * UNIT), first + v);
}
template <class Use>
inline void scaled_codes(codes c, vec d, int first, Use use, vec m) {
    for (int v = 0; v < PARTS; ++v) use(multiply_add(part(c, v), d * UNIT, m), first + v);
}

// table[codes] of 32 codes in sixteen bytes.
template <class Use>
inline void chosen_codes(const Table& table, const uint8_t* bytes, Use use) {
    for (int v = 0; v < PARTS; v += 2) {
        const ivec words = widen_unsigned(bytes + v / 2 * W);
        use(choose(table, words), v);
        use(choose(table, words >> 4), v + 1);
    }
}

inline float half_at(const uint8_t* p) {
    uint16_t bits;
    std::memcpy(&bits, p, 2);
    return half_to_float(bits);
}

#if defined(QUANTBENCH_AVX2)
// Every float16 as a float: reading one costs no vector instruction, converting it three.
struct HalfTable {
    float values[1 << 16];
    HalfTable() {
        for (int i = 0; i < 1 << 16; ++i) values[i] = half_to_float(static_cast<uint16_t>(i));
    }
};
const HalfTable HALVES;
#endif

// A float16 in every place.
inline vec fill_half(const uint8_t* p) {
#if defined(QUANTBENCH_AVX2)
    uint16_t bits;
    std::memcpy(&bits, p, 2);
    return fill(HALVES.values[bits]);
#elif defined(__AVX512F__)
    int16_t bits;
    std::memcpy(&bits, p, 2);
    return (vec)_mm512_cvtph_ps(_mm256_set1_epi16(bits));
#else
    return fill(half_at(p));
#endif
}

}  // namespace
