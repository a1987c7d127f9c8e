// The element-wise kernels and attention on 128-bit vectors.
#include <bit>
#include <cmath>

#include "simd128.h"

namespace ptts::kernels::simd128 {

namespace {

// Runs `op` over n values, the last few through a padded copy.
template <typename Op>
inline void map(const float* x, size_t n, float* y, Op op) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {  // two at a time: `op` is a long chain
    const F32x4 second = load<F32x4>(x + i + 4),
                first = load<F32x4>(x + i);  // the farther first: one check of bounds
    const F32x4 a = op(first), b = op(second);
    store(y + i + 4, b);
    store(y + i, a);
  }
  for (; i < n; i += 4) {
    const size_t here = n - i < 4 ? n - i : 4;
    float some[4] = {0, 0, 0, 0};
    std::memcpy(some, x + i, here * sizeof(float));
    store(some, op(load<F32x4>(some)));
    std::memcpy(y + i, some, here * sizeof(float));
  }
}

// One row through `op` -> int16 and its scale; `x` and `row` may be the same.
template <typename Op>
inline void quantize_row(const float* x, size_t k, size_t k8, int32_t limit, float* row, int16_t* q,
                         float* scale, Op op) {
  F32x4 lanes = splat(0), others = splat(0);
  size_t p = 0;
  for (; p + 8 <= k; p += 8) {
    const F32x4 a = op(load<F32x4>(x + p)), b = op(load<F32x4>(x + p + 4));
    if (row != x) store(row + p, a);
    if (row != x) store(row + p + 4, b);
    lanes = max(lanes, magnitude(a));
    others = max(others, magnitude(b));
  }
  lanes = max(lanes, others);
  for (; p < k; p += 4) {
    const size_t here = k - p < 4 ? k - p : 4;
    float some[4] = {0, 0, 0, 0};
    std::memcpy(some, x + p, here * sizeof(float));
    const F32x4 v = op(load<F32x4>(some));
    store(some, v);
    if (row != x) std::memcpy(row + p, some, here * sizeof(float));
    for (size_t t = 0; t < here; ++t) {
      const float size = std::fabs(some[t]);
      lanes[t] = size > lanes[t] ? size : lanes[t];
    }
  }
  float largest = 0;
  for (int lane = 0; lane < 4; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
  *scale = largest / static_cast<float>(limit);
  const float inverse = largest > 0 ? static_cast<float>(limit) / largest : 0;
  const auto rounded = [&](const float* from) {
    const F32x4 shifted = load<F32x4>(from) * splat(inverse) + splat(kRound);
    return (I32x4)((U32x4)shifted - std::bit_cast<uint32_t>(kRound));
  };
  for (p = 0; p + 8 <= k; p += 8) store(q + p, narrow(rounded(row + p), rounded(row + p + 4)));
  for (; p < k8; ++p) {
    const float shifted = (p < k ? row[p] * inverse : 0) + kRound;
    q[p] = static_cast<int16_t>(std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound));
  }
}

}  // namespace

void quantize_rows_i16(Activation activation, const float* a, size_t lda, size_t m, size_t k, size_t k8,
                       int32_t limit, float* row, int16_t* q, float* scales) {
  const ExpConstants c;
  const auto rows = [&](auto op, bool in_place) {
    for (size_t i = 0; i < m; ++i, a += lda, q += k8) {
      quantize_row(a, k, k8, limit, in_place ? const_cast<float*>(a) : row, q, scales + i, op);
    }
  };
  switch (activation) {
    case Activation::kNone: rows([](F32x4 v) { return v; }, true); break;
    case Activation::kElu: rows([&](F32x4 v) { return c.elu(v); }, false); break;
    case Activation::kGelu: rows([&](F32x4 v) { return c.gelu_tanh(v); }, false); break;
    case Activation::kSilu: rows([&](F32x4 v) { return c.silu(v); }, false); break;
  }
}

void range(const float* x, size_t n, float* low, float* high) {
  F32x4 lowest[2] = {}, highest[2] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    each<2>([&](auto half) {
      const F32x4 v = load<F32x4>(x + i + 4 * half);
      lowest[half] = v < lowest[half] ? v : lowest[half];
      highest[half] = max(highest[half], v);
    });
  }
  *low = *high = 0;
  const auto take = [&](float v) {
    *low = v < *low ? v : *low;
    *high = v > *high ? v : *high;
  };
  for (; i < n; ++i) take(x[i]);
  for (size_t half = 0; half < 2; ++half) {
    for (int lane = 0; lane < 4; ++lane) {
      take(lowest[half][lane]);
      take(highest[half][lane]);
    }
  }
}

void quantize_i16(Activation activation, const float* a, size_t m, size_t k, size_t k8, float inverse,
                  int16_t* q) {
  if (m == 0) return;
  const Exp2Constants c;
  const F32x4 factor = splat(inverse), round = c.round;
  const auto rows = [&](auto op) {
    const auto rounded = [&](F32x4 v) {
      return (I32x4)((U32x4)(op(v) * factor + round) - std::bit_cast<uint32_t>(kRound));
    };
    const size_t count = k == k8 ? m * k : k, times = k == k8 ? 1 : m;
    for (size_t i = 0; i < times; ++i, a += k, q += k8) {
      size_t p = 0;
      for (; p + 8 <= count; p += 8) {
        const F32x4 second = load<F32x4>(a + p + 4), first = load<F32x4>(a + p);
        store(q + p, narrow(rounded(first), rounded(second)));
      }
      if (p == count) continue;
      float some[8] = {};
      std::memcpy(some, a + p, (count - p) * sizeof(float));
      store(q + p, narrow(rounded(load<F32x4>(some)), rounded(load<F32x4>(some + 4))));
    }
  };
  if (activation == Activation::kElu) {
    rows([&](F32x4 v) { return c.elu(v); });
  } else {
    rows([](F32x4 v) { return v; });
  }
}

void layer_norm(const float* x, size_t m, size_t n, const float* weight, const float* bias, float eps,
                float* y) {
  const size_t whole = n / 4 * 4;
  for (size_t i = 0; i < m; ++i, x += n, y += n) {
    F32x4 sum = splat(0);
    for (size_t j = 0; j < whole; j += 4) sum = sum + load<F32x4>(x + j);
    for (size_t j = whole; j < n; ++j) sum[j & 3] += x[j];
    const float mean = lanes_total(sum) / static_cast<float>(n);
    F32x4 squares = splat(0);
    for (size_t j = 0; j < whole; j += 4) {
      const F32x4 centred = load<F32x4>(x + j) - splat(mean);
      squares = squares + centred * centred;
    }
    for (size_t j = whole; j < n; ++j) squares[j & 3] += (x[j] - mean) * (x[j] - mean);
    const float deviation = std::sqrt(lanes_total(squares) / static_cast<float>(n) + eps);
    for (size_t j = 0; j < whole; j += 4) {
      F32x4 normal = (load<F32x4>(x + j) - splat(mean)) / splat(deviation);
      if (weight != nullptr) normal = normal * load<F32x4>(weight + j) + load<F32x4>(bias + j);
      store(y + j, normal);
    }
    for (size_t j = whole; j < n; ++j) {
      const float normal = (x[j] - mean) / deviation;
      y[j] = weight == nullptr ? normal : normal * weight[j] + bias[j];
    }
  }
}

void elu(const float* x, size_t n, float* y) {
  const ExpConstants c;
  map(x, n, y, [&](F32x4 v) { return c.elu(v); });
}

void elu_exp2(const float* x, size_t n, float* y) {
  const Exp2Constants c;
  map(x, n, y, [&](F32x4 v) { return c.elu(v); });
}

void gelu_tanh(const float* x, size_t n, float* y) {
  const ExpConstants c;
  map(x, n, y, [&](F32x4 v) { return c.gelu_tanh(v); });
}

void silu(const float* x, size_t n, float* y) {
  const ExpConstants c;
  map(x, n, y, [&](F32x4 v) { return c.silu(v); });
}

void add(const float* x, size_t n, float* y) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) store(y + i, load<F32x4>(y + i) + load<F32x4>(x + i));
  for (; i < n; ++i) y[i] = y[i] + x[i];
}

void add_scaled(const float* x, const float* scale, size_t m, size_t n, float* y) {
  for (size_t i = 0; i < m; ++i, x += n, y += n) {
    size_t j = 0;
    for (; j + 4 <= n; j += 4) {
      store(y + j, load<F32x4>(y + j) + load<F32x4>(x + j) * load<F32x4>(scale + j));
    }
    for (; j < n; ++j) y[j] = y[j] + x[j] * scale[j];
  }
}

namespace {

// q_r . k_j of R queries and four keys, so that 4 R sums run beside each other.
template <size_t R>
inline void four_dots(const float* q, size_t ldq, const float* k, size_t d, F32x4 (&dots)[R]) {
  F32x4 sum[R][4] = {};
  const size_t whole = d / 4 * 4;
  for (size_t i = 0; i < whole; i += 4) {
    each<4>([&](auto j) {
      const F32x4 key = load<F32x4>(k + j * d + i);
      each<R>([&](auto r) { sum[r][j] = sum[r][j] + load<F32x4>(q + r * ldq + i) * key; });
    });
  }
  for (size_t i = whole; i < d; ++i) {
    for (size_t r = 0; r < R; ++r) {
      for (size_t j = 0; j < 4; ++j) sum[r][j][i & 3] += q[r * ldq + i] * k[j * d + i];
    }
  }
  each<R>([&](auto r) { dots[r] = totals_01_23(sum[r][0], sum[r][1], sum[r][2], sum[r][3]); });
}

inline float one_dot(const float* q, const float* k, size_t d) {
  F32x4 sum = splat(0);
  size_t i = 0;
  for (; i + 4 <= d; i += 4) sum = sum + load<F32x4>(q + i) * load<F32x4>(k + i);
  for (; i < d; ++i) sum[i & 3] += q[i] * k[i];
  return lanes_total(sum);
}

// Scores -> weights e^(score * scale - largest), and their sum.
inline float weigh(float* scores, size_t count, float scale) {
  F32x4 highest = splat(-INFINITY);
  size_t j = 0;
  for (; j + 4 <= count; j += 4) {
    const F32x4 score = load<F32x4>(scores + j) * splat(scale);
    store(scores + j, score);
    highest = max(highest, score);
  }
  float largest = -INFINITY;
  for (int lane = 0; lane < 4; ++lane) largest = highest[lane] > largest ? highest[lane] : largest;
  for (; j < count; ++j) {
    scores[j] = scores[j] * scale;
    largest = scores[j] > largest ? scores[j] : largest;
  }
  const ExpConstants c;
  F32x4 weights = splat(0);
  for (j = 0; j + 4 <= count; j += 4) {
    const F32x4 weight = c.exp(load<F32x4>(scores + j) - splat(largest));
    store(scores + j, weight);
    weights = weights + weight;
  }
  if (j < count) {
    float tail[4] = {0, 0, 0, 0};
    for (size_t t = j; t < count; ++t) tail[t - j] = scores[t] - largest;
    const F32x4 weight = c.exp(load<F32x4>(tail));
    for (size_t t = j; t < count; ++t) {
      scores[t] = weight[t - j];
      weights[t & 3] += scores[t];
    }
  }
  return lanes_total(weights);
}

// What one or two neighbouring queries see: [begin[r], end[r]), of which [common, end[0]) by both.
template <size_t R>
struct Span {
  size_t begin[R], end[R], common;
  float* weights[R];  // of position begin[r] and those behind it
  float total[R];
};

// V vectors of the weighted sums, from column `i` on.
template <size_t R, size_t V>
inline void weighted_sums(const Span<R>& span, const Parts<FloatPart>& head, size_t d, size_t i, float* out,
                          size_t ldo) {
  F32x4 sum[R][V] = {};
  const auto value = [&](size_t j) { return head.of(j).v + head.place(j) * d + i; };
  const auto take = [&](size_t r, size_t j) {
    const F32x4 weight = splat(span.weights[r][j - span.begin[r]]);
    const float* row = value(j);
    for (size_t c = 0; c < V; ++c) sum[r][c] = sum[r][c] + weight * load<F32x4>(row + c * 4);
  };
  if (R == 2 && span.begin[0] < span.common) take(0, span.begin[0]);
  const float* weights[R];
  each<R>([&](auto r) { weights[r] = span.weights[r] + (span.common - span.begin[r]); });
  for (size_t j = span.common, end; j < span.end[0]; j = end) {
    const float* row = value(j);
    end = j < head.split && head.split < span.end[0] ? head.split : span.end[0];
    for (size_t left = end - j; left > 0; --left, row += d) {
      F32x4 values[V];
      each<V>([&](auto c) { values[c] = load<F32x4>(row + c * 4); });
      each<R>([&](auto r) {
        const F32x4 weight = splat(*weights[r]++);
        each<V>([&](auto c) { sum[r][c] = sum[r][c] + weight * values[c]; });
      });
    }
  }
  if (R == 2) take(1, span.end[1] - 1);
  each<R>([&](auto r) {
    each<V>([&](auto c) { store(out + r * ldo + i + c * 4, sum[r][c] / splat(span.total[r])); });
  });
}

template <size_t R>
__attribute__((noinline)) void attend_rows(const float* q, size_t ldq, const Parts<FloatPart>& head,
                                           size_t first_end, size_t context, size_t d, float scale,
                                           float* scores, float* out, size_t ldo) {
  const auto key = [&](size_t j) { return head.of(j).k + head.place(j) * d; };
  Span<R> span;
  for (size_t r = 0; r < R; ++r) {
    span.end[r] = first_end + r;
    span.begin[r] = window_begin(span.end[r], context);
    span.weights[r] = r == 0 ? scores : scores + (span.end[0] - span.begin[0]);
  }
  span.common = span.begin[R - 1];
  const auto score = [&](size_t r, size_t j) {
    span.weights[r][j - span.begin[r]] = one_dot(q + r * ldq, key(j), d);
  };
  if (R == 2 && span.begin[0] < span.common) score(0, span.begin[0]);
  size_t j = span.common;
  for (; j + 4 <= span.end[0]; j += 4) {
    F32x4 dots[R];
    four_dots<R>(q, ldq, key(j), d, dots);
    for (size_t r = 0; r < R; ++r) store(span.weights[r] + (j - span.begin[r]), dots[r]);
  }
  for (; j < span.end[0]; ++j) {
    for (size_t r = 0; r < R; ++r) score(r, j);
  }
  if (R == 2) score(1, span.end[1] - 1);
  for (size_t r = 0; r < R; ++r) span.total[r] = weigh(span.weights[r], span.end[r] - span.begin[r], scale);
  size_t i = 0;
  if constexpr (R == 1) {
    for (; i + 32 <= d; i += 32) weighted_sums<R, 8>(span, head, d, i, out, ldo);
  }
  for (; i + 16 <= d; i += 16) weighted_sums<R, 4>(span, head, d, i, out, ldo);
  for (; i + 4 <= d; i += 4) weighted_sums<R, 1>(span, head, d, i, out, ldo);
  for (; i < d; ++i) {
    for (size_t r = 0; r < R; ++r) {
      float sum = 0;
      for (j = span.begin[r]; j < span.end[r]; ++j)
        sum = sum + span.weights[r][j - span.begin[r]] * head.of(j).v[head.place(j) * d + i];
      out[r * ldo + i] = sum / span.total[r];
    }
  }
}

}  // namespace

void attend(const float* q, size_t ldq, size_t rows, const Parts<FloatPart>& head, size_t first_end,
            size_t context, size_t d, float scale, float* scores, float* out, size_t ldo) {
  size_t r = 0;
  for (; r + 2 <= rows; r += 2) {
    attend_rows<2>(q + r * ldq, ldq, head, first_end + r, context, d, scale, scores, out + r * ldo, ldo);
  }
  for (; r < rows; ++r) {
    attend_rows<1>(q + r * ldq, ldq, head, first_end + r, context, d, scale, scores, out + r * ldo, ldo);
  }
}

namespace {

// Scores of one query -> weights in integers; returns what the sums of integers are multiplied by.  Of `count` positions (a
// multiple of 4) from `base` on it sees [begin, end).
inline float weigh_i16(float* scores, size_t base, size_t count, size_t begin, size_t end,
                       const Parts<IntegerPart>& parts, int16_t* weights) {
  const auto set_rest = [&](float value) {
    for (size_t j = 0; j < begin; ++j) scores[j] = value;
    for (size_t j = end; j < count; ++j) scores[j] = value;
  };
  set_rest(-INFINITY);
  F32x4 highest = splat(-INFINITY);
  for (size_t j = 0; j < count; j += 4) highest = max(highest, load<F32x4>(scores + j));
  float largest = -INFINITY;
  for (int lane = 0; lane < 4; ++lane) largest = highest[lane] > largest ? highest[lane] : largest;
  const Exp2Constants c;
  for (size_t j = 0; j < count; j += 4) store(scores + j, c.exp2(load<F32x4>(scores + j) - splat(largest)));
  set_rest(0);
  F32x4 total = splat(0), scaled = splat(0), heaviest = splat(0);
  for (size_t j = 0; j < count; j += 4) {
    const F32x4 weight = load<F32x4>(scores + j),
                with_scale = weight * load<F32x4>(parts.of(base + j).v_scales + parts.place(base + j));
    total = total + weight;
    scaled = scaled + with_scale;
    heaviest = max(heaviest, with_scale);
    store(scores + j, with_scale);
  }
  float heavy = 0;
  for (int lane = 0; lane < 4; ++lane) heavy = heaviest[lane] > heavy ? heaviest[lane] : heavy;
  const float factor = weight_factor(heavy, lanes_total(scaled));
  for (size_t j = 0; j < count; j += 4) {
    const F32x4 shifted = load<F32x4>(scores + j) * splat(factor) + c.round;
    const I32x4 rounded = (I32x4)((U32x4)shifted - std::bit_cast<uint32_t>(kRound));
    const I16x8 narrowed = narrow(rounded, rounded);
    std::memcpy(weights + j, &narrowed, 8);
  }
  return factor > 0 ? 1 / (factor * lanes_total(total)) : 0;
}

// V vectors of four values, from column `i` on, of `count` positions.
template <size_t R, size_t V>
inline void weighted_sums_i16(const Parts<IntegerPart>& parts, size_t width, size_t base, size_t count,
                              const int16_t* weights, size_t i, size_t d, const float* inverse, float* out,
                              size_t ldo) {
  I32x4 sum[R][V] = {};
  const int16_t* pair[R];
  each<R>([&](auto r) { pair[r] = weights + r * count; });
  for (size_t j = base, end; j < base + count; j = end) {
    const int16_t* v = parts.of(j).v + parts.place(j) * width + 2 * i;
    end = j < parts.split && parts.split < base + count ? parts.split : base + count;
    for (size_t left = end - j; left > 0; left -= 2, v += 2 * width) {
      I16x8 values[V];
      each<V>([&](auto c) { values[V - 1 - c] = load<I16x8>(v + 8 * (V - 1 - c)); });
      each<R>([&](auto r) {
        const int32_t both = load<int32_t>(pair[r]);
        pair[r] += 2;
        const I16x8 weight = (I16x8)I32x4{both, both, both, both};
        each<V>([&](auto c) { sum[r][c] = sum[r][c] + dot_i16(weight, values[c]); });
      });
    }
  }
  for (size_t r = 0; r < R; ++r) {
    for (size_t c = 0; c < V && i + c * 4 < d; ++c) {
      const F32x4 result = to_f32(sum[r][c]) * splat(inverse[r]);
      const size_t left = d - i - c * 4;
      std::memcpy(out + r * ldo + i + c * 4, &result, (left < 4 ? left : 4) * sizeof(float));
    }
  }
}

template <size_t R>
__attribute__((noinline)) void attend_rows_i16(const IntegerHead& head, size_t first, size_t first_end,
                                               size_t context, size_t d, float scale, float* scores,
                                               int16_t* weights, float* out, size_t ldo) {
  const size_t base = window_begin(first_end, context) / 4 * 4, width = head.width;
  const size_t count = (first_end + R - 1 - base + 3) / 4 * 4;
  const int16_t* q = head.q + first * width;
  F32x4 factor[R];
  each<R>([&](auto r) { factor[r] = splat(head.q_scales[first + r] * (scale * kLog2E)); });
  for (size_t j = 0; j < count; j += 4) {
    const IntegerPart& part = head.parts.of(base + j);
    const size_t at = head.parts.place(base + j);
    const int16_t* key = part.k + at * width;
    I32x4 sum[R][4] = {};
    for (size_t i = 0; i < width; i += 8) {
      I16x8 keys[4];
      each<4>([&](auto c) { keys[c] = load<I16x8>(key + c * width + i); });
      each<R>([&](auto r) {
        const I16x8 query = load<I16x8>(q + r * width + i);
        each<4>([&](auto c) { sum[r][c] = sum[r][c] + dot_i16(query, keys[c]); });
      });
    }
    const F32x4 k_scales = load<F32x4>(part.k_scales + at);
    each<R>([&](auto r) {
      const F32x4 dots =
          totals_02_13(to_f32(sum[r][0]), to_f32(sum[r][1]), to_f32(sum[r][2]), to_f32(sum[r][3]));
      store(scores + r * count + j, dots * (factor[r] * k_scales));
    });
  }
  float inverse[R];
  for (size_t r = 0; r < R; ++r) {
    inverse[r] = weigh_i16(scores + r * count, base, count, window_begin(first_end + r, context) - base,
                           first_end + r - base, head.parts, weights + r * count);
  }
  constexpr size_t kWide = R == 1 ? 8 : 4;
  size_t i = 0;
  for (; i + 4 * kWide <= d; i += 4 * kWide) {
    weighted_sums_i16<R, kWide>(head.parts, width, base, count, weights, i, d, inverse, out, ldo);
  }
  for (; i < d; i += 8) {
    weighted_sums_i16<R, 2>(head.parts, width, base, count, weights, i, d, inverse, out, ldo);
  }
}

}  // namespace

void attend_i16(const IntegerHead& head, size_t rows, size_t first_end, size_t context, size_t d, float scale,
                float* scores, int16_t* weights, float* out, size_t ldo) {
  size_t r = 0;
  for (; r + 2 <= rows; r += 2) {
    attend_rows_i16<2>(head, r, first_end + r, context, d, scale, scores, weights, out + r * ldo, ldo);
  }
  if (r < rows) {
    attend_rows_i16<1>(head, r, first_end + r, context, d, scale, scores, weights, out + r * ldo, ldo);
  }
}

}  // namespace ptts::kernels::simd128
