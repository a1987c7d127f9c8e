// The inference loop.
#include "session.h"

#include <algorithm>
#include <cmath>

#include "probe.h"

namespace ptts {

namespace {

// Before speech starts the logit of some voices crosses the threshold; the reference waits this many steps.
constexpr size_t kMinStepsBeforeEos = 6;
constexpr size_t kVoiceRows = 16;  // of a voice that go into the cache at a time

bool all_finite(const float* values, size_t count) {
  return std::all_of(values, values + count, [](float v) { return std::isfinite(v); });
}

}  // namespace

ptts_options default_options(const Config& config) {
  ptts_options o = {};
  o.seed = 42;
  o.temperature = config.default_temperature;
  o.eos_threshold = config.default_eos_threshold;
  o.decode_steps = 1;
  o.frames_after_eos = -1;
  o.max_tokens = 50;
  o.rng = PTTS_RNG_CHUNK;
  return o;
}

ptts_status check_options(const ptts_options& o) {
  if (!(o.temperature >= 0 && o.temperature <= 100)) {
    return fail(PTTS_ERROR_ARGUMENT, "temperature: expected 0 to 100, found %g",
                static_cast<double>(o.temperature));
  }
  if (!std::isfinite(o.eos_threshold)) {
    return fail(PTTS_ERROR_ARGUMENT, "eos_threshold: expected a finite number, found %g",
                static_cast<double>(o.eos_threshold));
  }
  if (!(o.noise_clamp >= 0 && o.noise_clamp <= 1e6f)) {
    return fail(PTTS_ERROR_ARGUMENT, "noise_clamp: expected 0 (none) to 1e6, found %g",
                static_cast<double>(o.noise_clamp));
  }
  if (o.decode_steps < 1 || o.decode_steps > 1000) {
    return fail(PTTS_ERROR_ARGUMENT, "decode_steps: expected 1 to 1000, found %d", o.decode_steps);
  }
  if (o.frames_after_eos < -1 || o.frames_after_eos > 10000) {
    return fail(PTTS_ERROR_ARGUMENT, "frames_after_eos: expected -1 (the model's) to 10000, found %d",
                o.frames_after_eos);
  }
  if (o.max_tokens < 1 || o.max_tokens > 4096) {
    return fail(PTTS_ERROR_ARGUMENT, "max_tokens: expected 1 to 4096, found %d", o.max_tokens);
  }
  if (o.rng != PTTS_RNG_CHUNK && o.rng != PTTS_RNG_TORCH) {
    return fail(PTTS_ERROR_ARGUMENT, "rng: expected PTTS_RNG_CHUNK or PTTS_RNG_TORCH, found %u", o.rng);
  }
  if (o.discard_draws > 1000) {
    return fail(PTTS_ERROR_ARGUMENT, "discard_draws: expected 0 to 1000, found %u", o.discard_draws);
  }
  return PTTS_OK;
}

ptts_status Session::open(std::shared_ptr<const Model> model, std::shared_ptr<const Voice> voice,
                          std::string_view text, const ptts_options& options) {
  if (!model->has(PTTS_PART_FLOW_LM)) {
    return fail(PTTS_ERROR_STATE, "speaking needs the FlowLM, which is not loaded here");
  }
  PTTS_TRY(check_options(options));
  PTTS_TRY(check_voice(*model, *voice));
  PTTS_TRY(plan_chunks(*model->tokenizer, text, model->config.text, options.max_tokens, &chunks_));
  model_ = std::move(model);
  voice_ = std::move(voice);
  options_ = options;
  size_t positions = voice_->positions, prompt = 1;  // once, for the longest chunk
  for (const Chunk& chunk : chunks_) {
    prompt = std::max(prompt, chunk.ids.size());
    positions = std::max(positions, voice_->positions + chunk.ids.size() + chunk.max_frames);
  }
  PTTS_TRY(stream_.open(model_->flow_lm, positions, prompt));
  PTTS_TRY(latent_.allocate(model_->flow_lm.latent, "latent"));
  PTTS_TRY(model_->flow_lm.flow_net.bake_times(static_cast<size_t>(options.decode_steps), &baked_times_,
                                               stream_.flow()));
  return seek(0);
}

ptts_status Session::seek(size_t chunk) {
  if (chunk > chunks_.size()) {
    return fail(PTTS_ERROR_ARGUMENT, "chunk: expected 0 to %zu, found %zu", chunks_.size(), chunk);
  }
  if (options_.rng == PTTS_RNG_TORCH && chunk != 0) {
    return fail(PTTS_ERROR_ARGUMENT, "one sequential stream of random numbers cannot start at chunk %zu",
                chunk);
  }
  chunk_ = chunk;
  in_chunk_ = false;
  if (options_.rng == PTTS_RNG_TORCH) {
    generator_ = Generator(options_.seed);
    for (uint32_t i = 0; i < options_.discard_draws; ++i) PTTS_TRY(draw(latent_.data()));
  }
  return PTTS_OK;
}

int Session::frames_after_eos(const Chunk& chunk) const {
  return options_.frames_after_eos >= 0 ? options_.frames_after_eos : chunk.frames_after_eos;
}

ptts_status Session::draw(float* out) {
  const double std = std::sqrt(static_cast<double>(options_.temperature));
  const size_t n = model_->flow_lm.latent;
  if (options_.noise_clamp > 0 && options_.temperature > 0) {  // without noise there is nothing to clamp
    PTTS_TRY(generator_.truncated_normal(out, n, std, static_cast<double>(options_.noise_clamp)));
  } else {
    generator_.normal(out, n, std);
  }
  if (probe::on) probe::record("draws", out, {n});
  return PTTS_OK;
}

ptts_status Session::begin_chunk(bool forced) {
  const Chunk& chunk = chunks_[chunk_];
  const size_t positions = voice_->positions + chunk.ids.size() + chunk.max_frames;
  PTTS_TRY(stream_.reserve(positions));
  TransformerState& state = stream_.state();
  const size_t width = model_->config.backbone.kv_dim();
  Buffer<float> rows;
  PTTS_TRY(rows.allocate(2 * kVoiceRows * width, "voice rows"));
  float* values = rows.data() + kVoiceRows * width;
  for (size_t i = 0; i < state.layers.size(); ++i) {
    for (size_t p = 0; p < voice_->positions; p += kVoiceRows) {
      const size_t here = std::min(kVoiceRows, voice_->positions - p);
      voice_->layers[i].k.get(p, here, rows.data());
      voice_->layers[i].v.get(p, here, values);
      state.layers[i].put(p, here, rows.data(), values, width);
    }
  }
  state.position = state.cached = voice_->positions;
  stream_.feed_text(chunk.ids);
  if (probe::on) {
    stream_.run_heads();
    const float logit = stream_.eos_logit();
    probe::record("prefill.hidden", stream_.hidden(), {model_->flow_lm.hidden});
    probe::record("prefill.eos_logit", &logit, {1});
    record_cache("prefill.kv.first", state.layers.front(), state.cached, model_->config.backbone);
    record_cache("prefill.kv.last", state.layers.back(), state.cached, model_->config.backbone);
  }
  if (options_.rng == PTTS_RNG_CHUNK) {
    generator_ = Generator(chunk_seed(options_.seed, static_cast<uint32_t>(chunk_)));
  }
  if (!forced) PTTS_TRY(draw(latent_.data()));  // the reference samples at the prompt too and throws it away
  in_chunk_ = true;
  ended_ = false;
  step_ = 0;
  return PTTS_OK;
}

ptts_status Session::step(const float* previous, const float* noise, bool forced, float* latent,
                          ptts_event* event) {
  *event = {};
  event->chunk = static_cast<uint32_t>(chunk_);
  if (chunk_ == chunks_.size()) return PTTS_DONE;
  if (!in_chunk_) PTTS_TRY(begin_chunk(forced));
  const Chunk& chunk = chunks_[chunk_];
  const FlowLm& lm = model_->flow_lm;
  event->step = static_cast<uint32_t>(step_);
  const auto end_chunk = [&](bool truncated) {
    event->truncated = truncated ? 1 : 0;
    event->eos = ended_ ? 1 : 0;
    ++chunk_;
    in_chunk_ = false;
    return PTTS_CHUNK_END;
  };
  if (step_ == chunk.max_frames) return end_chunk(true);

  stream_.feed_latent(previous != nullptr ? previous : step_ == 0 ? nullptr : latent_.data());
  event->eos_logit = stream_.eos_logit();
  if (noise != nullptr) {
    std::copy_n(noise, lm.latent, latent_.data());
  } else {
    PTTS_TRY(draw(latent_.data()));
  }
  lm.flow_net.sample(stream_.hidden(), baked_times_, static_cast<size_t>(options_.decode_steps),
                     latent_.data(), stream_.flow());
  if (probe::on) {
    probe::record("hidden", stream_.hidden(), {lm.hidden});
    probe::record("eos_logit", &event->eos_logit, {1});
    probe::record("latent", latent_.data(), {lm.latent});
  }
  if (!std::isfinite(event->eos_logit) || !all_finite(latent_.data(), lm.latent)) {
    in_chunk_ = false;
    return fail(PTTS_ERROR_NUMERIC, "chunk %zu, step %zu: the model's output is not a finite number", chunk_,
                step_);
  }
  if (!ended_ && step_ >= kMinStepsBeforeEos && event->eos_logit > options_.eos_threshold) {
    ended_ = true;
    end_step_ = step_;
  }
  event->eos = ended_ ? 1 : 0;
  if (!forced && ended_ && step_ >= end_step_ + static_cast<size_t>(frames_after_eos(chunk))) {
    return end_chunk(false);
  }
  std::copy_n(latent_.data(), lm.latent, latent);
  ++step_;
  return PTTS_OK;
}

ptts_status flow_velocity(const Model& model, const float* condition, const float* times, const float* x,
                          float* velocity) {
  if (!model.has(PTTS_PART_FLOW_LM)) return fail(PTTS_ERROR_STATE, "the FlowLM is not loaded here");
  const FlowNet& net = model.flow_lm.flow_net;
  FlowNet::Workspace workspace;
  PTTS_TRY(net.create_workspace(&workspace));
  Buffer<float> embedded;
  PTTS_TRY(embedded.allocate(net.dim, "time embedding"));
  if (!net.times.empty()) net.embed_times(times, embedded.data(), workspace);
  net.velocity(condition, net.times.empty() ? nullptr : embedded.data(), x, velocity, workspace);
  return PTTS_OK;
}

}  // namespace ptts
