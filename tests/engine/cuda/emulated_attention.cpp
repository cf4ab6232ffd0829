// attend on a CPU, as a shared library: compiled with the same macros as on the GPU.
#include "emulated.hpp"

#include "attend.cu"

extern "C" int run_attention(const Attention* attention, int blocks) {
  return machine::run(blocks, THREADS, THREADS, sizeof(Shared), [attention] { attend(*attention); });
}
