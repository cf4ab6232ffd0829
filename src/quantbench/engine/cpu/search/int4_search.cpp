// Four bits with double quantization: the search of weights/quantizers/{int4,int4_double}.py, a group at a time in
// registers and first-level cache instead of a pass over memory for every operation. Candidates, their order and the
// rule that only a smaller error wins are those of those files; sums may differ in their last bits.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

constexpr float CUTS[] = {0.0f, 0.035f, 0.07f};  // of the range's width
constexpr float LEVELS = 15, MOST_STEP = 255, MOST_ZERO = 127, ZERO_STEP = 16;
constexpr int REGRESSIONS = 2;

// Rounded to the nearest integer, halves to even, for magnitudes below 2^22.
inline float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }
inline float between(float x, float low, float high) {
    const float above = x > low ? x : low;
    return above < high ? above : high;
}
inline float inverse_of(float scale) { return scale == 0 ? 0.0f : 1 / scale; }
inline float code(float w, float inverse, float zero) { return nearest(between((w - zero) * inverse, -8, 7)); }

// The least power of two, or one and a half of one, that is not below x.
inline float coarse(float x) {
    if (x == 0 || !std::isfinite(x)) return x;
    int exponent;
    const float mantissa = std::frexp(x, &exponent);  // [0.5, 1)
    return std::ldexp(mantissa <= 0.5f ? 0.5f : mantissa <= 0.75f ? 0.75f : 1.0f, exponent);
}

struct Affine {
    float error, scale, zero;
    void take(const Affine& other) {
        if (other.error < error) *this = other;
    }
};

// One group of `size` weights and the importance of their inputs.
struct Group {
    const float *w, *importance;
    int64_t size;

    Affine tried(float scale, float zero) const {
        const float inverse = inverse_of(scale);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < size; ++j) {
            const float rest = code(w[j], inverse, zero) * scale + zero - w[j];
            sum += rest * rest * importance[j];
        }
        return {sum, scale, zero};
    }

    // Scale and zero that minimise the error for the codes of others.
    Affine regressed(const Affine& codes) const {
        const float inverse = inverse_of(codes.scale);
        float total = 0, q_sum = 0, w_sum = 0, both = 0, squares = 0;
#pragma omp simd reduction(+ : total, q_sum, w_sum)
        for (int64_t j = 0; j < size; ++j) {
            total += importance[j];
            q_sum += importance[j] * code(w[j], inverse, codes.zero);
            w_sum += importance[j] * w[j];
        }
        total = std::fmax(total, std::numeric_limits<float>::min());
        const float q_mean = q_sum / total, w_mean = w_sum / total;
#pragma omp simd reduction(+ : both, squares)
        for (int64_t j = 0; j < size; ++j) {
            const float q = code(w[j], inverse, codes.zero) - q_mean;
            both += q * importance[j] * (w[j] - w_mean);
            squares += q * q * importance[j];
        }
        const float scale = both / std::fmax(squares, 1e-20f);
        return tried(scale, w_mean - scale * q_mean);
    }

    Affine searched() const {
        float low = w[0], high = w[0];
#pragma omp simd reduction(min : low) reduction(max : high)
        for (int64_t j = 0; j < size; ++j) {
            low = w[j] < low ? w[j] : low;
            high = w[j] > high ? w[j] : high;
        }
        const float width = high - low;
        Affine best = tried(width / LEVELS, low + width * (8 / LEVELS));
        for (float lower : CUTS)
            for (float upper : CUTS) {
                if (lower == 0 && upper == 0) continue;
                const float step = width * ((1 - lower - upper) / LEVELS);
                best.take(tried(step, low + width * lower + 8 * step));
            }
        for (int i = 0; i < REGRESSIONS; ++i) best.take(regressed(best));
        return best;
    }

    // Mean of what codes with this scale leave over, weighted; plain where no input has importance.
    float left_over(float scale, float zero) const {
        const float inverse = inverse_of(scale);
        float total = 0, sum = 0, plain = 0;
#pragma omp simd reduction(+ : total, sum, plain)
        for (int64_t j = 0; j < size; ++j) {
            const float rest = w[j] - code(w[j], inverse, zero) * scale;
            total += importance[j];
            sum += importance[j] * rest;
            plain += rest;
        }
        return total == 0 ? plain / size : sum / total;
    }

    // Step and zero as integers under the row's scale.
    Affine held(const Affine& found, float by_row) const {
        const float inverse = inverse_of(by_row), middle = nearest(found.scale * inverse);
        Affine best{std::numeric_limits<float>::infinity(), 0, 0};
        for (float beside : {0.0f, -1.0f, 1.0f}) {
            const float step = between(middle + beside, 0, MOST_STEP);
            for (float zero : {found.zero, left_over(step * by_row, found.zero)}) {
                const float whole = between(nearest(zero * (inverse / ZERO_STEP)), -MOST_ZERO - 1, MOST_ZERO);
                const Affine exact = tried(step * by_row, whole * (ZERO_STEP * by_row));
                best.take({exact.error, step, whole});
            }
        }
        return best;
    }
};

// One row of `groups` groups -> nibbles [columns / 2], steps and zeros [groups, 2], and the row's scale.
inline void search_row(const float* w, const float* importance, int64_t groups, int64_t size, uint8_t* packed,
                       uint8_t* affine, float* scale, std::vector<Affine>& found) {
    float by_row = 0, widest = 0, finite = 0;
    for (int64_t j = 0; j < groups * size; ++j) finite += w[j] * 0;
    for (int64_t g = 0; g < groups; ++g) {
        found[g] = Group{w + g * size, importance + g * size, size}.searched();
        widest = std::fmax(widest, found[g].scale);
        by_row = std::fmax(by_row, std::fabs(found[g].zero) / (ZERO_STEP * MOST_ZERO));
    }
    by_row = std::fmax(by_row, widest / MOST_STEP);
    if (widest > 0) by_row = coarse(by_row);
    *scale = finite == 0 ? by_row : std::numeric_limits<float>::quiet_NaN();
    for (int64_t g = 0; g < groups; ++g) {
        const Affine held = Group{w + g * size, importance + g * size, size}.held(found[g], by_row);
        affine[2 * g] = (uint8_t)held.scale;
        affine[2 * g + 1] = (uint8_t)(held.zero + 128);
        const float inverse = inverse_of(held.scale * by_row), zero = held.zero * (ZERO_STEP * by_row);
        for (int64_t j = g * size; j < (g + 1) * size; j += 2) {
            const int low = (int)code(w[j], inverse, zero) + 8, high = (int)code(w[j + 1], inverse, zero) + 8;
            packed[j / 2] = (uint8_t)(low | high << 4);
        }
    }
}

}  // namespace

// Weights [rows, groups * size] with double quantization: packed [rows, groups * size / 2], affine [rows, groups, 2],
// scale [rows], not a number for a row that holds what is not finite. importance [groups * size] of the inputs.
extern "C" void quantbench_search_int4(const float* w, const float* importance, int64_t rows, int64_t groups,
                                       int64_t size, uint8_t* packed, uint8_t* affine, float* scale) {
    const int64_t columns = groups * size;
#pragma omp parallel
    {
        std::vector<Affine> found(groups);
#pragma omp for schedule(static)
        for (int64_t n = 0; n < rows; ++n)
            search_row(w + n * columns, importance, groups, size, packed + n * columns / 2, affine + n * groups * 2,
                       scale + n, found);
    }
}

// Of one group of each row [rows, size], rows `stride` apart: step and zero [rows] as whole numbers under the rows'
// scales, those of plain torch's find_int4 in weights/quantizers/feedback_grids.py.
extern "C" void quantbench_find_int4(const float* w, int64_t stride, const float* importance, const float* by_row,
                                     int64_t rows, int64_t size, float* step, float* zero) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < rows; ++n) {
        const Group group{w + n * stride, importance, size};
        const Affine held = group.held(group.searched(), by_row[n]);
        step[n] = held.scale;
        zero[n] = held.zero;
    }
}

// round_group of weights/quantizers/feedback.py: codes and errors [rows, size], size at most MOST_INPUTS. LANES rows
// go side by side through registers, so that the chain from column to column does not wait.
extern "C" void quantbench_round_group(const float* w, int64_t stride, const float* spread, int64_t spread_stride,
                                       const float* scale, const float* offset, float least, float most, int64_t rows,
                                       int64_t size, float* codes, float* errors) {
    constexpr int LANES = 16, MOST_INPUTS = 64;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < rows; first += LANES) {
        const int count = (int)(rows - first < LANES ? rows - first : LANES);
        float left[MOST_INPUTS][LANES] = {}, s[LANES] = {}, o[LANES] = {}, inverse[LANES], error[LANES];
        for (int n = 0; n < count; ++n) {
            s[n] = scale[first + n];
            o[n] = offset[first + n];
            for (int64_t j = 0; j < size; ++j) left[j][n] = w[(first + n) * stride + j];
        }
        for (int n = 0; n < LANES; ++n) inverse[n] = inverse_of(s[n]);
        for (int64_t j = 0; j < size; ++j) {
            const float* row = spread + j * spread_stride;
            const float over = 1 / row[j];
            float q[LANES];
#pragma omp simd
            for (int n = 0; n < LANES; ++n) {
                q[n] = nearest(between((left[j][n] - o[n]) * inverse[n], least, most));
                error[n] = (left[j][n] - q[n] * s[n] - o[n]) * over;
            }
            for (int64_t k = j + 1; k < size; ++k) {
#pragma omp simd
                for (int n = 0; n < LANES; ++n) left[k][n] -= error[n] * row[k];
            }
            for (int n = 0; n < count; ++n) {
                codes[(first + n) * size + j] = q[n];
                errors[(first + n) * size + j] = error[n];
            }
        }
    }
}
