// Packing and products of weight matrices.
#include "matrix.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "half.h"

namespace ptts {

using kernels::Activation;
using kernels::Epilogue;

void Matrix::lay_out(const MatrixShape& shape, Type type) {
  type_ = type;
  n_ = shape.n;
  taps_ = shape.taps;
  windows_ = shape.windows;
  dense_ = shape.dense;
  channels_ = shape.channels;
  const size_t group = type == Type::kInt4 ? kernels::kBlock4 : 8;
  k8_ = (channels_ + group - 1) / group * group;
  staged_ = 0;
}

ptts_status Matrix::create(const MatrixShape& shape, Type type, Order order, const char* name) {
  lay_out(shape, type);
  if (type == Type::kF32) return panels_.allocate(kernels::panel_floats(n_, k()), name);
  const size_t rows = (n_ + 3) / 4 * 4, values = panel_values();
  switch (type) {
    case Type::kInt4: PTTS_TRY(int4_.allocate(values / 2, name)); break;
    case Type::kInt8: PTTS_TRY(int8_.allocate(values, name)); break;
    default: PTTS_TRY(wide() ? int16_.allocate(values, name) : int12_.allocate(values / 32, name)); break;
  }
  PTTS_TRY(scales_.allocate(rows * blocks(), name));
  PTTS_TRY(rounded_.allocate(k(), name));
  if (order == Order::kPacked) return packed_.allocate(packed_row_bytes(), name);
  return staging_.allocate(order == Order::kRows ? k() : n_ * k(), name);
}

size_t Matrix::panel_bytes() const {
  switch (type_) {
    case Type::kF32: return kernels::panel_floats(n_, k()) * sizeof(float);
    case Type::kInt4: return panel_values() / 2;
    case Type::kInt8: return panel_values();
    default:
      return wide() ? panel_values() * sizeof(int16_t) : panel_values() / 32 * sizeof(kernels::Group12);
  }
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

float Matrix::element(size_t j, size_t p) const { return panels_[kernels::panel_offset(n_, k(), j, p)]; }

void Matrix::row(size_t j, float* values) const {
  for (size_t c = 0; c < channels_; ++c) {
    values[c] = static_cast<float>(int8_[group_at(j, 0, c) * 32 + j % 4 * 8 + c % 8]) * scale(j);
  }
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
  if (type_ == Type::kInt4) {
    for (size_t b = 0; b < blocks(); ++b) {
      const size_t begin = b * kernels::kBlock4;
      float scale = 0;
      quantize_block4(row + begin, std::min(kernels::kBlock4, k() - begin), rounded_.data() + begin, &scale);
      put_scale(j * blocks() + b, scale);
    }
  } else {
    kernels::quantize_rows_i16(Activation::kNone, row, k(), 1, k(), k(), weight_max(), nullptr,
                               rounded_.data(), scales_.data() + j);
  }
  put_integers(j, rounded_.data());
}

// The value of the largest magnitude becomes -8; then the scale that fits these integers best (least squares), as a half,
// and the integers that fit it.
void Matrix::quantize_block4(const float* values, size_t count, int16_t* integers, float* scale) const {
  float largest = 0;
  for (size_t i = 0; i < count; ++i) {
    if (std::fabs(values[i]) > std::fabs(largest)) largest = values[i];
  }
  const auto round_by = [&](float step) {
    const float inverse = step != 0 ? 1 / step : 0;
    for (size_t i = 0; i < count; ++i) {
      const float q = (values[i] * inverse + kernels::kRound) - kernels::kRound;
      integers[i] = static_cast<int16_t>(std::clamp(q, -8.0f, 7.0f));
    }
  };
  round_by(largest / -8);
  float products = 0, squares = 0;
  for (size_t i = 0; i < count; ++i) {
    const float q = integers[i];
    products = products + values[i] * q;
    squares = squares + q * q;
  }
  *scale = half_to_f32(f32_to_half(squares > 0 ? products / squares : 0));
  round_by(*scale);
}

void Matrix::put_integers(size_t j, const int16_t* row) {
  if (type_ == Type::kInt4) {
    for (size_t b = 0; b < blocks(); ++b) {
      uint8_t* block = int4_.data() + ((j / 4 * blocks() + b) * 4 + j % 4) * 16;
      std::fill_n(block, 16, uint8_t{0});
      for (size_t p = 0; p < kernels::kBlock4 && b * kernels::kBlock4 + p < k(); ++p) {
        const int nibble = row[b * kernels::kBlock4 + p] & 15;
        uint8_t& byte = block[p % 8 * 2 + p / 16];
        byte = static_cast<uint8_t>(byte | (p / 8 % 2 == 0 ? nibble : nibble << 4));
      }
    }
    return;
  }
  for (size_t t = 0; t < taps_; ++t) {
    for (size_t c = 0; c < channels_; c += 8) {
      const size_t group = group_at(j, t, c), here = std::min<size_t>(8, channels_ - c);
      for (size_t i = 0; i < here; ++i, ++row) {
        if (type_ == Type::kInt8) {
          int8_[group * 32 + j % 4 * 8 + i] = static_cast<int8_t>(*row);
        } else if (wide()) {
          int16_[group * 32 + j % 4 * 8 + i] = *row;
        } else {
          int12_[group].set(j % 4, i, *row);
        }
      }
    }
  }
}

void Matrix::integers(size_t j, int16_t* row) const {
  for (size_t t = 0; t < taps_; ++t) {
    for (size_t c = 0; c < channels_; ++c, ++row) {
      if (type_ == Type::kInt4) {
        const size_t p = c % kernels::kBlock4, block = (j / 4 * blocks() + c / kernels::kBlock4) * 4 + j % 4;
        const int byte = int4_[block * 16 + p % 8 * 2 + p / 16],
                  nibble = p / 8 % 2 == 0 ? byte & 15 : byte >> 4;
        *row = static_cast<int16_t>(nibble < 8 ? nibble : nibble - 16);
      } else {
        const size_t group = group_at(j, t, c), at = group * 32 + j % 4 * 8 + c % 8;
        *row = type_ == Type::kInt8 ? int16_t{int8_[at]}
               : wide()             ? int16_[at]
                                    : static_cast<int16_t>(int12_[group].get(j % 4, c % 8));
      }
    }
  }
}

size_t Matrix::packed_row_bytes() const {
  switch (type_) {
    case Type::kInt4: return (k() + 1) / 2;
    case Type::kInt8: return k();
    default: return (k() * 3 + 1) / 2;
  }
}

ptts_status Matrix::put_packed(size_t first_byte, const uint8_t* bytes, size_t count, const char* name) {
  const size_t width = packed_row_bytes();
  while (count > 0) {
    const size_t j = first_byte / width, at = first_byte % width, here = std::min(count, width - at);
    std::copy_n(bytes, here, packed_.data() + at);
    first_byte += here;
    bytes += here;
    count -= here;
    if (at + here < width) continue;
    for (size_t p = 0; p < k(); ++p) {
      int value = 0;
      if (type_ == Type::kInt8) {
        value = packed_[p] < 128 ? packed_[p] : packed_[p] - 256;
      } else if (type_ == Type::kInt4) {
        value = packed_[p / 2] >> p % 2 * 4 & 15;
        value = value < 8 ? value : value - 16;
      } else {  // two in three bytes
        const size_t pair = p / 2 * 3;
        value = p % 2 == 0 ? packed_[pair] | (packed_[pair + 1] & 15) << 8
                           : packed_[pair + 1] >> 4 | packed_[pair + 2] << 4;
        value = value < 2048 ? value : value - 4096;
      }
      if (type_ != Type::kInt4 && value < -weight_max()) {
        return fail(PTTS_ERROR_WEIGHTS, "%s: row %zu: expected %d to %d, found %d", name, j, -weight_max(),
                    weight_max(), value);
      }
      rounded_[p] = static_cast<int16_t>(value);
    }
    put_integers(j, rounded_.data());
    if (j + 1 < n_) continue;
    rounded_.release();
    packed_.release();
  }
  return PTTS_OK;
}

void Matrix::packed_row(size_t j, uint8_t* out) const {
  std::vector<int16_t> row(k() + 1);
  integers(j, row.data());
  std::fill_n(out, packed_row_bytes(), uint8_t{0});
  for (size_t p = 0; p < k(); ++p) {
    if (type_ == Type::kInt8) {
      out[p] = static_cast<uint8_t>(row[p]);
    } else if (type_ == Type::kInt4) {
      out[p / 2] = static_cast<uint8_t>(out[p / 2] | (row[p] & 15) << p % 2 * 4);
    } else if (p % 2 == 0) {
      out[p / 2 * 3] = static_cast<uint8_t>(row[p]);
      out[p / 2 * 3 + 1] = static_cast<uint8_t>(row[p] >> 8 & 15);
    } else {
      out[p / 2 * 3 + 1] = static_cast<uint8_t>(out[p / 2 * 3 + 1] | (row[p] & 15) << 4);
      out[p / 2 * 3 + 2] = static_cast<uint8_t>(row[p] >> 4);
    }
  }
}

// Columns [first, n) of y.
void Matrix::product(size_t first, const kernels::IntegerRows& rows, size_t m, Epilogue epilogue,
                     float* y) const {
  const size_t count = n_ - first, at = first * rows.k;
  const float* scales = scales_.data() + first * blocks();
  y += first;
  if (epilogue.bias != nullptr) epilogue.bias += first;
  if (type_ == Type::kInt4) {
    kernels::gemm_i4(rows, m, int4_.data() + at / 2, scales, count, epilogue, y, n_);
  } else if (type_ == Type::kInt8) {
    kernels::gemm_i8(rows, m, int8_.data() + at, scales, count, epilogue, y, n_);
  } else if (wide()) {
    kernels::gemm_i16(rows, m, int16_.data() + at, scales, count, epilogue, y, n_);
  } else {
    kernels::gemm_i12(rows, m, int12_.data() + at / 32, scales, count, epilogue, y, n_);
  }
}

void Matrix::apply(Activation activation, float* x, size_t m, Epilogue epilogue, float* y,
                   Scratch& scratch) const {
  apply_columns(0, activation, x, m, epilogue, y, scratch);
}

void Matrix::apply_from(size_t first, const float* x, size_t m, float* y, Scratch& scratch) const {
  apply_columns(first, Activation::kNone, const_cast<float*>(x), m, {}, y, scratch);
}

void Matrix::apply_columns(size_t first, Activation activation, float* x, size_t m, Epilogue epilogue,
                           float* y, Scratch& scratch) const {
  if (integer()) {
    kernels::quantize_rows_i16(activation, x, channels_, m, channels_, k8_, input_limit(1),
                               scratch.row.data(), scratch.rows.data(), scratch.scales.data());
    const size_t length = segment(1);
    product(first, {scratch.rows.data(), scratch.scales.data(), k8_, k8_, length, length, 1}, m, epilogue, y);
    return;
  }
  switch (activation) {
    case Activation::kNone: break;
    case Activation::kElu: kernels::elu(x, m * k(), x); break;
    case Activation::kGelu: kernels::gelu_tanh(x, m * k(), x); break;
    case Activation::kSilu: kernels::silu(x, m * k(), x); break;
  }
  if (epilogue.bias != nullptr) epilogue.bias += first;
  kernels::gemm_f32(x, k(), m, panels_.data() + first * k(), n_ - first, k(), epilogue, y + first, n_);
}

void Matrix::apply_windows(const float* x, size_t ldx, size_t m, Epilogue epilogue, float* y) const {
  kernels::gemm_f32(x, ldx, m, panels_.data(), n_, k(), epilogue, y, n_);
}

void Matrix::apply_windows(const int16_t* values, float scale, size_t stride, size_t spacing, size_t m,
                           Epilogue epilogue, int16_t* room, float* y) const {
  if (grouped()) {
    kernels::gemm_i16_taps(values, scale, k8_, taps_, m, int16_.data(), scales_.data(), n_, epilogue, room, y,
                           n_);
    return;
  }
  const size_t length = segment(spacing);
  const kernels::IntegerRows rows = {
      values, &scale, taps_ * k8_, stride * k8_, length, spacing == 1 ? length : spacing * k8_, 0};
  product(0, rows, m, epilogue, y);
}

float Matrix::block_scale(Activation activation, float low, float high, size_t spacing) const {
  if (activation == Activation::kElu) kernels::elu(&low, 1, &low);  // it never falls
  return std::max(high, -low) / static_cast<float>(input_limit(spacing));
}

void Matrix::quantize_block(Activation activation, const float* x, size_t m, float scale,
                            int16_t* values) const {
  // Below 1e-30 its inverse would not be a number, and nothing is lost.
  kernels::quantize_i16(activation, x, m, channels_, k8_, scale > 1e-30f ? 1 / scale : 0, values);
}

ptts_status Matrix::reserve(size_t m, Scratch& scratch) const {
  if (!integer()) return PTTS_OK;
  PTTS_TRY(scratch.rows.grow(m * k8_, "quantised inputs"));
  PTTS_TRY(scratch.scales.grow(m, "scales of quantised inputs"));
  return scratch.row.grow(channels_, "quantised inputs");
}

}  // namespace ptts
