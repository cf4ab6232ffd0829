// Cached keys and values as they are held: floats, or codes of 8 bits with a scale for each token and head. What the codes
// mean is told in engine/kv_format.py.
#pragma once

#include "vectors.hpp"

namespace {

// A layer's rotation and cache in this step, as `operations.py` hands them over.
struct Cached {
    const float *cos, *sin;            // [positions, dim]
    void *keys, *values;               // [rows, kv_heads, capacity, dim]
    float *key_scales, *value_scales;  // [rows, kv_heads, capacity]; null for floats
    int64_t kind;                      // 0 float32, 1 int8, 2 fp8 (e4m3)
};

// Keys or values of one head from a position on.
struct FloatCells {
    float* data;
    int64_t dim;
    FloatCells(void* held, float*, int64_t dim) : data(static_cast<float*>(held)), dim(dim) {}
    FloatCells from(int64_t position) const { return {data + position * dim, nullptr, dim}; }
    vec at(int64_t i) const { return load(data + i); }  // elements i.. over their position's scale
    float scale(int64_t) const { return 1.0f; }
    void scale_all(float*, int64_t) const {}  // weights of so many positions, each by its scale
    void put(const float* x) const { std::memcpy(data, x, dim * sizeof(float)); }
    void read(float*) const {}  // what `put` stored, over the x that it was
};

struct Int8Codes {
    typedef int8_t Type;
    static constexpr float GREATEST = 127.0f;
    static vec values(const int8_t* p) { return to_floats(widen_signed(p)); }
    static int8_t code(float x) { return static_cast<int8_t>(static_cast<int>(std::nearbyint(x))); }
};

struct Fp8Codes {
    typedef uint8_t Type;
    static constexpr float GREATEST = 448.0f, LEAST_NORMAL = 0.015625f, STEP = 0.001953125f;  // 2^-6, 2^-9
    static vec values(const uint8_t* p) {
        const ivec code = widen_unsigned(p), size = code & 0x7f;
        const vec small = to_floats(size) * STEP, normal = (vec)((size << 20) + (120 << 23));
        const vec value = size < ivec{} + 8 ? small : normal;
        return (vec)((ivec)value | (code & 0x80) << 24);
    }
    static uint8_t code(float x) {
        const float size = std::fabs(x);
        uint32_t bits;
        std::memcpy(&bits, &size, 4);
        const uint32_t normal = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - (120 << 3);
        const uint32_t found = size < LEAST_NORMAL ? static_cast<uint32_t>(std::nearbyint(size / STEP)) : normal;
        return static_cast<uint8_t>((found & 0x7f) | (x < 0 ? 0x80 : 0));
    }
};

template <class Codes>
struct CodeCells {
    typename Codes::Type* data;
    float* scales;
    int64_t dim;
    CodeCells(void* held, float* scales, int64_t dim)
        : data(static_cast<typename Codes::Type*>(held)), scales(scales), dim(dim) {}
    CodeCells from(int64_t position) const { return {data + position * dim, scales + position, dim}; }
    vec at(int64_t i) const { return Codes::values(data + i); }
    float scale(int64_t position) const { return scales[position]; }
    void scale_all(float* weights, int64_t length) const {
        for (int64_t i = 0; i < length; ++i) weights[i] *= scales[i];
    }
    void put(const float* x) const {
        float top = 1e-30f, other = 0;  // `other` is NaN where an element is not finite
        for (int64_t i = 0; i < dim; ++i) {
            const float size = std::fabs(x[i]);
            top = size > top ? size : top;
            other += x[i] * 0.0f;
        }
        top += other;
        const float factor = Codes::GREATEST / top;
        for (int64_t i = 0; i < dim; ++i) data[i] = top == top ? Codes::code(x[i] * factor) : 0;
        *scales = top / Codes::GREATEST;
    }
    void read(float* x) const {
        for (int64_t i = 0; i < dim; i += W) store(x + i, at(i) * *scales);
    }
};

// use(keys, values) with the kind of cells that a cache holds.
template <class Use>
void with_cells(const Cached& c, int64_t dim, Use use) {
    if (c.kind == 0) use(FloatCells(c.keys, nullptr, dim), FloatCells(c.values, nullptr, dim));
    if (c.kind == 1) use(CodeCells<Int8Codes>(c.keys, c.key_scales, dim), CodeCells<Int8Codes>(c.values, c.value_scales, dim));
    if (c.kind == 2) use(CodeCells<Fp8Codes>(c.keys, c.key_scales, dim), CodeCells<Fp8Codes>(c.values, c.value_scales, dim));
}

}  // namespace
