// Products of many long rows with few columns, for which libraries of matrix products are slow: the rows are
// read as they are stored; float16 is converted in registers and multiplied as float32, others as they are.

#include <cstdint>
#include <cstring>
#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace {

constexpr int64_t TILE = 512, GROUP = 8, COLUMNS = 5;

template <typename Value>
struct Vector {
    static constexpr int64_t SIZE = 64 / sizeof(Value);
    typedef Value Values __attribute__((vector_size(64), aligned(sizeof(Value))));
};
template <typename Value>
using Values = typename Vector<Value>::Values;

float from_half(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    float value;
    if (exponent == 0) {
        value = static_cast<float>(fraction) * 0x1p-24f;
        return sign ? -value : value;
    }
    const uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

void convert(const uint16_t* stored, int64_t n, float* out) {
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(stored + i))));
#endif
    for (; i < n; ++i) out[i] = from_half(stored[i]);
}

template <typename Value>
void convert(const Value* stored, int64_t n, Value* out) { std::memcpy(out, stored, n * sizeof(Value)); }

template <typename Value>
Values<Value> load(const Value* from) {
    Values<Value> values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

template <typename Value>
Value total(const Values<Value>& values) {
    Value sum = 0;
    for (int64_t i = 0; i < Vector<Value>::SIZE; ++i) sum += values[i];
    return sum;
}

// scores[row][column] of rows first to last: sum over features of rows[row][feature] columns[column][feature].
template <typename Stored, typename Value>
__attribute__((optimize("fp-contract=fast"))) void score(const Stored* rows, int64_t first, int64_t last, int64_t d,
                                                         const Value* columns, int64_t count, Value* scores) {
    constexpr int64_t WIDE = Vector<Value>::SIZE;
    Value tile[2][TILE];
    for (int64_t row = first; row < last; row += 2) {
        const int64_t second = row + 1 < last ? row + 1 : row;  // the last of an odd number is computed twice
        for (int64_t k = 0; k < count; ++k) scores[row * count + k] = scores[second * count + k] = 0;
        for (int64_t start = 0; start < d; start += TILE) {
            const int64_t n = d - start < TILE ? d - start : TILE;
            convert(rows + row * d + start, n, tile[0]);
            convert(rows + second * d + start, n, tile[1]);
            for (int64_t k = 0; k < count; k += COLUMNS) {
                const int64_t several = count - k < COLUMNS ? count - k : COLUMNS;
                Values<Value> sums[2][COLUMNS] = {};
                Value rest[2][COLUMNS] = {};
                int64_t i = 0;
                if (several == COLUMNS) {
                    for (; i + WIDE <= n; i += WIDE) {
                        const Values<Value> a = load(tile[0] + i), b = load(tile[1] + i);
                        for (int64_t c = 0; c < COLUMNS; ++c) {
                            const Values<Value> w = load(columns + (k + c) * d + start + i);
                            sums[0][c] += a * w;
                            sums[1][c] += b * w;
                        }
                    }
                }
                for (; i < n; ++i)
                    for (int64_t c = 0; c < several; ++c) {
                        rest[0][c] += tile[0][i] * columns[(k + c) * d + start + i];
                        rest[1][c] += tile[1][i] * columns[(k + c) * d + start + i];
                    }
                for (int64_t c = 0; c < several; ++c) {
                    scores[row * count + k + c] += total<Value>(sums[0][c]) + rest[0][c];
                    if (second != row) scores[second * count + k + c] += total<Value>(sums[1][c]) + rest[1][c];
                }
            }
        }
    }
}

// sums[column][feature] of features first to last: plus the sum over rows of factors[row][column] rows[row][feature].
template <typename Stored, typename Value>
__attribute__((optimize("fp-contract=fast"))) void sum(const Stored* rows, int64_t n, int64_t first, int64_t last, int64_t d,
                                                       const Value* factors, int64_t count, Value* sums) {
    constexpr int64_t WIDE = Vector<Value>::SIZE;
    Value tile[GROUP][TILE];
    for (int64_t row = 0; row < n; row += GROUP) {
        const int64_t several = n - row < GROUP ? n - row : GROUP;
        for (int64_t start = first; start < last; start += TILE) {
            const int64_t wide = last - start < TILE ? last - start : TILE;
            for (int64_t r = 0; r < several; ++r) convert(rows + (row + r) * d + start, wide, tile[r]);
            for (int64_t r = several; r < GROUP; ++r) std::memset(tile[r], 0, sizeof tile[r]);
            for (int64_t k = 0; k < count; ++k) {
                Value factor[GROUP] = {};
                for (int64_t r = 0; r < several; ++r) factor[r] = factors[(row + r) * count + k];
                Value* out = sums + k * d + start;
                int64_t i = 0;
                for (; i + WIDE <= wide; i += WIDE) {
                    Values<Value> value = load(out + i);
                    for (int64_t r = 0; r < GROUP; ++r) value += load(tile[r] + i) * factor[r];
                    std::memcpy(out + i, &value, sizeof value);
                }
                for (; i < wide; ++i)
                    for (int64_t r = 0; r < GROUP; ++r) out[i] += tile[r][i] * factor[r];
            }
        }
    }
}

}  // namespace

// `bytes`: of a stored number: 2, 4 or 8; columns, factors and results are float64 with 8, else float32.
extern "C" void score_rows(const void* rows, int32_t bytes, int64_t first, int64_t last, int64_t d, const void* columns,
                           int64_t count, void* scores) {
    const auto run = [&](const auto* stored, auto value) {
        using Value = decltype(value);
        score(stored, first, last, d, static_cast<const Value*>(columns), count, static_cast<Value*>(scores));
    };
    if (bytes == 2) run(static_cast<const uint16_t*>(rows), float());
    else if (bytes == 4) run(static_cast<const float*>(rows), float());
    else run(static_cast<const double*>(rows), double());
}

extern "C" void sum_rows(const void* rows, int32_t bytes, int64_t n, int64_t first, int64_t last, int64_t d, const void* factors,
                         int64_t count, void* sums) {
    const auto run = [&](const auto* stored, auto value) {
        using Value = decltype(value);
        sum(stored, n, first, last, d, static_cast<const Value*>(factors), count, static_cast<Value*>(sums));
    };
    if (bytes == 2) run(static_cast<const uint16_t*>(rows), float());
    else if (bytes == 4) run(static_cast<const float*>(rows), float());
    else run(static_cast<const double*>(rows), double());
}
