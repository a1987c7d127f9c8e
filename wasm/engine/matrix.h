// A weight matrix as the kernels want it: packed while it streams in, applied to rows of activations.
//
// y[m][n] = x[m][k] W^T, where k = taps * channels: a plain matrix has one tap; a convolution has several, and its input
// rows overlap (row i reads the input rows i, i + spacing, ...).
#ifndef PTTS_MATRIX_H_
#define PTTS_MATRIX_H_

#include <algorithm>

#include "buffer.h"
#include "kernels.h"

namespace ptts {

// Room that products need beside their inputs and outputs; shared by all layers, grown when a model is prepared.
struct Scratch {
  Buffer<int16_t> rows;  // quantised inputs
  Buffer<float> scales;  // one per row
  Buffer<float> row;     // one input row after its activation
  // Of one attention head:
  Buffer<float> scores, query_scales;
  Buffer<int16_t> weights, queries;
};

struct MatrixShape {
  size_t n, taps, channels;  // k = taps * channels
  bool windows = false;      // of a convolution: applied to windows of a block of rows
  bool dense = false;        // a window at every row, whose taps are rows that follow each other
};

class Matrix {
 public:
  enum class Type {
    kF32,
    kInt8,   // one scale per row of the matrix
    kInt12,  // the same with 12 bits, where 8 are too coarse
    kInt4,   // one scale (a half) for every 32 weights of a row; one tap
  };
  // How elements come: a row after the other, in any other order, or packed.
  enum class Order { kRows, kAny, kPacked };

  // Its sizes, without memory ...
  void lay_out(const MatrixShape& shape, Type type);
  // ... and with.
  [[nodiscard]] ptts_status create(const MatrixShape& shape, Type type, Order order, const char* name);

  // Row j, columns [first, first + count), in f32.  Of an integer matrix every element comes once, by the order named.
  [[nodiscard]] ptts_status put(size_t j, size_t first, const float* values, size_t count);
  void put_element(size_t j, size_t p, float value);

  float element(size_t j, size_t p) const;  // of an f32 matrix
  void row(size_t j, float* values) const;  // of 8 bits

  // Integer weights as files hold them (models/FORMAT.md): rows of packed_row_bytes(), and scale_count() scales,
  // [n] or [n][blocks].
  size_t packed_row_bytes() const;
  [[nodiscard]] ptts_status put_packed(size_t first_byte, const uint8_t* bytes, size_t count,
                                       const char* name);
  void packed_row(size_t j, uint8_t* out) const;
  size_t blocks() const { return type_ == Type::kInt4 ? k8_ / kernels::kBlock4 : 1; }
  size_t scale_count() const { return n_ * blocks(); }
  void put_scale(size_t i, float scale) { scales_[scale_at(i)] = scale; }
  float scale(size_t i) const { return scales_[scale_at(i)]; }

  // y[m][n] = activation(x)[m][k] W^T, for a matrix of one tap.  An activation may overwrite x.
  void apply(kernels::Activation activation, float* x, size_t m, kernels::Epilogue epilogue, float* y,
             Scratch& scratch) const;
  void apply(const float* x, size_t m, kernels::Epilogue epilogue, float* y, Scratch& scratch) const {
    apply(kernels::Activation::kNone, const_cast<float*>(x), m, epilogue, y, scratch);
  }
  // Columns [first, n) of y alone; `first` is a multiple of kPanel.
  void apply_from(size_t first, const float* x, size_t m, float* y, Scratch& scratch) const;
  // The same over windows: f32 rows `ldx` apart that overlap ...
  void apply_windows(const float* x, size_t ldx, size_t m, kernels::Epilogue epilogue, float* y) const;
  // ... or quantised rows of k8() (see quantize_block), of which output row i reads those from i * stride on, each `spacing`th.
  // `room`: as many values as room() says.
  void apply_windows(const int16_t* values, float scale, size_t stride, size_t spacing, size_t m,
                     kernels::Epilogue epilogue, int16_t* room, float* y) const;

  // One scale for rows of `channels` floats in this range (of which 0 is part), and the rows in integers: as windows with
  // `spacing` read them.
  float block_scale(kernels::Activation activation, float low, float high, size_t spacing) const;
  void quantize_block(kernels::Activation activation, const float* x, size_t m, float scale,
                      int16_t* values) const;

  // Makes `scratch` large enough for products of up to m rows.
  [[nodiscard]] ptts_status reserve(size_t m, Scratch& scratch) const;

  Type type() const { return type_; }
  bool integer() const { return type_ != Type::kF32; }
  size_t n() const { return n_; }
  size_t k() const { return taps_ * channels_; }
  size_t k8() const { return k8_; }  // channels, rounded up to 8 (4-bit weights: to 32)
  size_t panel_bytes() const;        // of its weights
  // What apply_windows wants beside the quantised rows of a window: int16 values.
  size_t room(size_t rows) const { return grouped() ? rows * k8_ : 0; }
  size_t bytes() const {
    return panels_.bytes() + int4_.bytes() + int8_.bytes() + int12_.bytes() + int16_.bytes() +
           scales_.bytes();
  }

 private:
  size_t panel_values() const { return (n_ + 3) / 4 * 4 * taps_ * k8_; }  // integers
  // 12-bit weights that meet many rows lie in 16 bits: to unpack them for every block of rows took 6 % of the codec.
  bool wide() const { return windows_ && type_ == Type::kInt12; }
  int32_t weight_max() const { return type_ == Type::kInt8 ? kernels::kWeightMax8 : kernels::kWeightMax12; }
  // Output rows that follow each other share products: see kernels::gemm_i16_taps.  Three narrow taps are loops too short for
  // it: the codec of 2M took 3 % longer in V8.
  bool grouped() const {
    const bool taps = taps_ == 2 || (taps_ == 3 && k8_ >= 64);
    return dense_ && taps && type_ == Type::kInt12 && n_ % 4 == 0 && taps_ * k8_ <= kernels::kSegment12;
  }
  // Integers of a row whose sums of products are exact, and what they may be for it.  Segments are equally far apart: a tap
  // that does not touch the next one is never cut.
  size_t segment(size_t spacing) const {
    if (spacing > 1) return k8_;
    return type_ == Type::kInt12 ? std::min(taps_ * k8_, kernels::kSegment12) : taps_ * k8_;
  }
  int32_t input_limit(size_t spacing) const {
    const int32_t limit = kernels::input_limit(segment(spacing), weight_max());
    if (type_ == Type::kInt4) return kernels::kInputMax4;
    return grouped() ? std::min(limit, kernels::group_max(taps_)) : limit;
  }
  size_t scale_at(size_t i) const {
    const size_t j = i / blocks(), b = i % blocks();
    return type_ == Type::kInt4 ? (j / 4 * blocks() + b) * 4 + j % 4 : i;
  }
  // The group of eight integers that holds row j, tap t, channel c (of 8 and 12 bits).
  size_t group_at(size_t j, size_t t, size_t c) const { return (j / 4 * taps_ + t) * k8_ / 8 + c / 8; }
  void staged(size_t j, size_t count);
  void quantize_row(size_t j, const float* row);
  void quantize_block4(const float* values, size_t count, int16_t* integers, float* scale) const;
  // The integers of row j, k of them, taps one behind the other.
  void put_integers(size_t j, const int16_t* row);
  void integers(size_t j, int16_t* row) const;
  void apply_columns(size_t first, kernels::Activation activation, float* x, size_t m,
                     kernels::Epilogue epilogue, float* y, Scratch& scratch) const;
  void product(size_t first, const kernels::IntegerRows& rows, size_t m, kernels::Epilogue epilogue,
               float* y) const;

  Type type_ = Type::kF32;
  bool windows_ = false, dense_ = false;
  size_t n_ = 0, taps_ = 1, channels_ = 0, k8_ = 0;
  Buffer<float> panels_;
  Buffer<uint8_t> int4_;
  Buffer<int8_t> int8_;
  Buffer<kernels::Group12> int12_;
  Buffer<int16_t> int16_;
  Buffer<float> scales_;
  Buffer<float> staging_;    // of an integer matrix that is streaming in: one row, or all
  Buffer<int16_t> rounded_;  // a row of it in integers
  Buffer<uint8_t> packed_;   // a row of it as files hold it
  size_t staged_ = 0;        // elements that have come
};

}  // namespace ptts

#endif
