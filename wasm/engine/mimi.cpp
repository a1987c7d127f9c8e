// Mimi's two directions, frame by frame.
#include "mimi.h"

#include <algorithm>

#include "audio.h"
#include "kernels.h"
#include "probe.h"

namespace ptts {

namespace {

constexpr size_t kFadeSamples = 120;  // 5 ms at the start of every chunk

// rows x input_dim -> rows x output_dim, in place; `inner` has room for rows x d_model when there are projections.
void run_projected(const ProjectedTransformer& p, float* x, size_t rows, float* inner,
                   TransformerState& state, Transformer::Workspace& w) {
  float* body = x;
  if (p.input_proj.n() > 0) {
    p.input_proj.apply(x, rows, {}, inner, w.scratch);
    body = inner;
  } else if (p.output_proj.n() > 0) {
    std::copy_n(x, rows * p.transformer.config.d_model, inner);
    body = inner;
  }
  p.transformer.forward(body, rows, state, w, false);
  if (p.output_proj.n() > 0) {
    p.output_proj.apply(body, rows, {}, x, w.scratch);
  } else if (body != x) {
    std::copy_n(body, rows * p.transformer.config.d_model, x);
  }
}

}  // namespace

ptts_status Codec::open(const MimiDecoder& mimi) {
  mimi_ = &mimi;
  const Transformer& transformer = mimi.transformer.transformer;
  const TransformerConfig& c = transformer.config;
  const size_t rows = kBlock * mimi.upsampling;
  PTTS_TRY(scaled_.allocate(mimi.emb_std.size(), "codec"));
  PTTS_TRY(quantized_.allocate(mimi.quantizer.n(), "codec"));
  PTTS_TRY(previous_.allocate(mimi.quantizer.n(), "codec"));
  PTTS_TRY(rows_.allocate(rows * std::max(c.input_dim, c.output_dim), "codec"));
  if (mimi.transformer.projects()) PTTS_TRY(projected_.allocate(rows * c.d_model, "codec"));
  PTTS_TRY(transformer.create_state(0, rows, &state_));
  PTTS_TRY(transformer.create_workspace(rows, &workspace_));
  PTTS_TRY(state_.layers.front().reserve(rows, c.context, workspace_.scratch));
  return mimi.seanet.create_state(mimi.upsampling, kBlock, &seanet_);
}

void Codec::reset() {
  std::fill_n(previous_.data(), previous_.size(), 0.0f);
  state_.position = state_.cached = 0;
  mimi_->seanet.reset(seanet_);
  frames_ = 0;
}

// One latent -> the transformer's rows.
void Codec::upsample(const float* latent, float* rows) {
  const MimiDecoder& m = *mimi_;
  const size_t channels = m.quantizer.n(), s = m.upsampling;
  for (size_t i = 0; i < scaled_.size(); ++i) scaled_[i] = latent[i] * m.emb_std[i] + m.emb_mean[i];
  m.quantizer.apply(scaled_.data(), 1, {}, quantized_.data(), workspace_.scratch);
  for (size_t j = 0; j < s; ++j) {
    const float* now = m.upsample.data() + j * channels;
    const float* before = m.upsample.data() + (s + j) * channels;
    float* row = rows + j * channels;
    for (size_t c = 0; c < channels; ++c) row[c] = quantized_[c] * now[c] + previous_[c] * before[c];
  }
  std::swap(quantized_, previous_);
}

void Codec::decode(const float* latents, size_t count, float* pcm) {
  for (size_t i = 0; i < count; i += kBlock) {
    decode_block(latents + i * scaled_.size(), std::min(kBlock, count - i),
                 pcm + i * mimi_->samples_per_frame);
  }
}

void Codec::decode_block(const float* latents, size_t count, float* pcm) {
  const MimiDecoder& m = *mimi_;
  const size_t s = m.upsampling, latent = scaled_.size(), channels = m.quantizer.n();
  for (size_t i = 0; i < count; ++i) {
    upsample(latents + i * latent, rows_.data() + i * s * channels);
    if (probe::on) probe::record_rows("mimi.dbg.quantizer", previous_.data(), 1, channels, i > 0);
  }
  if (probe::on) probe::record_rows("mimi.dbg.upsample", rows_.data(), count * s, channels, false);
  run_projected(m.transformer, rows_.data(), count * s, projected_.data(), state_, workspace_);
  const size_t width = m.seanet.input_width();
  if (probe::on) probe::record_rows("mimi.dbg.transformer", rows_.data(), count * s, width, false);
  m.seanet.run(seanet_, rows_.data(), s, count, pcm, "mimi.dbg.seanet.");
  const size_t samples = count * m.samples_per_frame, before = frames_ * m.samples_per_frame;
  for (size_t i = 0; fade_ && i < samples && before + i < kFadeSamples; ++i) {
    pcm[i] = pcm[i] * linspace_at(0, 1, kFadeSamples, before + i);
  }
  frames_ += count;
}

ptts_status encode_audio(const MimiEncoder& m, const float* pcm, size_t count, Buffer<float>* latents,
                         size_t* frames) {
  const size_t frame = m.samples_per_frame, rows = m.rows_per_frame;
  const TransformerConfig& c = m.transformer.transformer.config;
  *frames = (count + frame - 1) / frame;
  Seanet::State seanet;
  TransformerState state;
  Transformer::Workspace workspace;
  Conv1d::State downsample;
  ConvScratch scratch;
  Buffer<float> block, rows_buffer, projected;
  PTTS_TRY(m.seanet.create_state(frame, 1, &seanet));
  PTTS_TRY(m.transformer.transformer.create_state(0, rows, &state));
  PTTS_TRY(m.transformer.transformer.create_workspace(rows, &workspace));
  PTTS_TRY(state.layers.front().reserve(rows, c.context, workspace.scratch));
  PTTS_TRY(m.downsample.create_state(rows, &downsample, &scratch));
  PTTS_TRY(block.allocate(frame, "voice audio"));
  PTTS_TRY(rows_buffer.allocate(rows * std::max(c.input_dim, c.output_dim), "voice audio"));
  if (m.transformer.projects()) PTTS_TRY(projected.allocate(rows * c.d_model, "voice audio"));
  PTTS_TRY(latents->allocate(*frames * m.downsample.out, "voice latents"));
  for (size_t f = 0; f < *frames; ++f) {
    const size_t begin = f * frame, here = std::min(frame, count - begin);
    std::fill_n(block.data(), frame, 0.0f);
    std::copy_n(pcm + begin, here, block.data());
    m.seanet.run(seanet, block.data(), frame, 1, rows_buffer.data(), nullptr);
    if (probe::on) probe::record_rows("enc.seanet", rows_buffer.data(), rows, c.input_dim, f > 0);
    run_projected(m.transformer, rows_buffer.data(), rows, projected.data(), state, workspace);
    if (probe::on) probe::record_rows("enc.transformer", rows_buffer.data(), rows, c.output_dim, f > 0);
    m.downsample.run(downsample, kernels::Activation::kNone, rows_buffer.data(), rows, false,
                     latents->data() + f * m.downsample.out, scratch);
  }
  if (probe::on) probe::record("voice.latents", latents->data(), {*frames, m.downsample.out});
  return PTTS_OK;
}

}  // namespace ptts
