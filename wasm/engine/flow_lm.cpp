// FlowLM, position by position.
#include "flow_lm.h"

#include <algorithm>
#include <vector>

#include "kernels.h"
#include "probe.h"

namespace ptts {

ptts_status FlowLmStreams::open(const FlowLm& lm, size_t positions, size_t prompt, size_t most,
                                std::span<const KvCache> shared, size_t split) {
  lm_ = &lm;
  shared_ = shared;
  split_ = split;
  const size_t rows = std::max(std::clamp<size_t>(prompt, 1, kPrefillRows), most);
  // What is used whole first: the caches, of which the last part mostly is not, then lie where no memory was touched.
  PTTS_TRY(lm.transformer.create_workspace(rows, &workspace_));
  PTTS_TRY(rows_.allocate(rows * lm.transformer.config.d_model, "activations"));
  PTTS_TRY(table_row_.allocate(lm.rank, "activations"));
  for (const Matrix* m : {&lm.input_linear, &lm.z_proj, &lm.out_eos}) {
    PTTS_TRY(m->reserve(most, workspace_.scratch));
  }
  PTTS_TRY(lm.flow_net.create_workspace(most, &flow_));
  PTTS_TRY(eos_logits_.allocate(most, "activations"));
  PTTS_TRY(hidden_.allocate(most * lm.hidden, "activations"));
  states_.clear();
  return add(positions);
}

ptts_status FlowLmStreams::add(size_t positions) {
  TransformerState state;
  PTTS_TRY(lm_->transformer.create_state(positions - split_, workspace_.rows, &state));
  for (size_t i = 0; split_ > 0 && i < state.layers.size(); ++i) state.layers[i].share(shared_[i], split_);
  PTTS_TRY(state.layers.front().reserve(workspace_.rows, positions, workspace_.scratch));
  states_.push_back(std::move(state));
  return PTTS_OK;
}

ptts_status FlowLmStreams::reserve(size_t stream, size_t positions) {
  PTTS_TRY(lm_->transformer.grow_state(positions - split_, &states_[stream]));
  return states_[stream].layers.front().reserve(workspace_.rows, positions, workspace_.scratch);
}

// Of a prompt only the cache is used; recordings show its last row, too.
void FlowLmStreams::forward_prompt(size_t stream, size_t rows) {
  if (!probe::on) {
    lm_->transformer.fill_cache(rows_.data(), rows, states_[stream], workspace_);
    return;
  }
  const size_t d = lm_->transformer.config.d_model;
  lm_->transformer.forward(rows_.data(), rows, states_[stream], workspace_, false);
  std::copy_n(rows_.data() + (rows - 1) * d, d, rows_.data());
}

void FlowLmStreams::feed_rows(size_t stream, const float* rows, size_t count) {
  const size_t d = lm_->transformer.config.d_model;
  for (size_t begin = 0; begin < count; begin += workspace_.rows) {
    const size_t here = std::min(workspace_.rows, count - begin);
    std::copy_n(rows + begin * d, here * d, rows_.data());
    forward_prompt(stream, here);
  }
}

void FlowLmStreams::feed_text(size_t stream, std::span<const int32_t> ids) {
  const size_t d = lm_->transformer.config.d_model, width = lm_->rank > 0 ? lm_->rank : d;
  for (size_t begin = 0; begin < ids.size(); begin += workspace_.rows) {
    const size_t here = std::min(workspace_.rows, ids.size() - begin);
    for (size_t i = 0; i < here; ++i) {
      const auto id = static_cast<size_t>(ids[begin + i]);
      float* row = lm_->rank > 0 ? table_row_.data() : rows_.data() + i * d;
      if (lm_->embed.empty()) {
        lm_->embed_int8.row(id, row);
      } else {
        std::copy_n(lm_->embed.data() + id * width, width, row);
      }
      if (lm_->rank > 0) lm_->embed_proj.apply(row, 1, {}, rows_.data() + i * d, workspace_.scratch);
    }
    if (probe::on) probe::record("text.emb", rows_.data(), {here, d});
    forward_prompt(stream, here);
  }
}

void FlowLmStreams::feed_latents(std::span<const Input> inputs) {
  const size_t d = lm_->transformer.config.d_model;
  stepping_.clear();
  for (const Input& input : inputs) {
    const float* latent = input.latent != nullptr ? input.latent : lm_->bos_emb.data();
    lm_->input_linear.apply(latent, 1, {}, rows_.data() + stepping_.size() * d, workspace_.scratch);
    stepping_.push_back(&states_[input.stream]);
  }
  if (inputs.size() == 1) {
    lm_->transformer.forward(rows_.data(), 1, *stepping_.front(), workspace_, true);
  } else {
    lm_->transformer.forward(rows_.data(), stepping_, workspace_);
  }
  run_heads(inputs.size());
}

void FlowLmStreams::run_heads(size_t rows) {
  const size_t d = lm_->transformer.config.d_model;
  float* normed = lm_->z_proj.n() > 0 ? workspace_.normed.data() : hidden_.data();
  kernels::layer_norm(rows_.data(), rows, d, lm_->out_norm_weight.data(), lm_->out_norm_bias.data(), 1e-5f,
                      normed);
  if (lm_->z_proj.n() > 0) lm_->z_proj.apply(normed, rows, {}, hidden_.data(), workspace_.scratch);
  lm_->out_eos.apply(hidden_.data(), rows, {lm_->out_eos_bias.data()}, eos_logits_.data(),
                     workspace_.scratch);
}

}  // namespace ptts
