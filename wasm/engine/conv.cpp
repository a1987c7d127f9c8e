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
                           ConvScratch* scratch) {
  first = true;
  if (!weight.integer()) return rows.allocate((context + block) * channels, "convolution state");
  scratch->integers = true;
  PTTS_TRY(rows.allocate(context * channels, "convolution state"));
  PTTS_TRY(scratch->room.grow(weight.room(block), "convolution state"));
  return scratch->values.grow((context + block) * weight.k8(), "convolution state");
}

void Window::clear(size_t context, size_t channels) {
  first = true;
  if (context > 0) std::fill_n(rows.data(), context * channels, 0.0f);
}

void Window::enter(const Matrix& weight, Activation activation, const float* x, size_t context, size_t block,
                   size_t channels, size_t spacing, bool replicate, ConvScratch& scratch) {
  float* behind = rows.data() + context * channels;
  if (!weight.integer() && activation == Activation::kElu) {
    (scratch.integers ? kernels::elu_exp2 : kernels::elu)(x, block * channels, behind);
  } else if (!weight.integer()) {
    std::copy_n(x, block * channels, behind);
  }
  if (replicate && first) {
    const float* row = weight.integer() ? x : behind;
    for (size_t r = 0; r < context; ++r) std::copy_n(row, channels, rows.data() + r * channels);
  }
  first = false;
  if (!weight.integer()) return;
  float low = 0, high = 0, low_before = 0, high_before = 0;
  kernels::range(x, block * channels, &low, &high);
  kernels::range(rows.data(), context * channels, &low_before, &high_before);
  scale = weight.block_scale(activation, std::min(low, low_before), std::max(high, high_before), spacing);
  weight.quantize_block(activation, rows.data(), context, scale, scratch.values.data());
  weight.quantize_block(activation, x, block, scale, scratch.values.data() + context * weight.k8());
}

void Window::keep(const Matrix& weight, const float* x, size_t context, size_t block, size_t channels) {
  // Forward copies: the target lies before the source.
  if (!weight.integer()) {
    std::copy_n(rows.data() + block * channels, context * channels, rows.data());
  } else if (block >= context) {
    std::copy_n(x + (block - context) * channels, context * channels, rows.data());
  } else {
    std::copy_n(rows.data() + block * channels, (context - block) * channels, rows.data());
    std::copy_n(x, block * channels, rows.data() + (context - block) * channels);
  }
}

ptts_status Conv1d::create_state(size_t rows, State* state, ConvScratch* scratch) const {
  if (dilation > 1) PTTS_TRY(state->gathered.allocate(kernel * in, "convolution state"));
  return state->create(weight, context(), rows, in, scratch);
}

void Conv1d::reset(State& state) const { state.clear(context(), in); }

void Conv1d::run(State& state, Activation activation, const float* x, size_t rows, bool accumulate, float* y,
                 ConvScratch& scratch) const {
  const size_t before = context(), steps = rows / stride;
  const Epilogue epilogue{data_or_null(bias), accumulate};
  state.enter(weight, activation, x, before, rows, in, dilation, replicate, scratch);
  if (weight.integer()) {
    weight.apply_windows(scratch.values.data(), state.scale, stride, dilation, steps, epilogue,
                         scratch.room.data(), y);
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
  state.keep(weight, x, before, rows, in);
}

ptts_status ConvTranspose1d::create_state(size_t rows, State* state, ConvScratch* scratch) const {
  return state->create(weight, 1, rows, in, scratch);
}

void ConvTranspose1d::reset(State& state) const { state.clear(1, in); }

void ConvTranspose1d::run(State& state, Activation activation, const float* x, size_t rows, float* y,
                          ConvScratch& scratch) const {
  const Epilogue epilogue{data_or_null(bias), false};
  state.enter(weight, activation, x, 1, rows, in, 1, false, scratch);
  if (weight.integer()) {
    weight.apply_windows(scratch.values.data(), state.scale, 1, 1, rows, epilogue, scratch.room.data(), y);
  } else {
    weight.apply_windows(state.rows.data(), in, rows, epilogue, y);
  }
  state.keep(weight, x, 1, rows, in);
}

}  // namespace ptts
