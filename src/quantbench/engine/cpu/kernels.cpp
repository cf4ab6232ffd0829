// Matrix products with packed weights, and the small steps between them, for one CPU; float32 arithmetic.
//
// Compiled at first use by `build.py` for the machine at hand and called through ctypes. Weights are read in
// the layouts of engine/weights.py, converted in registers and never stored as floats. Every output element
// is summed in the same order whatever the number of rows, so a row's result does not depend on its batch.
// Nothing is allocated that outlives a call, and no argument is checked here: `linear.py` and `steps.py` do.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int W = 16;  // floats in a vector
typedef float vec __attribute__((vector_size(64)));
typedef float loose_vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(64)));
typedef int8_t bvec __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t ubvec __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint16_t hvec __attribute__((vector_size(32), aligned(2), may_alias));

// Floats that start where a cache line does: a vector that crosses two lines costs twice.
struct Scratch {
    float* data;
    explicit Scratch(int64_t count)
        : data(static_cast<float*>(std::aligned_alloc(64, (count * 4 + 63) / 64 * 64))) {
        if (!data) throw std::bad_alloc();
    }
    ~Scratch() { std::free(data); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
};

inline vec load(const float* p) { return *reinterpret_cast<const loose_vec*>(p); }
inline void store(float* p, vec v) { *reinterpret_cast<loose_vec*>(p) = v; }
inline vec fill(float value) { return vec{} + value; }

inline float sum(vec v) {  // always in this order: eight apart, four apart, two apart, neighbours
#if defined(__AVX512F__)
    const __m512 x = (__m512)v;
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x),
                                   _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
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
    const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(halves[0], halves[1]), _mm256_hadd_ps(halves[2], halves[3]));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
#else
    for (int i = 0; i < 4; ++i) out[i] = sum(v[i]);
#endif
}

float half_to_float(uint16_t bits) {
#if defined(__F16C__)
    return _cvtsh_ss(bits);
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
#else
    vec out;
    for (int i = 0; i < W; ++i) out[i] = half_to_float(p[i]);
    return out;
#endif
}

// Compilers widen bytes well only through intrinsics.
inline ivec widen_signed(const int8_t* p) {
#if defined(__AVX512F__)
    return (ivec)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
    return __builtin_convertvector(*reinterpret_cast<const bvec*>(p), ivec);
#endif
}

inline ivec widen_unsigned(const uint8_t* p) {
#if defined(__AVX512F__)
    return (ivec)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
    return __builtin_convertvector(*reinterpret_cast<const ubvec*>(p), ivec);
#endif
}

inline ivec widen_halves(const uint16_t* p) {
#if defined(__AVX512F__)
    return (ivec)_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#else
    return __builtin_convertvector(*reinterpret_cast<const hvec*>(p), ivec);
#endif
}

inline vec to_floats(ivec v) {
#if defined(__AVX512F__)
    return (vec)_mm512_cvtepi32_ps((__m512i)v);
#else
    return __builtin_convertvector(v, vec);
#endif
}

// Sixteen table entries, chosen by the lowest four bits of each index.
inline vec choose(vec table, ivec index) {
#if defined(__AVX512F__)
    return (vec)_mm512_permutexvar_ps((__m512i)index, (__m512)table);
#else
    vec out;
    for (int i = 0; i < W; ++i) out[i] = table[index[i] & 15];
    return out;
#endif
}

// Work below some 50 microseconds stays on one thread: on a busy machine a second one may come much later.
constexpr int64_t FEW_WEIGHTS = 1 << 19;    // read by one thread in that time
constexpr int64_t FEW_PRODUCTS = 1 << 22;   // multiplied and added by one thread in that time
constexpr int64_t FEW_FLOATS = 1 << 16;     // passed through a norm or a gate

// How far ahead of its use a weight is asked for: the next rows, since a row ends too soon for the hardware.
constexpr int64_t AHEAD = 8192;  // bytes
inline void expect(const void* p) { __builtin_prefetch(static_cast<const char*>(p) + AHEAD); }

// ---- Readers: one kind of weight each. `next` yields the weights of STEP inputs from k on, as vectors. ----

struct Float32 {
    static constexpr int STEP = W, VECTORS = 1;
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
    static constexpr int STEP = W, VECTORS = 1;
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
    static constexpr int STEP = W, VECTORS = 1;
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
    static constexpr int STEP = W, VECTORS = 1;
    const int8_t* row;
    Int8(const void* data, const void*, const void*, int64_t k, int64_t, int64_t n)
        : row(static_cast<const int8_t*>(data) + n * k) {}
    inline void next(int64_t k, vec* out) {
        expect(row + k);
        out[0] = to_floats(widen_signed(row + k));
    }
    static float scale(const void* scales, int64_t n) { return static_cast<const float*>(scales)[n]; }
};

// Sixteen bytes hold 32 weights: the even inputs first, then the odd ones, as `split_pairs` lays out x.
struct Int4 {
    static constexpr int STEP = 2 * W, VECTORS = 2;
    const uint8_t* row;
    const uint16_t *scales, *zeros;
    int64_t group;
    vec table;  // the sixteen values that a weight of the present group can have
    Int4(const void* data, const void* scale, const void* zero, int64_t k, int64_t group, int64_t n)
        : row(static_cast<const uint8_t*>(data) + n * (k / 2)),
          scales(static_cast<const uint16_t*>(scale) + n * (k / group)),
          zeros(static_cast<const uint16_t*>(zero) + n * (k / group)),
          group(group) {}
    inline void start(int64_t g) {
        const vec levels = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
        vec scaled = levels * half_to_float(scales[g]);
        asm volatile("" : "+m"(scaled));  // round here as the reference does: no fused multiply-add
        table = scaled + half_to_float(zeros[g]);
    }
    inline void next(int64_t k, vec* out) {
        expect(row + k / 2);
        const ivec bytes = widen_unsigned(row + k / 2);
        out[0] = choose(table, bytes);
        out[1] = choose(table, bytes >> 4);
    }
    static float scale(const void*, int64_t) { return 1.0f; }
};

struct Problem {
    const float* x;  // [rows, k]; for Int4 with pairs split
    const void *data, *scale, *zero;
    const float *bias, *residual;
    float* y;  // [rows, n]
    int64_t rows, k, n, group;
};

// Sums, scales and stores NR neighbouring elements of one row.
template <class R, int NR>
inline void finish(const Problem& p, int64_t m, int64_t n, const vec* totals) {
    float sums[NR];
    if constexpr (NR == 1)
        sums[0] = sum(totals[0]);
    else
        for (int j = 0; j < NR; j += 4) sum_four(totals + j, sums + j);
    for (int j = 0; j < NR; ++j) {
        // an explicit fused multiply-add, so that it is the same wherever this is inlined
        const float value = std::fma(sums[j], R::scale(p.scale, n + j), p.bias ? p.bias[n + j] : 0.0f);
        const int64_t at = m * p.n + n + j;
        p.y[at] = p.residual ? value + p.residual[at] : value;
    }
}

// MR rows of x times NR rows of weights, converting as it goes: for few rows, where reading weights is all.
template <class R, int MR, int NR>
void tile_direct(const Problem& p, int64_t m, int64_t n) {
    vec acc[MR][NR] = {};
    R* readers[NR];
    alignas(64) unsigned char space[NR][sizeof(R)];
    for (int j = 0; j < NR; ++j)
        readers[j] = new (space[j]) R(p.data, p.scale, p.zero, p.k, p.group, n + j);
    const int64_t span = R::VECTORS == 2 ? p.group : p.k;
    for (int64_t start = 0; start < p.k; start += span) {
        if constexpr (R::VECTORS == 2)
            for (int j = 0; j < NR; ++j) readers[j]->start(start / span);
        for (int64_t k = start; k < start + span; k += R::STEP) {
            vec w[NR][R::VECTORS];
            for (int j = 0; j < NR; ++j) readers[j]->next(k, w[j]);
            for (int i = 0; i < MR; ++i) {
                const float* row = p.x + (m + i) * p.k + k;
                for (int v = 0; v < R::VECTORS; ++v) {
                    const vec xs = load(row + v * W);
                    for (int j = 0; j < NR; ++j) acc[i][j] += xs * w[j][v];
                }
            }
        }
    }
    for (int i = 0; i < MR; ++i) finish<R, NR>(p, m + i, n, acc[i]);
}

// Floats of NR weight rows, [NR, k], in the order in which `tile_direct` meets them.
template <class R>
void unpack(const Problem& p, int64_t n, int count, float* out) {
    const int64_t span = R::VECTORS == 2 ? p.group : p.k;
    for (int j = 0; j < count; ++j) {
        R reader(p.data, p.scale, p.zero, p.k, p.group, n + j);
        for (int64_t start = 0; start < p.k; start += span) {
            if constexpr (R::VECTORS == 2) reader.start(start / span);
            for (int64_t k = start; k < start + span; k += R::STEP) {
                vec w[R::VECTORS];
                reader.next(k, w);
                for (int v = 0; v < R::VECTORS; ++v) store(out + j * p.k + k + v * W, w[v]);
            }
        }
    }
}

template <class R, int MR, int NR>
void tile_unpacked(const Problem& p, const float* weights, int64_t m, int64_t n) {
    vec acc[MR][NR] = {};
    const float* x = p.x + m * p.k;
    for (int64_t k = 0; k < p.k; k += W) {
        vec w[NR];
        for (int j = 0; j < NR; ++j) w[j] = load(weights + j * p.k + k);
        for (int i = 0; i < MR; ++i) {
            const vec xs = load(x + i * p.k + k);
            for (int j = 0; j < NR; ++j) acc[i][j] += xs * w[j];
        }
    }
    for (int i = 0; i < MR; ++i) finish<R, NR>(p, m + i, n, acc[i]);
}

template <class R, int NR>
void rows_direct(const Problem& p, int64_t n) {
    switch (p.rows) {
        case 1: return tile_direct<R, 1, NR>(p, 0, n);
        case 2: return tile_direct<R, 2, NR>(p, 0, n);
        case 3: return tile_direct<R, 3, NR>(p, 0, n);
        default: return tile_direct<R, 4, NR>(p, 0, n);
    }
}

template <class R, int MR>
void rows_unpacked(const Problem& p, const float* weights, int64_t m, int64_t n, int count) {
    int j = 0;
    for (; j + 4 <= count; j += 4) tile_unpacked<R, MR, 4>(p, weights + j * p.k, m, n + j);
    for (; j < count; ++j) tile_unpacked<R, MR, 1>(p, weights + j * p.k, m, n + j);
}

// All rows of x times `count` unpacked weight rows: six rows of x stay close while the weights pass by.
template <class R>
void block_unpacked(const Problem& p, const float* weights, int64_t n, int count) {
    int64_t m = 0;
    for (; m + 6 <= p.rows; m += 6) rows_unpacked<R, 6>(p, weights, m, n, count);
    switch (p.rows - m) {
        case 5: return rows_unpacked<R, 5>(p, weights, m, n, count);
        case 4: return rows_unpacked<R, 4>(p, weights, m, n, count);
        case 3: return rows_unpacked<R, 3>(p, weights, m, n, count);
        case 2: return rows_unpacked<R, 2>(p, weights, m, n, count);
        case 1: return rows_unpacked<R, 1>(p, weights, m, n, count);
    }
}

template <class R>
void multiply_few(const Problem& p) {
    constexpr int NR = 4;
    const int64_t blocks = p.n / NR;
    const int64_t pairs = p.rows == 1 ? p.n / (2 * NR) : 0;  // eight chains hide the latency of one row
#pragma omp parallel if (p.n * p.k > FEW_WEIGHTS)
    {
#pragma omp for schedule(static) nowait
        for (int64_t b = 0; b < pairs; ++b) tile_direct<R, 1, 2 * NR>(p, 0, b * 2 * NR);
#pragma omp for schedule(static) nowait
        for (int64_t b = pairs * 2; b < blocks; ++b) rows_direct<R, NR>(p, b * NR);
    }
    for (int64_t n = blocks * NR; n < p.n; ++n) rows_direct<R, 1>(p, n);
}

template <class R>
void multiply_many(const Problem& p) {
    constexpr int NB = 32;
#pragma omp parallel if (p.rows * p.n * p.k > FEW_PRODUCTS)
    {
        const Scratch weights(NB * p.k);
#pragma omp for schedule(static)
        for (int64_t n = 0; n < p.n; n += NB) {
            const int count = static_cast<int>(n + NB <= p.n ? NB : p.n - n);
            unpack<R>(p, n, count, weights.data);
            block_unpacked<R>(p, weights.data, n, count);
        }
    }
}

template <class R>
void multiply(const Problem& p) {
    p.rows <= 4 ? multiply_few<R>(p) : multiply_many<R>(p);
}

// x [rows, k] -> per 32 inputs first the 16 even ones, then the 16 odd ones.
void split_pairs(const float* x, int64_t count, float* out) {
#pragma omp parallel for schedule(static) if (count > FEW_FLOATS)
    for (int64_t start = 0; start < count; start += 2 * W)
        for (int i = 0; i < W; ++i) {
            out[start + i] = x[start + 2 * i];
            out[start + W + i] = x[start + 2 * i + 1];
        }
}

// exp(x) with a relative error of about 1e-7: 2^n times a polynomial on [-ln2/2, ln2/2].
inline vec exponential(vec x) {
    const vec low = fill(-87.3f), high = fill(88.3f);
    x = x < low ? low : x;
    x = x > high ? high : x;
    const vec shift = fill(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    const vec n = (x * 1.44269504088896341f + shift) - shift;
    const vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec p = fill(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const ivec power = (__builtin_convertvector(n, ivec) + 127) << 23;
    return p * (vec)power;
}

inline vec activate(int kind, vec x) {
    if (kind == 0) return x / (exponential(-x) + 1.0f);
    if (kind == 2) {  // x * (1 + tanh(u)) / 2 = x / (1 + exp(-2u))
        const vec u = (x + x * x * x * 0.044715f) * 0.7978845608028654f;
        return x / (exponential(u * -2.0f) + 1.0f);
    }
    for (int i = 0; i < W; ++i)
        x[i] = kind == 1 ? 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.7071067811865476f)) : (x[i] > 0 ? x[i] : 0.0f);
    return x;
}

float dot(const float* a, const float* b, int64_t length) {
    vec total = {};
    for (int64_t i = 0; i < length; i += W) total += load(a + i) * load(b + i);
    return sum(total);
}

void norm_row(const float* x, const float* weight, int64_t length, float eps, float* y) {
    const float inverse = 1.0f / std::sqrt(dot(x, x, length) / length + eps);
    for (int64_t i = 0; i < length; i += W) store(y + i, load(x + i) * inverse * load(weight + i));
}

void rotate(float* x, const float* cos, const float* sin, int64_t length) {
    const int64_t half = length / 2;
    for (int64_t i = 0; i < half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a * cos[i] + b * sin[i];
        x[i + half] = b * cos[i + half] + a * sin[i + half];
    }
}

// scores [length] = query . keys * 1 / sqrt(dim); the largest of them is returned.
float score(const float* query, const float* keys, int64_t length, int64_t dim, float* scores) {
    const float factor = 1.0f / std::sqrt(static_cast<float>(dim));
    float top = -INFINITY;
    for (int64_t i = 0; i < length; i += 4) {
        vec totals[4] = {};
        const int count = static_cast<int>(length - i < 4 ? length - i : 4);
        if (count == 4)
            for (int64_t d = 0; d < dim; d += W) {
                const vec q = load(query + d);
                for (int j = 0; j < 4; ++j) totals[j] += q * load(keys + (i + j) * dim + d);
            }
        else
            for (int64_t d = 0; d < dim; d += W)
                for (int j = 0; j < count; ++j) totals[j] += load(query + d) * load(keys + (i + j) * dim + d);
        float sums[4];
        sum_four(totals, sums);
        for (int j = 0; j < count; ++j) {
            scores[i + j] = sums[j] * factor;
            top = scores[i + j] > top ? scores[i + j] : top;
        }
    }
    return top;
}

// out [VECTORS * 16] = sum over i of weights[i] * values[i * dim ...], times `factor`.
template <int VECTORS>
void mix(const float* weights, const float* values, int64_t length, int64_t dim, float factor, float* out) {
    vec even[VECTORS] = {}, odd[VECTORS] = {};
    int64_t i = 0;
    for (; i + 2 <= length; i += 2)
        for (int v = 0; v < VECTORS; ++v) {
            even[v] += load(values + i * dim + v * W) * weights[i];
            odd[v] += load(values + (i + 1) * dim + v * W) * weights[i + 1];
        }
    for (int v = 0; v < VECTORS; ++v) {
        if (i < length) even[v] += load(values + i * dim + v * W) * weights[i];
        store(out + v * W, (even[v] + odd[v]) * factor);
    }
}

// Attention of one query over its row's keys and values [length, dim]; `scores` has room for length + 16.
void attend_head(const float* query, const float* keys, const float* values, int64_t length, int64_t dim,
                 float* scores, float* out) {
    const float top = score(query, keys, length, dim, scores);
    for (int64_t i = length; i % W != 0; ++i) scores[i] = -INFINITY;
    vec total = {};
    for (int64_t i = 0; i < length; i += W) {
        vec e = exponential(load(scores + i) - top);
        for (int64_t j = length - i; j < W; ++j) e[j] = 0.0f;
        store(scores + i, e);
        total += e;
    }
    const float inverse = 1.0f / sum(total);
    int64_t d = 0;
    for (; d + 4 * W <= dim; d += 4 * W) mix<4>(scores, values + d, length, dim, inverse, out + d);
    for (; d < dim; d += W) mix<1>(scores, values + d, length, dim, inverse, out + d);
}

}  // namespace

extern "C" {

// y [rows, n] = x [rows, k] times weights [n, k], scaled, plus bias [n] and residual [rows, n] if given.
// kind: 0 float32, 1 bfloat16, 2 float16, 3 int8, 4 int4. k is a multiple of 16 (int4: of group, that of 32).
void quantbench_linear(int kind, const float* x, int64_t rows, int64_t k, int64_t n, const void* data,
                       const void* scale, const void* zero, int64_t group, const float* bias,
                       const float* residual, float* y) {
    Problem p{x, data, scale, zero, bias, residual, y, rows, k, n, group};
    const Scratch split(kind == 4 ? rows * k : 0);
    if (kind == 4) {
        split_pairs(x, rows * k, split.data);
        p.x = split.data;
    }
    switch (kind) {
        case 0: return multiply<Float32>(p);
        case 1: return multiply<BFloat16>(p);
        case 2: return multiply<Float16>(p);
        case 3: return multiply<Int8>(p);
        case 4: return multiply<Int4>(p);
    }
}

// y [rows, length] = x / root mean square of its row * weight; length is a multiple of 16.
void quantbench_norm(const float* x, const float* weight, int64_t rows, int64_t length, float eps, float* y) {
#pragma omp parallel for schedule(static) if (rows * length > FEW_FLOATS)
    for (int64_t m = 0; m < rows; ++m) norm_row(x + m * length, weight, length, eps, y + m * length);
}

// y [rows, length] = activation(gate) * up, where x [rows, 2 * length] holds gate and up; length: multiple
// of 16. kind: 0 silu, 1 gelu, 2 gelu by tanh, 3 relu.
void quantbench_gate(int kind, const float* x, int64_t rows, int64_t length, float* y) {
#pragma omp parallel for schedule(static) if (rows * length > FEW_FLOATS)
    for (int64_t m = 0; m < rows; ++m)
        for (int64_t i = 0; i < length; i += W) {
            const vec gate = load(x + m * 2 * length + i), up = load(x + m * 2 * length + length + i);
            store(y + m * length + i, activate(kind, gate) * up);
        }
}

// One new token a row: norms (if given) and rotation of queries and keys, writing keys and values into the
// cache, attention over the row's own positions. qkv [rows, (heads + 2 kv_heads) * dim], positions [rows],
// cos and sin [positions, dim], keys and values [cache rows, kv_heads, capacity, dim], out [rows, heads * dim].
// window 0 is no window. dim is a multiple of 16. The projections are overwritten.
void quantbench_attend(float* qkv, int64_t rows, int64_t heads, int64_t kv_heads, int64_t dim,
                       const int64_t* positions, const float* cos, const float* sin, const float* q_norm,
                       const float* k_norm, float eps, float* keys, float* values, int64_t capacity,
                       int64_t window, float* out) {
    const int64_t groups = heads / kv_heads, width = (heads + 2 * kv_heads) * dim;
    int64_t products = 0;
    for (int64_t b = 0; b < rows; ++b) products += 2 * positions[b] * heads * dim;
#pragma omp parallel if (products > FEW_PRODUCTS / 4)
    {
        const Scratch space(capacity + W);
        float* scores = space.data;
#pragma omp for collapse(2) schedule(dynamic, 1)
        for (int64_t b = 0; b < rows; ++b)
            for (int64_t h = 0; h < kv_heads; ++h) {
                const int64_t at = positions[b], end = at + 1;
                const int64_t begin = window > 0 && end > window ? end - window : 0, length = end - begin;
                const float *c = cos + at * dim, *s = sin + at * dim;
                float* row = qkv + b * width;
                float *key = row + (heads + h) * dim, *value = key + kv_heads * dim;
                float* cached_keys = keys + (b * kv_heads + h) * capacity * dim;
                float* cached_values = values + (b * kv_heads + h) * capacity * dim;
                if (k_norm) norm_row(key, k_norm, dim, eps, key);
                rotate(key, c, s, dim);
                std::memcpy(cached_keys + at * dim, key, dim * sizeof(float));
                std::memcpy(cached_values + at * dim, value, dim * sizeof(float));
                for (int64_t g = 0; g < groups; ++g) {
                    float* query = row + (h * groups + g) * dim;
                    if (q_norm) norm_row(query, q_norm, dim, eps, query);
                    rotate(query, c, s, dim);
                    attend_head(query, cached_keys + begin * dim, cached_values + begin * dim, length, dim,
                                scores, out + (b * heads + h * groups + g) * dim);
                }
            }
    }
}

}  // extern "C"
