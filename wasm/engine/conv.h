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

class Conv1d {
 public:
  size_t in = 0, out = 0, kernel = 1, stride = 1, dilation = 1;
  bool replicate = false;
  Matrix weight;
  Buffer<float> bias;  // empty: none

  size_t context() const { return (kernel - 1) * dilation + 1 - stride; }

  // The window: `context` rows kept from before, then the rows of this block.
  struct State {
    Buffer<float> window, gathered;
    size_t rows = 0;  // most rows of a block
    bool first = true;
  };
  [[nodiscard]] ptts_status create_state(size_t rows, State* state) const;
  void reset(State& state) const;

  // Where the caller writes the rows of the next block.
  float* input(State& state) const { return state.window.data() + context() * in; }
  // Consumes `rows` (a multiple of the stride) rows written there; y: [rows / stride][out].
  void run(State& state, size_t rows, float* y, Scratch& scratch) const;
};

class ConvTranspose1d {
 public:
  size_t in = 0, out = 0, stride = 1;
  Matrix weight;       // [stride * out][2 * in]
  Buffer<float> bias;  // repeated for every output row of a step: [stride * out]

  struct State {
    Buffer<float> window;  // one row from before, then the block
  };
  [[nodiscard]] ptts_status create_state(size_t rows, State* state) const;
  void reset(State& state) const;
  float* input(State& state) const { return state.window.data() + in; }
  void run(State& state, size_t rows, float* y, Scratch& scratch) const;  // y: [rows * stride][out]
};

}  // namespace ptts

#endif
