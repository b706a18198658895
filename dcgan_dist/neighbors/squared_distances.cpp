// Squared L2 distances of listed pairs of int8 vectors, exact.

#include <cstdint>

extern "C" void squared_distances(const int8_t* a, const int8_t* b, const int64_t* first, const int64_t* second,
                                  int64_t pairs, int64_t dimension, int32_t* out) {
    for (int64_t pair = 0; pair < pairs; ++pair) {
        const int8_t* x = a + first[pair] * dimension;
        const int8_t* y = b + second[pair] * dimension;
        int32_t sum = 0;  // at most 2^15 dimensions of at most 255^2
        for (int64_t i = 0; i < dimension; ++i) {
            const int16_t difference = static_cast<int16_t>(x[i] - y[i]);
            sum += static_cast<int32_t>(difference) * difference;
        }
        out[pair] = sum;
    }
}
