// The C interface: arguments are checked, exceptions end here, the last error is kept for each thread.
#include "pocket_tts/pocket_tts_c.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#ifndef _WIN32
#include <dlfcn.h>
#endif

#include "audio.h"
#include "instance.h"

using namespace ptts;
using namespace ptts::capi;

namespace {

// The layouts that programs are compiled against.
static_assert(sizeof(void*) != 8 ||
              (sizeof(PocketTTSConfig) == 40 && sizeof(AudioResult) == 16 && sizeof(StreamingConfig) == 16));
static_assert(sizeof(void*) != 4 ||
              (sizeof(PocketTTSConfig) == 24 && sizeof(AudioResult) == 12 && sizeof(StreamingConfig) == 8));

constexpr float kTheirTemperature = 0.7f;
constexpr int kTheirSteps = 10, kTheirFrames = 500, kTheirPiece = 5;
constexpr int kNone = -1;

thread_local char last_error[2048] = "";

void set_error(const char* what, const char* message) {
  std::snprintf(last_error, sizeof last_error, "%s: %s", what, message);
}

// Runs `call`, a ptts_status, and tells whether it went well.  What goes wrong, exceptions too, becomes the last error.
template <typename Call>
bool attempt(const char* what, Call call) noexcept {
  try {
    if (call() >= 0) return true;
    set_error(what, last_message());
  } catch (const std::bad_alloc&) {
    set_error(what, "memory that was asked for could not be had");
  } catch (const std::exception& error) {
    set_error(what, error.what());
  } catch (...) {
    set_error(what, "an exception of unknown kind, from the callback or from below");
  }
  return false;
}

template <typename... Pointers>
ptts_status need(Pointers... pointers) {
  const bool all = (... && (pointers != nullptr));
  return all ? PTTS_OK : fail(PTTS_ERROR_ARGUMENT, "null argument");
}

Instance* instance_of(PocketTTSHandle handle) { return static_cast<Instance*>(handle); }
const VoiceBox* voice_of(VoiceHandle voice) { return static_cast<const VoiceBox*>(voice); }

ptts_status read_precision(const char* word, std::optional<uint32_t>* precision) {
  if (word == nullptr) return PTTS_OK;
  const std::string_view name = word;
  if (name == "int8" || name == "q8") {
    *precision = PTTS_PRECISION_Q8;
  } else if (name == "fp32" || name == "f32") {
    *precision = PTTS_PRECISION_F32;
  } else if (name == "q4") {
    *precision = PTTS_PRECISION_Q4;
  } else {
    return fail(PTTS_ERROR_ARGUMENT,
                "precision: expected \"int8\", \"fp32\", \"q8\", \"q4\" or \"f32\", found \"%.40s\"", word);
  }
  return PTTS_OK;
}

// share/pocket_tts/starter of the tree that this library (or the program that it is part of) is installed in.
Path installed_starter() {
#ifndef _WIN32
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&installed_starter), &info) != 0 && info.dli_fname != nullptr) {
    std::error_code error;
    const Path self = std::filesystem::canonical(info.dli_fname, error);
    Path prefix = self.parent_path();
    for (int levels = 0; !error && levels < 2; ++levels) {  // lib, or lib/x86_64-linux-gnu
      prefix = prefix.parent_path();
      const Path found = prefix / "share" / "pocket_tts" / "starter";
      if (std::filesystem::exists(found / "pack.json", error)) return found;
    }
  }
#endif
  return {};
}

// The folder of the pack.
ptts_status choose_folder(const char* models_dir, const char* language, Path* folder) {
  if (models_dir != nullptr) {
    *folder = path_of(models_dir);
    if (*models_dir == 0) return fail(PTTS_ERROR_ARGUMENT, "models_dir: expected a folder, found \"\"");
  } else {
    *folder = "models/onnx";
    std::error_code error;
    if (!std::filesystem::exists(*folder, error)) {
      *folder = installed_starter();
      if (folder->empty()) {
        return fail(PTTS_ERROR_ARGUMENT,
                    "models_dir: none was named, there is no models/onnx in the working directory, and no "
                    "share/pocket_tts/starter is installed beside this library: name the folder of a pack");
      }
    }
  }
  if (language == nullptr) return PTTS_OK;
  const std::string_view name = language;
  if (name.empty() || name == "." || name == ".." || name.find_first_of("/\\:") != name.npos) {
    return fail(PTTS_ERROR_ARGUMENT,
                "language: expected the name of a folder in models_dir, found \"%.100s\"", language);
  }
  *folder /= path_of(name);
  return PTTS_OK;
}

std::optional<Path> optional_path(const char* text) {
  if (text == nullptr) return {};
  return path_of(text);
}

// What both configurations come down to.
struct Wanted {
  PocketTTSConfigEx config;
  float temperature_of_none;  // where the pack has none; < 0: the engine's
};

Wanted from_their_config(const PocketTTSConfig* theirs) {
  Wanted wanted;
  pocket_tts_config_ex_init(&wanted.config, sizeof wanted.config);
  wanted.temperature_of_none = kTheirTemperature;
  wanted.config.lsd_steps = kTheirSteps;
  wanted.config.max_frames = kTheirFrames;
  if (theirs == nullptr) return wanted;
  wanted.config.models_dir = theirs->models_dir;
  wanted.config.tokenizer_path = theirs->tokenizer_path;
  wanted.config.precision = theirs->precision;
  if (theirs->temperature > 0) wanted.config.temperature = theirs->temperature;
  if (theirs->lsd_steps > 0) wanted.config.lsd_steps = theirs->lsd_steps;
  if (theirs->max_frames > 0) wanted.config.max_frames = theirs->max_frames;
  return wanted;
}

ptts_status check_config(const PocketTTSConfigEx& c) {
  if (c.max_frames < 0)
    return fail(PTTS_ERROR_ARGUMENT, "max_frames: expected 0 (no limit) or more, found %d", c.max_frames);
  if (c.threads < 0) return fail(PTTS_ERROR_ARGUMENT, "threads: expected 0 or more, found %d", c.threads);
  if ((c.flags & ~uint32_t{POCKET_TTS_FLAG_NO_CLONING | POCKET_TTS_FLAG_TORCH_RNG}) != 0) {
    return fail(PTTS_ERROR_ARGUMENT, "flags: expected POCKET_TTS_FLAG_*, found 0x%x", c.flags);
  }
  return PTTS_OK;
}

ptts_status create(const Wanted& wanted, std::unique_ptr<Instance>* instance) {
  const PocketTTSConfigEx& c = wanted.config;
  PTTS_TRY(check_config(c));
  LoadOptions where;
  PTTS_TRY(read_precision(c.precision, &where.precision));
  PTTS_TRY(choose_folder(c.models_dir, c.language, &where.folder));
  where.tokenizer = optional_path(c.tokenizer_path);
  where.voices = optional_path(c.voices_dir);
  where.cloning = (c.flags & POCKET_TTS_FLAG_NO_CLONING) == 0;

  ptts_options how = default_options({});
  const bool own_temperature = !(c.temperature >= 0), own_threshold = std::isnan(c.eos_threshold);
  how.seed = c.seed;
  if (!own_temperature) how.temperature = c.temperature;
  if (!own_threshold) how.eos_threshold = c.eos_threshold;
  how.noise_clamp = c.noise_clamp;
  how.decode_steps = c.lsd_steps;
  how.frames_after_eos = c.frames_after_eos;
  how.max_tokens = c.max_tokens;
  how.rng = (c.flags & POCKET_TTS_FLAG_TORCH_RNG) != 0 ? PTTS_RNG_TORCH : PTTS_RNG_CHUNK;
  PTTS_TRY(check_options(how));  // before the long read

  Loaded loaded;
  PTTS_TRY(load(where, &loaded));
  const ptts_options own = default_options(loaded.model->config);
  if (own_threshold) how.eos_threshold = own.eos_threshold;
  if (own_temperature) {
    const bool ours = loaded.has_temperature || wanted.temperature_of_none < 0;
    how.temperature = ours ? own.temperature : wanted.temperature_of_none;
  }
  *instance = std::make_unique<Instance>(std::move(loaded), how, static_cast<uint32_t>(c.max_frames));
  return PTTS_OK;
}

PocketTTSHandle create_handle(const Wanted& wanted) {
  std::unique_ptr<Instance> instance;
  if (!attempt("pocket_tts_create", [&] { return create(wanted, &instance); })) return nullptr;
  return instance.release();
}

// A new voice, made by `make` in the handle's turn.
template <typename Make>
VoiceHandle make_voice(const char* what, PocketTTSHandle handle, Make make) {
  std::unique_ptr<VoiceBox> box;
  const bool made = attempt(what, [&]() -> ptts_status {
    auto fresh = std::make_unique<VoiceBox>();
    const Instance::Turn turn(instance_of(handle));
    PTTS_TRY(turn.status());
    PTTS_TRY(make(instance_of(handle), fresh.get()));
    box = std::move(fresh);
    return PTTS_OK;
  });
  return made ? box.release() : nullptr;
}

// Samples of the C heap that grow.
class Speech {
 public:
  Speech() = default;
  Speech(const Speech&) = delete;
  Speech& operator=(const Speech&) = delete;
  ~Speech() { std::free(data_); }

  ptts_status add(std::span<const float> samples) {
    if (samples.empty()) return PTTS_OK;
    if (size_ + samples.size() > room_) {
      const size_t room = std::max(2 * room_, size_ + samples.size());
      auto* larger = static_cast<float*>(std::realloc(data_, room * sizeof(float)));
      if (larger == nullptr) {
        return fail(PTTS_ERROR_MEMORY, "samples: %zu bytes could not be had", room * sizeof(float));
      }
      data_ = larger;
      room_ = room;
    }
    std::memcpy(data_ + size_, samples.data(), samples.size_bytes());
    size_ += samples.size();
    return PTTS_OK;
  }
  void give(AudioResult* result) {
    void* exact = size_ > 0 ? std::realloc(data_, size_ * sizeof(float)) : nullptr;
    if (exact != nullptr) data_ = static_cast<float*>(exact);
    *result = {std::exchange(data_, nullptr), static_cast<int>(size_), result->sample_rate};
  }

 private:
  float* data_ = nullptr;
  size_t size_ = 0, room_ = 0;
};

}  // namespace

extern "C" {

void pocket_tts_config_ex_init(PocketTTSConfigEx* config, size_t struct_size) {
  if (config == nullptr || struct_size < sizeof(PocketTTSConfigEx)) return;
  *config = {};
  config->struct_size = struct_size;
  config->seed = 42;
  config->temperature = kNone;
  config->eos_threshold = std::nanf("");
  config->lsd_steps = 1;
  config->frames_after_eos = kNone;
  config->max_tokens = 50;
}

PocketTTSHandle pocket_tts_create(const PocketTTSConfig* config) {
  return create_handle(from_their_config(config));
}

PocketTTSHandle pocket_tts_create_ex(const PocketTTSConfigEx* config) {
  Wanted wanted;
  pocket_tts_config_ex_init(&wanted.config, sizeof wanted.config);
  wanted.temperature_of_none = kNone;
  if (config != nullptr) {
    // The first version: a smaller one never was, of a larger one the rest would be passed over in silence.
    if (config->struct_size != sizeof wanted.config) {
      (void)attempt("pocket_tts_create_ex", [&] {
        return fail(PTTS_ERROR_ARGUMENT,
                    "struct_size: expected %zu (pocket_tts_config_ex_init sets it), found %zu",
                    sizeof wanted.config, config->struct_size);
      });
      return nullptr;
    }
    wanted.config = *config;
  }
  return create_handle(wanted);
}

void pocket_tts_destroy(PocketTTSHandle handle) {
  if (handle == nullptr) return;
  (void)attempt("pocket_tts_destroy", [&]() -> ptts_status {
    instance_of(handle)->cancel();
    {  // whoever is still speaking ends first
      const Instance::Turn turn(instance_of(handle));
      PTTS_TRY(turn.status());
    }
    delete instance_of(handle);
    return PTTS_OK;
  });
}

VoiceHandle pocket_tts_encode_voice(PocketTTSHandle handle, const char* audio_path) {
  constexpr const char* kWhat = "pocket_tts_encode_voice";
  if (!attempt(kWhat, [&] { return need(handle, audio_path); })) return nullptr;
  return make_voice(kWhat, handle, [&](Instance* instance, VoiceBox* box) {
    return instance->voice_from_source(audio_path, box);
  });
}

VoiceHandle pocket_tts_encode_voice_from_samples(PocketTTSHandle handle, const float* audio_data,
                                                 int sample_count, int sample_rate) {
  constexpr const char* kWhat = "pocket_tts_encode_voice_from_samples";
  const auto check = [&]() -> ptts_status {
    PTTS_TRY(need(handle, audio_data));
    if (sample_rate < static_cast<int>(kMinSampleRate) || sample_rate > static_cast<int>(kMaxSampleRate)) {
      return fail(PTTS_ERROR_ARGUMENT, "sample_rate: expected %u to %u Hz, found %d", kMinSampleRate,
                  kMaxSampleRate, sample_rate);
    }
    const int64_t most = int64_t{kReferenceMinutes} * 60 * sample_rate;
    if (sample_count < 1 || sample_count > most) {
      return fail(PTTS_ERROR_ARGUMENT, "sample_count: expected 1 to %lld (%d minutes), found %d",
                  static_cast<long long>(most), kReferenceMinutes, sample_count);
    }
    return PTTS_OK;
  };
  if (!attempt(kWhat, check)) return nullptr;
  return make_voice(kWhat, handle, [&](Instance* instance, VoiceBox* box) {
    return instance->voice_from_samples({audio_data, static_cast<size_t>(sample_count)},
                                        static_cast<uint32_t>(sample_rate), box);
  });
}

void pocket_tts_free_voice(VoiceHandle voice) { delete voice_of(voice); }

int pocket_tts_generate(PocketTTSHandle handle, const char* text, VoiceHandle voice, AudioResult* result) {
  if (result != nullptr) *result = {};
  const bool spoken = attempt("pocket_tts_generate", [&]() -> ptts_status {
    PTTS_TRY(need(handle, text, voice, result));
    Instance* instance = instance_of(handle);
    const Instance::Turn turn(instance);
    PTTS_TRY(turn.status());
    Speech speech;
    PTTS_TRY(instance->speak(text, *voice_of(voice),
                             [&](std::span<const float> frame) { return speech.add(frame); }));
    result->sample_rate = static_cast<int>(instance->loaded().model->config.sample_rate);
    speech.give(result);
    return PTTS_OK;
  });
  return spoken ? 0 : -1;
}

void pocket_tts_free_audio(AudioResult* result) {
  if (result == nullptr) return;
  std::free(result->data);
  result->data = nullptr;
  result->sample_count = 0;
}

int pocket_tts_generate_streaming(PocketTTSHandle handle, const char* text, VoiceHandle voice,
                                  AudioChunkCallbackC callback, const StreamingConfig* config) {
  int samples = 0;
  const bool spoken = attempt("pocket_tts_generate_streaming", [&]() -> ptts_status {
    PTTS_TRY(need(handle, text, voice, callback));
    Instance* instance = instance_of(handle);
    const Instance::Turn turn(instance);
    PTTS_TRY(turn.status());
    const size_t most = INT_MAX / instance->loaded().model->config.samples_per_frame;
    size_t frames = kTheirPiece;
    if (config != nullptr && config->chunk_size_frames > 0)
      frames = static_cast<size_t>(config->chunk_size_frames);
    void* user_data = config != nullptr ? config->user_data : nullptr;
    return instance->stream(text, *voice_of(voice), std::min(frames, most),
                            [&](std::span<const float> piece, bool last) {
                              samples += static_cast<int>(piece.size());
                              callback(piece.data(), static_cast<int>(piece.size()), last ? 1 : 0, user_data);
                            });
  });
  return spoken ? samples : -1;
}

void pocket_tts_cancel_streaming(PocketTTSHandle handle) {
  if (handle != nullptr) instance_of(handle)->cancel();
}

const char* pocket_tts_get_last_error(void) { return last_error; }

const char* pocket_tts_version(void) { return ptts_version(); }

int pocket_tts_sample_rate(PocketTTSHandle handle) {
  if (!attempt("pocket_tts_sample_rate", [&] { return need(handle); })) return -1;
  return static_cast<int>(instance_of(handle)->loaded().model->config.sample_rate);
}

int pocket_tts_export_voice(VoiceHandle voice, const char* path) {
  const bool written = attempt("pocket_tts_export_voice", [&]() -> ptts_status {
    PTTS_TRY(need(voice, path));
    void* data = nullptr;
    size_t length = 0;
    PTTS_TRY(export_voice(*voice_of(voice)->voice, &data, &length));
    const std::unique_ptr<void, decltype(&std::free)> owner(data, &std::free);
    return write_file(path_of(path), {static_cast<const uint8_t*>(data), length});
  });
  return written ? 0 : -1;
}

int pocket_tts_list_voices(PocketTTSHandle handle, const char** names, int capacity) {
  const auto check = [&]() -> ptts_status {
    PTTS_TRY(need(handle));
    if (capacity < 0 || (capacity > 0 && names == nullptr)) {
      return fail(PTTS_ERROR_ARGUMENT, "capacity: expected room for %d names, found none", capacity);
    }
    return PTTS_OK;
  };
  if (!attempt("pocket_tts_list_voices", check)) return -1;
  const std::vector<std::string>& all = instance_of(handle)->loaded().names;
  for (size_t i = 0; i < all.size() && i < static_cast<size_t>(capacity); ++i) names[i] = all[i].c_str();
  return static_cast<int>(all.size());
}

}  // extern "C"
