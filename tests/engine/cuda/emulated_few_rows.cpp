// few_rows on a CPU, as a shared library: compiled with the same macros as on the GPU.
#include "emulated.hpp"

#include "few_rows.cu"

extern "C" int run_product(const Product* product, int blocks) {
  return machine::run(blocks, THREADS, THREADS, SHARED_LIMIT, [product] { few_rows(*product); });
}
