// Streaming convolutions as matrix products.
#include "conv.h"

#include <algorithm>

namespace ptts {

using kernels::Activation;
using kernels::Epilogue;

namespace {

const float* data_or_null(const Buffer<float>& bias) { return bias.empty() ? nullptr : bias.data(); }

}  // namespace

ptts_status Window::create(const Matrix& weight, size_t context, size_t block, size_t channels,
                           Scratch& scratch) {
  first = true;
  if (!weight.integer()) return rows.allocate((context + block) * channels, "convolution state");
  PTTS_TRY(values.allocate((context + block) * weight.k8(), "convolution state"));
  PTTS_TRY(scales.allocate(context + block, "convolution state"));
  return scratch.row.grow(channels, "convolution state");
}

void Window::clear(size_t context, size_t channels) {
  first = true;
  if (!rows.empty()) std::fill_n(rows.data(), context * channels, 0.0f);
  if (!scales.empty()) {
    std::fill_n(values.data(), values.size() / scales.size() * context, int16_t{0});
    std::fill_n(scales.data(), context, 0.0f);
  }
}

void Window::enter(const Matrix& weight, Activation activation, const float* x, size_t context, size_t block,
                   size_t channels, Scratch& scratch) {
  if (weight.integer()) {
    weight.quantize(activation, x, block, values.data() + context * weight.k8(), scales.data() + context,
                    scratch);
    return;
  }
  float* behind = rows.data() + context * channels;
  if (activation == Activation::kElu) {
    kernels::elu(x, block * channels, behind);
  } else {
    std::copy_n(x, block * channels, behind);
  }
}

void Window::keep(const Matrix& weight, size_t context, size_t block, size_t channels) {
  // Forward copies: the target lies before the source.
  if (weight.integer()) {
    std::copy_n(values.data() + block * weight.k8(), context * weight.k8(), values.data());
    std::copy_n(scales.data() + block, context, scales.data());
  } else {
    std::copy_n(rows.data() + block * channels, context * channels, rows.data());
  }
}

ptts_status Conv1d::create_state(size_t rows, State* state, Scratch& scratch) const {
  if (dilation > 1) PTTS_TRY(state->gathered.allocate(kernel * in, "convolution state"));
  return state->create(weight, context(), rows, in, scratch);
}

void Conv1d::reset(State& state) const { state.clear(context(), in); }

void Conv1d::run(State& state, Activation activation, const float* x, size_t rows, bool accumulate, float* y,
                 Scratch& scratch) const {
  const size_t before = context(), steps = rows / stride;
  const Epilogue epilogue{data_or_null(bias), accumulate};
  state.enter(weight, activation, x, before, rows, in, scratch);
  if (replicate && state.first) {  // the row behind the context, in every row of it
    for (size_t r = 0; r < before; ++r) {
      if (weight.integer()) {
        std::copy_n(state.values.data() + before * weight.k8(), weight.k8(),
                    state.values.data() + r * weight.k8());
        state.scales[r] = state.scales[before];
      } else {
        std::copy_n(state.rows.data() + before * in, in, state.rows.data() + r * in);
      }
    }
  }
  state.first = false;
  if (weight.integer()) {
    weight.apply_windows(state.values.data(), state.scales.data(), dilation, steps, epilogue, y);
  } else if (dilation == 1) {
    weight.apply_windows(state.rows.data(), stride * in, steps, epilogue, y);
  } else {
    for (size_t t = 0; t < steps; ++t) {
      for (size_t tap = 0; tap < kernel; ++tap) {
        std::copy_n(state.rows.data() + (t * stride + tap * dilation) * in, in,
                    state.gathered.data() + tap * in);
      }
      weight.apply_windows(state.gathered.data(), kernel * in, 1, epilogue, y + t * out);
    }
  }
  state.keep(weight, before, rows, in);
}

ptts_status ConvTranspose1d::create_state(size_t rows, State* state, Scratch& scratch) const {
  return state->create(weight, 1, rows, in, scratch);
}

void ConvTranspose1d::reset(State& state) const { state.clear(1, in); }

void ConvTranspose1d::run(State& state, Activation activation, const float* x, size_t rows, float* y,
                          Scratch& scratch) const {
  const Epilogue epilogue{data_or_null(bias), false};
  state.enter(weight, activation, x, 1, rows, in, scratch);
  if (weight.integer()) {
    weight.apply_windows(state.values.data(), state.scales.data(), 1, rows, epilogue, y);
  } else {
    weight.apply_windows(state.rows.data(), in, rows, epilogue, y);
  }
  state.keep(weight, 1, rows, in);
}

}  // namespace ptts
