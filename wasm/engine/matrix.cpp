// Packing and products of weight matrices.
#include "matrix.h"

#include <algorithm>
#include <cmath>

#include "kernels.h"

namespace ptts {

ptts_status Matrix::create(size_t n, size_t k, bool quantized, const char* name) {
  n_ = n;
  k_ = k;
  k8_ = (k + 7) / 8 * 8;
  if (!quantized) return panels_.allocate(kernels::panel_floats(n, k), name);
  PTTS_TRY(quantized_.allocate((n + 3) / 4 * 4 * k8_, name));
  PTTS_TRY(scales_.allocate(n, name));
  return row_.allocate(k, name);
}

void Matrix::put_element(size_t j, size_t p, float value) {
  panels_[kernels::panel_offset(n_, k_, j, p)] = value;
}

ptts_status Matrix::put(size_t j, size_t first, const float* values, size_t count) {
  if (!quantized_.empty()) {
    std::copy(values, values + count, row_.data() + first);
    if (first + count == k_) quantize_row(j);
    return PTTS_OK;
  }
  const size_t width = kernels::panel_width(n_, j);
  float* column = panels_.data() + kernels::panel_offset(n_, k_, j, first);
  for (size_t p = 0; p < count; ++p) column[p * width] = values[p];
  return PTTS_OK;
}

void Matrix::quantize_row(size_t j) {
  float largest = 0;
  for (size_t p = 0; p < k_; ++p) largest = std::max(largest, std::fabs(row_[p]));
  scales_[j] = largest / 127.0f;
  const float inverse = largest > 0 ? 127.0f / largest : 0;
  int8_t* panel = quantized_.data() + j / 4 * 4 * k8_ + j % 4 * 8;
  for (size_t p = 0; p < k_; ++p) {
    panel[p / 8 * 32 + p % 8] = static_cast<int8_t>((row_[p] * inverse + kernels::kRound) - kernels::kRound);
  }
  if (j + 1 == n_) row_.release();
}

// The largest int16 input whose lane sums cannot leave int32: a lane adds two of every eight products of at
// most 127 * limit.
int32_t Matrix::input_limit() const {
  const int64_t products = static_cast<int64_t>(k8_ / 8 * 2);
  return static_cast<int32_t>(std::min<int64_t>(32767, INT32_MAX / (127 * products)));
}

void Matrix::apply(const float* x, size_t ldx, size_t m, float* y, size_t ldy, Scratch& scratch) const {
  if (quantized_.empty()) {
    kernels::gemm_f32(x, ldx, m, panels_.data(), n_, k_, y, ldy);
    return;
  }
  kernels::quantize_rows_i16(x, ldx, m, k_, k8_, input_limit(), scratch.rows.data(), scratch.scales.data());
  kernels::gemm_q8(scratch.rows.data(), m, k8_, scratch.scales.data(), quantized_.data(), scales_.data(), n_,
                   y, ldy);
}

ptts_status Matrix::reserve(size_t m, Scratch& scratch) const {
  if (quantized_.empty()) return PTTS_OK;
  PTTS_TRY(scratch.rows.grow(m * k8_, "quantised inputs"));
  return scratch.scales.grow(m, "scales of quantised inputs");
}

}  // namespace ptts
