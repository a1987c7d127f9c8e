// Streaming convolutions as matrix products.
#include "conv.h"

#include <algorithm>

#include "kernels.h"

namespace ptts {

ptts_status Conv1d::create_state(size_t rows, State* state) const {
  state->rows = rows;
  state->first = true;
  PTTS_TRY(state->window.allocate((context() + rows) * in, "convolution state"));
  if (dilation > 1) PTTS_TRY(state->gathered.allocate(kernel * in, "convolution state"));
  return PTTS_OK;
}

void Conv1d::reset(State& state) const {
  state.first = true;
  std::fill_n(state.window.data(), context() * in, 0.0f);
}

void Conv1d::run(State& state, size_t rows, float* y, Scratch& scratch) const {
  float* window = state.window.data();
  const size_t before = context();
  if (replicate && state.first) {
    for (size_t r = 0; r < before; ++r) std::copy_n(input(state), in, window + r * in);
  }
  state.first = false;
  const size_t steps = rows / stride;
  if (dilation == 1) {
    weight.apply(window, stride * in, steps, y, out, scratch);
  } else {
    for (size_t t = 0; t < steps; ++t) {
      for (size_t tap = 0; tap < kernel; ++tap) {
        std::copy_n(window + (t * stride + tap * dilation) * in, in, state.gathered.data() + tap * in);
      }
      weight.apply(state.gathered.data(), 1, y + t * out, scratch);
    }
  }
  if (!bias.empty()) kernels::add_bias(bias.data(), steps, out, y);
  std::copy_n(window + rows * in, before * in, window);  // forward copy: the target lies before the source
}

ptts_status ConvTranspose1d::create_state(size_t rows, State* state) const {
  return state->window.allocate((1 + rows) * in, "convolution state");
}

void ConvTranspose1d::reset(State& state) const { std::fill_n(state.window.data(), in, 0.0f); }

void ConvTranspose1d::run(State& state, size_t rows, float* y, Scratch& scratch) const {
  weight.apply(state.window.data(), in, rows, y, stride * out, scratch);
  kernels::add_bias(bias.data(), rows, stride * out, y);
  std::copy_n(state.window.data() + rows * in, in, state.window.data());
}

}  // namespace ptts
