// How weights are cut out of rows that lie side by side (AVX2): eight outputs in a vector. Of each row BYTES hold
// INPUTS weights; what follows once a span of inputs is in `Span`.
#pragma once

#include "product.hpp"

// Rows side by side in the layout of `weights/formats/beside.py`; 0 where kernels want rows as they are.
#ifdef QUANTBENCH_AVX2
#define QUANTBENCH_BESIDE 64
#else
#define QUANTBENCH_BESIDE 0
#endif

namespace {

// A kind of weight whose rows lie side by side.
template <class R>
struct Beside {
    typedef R Kind;
};

#ifdef QUANTBENCH_AVX2

// Four bytes in every place, loaded here and now: hoisted out of a loop, or all before their use, such values would
// drive sums out of the registers.
template <class T>
inline vec spread(const T& value) {
    vec out;
    asm volatile("vbroadcastss %1, %0" : "=x"(out) : "m"(value));
    return out;
}

inline __m128i eight_words(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline vec eight_halves(const char* p) { return (vec)_mm256_cvtph_ps(eight_words(p)); }

// Of one group of each of eight rows: weights over their row's scale are code * scale + zero.
struct Affine {
    vec scale, zero;
};

// Weights that are read one by one and have no groups.
struct OneByOne {
    static constexpr int INPUTS = 1, ROUND = 4;  // inputs a round of the loop
    static constexpr bool GROUPED = false, ROW_SCALES = false;
};

template <class R>
struct Cuts;
template <>
struct Cuts<Float32> : OneByOne {
    static constexpr int BYTES = 4;
    template <int>
    struct Cut {
        inline vec operator()(const char* p) const { return load(reinterpret_cast<const float*>(p)); }
    };
};
template <>
struct Cuts<BFloat16> : OneByOne {
    static constexpr int BYTES = 2;
    template <int>
    struct Cut {
        inline vec operator()(const char* p) const {
            return (vec)(widen_halves(reinterpret_cast<const uint16_t*>(p)) << 16);
        }
    };
};
template <>
struct Cuts<Float16> : OneByOne {
    static constexpr int BYTES = 2;
    template <int>
    struct Cut {
        inline vec operator()(const char* p) const { return eight_halves(p); }
    };
};
template <>
struct Cuts<Int8> : OneByOne {
    static constexpr int BYTES = 1;
    static constexpr bool ROW_SCALES = true;
    template <int>
    struct Cut {
        inline vec operator()(const char* p) const {
            return to_floats(widen_signed(reinterpret_cast<const int8_t*>(p)));
        }
    };
};

// 4-bit codes: a word of a row holds eight. A code is cut out where it stands, times 16 for every place, which the
// activations take back, and made a float: with the product three instructions for eight weights, of which four a
// cycle are possible. Scale and zero come once a group: sum of w * x = scale * sum of code * x + zero * sum of x.
struct NibbleCuts {
    static constexpr int INPUTS = 8, BYTES = 4, ROUND = 8;
    static constexpr bool GROUPED = true, ROW_SCALES = false;
    template <int J>
    struct Cut {
        __m256i mask;
        Cut() {
            static const int32_t BITS = 15 << 4 * (J % 7);
            mask = (__m256i)spread(BITS);
        }
        inline vec operator()(const char* p) const {
            const __m256i words = *reinterpret_cast<const __m256i*>(p);
            if constexpr (J == INPUTS - 1) return to_floats((ivec)_mm256_srli_epi32(words, 28));  // as it is
            return to_floats((ivec)_mm256_and_si256(words, mask));
        }
    };
};
// affine: of a group of eight rows; scales and zeros: where two bytes of each row begin.
template <>
struct Cuts<Int4> : NibbleCuts {
    static Affine affine(const char* scales, const char* zeros) {
        const vec scale = eight_halves(scales);
        return {scale, multiply_add(scale, fill(-8), eight_halves(zeros))};
    }
};
template <>
struct Cuts<ZeroPoint4> : NibbleCuts {
    static Affine affine(const char* scales, const char* zeros) {
        const vec scale = eight_halves(scales);
        return {scale, -scale * eight_halves(zeros)};
    }
};
template <>
struct Cuts<Int4Double> : NibbleCuts {
    static constexpr bool ROW_SCALES = true;
    static Affine affine(const char*, const char* zeros) {
        const __m256i pairs = _mm256_cvtepu16_epi32(eight_words(zeros));  // step low, zero high
        const vec scale = to_floats((ivec)_mm256_and_si256(pairs, _mm256_set1_epi32(255)));
        const vec zero = to_floats((ivec)_mm256_srli_epi32(pairs, 8));
        return {scale, multiply_add(scale, fill(-8), multiply_add(zero, fill(16), fill(-128 * 16)))};
    }
};

#endif

}  // namespace
