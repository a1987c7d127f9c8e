// The call sequence of pocket_tts.h as a function.
#include "speak.h"

#include "golden.h"

namespace ptts::testing_files {

Bytes read_voice(const std::string& fixture) {
  return golden::read_file("fixtures/" + fixture + "/voice.safetensors");
}

Speech speak(ptts_handle model, ptts_handle voice, std::string_view text, const ptts_options& options,
             size_t block) {
  Speech speech;
  ptts_model_info info;
  ptts_handle session = 0, codec = 0;
  speech.status = ptts_model_get_info(model, &info);
  if (speech.status < 0) return speech;
  speech.status = ptts_session_open(model, voice, text.data(), text.size(), &options, &session);
  if (speech.status < 0) return speech;
  speech.status = ptts_codec_open(model, &codec);
  std::vector<float> latent(info.latent_width), waiting;
  const auto decode = [&] {
    const size_t count = waiting.size() / info.latent_width, at = speech.pcm.size();
    if (count == 0) return;
    speech.pcm.resize(at + count * info.samples_per_frame);
    speech.status = ptts_codec_decode(codec, waiting.data(), count, speech.pcm.data() + at);
    waiting.clear();
  };
  while (speech.status >= 0) {
    ptts_event event;
    speech.status = ptts_session_step(session, latent.data(), &event);
    if (speech.status == PTTS_OK) {
      speech.latents.insert(speech.latents.end(), latent.begin(), latent.end());
      waiting.insert(waiting.end(), latent.begin(), latent.end());
      if (waiting.size() == block * info.latent_width) decode();
    } else if (speech.status == PTTS_CHUNK_END) {
      decode();
      ++speech.chunks;
      if (speech.status >= 0) speech.status = ptts_codec_reset(codec);
    } else if (speech.status == PTTS_DONE) {
      speech.status = PTTS_OK;
      break;
    }
  }
  (void)ptts_close(session);
  (void)ptts_close(codec);
  return speech;
}

std::string speak_and_hash(ptts_handle model, const std::string& fixture, std::string_view text) {
  const Bytes file = read_voice(fixture);
  ptts_handle voice = 0;
  ptts_options options;
  if (ptts_voice_load(model, file.data(), file.size(), &voice) < 0 || ptts_options_init(model, &options) < 0)
    return "";
  const Speech speech = speak(model, voice, text, options);
  (void)ptts_close(voice);
  if (speech.status < 0) return "";
  uint64_t hash = 14695981039346656037ull;  // FNV-1a over the samples' bytes
  for (size_t i = 0; i < speech.pcm.size() * sizeof(float); ++i) {
    hash = (hash ^ reinterpret_cast<const uint8_t*>(speech.pcm.data())[i]) * 1099511628211ull;
  }
  return std::to_string(hash) + "/" + std::to_string(speech.pcm.size());
}

}  // namespace ptts::testing_files
