// Causal convolutions on streams, channels last: rows of channels, one row a time step.
//
// Conv1d: the weight [out, in, kernel] as a matrix [out][kernel * in], so that a product over the window of the
// last `kernel` rows (which lie one behind the other) is the convolution.  Left context: (kernel - 1) * dilation + 1 -
// stride rows of zeros, or of the first row ever seen.
// ConvTranspose1d with kernel 2 s and stride s: the weight [in, out, 2 s] as a matrix [s * out][2 * in] over the rows
// (x[t-1], x[t]), whose product is the s output rows of step t; x[-1] is zero.
#ifndef PTTS_CONV_H_
#define PTTS_CONV_H_

#include "matrix.h"

namespace ptts {

// Room that convolutions have one after the other: what it holds is used up when one has run.
struct ConvScratch {
  Buffer<int16_t> values, room;  // quantised rows, and what products want beside them
  bool integers = false;         // some layer has integer weights
};

// The input rows that a convolution sees: `context` rows kept from before, then those of a block.  Integer weights read them
// quantised with one scale for all, so that a window is one exact sum; a stream must therefore always come in the
// same blocks (the codec takes frames).
struct Window {
  Buffer<float> rows;  // context and block after the activation; with integer weights the context before it
  Buffer<float> gathered;
  float scale = 0;
  bool first = true;

  [[nodiscard]] ptts_status create(const Matrix& weight, size_t context, size_t block, size_t channels,
                                   ConvScratch* scratch);
  void clear(size_t context, size_t channels);
  // Writes a block behind the context, integers into the scratch.  `replicate`: the first block's first row also before it.
  void enter(const Matrix& weight, kernels::Activation activation, const float* x, size_t context,
             size_t block, size_t channels, size_t spacing, bool replicate, ConvScratch& scratch);
  // Keeps the last `context` rows.
  void keep(const Matrix& weight, const float* x, size_t context, size_t block, size_t channels);
};

class Conv1d {
 public:
  size_t in = 0, out = 0, kernel = 1, stride = 1, dilation = 1;
  bool replicate = false;
  Matrix weight;
  Buffer<float> bias;  // empty: none

  size_t context() const { return (kernel - 1) * dilation + 1 - stride; }

  using State = Window;
  // For blocks of up to `rows`; makes `scratch` large enough.
  [[nodiscard]] ptts_status create_state(size_t rows, State* state, ConvScratch* scratch) const;
  void reset(State& state) const;
  // Takes `rows` (a multiple of the stride) rows of x through the activation; y: [rows / stride][out].
  void run(State& state, kernels::Activation activation, const float* x, size_t rows, bool accumulate,
           float* y, ConvScratch& scratch) const;
};

class ConvTranspose1d {
 public:
  size_t in = 0, out = 0, stride = 1;
  Matrix weight;       // [stride * out][2 * in]
  Buffer<float> bias;  // repeated for every output row of a step: [stride * out]

  using State = Window;
  [[nodiscard]] ptts_status create_state(size_t rows, State* state, ConvScratch* scratch) const;
  void reset(State& state) const;
  void run(State& state, kernels::Activation activation, const float* x, size_t rows, float* y,
           ConvScratch& scratch) const;  // y: [rows * stride][out]
};

}  // namespace ptts

#endif
