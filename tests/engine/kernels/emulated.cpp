// decode_step on a CPU, as a shared library: compiled with the same macros as on the GPU.
#include "emulated.hpp"

#include "stage.cuh"
#include "shared.cuh"
#include "ring.cuh"
#include "product.cuh"
#include "merge.cuh"
#include "exchange.cuh"
#include "positions.cuh"
#include "attention.cuh"
#include "head.cuh"
#include "step.cu"

extern "C" int run_step(const Params* params) {
  return machine::run(BLOCKS, THREADS + 32, THREADS, SHARED_LIMIT, [params] { decode_step(*params); });
}
