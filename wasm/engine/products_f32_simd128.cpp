// The f32 matrix product on 128-bit vectors, in small functions (see products_simd128.cpp).
#include "simd128.h"

namespace ptts::kernels::simd128 {

namespace {

// V vectors of columns for R rows at once; the panel's last columns may lie beyond n (`columns` of them are stored).
// `second` is the distance to the next panel, from which the upper half of the vectors comes when V is 8.
template <size_t R, size_t V>
inline void tile_f32(const float* a, size_t lda, const float* panel, size_t second, size_t k, Ahead& weights,
                     size_t columns, const float* bias, bool accumulate, float* y, size_t ldy) {
  constexpr size_t kWidth = V == 8 ? 16 : V * 4, kTurn = Ahead::kTurn / (V * sizeof(F32x4));
  Ahead ahead = weights;
  F32x4 total[R][V];
  const float* row[R];
  each<R>([&](auto r) { row[r] = a + r * lda; });
  for (size_t begin = 0; begin < k || begin == 0; begin += kSumBlock) {
    const size_t count = k - begin < kSumBlock ? k - begin : kSumBlock;
    F32x4 sum[R][V] = {};
    const auto step = [&](auto p) {
      F32x4 w[V];
      each<V>(
          [&](auto v) { w[v] = load<F32x4>(panel + p * kWidth + (v < 4 ? v * 4 : second + v * 4 - 16)); });
      each<R>([&](auto r) {
        const F32x4 x = splat(row[r][p]);
        each<V>([&](auto v) { sum[r][v] = sum[r][v] + x * w[v]; });
      });
    };
    const auto advance = [&](size_t by) {
      panel += by * kWidth;
      each<R>([&](auto r) { row[r] += by; });
    };
    for (size_t p = 0; p < count;) {
      if constexpr (V < 8) ahead.fetch();
      const size_t end = V == 8 || count - p < kTurn ? count : p + kTurn;
      if constexpr (kChecked && V < 8) {
#pragma clang loop unroll(disable)
        for (; p + 4 <= end; p += 4) {
          // The farthest address first: the host then knows that the others are within bounds.
          touch(panel + 4 * kWidth - 1);
          each<R>([&](auto r) { touch(row[r] + 3); });
          each<4>(step);
          advance(4);
        }
      }
#pragma clang loop unroll(disable)
      for (; p < end; ++p) {
        step(Index<0>());
        advance(1);
      }
    }
    each<R>([&](auto r) {
      each<V>([&](auto v) { total[r][v] = begin == 0 ? sum[r][v] : total[r][v] + sum[r][v]; });
    });
  }
  weights = ahead;
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
PTTS_NOINLINE void panel_f32(const float* a, size_t lda, size_t m, const float* panel, size_t k, Ahead& ahead,
                             size_t columns, const float* bias, bool accumulate, float* y, size_t ldy) {
  ahead.enter(V * sizeof(F32x4) * k);
  size_t i = 0;
  for (; i + 2 <= m; i += 2) {
    tile_f32<2, V>(a + i * lda, lda, panel, 0, k, ahead, columns, bias, accumulate, y + i * ldy, ldy);
  }
  if (i < m)
    tile_f32<1, V>(a + i * lda, lda, panel, 0, k, ahead, columns, bias, accumulate, y + i * ldy, ldy);
}

// Two panels for one row: eight sums hide the latency of the addition, and the caches fetch ahead in both of them.
PTTS_NOINLINE void two_panels_f32(const float* a, const float* panels, size_t k, const float* bias,
                                  bool accumulate, float* y) {
  Ahead nothing(panels, 0);
  tile_f32<1, 8>(a, 0, panels, kPanel * k, k, nothing, 2 * kPanel, bias, accumulate, y, 0);
}

// A single column: vectors of four rows, so that no lane is idle and two chains of additions run beside each other.
template <size_t V>
inline void column_f32(const float* a, size_t lda, const float* panel, size_t k, const float* bias,
                       bool accumulate, float* y, size_t ldy) {
  F32x4 total[V];
  for (size_t begin = 0; begin < k || begin == 0; begin += kSumBlock) {
    const size_t end = k - begin < kSumBlock ? k : begin + kSumBlock;
    F32x4 sum[V] = {};
    size_t p = begin;
    for (; p + 4 <= end; p += 4) {
      each<V>([&](auto v) {
        const float* row = a + 4 * v * lda + p;
        const F32x4 r0 = load<F32x4>(row), r1 = load<F32x4>(row + lda), r2 = load<F32x4>(row + 2 * lda),
                    r3 = load<F32x4>(row + 3 * lda);
        const F32x4 low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5),
                    low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5),
                    high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7),
                    high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
        const F32x4 x[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                            __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                            __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                            __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
        each<4>([&](auto i) { sum[v] = sum[v] + x[i] * splat(panel[(p + i) * 4]); });
      });
    }
    for (; p < end; ++p) {
      each<V>([&](auto v) {
        const float* row = a + 4 * v * lda + p;
        sum[v] = sum[v] + F32x4{row[0], row[lda], row[2 * lda], row[3 * lda]} * splat(panel[p * 4]);
      });
    }
    each<V>([&](auto v) { total[v] = begin == 0 ? sum[v] : total[v] + sum[v]; });
  }
  each<V>([&](auto v) {
    for (size_t i = 0; i < 4; ++i) {
      float* out = y + (4 * v + i) * ldy;
      float result = total[v][i];
      if (bias != nullptr) result = result + *bias;
      if (accumulate) result = *out + result;
      *out = result;
    }
  });
}

// How many of m rows it did.
PTTS_NOINLINE size_t rows_of_column_f32(const float* a, size_t lda, size_t m, const float* panel, size_t k,
                                        const float* bias, bool accumulate, float* y, size_t ldy) {
  size_t i = 0;
  for (; i + 8 <= m; i += 8) column_f32<2>(a + i * lda, lda, panel, k, bias, accumulate, y + i * ldy, ldy);
  for (; i + 4 <= m; i += 4) column_f32<1>(a + i * lda, lda, panel, k, bias, accumulate, y + i * ldy, ldy);
  return i;
}

}  // namespace

void gemm_f32(const float* a, size_t lda, size_t m, const float* panels, size_t n, size_t k,
              Epilogue epilogue, float* y, size_t ldy) {
  const auto bias = [&](size_t j) { return epilogue.bias == nullptr ? nullptr : epilogue.bias + j; };
  size_t j = 0;
  if (n == 1) {
    const size_t rows = rows_of_column_f32(a, lda, m, panels, k, epilogue.bias, epilogue.accumulate, y, ldy);
    a += rows * lda;
    y += rows * ldy;
    m -= rows;
  } else if (m == 1) {
    for (; j + 2 * kPanel <= n; j += 2 * kPanel, panels += 2 * kPanel * k) {
      two_panels_f32(a, panels, k, bias(j), epilogue.accumulate, y + j);
    }
  }
  Ahead ahead(panels, panel_floats(n - j, k) * sizeof(float));
  for (; j < n; j += kPanel, panels += kPanel * k) {
    const size_t columns = n - j < kPanel ? n - j : kPanel;
    switch (panel_width(n, j)) {
      case 16:
        panel_f32<4>(a, lda, m, panels, k, ahead, columns, bias(j), epilogue.accumulate, y + j, ldy);
        break;
      case 12:
        panel_f32<3>(a, lda, m, panels, k, ahead, columns, bias(j), epilogue.accumulate, y + j, ldy);
        break;
      case 8:
        panel_f32<2>(a, lda, m, panels, k, ahead, columns, bias(j), epilogue.accumulate, y + j, ldy);
        break;
      default:
        panel_f32<1>(a, lda, m, panels, k, ahead, columns, bias(j), epilogue.accumulate, y + j, ldy);
        break;
    }
  }
}

}  // namespace ptts::kernels::simd128
