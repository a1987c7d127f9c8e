// The hot loops.  Two sets with the same names: `scalar`, plain loops that specify every bit, and `simd128`, which
// the engine uses.  The order of every sum is fixed (see kernels.inc), so both sets, all tile shapes and all hosts
// give the same bits; tests/engine/kernels_test.cpp compares them exactly.
#ifndef PTTS_KERNELS_H_
#define PTTS_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace ptts::kernels {

inline constexpr size_t kPanel = 16;  // columns of an f32 panel

// Products per accumulator of an f32 sum.  A sum of 16,384 products in one accumulator (the codec's downsampling at full
// size) was off by 7.4e-6 where the reference's own rounding is 1e-6; in blocks it is of the reference's order.
inline constexpr size_t kSumBlock = 256;

// Width of the panel that holds column `j` of n.
inline size_t panel_width(size_t n, size_t j) {
  const size_t left = n - j / kPanel * kPanel;
  return left >= kPanel ? kPanel : (left + 3) / 4 * 4;
}

// Floats that the panels of an [n, k] matrix take.
inline size_t panel_floats(size_t n, size_t k) {
  return n == 0 ? 0 : ((n - 1) / kPanel * kPanel + panel_width(n, n - 1)) * k;
}

// Where w[j][p] of an [n, k] matrix lies in its panels.
inline size_t panel_offset(size_t n, size_t k, size_t j, size_t p) {
  return j / kPanel * kPanel * k + p * panel_width(n, j) + j % kPanel;
}

// What an activation does to the input of a product.
enum class Activation { kNone, kElu, kGelu, kSilu };

// The first position that a query sees whose last is end - 1.
inline size_t window_begin(size_t end, size_t context) {
  return context > 0 && end > context ? end - context : 0;
}

// What happens to a finished sum: y = (accumulate ? y : 0) + (sum + bias).
struct Epilogue {
  const float* bias = nullptr;  // [n]; null: none
  bool accumulate = false;
};

// Quantised inputs: m rows of `k` integers, `step` apart (they overlap in a convolution).  A row comes in segments, each short
// enough for sums in int32 and `segment_step` behind the one before.  Row i has the scale scales[i * scale_step].
struct IntegerRows {
  const int16_t* values;
  const float* scales;
  size_t k, step, segment, segment_step, scale_step;
};

// With 12-bit weights sums of 1,024 products stay exact with inputs of 12 bits and a sign (fewer: more).
inline constexpr int32_t kWeightMax8 = 127, kWeightMax12 = 2047;
inline constexpr size_t kSegment12 = 1024;
// The largest input of gemm_i16_taps, which adds and subtracts as many as there are taps.
constexpr int32_t group_max(size_t taps) { return 32767 / static_cast<int32_t>(taps); }

// Eight 12-bit weights of each of four columns: their upper 8 bits column by column, then their lower 4 bits, those of
// columns 0 and 1 in the upper halves of the bytes and those of 2 and 3 in the lower ones.
struct Group12 {
  uint8_t high[32], low[16];

  int32_t get(size_t column, size_t i) const {
    const int32_t top = high[8 * column + i], both = low[8 * (column % 2) + i];
    return (top < 128 ? top : top - 256) * 16 + (column < 2 ? both >> 4 : both & 15);
  }
  void set(size_t column, size_t i, int32_t weight) {
    const auto bits = static_cast<uint32_t>(weight);
    uint8_t& both = low[8 * (column % 2) + i];
    high[8 * column + i] = static_cast<uint8_t>(bits >> 4);
    both = static_cast<uint8_t>(column < 2 ? (both & 15) | bits << 4 : (both & 240) | (bits & 15));
  }
};

// Weights in panels of four columns, [n/4][k/8][4][8]: where panel `j / 4` of k rows begins, in elements.
template <typename W>
inline constexpr size_t kGroup = 32;
template <>
inline constexpr size_t kGroup<Group12> = 1;
template <typename W>
inline size_t panel_start(size_t j, size_t k) {
  return j / 4 * (k / 8) * kGroup<W>;
}

// Of 4-bit weights, which are multiplied as 4096 times their value, a block of 32 gives a lane 8 products.
inline constexpr size_t kBlock4 = 32;
inline constexpr int32_t kInputMax4 = 8191;

// Attention in integers: queries, keys and values have 13 bits and a sign (fewer in wide heads, where a lane adds more
// products), the weights of a query together at most kWeightTotal, so that sum(weight * value) fits int32 for
// 40,000 positions.
inline constexpr int32_t kValueMax = 8191;
inline constexpr float kWeightTotal = 240000.0f;

// The largest query and key: a lane adds width / 4 products of two.
inline int32_t attention_limit(size_t width) {
  int32_t limit = kValueMax;
  while (static_cast<int64_t>(limit) * limit * static_cast<int64_t>((width + 3) / 4) > INT32_MAX) limit /= 2;
  return limit;
}

// What weights are multiplied by to become integers: the heaviest at most int16's largest, all together at most kWeightTotal.
inline float weight_factor(float heaviest, float total) {
  if (!(total > 1e-30f)) return 0;  // the values are all zero
  const float by_one = 32767.0f / heaviest, by_all = kWeightTotal / total;
  return by_one < by_all ? by_one : by_all;
}

// The keys and values of one head: of the first `split` positions (a multiple of 4; 0 where there is a context), which may
// belong to another cache, and of those behind them.
template <typename P>
struct Parts {
  P first, second;
  size_t split;

  // Where position j lies: its part, and its place there.
  const P& of(size_t j) const { return j < split ? first : second; }
  size_t place(size_t j) const { return j < split ? j : j - split; }
};

struct FloatPart {
  const float *k, *v;  // [positions][d]
};

struct IntegerPart {
  const int16_t* k;       // [positions][width]
  const float* k_scales;  // [positions]
  const int16_t* v;       // [positions / 2][width][2]
  const float* v_scales;  // [positions]
};

// The quantised queries, keys and values of one head.
struct IntegerHead {
  const int16_t* q;       // [rows][width]
  const float* q_scales;  // [rows]
  Parts<IntegerPart> parts;
  size_t width;  // head_dim, rounded up to 8
};

// The largest input whose lane sums cannot leave int32: of every eight products of at most weight_max * limit a lane adds
// two.
inline int32_t input_limit(size_t k8, int32_t weight_max) {
  const int64_t products = k8 < 4 ? 1 : static_cast<int64_t>(k8 / 4);
  const int64_t limit = INT32_MAX / (static_cast<int64_t>(weight_max) * products);
  return static_cast<int32_t>(limit < 32767 ? limit : 32767);
}

namespace scalar {
#include "kernels.inc"
}
namespace simd128 {
#include "kernels.inc"
}
using namespace simd128;

// The constants of exp, shared so that both sets round alike: exp(x) = 2^i * (1 + f + f^2 p(f)) with
// i = round(x / ln 2) and f = x - i ln 2, ln 2 in two parts of which the first times i is exact.
// Relative error at most 1.1e-7 (tests/engine/kernels_test.cpp).
inline constexpr float kLog2E = 1.44269504f, kLn2Hi = 0.693359375f, kLn2Lo = -2.12194440e-4f;
inline constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding and subtracting it rounds to even
inline constexpr float kExpMin = -87.0f, kExpMax = 88.0f;
inline constexpr float kExpP[6] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                   4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
// 2^x for x <= 0, where some of what comes of it becomes integers (f32 models keep to exp): 2^i p(f) with i = round(x),
// f = x - i.  p is 1 at 0 and off by at most 1e-7; two thirds of the instructions of exp.  Below 2^-32 nothing is left of it.
inline constexpr float kExp2Min = -32.0f;
inline constexpr float kExp2P[6] = {1.3264727e-3f, 9.671513e-3f, 5.5507336e-2f,
                                    2.4022242e-1f, 6.93147e-1f,  1.0f};
// gelu_tanh(x) = x / (1 + exp(-2 u)), u = sqrt(2/pi) (x + 0.044715 x^3): -2 sqrt(2/pi) and 0.044715 of it.
inline constexpr float kGeluA = -1.59576912f, kGeluB = -0.0713548163f;

}  // namespace ptts::kernels

#endif
