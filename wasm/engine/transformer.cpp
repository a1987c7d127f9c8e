// The transformer's forward pass.
#include "transformer.h"

#include <algorithm>
#include <cmath>

#include "kernels.h"
#include "maths.h"
#include "probe.h"

namespace ptts {

namespace {

// Turns the pairs of one head.
void rotate(float* x, const float* rotation, size_t pairs) {
  for (size_t i = 0; i < pairs; ++i) {
    const float cosine = rotation[2 * i], sine = rotation[2 * i + 1];
    const float real = x[2 * i], imaginary = x[2 * i + 1];
    x[2 * i] = real * cosine - imaginary * sine;
    x[2 * i + 1] = real * sine + imaginary * cosine;
  }
}

}  // namespace

ptts_status Transformer::prepare() {
  const size_t pairs = config.head_dim() / 2;
  PTTS_TRY(frequencies_.allocate(pairs, "rotation frequencies"));
  // In float, as the reference: -ln(period) * 2 / d is a double, its product with i is rounded, then exp.
  const double step = -log_d(config.max_period) * 2 / static_cast<double>(config.head_dim());
  for (size_t i = 0; i < pairs; ++i) {
    const float exponent = static_cast<float>(i) * static_cast<float>(step);
    frequencies_[i] = static_cast<float>(exp_d(static_cast<double>(exponent)));
  }
  return PTTS_OK;
}

ptts_status Transformer::create_state(size_t capacity, size_t rows, TransformerState* state) const {
  const size_t positions = config.context > 0 ? window(config, rows) : capacity;
  state->capacity = (positions + 3) / 4 * 4;
  state->position = state->cached = 0;
  state->layers.clear();
  state->layers.resize(config.layers);
  for (size_t i = 0; i < config.layers; ++i) {
    PTTS_TRY(state->layers[i].allocate(config, state->capacity, layers[i].in_proj.integer()));
  }
  return PTTS_OK;
}

ptts_status Transformer::grow_state(size_t capacity, TransformerState* state) const {
  if (capacity <= state->capacity) return PTTS_OK;
  capacity = (capacity + 3) / 4 * 4;
  for (KvCache& cache : state->layers) PTTS_TRY(cache.grow(capacity, state->cached));
  state->capacity = capacity;
  return PTTS_OK;
}

ptts_status Transformer::create_workspace(size_t rows, Workspace* workspace) const {
  const TransformerConfig& c = config;
  workspace->rows = rows;
  PTTS_TRY(workspace->normed.allocate(rows * c.d_model, "activations"));
  const size_t wide = std::max(c.attn_dim + 2 * c.kv_dim() + c.attn_dim, c.feed_forward);
  PTTS_TRY(workspace->wide.allocate(rows * wide, "activations"));
  PTTS_TRY(workspace->rotation.allocate(rows * c.head_dim(), "activations"));
  for (const TransformerLayer& layer : layers) {
    for (const Matrix* m : {&layer.in_proj, &layer.out_proj, &layer.linear1, &layer.linear2}) {
      PTTS_TRY(m->reserve(rows, workspace->scratch));
    }
  }
  return PTTS_OK;
}

void Transformer::project(size_t l, size_t each, Streams streams, Workspace& w, bool queries) const {
  const size_t d = config.head_dim(), kv_dim = config.kv_dim(), width = config.attn_dim + 2 * kv_dim;
  const size_t first = queries ? 0 : config.attn_dim / kernels::kPanel * kernels::kPanel;
  const size_t rows = each * streams.size();
  layers[l].in_proj.apply_from(first, w.normed.data(), rows, w.wide.data(), w.scratch);
  for (size_t r = 0; r < rows; ++r) {
    float* q = w.wide.data() + r * width;
    const float* rotation = w.rotation.data() + r * d;
    for (size_t h = queries ? 0 : config.heads; h < config.heads + config.kv_heads; ++h) {
      rotate(q + h * d, rotation, d / 2);
    }
  }
  const float* k = w.wide.data() + config.attn_dim;
  for (TransformerState* state : streams) {
    state->layers[l].put(state->cached, each, k, k + kv_dim, width);
    k += each * width;
  }
}

void Transformer::attend(size_t l, size_t each, Streams streams, Workspace& w) const {
  const size_t d = config.head_dim(), width = config.attn_dim + 2 * config.kv_dim();
  const size_t group = config.heads / config.kv_heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  const float* q = w.wide.data();
  float* out = w.wide.data() + each * streams.size() * width;
  for (const TransformerState* state : streams) {
    for (size_t h = 0; h < config.heads; ++h) {
      state->layers[l].attend(h / group, q + h * d, width, each, state->cached + 1, config.context, scale,
                              w.scratch, out + h * d, config.attn_dim);
    }
    q += each * width;
    out += each * config.attn_dim;
  }
}

void Transformer::run(float* x, size_t each, Streams streams, Workspace& w, bool probe_layers,
                      bool cache_only) const {
  const size_t n = config.d_model, d = config.head_dim(), rows = each * streams.size();
  float* rotation = w.rotation.data();
  for (TransformerState* state : streams) {
    if (config.context > 0 && state->cached + each > state->capacity) {
      const size_t keep = std::min(state->cached, config.context - 1), drop = (state->cached - keep) / 4 * 4;
      for (KvCache& cache : state->layers) cache.drop(drop, state->cached);
      state->cached -= drop;
    }
    for (size_t r = 0; r < each; ++r, rotation += d) {
      const float position = static_cast<float>(state->position + r);
      for (size_t i = 0; i < d / 2; ++i) {
        const float angle = position * frequencies_[i];  // rounded to float, as in the reference
        const SinCos turn = sincos_d(static_cast<double>(angle));
        rotation[2 * i] = static_cast<float>(turn.cos);
        rotation[2 * i + 1] = static_cast<float>(turn.sin);
      }
    }
  }
  float* attended = w.wide.data() + rows * (config.attn_dim + 2 * config.kv_dim());
  for (size_t l = 0; l < layers.size(); ++l) {
    const TransformerLayer& layer = layers[l];
    // x += scale * (input W^T)
    const auto residual = [&](const Matrix& weight, kernels::Activation activation, float* input,
                              const Buffer<float>& layer_scale) {
      if (layer_scale.empty()) {
        weight.apply(activation, input, rows, {nullptr, true}, x, w.scratch);
      } else {
        weight.apply(activation, input, rows, {}, w.normed.data(), w.scratch);
        kernels::add_scaled(w.normed.data(), layer_scale.data(), rows, n, x);
      }
    };
    kernels::layer_norm(x, rows, n, layer.norm1_weight.data(), layer.norm1_bias.data(), 1e-5f,
                        w.normed.data());
    const bool enough = cache_only && l + 1 == layers.size();
    project(l, each, streams, w, !enough);
    if (enough) break;
    attend(l, each, streams, w);
    residual(layer.out_proj, kernels::Activation::kNone, attended, layer.scale1);
    kernels::layer_norm(x, rows, n, layer.norm2_weight.data(), layer.norm2_bias.data(), 1e-5f,
                        w.normed.data());
    layer.linear1.apply(w.normed.data(), rows, {}, w.wide.data(), w.scratch);
    residual(layer.linear2, kernels::Activation::kGelu, w.wide.data(), layer.scale2);
    if (probe_layers && probe::on) {
      probe::record(("layer." + std::to_string(l)).c_str(), x + (rows - 1) * n, {n});
    }
  }
  for (TransformerState* state : streams) {
    state->position += each;
    state->cached += each;
  }
}

void record_cache(const char* name, const KvCache& cache, size_t positions, const TransformerConfig& config) {
  const size_t count = positions * config.kv_dim();
  std::vector<float> both(2 * count);
  cache.get(0, positions, both.data(), both.data() + count);
  probe::record(name, both.data(), {2, positions, config.kv_heads, config.head_dim()});
}

}  // namespace ptts
