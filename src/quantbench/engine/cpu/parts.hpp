// Work cut in parts for the threads. A parallel region costs a third of a microsecond even where it is told to stay
// on one thread, and a step of a small model has forty: what stays on one opens none.
#pragma once

#include "vectors.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

// use(first, end) over 0 to count: once, or where there are `many` once a thread, each with its share.
template <class Use>
void in_parts(bool many, int64_t count, Use use) {
#ifdef _OPENMP
    if (many) {
#pragma omp parallel
        {
            const int64_t threads = omp_get_num_threads(), number = omp_get_thread_num();
            const int64_t first = count * number / threads, end = count * (number + 1) / threads;
            if (first < end) use(first, end);
        }
        return;
    }
#endif
    if (count > 0) use(0, count);
}

// use(number, space) for numbers 0 to count, each as a thread comes free; `space` has so many floats.
template <class Use>
void in_turns(bool many, int64_t count, int64_t floats, Use use) {
#ifdef _OPENMP
    if (many) {
#pragma omp parallel
        {
            const Scratch space(floats);
#pragma omp for schedule(dynamic, 1)
            for (int64_t number = 0; number < count; ++number) use(number, space.data);
        }
        return;
    }
#endif
    const Scratch space(floats);
    for (int64_t number = 0; number < count; ++number) use(number, space.data);
}

}  // namespace
