// A weight matrix [n, k] as the kernels want it: packed while it streams in, applied to rows of activations.
#ifndef PTTS_MATRIX_H_
#define PTTS_MATRIX_H_

#include "buffer.h"

namespace ptts {

// Room that products need beside their inputs and outputs; shared by all layers, grown when a model is prepared.
struct Scratch {
  Buffer<int16_t> rows;  // quantised inputs
  Buffer<float> scales;  // one per row
  Buffer<float> scores;  // of one attention head
};

class Matrix {
 public:
  // `quantized`: int8 with one scale per row of the matrix, else f32.
  [[nodiscard]] ptts_status create(size_t n, size_t k, bool quantized, const char* name);

  // Row j, columns [first, first + count), as f32.  A quantised matrix wants every row whole and in order.
  [[nodiscard]] ptts_status put(size_t j, size_t first, const float* values, size_t count);
  // One element of an f32 matrix.
  void put_element(size_t j, size_t p, float value);

  // y[m][n] = x[m][k] * W^T; rows of x are `ldx` apart, rows of y `ldy`.
  void apply(const float* x, size_t ldx, size_t m, float* y, size_t ldy, Scratch& scratch) const;
  void apply(const float* x, size_t m, float* y, Scratch& scratch) const { apply(x, k_, m, y, n_, scratch); }

  // Makes `scratch` large enough for products of up to m rows.
  [[nodiscard]] ptts_status reserve(size_t m, Scratch& scratch) const;

  size_t n() const { return n_; }
  size_t k() const { return k_; }
  size_t bytes() const { return panels_.bytes() + quantized_.bytes() + scales_.bytes(); }

 private:
  int32_t input_limit() const;
  void quantize_row(size_t j);

  size_t n_ = 0, k_ = 0, k8_ = 0;
  Buffer<float> panels_;      // f32
  Buffer<int8_t> quantized_;  // int8
  Buffer<float> scales_;
  Buffer<float> row_;  // the row that is streaming in
};

}  // namespace ptts

#endif
