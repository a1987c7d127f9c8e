// The flow head: an MLP with adaptive layer norms that turns noise into a latent, given the transformer's output c.
//
//   x' = input_proj(x);  y = cond_embed(c) + mean of the time embeddings (where there are times)
//   depth times:  x' += gate * mlp(norm(x') * (1 + scale) + shift),   (shift, scale, gate) = linear(silu(y))
//   out = linear(norm(x') * (1 + scale) + shift),                     (shift, scale) = linear(silu(y))
//
// Time embedding: [cos(t f), sin(t f)] -> linear, silu, linear -> alpha v / sqrt(var(v) + 1e-5) with the unbiased
// variance around the mean of a v that is itself not centred.
#ifndef PTTS_FLOW_NET_H_
#define PTTS_FLOW_NET_H_

#include <vector>

#include "config.h"
#include "matrix.h"

namespace ptts {

inline constexpr size_t kTimeFrequencies = 128;

struct LinearWithBias {
  Matrix weight;
  Buffer<float> bias;
  void apply(const float* x, size_t rows, float* y, Scratch& scratch) const;
};

struct TimeEmbedding {
  Buffer<float> freqs, alpha;
  LinearWithBias first, second;
};

struct FlowBlock {
  Buffer<float> norm_weight, norm_bias;
  LinearWithBias first, second, modulation;
};

class FlowNet {
 public:
  FlowType type = FlowType::kLsd;
  size_t latent = 0, dim = 0;
  std::vector<TimeEmbedding> times;
  LinearWithBias cond_embed, input_proj, final_linear, final_modulation;
  std::vector<FlowBlock> blocks;

  // For up to `rows` latents together.
  struct Workspace {
    Buffer<float> x, y, silu_y, modulation, a, b;  // rows of width dim (modulation: 3 dim)
    Buffer<float> velocity;                        // [rows][latent]
    Scratch scratch;
  };
  [[nodiscard]] ptts_status create_workspace(size_t rows, Workspace* workspace) const;

  // Mean of the embeddings of `count` times (one for each of `times`) -> out[dim].
  void embed_times(const float* t, float* out, Workspace& w) const;

  // For each of `steps` sampler steps the embedded times: [steps][dim]; empty without time inputs.
  [[nodiscard]] ptts_status bake_times(size_t steps, Buffer<float>* baked, Workspace& w) const;

  // One evaluation for each row.  c: the conditions; time: [dim], of all of them, or null; x, out: [rows][latent].
  void velocity(const float* c, const float* time, const float* x, size_t rows, float* out,
                Workspace& w) const;

  // The sampler: x holds the noise and becomes the latents.
  void sample(const float* c, const Buffer<float>& baked, size_t steps, size_t rows, float* x,
              Workspace& w) const;
};

}  // namespace ptts

#endif
