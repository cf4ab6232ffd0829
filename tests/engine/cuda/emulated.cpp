// decode_step on a CPU, as a shared library: compiled with the same macros as on the GPU.
#include "emulated.hpp"

#include "step.cu"

extern "C" int run_step(const Params* params) {
  return machine::run(BLOCKS, THREADS + 32, THREADS, SHARED_LIMIT, [params] { decode_step(*params); });
}
