// The flow head and its four samplers.
#include "flow_net.h"

#include <algorithm>
#include <cmath>

#include "kernels.h"
#include "maths.h"
#include "probe.h"

namespace ptts {

void LinearWithBias::apply(const float* x, size_t rows, float* y, Scratch& scratch) const {
  weight.apply(x, rows, {bias.data()}, y, scratch);
}

ptts_status FlowNet::create_workspace(size_t rows, Workspace* w) const {
  const size_t wide = std::max(rows * dim, 2 * kTimeFrequencies);
  PTTS_TRY(w->x.allocate(rows * dim, "flow head"));
  PTTS_TRY(w->y.allocate(rows * dim, "flow head"));
  PTTS_TRY(w->silu_y.allocate(rows * dim, "flow head"));
  PTTS_TRY(w->modulation.allocate(3 * rows * dim, "flow head"));
  PTTS_TRY(w->a.allocate(wide, "flow head"));
  PTTS_TRY(w->b.allocate(wide, "flow head"));
  for (const FlowBlock& block : blocks) {
    for (const LinearWithBias* linear : {&block.first, &block.second, &block.modulation}) {
      PTTS_TRY(linear->weight.reserve(rows, w->scratch));
    }
  }
  for (const TimeEmbedding& embedding : times) {
    PTTS_TRY(embedding.first.weight.reserve(1, w->scratch));
    PTTS_TRY(embedding.second.weight.reserve(1, w->scratch));
  }
  for (const LinearWithBias* linear : {&cond_embed, &input_proj, &final_linear, &final_modulation}) {
    PTTS_TRY(linear->weight.reserve(rows, w->scratch));
  }
  return w->velocity.allocate(rows * latent, "flow head");
}

void FlowNet::embed_times(const float* t, float* out, Workspace& w) const {
  for (size_t j = 0; j < times.size(); ++j) {
    const TimeEmbedding& embedding = times[j];
    for (size_t i = 0; i < kTimeFrequencies; ++i) {
      const float angle = t[j] * embedding.freqs[i];
      const SinCos turn = sincos_d(static_cast<double>(angle));
      w.a[i] = static_cast<float>(turn.cos);
      w.a[kTimeFrequencies + i] = static_cast<float>(turn.sin);
    }
    embedding.first.apply(w.a.data(), 1, w.b.data(), w.scratch);
    kernels::silu(w.b.data(), dim, w.b.data());
    embedding.second.apply(w.b.data(), 1, w.a.data(), w.scratch);
    double mean = 0, squares = 0;
    for (size_t i = 0; i < dim; ++i) mean += static_cast<double>(w.a[i]);
    mean /= static_cast<double>(dim);
    for (size_t i = 0; i < dim; ++i) {
      const double centred = static_cast<double>(w.a[i]) - mean;
      squares += centred * centred;
    }
    const float deviation = static_cast<float>(std::sqrt(squares / static_cast<double>(dim - 1) + 1e-5));
    for (size_t i = 0; i < dim; ++i) w.b[i] = w.a[i] * (embedding.alpha[i] / deviation);
    if (probe::on) probe::record(("flow.time_embed." + std::to_string(j)).c_str(), w.b.data(), {dim});
    for (size_t i = 0; i < dim; ++i) out[i] = j == 0 ? w.b[i] : out[i] + w.b[i];
  }
  for (size_t i = 0; i < dim; ++i) out[i] = out[i] / static_cast<float>(times.size());
}

ptts_status FlowNet::bake_times(size_t steps, Buffer<float>* baked, Workspace& w) const {
  if (times.empty()) return PTTS_OK;
  PTTS_TRY(baked->allocate(steps * dim, "time embeddings"));
  for (size_t i = 0; i < steps; ++i) {
    const double n = static_cast<double>(steps);
    const float t[2] = {static_cast<float>(static_cast<double>(i) / n),
                        static_cast<float>(static_cast<double>(i + 1) / n)};
    embed_times(t, baked->data() + i * dim, w);
  }
  return PTTS_OK;
}

void FlowNet::velocity(const float* c, const float* time, const float* x, size_t rows, float* out,
                       Workspace& w) const {
  float* m = w.modulation.data();
  // h = h * (1 + scale) + shift, row by row of `width` modulations: [shift][scale]...
  const auto modulate = [&](float* h, size_t width) {
    for (size_t r = 0; r < rows; ++r, h += dim) {
      const float *shift = m + r * width, *scale = shift + dim;
      for (size_t i = 0; i < dim; ++i) h[i] = h[i] * (1.0f + scale[i]) + shift[i];
    }
  };
  input_proj.apply(x, rows, w.x.data(), w.scratch);
  cond_embed.apply(c, rows, w.y.data(), w.scratch);
  for (size_t r = 0; time != nullptr && r < rows; ++r) kernels::add(time, dim, w.y.data() + r * dim);
  kernels::silu(w.y.data(), rows * dim, w.silu_y.data());
  for (const FlowBlock& block : blocks) {
    block.modulation.apply(w.silu_y.data(), rows, m, w.scratch);
    kernels::layer_norm(w.x.data(), rows, dim, block.norm_weight.data(), block.norm_bias.data(), 1e-6f,
                        w.a.data());
    modulate(w.a.data(), 3 * dim);
    block.first.apply(w.a.data(), rows, w.b.data(), w.scratch);
    block.second.weight.apply(kernels::Activation::kSilu, w.b.data(), rows, {block.second.bias.data()},
                              w.a.data(), w.scratch);
    for (size_t r = 0; r < rows; ++r) {
      kernels::add_scaled(w.a.data() + r * dim, m + (3 * r + 2) * dim, 1, dim, w.x.data() + r * dim);
    }
  }
  final_modulation.apply(w.silu_y.data(), rows, m, w.scratch);
  kernels::layer_norm(w.x.data(), rows, dim, nullptr, nullptr, 1e-6f, w.a.data());
  modulate(w.a.data(), 2 * dim);
  final_linear.apply(w.a.data(), rows, out, w.scratch);
  for (size_t r = 0; probe::on && r < rows; ++r) probe::record("flow.v", out + r * latent, {latent});
}

void FlowNet::sample(const float* c, const Buffer<float>& baked, size_t steps, size_t rows, float* x,
                     Workspace& w) const {
  float* v = w.velocity.data();
  const size_t count = rows * latent;
  switch (type) {
    case FlowType::kLsd:
    case FlowType::kFlowMatching:
      for (size_t s = 0; s < steps; ++s) {
        velocity(c, baked.data() + s * dim, x, rows, v, w);
        for (size_t i = 0; i < count; ++i) x[i] = x[i] + v[i] / static_cast<float>(steps);
      }
      break;
    case FlowType::kDrifting:
      velocity(c, nullptr, x, rows, v, w);
      std::copy_n(v, count, x);
      break;
    case FlowType::kPointwise:
      velocity(c, nullptr, x, rows, v, w);
      for (size_t i = 0; i < count; ++i) x[i] = x[i] + v[i];
      break;
  }
}

}  // namespace ptts
