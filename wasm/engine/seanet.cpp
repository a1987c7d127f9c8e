// SEANet, layer by layer over blocks of a stream.
#include "seanet.h"

#include <algorithm>
#include <string>

#include "kernels.h"
#include "probe.h"

namespace ptts {

using kernels::Activation;

namespace {

Seanet::Layer conv_layer(size_t in, size_t out, size_t kernel, size_t stride, bool replicate) {
  Seanet::Layer layer{Seanet::Kind::kConv, {}, {}, {}};
  layer.conv.in = in;
  layer.conv.out = out;
  layer.conv.kernel = kernel;
  layer.conv.stride = stride;
  layer.conv.replicate = replicate;
  return layer;
}

Seanet::Layer residual_layer(const SeanetConfig& config, size_t width, size_t index) {
  Seanet::Layer layer =
      conv_layer(width, width / config.compress, config.residual_kernel, 1, config.replicate);
  layer.kind = Seanet::Kind::kResidual;
  for (size_t i = 0; i < index; ++i) layer.conv.dilation *= config.dilation_base;
  layer.conv2.in = width / config.compress;
  layer.conv2.out = width;
  layer.conv2.replicate = config.replicate;
  return layer;
}

size_t width_of(const Seanet::Layer& layer) {
  switch (layer.kind) {
    case Seanet::Kind::kConv: return layer.conv.out;
    case Seanet::Kind::kConvTranspose: return layer.convtr.out;
    default: return layer.conv2.out;
  }
}

// Activations of the widest layer of a piece: 128 KB of floats, which leaves room for the rest in a cache of 512 KB.
constexpr size_t kPieceFloats = 32 * 1024;

bool transposed(const Seanet::Layer& layer) { return layer.kind == Seanet::Kind::kConvTranspose; }

// Their number if there is none.
size_t first_transposed(const std::vector<Seanet::Layer>& layers) {
  return static_cast<size_t>(std::find_if(layers.begin(), layers.end(), transposed) - layers.begin());
}
size_t last_transposed(const std::vector<Seanet::Layer>& layers) {
  const auto last = std::find_if(layers.rbegin(), layers.rend(), transposed);
  return last == layers.rend() ? layers.size() : static_cast<size_t>(layers.rend() - last) - 1;
}

}  // namespace

void Seanet::build(const SeanetConfig& c, bool decoder) {
  layers.clear();
  const auto elu = [&] { layers.push_back({Kind::kElu, {}, {}, {}}); };
  const auto residuals = [&](size_t width) {
    for (size_t j = 0; j < c.residual_layers; ++j) layers.push_back(residual_layer(c, width, j));
  };
  if (decoder) {
    size_t width = c.filters << c.ratios.size();
    layers.push_back(conv_layer(c.dimension, width, c.kernel, 1, c.replicate));
    for (size_t ratio : c.ratios) {
      elu();
      Layer layer{Kind::kConvTranspose, {}, {}, {}};
      layer.convtr.in = width;
      layer.convtr.out = width / 2;
      layer.convtr.stride = ratio;
      layers.push_back(std::move(layer));
      width /= 2;
      residuals(width);
    }
    elu();
    layers.push_back(conv_layer(width, 1, c.last_kernel, 1, c.replicate));
  } else {
    size_t width = c.filters;
    layers.push_back(conv_layer(1, width, c.kernel, 1, c.replicate));
    for (size_t i = c.ratios.size(); i-- > 0;) {
      residuals(width);
      elu();
      layers.push_back(conv_layer(width, 2 * width, 2 * c.ratios[i], c.ratios[i], c.replicate));
      width *= 2;
    }
    elu();
    layers.push_back(conv_layer(width, c.dimension, c.last_kernel, 1, c.replicate));
  }
}

ptts_status Seanet::create_state(size_t rows, size_t blocks, State* state) const {
  state->layers.clear();
  state->layers.resize(layers.size());
  size_t width = input_width();
  state->split = last_transposed(layers);
  state->together = blocks > 1 ? std::min(first_transposed(layers) + 1, state->split) : 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    State::PerLayer& s = state->layers[i];
    if (i == state->split) {
      size_t pieces = 1;
      const auto large = [&] {
        return rows / pieces * layer.convtr.stride * layer.convtr.out > kPieceFloats;
      };
      while (pieces < rows && (rows % pieces != 0 || large())) ++pieces;
      state->piece = rows = rows / pieces;
    }
    switch (layer.kind) {
      case Kind::kConv:
        PTTS_TRY(layer.conv.create_state(rows, &s.conv, &state->scratch));
        rows /= layer.conv.stride;
        break;
      case Kind::kConvTranspose:
        PTTS_TRY(layer.convtr.create_state(rows, &s.convtr, &state->scratch));
        rows *= layer.convtr.stride;
        break;
      case Kind::kResidual:
        PTTS_TRY(layer.conv.create_state(rows, &s.conv, &state->scratch));
        PTTS_TRY(layer.conv2.create_state(rows, &s.conv2, &state->scratch));
        PTTS_TRY(state->inner.grow(rows * layer.conv.out, "codec activations"));
        break;
      case Kind::kElu: break;
    }
    if (layer.kind != Kind::kElu) width = width_of(layer);
    // An ELU belongs to the layer behind it, a residual block writes over its input (see run).
    if (layer.kind == Kind::kConv || layer.kind == Kind::kConvTranspose)
      PTTS_TRY(s.out.allocate((i < state->together ? blocks : 1) * rows * width, "codec activations"));
  }
  return PTTS_OK;
}

void Seanet::reset(State& state) const {
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    State::PerLayer& s = state.layers[i];
    if (layer.kind == Kind::kConv || layer.kind == Kind::kResidual) layer.conv.reset(s.conv);
    if (layer.kind == Kind::kResidual) layer.conv2.reset(s.conv2);
    if (layer.kind == Kind::kConvTranspose) layer.convtr.reset(s.convtr);
  }
}

size_t Seanet::width_before(size_t layer) const {
  while (layer-- > 0) {
    if (layers[layer].kind != Kind::kElu) return width_of(layers[layer]);
  }
  return input_width();
}

float* Seanet::pass(State& state, size_t begin, size_t end, float* x, size_t* rows, size_t place,
                    const char* probe, bool append) const {
  size_t width = width_before(begin);
  for (size_t i = begin; i < end; ++i) {
    const Layer& layer = layers[i];
    State::PerLayer& s = state.layers[i];
    const Activation before =
        i > 0 && layers[i - 1].kind == Kind::kElu ? Activation::kElu : Activation::kNone;
    const size_t input_rows = *rows;
    float* result =
        x;  // of an ELU, and of a residual block, which is in place on the output of the layer before
    switch (layer.kind) {
      case Kind::kConv:
        *rows /= layer.conv.stride;
        result = s.out.data() + place * *rows * layer.conv.out;
        layer.conv.run(s.conv, before, x, input_rows, false, result, state.scratch);
        break;
      case Kind::kConvTranspose:
        *rows *= layer.convtr.stride;
        result = s.out.data() + place * *rows * layer.convtr.out;
        layer.convtr.run(s.convtr, before, x, input_rows, result, state.scratch);
        break;
      case Kind::kResidual:
        layer.conv.run(s.conv, Activation::kElu, x, *rows, false, state.inner.data(), state.scratch);
        layer.conv2.run(s.conv2, Activation::kElu, state.inner.data(), *rows, true, result, state.scratch);
        break;
      case Kind::kElu: break;
    }
    if (layer.kind != Kind::kElu) width = width_of(layer);
    x = result;
    if (probe != nullptr && probe::on) {
      const std::string name = probe + std::to_string(i);
      std::vector<float> shown(x, x + *rows * width);
      if (layer.kind == Kind::kElu) kernels::elu(x, *rows * width, shown.data());
      probe::record_rows(name.c_str(), shown.data(), *rows, width, append);
    }
  }
  return x;
}

void Seanet::run(State& state, const float* input, size_t rows, size_t blocks, float* out,
                 const char* probe) const {
  // Written to by residual blocks only, and the first layer is none.
  float* x = const_cast<float*>(input);
  for (size_t i = 0; i < state.together; ++i) {
    const size_t size = rows * width_before(i), before = rows;
    float* first = x;
    for (size_t b = 0; b < blocks; ++b) {
      rows = before;
      float* y = pass(state, i, i + 1, x + b * size, &rows, b, probe, b > 0);
      if (b == 0) first = y;
    }
    x = first;
  }
  const size_t size = rows * width_before(state.together), width = width_before(state.split);
  for (size_t b = 0; b < blocks; ++b) {
    size_t here = rows;
    float* y = pass(state, state.together, state.split, x + b * size, &here, 0, probe, b > 0);
    if (state.split == layers.size()) {
      out = std::copy_n(y, here * output_width(), out);
      continue;
    }
    for (size_t at = 0; at < here; at += state.piece) {
      size_t some = std::min(state.piece, here - at);
      const float* z =
          pass(state, state.split, layers.size(), y + at * width, &some, 0, probe, b > 0 || at > 0);
      out = std::copy_n(z, some * output_width(), out);
    }
  }
}

}  // namespace ptts
