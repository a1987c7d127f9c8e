// The inference loop.
#include "session.h"

#include <algorithm>
#include <cmath>

#include "probe.h"

namespace ptts {

namespace {

// Before speech starts the logit of some voices crosses the threshold; the reference waits this many steps.
constexpr size_t kMinStepsBeforeEos = 6;
constexpr size_t kLaneRoom =
    1024;  // positions: chunks of usual lengths need less, and a longer one takes its own

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
  size_t prompt = 1;  // once, for the longest chunk
  longest_ = voice_->positions;
  for (const Chunk& chunk : chunks_) {
    prompt = std::max(prompt, chunk.ids.size());
    longest_ = std::max(longest_, positions_of(chunk));
  }
  const size_t most = std::clamp<size_t>(chunks_.size(), 1, kMaxLanes);
  PTTS_TRY(sampled_.allocate(most * model_->flow_lm.latent, "latents"));
  PTTS_TRY(streams_.open(model_->flow_lm, longest_, prompt, most, voice_->layers, voice_->shared()));
  PTTS_TRY(model_->flow_lm.flow_net.bake_times(static_cast<size_t>(options.decode_steps), &baked_times_,
                                               streams_.flow()));
  lanes_.resize(1);
  PTTS_TRY(lanes_.front().latent.allocate(model_->flow_lm.latent, "latent"));
  return seek(0);
}

ptts_status Session::add_lane(size_t positions) {
  Lane lane;
  PTTS_TRY(lane.latent.allocate(model_->flow_lm.latent, "latent"));
  PTTS_TRY(streams_.add(positions));
  lanes_.push_back(std::move(lane));
  return PTTS_OK;
}

ptts_status Session::seek(size_t chunk) {
  if (chunk > chunks_.size()) {
    return fail(PTTS_ERROR_ARGUMENT, "chunk: expected 0 to %zu, found %zu", chunks_.size(), chunk);
  }
  if (options_.rng == PTTS_RNG_TORCH && chunk != 0) {
    return fail(PTTS_ERROR_ARGUMENT, "one sequential stream of random numbers cannot start at chunk %zu",
                chunk);
  }
  next_ = chunk;
  for (Lane& lane : lanes_) lane.busy = false;
  if (options_.rng == PTTS_RNG_TORCH) {
    Lane& lane = lanes_.front();
    lane.generator = Generator(options_.seed);
    for (uint32_t i = 0; i < options_.discard_draws; ++i) PTTS_TRY(draw(lane));
  }
  return PTTS_OK;
}

int Session::frames_after_eos(const Chunk& chunk) const {
  return options_.frames_after_eos >= 0 ? options_.frames_after_eos : chunk.frames_after_eos;
}

// Into the lane's latent.
ptts_status Session::draw(Lane& lane) {
  const double std = std::sqrt(static_cast<double>(options_.temperature));
  const size_t n = model_->flow_lm.latent;
  if (options_.noise_clamp > 0 && options_.temperature > 0) {  // without noise there is nothing to clamp
    PTTS_TRY(lane.generator.truncated_normal(lane.latent.data(), n, std,
                                             static_cast<double>(options_.noise_clamp)));
  } else {
    lane.generator.normal(lane.latent.data(), n, std);
  }
  if (probe::on) probe::record("draws", lane.latent.data(), {n});
  return PTTS_OK;
}

ptts_status Session::begin_chunk(size_t number, size_t index, bool forced) {
  Lane& lane = lanes_[number];
  const Chunk& chunk = chunks_[index];
  PTTS_TRY(streams_.reserve(number, positions_of(chunk)));
  TransformerState& state = streams_.state(number);
  const size_t width = model_->config.backbone.kv_dim(), shared = voice_->shared(),
               rest = voice_->positions - shared;
  Buffer<float> rows;
  PTTS_TRY(rows.allocate(2 * rest * width, "voice rows"));
  float* values = rows.data() + rest * width;
  for (size_t i = 0; rest > 0 && i < state.layers.size(); ++i) {
    voice_->layers[i].get(shared, rest, rows.data(), values);
    state.layers[i].put_steady(shared, rest, rows.data(), values, width);
  }
  state.position = state.cached = voice_->positions;
  streams_.feed_text(number, chunk.ids);
  if (probe::on) {
    streams_.run_heads_of_prompt();
    const float logit = streams_.eos_logit(0);
    probe::record("prefill.hidden", streams_.hidden(), {model_->flow_lm.hidden});
    probe::record("prefill.eos_logit", &logit, {1});
    record_cache("prefill.kv.first", state.layers.front(), state.cached, model_->config.backbone);
    record_cache("prefill.kv.last", state.layers.back(), state.cached, model_->config.backbone);
  }
  if (options_.rng == PTTS_RNG_CHUNK) {
    lane.generator = Generator(chunk_seed(options_.seed, static_cast<uint32_t>(index)));
  }
  if (!forced) PTTS_TRY(draw(lane));  // the reference samples at the prompt too and throws it away
  lane.chunk = index;
  lane.step = 0;
  lane.busy = true;
  lane.ended = false;
  return PTTS_OK;
}

// What is known before a step.
void Session::say(const Lane& lane, ptts_event* event) const {
  *event = {};
  event->chunk = static_cast<uint32_t>(lane.busy ? lane.chunk : next_);
  event->step = static_cast<uint32_t>(lane.busy ? lane.step : 0);
}

ptts_status Session::end_chunk(Lane& lane, bool truncated, ptts_event* event) {
  event->truncated = truncated ? 1 : 0;
  event->eos = lane.ended ? 1 : 0;
  lane.busy = false;
  return PTTS_CHUNK_END;
}

ptts_status Session::step(const float* previous, const float* noise, bool forced, float* latent,
                          ptts_event* event) {
  Lane& lane = lanes_.front();
  say(lane, event);
  if (!lane.busy && next_ == chunks_.size()) return PTTS_DONE;
  if (!lane.busy) {
    PTTS_TRY(begin_chunk(0, next_, forced));
    ++next_;
  }
  if (lane.step == chunks_[lane.chunk].max_frames) return end_chunk(lane, true, event);
  const size_t first = 0;
  Result result = {event, latent, PTTS_OK};
  advance({&first, 1}, previous, noise, forced, {&result, 1});
  if (result.status < 0) next_ = lane.chunk;  // it can be begun again
  return result.status;
}

ptts_status Session::step_many(size_t most, uint32_t begin, float* latents, ptts_event* events,
                               ptts_status* statuses, size_t* count) {
  *count = 0;
  if (most < 1 || most > kMaxLanes) {
    return fail(PTTS_ERROR_ARGUMENT, "most: expected 1 to %zu chunks, found %zu", kMaxLanes, most);
  }
  if (begin != PTTS_NONE && begin >= chunks_.size()) {
    return fail(PTTS_ERROR_ARGUMENT, "begin: expected a chunk below %zu, found %u", chunks_.size(), begin);
  }
  if (options_.rng == PTTS_RNG_TORCH) {
    return fail(PTTS_ERROR_ARGUMENT,
                "one sequential stream of random numbers speaks one chunk after the other");
  }
  const auto busy = [](const Lane& lane) { return lane.busy; };
  const auto spoken = static_cast<size_t>(std::count_if(lanes_.begin(), lanes_.end(), busy));
  if (begin != PTTS_NONE && spoken < most) {
    auto lane = std::find_if_not(lanes_.begin(), lanes_.end(), busy);
    if (lane == lanes_.end()) {
      const size_t room = std::max(positions_of(chunks_[begin]), std::min(longest_, kLaneRoom));
      const ptts_status status =
          lanes_.size() < std::min(chunks_.size(), kMaxLanes) ? add_lane(room) : PTTS_OK;
      // Without memory for one more, those that there are go on, and the chunk waits for one of them.
      if (status < 0 && spoken == 0) return status;
      lane = std::find_if_not(lanes_.begin(), lanes_.end(), busy);
    }
    if (lane != lanes_.end()) {
      PTTS_TRY(begin_chunk(static_cast<size_t>(lane - lanes_.begin()), begin, false));
    }
  }
  size_t stepping[kMaxLanes], places[kMaxLanes], steps = 0;
  Result results[kMaxLanes];
  for (size_t i = 0; i < lanes_.size() && *count < most; ++i) {
    Lane& lane = lanes_[i];
    if (!lane.busy) continue;
    ptts_event* event = events + *count;
    say(lane, event);
    if (lane.step == chunks_[lane.chunk].max_frames) {
      statuses[(*count)++] = end_chunk(lane, true, event);
      continue;
    }
    results[steps] = {event, latents + *count * model_->flow_lm.latent, PTTS_OK};
    places[steps] = (*count)++;
    stepping[steps++] = i;
  }
  if (*count == 0) return PTTS_DONE;
  advance({stepping, steps}, nullptr, nullptr, false, {results, steps});
  for (size_t i = 0; i < steps; ++i) statuses[places[i]] = results[i].status;
  return PTTS_OK;
}

void Session::advance(std::span<const size_t> lanes, const float* previous, const float* noise, bool forced,
                      std::span<Result> results) {
  const FlowLm& lm = model_->flow_lm;
  if (lanes.empty()) return;
  FlowLmStreams::Input inputs[kMaxLanes];
  for (size_t i = 0; i < lanes.size(); ++i) {
    const Lane& lane = lanes_[lanes[i]];
    inputs[i] = {lanes[i], previous != nullptr ? previous : lane.step == 0 ? nullptr : lane.latent.data()};
  }
  streams_.feed_latents({inputs, lanes.size()});
  for (size_t i = 0; i < lanes.size(); ++i) {
    Lane& lane = lanes_[lanes[i]];
    results[i].status = noise == nullptr ? draw(lane) : PTTS_OK;
    std::copy_n(noise != nullptr ? noise : lane.latent.data(), lm.latent, sampled_.data() + i * lm.latent);
  }
  lm.flow_net.sample(streams_.hidden(), baked_times_, static_cast<size_t>(options_.decode_steps),
                     lanes.size(), sampled_.data(), streams_.flow());
  for (size_t i = 0; i < lanes.size(); ++i) {
    Lane& lane = lanes_[lanes[i]];
    const float* sampled = sampled_.data() + i * lm.latent;
    const float logit = streams_.eos_logit(i);
    if (probe::on) {
      probe::record("hidden", streams_.hidden() + i * lm.hidden, {lm.hidden});
      probe::record("eos_logit", &logit, {1});
      probe::record("latent", sampled, {lm.latent});
    }
    if (results[i].status == PTTS_OK)
      results[i].status = finish_step(lane, sampled, logit, forced, results[i]);
    if (results[i].status < 0) lane.busy = false;
  }
}

ptts_status Session::finish_step(Lane& lane, const float* sampled, float eos_logit, bool forced,
                                 Result& result) {
  const Chunk& chunk = chunks_[lane.chunk];
  const size_t latent = model_->flow_lm.latent;
  result.event->eos_logit = eos_logit;
  if (!std::isfinite(eos_logit) || !all_finite(sampled, latent)) {
    return fail(PTTS_ERROR_NUMERIC, "chunk %zu, step %zu: the model's output is not a finite number",
                lane.chunk, lane.step);
  }
  std::copy_n(sampled, latent, lane.latent.data());
  if (!lane.ended && lane.step >= kMinStepsBeforeEos && eos_logit > options_.eos_threshold) {
    lane.ended = true;
    lane.end_step = lane.step;
  }
  result.event->eos = lane.ended ? 1 : 0;
  if (!forced && lane.ended && lane.step >= lane.end_step + static_cast<size_t>(frames_after_eos(chunk))) {
    return end_chunk(lane, false, result.event);
  }
  std::copy_n(sampled, latent, result.latent);
  ++lane.step;
  return PTTS_OK;
}

ptts_status flow_velocity(const Model& model, const float* condition, const float* times, const float* x,
                          float* velocity) {
  if (!model.has(PTTS_PART_FLOW_LM)) return fail(PTTS_ERROR_STATE, "the FlowLM is not loaded here");
  const FlowNet& net = model.flow_lm.flow_net;
  FlowNet::Workspace workspace;
  PTTS_TRY(net.create_workspace(1, &workspace));
  Buffer<float> embedded;
  PTTS_TRY(embedded.allocate(net.dim, "time embedding"));
  if (!net.times.empty()) net.embed_times(times, embedded.data(), workspace);
  net.velocity(condition, net.times.empty() ? nullptr : embedded.data(), x, 1, velocity, workspace);
  return PTTS_OK;
}

}  // namespace ptts
