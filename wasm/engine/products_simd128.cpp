// The matrix products on 128-bit vectors.  Every function here is small and called many times: V8 moves a function to
// its optimising compiler between calls, not in the middle of one.
#include "simd128.h"

namespace ptts::kernels::simd128 {

namespace {

#define PTTS_NOINLINE __attribute__((noinline))

// `columns` of 4, the rest zero.
inline F32x4 load_some(const float* p, size_t columns) {
  if (columns == 4) return load<F32x4>(p);
  float values[4] = {0, 0, 0, 0};
  std::memcpy(values, p, columns * sizeof(float));
  return load<F32x4>(values);
}
inline void store_some(float* p, F32x4 v, size_t columns) {
  if (columns == 4) {
    store(p, v);
  } else {
    std::memcpy(p, &v, columns * sizeof(float));
  }
}

// ---- f32 ------------------------------------------------------------------------------------------------------

// V vectors of columns for R rows at once; the panel's last columns may lie beyond n (`columns` of them are stored).
// `second` is the distance to the next panel, from which the upper half of the vectors comes when V is 8.
template <size_t R, size_t V>
inline void tile_f32(const float* a, size_t lda, const float* panel, size_t second, size_t k, size_t columns,
                     const float* bias, bool accumulate, float* y, size_t ldy) {
  constexpr size_t kWidth = V == 8 ? 16 : V * 4;
  F32x4 total[R][V];
  const float* row[R];
  each<R>([&](auto r) { row[r] = a + r * lda; });
  for (size_t begin = 0; begin < k || begin == 0; begin += kSumBlock) {
    const size_t count = k - begin < kSumBlock ? k - begin : kSumBlock;
    F32x4 sum[R][V] = {};
#pragma clang loop unroll(disable)
    for (size_t p = 0; p < count; ++p) {
      F32x4 w[V];
      each<V>([&](auto v) { w[v] = load<F32x4>(panel + (v < 4 ? v * 4 : second + v * 4 - 16)); });
      each<R>([&](auto r) {
        const F32x4 x = splat(row[r][p]);
        each<V>([&](auto v) { sum[r][v] = sum[r][v] + x * w[v]; });
      });
      panel += kWidth;
    }
    each<R>([&](auto r) {
      row[r] += count;
      each<V>([&](auto v) { total[r][v] = begin == 0 ? sum[r][v] : total[r][v] + sum[r][v]; });
    });
  }
  for (size_t v = 0; v < V && v * 4 < columns; ++v) {
    const size_t here = columns - v * 4 < 4 ? columns - v * 4 : 4;
    for (size_t r = 0; r < R; ++r) {
      float* out = y + r * ldy + v * 4;
      F32x4 result = total[r][v];
      if (bias != nullptr) result = result + load_some(bias + v * 4, here);
      if (accumulate) result = load_some(out, here) + result;
      store_some(out, result, here);
    }
  }
}

template <size_t V>
PTTS_NOINLINE void panel_f32(const float* a, size_t lda, size_t m, const float* panel, size_t k,
                             size_t columns, const float* bias, bool accumulate, float* y, size_t ldy) {
  size_t i = 0;
  for (; i + 2 <= m; i += 2) {
    tile_f32<2, V>(a + i * lda, lda, panel, 0, k, columns, bias, accumulate, y + i * ldy, ldy);
  }
  if (i < m) tile_f32<1, V>(a + i * lda, lda, panel, 0, k, columns, bias, accumulate, y + i * ldy, ldy);
}

// Two panels for one row: eight sums hide the latency of the addition.
PTTS_NOINLINE void two_panels_f32(const float* a, const float* panels, size_t k, const float* bias,
                                  bool accumulate, float* y) {
  tile_f32<1, 8>(a, 0, panels, kPanel * k, k, 2 * kPanel, bias, accumulate, y, 0);
}

}  // namespace

void gemm_f32(const float* a, size_t lda, size_t m, const float* panels, size_t n, size_t k,
              Epilogue epilogue, float* y, size_t ldy) {
  const auto bias = [&](size_t j) { return epilogue.bias == nullptr ? nullptr : epilogue.bias + j; };
  size_t j = 0;
  if (m == 1) {
    for (; j + 2 * kPanel <= n; j += 2 * kPanel, panels += 2 * kPanel * k) {
      two_panels_f32(a, panels, k, bias(j), epilogue.accumulate, y + j);
    }
  }
  for (; j < n; j += kPanel, panels += kPanel * k) {
    const size_t columns = n - j < kPanel ? n - j : kPanel;
    switch (panel_width(n, j)) {
      case 16: panel_f32<4>(a, lda, m, panels, k, columns, bias(j), epilogue.accumulate, y + j, ldy); break;
      case 12: panel_f32<3>(a, lda, m, panels, k, columns, bias(j), epilogue.accumulate, y + j, ldy); break;
      case 8: panel_f32<2>(a, lda, m, panels, k, columns, bias(j), epilogue.accumulate, y + j, ldy); break;
      default: panel_f32<1>(a, lda, m, panels, k, columns, bias(j), epilogue.accumulate, y + j, ldy); break;
    }
  }
}

// ---- integers -------------------------------------------------------------------------------------------------

namespace {

// Lane sums of R input rows with C columns of a panel (w: its first column), U groups of eight products at a time.
// kPacked: the rows lie interleaved in groups of eight, so that one address serves them all.
template <size_t R, size_t C, size_t U, bool kPacked, typename W>
inline void lane_sums(const int16_t* a, const W* w, size_t k8, I32x4 (&sum)[R][C]) {
  const int16_t* row[kPacked ? 1 : R];
  for (size_t r = 0; r < (kPacked ? 1 : R); ++r) row[r] = a + r * k8;
#pragma clang loop unroll(disable)
  for (size_t p = 0; p < k8; p += 8 * U) {
    each<U>([&](auto u) {
      I16x8 weights[C];
      each<C>([&](auto c) { weights[c] = load_i16(w + 32 * u + 8 * c); });
      each<R>([&](auto r) {
        const I16x8 x = kPacked ? load<I16x8>(row[0] + 8 * (u * R + r)) : load<I16x8>(row[r] + 8 * u);
        each<C>([&](auto c) { sum[r][c] = sum[r][c] + dot_i16(x, weights[c]); });
      });
    });
    w += 32 * U;
    for (size_t r = 0; r < (kPacked ? 1 : R); ++r) row[r] += 8 * U * (kPacked ? R : 1);
  }
}

// R output rows of one panel of four columns, C of them at a time.
template <size_t R, size_t C, size_t U, bool kPacked, typename W>
inline void tile_integer(const int16_t* a, size_t k8, size_t taps, size_t tap_step, const float* a_scales,
                         size_t spacing, const W* panel, F32x4 w_scale, F32x4 bias, bool accumulate,
                         size_t columns, float* y, size_t ldy) {
  F32x4 lanes[R][4];
  each<4 / C>([&](auto half) {
    for (size_t t = 0; t < taps; ++t) {
      I32x4 sum[R][C] = {};
      lane_sums<R, C, U, kPacked>(a + t * tap_step, panel + t * 4 * k8 + half * 8 * C, k8, sum);
      for (size_t r = 0; r < R; ++r) {
        const F32x4 scale = splat(a_scales[r + t * spacing]);
        for (size_t c = 0; c < C; ++c) {
          F32x4& total = lanes[r][half * C + c];
          total = t == 0 ? to_f32(sum[r][c]) * scale : total + to_f32(sum[r][c]) * scale;
        }
      }
    }
  });
  each<R>([&](auto r) {
    F32x4 result = totals_02_13(lanes[r][0], lanes[r][1], lanes[r][2], lanes[r][3]) * w_scale;
    result = result + bias;
    float* out = y + r * ldy;
    if (accumulate) result = load_some(out, columns) + result;
    store_some(out, result, columns);
  });
}

template <size_t R, size_t C, size_t U, bool kPacked, typename W>
PTTS_NOINLINE void panel_integer(const int16_t* a, size_t m, size_t k8, size_t taps, size_t row_step,
                                 size_t tap_step, const float* a_scales, size_t spacing, const W* panel,
                                 F32x4 w_scale, F32x4 bias, bool accumulate, size_t columns, float* y,
                                 size_t ldy) {
  for (size_t i = 0; i + R <= m; i += R) {
    tile_integer<R, C, U, kPacked>(a + i * row_step, k8, taps, tap_step, a_scales + i, spacing, panel,
                                   w_scale, bias, accumulate, columns, y + i * ldy, ldy);
  }
}

// Groups of four output rows, their input rows interleaved: [m / 4][taps][k8 / 8][4][8].
PTTS_NOINLINE void pack_rows(const IntegerRows& a, size_t first, size_t m, int16_t* out) {
  for (size_t i = 0; i < m; i += 4) {
    for (size_t t = 0; t < a.taps; ++t) {
      const int16_t* row = a.values + (first + i + t * a.spacing) * a.k8;
      for (size_t p = 0; p < a.k8; p += 8, out += 32) {
        each<4>([&](auto r) { store(out + 8 * r, load<I16x8>(row + r * a.k8 + p)); });
      }
    }
  }
}

constexpr size_t kPackedValues = 64 * 1024;  // room for interleaved rows
constexpr size_t kResidentBytes =
    256 * 1024;  // weights below this stay in the cache while blocks of rows pass

}  // namespace

// kPacked is for hosts that check the bounds of every address and unroll nothing (wazero); the bits are the same.
template <bool kPacked, typename W>
void gemm_integer(const IntegerRows& a, size_t m, const W* panels, const float* w_scales, size_t n,
                  Epilogue epilogue, float* y, size_t ldy) {
  static int16_t packed[kPacked ? kPackedValues : 1];
  const size_t width = a.taps * a.k8;
  const bool pack = kPacked && m >= 4 && width <= kPackedValues / 4;
  size_t block = m;
  if (pack) {
    block = kPackedValues / width / 4 * 4;
  } else if (n * width * sizeof(W) <= kResidentBytes) {
    block = 16 * 1024 / a.k8 / 4 * 4;
    if (block < 4) block = 4;
  }
  for (size_t begin = 0; begin < m; begin += block) {
    const size_t rows = m - begin < block ? m - begin : block, fours = rows / 4 * 4;
    if (pack) pack_rows(a, begin, fours, packed);
    for (size_t j = 0; j < n; j += 4) {
      const size_t columns = n - j < 4 ? n - j : 4;
      const F32x4 scale = load_some(w_scales + j, columns);
      const F32x4 bias = epilogue.bias == nullptr ? splat(-0.0f) : load_some(epilogue.bias + j, columns);
      const W* panel = panels + j * width;
      float* out = y + begin * ldy + j;
      const auto run = [&](auto kernel, const int16_t* values, size_t first, size_t count, size_t row_step,
                           size_t tap_step) {
        kernel(values, count, a.k8, a.taps, row_step, tap_step, a.scales + begin + first, a.spacing, panel,
               scale, bias, epilogue.accumulate, columns, out + first * ldy, ldy);
      };
      const int16_t* values = a.values + begin * a.k8;
      const size_t tap_step = a.spacing * a.k8;
      if (fours > 0) {
        if (!pack) {
          run(panel_integer<4, 2, 1, false, W>, values, 0, fours, a.k8, tap_step);
        } else if (a.k8 % 32 == 0) {
          run(panel_integer<4, 2, 4, true, W>, packed, 0, fours, width, 4 * a.k8);
        } else {
          run(panel_integer<4, 2, 1, true, W>, packed, 0, fours, width, 4 * a.k8);
        }
      }
      if (fours < rows) {
        const int16_t* left = values + fours * a.k8;
        constexpr size_t kUnrolled = kPacked ? 4 : 2;
        if (a.k8 % (8 * kUnrolled) == 0) {
          run(panel_integer<1, 4, kUnrolled, false, W>, left, fours, rows - fours, a.k8, tap_step);
        } else {
          run(panel_integer<1, 4, 1, false, W>, left, fours, rows - fours, a.k8, tap_step);
        }
      }
    }
  }
}

template void gemm_integer<false>(const IntegerRows&, size_t, const int8_t*, const float*, size_t, Epilogue,
                                  float*, size_t);
template void gemm_integer<false>(const IntegerRows&, size_t, const int16_t*, const float*, size_t, Epilogue,
                                  float*, size_t);
template void gemm_integer<true>(const IntegerRows&, size_t, const int8_t*, const float*, size_t, Epilogue,
                                 float*, size_t);
template void gemm_integer<true>(const IntegerRows&, size_t, const int16_t*, const float*, size_t, Epilogue,
                                 float*, size_t);

#if defined(__wasi__)
inline constexpr bool kPackRows = true;
#else
inline constexpr bool kPackRows = false;
#endif

void gemm_i8(const IntegerRows& a, size_t m, const int8_t* panels, const float* w_scales, size_t n,
             Epilogue epilogue, float* y, size_t ldy) {
  gemm_integer<kPackRows>(a, m, panels, w_scales, n, epilogue, y, ldy);
}
void gemm_i16(const IntegerRows& a, size_t m, const int16_t* panels, const float* w_scales, size_t n,
              Epilogue epilogue, float* y, size_t ldy) {
  gemm_integer<kPackRows>(a, m, panels, w_scales, n, epilogue, y, ldy);
}

// ---- 4 bits ---------------------------------------------------------------------------------------------------

namespace {

// R rows and one panel of four columns.
template <size_t R>
PTTS_NOINLINE void panel_i4(const int16_t* a, size_t m, size_t k8, const float* a_scales,
                            const uint8_t* panel, const float* scales, F32x4 bias, bool accumulate,
                            size_t columns, float* y, size_t ldy) {
  const auto top = [](I16x8 words, int bits) { return (words << (12 - bits)) & static_cast<int16_t>(-4096); };
  for (size_t i = 0; i + R <= m; i += R) {
    F32x4 lanes[R][4] = {};
    const int16_t* row = a + i * k8;
    const uint8_t* block = panel;
    const float* scale = scales;
#pragma clang loop unroll(disable)
    for (size_t p = 0; p < k8; p += kBlock4, block += 64, scale += 4) {
      each<4>([&](auto c) {
        const I16x8 words = load<I16x8>(block + 16 * c);
        const I16x8 w0 = words << 12, w1 = top(words, 4), w2 = top(words, 8), w3 = top(words, 12);
        const F32x4 factor = splat(scale[c] * (1.0f / 4096));
        each<R>([&](auto r) {
          const int16_t* x = row + r * k8 + p;
          const I32x4 sum = (dot_i16(w3, load<I16x8>(x + 24)) + dot_i16(w2, load<I16x8>(x + 16))) +
                            (dot_i16(w1, load<I16x8>(x + 8)) + dot_i16(w0, load<I16x8>(x)));
          const F32x4 scaled = to_f32(sum) * factor;
          lanes[r][c] = p == 0 ? scaled : lanes[r][c] + scaled;
        });
      });
    }
    each<R>([&](auto r) {
      F32x4 result =
          totals_02_13(lanes[r][0], lanes[r][1], lanes[r][2], lanes[r][3]) * splat(a_scales[i + r]) + bias;
      float* out = y + (i + r) * ldy;
      if (accumulate) result = load_some(out, columns) + result;
      store_some(out, result, columns);
    });
  }
}

}  // namespace

void gemm_i4(const IntegerRows& a, size_t m, const uint8_t* panels, const float* scales, size_t n,
             Epilogue epilogue, float* y, size_t ldy) {
  const size_t blocks = a.k8 / kBlock4, pairs = m / 2 * 2;
  for (size_t j = 0; j < n; j += 4) {
    const size_t columns = n - j < 4 ? n - j : 4;
    const F32x4 bias = epilogue.bias == nullptr ? splat(-0.0f) : load_some(epilogue.bias + j, columns);
    const uint8_t* panel = panels + j * blocks * 16;
    panel_i4<2>(a.values, pairs, a.k8, a.scales, panel, scales + j * blocks, bias, epilogue.accumulate,
                columns, y + j, ldy);
    panel_i4<1>(a.values + pairs * a.k8, m - pairs, a.k8, a.scales + pairs, panel, scales + j * blocks, bias,
                epilogue.accumulate, columns, y + pairs * ldy + j, ldy);
  }
}

}  // namespace ptts::kernels::simd128
