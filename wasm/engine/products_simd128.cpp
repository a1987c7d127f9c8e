// The integer matrix products on 128-bit vectors.  Every function here is small and called many times: V8 moves a function to
// its optimising compiler between calls, not in the middle of one.
#include <type_traits>

#include "per_thread.h"
#include "simd128.h"

namespace ptts::kernels::simd128 {

namespace {

// The weights of a group of four columns, from the farthest address on (see lane_sums).
template <size_t C, typename W>
inline void load_group(const W* w, I16x8 (&weights)[C]) {
  each<C>([&](auto c) { weights[C - 1 - c] = load_i16(w + 8 * (C - 1 - c)); });
}
inline void load_group(const Group12* w, I16x8 (&weights)[4]) {
  if constexpr (kChecked) {  // wazero has no instruction for interleaved bytes
    I16x8 low[2], high[4];
    each<2>([&](auto c) {
      low[1 - c] = (I16x8) __builtin_convertvector(load<U8x8>(w->low + 8 * (1 - c)), U16x8);
    });
    each<4>([&](auto c) { high[3 - c] = load_i16((const int8_t*)w->high + 8 * (3 - c)) << 4; });
    each<2>([&](auto c) {
      weights[c] = high[c] | (I16x8)((U16x8)low[c] >> 4);
      weights[2 + c] = high[2 + c] | (low[c] & int16_t{15});
    });
  } else {
    // The upper byte is in its place; what lies below the lower 4 bits is shifted out.
    const I8x16 low = load<I8x16>(w->low), lower = (I8x16)((I16x8)low << 4), first = load<I8x16>(w->high),
                second = load<I8x16>(w->high + 16);
    const auto begin = [](I8x16 a, I8x16 b) {
      return (I16x8)__builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23) >>
             4;
    };
    const auto end = [](I8x16 a, I8x16 b) {
      return (I16x8)__builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                            31) >>
             4;
    };
    weights[0] = begin(low, first);
    weights[1] = end(low, first);
    weights[2] = begin(lower, second);
    weights[3] = end(lower, second);
  }
}

// Lane sums of R input rows with C columns of a panel (w: its first column), U groups of eight products at a time.
// kPacked: the rows lie interleaved in groups of eight, so that one address serves them all.  The farthest address comes first: a
// host that checks bounds then knows that the others are within them.
template <size_t R, size_t C, size_t U, bool kPacked, typename W>
inline void lane_sums(const int16_t* a, size_t step, const W* w, size_t count, I32x4 (&sum)[R][C]) {
  const int16_t* row[kPacked ? 1 : R];
  for (size_t r = 0; r < (kPacked ? 1 : R); ++r) row[r] = a + r * step;
#pragma clang loop unroll(disable)
  for (size_t p = 0; p < count; p += 8 * U) {
    // Two pointers in step would become one and an offset that the loads cannot hold.
    if constexpr (kPacked) asm volatile("" : "+r"(w), "+r"(row[0]));
    each<U>([&](auto ascending) {
      constexpr size_t u = U - 1 - ascending;
      I16x8 weights[C];
      load_group(w + kGroup<W> * u, weights);
      each<R>([&](auto i) {
        constexpr size_t r = R - 1 - i;
        const I16x8 x = kPacked ? load<I16x8>(row[0] + 8 * (u * R + r)) : load<I16x8>(row[r] + 8 * u);
        each<C>([&](auto c) { sum[r][c] = sum[r][c] + dot_i16(x, weights[c]); });
      });
    });
    w += kGroup<W> * U;
    for (size_t r = 0; r < (kPacked ? 1 : R); ++r) row[r] += 8 * U * (kPacked ? R : 1);
  }
}

// Two of the four columns of a panel.
struct Columns {
  F32x4 scale, bias;  // c0, c1, c0, c1
  bool accumulate;
};

// r0c0, r0c1, r1c0, r1c1
inline void store_pairs(float* y, size_t ldy, F32x4 v, bool accumulate) {
  typedef float F32x2 __attribute__((vector_size(8)));
  if (accumulate) {
    const F32x2 first = load<F32x2>(y), second = load<F32x2>(y + ldy);
    v = __builtin_shufflevector(first, second, 0, 1, 2, 3) + v;
  }
  store(y, __builtin_shufflevector(v, v, 0, 1));
  store(y + ldy, __builtin_shufflevector(v, v, 2, 3));
}

// R (even) output rows of two columns.  kOne: a row is one segment; with the loop around it the products of a transformer
// took 5 % longer in V8.
template <size_t R, size_t U, bool kPacked, bool kOne, typename W>
inline void tile_integer(const IntegerRows& a, const int16_t* values, const float* scales, const W* panel,
                         const Columns& columns, float* y, size_t ldy) {
  F32x4 lanes[R][2];
  if constexpr (kOne) {
    I32x4 sum[R][2] = {};
    lane_sums<R, 2, U, kPacked>(values, a.step, panel, a.k, sum);
    each<R>([&](auto r) { each<2>([&](auto c) { lanes[r][c] = to_f32(sum[r][c]); }); });
  } else {
    for (size_t left = a.k, segment = a.segment; left > 0; left -= segment) {
      segment = left < segment ? left : segment;
      I32x4 sum[R][2] = {};
      lane_sums<R, 2, U, kPacked>(values, a.step, panel, segment, sum);
      each<R>([&](auto r) {
        each<2>(
            [&](auto c) { lanes[r][c] = left == a.k ? to_f32(sum[r][c]) : lanes[r][c] + to_f32(sum[r][c]); });
      });
      values += kPacked ? segment * R : a.segment_step;
      panel += 4 * segment;
    }
  }
  each<R / 2>([&](auto pair) {
    constexpr size_t i = 2 * pair, j = i + 1;
    const float s0 = scales[i * a.scale_step], s1 = scales[j * a.scale_step];
    const F32x4 sums = totals_02_13(lanes[i][0], lanes[i][1], lanes[j][0], lanes[j][1]);
    store_pairs(y + i * ldy, ldy, sums * (columns.scale * F32x4{s0, s0, s1, s1}) + columns.bias,
                columns.accumulate);
  });
}

template <size_t R, size_t U, bool kPacked, bool kOne, typename W>
PTTS_NOINLINE void columns_integer(const IntegerRows& a, size_t m, const W* panel, Ahead& ahead, size_t lines,
                                   const Columns& columns, float* y, size_t ldy) {
  const int16_t* values = a.values;
  const float* scales = a.scales;
  for (size_t i = 0; i < m;
       i += R, y += R * ldy, scales += R * a.scale_step, values += R * (kPacked ? a.k : a.step)) {
    for (size_t line = 0; line < lines; ++line) ahead.fetch();
    tile_integer<R, U, kPacked, kOne>(a, values, scales, panel, columns, y, ldy);
  }
}

// Products of a row for which Ahead::kTurn bytes are read.
template <typename W>
constexpr size_t kTurn = sizeof(W) == 1 ? 128 : 64;

// One output row of a panel.
template <size_t U, typename W>
PTTS_NOINLINE void row_integer(const IntegerRows& a, const W* panel, Ahead& weights, F32x4 w_scale,
                               F32x4 bias, bool accumulate, size_t columns, float* y) {
  F32x4 lanes[4];
  Ahead ahead = weights;
  const int16_t* values = a.values;
  for (size_t left = a.k, segment = a.segment; left > 0; left -= segment) {
    segment = left < segment ? left : segment;
    I32x4 sum[1][4] = {};
    for (size_t p = 0; p < segment; p += kTurn<W>) {
      ahead.fetch();
      lane_sums<1, 4, U, false>(values + p, 0, panel + p / 8 * kGroup<W>,
                                segment - p < kTurn<W> ? segment - p : kTurn<W>, sum);
    }
    each<4>([&](auto c) { lanes[c] = left == a.k ? to_f32(sum[0][c]) : lanes[c] + to_f32(sum[0][c]); });
    values += a.segment_step;
    panel += segment / 8 * kGroup<W>;
  }
  weights = ahead;
  F32x4 result = totals_02_13(lanes[0], lanes[1], lanes[2], lanes[3]) * (w_scale * splat(a.scales[0])) + bias;
  if (accumulate) result = load_some(y, columns) + result;
  store_some(y, result, columns);
}

// Groups of four rows, interleaved: [m / 4][k / 8][4][8].
PTTS_NOINLINE void pack_rows(const IntegerRows& a, size_t m, int16_t* out) {
  for (size_t i = 0; i < m; i += 4) {
    const int16_t* row = a.values + i * a.step;
    for (size_t left = a.k, segment = a.segment; left > 0; left -= segment, row += a.segment_step) {
      segment = left < segment ? left : segment;
      for (size_t p = 0; p < segment; p += 8, out += 32) {
        each<4>([&](auto r) { store(out + 8 * r, load<I16x8>(row + r * a.step + p)); });
      }
    }
  }
}

// Groups of 12-bit weights as int16, [4][8] each.
PTTS_NOINLINE void unpack(const Group12* groups, size_t count, int16_t* out) {
  for (size_t i = 0; i < count; ++i, out += 32) {
    I16x8 weights[4];
    load_group(groups + i, weights);
    each<4>([&](auto c) { store(out + 8 * c, weights[c]); });
  }
}

constexpr size_t kPackedValues = 64 * 1024;  // room for interleaved rows, and for a panel of unpacked weights
// The rows of one product at a time.
int16_t* interleaved() {
  static PTTS_PER_THREAD int16_t rows[kPackedValues];
  return rows;
}
constexpr size_t kResidentBytes =
    256 * 1024;  // weights below this stay in the cache while blocks of rows pass

}  // namespace

// kPacked is for hosts that check bounds; the bits are the same.  12-bit weights are unpacked for tiles, a panel at a time.
template <bool kPacked, typename W>
void gemm_integer(const IntegerRows& a, size_t m, const W* panels, const float* w_scales, size_t n,
                  Epilogue epilogue, float* y, size_t ldy) {
  constexpr bool kUnpack = std::is_same_v<W, Group12>;
  using T = std::conditional_t<kUnpack, int16_t, W>;
  static PTTS_PER_THREAD int16_t unpacked[kUnpack ? kPackedValues : 1];
  int16_t* packed = kPacked ? interleaved() : nullptr;
  const bool fits = a.k <= kPackedValues / 4, tiles_fit = fits || !kUnpack, pack = kPacked && m >= 4 && fits;
  const auto unrolls = [&](size_t by) { return a.k % (8 * by) == 0 && a.segment % (8 * by) == 0; };
  constexpr size_t kRowUnrolled = kPacked ? 4 : 2;
  size_t block = m;
  if (pack) {
    block = kPackedValues / a.k / 4 * 4;
  } else if (panel_start<W>(n, a.k) * sizeof(W) <= kResidentBytes) {
    block = 16 * 1024 / a.step / 4 * 4;
    if (block < 4) block = 4;
  }
  for (size_t begin = 0; begin < m; begin += block) {
    const size_t rows = m - begin < block ? m - begin : block, fours = tiles_fit ? rows / 4 * 4 : 0;
    IntegerRows these = a;
    these.values += begin * a.step;
    these.scales += begin * a.scale_step;
    IntegerRows tiles = these;
    if (pack) {
      pack_rows(these, fours, packed);
      tiles.values = packed;
    }
    const bool whole = a.k <= a.segment;
    const auto tile =
        !pack ? (whole ? columns_integer<4, 1, false, true, T> : columns_integer<4, 1, false, false, T>)
        : unrolls(4) ? (whole ? columns_integer<4, 4, true, true, T> : columns_integer<4, 4, true, false, T>)
                     : columns_integer<4, 1, true, false, T>;
    const auto row = unrolls(kRowUnrolled) ? row_integer<kRowUnrolled, W> : row_integer<1, W>;
    Ahead ahead(panels, panel_start<W>(n, a.k) * sizeof(W));
    for (size_t j = 0; j < n; j += 4) {
      const size_t columns = n - j < 4 ? n - j : 4;
      const F32x4 scale = load_some(w_scales + j, columns);
      const F32x4 bias = epilogue.bias == nullptr ? splat(-0.0f) : load_some(epilogue.bias + j, columns);
      const W* panel = panels + panel_start<W>(j, a.k);
      float* out = y + begin * ldy + j;
      size_t i = 0;
      ahead.enter(panel_start<W>(4, a.k) * sizeof(W));
      if (fours > 0 && columns == 4) {
        const size_t lines = ahead.in(fours / 2);
        const bool accumulate = epilogue.accumulate;
        const T* weights;
        if constexpr (kUnpack) {
          unpack(panel, a.k / 8, unpacked);
          weights = unpacked;
        } else {
          weights = panel;
        }
        tile(tiles, fours, weights, ahead, lines,
             {__builtin_shufflevector(scale, scale, 0, 1, 0, 1),
              __builtin_shufflevector(bias, bias, 0, 1, 0, 1), accumulate},
             out, ldy);
        tile(tiles, fours, weights + 16, ahead, lines,
             {__builtin_shufflevector(scale, scale, 2, 3, 2, 3),
              __builtin_shufflevector(bias, bias, 2, 3, 2, 3), accumulate},
             out + 2, ldy);
        i = fours;
      }
      for (; i < rows; ++i) {
        IntegerRows one = these;
        one.values += i * a.step;
        one.scales += i * a.scale_step;
        row(one, panel, ahead, scale, bias, epilogue.accumulate, columns, out + i * ldy);
      }
    }
  }
}

template void gemm_integer<false>(const IntegerRows&, size_t, const int8_t*, const float*, size_t, Epilogue,
                                  float*, size_t);
template void gemm_integer<false>(const IntegerRows&, size_t, const Group12*, const float*, size_t, Epilogue,
                                  float*, size_t);
template void gemm_integer<false>(const IntegerRows&, size_t, const int16_t*, const float*, size_t, Epilogue,
                                  float*, size_t);
template void gemm_integer<true>(const IntegerRows&, size_t, const int8_t*, const float*, size_t, Epilogue,
                                 float*, size_t);
template void gemm_integer<true>(const IntegerRows&, size_t, const Group12*, const float*, size_t, Epilogue,
                                 float*, size_t);
template void gemm_integer<true>(const IntegerRows&, size_t, const int16_t*, const float*, size_t, Epilogue,
                                 float*, size_t);

// ---- taps over groups of rows ---------------------------------------------------------------------------------

namespace {

// Taps i < j of T share a product.
template <size_t T>
constexpr size_t kShared = T * (T - 1) / 2;
// The taps of shared product number `p`, in the order (0, 1), (0, 2), (1, 2).
constexpr size_t first_tap(size_t p) { return p == 2 ? 1 : 0; }
constexpr size_t second_tap(size_t p) { return p == 0 ? 1 : 2; }

// The inputs of groups of output rows: of each row its own, and what two rows share.
template <size_t T>
struct GroupInputs {
  const int16_t *own[T], *shared[kShared<T>];
  size_t step;  // between groups
};

// Columns of each tap, and of two added.
template <size_t T>
struct GroupPanels {
  const int16_t *own[T], *shared[kShared<T>];
};

PTTS_NOINLINE void add_taps(const int16_t* first, const int16_t* second, size_t count, int16_t* sum) {
  for (size_t i = 0; i < count; i += 8) store(sum + i, load<I16x8>(first + i) + load<I16x8>(second + i));
}

// What row i of every group multiplies with tap i alone: x[2 i] less the others that the row reads.
template <size_t T>
PTTS_NOINLINE void own_inputs(const int16_t* values, size_t k8, size_t groups, int16_t* out) {
  for (size_t g = 0; g < groups; ++g, values += T * k8) {
    each<T>([&](auto i) {
      const int16_t* row = values + i * k8;
      for (size_t p = 0; p < k8; p += 8, out += 8) {
        I16x8 own = load<I16x8>(row + i * k8 + p);
        each<T>([&](auto j) {
          if constexpr (size_t{i} != size_t{j}) own = own - load<I16x8>(row + j * k8 + p);
        });
        store(out, own);
      }
    });
  }
}

// R groups of T output rows, two columns.
template <size_t T, size_t R, size_t U, bool kPacked>
PTTS_NOINLINE void columns_groups(const GroupInputs<T>& in, size_t k8, size_t groups,
                                  const GroupPanels<T>& panels, Ahead& ahead, size_t lines,
                                  const Columns& columns, float* y, size_t ldy) {
  GroupInputs<T> x = in;
  for (size_t g = 0; g < groups; g += R, y += R * T * ldy) {
    for (size_t line = 0; line < lines; ++line) ahead.fetch();
    I32x4 sums[T][R][2] = {};
    each<T>([&](auto i) { lane_sums<R, 2, U, kPacked>(x.own[i], x.step, panels.own[i], k8, sums[i]); });
    each<kShared<T>>([&](auto p) {
      I32x4 both[R][2] = {};
      lane_sums<R, 2, U, kPacked>(x.shared[p], x.step, panels.shared[p], k8, both);
      each<R>([&](auto r) {
        each<2>([&](auto c) {
          sums[first_tap(p)][r][c] = sums[first_tap(p)][r][c] + both[r][c];
          sums[second_tap(p)][r][c] = sums[second_tap(p)][r][c] + both[r][c];
        });
      });
    });
    const auto of = [&](size_t row, size_t c) { return to_f32(sums[row % T][row / T][c]); };
    each<R * T / 2>([&](auto pair) {
      constexpr size_t i = 2 * pair, j = i + 1;
      const F32x4 total = totals_02_13(of(i, 0), of(i, 1), of(j, 0), of(j, 1));
      store_pairs(y + i * ldy, ldy, total * columns.scale + columns.bias, columns.accumulate);
    });
    if constexpr (R * T % 2 == 1) {
      constexpr size_t i = R * T - 1;
      const F32x4 total = totals_02_13(of(i, 0), of(i, 1), of(i, 0), of(i, 1));
      store_pairs(y + i * ldy, 0, total * columns.scale + columns.bias, columns.accumulate);
    }
    const size_t by = R * (kPacked ? k8 : x.step);
    each<T>([&](auto i) { x.own[i] += by; });
    each<kShared<T>>([&](auto p) { x.shared[p] += by; });
  }
}

}  // namespace

template <bool kPacked, size_t T>
void gemm_groups(const int16_t* values, float scale, size_t k8, size_t m, const int16_t* panels,
                 const float* w_scales, size_t n, Epilogue epilogue, int16_t* room, float* y, size_t ldy) {
  constexpr size_t kPlanes = T + kShared<T>;
  static PTTS_PER_THREAD int16_t sums[4 * kSegment12];
  int16_t* packed = kPacked ? interleaved() : nullptr;
  const size_t groups = m / T, panel_values = 4 * k8;  // of one tap
  own_inputs<T>(values, k8, groups, room);
  // Rows that stay in the cache while the panels pass.
  const size_t most = (kPacked ? kPackedValues / (kPlanes * k8) : 32 * 1024 / (T * k8)) / 4 * 4,
               block = most < 4 ? 4 : most;
  for (size_t begin = 0; begin < groups; begin += block) {
    const size_t here = groups - begin < block ? groups - begin : block, fours = here / 4 * 4;
    GroupInputs<T> x;
    x.step = T * k8;
    each<T>([&](auto i) { x.own[i] = room + (T * begin + i) * k8; });
    each<kShared<T>>([&](auto p) { x.shared[p] = values + (T * begin + first_tap(p) + second_tap(p)) * k8; });
    const bool pack = kPacked && fours * kPlanes * k8 <= kPackedValues;
    GroupInputs<T> tiles = x;
    if (pack) {
      int16_t* out = packed;
      const auto interleave = [&](const int16_t*& plane) {
        pack_rows({plane, nullptr, k8, x.step, k8, k8, 0}, fours, out);
        plane = out;
        out += fours * k8;
      };
      each<T>([&](auto i) { interleave(tiles.own[i]); });
      each<kShared<T>>([&](auto p) { interleave(tiles.shared[p]); });
    }
    const auto tile = !pack          ? columns_groups<T, 4, 1, false>
                      : k8 % 32 == 0 ? columns_groups<T, 4, 4, true>
                                     : columns_groups<T, 4, 1, true>;
    Ahead ahead(panels, panel_start<int16_t>(n, T * k8) * sizeof(int16_t));
    size_t lines = 0;
    for (size_t j = 0; j < n; j += 2) {
      const int16_t* taps = panels + panel_start<int16_t>(j, T * k8);
      if (j % 4 == 0) {
        each<kShared<T>>([&](auto p) {
          add_taps(taps + first_tap(p) * panel_values, taps + second_tap(p) * panel_values, panel_values,
                   sums + p * panel_values);
        });
        ahead.enter(T * panel_values * sizeof(int16_t));
        lines = fours > 0 ? ahead.in(fours / 2) : 0;
      }
      const size_t column = j % 4 * 8;
      GroupPanels<T> panel;
      each<T>([&](auto i) { panel.own[i] = taps + i * panel_values + column; });
      each<kShared<T>>([&](auto p) { panel.shared[p] = sums + p * panel_values + column; });
      const float s0 = w_scales[j] * scale, s1 = w_scales[j + 1] * scale;
      const float b0 = epilogue.bias == nullptr ? -0.0f : epilogue.bias[j],
                  b1 = epilogue.bias == nullptr ? -0.0f : epilogue.bias[j + 1];
      const Columns columns = {{s0, s1, s0, s1}, {b0, b1, b0, b1}, epilogue.accumulate};
      float* out = y + T * begin * ldy + j;
      if (fours > 0) tile(tiles, k8, fours, panel, ahead, lines, columns, out, ldy);
      if (fours == here) continue;
      GroupInputs<T> rest = x;
      each<T>([&](auto i) { rest.own[i] += fours * x.step; });
      each<kShared<T>>([&](auto p) { rest.shared[p] += fours * x.step; });
      columns_groups<T, 1, 1, false>(rest, k8, here - fours, panel, ahead, 0, columns, out + T * fours * ldy,
                                     ldy);
    }
  }
  if (m % T == 0) return;
  const size_t done = T * groups;
  gemm_integer<kPacked>({values + done * k8, &scale, T * k8, k8, T * k8, T * k8, 0}, m - done, panels,
                        w_scales, n, epilogue, y + done * ldy, ldy);
}

template void gemm_groups<false, 2>(const int16_t*, float, size_t, size_t, const int16_t*, const float*,
                                    size_t, Epilogue, int16_t*, float*, size_t);
template void gemm_groups<false, 3>(const int16_t*, float, size_t, size_t, const int16_t*, const float*,
                                    size_t, Epilogue, int16_t*, float*, size_t);
template void gemm_groups<true, 2>(const int16_t*, float, size_t, size_t, const int16_t*, const float*,
                                   size_t, Epilogue, int16_t*, float*, size_t);
template void gemm_groups<true, 3>(const int16_t*, float, size_t, size_t, const int16_t*, const float*,
                                   size_t, Epilogue, int16_t*, float*, size_t);

void gemm_i16_taps(const int16_t* values, float scale, size_t k8, size_t taps, size_t m,
                   const int16_t* panels, const float* w_scales, size_t n, Epilogue epilogue, int16_t* room,
                   float* y, size_t ldy) {
  const auto gemm = taps == 2 ? gemm_groups<kChecked, 2> : gemm_groups<kChecked, 3>;
  gemm(values, scale, k8, m, panels, w_scales, n, epilogue, room, y, ldy);
}

void gemm_i8(const IntegerRows& a, size_t m, const int8_t* panels, const float* w_scales, size_t n,
             Epilogue epilogue, float* y, size_t ldy) {
  gemm_integer<kChecked>(a, m, panels, w_scales, n, epilogue, y, ldy);
}
void gemm_i12(const IntegerRows& a, size_t m, const Group12* panels, const float* w_scales, size_t n,
              Epilogue epilogue, float* y, size_t ldy) {
  gemm_integer<kChecked>(a, m, panels, w_scales, n, epilogue, y, ldy);
}

void gemm_i16(const IntegerRows& a, size_t m, const int16_t* panels, const float* w_scales, size_t n,
              Epilogue epilogue, float* y, size_t ldy) {
  gemm_integer<kChecked>(a, m, panels, w_scales, n, epilogue, y, ldy);
}

// ---- 4 bits ---------------------------------------------------------------------------------------------------

namespace {

// R rows and one panel of four columns.
template <size_t R>
PTTS_NOINLINE void panel_i4(const int16_t* a, size_t m, size_t k8, const float* a_scales,
                            const uint8_t* panel, Ahead& weights, const float* scales, F32x4 bias,
                            bool accumulate, size_t columns, float* y, size_t ldy) {
  Ahead ahead = weights;
  const auto top = [](I16x8 words, int bits) { return (words << (12 - bits)) & static_cast<int16_t>(-4096); };
  for (size_t i = 0; i + R <= m; i += R) {
    F32x4 lanes[R][4] = {};
    const int16_t* row = a + i * k8;
    const uint8_t* block = panel;
    const float* scale = scales;
#pragma clang loop unroll(disable)
    for (size_t p = 0; p < k8; p += kBlock4, block += 64, scale += 4) {
      if (p % (8 * kBlock4) == 0) ahead.fetch();
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
  weights = ahead;
}

}  // namespace

void gemm_i4(const IntegerRows& a, size_t m, const uint8_t* panels, const float* scales, size_t n,
             Epilogue epilogue, float* y, size_t ldy) {
  const size_t blocks = a.k / kBlock4, pairs = m / 2 * 2;
  Ahead ahead(panels, n * blocks * 16);
  for (size_t j = 0; j < n; j += 4) {
    const size_t columns = n - j < 4 ? n - j : 4;
    const F32x4 bias = epilogue.bias == nullptr ? splat(-0.0f) : load_some(epilogue.bias + j, columns);
    const uint8_t* panel = panels + j * blocks * 16;
    ahead.enter(blocks * 64);
    panel_i4<2>(a.values, pairs, a.k, a.scales, panel, ahead, scales + j * blocks, bias, epilogue.accumulate,
                columns, y + j, ldy);
    panel_i4<1>(a.values + pairs * a.k, m - pairs, a.k, a.scales + pairs, panel, ahead, scales + j * blocks,
                bias, epilogue.accumulate, columns, y + pairs * ldy + j, ldy);
  }
}

}  // namespace ptts::kernels::simd128
