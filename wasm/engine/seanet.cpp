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

size_t last_transposed(const std::vector<Seanet::Layer>& layers) {
  for (size_t i = layers.size(); i-- > 0;) {
    if (layers[i].kind == Seanet::Kind::kConvTranspose) return i;
  }
  return layers.size();
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

ptts_status Seanet::create_state(size_t rows, State* state) const {
  state->layers.clear();
  state->layers.resize(layers.size());
  size_t width = input_width();
  state->split = layers.size();
  size_t pieces_of_block = 1;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    State::PerLayer& s = state->layers[i];
    if (i == last_transposed(layers)) {
      size_t pieces = 1;
      const auto large = [&] {
        return rows / pieces * layer.convtr.stride * layer.convtr.out > kPieceFloats;
      };
      while (pieces < rows && (rows % pieces != 0 || large())) ++pieces;
      state->split = i;
      state->piece = rows = rows / pieces;
      pieces_of_block = pieces;
    }
    switch (layer.kind) {
      case Kind::kConv:
        PTTS_TRY(layer.conv.create_state(rows, &s.conv));
        rows /= layer.conv.stride;
        break;
      case Kind::kConvTranspose:
        PTTS_TRY(layer.convtr.create_state(rows, &s.convtr));
        rows *= layer.convtr.stride;
        break;
      case Kind::kResidual:
        PTTS_TRY(layer.conv.create_state(rows, &s.conv));
        PTTS_TRY(layer.conv2.create_state(rows, &s.conv2));
        PTTS_TRY(s.inner.allocate(rows * layer.conv.out, "codec activations"));
        break;
      case Kind::kElu: break;
    }
    if (layer.kind != Kind::kElu) width = width_of(layer);
    // An ELU belongs to the layer behind it, a residual block writes over its input (see run).
    if (layer.kind == Kind::kConv || layer.kind == Kind::kConvTranspose)
      PTTS_TRY(s.out.allocate(rows * width, "codec activations"));
  }
  if (state->split == layers.size()) return PTTS_OK;
  return state->joined.allocate(pieces_of_block * rows * output_width(), "codec activations");
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

float* Seanet::pass(State& state, size_t begin, size_t end, float* x, size_t* rows, const char* probe,
                    bool append) const {
  size_t width = width_before(begin);
  for (size_t i = begin; i < end; ++i) {
    const Layer& layer = layers[i];
    State::PerLayer& s = state.layers[i];
    const Activation before =
        i > 0 && layers[i - 1].kind == Kind::kElu ? Activation::kElu : Activation::kNone;
    float* result = s.out.data();
    switch (layer.kind) {
      case Kind::kConv:
        layer.conv.run(s.conv, before, x, *rows, false, result);
        *rows /= layer.conv.stride;
        break;
      case Kind::kConvTranspose:
        layer.convtr.run(s.convtr, before, x, *rows, result);
        *rows *= layer.convtr.stride;
        break;
      case Kind::kResidual:  // in place, on the output of the layer before
        layer.conv.run(s.conv, Activation::kElu, x, *rows, false, s.inner.data());
        result = x;
        layer.conv2.run(s.conv2, Activation::kElu, s.inner.data(), *rows, true, result);
        break;
      case Kind::kElu: result = x; break;
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

const float* Seanet::run(State& state, const float* input, size_t rows, const char* probe) const {
  // Written to by residual blocks only, and the first layer is none.
  float* x = pass(state, 0, state.split, const_cast<float*>(input), &rows, probe, false);
  if (state.split == layers.size()) return x;
  const size_t width = width_before(state.split);
  float* joined = state.joined.data();
  for (size_t at = 0; at < rows; at += state.piece) {
    size_t here = std::min(state.piece, rows - at);
    const float* y = pass(state, state.split, layers.size(), x + at * width, &here, probe, at > 0);
    joined = std::copy_n(y, here * output_width(), joined);
  }
  return state.joined.data();
}

}  // namespace ptts
