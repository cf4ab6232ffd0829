// What becomes of sums: an activation, the greatest of many.
#pragma once
#include "primitives.cuh"

DEVICE float silu(float x) { return divide(x, 1 + exp2_fast(-1.44269504f * x)); }

// A greatest value and its place. NaN has no place in an order: whoever takes values makes it infinity, which wins
// and names NO_TOKEN, so that it never becomes an index.
struct Best {
  float value;
  int index;
  DEVICE void take(float v, int i) {
    if (v > value || (v == value && i < index)) value = v, index = i;
  }
};
