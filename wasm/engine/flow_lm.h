// FlowLM: the causal transformer over [voice][text][latents] that samples one latent per step.
//
//   inputs      voice rows as they are; text ids through the table (and its projection, if low-rank);
//               latents through input_linear; before the first one, bos_emb takes its place
//   heads       out_norm, then z_proj where there is one: the hidden vector; out_eos and the flow net read it
#ifndef PTTS_FLOW_LM_H_
#define PTTS_FLOW_LM_H_

#include <span>
#include <vector>

#include "flow_net.h"
#include "transformer.h"

namespace ptts {

inline constexpr size_t kPrefillRows = 32;  // positions that go through the transformer together, at most

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

// Streams through FlowLM that share its activations: one, or several whose steps are taken together, so that the weights
// come from memory once for all of them.  The results of a stream are the same either way.
class FlowLmStreams {
 public:
  // One stream with room for `positions` in all; those of a prompt of `prompt` go through the transformer together, 32 at the
  // most.  `most`: streams that there may be.  The first `split` positions (a multiple of 4) of every stream are those of the
  // caches `shared`, one for each layer, which outlive the streams.
  [[nodiscard]] ptts_status open(const FlowLm& lm, size_t positions, size_t prompt, size_t most = 1,
                                 std::span<const KvCache> shared = {}, size_t split = 0);
  // One more, at most `most` in all.  Where it is refused, the others are as they were.
  [[nodiscard]] ptts_status add(size_t positions);
  // Makes room for more in one of them; keeps what is cached.
  [[nodiscard]] ptts_status reserve(size_t stream, size_t positions);

  // Rows of d_model: a voice prompt.
  void feed_rows(size_t stream, const float* rows, size_t count);
  void feed_text(size_t stream, std::span<const int32_t> ids);
  // One latent for each of these streams (null: the start); leaves the hidden vector and the EOS logit of their positions.
  struct Input {
    size_t stream;
    const float* latent;
  };
  void feed_latents(std::span<const Input> inputs);
  // While recording: the heads at the last position of a prompt.
  void run_heads_of_prompt() { run_heads(1); }

  // Of the i-th input, one behind the other.
  const float* hidden() const { return hidden_.data(); }
  float eos_logit(size_t i) const { return eos_logits_[i]; }
  TransformerState& state(size_t stream) { return states_[stream]; }
  FlowNet::Workspace& flow() { return flow_; }

 private:
  void forward_prompt(size_t stream, size_t rows);
  void run_heads(size_t rows);

  const FlowLm* lm_ = nullptr;
  std::span<const KvCache> shared_;
  size_t split_ = 0;
  std::vector<TransformerState> states_;
  std::vector<TransformerState*> stepping_;
  Transformer::Workspace workspace_;
  FlowNet::Workspace flow_;
  Buffer<float> rows_, table_row_, hidden_, eos_logits_;
};

}  // namespace ptts

#endif
