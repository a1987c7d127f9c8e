// FlowLM, position by position.
#include "flow_lm.h"

#include <algorithm>
#include <vector>

#include "kernels.h"
#include "probe.h"

namespace ptts {

ptts_status FlowLmStream::open(const FlowLm& lm, size_t positions, size_t prompt) {
  lm_ = &lm;
  const size_t rows = std::clamp<size_t>(prompt, 1, kPrefillRows);
  const size_t d = lm.transformer.config.d_model;
  // What is used whole first: the caches, of which the last part mostly is not, then lie where no memory was touched.
  PTTS_TRY(lm.transformer.create_workspace(rows, &workspace_));
  PTTS_TRY(lm.transformer.create_state(positions, rows, &state_));
  PTTS_TRY(reserve(positions));
  PTTS_TRY(lm.flow_net.create_workspace(&flow_));
  PTTS_TRY(rows_.allocate(rows * d, "activations"));
  PTTS_TRY(table_row_.allocate(lm.rank, "activations"));
  PTTS_TRY(last_.allocate(d, "activations"));
  return hidden_.allocate(lm.hidden, "activations");
}

ptts_status FlowLmStream::reserve(size_t positions) {
  PTTS_TRY(lm_->transformer.grow_state(positions, &state_));
  return state_.layers.front().reserve(workspace_.rows, positions, workspace_.scratch);
}

void FlowLmStream::forward(size_t rows, bool prompt) {
  const size_t d = lm_->transformer.config.d_model;
  if (prompt && !probe::on) {  // of a prompt only the cache is used; recordings show its last row, too
    lm_->transformer.fill_cache(rows_.data(), rows, state_, workspace_);
    return;
  }
  lm_->transformer.forward(rows_.data(), rows, state_, workspace_, !prompt);
  std::copy_n(rows_.data() + (rows - 1) * d, d, last_.data());
}

void FlowLmStream::feed_rows(const float* rows, size_t count) {
  const size_t d = lm_->transformer.config.d_model;
  for (size_t begin = 0; begin < count; begin += workspace_.rows) {
    const size_t here = std::min(workspace_.rows, count - begin);
    std::copy_n(rows + begin * d, here * d, rows_.data());
    forward(here, true);
  }
}

void FlowLmStream::feed_text(std::span<const int32_t> ids) {
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
    forward(here, true);
  }
}

void FlowLmStream::feed_latent(const float* latent) {
  const float* input = latent != nullptr ? latent : lm_->bos_emb.data();
  lm_->input_linear.apply(input, 1, {}, rows_.data(), workspace_.scratch);
  forward(1, false);
  run_heads();
}

void FlowLmStream::run_heads() {
  const size_t d = lm_->transformer.config.d_model;
  float* normed = lm_->z_proj.n() > 0 ? rows_.data() : hidden_.data();
  kernels::layer_norm(last_.data(), 1, d, lm_->out_norm_weight.data(), lm_->out_norm_bias.data(), 1e-5f,
                      normed);
  if (lm_->z_proj.n() > 0) lm_->z_proj.apply(normed, 1, {}, hidden_.data(), workspace_.scratch);
  lm_->out_eos.apply(hidden_.data(), 1, {lm_->out_eos_bias.data()}, &eos_logit_, workspace_.scratch);
}

}  // namespace ptts
