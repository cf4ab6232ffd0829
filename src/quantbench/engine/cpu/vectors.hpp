// As many floats at a time as fit the CPU's vectors: loading, converting, summing, exp. Wider ones than it has
// would live in memory between any two instructions (20 times slower on AVX2 with GCC 12).
// Intrinsics stand only where compilers do badly without; the plain form beside each is the meaning.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define QUANTBENCH_NEON 1
#endif

namespace {

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && !defined(__AVX512F__)
#define QUANTBENCH_AVX2 1
constexpr int W = 8;  // floats in a vector
constexpr int TILE_ROWS = 3;  // rows times four columns whose sums fit into the registers
#elif defined(QUANTBENCH_NEON)
constexpr int W = 4;
constexpr int TILE_ROWS = 6;
#else
constexpr int W = 16;
constexpr int TILE_ROWS = 6;
#endif
typedef float vec __attribute__((vector_size(4 * W)));
typedef float loose_vec __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * W)));
typedef int8_t bvec __attribute__((vector_size(W), aligned(1), may_alias));
typedef uint8_t ubvec __attribute__((vector_size(W), aligned(1), may_alias));
typedef uint16_t hvec __attribute__((vector_size(2 * W), aligned(2), may_alias));

// Floats that start where a cache line does: a vector that crosses two lines costs twice.
struct Scratch {
    float* data;
    explicit Scratch(int64_t count)
        : data(static_cast<float*>(std::aligned_alloc(64, count * 4 / 64 * 64 + 64))) {
        if (!data) throw std::bad_alloc();
    }
    ~Scratch() { std::free(data); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
};

inline vec load(const float* p) { return *reinterpret_cast<const loose_vec*>(p); }
inline void store(float* p, vec v) { *reinterpret_cast<loose_vec*>(p) = v; }
inline vec fill(float value) {
#if defined(__AVX512F__)
    return (vec)_mm512_set1_ps(value);
#elif defined(QUANTBENCH_AVX2)
    return (vec)_mm256_set1_ps(value);
#elif defined(QUANTBENCH_NEON)
    return (vec)vdupq_n_f32(value);
#else
    return vec{} + value;
#endif
}

// What several instructions are to use, loaded once: compilers prefer to load it for each of them, and two loads a
// cycle are all there are (GCC 12: fifteen loads for twelve products on AVX2, instead of seven).
template <class V>
inline V in_register(V v) {
#if defined(QUANTBENCH_AVX2)
    asm("" : "+x"(v));
#endif
    return v;
}

// a * b + c in one rounding wherever it is inlined: left to the compiler, some tiles have two (GCC for Zen).
inline vec multiply_add(vec a, vec b, vec c) {
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(QUANTBENCH_AVX2)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(QUANTBENCH_NEON)
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

// sum += a * b in the register where the sum is: left to the compiler, sums of a tile wander and some end in memory.
inline void add_product(vec a, vec b, vec& sum) {
#if defined(QUANTBENCH_AVX2)
    asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
#else
    sum = multiply_add(a, b, sum);
#endif
}

#if defined(__AVX512F__) || defined(QUANTBENCH_AVX2)
inline float sum_eight(__m256 a) {
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

inline void sum_four_eights(const __m256* v, float* out) {
    const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
}
#endif

inline float sum(vec v) {  // always in this order: eight apart, four apart, two apart, neighbours
#if defined(__AVX512F__)
    const __m512 x = (__m512)v;
    return sum_eight(_mm256_add_ps(_mm512_castps512_ps256(x),
                                   _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1))));
#elif defined(QUANTBENCH_AVX2)
    return sum_eight((__m256)v);
#elif defined(QUANTBENCH_NEON)
    const float32x2_t pair = vadd_f32(vget_low_f32((float32x4_t)v), vget_high_f32((float32x4_t)v));
    return vget_lane_f32(pair, 0) + vget_lane_f32(pair, 1);
#else
    float out[W];
    store(out, v);
    for (int half = W / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) out[i] += out[i + half];
    return out[0];
#endif
}

// Four sums at once; the order differs from `sum`, so which of the two makes an element depends on nothing
// but the element's column.
inline void sum_four(const vec* v, float* out) {
#if defined(__AVX512F__)
    __m256 halves[4];
    for (int i = 0; i < 4; ++i)
        halves[i] = _mm256_add_ps(_mm512_castps512_ps256((__m512)v[i]),
                                  _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd((__m512)v[i]), 1)));
    sum_four_eights(halves, out);
#elif defined(QUANTBENCH_AVX2)
    sum_four_eights(reinterpret_cast<const __m256*>(v), out);
#elif defined(QUANTBENCH_NEON)
    const float32x4_t first = vpaddq_f32((float32x4_t)v[0], (float32x4_t)v[1]);
    vst1q_f32(out, vpaddq_f32(first, vpaddq_f32((float32x4_t)v[2], (float32x4_t)v[3])));
#else
    for (int i = 0; i < 4; ++i) out[i] = sum(v[i]);
#endif
}

float half_to_float(uint16_t bits) {
#if defined(__F16C__)
    return _cvtsh_ss(bits);
#elif defined(QUANTBENCH_NEON)
    __fp16 half;
    std::memcpy(&half, &bits, 2);
    return half;
#else
    const uint32_t sign = (bits & 0x8000u) << 16, rest = bits & 0x7fffu;
    uint32_t word;
    float out;
    if (rest >= 0x7c00u) {
        word = sign | 0x7f800000u | ((rest & 0x3ffu) << 13);
    } else if (rest >= 0x400u) {
        word = sign | ((rest << 13) + 0x38000000u);
    } else {
        out = std::ldexp(static_cast<float>(rest), -24);
        return sign ? -out : out;
    }
    std::memcpy(&out, &word, 4);
    return out;
#endif
}

inline vec halves_to_floats(const uint16_t* p) {
#if defined(__AVX512F__)
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(QUANTBENCH_AVX2)
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(QUANTBENCH_NEON)
    return (vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
    vec out;
    for (int i = 0; i < W; ++i) out[i] = half_to_float(p[i]);
    return out;
#endif
}

#if defined(QUANTBENCH_NEON)
inline uint8x8_t four_bytes(const void* p) {
    uint32_t word;
    std::memcpy(&word, p, 4);
    return vcreate_u8(word);
}
#endif

// Compilers widen bytes well only through intrinsics.
inline ivec widen_signed(const int8_t* p) {
#if defined(__AVX512F__)
    return (ivec)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(QUANTBENCH_AVX2)
    return (ivec)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(QUANTBENCH_NEON)
    return (ivec)vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four_bytes(p)))));
#else
    return __builtin_convertvector(*reinterpret_cast<const bvec*>(p), ivec);
#endif
}

inline ivec widen_unsigned(const uint8_t* p) {
#if defined(__AVX512F__)
    return (ivec)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(QUANTBENCH_AVX2)
    return (ivec)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(QUANTBENCH_NEON)
    return (ivec)vmovl_u16(vget_low_u16(vmovl_u8(four_bytes(p))));
#else
    return __builtin_convertvector(*reinterpret_cast<const ubvec*>(p), ivec);
#endif
}

inline ivec widen_halves(const uint16_t* p) {
#if defined(__AVX512F__)
    return (ivec)_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(QUANTBENCH_AVX2)
    return (ivec)_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(QUANTBENCH_NEON)
    return (ivec)vmovl_u16(vld1_u16(p));
#else
    return __builtin_convertvector(*reinterpret_cast<const hvec*>(p), ivec);
#endif
}

inline vec to_floats(ivec v) {
#if defined(__AVX512F__)
    return (vec)_mm512_cvtepi32_ps((__m512i)v);
#elif defined(QUANTBENCH_AVX2)
    return (vec)_mm256_cvtepi32_ps((__m256i)v);
#elif defined(QUANTBENCH_NEON)
    return (vec)vcvtq_f32_s32((int32x4_t)v);
#else
    return __builtin_convertvector(v, vec);
#endif
}

// Sixteen values, of which the lowest four bits of each index choose one.
struct Table {
    vec parts[16 / W];
};

inline vec choose(const Table& table, ivec index) {
#if defined(__AVX512F__)
    return (vec)_mm512_permutexvar_ps((__m512i)index, (__m512)table.parts[0]);
#elif defined(QUANTBENCH_AVX2)
    const __m256 low = _mm256_permutevar8x32_ps((__m256)table.parts[0], (__m256i)index);
    const __m256 high = _mm256_permutevar8x32_ps((__m256)table.parts[1], (__m256i)index);
    return (vec)_mm256_blendv_ps(low, high, (__m256)(index << 28));  // by the fourth bit
#elif defined(QUANTBENCH_NEON)
    uint8x16x4_t bytes;
    for (int i = 0; i < 4; ++i) bytes.val[i] = (uint8x16_t)table.parts[i];
    const ivec places = (index & 15) * 0x04040404 + 0x03020100;  // of the four bytes of a value
    return (vec)vqtbl4q_u8(bytes, (uint8x16_t)places);
#else
    vec out;
    for (int i = 0; i < W; ++i) out[i] = table.parts[0][index[i] & 15];
    return out;
#endif
}

// exp(x) with a relative error of about 1e-7: 2^n times a polynomial on [-ln2/2, ln2/2].
inline vec exponential(vec x) {
    const vec low = fill(-87.3f), high = fill(88.3f);
    x = x < low ? low : x;
    x = x > high ? high : x;
    const vec shift = fill(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    const vec n = multiply_add(x, fill(1.44269504088896341f), shift) - shift;
    const vec r = multiply_add(n, fill(2.12194440e-4f), multiply_add(n, fill(-0.693359375f), x));
    vec p = fill(1.9875691500e-4f);
    for (const float term : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = multiply_add(p, r, fill(term));
    p = multiply_add(p * r, r, r) + 1.0f;
    const ivec power = (__builtin_convertvector(n, ivec) + 127) << 23;
    return p * (vec)power;
}

}  // namespace
