// Calls kernels as a stream of calls asks: from standard input a name, then each argument in its order (numbers as
// they are, arrays as their length in bytes, -1 for none, and the bytes); to standard output the number that a kernel
// returns, if any, and of each array in its order a length, -1 where the kernel cannot change it, and the bytes.
#include "kernels.cpp"

#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>

template <class T>
T read() {
    T value;
    if (std::fread(&value, sizeof value, 1, stdin) != 1) std::exit(3);
    return value;
}

template <class T>
struct Argument {
    T value;
    void receive() { value = read<T>(); }
    void give_back() const {}
};

template <class T>
struct Argument<T*> {
    T* value = nullptr;
    int64_t bytes = 0;
    void receive() {
        bytes = read<int64_t>();
        if (bytes < 0) return;
        void* space = std::aligned_alloc(64, bytes / 64 * 64 + 64);
        if (bytes && std::fread(space, bytes, 1, stdin) != 1) std::exit(3);
        value = static_cast<T*>(space);
    }
    void give_back() const {
        const int64_t length = !std::is_const_v<T> && value ? bytes : -1;
        std::fwrite(&length, sizeof length, 1, stdout);
        if (length > 0) std::fwrite(value, length, 1, stdout);
        std::free(const_cast<std::remove_const_t<T>*>(value));
    }
};

// The fields in their order, each as an argument of its own.
template <>
struct Argument<const Cached*> {
    std::tuple<Argument<const float*>, Argument<const float*>, Argument<void*>, Argument<void*>, Argument<float*>,
               Argument<float*>, Argument<int64_t>> fields;
    Cached cached;
    const Cached* value = &cached;
    void receive() {
        std::apply([](auto&... each) { (each.receive(), ...); }, fields);
        cached = std::apply([](auto&... each) { return Cached{each.value...}; }, fields);
    }
    void give_back() const {
        std::apply([](auto&... each) { (each.give_back(), ...); }, fields);
    }
};

template <class Result, class... A>
void answer(Result (*kernel)(A...)) {
    std::tuple<Argument<A>...> arguments;
    std::apply([](auto&... each) { (each.receive(), ...); }, arguments);
    std::apply([&](auto&... each) {
        if constexpr (std::is_void_v<Result>) {
            kernel(each.value...);
        } else {
            const Result result = kernel(each.value...);
            std::fwrite(&result, sizeof result, 1, stdout);
        }
        (each.give_back(), ...);
    }, arguments);
    std::fflush(stdout);
}

int main() {
    for (int length; (length = std::getchar()) != EOF;) {
        std::string name(length, '\0');
        if (std::fread(name.data(), length, 1, stdin) != 1) return 3;
#define KERNEL(function) if (name == #function) answer(function)
        KERNEL(quantbench_linear);
        KERNEL(quantbench_linear_bits);
        KERNEL(quantbench_linear_integers);
        KERNEL(quantbench_prompt_bits);
        KERNEL(quantbench_rows_beside);
        KERNEL(quantbench_linear_prompt);
        KERNEL(quantbench_rows);
        KERNEL(quantbench_norm);
        KERNEL(quantbench_gate);
        KERNEL(quantbench_activate);
        KERNEL(quantbench_cap);
        KERNEL(quantbench_attend);
        KERNEL(quantbench_attend_prompts);
    }
}
