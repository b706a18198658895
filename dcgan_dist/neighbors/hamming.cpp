// Pairs of codes within a Hamming radius: codes sorted into buckets that agree on chosen bits, buckets compared in tiles.
// Called through ctypes by native.py; every buffer belongs to the caller, every function is free of state.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>
#if defined(__AVX512F__) && defined(__AVX512VPOPCNTDQ__)
#include <immintrin.h>
#define WIDE_POPCOUNT 1
#elif defined(__AVX2__)
#include <immintrin.h>
#define NIBBLE_TABLES 1
#endif

namespace {

constexpr int64_t TILE = 512;  // rows; two tiles of 128-bit codes are 16 KiB, half of an L1 cache

struct Found {
    uint32_t* first;
    uint32_t* second;
    int16_t* distances;
    int64_t count;
};

// Codes as planes: word k of row i is planes[k * stride + i], so that eight rows fill one vector.
struct Rows {
    const uint64_t* planes;
    int64_t stride;
    int words;
    const uint64_t* sorted;  // low half: row before sorting; null where rows were not sorted
    int64_t split;           // rows from here on are `others`; 0: rows are compared among themselves
};

// A pair that agrees in several blocks turns up in several buckets and counts only in the first choice of blocks.
struct Choice {
    const uint64_t* blocks;  // count x words bits of each block
    const int32_t* chosen;   // positions of the agreeing blocks, rising
    int agree;
};

inline uint32_t original(const Rows& rows, int64_t i) {
    return rows.sorted ? static_cast<uint32_t>(rows.sorted[i]) : static_cast<uint32_t>(i);
}

bool is_first_choice(const Rows& rows, const Choice& choice, int64_t i, int64_t j) {
    int matched = 0;
    for (int32_t block = 0; matched < choice.agree; ++block) {
        uint64_t differing = 0;
        for (int k = 0; k < rows.words; ++k) {
            const uint64_t* plane = rows.planes + k * rows.stride;
            differing |= (plane[i] ^ plane[j]) & choice.blocks[block * rows.words + k];
        }
        const bool chosen = block == choice.chosen[matched];
        if ((differing == 0) != chosen) return false;
        matched += chosen;
    }
    return true;
}

inline void emit(const Rows& rows, const Choice& choice, int64_t i, int64_t j, int distance, Found& found) {
    if (!is_first_choice(rows, choice, i, j)) return;
    uint32_t a = original(rows, i), b = original(rows, j);
    if (rows.split) {
        b -= static_cast<uint32_t>(rows.split);
    } else if (a > b) {
        std::swap(a, b);
    }
    found.first[found.count] = a;
    found.second[found.count] = b;
    found.distances[found.count++] = static_cast<int16_t>(distance);
}

// Compares rows i0..i1 with rows j0..j1, or only with those after each i. W: words of a code, 0 where not known in advance.
template <int W>
void compare(const Rows& rows, const Choice& choice, int64_t i0, int64_t i1, int64_t j0, int64_t j1, bool after,
             int radius, Found& found) {
    const int words = W ? W : rows.words;
    for (int64_t i = i0; i < i1; ++i) {
        int64_t j = after ? std::max(j0, i + 1) : j0;
#ifdef WIDE_POPCOUNT
        const __m512i limit = _mm512_set1_epi64(radius);
        for (; j < j1; j += 8) {
            const __mmask8 inside = j1 - j >= 8 ? 0xff : static_cast<__mmask8>((1u << (j1 - j)) - 1);
            __m512i distance = _mm512_setzero_si512();
            for (int k = 0; k < words; ++k) {
                const uint64_t* plane = rows.planes + k * rows.stride;
                const __m512i other = _mm512_maskz_loadu_epi64(inside, plane + j);
                const __m512i mine = _mm512_set1_epi64(static_cast<int64_t>(plane[i]));
                distance = _mm512_add_epi64(distance, _mm512_popcnt_epi64(_mm512_xor_si512(mine, other)));
            }
            unsigned near = _mm512_mask_cmple_epi64_mask(inside, distance, limit);
            if (near) {
                alignas(64) int64_t values[8];
                _mm512_store_si512(values, distance);
                for (; near; near &= near - 1) {
                    const int lane = __builtin_ctz(near);
                    emit(rows, choice, i, j + lane, static_cast<int>(values[lane]), found);
                }
            }
        }
#else
        for (; j < j1; ++j) {
            int distance = 0;
            for (int k = 0; k < words; ++k) {
                const uint64_t* plane = rows.planes + k * rows.stride;
                distance += __builtin_popcountll(plane[i] ^ plane[j]);
            }
            if (distance <= radius) emit(rows, choice, i, j, distance, found);
        }
#endif
    }
}

#ifdef NIBBLE_TABLES
constexpr int NIBBLES = 16;       // of a word, and values of one
constexpr int MOST_WORDS = 4;     // the nibbles of a tile are 32 KiB then
constexpr int MOST_DISTANCE = 254;  // sums of bytes that stop at 255 are right below it

// Bits by which a value differs from each of the others, in both halves of a vector.
struct DifferingBits {
    alignas(32) uint8_t of[NIBBLES][32];
    DifferingBits() {
        for (int a = 0; a < NIBBLES; ++a) {
            for (int b = 0; b < 32; ++b) of[a][b] = static_cast<uint8_t>(__builtin_popcount(a ^ (b % NIBBLES)));
        }
    }
};

// A tile of rows as bytes: nibble n of row j0 + j is tile[n * TILE + j]; rows from j1 on are zeros.
void spread_nibbles(const Rows& rows, int64_t j0, int64_t j1, uint8_t* tile) {
    for (int n = 0; n < rows.words * NIBBLES; ++n) {
        const uint64_t* plane = rows.planes + n / NIBBLES * rows.stride + j0;
        const int shift = n % NIBBLES * 4;
        for (int64_t j = 0; j < j1 - j0; ++j) tile[n * TILE + j] = static_cast<uint8_t>(plane[j] >> shift & 15);
        std::fill(tile + n * TILE + (j1 - j0), tile + (n + 1) * TILE, static_cast<uint8_t>(0));
    }
}

// Compares rows i0..i1 with the rows of a spread tile, 128 at once: the nibbles of a row choose tables, those of the tile look
// them up (the idea of "Quicker ADC", Andre, Kermarrec, Le Scouarnec 2019, with exact tables).
template <int W>
void look_up(const Rows& rows, const Choice& choice, int64_t i0, int64_t i1, int64_t j0, int64_t j1, const uint8_t* tile,
             int radius, Found& found) {
    static const DifferingBits differing;
    const int nibbles = (W ? W : rows.words) * NIBBLES;
    const __m256i limit = _mm256_set1_epi8(static_cast<char>(radius));
    for (int64_t i = i0; i < i1; ++i) {
        const uint8_t* tables[MOST_WORDS * NIBBLES];
        for (int n = 0; n < nibbles; ++n) {
            tables[n] = differing.of[rows.planes[n / NIBBLES * rows.stride + i] >> n % NIBBLES * 4 & 15];
        }
        for (int64_t j = 0; j < j1 - j0; j += 128) {
            __m256i distances[4] = {};
            for (int n = 0; n < nibbles; ++n) {
                const __m256i table = _mm256_load_si256(reinterpret_cast<const __m256i*>(tables[n]));
                const __m256i* others = reinterpret_cast<const __m256i*>(tile + n * TILE + j);
                for (int v = 0; v < 4; ++v) {
                    const __m256i bits = _mm256_shuffle_epi8(table, _mm256_load_si256(others + v));
                    distances[v] = _mm256_adds_epu8(distances[v], bits);
                }
            }
            for (int v = 0; v < 4; ++v) {
                const __m256i inside = _mm256_cmpeq_epi8(_mm256_min_epu8(distances[v], limit), distances[v]);
                unsigned near = static_cast<unsigned>(_mm256_movemask_epi8(inside));
                if (!near) continue;
                alignas(32) uint8_t values[32];
                _mm256_store_si256(reinterpret_cast<__m256i*>(values), distances[v]);
                for (; near; near &= near - 1) {
                    const int lane = __builtin_ctz(near);
                    const int64_t other = j0 + j + 32 * v + lane;
                    if (other < j1) emit(rows, choice, i, other, values[lane], found);
                }
            }
        }
    }
}
#endif

void compare_tile(const Rows& rows, const Choice& choice, int64_t i0, int64_t i1, int64_t j0, int64_t j1, bool after,
                  int radius, Found& found) {
    auto* function = rows.words == 1   ? compare<1>
                     : rows.words == 2 ? compare<2>
                     : rows.words == 4 ? compare<4>
                                       : compare<0>;
    function(rows, choice, i0, i1, j0, j1, after, radius, found);
}

inline uint64_t hash(const uint64_t* row, const uint64_t* mask, int words) {
    uint64_t h = 0;
    for (int k = 0; k < words; ++k) {
        h = (h ^ (row[k] & mask[k])) * 0x9E3779B97F4A7C15ull;
        h ^= h >> 32;
    }
    return h * 0xD6E8FEB86659FD93ull;
}

}  // namespace

extern "C" {

// Free room that search_buckets and search_stripe ask for.
int64_t tile_pairs() { return TILE * TILE; }

// Sorts rows by a hash of their bits in mask; keys of rows: hash of key_bits in the high half, row number in the low one.
// rows: n x words. keys, scratch: n. planes: words x n. Stable: rows of equal hash keep their order.
void sort_rows(const uint64_t* rows, int64_t n, int32_t words, const uint64_t* mask, int32_t key_bits, uint64_t* keys,
               uint64_t* scratch, uint64_t* planes) {
    const int passes = (key_bits + 10) / 11, digit = (key_bits + passes - 1) / passes;
    const uint64_t low = (1ull << digit) - 1;
    std::vector<int64_t> starts(static_cast<size_t>(passes) << digit);
    uint64_t *from = passes % 2 ? scratch : keys, *to = passes % 2 ? keys : scratch;
    for (int64_t i = 0; i < n; ++i) {
        const uint64_t key = hash(rows + i * words, mask, words) >> (64 - key_bits);
        from[i] = key << 32 | static_cast<uint64_t>(i);
        for (int pass = 0; pass < passes; ++pass) ++starts[(static_cast<size_t>(pass) << digit) + (key >> (pass * digit) & low)];
    }
    for (int pass = 0; pass < passes; ++pass) {
        int64_t* start = starts.data() + (static_cast<size_t>(pass) << digit);
        int64_t total = 0;
        for (uint64_t value = 0; value <= low; ++value) {
            const int64_t count = start[value];
            start[value] = total;
            total += count;
        }
        for (int64_t i = 0; i < n; ++i) to[start[from[i] >> (32 + pass * digit) & low]++] = from[i];
        std::swap(from, to);
    }
    for (int64_t i = 0; i < n; ++i) {
        const uint64_t* row = rows + static_cast<int64_t>(static_cast<uint32_t>(keys[i])) * words;
        for (int k = 0; k < words; ++k) planes[k * n + i] = row[k];
    }
}

// Pairs within the radius inside every bucket of sorted rows, until the work is done or the room is nearly used up.
// cursor: first row of the bucket, first row and first column of the tile to go on with; starts as zeros; cursor[0] is n at
// the end. Returns the number of pairs written.
int64_t search_buckets(const uint64_t* keys, const uint64_t* planes, int64_t n, int32_t words, int64_t split,
                       const uint64_t* blocks, const int32_t* chosen, int32_t agree, int32_t radius, int64_t* cursor,
                       uint32_t* first, uint32_t* second, int16_t* distances, int64_t room) {
    const Rows rows{planes, n, words, keys, split};
    const Choice choice{blocks, chosen, agree};
    Found found{first, second, distances, 0};
    while (cursor[0] < n) {
        const int64_t begin = cursor[0];
        int64_t end = begin + 1;
        while (end < n && keys[end] >> 32 == keys[begin] >> 32) ++end;
        int64_t middle = end, columns = begin;
        if (split) {  // the sort is stable, so others are the last rows of a bucket
            middle = columns = std::lower_bound(keys + begin, keys + end, static_cast<uint64_t>(split),
                                                [](uint64_t key, uint64_t value) { return (key & 0xffffffff) < value; }) - keys;
        }
        for (int64_t i = std::max(cursor[1], begin); i < middle; i += TILE) {
            const int64_t start = split ? columns : i;
            for (int64_t j = std::max(cursor[2], start); j < end; j += TILE) {
                if (found.count + TILE * TILE > room) {
                    cursor[1] = i;
                    cursor[2] = j;
                    return found.count;
                }
                compare_tile(rows, choice, i, std::min(i + TILE, middle), j, std::min(j + TILE, end), !split, radius, found);
            }
            cursor[2] = 0;
        }
        cursor[0] = end;
        cursor[1] = cursor[2] = 0;
    }
    return found.count;
}

// Pairs within the radius between rows begin..end of unsorted planes and all rows after each (or all from `split` on), from
// row cursor[0] on, of which rows up to cursor[1] were compared; cursor[0] is n at the end. Returns the number of pairs written.
int64_t search_stripe(const uint64_t* planes, int64_t n, int32_t words, int64_t split, int64_t begin, int64_t end,
                      int32_t radius, int64_t* cursor, uint32_t* first, uint32_t* second, int16_t* distances, int64_t room) {
    const Rows rows{planes, n, words, nullptr, split};
    const Choice choice{nullptr, nullptr, 0};
    Found found{first, second, distances, 0};
    for (; cursor[0] < n; cursor[0] = std::min(cursor[0] + TILE, n), cursor[1] = 0) {
        const int64_t j = cursor[0], j1 = std::min(j + TILE, n);
#ifdef NIBBLE_TABLES
        alignas(32) uint8_t tile[MOST_WORDS * NIBBLES * TILE];
        const bool spread = words <= MOST_WORDS && radius <= MOST_DISTANCE && (split || j >= end);
        if (spread) spread_nibbles(rows, j, j1, tile);
#endif
        for (int64_t i = std::max(cursor[1], begin); i < end; i += TILE) {
            if (found.count + TILE * TILE > room) {
                cursor[1] = i;
                return found.count;
            }
            const int64_t i1 = std::min(i + TILE, end);
#ifdef NIBBLE_TABLES
            if (spread) {
                (words == 2 ? look_up<2> : look_up<0>)(rows, choice, i, i1, j, j1, tile, radius, found);
                continue;
            }
#endif
            compare_tile(rows, choice, i, i1, j, j1, !split, radius, found);
        }
    }
    return found.count;
}
}
