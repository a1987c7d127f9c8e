#include "instance.h"

#include <algorithm>
#include <climits>
#include <cmath>

#include "audio.h"
#include "mimi.h"

namespace ptts::capi {

std::shared_ptr<const Voice> VoiceCache::find(std::string_view hash) {
  const auto at = std::ranges::find(entries_, hash, &Entry::hash);
  if (at == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, at);
  return at->voice;
}

void VoiceCache::keep(std::string hash, std::shared_ptr<const Voice> voice) {
  entries_.push_front({std::move(hash), std::move(voice)});
  if (entries_.size() > kMost) entries_.pop_back();
}

Instance::Turn::Turn(Instance* instance) : instance_(instance), status_(PTTS_OK) {
  const std::thread::id self = std::this_thread::get_id();
  if (instance_->whose_ == self) {
    status_ = fail(PTTS_ERROR_STATE, "a callback called a function of its own handle: it may only cancel");
    return;
  }
  instance_->turn_.lock();
  instance_->whose_ = self;
}

Instance::Turn::~Turn() {
  if (status_ < 0) return;
  instance_->whose_ = std::thread::id();
  instance_->turn_.unlock();
}

// ---- voices

ptts_status Instance::encode(std::span<const float> samples, uint32_t rate, Voice* voice) const {
  if (!loaded_.cloning) {
    return fail(PTTS_ERROR_CLONING, "cloning not available: this pack cannot make voices from recordings%s%s",
                loaded_.no_cloning_reason.empty() ? "" : ": ", loaded_.no_cloning_reason.c_str());
  }
  if (!loaded_.model->can_clone()) {
    return fail(PTTS_ERROR_CLONING, "cloning not available: %s",
                loaded_.model->has(PTTS_PART_MIMI_ENCODER)
                    ? "the weights of this model's Mimi encoder are all zero (the public weights)"
                    : "the model was loaded without its Mimi encoder");
  }
  const size_t most = size_t{kReferenceSeconds} * rate;
  return encode_voice(*loaded_.model, samples.data(), std::min(samples.size(), most), rate, voice);
}

ptts_status Instance::load_file(const Path& path, const VoiceSource* promised, VoiceBox* box) {
  const bool audio = extension_of(path) != ".safetensors";
  File file;
  Bytes bytes;
  PTTS_TRY(file.open(path));
  if (promised != nullptr && promised->bytes && *promised->bytes != file.size()) {
    return fail(PTTS_ERROR_VOICE, "%.500s: expected %llu bytes, found %llu", file.name().c_str(),
                static_cast<unsigned long long>(*promised->bytes),
                static_cast<unsigned long long>(file.size()));
  }
  PTTS_TRY(file.read_all(audio ? kAudioLimit : kVoiceLimit, &bytes));
  Sha256 sum;
  sum.add(bytes);
  std::string hash = sum.hex();
  if (promised != nullptr && !promised->sha256.empty() && promised->sha256 != hash) {
    return fail(PTTS_ERROR_VOICE, "%.500s: expected sha256 %s, found %s", file.name().c_str(),
                promised->sha256.c_str(), hash.c_str());
  }
  hash += audio ? " audio" : " voice";
  box->voice = voices_.find(hash);
  if (box->voice != nullptr) return PTTS_OK;
  const auto voice = std::make_shared<Voice>();
  ptts_status status = PTTS_OK;
  if (audio) {
    Buffer<float> samples;
    uint32_t rate = 0;
    status = wav_read(bytes.data(), bytes.size(), kReferenceSeconds, &samples, &rate);
    if (status >= 0) status = encode({samples.data(), samples.size()}, rate, voice.get());
  } else {
    status = load_voice(*loaded_.model, bytes, voice.get());
  }
  if (status < 0) {
    const std::string message = last_message();
    return fail(status, "%.400s: %s", file.name().c_str(), message.c_str());
  }
  box->voice = voice;
  voices_.keep(std::move(hash), voice);
  return PTTS_OK;
}

ptts_status Instance::voice_from_source(std::string_view source, VoiceBox* box) {
  box->model = loaded_.identity;
  const Path path = path_of(source);
  // In the reference's order: a voice file, a name, a recording.
  if (extension_of(path) == ".safetensors") return load_file(path, nullptr, box);
  const auto named = loaded_.voices.find(source);
  if (named != loaded_.voices.end()) return load_file(named->second.path, &named->second, box);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    std::string names;
    for (const std::string& name : loaded_.names) names += (names.empty() ? "" : ", ") + name;
    return fail(
        PTTS_ERROR_VOICE,
        "%.300s: expected a .safetensors or WAV file, or the name of a voice (%.300s); found no such file",
        std::string(source).c_str(), names.empty() ? "there is none" : names.c_str());
  }
  return load_file(path, nullptr, box);
}

ptts_status Instance::voice_from_samples(std::span<const float> samples, uint32_t rate, VoiceBox* box) {
  box->model = loaded_.identity;
  const auto voice = std::make_shared<Voice>();
  PTTS_TRY(encode(samples, rate, voice.get()));
  box->voice = voice;
  return PTTS_OK;
}

// ---- speaking

ptts_status Instance::speak(std::string_view text, const VoiceBox& voice, const OnFrame& on_frame) {
  if (voice.model != loaded_.identity) {
    return fail(PTTS_ERROR_VOICE, "the voice was made with another model, or in another precision");
  }
  const Model& model = *loaded_.model;
  Session session;
  Codec codec;
  PTTS_TRY(session.open(loaded_.model, voice.voice, text, options_));
  PTTS_TRY(codec.open(model.decoder));
  std::vector<float> latent(model.config.latent), pcm(model.config.samples_per_frame);
  uint32_t frames = 0;  // of this chunk
  uint64_t samples = 0;
  for (;;) {
    ptts_event event;
    const ptts_status status = session.step(nullptr, nullptr, false, latent.data(), &event);
    PTTS_TRY(status);
    if (status == PTTS_DONE) return PTTS_OK;
    if (status == PTTS_CHUNK_END) {
      codec.reset();
      frames = 0;
      continue;
    }
    if (max_frames_ > 0 && frames == max_frames_) {
      // One sequence of random numbers has to be drawn to the end of the chunk, unless nobody waits for it.
      if (options_.rng == PTTS_RNG_TORCH) {
        const ptts_status asked = on_frame({});
        PTTS_TRY(asked);
        if (asked == PTTS_DONE) return PTTS_OK;
        continue;
      }
      PTTS_TRY(session.seek(event.chunk + 1));
      codec.reset();
      frames = 0;
      continue;
    }
    ++frames;
    samples += pcm.size();
    if (samples > INT_MAX) {
      return fail(PTTS_ERROR_TEXT_TOO_LONG, "the text gives more than %d samples: speak it in parts",
                  INT_MAX);
    }
    codec.decode(latent.data(), 1, pcm.data());
    if (!std::ranges::all_of(pcm, [](float x) { return std::isfinite(x); })) {
      return fail(PTTS_ERROR_NUMERIC, "chunk %u, frame %u: the decoder's output is not a finite number",
                  event.chunk, event.step);
    }
    const ptts_status taken = on_frame(pcm);
    PTTS_TRY(taken);
    if (taken == PTTS_DONE) return PTTS_OK;
  }
}

ptts_status Instance::stream(std::string_view text, const VoiceBox& voice, size_t frames_per_piece,
                             const std::function<void(std::span<const float>, bool)>& callback) {
  cancelled_ = false;
  std::vector<float> piece;
  size_t frames = 0;
  PTTS_TRY(speak(text, voice, [&](std::span<const float> frame) -> ptts_status {
    if (cancelled_) return PTTS_DONE;
    if (frame.empty()) return PTTS_OK;
    piece.insert(piece.end(), frame.begin(), frame.end());
    if (++frames == frames_per_piece) {
      callback(piece, false);
      piece.clear();
      frames = 0;
    }
    return PTTS_OK;
  }));
  if (cancelled_) piece.clear();  // what nobody waits for any more
  static constexpr float kNothing[1] = {0};
  callback(piece.empty() ? std::span<const float>(kNothing, 0) : std::span<const float>(piece), true);
  return PTTS_OK;
}

}  // namespace ptts::capi
