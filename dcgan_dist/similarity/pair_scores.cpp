// Scores of pairs of thumbnails, as verifier.py and alignment.py define them; names and constants are theirs.
// Called through ctypes by native_scores.py; every buffer belongs to the caller, the function is free of state.
// Sums run over eight lanes whatever the processor offers, and nothing is contracted, so that all machines agree to the last bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

typedef float Lanes __attribute__((vector_size(32)));
typedef int32_t Numbers __attribute__((vector_size(32)));
typedef float Quad __attribute__((vector_size(16)));

constexpr int SIDE = 32, PIXELS = SIDE * SIDE;
constexpr int WINDOW = 22, AREA = WINDOW * WINDOW, PADDED = (AREA + 7) / 8 * 8;
constexpr int WIDE = WINDOW + 2;
constexpr int SMALL = 16, COARSE_WINDOW = 12, COARSE_AREA = COARSE_WINDOW * COARSE_WINDOW, SHIFTS = 5, SCALES = 4;
constexpr float SCALE[SCALES] = {1.0f, 0.93f, 0.87f, 0.81f};
constexpr float COARSE_THRESHOLD = 0.7f, MOST_COARSE = 0.46f, FLAT = 2.0f;
constexpr float GRADIENT_SHARE = 0.75f, DEFORMATION_COST = 0.2f, SKEW_COST = 0.5f, EDGE_BOUND = 0.1f, WEAK = 4.0f;
constexpr int STEPS = 8;
constexpr float LARGEST_STRETCH = 0.2f, LARGEST_SHIFT = 3.0f;
constexpr double DAMPING = 0.01;

struct Map {
    float values[6];  // two rows of (x, y, 1)
};

// What is computed of an image once, whatever it is compared with. Layers: value and slopes along x and y of each pixel.
struct Picture {
    alignas(32) float light[PIXELS];
    alignas(32) float layers[2][PIXELS * 4];
    alignas(32) float target[2][PADDED];
    alignas(32) float templates[SCALES][COARSE_AREA];
    alignas(32) float windows[SHIFTS * SHIFTS][COARSE_AREA];
};

inline Lanes load(const float* x) {
    Lanes lanes;
    std::memcpy(&lanes, x, sizeof lanes);
    return lanes;
}

inline float total(const Lanes& v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }

float sum(const float* x, int n) {
    Lanes lanes{};
    for (int i = 0; i < n; i += 8) lanes += load(x + i);
    return total(lanes);
}

float dot(const float* x, const float* y, int n) {
    Lanes lanes{};
    for (int i = 0; i < n; i += 8) lanes += load(x + i) * load(y + i);
    return total(lanes);
}

// Mean 0; returns what was the norm. Places from n on, up to a multiple of 8, become 0.
float centre(float* x, int n) {
    const int padded = (n + 7) / 8 * 8;
    for (int i = n; i < padded; ++i) x[i] = 0;
    const float mean = sum(x, padded) / n;
    for (int i = 0; i < n; ++i) x[i] -= mean;
    return std::sqrt(dot(x, x, padded));
}

void divide(float* x, int n, float by) {
    for (int i = 0; i < n; ++i) x[i] /= by;
}

struct Kernel {
    int reach;
    float weights[9];
    explicit Kernel(double sigma) : reach(static_cast<int>(2.5 * sigma + 0.5)) {
        double all = 0;
        for (int o = -reach; o <= reach; ++o) all += std::exp(-0.5 * (o / sigma) * (o / sigma));
        for (int o = -reach; o <= reach; ++o) {
            weights[o + reach] = static_cast<float>(std::exp(-0.5 * (o / sigma) * (o / sigma)) / all);
        }
    }
};
const Kernel FAR(1.5), NEAR(0.8), LAST(0.6);

template <int N>
void blur(const float* in, float* out, const Kernel& kernel) {
    float rows[N * N], line[N + 8];
    const int reach = kernel.reach;
    for (int y = 0; y < N; ++y) {
        float* row = rows + y * N;
        std::fill(row, row + N, 0.0f);
        for (int o = -reach; o <= reach; ++o) {
            const float *from = in + std::clamp(y + o, 0, N - 1) * N, weight = kernel.weights[o + reach];
            for (int x = 0; x < N; ++x) row[x] += weight * from[x];
        }
    }
    for (int y = 0; y < N; ++y) {
        for (int x = -reach; x < N + reach; ++x) line[x + reach] = rows[y * N + std::clamp(x, 0, N - 1)];
        float* row = out + y * N;
        std::fill(row, row + N, 0.0f);
        for (int o = 0; o <= 2 * reach; ++o) {
            const float weight = kernel.weights[o];
            for (int x = 0; x < N; ++x) row[x] += weight * line[x + o];
        }
    }
}

void crop(const float* in, float* out, int from, int window) {
    for (int y = 0; y < window; ++y) std::copy_n(in + (from + y) * SIDE + from, window, out + y * window);
}

void prepare_coarse(const uint8_t* image, Picture& picture) {
    float* light = picture.light;
    for (int i = 0; i < PIXELS; ++i) light[i] = static_cast<float>(image[i] + image[PIXELS + i] + image[2 * PIXELS + i]) / 3;
    float small[SMALL * SMALL];
    for (int y = 0; y < SMALL; ++y) {
        for (int x = 0; x < SMALL; ++x) {
            const float* at = light + 2 * y * SIDE + 2 * x;
            small[y * SMALL + x] = (at[0] + at[1] + at[SIDE] + at[SIDE + 1]) / 4;
        }
    }
    for (int scale = 0; scale < SCALES; ++scale) {
        int at[COARSE_WINDOW];
        float share[COARSE_WINDOW], rows[COARSE_WINDOW * SMALL];
        for (int i = 0; i < COARSE_WINDOW; ++i) {
            const float place = (i - (COARSE_WINDOW - 1) / 2.0f) / SCALE[scale] + (SMALL - 1) / 2.0f;
            at[i] = std::min(static_cast<int>(place), SMALL - 2);
            share[i] = place - at[i];
        }
        for (int y = 0; y < COARSE_WINDOW; ++y) {
            const float *above = small + at[y] * SMALL, *below = above + SMALL;
            for (int x = 0; x < SMALL; ++x) rows[y * SMALL + x] = above[x] + share[y] * (below[x] - above[x]);
        }
        float* out = picture.templates[scale];
        for (int y = 0; y < COARSE_WINDOW; ++y) {
            for (int x = 0; x < COARSE_WINDOW; ++x) {
                const float* left = rows + y * SMALL + at[x];
                out[y * COARSE_WINDOW + x] = left[0] + share[x] * (left[1] - left[0]);
            }
        }
        divide(out, COARSE_AREA, std::max(centre(out, COARSE_AREA), FLAT * COARSE_WINDOW));
    }
    for (int shift = 0; shift < SHIFTS * SHIFTS; ++shift) {
        float* out = picture.windows[shift];
        const float* from = small + shift / SHIFTS * SMALL + shift % SHIFTS;
        for (int y = 0; y < COARSE_WINDOW; ++y) std::copy_n(from + y * SMALL, COARSE_WINDOW, out + y * COARSE_WINDOW);
        divide(out, COARSE_AREA, std::max(centre(out, COARSE_AREA), FLAT * COARSE_WINDOW));
    }
}

// Best correlation, and the map from the middle of b to where it lies in a.
float coarse(const Picture& a, const Picture& b, Map& start) {
    float best = -2;
    int at = 0;
    for (int scale = 0; scale < SCALES; ++scale) {
        for (int shift = 0; shift < SHIFTS * SHIFTS; ++shift) {
            const float similarity = dot(a.templates[scale], b.windows[shift], COARSE_AREA);
            if (similarity > best) {
                best = similarity;
                at = scale * SHIFTS * SHIFTS + shift;
            }
        }
    }
    const float scale = SCALE[at / (SHIFTS * SHIFTS)];
    const int shift = at % (SHIFTS * SHIFTS), dy = 2 * (shift / SHIFTS - SHIFTS / 2), dx = 2 * (shift % SHIFTS - SHIFTS / 2);
    start = {{1 / scale, 0, -dx / scale, 0, 1 / scale, -dy / scale}};
    return best;
}

// Mean 0 and deviation 1 unless flat; returns what was divided by.
float standardise(float* x) {
    const float deviation = std::max(centre(x, AREA) / WINDOW, FLAT);
    divide(x, AREA, deviation);
    return deviation;
}

void prepare_fine(Picture& picture) {
    for (int level = 0; level < 2; ++level) {
        float smooth[PIXELS];
        blur<SIDE>(picture.light, smooth, level ? NEAR : FAR);
        float* out = picture.layers[level];
        for (int y = 0; y < SIDE; ++y) {
            for (int x = 0; x < SIDE; ++x, out += 4) {
                const float* at = smooth + y * SIDE + x;
                out[0] = *at;
                out[1] = x == 0 || x == SIDE - 1 ? 0 : (at[1] - at[-1]) / 2;
                out[2] = y == 0 || y == SIDE - 1 ? 0 : (at[SIDE] - at[-SIDE]) / 2;
                out[3] = 0;
            }
        }
        crop(smooth, picture.target[level], (SIDE - WINDOW) / 2, WINDOW);
        standardise(picture.target[level]);
    }
}

template <int N>
struct Points {
    static constexpr int COUNT = (N * N + 7) / 8 * 8;
    alignas(32) float columns[3][COUNT];  // x, y and 1 of every pixel of a window, from its centre; 0 in the padding
    Points() : columns{} {
        for (int i = 0; i < N * N; ++i) {
            columns[0][i] = i % N - (N - 1) / 2.0f;
            columns[1][i] = i / N - (N - 1) / 2.0f;
            columns[2][i] = 1;
        }
    }
};
const Points<WINDOW> POINTS;
const Points<WIDE> WIDE_POINTS;

// For each pixel of a window: the pixel of an image that it shows, and how far it lies towards the next one along x and y.
template <int N>
struct Places {
    alignas(32) int32_t at[Points<N>::COUNT];
    alignas(32) float share_x[Points<N>::COUNT], share_y[Points<N>::COUNT];
    Places(const Map& map, const Points<N>& points) {
        const Lanes first{}, last = first + (SIDE - 1.0f);
        const Numbers end = Numbers{} + (SIDE - 2);
        const float* m = map.values;
        for (int i = 0; i < Points<N>::COUNT; i += 8) {
            const Lanes x = load(points.columns[0] + i), y = load(points.columns[1] + i);
            Lanes at_x = m[0] * x + m[1] * y + (m[2] + (SIDE - 1) / 2.0f), at_y = m[3] * x + m[4] * y + (m[5] + (SIDE - 1) / 2.0f);
            at_x = at_x < first ? first : at_x > last ? last : at_x;
            at_y = at_y < first ? first : at_y > last ? last : at_y;
            Numbers column = __builtin_convertvector(at_x, Numbers), row = __builtin_convertvector(at_y, Numbers);
            column = column > end ? end : column;
            row = row > end ? end : row;
            const Numbers index = row * SIDE + column;
            const Lanes rest_x = at_x - __builtin_convertvector(column, Lanes), rest_y = at_y - __builtin_convertvector(row, Lanes);
            std::memcpy(at + i, &index, sizeof index);
            std::memcpy(share_x + i, &rest_x, sizeof rest_x);
            std::memcpy(share_y + i, &rest_y, sizeof rest_y);
        }
    }
};

void sample_layers(const float* layers, const Map& map, float* seen, float* slope_x, float* slope_y) {
    const Places<WINDOW> places(map, POINTS);
    for (int i = 0; i < AREA; ++i) {
        Quad corners[4];
        std::memcpy(corners, layers + 4 * places.at[i], 2 * sizeof(Quad));
        std::memcpy(corners + 2, layers + 4 * (places.at[i] + SIDE), 2 * sizeof(Quad));
        const Quad above = corners[0] + places.share_x[i] * (corners[1] - corners[0]);
        const Quad below = corners[2] + places.share_x[i] * (corners[3] - corners[2]);
        const Quad value = above + places.share_y[i] * (below - above);
        seen[i] = value[0];
        slope_x[i] = value[1];
        slope_y[i] = value[2];
    }
}

// Solves the positive definite system h x = v in place of v.
void solve(double (&h)[6][6], double (&v)[6]) {
    for (int i = 0; i < 6; ++i) {
        for (int j = 0; j <= i; ++j) {
            double value = h[i][j];
            for (int k = 0; k < j; ++k) value -= h[i][k] * h[j][k];
            h[i][j] = i == j ? std::sqrt(value) : value / h[j][j];
        }
    }
    for (int i = 0; i < 6; ++i) {
        for (int k = 0; k < i; ++k) v[i] -= h[i][k] * v[k];
        v[i] /= h[i][i];
    }
    for (int i = 5; i >= 0; --i) {
        for (int k = i + 1; k < 6; ++k) v[i] -= h[k][i] * v[k];
        v[i] /= h[i][i];
    }
}

// One Gauss-Newton step on |current - target|^2. With j the slopes times (x, y, 1), the Jacobian is j less its mean m and less
// current times c, the mean of (j - m) current; its products are sums over j, so that it is never built.
void step(const float* current, const float* target, const float* slope_x, const float* slope_y, float deviation,
          double (&change)[6]) {
    Lanes products[18] = {}, sums[6] = {}, with_current[6] = {}, with_target[6] = {}, squares = {}, agreement = {};
    for (int i = 0; i < PADDED; i += 8) {
        const Lanes now = load(current + i), aim = load(target + i), x = load(POINTS.columns[0] + i), y = load(POINTS.columns[1] + i);
        const Lanes slopes[2] = {load(slope_x + i), load(slope_y + i)};
        squares += now * now;
        agreement += now * aim;
        for (int axis = 0; axis < 2; ++axis) {
            const Lanes columns[3] = {slopes[axis] * x, slopes[axis] * y, slopes[axis]};
            for (int k = 0; k < 3; ++k) {
                sums[3 * axis + k] += columns[k];
                with_current[3 * axis + k] += columns[k] * now;
                with_target[3 * axis + k] += columns[k] * aim;
            }
        }
        const Lanes pairs[3] = {slopes[0] * slopes[0], slopes[0] * slopes[1], slopes[1] * slopes[1]};
        for (int p = 0; p < 3; ++p) {
            const Lanes by_x = pairs[p] * x, by_y = pairs[p] * y;
            products[6 * p] += by_x * x;
            products[6 * p + 1] += by_x * y;
            products[6 * p + 2] += by_x;
            products[6 * p + 3] += by_y * y;
            products[6 * p + 4] += by_y;
            products[6 * p + 5] += pairs[p];
        }
    }
    constexpr int PLACE[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};
    const double n = AREA, q = total(squares) / n, r = total(agreement) / n;
    double mean[6], c[6], h[6][6];
    for (int k = 0; k < 6; ++k) {
        mean[k] = total(sums[k]) / n / deviation;
        c[k] = total(with_current[k]) / n / deviation;
        change[k] = total(with_target[k]) / deviation - n * c[k] - n * c[k] * (r - q);
    }
    for (int i = 0; i < 6; ++i) {
        for (int j = 0; j <= i; ++j) {
            const double raw = total(products[6 * (i / 3 + j / 3) + PLACE[i % 3][j % 3]]) / (double(deviation) * deviation);
            h[i][j] = raw - n * mean[i] * mean[j] - n * c[i] * c[j] * (2 - q);
        }
        h[i][i] += DAMPING * h[i][i] + 1e-3;
    }
    solve(h, change);
}

// The map under which the middle of b looks most like a, met under the last blur.
Map align(const Picture& a, const Picture& b, const Map& start) {
    alignas(32) float seen[PADDED], slope_x[PADDED], slope_y[PADDED];
    std::fill(slope_x + AREA, slope_x + PADDED, 0.0f);
    std::fill(slope_y + AREA, slope_y + PADDED, 0.0f);
    Map map = start, best_map = start;
    float best = -INFINITY;
    for (int number = 0; number <= STEPS; ++number) {
        const int level = number >= STEPS / 2;
        if (number == STEPS / 2) best = -INFINITY;
        sample_layers(a.layers[level], map, seen, slope_x, slope_y);
        const float deviation = standardise(seen), agreement = dot(seen, b.target[level], PADDED) / AREA;
        if (agreement > best) {
            best = agreement;
            best_map = map;
        }
        if (number == STEPS) break;
        double change[6];
        step(seen, b.target[level], slope_x, slope_y, deviation, change);
        for (int k = 0; k < 6; ++k) {
            const float most = k % 3 == 2 ? LARGEST_SHIFT : LARGEST_STRETCH, first = start.values[k];
            map.values[k] = first + std::clamp(map.values[k] + static_cast<float>(change[k]) - first, -most, most);
        }
    }
    return best_map;
}

// Centred values and bounded gradients, each of norm 1 unless weak, of what a window of WIDE pixels sees.
void describe(const float* window, float* values, float* edges) {
    float smooth[WIDE * WIDE], squares = 0;
    blur<WIDE>(window, smooth, LAST);
    alignas(32) float sizes[PADDED] = {};
    for (int i = 0; i < AREA; ++i) {
        const float* at = smooth + (i / WINDOW + 1) * WIDE + i % WINDOW + 1;
        const float dy = at[WIDE] - at[-WIDE], dx = at[1] - at[-1];
        values[i] = *at;
        edges[i] = dy;
        edges[PADDED + i] = dx;
        sizes[i] = std::sqrt(dy * dy + dx * dx);
    }
    squares = dot(sizes, sizes, PADDED);
    const float more = EDGE_BOUND * std::sqrt(squares / AREA) + WEAK;
    for (int i = 0; i < AREA; ++i) {
        edges[i] /= sizes[i] + more;
        edges[PADDED + i] /= sizes[i] + more;
    }
    divide(edges, 2 * PADDED, std::max(std::sqrt(dot(edges, edges, 2 * PADDED)), 1e-3f));
    divide(values, AREA, std::max(centre(values, AREA), FLAT * WINDOW));
}

float fine(const Picture& a, const Picture& b, const Map& start) {
    const Map map = align(a, b, start);
    alignas(32) float in_a[WIDE * WIDE], in_b[WIDE * WIDE], values[2][PADDED] = {}, edges[2][2 * PADDED] = {};
    const Places<WIDE> places(map, WIDE_POINTS);
    for (int i = 0; i < WIDE * WIDE; ++i) {
        const float *at = a.light + places.at[i], share_x = places.share_x[i];
        const float above = at[0] + share_x * (at[1] - at[0]), below = at[SIDE] + share_x * (at[SIDE + 1] - at[SIDE]);
        in_a[i] = above + places.share_y[i] * (below - above);
    }
    crop(b.light, in_b, (SIDE - WIDE) / 2, WIDE);
    describe(in_a, values[0], edges[0]);
    describe(in_b, values[1], edges[1]);
    const float *m = map.values, stretch_x = m[0] - 1, stretch_y = m[4] - 1;
    const float deformation = std::sqrt(stretch_x * stretch_x + m[1] * m[1] + m[3] * m[3] + stretch_y * stretch_y);
    const float skew = std::max(std::fabs(m[1]), std::fabs(m[3]));
    const float agreement = GRADIENT_SHARE * dot(edges[0], edges[1], 2 * PADDED) +
                            (1 - GRADIENT_SHARE) * dot(values[0], values[1], PADDED);
    return agreement - DEFORMATION_COST * deformation - SKEW_COST * skew;
}

}  // namespace

extern "C" {

// Scores of n pairs of images of 3 x 32 x 32 bytes.
void score_pairs(const uint8_t* images_a, const uint8_t* images_b, int64_t n, float* scores) {
    static thread_local Picture a, b;
    for (int64_t i = 0; i < n; ++i) {
        prepare_coarse(images_a + i * 3 * PIXELS, a);
        prepare_coarse(images_b + i * 3 * PIXELS, b);
        Map start, start_back;
        const float similarity = std::max(coarse(a, b, start), coarse(b, a, start_back));
        if (similarity < COARSE_THRESHOLD) {
            scores[i] = std::min(similarity, MOST_COARSE);
            continue;
        }
        prepare_fine(a);
        prepare_fine(b);
        scores[i] = std::max(fine(a, b, start), fine(b, a, start_back));
    }
}
}
