// Packing and products of weight matrices.
#include "matrix.h"

#include <algorithm>
#include <cmath>

namespace ptts {

using kernels::Activation;
using kernels::Epilogue;

ptts_status Matrix::create(size_t n, size_t taps, size_t channels, Type type, Order order, const char* name) {
  type_ = type;
  n_ = n;
  taps_ = taps;
  channels_ = channels;
  k8_ = (channels + 7) / 8 * 8;
  staged_ = 0;
  if (type == Type::kF32) return panels_.allocate(kernels::panel_floats(n, k()), name);
  const size_t values = (n + 3) / 4 * 4 * taps * k8_;
  if (type == Type::kInt8) {
    PTTS_TRY(int8_.allocate(values, name));
  } else {
    PTTS_TRY(int16_.allocate(values, name));
  }
  PTTS_TRY(scales_.allocate(n, name));
  PTTS_TRY(rounded_.allocate(k(), name));
  return staging_.allocate(order == Order::kRows ? k() : n * k(), name);
}

ptts_status Matrix::put(size_t j, size_t first, const float* values, size_t count) {
  if (integer()) {
    std::copy_n(values, count, staging_.data() + (staging_.size() > k() ? j * k() : 0) + first);
    staged(j, count);
    return PTTS_OK;
  }
  const size_t width = kernels::panel_width(n_, j);
  float* column = panels_.data() + kernels::panel_offset(n_, k(), j, first);
  for (size_t p = 0; p < count; ++p) column[p * width] = values[p];
  return PTTS_OK;
}

void Matrix::put_element(size_t j, size_t p, float value) {
  if (!integer()) {
    panels_[kernels::panel_offset(n_, k(), j, p)] = value;
    return;
  }
  staging_[(staging_.size() > k() ? j * k() : 0) + p] = value;
  staged(j, 1);
}

// `count` more elements have come, the last of them of row j.
void Matrix::staged(size_t j, size_t count) {
  const bool whole = staging_.size() > k();
  staged_ += count;
  if (!whole && staged_ == (j + 1) * k()) quantize_row(j, staging_.data());
  if (staged_ < n_ * k()) return;
  for (size_t row = 0; whole && row < n_; ++row) quantize_row(row, staging_.data() + row * k());
  staging_.release();
  rounded_.release();
}

void Matrix::quantize_row(size_t j, const float* row) {
  kernels::quantize_rows_i16(Activation::kNone, row, k(), 1, k(), k(), weight_max(), nullptr, rounded_.data(),
                             scales_.data() + j);
  const int16_t* from = rounded_.data();
  for (size_t t = 0; t < taps_; ++t) {
    size_t at = j / 4 * 4 * taps_ * k8_ + t * 4 * k8_ + j % 4 * 8;
    for (size_t c = 0; c < channels_; c += 8, at += 32) {
      const size_t here = std::min<size_t>(8, channels_ - c);
      for (size_t i = 0; i < here; ++i, ++from) {
        if (type_ == Type::kInt8) {
          int8_[at + i] = static_cast<int8_t>(*from);
        } else {
          int16_[at + i] = *from;
        }
      }
    }
  }
}

void Matrix::product(const kernels::IntegerRows& rows, size_t m, Epilogue epilogue, float* y,
                     size_t ldy) const {
  if (type_ == Type::kInt8) {
    kernels::gemm_i8(rows, m, int8_.data(), scales_.data(), n_, epilogue, y, ldy);
  } else {
    kernels::gemm_i16(rows, m, int16_.data(), scales_.data(), n_, epilogue, y, ldy);
  }
}

void Matrix::apply(Activation activation, float* x, size_t m, Epilogue epilogue, float* y,
                   Scratch& scratch) const {
  if (integer()) {
    quantize(activation, x, m, scratch.rows.data(), scratch.scales.data(), scratch);
    product({scratch.rows.data(), scratch.scales.data(), k8_}, m, epilogue, y, n_);
    return;
  }
  switch (activation) {
    case Activation::kNone: break;
    case Activation::kElu: kernels::elu(x, m * k(), x); break;
    case Activation::kGelu: kernels::gelu_tanh(x, m * k(), x); break;
    case Activation::kSilu: kernels::silu(x, m * k(), x); break;
  }
  kernels::gemm_f32(x, k(), m, panels_.data(), n_, k(), epilogue, y, n_);
}

void Matrix::apply_windows(const float* x, size_t ldx, size_t m, Epilogue epilogue, float* y) const {
  kernels::gemm_f32(x, ldx, m, panels_.data(), n_, k(), epilogue, y, n_);
}

void Matrix::apply_windows(const int16_t* values, const float* scales, size_t spacing, size_t m,
                           Epilogue epilogue, float* y) const {
  product({values, scales, k8_, taps_, spacing}, m, epilogue, y, n_);
}

void Matrix::quantize(Activation activation, const float* x, size_t m, int16_t* values, float* scales,
                      Scratch& scratch) const {
  kernels::quantize_rows_i16(activation, x, channels_, m, channels_, k8_,
                             kernels::input_limit(k8_, weight_max()), scratch.row.data(), values, scales);
}

ptts_status Matrix::reserve(size_t m, Scratch& scratch) const {
  if (!integer()) return PTTS_OK;
  PTTS_TRY(scratch.rows.grow(m * k8_, "quantised inputs"));
  PTTS_TRY(scratch.scales.grow(m, "scales of quantised inputs"));
  return scratch.row.grow(channels_, "quantised inputs");
}

}  // namespace ptts
