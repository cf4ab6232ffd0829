// All layers of a step, one after another: what `layers.py` hands over, and the products of it.
#pragma once

#include "kv_cells.hpp"
#include "products.hpp"

namespace {

// One product; every field has eight bytes.
struct Operand {
    int64_t kind, integers, inputs, outputs, group;
    const void *data, *scale, *zero;
    const float* bias;
};

// Products with the same input, their outputs beside each other.
struct Joined {
    int64_t count;
    Operand parts[3];
};

struct Layer {
    const float *attention_norm, *mlp_norm, *q_norm, *k_norm, *smoothing;
    int64_t window;
    Joined qkv, output, up, down;
};

struct Shape {
    int64_t layers, hidden, heads, kv_heads, dim, width, activation;  // width: gates
    float eps;
};

// What stands before and behind the layers.
struct Ends {
    Joined embedding, head;
    const float* norm;
};

// y [rows, all outputs] = x [rows, inputs] times all parts, plus `residual` if given.
void multiply(const Joined& joined, const float* x, int64_t rows, const float* residual, float* y) {
    int64_t stride = 0;
    for (int64_t i = 0; i < joined.count; ++i) stride += joined.parts[i].outputs;
    for (int64_t i = 0; i < joined.count; ++i) {
        const Operand& o = joined.parts[i];
        const Problem p{x, o.data, o.scale, o.zero, o.bias, residual, y, rows, o.inputs, o.outputs, o.group, -1, stride};
        o.integers ? multiply_integers(static_cast<int>(o.kind), p) : multiply_floats(static_cast<int>(o.kind), p);
        y += o.outputs;
        if (residual) residual += o.outputs;
    }
}

}  // namespace
