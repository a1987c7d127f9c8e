// FlowLM: the causal transformer over [voice][text][latents] that samples one latent per step.
//
//   inputs      voice rows as they are; text ids through the table (and its projection, if low-rank);
//               latents through input_linear; before the first one, bos_emb takes its place
//   heads       out_norm, then z_proj where there is one: the hidden vector; out_eos and the flow net read it
#ifndef PTTS_FLOW_LM_H_
#define PTTS_FLOW_LM_H_

#include <span>

#include "flow_net.h"
#include "transformer.h"

namespace ptts {

inline constexpr size_t kPrefillRows = 64;  // positions that go through the transformer together, at most

struct FlowLm {
  Transformer transformer;
  FlowNet flow_net;
  Buffer<float> embed;             // [n_bins + 1][rank or d_model]
  Matrix embed_int8;               // the same when the precision is not f32
  Matrix embed_proj;               // low-rank tables only
  Buffer<float> bos_emb;           // [latent]
  Buffer<float> bos_before_voice;  // [d_model]; empty without it
  Matrix speaker_proj;             // [d_model][inner_dim]: voice latents to voice rows
  Matrix input_linear, z_proj, out_eos;
  Buffer<float> out_norm_weight, out_norm_bias, out_eos_bias;
  size_t latent = 0, hidden = 0, rank = 0;
};

// One stream through FlowLM.
class FlowLmStream {
 public:
  // Room for `positions` in all; those of a prompt of `prompt` go through the transformer together, 64 at the most.
  [[nodiscard]] ptts_status open(const FlowLm& lm, size_t positions, size_t prompt);
  // Makes room for more; keeps what is cached.
  [[nodiscard]] ptts_status reserve(size_t positions);

  // Rows of d_model: a voice prompt.
  void feed_rows(const float* rows, size_t count);
  void feed_text(std::span<const int32_t> ids);
  // One latent (null: the start); leaves the hidden vector and the EOS logit of this position.
  void feed_latent(const float* latent);
  // The heads at the last position fed, while recording also after a prompt; feed_latent does it by itself.
  void run_heads();

  const float* hidden() const { return hidden_.data(); }
  float eos_logit() const { return eos_logit_; }
  TransformerState& state() { return state_; }
  const TransformerState& state() const { return state_; }
  FlowNet::Workspace& flow() { return flow_; }

 private:
  void forward(size_t rows, bool prompt);

  const FlowLm* lm_ = nullptr;
  TransformerState state_;
  Transformer::Workspace workspace_;
  FlowNet::Workspace flow_;
  Buffer<float> rows_, table_row_, last_, hidden_;
  float eos_logit_ = 0;
};

}  // namespace ptts

#endif
