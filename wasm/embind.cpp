// The door for JavaScript: Embind classes over the C ABI of engine/pocket_tts.h, and no maths.
//
//   const memory = new module.Memory();  memory.allocate(bytes.length);  memory.bytes().set(bytes);
//   const pack = new module.Pack();      pack.open(memory, module.PART_ALL, module.PRECISION_F32);
//
// Conventions:
// * Every call that can be refused returns the ptts_status as a number; module.message() says what was expected and
//   found.  Nothing is thrown from here.
// * Bytes cross in Memory objects: JavaScript fills or reads them through bytes(), floats(), ints(), views on linear
//   memory.  A view dies when the memory grows, so callers ask for a fresh one after every call into the module.
// * Results are written into objects that the caller made (`new module.Model()` before `pack.close(model)`).
// * Sizes, offsets and seeds are doubles, exact below 2^53: no BigInt crosses.
// * An object is closed by close() or, with its JavaScript shell, by Embind's own delete().
#include <emscripten/version.h>

// The engine is built without RTTI; Embind has to be told when this file is too.
#if !defined(__GXX_RTTI) && !defined(EMSCRIPTEN_HAS_UNBOUND_TYPE_NAMES)
#define EMSCRIPTEN_HAS_UNBOUND_TYPE_NAMES 0
#endif

#include <emscripten/bind.h>
#include <emscripten/heap.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "engine/pocket_tts.h"
#include "engine/status.h"

namespace {

using emscripten::typed_memory_view;
using emscripten::val;

// A size that JavaScript sent: a whole number that fits a 32-bit address space.
bool size_from(double number, size_t* out) {
  if (!(number >= 0) || number > static_cast<double>(std::numeric_limits<size_t>::max()) ||
      number != std::floor(number))
    return false;
  *out = static_cast<size_t>(number);
  return true;
}

// A piece of linear memory that JavaScript fills or reads.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { release(); }

  // Takes `bytes`, dropping what was held.  False when refused.
  bool allocate(double bytes) {
    size_t size = 0;
    release();
    if (!size_from(bytes, &size)) return false;
    data_ = ptts_alloc(size == 0 ? 1 : size);
    size_ = data_ == nullptr ? 0 : size;
    return data_ != nullptr;
  }
  void release() { adopt(nullptr, 0); }
  // Takes over memory that the engine handed out.
  void adopt(void* data, size_t size) {
    if (data_ != nullptr) ptts_free(data_);
    data_ = data;
    size_ = size;
  }

  const void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t size() const { return size_; }
  template <class T>
  size_t count() const {
    return size_ / sizeof(T);
  }

  double length() const { return static_cast<double>(size_); }
  val bytes() const { return val(typed_memory_view(size_, as<const uint8_t>())); }
  val floats() const { return val(typed_memory_view(count<float>(), as<const float>())); }
  val ints() const { return val(typed_memory_view(count<int32_t>(), as<const int32_t>())); }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Owns one handle of the engine.
class Handle {
 public:
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { close(); }

  void close() {
    if (handle_ != 0) (void)ptts_close(handle_);
    handle_ = 0;
  }
  bool is_open() const { return handle_ != 0; }
  ptts_handle get() const { return handle_; }
  // Room for a new handle.
  ptts_handle* put() {
    close();
    return &handle_;
  }
  ptts_handle take() { return std::exchange(handle_, 0); }

 private:
  ptts_handle handle_ = 0;
};

struct ModelInfo {
  uint32_t sample_rate, samples_per_frame, latent_width, vocabulary, parts, precision, can_clone, layers,
      hidden_width;
  double weight_bytes;
};

class Model : public Handle {
 public:
  // Zeros when the model is not open.
  ModelInfo info() const {
    ptts_model_info i{};
    if (ptts_model_get_info(get(), &i) != PTTS_OK) i = {};
    return {i.sample_rate,  i.samples_per_frame,
            i.latent_width, i.vocabulary,
            i.parts,        i.precision,
            i.can_clone,    i.layers,
            i.hidden_width, static_cast<double>(i.weight_bytes)};
  }

  // The ids of a text as it is, as 32-bit integers in `ids`.
  int tokenize(const Memory& text, Memory& ids) const {
    size_t count = 0;
    PTTS_TRY(ptts_tokenize(get(), text.as<const char>(), text.size(), nullptr, &count));
    if (!ids.allocate(static_cast<double>(count * sizeof(int32_t))))
      return ptts::fail(PTTS_ERROR_MEMORY, "%zu ids were refused", count);
    return ptts_tokenize(get(), text.as<const char>(), text.size(), ids.as<int32_t>(), &count);
  }

  int detokenize(const Memory& ids, Memory& text) const {
    char* data = nullptr;
    size_t size = 0;
    PTTS_TRY(ptts_detokenize(get(), ids.as<const int32_t>(), ids.count<int32_t>(), &data, &size));
    text.adopt(data, size);
    return PTTS_OK;
  }

  // The frames after the end that the number of words suggests, or a negative status.
  int prepare(const Memory& text, Memory& prepared) const {
    char* data = nullptr;
    size_t size = 0;
    uint32_t guess = 0;
    PTTS_TRY(ptts_prepare(get(), text.as<const char>(), text.size(), &data, &size, &guess));
    prepared.adopt(data, size);
    return static_cast<int>(guess);
  }

  // One call of the flow net; `times` is empty, s, or s and t.
  int flow_velocity(const Memory& condition, const Memory& times, const Memory& x, Memory& velocity) const {
    const ModelInfo i = info();
    if (condition.count<float>() != i.hidden_width || x.count<float>() != i.latent_width)
      return ptts::fail(PTTS_ERROR_ARGUMENT, "flow: expected %u and %u floats, found %zu and %zu",
                        i.hidden_width, i.latent_width, condition.count<float>(), x.count<float>());
    if (!velocity.allocate(static_cast<double>(i.latent_width) * sizeof(float)))
      return ptts::fail(PTTS_ERROR_MEMORY, "%u floats were refused", i.latent_width);
    // The engine reads as many times as its flow type has, two at the most.
    const float two[2] = {times.count<float>() > 0 ? times.as<const float>()[0] : 0.0F,
                          times.count<float>() > 1 ? times.as<const float>()[1] : 0.0F};
    return ptts_flow_velocity(get(), condition.as<const float>(), two, x.as<const float>(),
                              velocity.as<float>());
  }
};

class Pack : public Handle {
 public:
  int open(const Memory& config_json, uint32_t parts, uint32_t precision) {
    return ptts_pack_open(config_json.as<const char>(), config_json.size(), parts, precision, put());
  }
  int tokenizer(uint32_t kind, const Memory& file) {
    return ptts_pack_tokenizer(get(), kind, file.data(), file.size());
  }
  int file(uint32_t kind, double total_bytes) {
    if (!(total_bytes >= 0) || total_bytes > 9007199254740992.0)
      return ptts::fail(PTTS_ERROR_ARGUMENT, "file size: expected 0 to 2^53, found %g", total_bytes);
    return ptts_pack_file(get(), kind, static_cast<uint64_t>(total_bytes));
  }
  // The first `length` bytes of `slice`.
  int feed(const Memory& slice, double length) {
    size_t size = 0;
    if (!size_from(length, &size) || size > slice.size())
      return ptts::fail(PTTS_ERROR_ARGUMENT, "slice: expected at most %zu bytes, found %g", slice.size(),
                        length);
    return ptts_pack_feed(get(), slice.data(), size);
  }
  // Completes the model; the pack is closed either way.
  int finish(Model& model) { return ptts_pack_close(take(), model.put()); }
};

// A model's weights as a file, slice by slice.
class Export : public Handle {
 public:
  // The size of the file, or a negative status.
  double open(const Model& model, uint32_t parts) {
    uint64_t total = 0;
    const int status = ptts_export_open(model.get(), parts, put(), &total);
    return status < 0 ? status : static_cast<double>(total);
  }
  // How many bytes of `slice` were filled (0: the end), or a negative status.
  double read(Memory& slice) {
    size_t written = 0;
    const int status = ptts_export_read(get(), slice.as<void>(), slice.size(), &written);
    return status < 0 ? status : static_cast<double>(written);
  }
};

class Voice : public Handle {
 public:
  int load(const Model& model, const Memory& safetensors) {
    return ptts_voice_load(model.get(), safetensors.data(), safetensors.size(), put());
  }
  int from_wav(const Model& model, const Memory& wav, float max_seconds) {
    return ptts_voice_from_wav(model.get(), wav.data(), wav.size(), max_seconds, put());
  }
  int from_pcm(const Model& model, const Memory& samples, uint32_t sample_rate) {
    return ptts_voice_from_pcm(model.get(), samples.as<const float>(), samples.count<float>(), sample_rate,
                               put());
  }
  // Key/value positions; 0 when the voice is not open.
  uint32_t positions() const {
    uint32_t n = 0;
    return ptts_voice_length(get(), &n) == PTTS_OK ? n : 0;
  }
  int export_to(Memory& out) const {
    void* data = nullptr;
    size_t size = 0;
    PTTS_TRY(ptts_voice_export(get(), &data, &size));
    out.adopt(data, size);
    return PTTS_OK;
  }
};

// ptts_options with a seed that JavaScript can hold.
struct Options {
  double seed;
  float temperature, eos_threshold, noise_clamp;
  int32_t decode_steps, frames_after_eos, max_tokens;
  uint32_t rng, discard_draws;
};

Options default_options(const Model& model) {
  ptts_options o{};
  if (ptts_options_init(model.get(), &o) != PTTS_OK) o = {};
  return {static_cast<double>(o.seed), o.temperature, o.eos_threshold, o.noise_clamp,  o.decode_steps,
          o.frames_after_eos,          o.max_tokens,  o.rng,           o.discard_draws};
}

class Session : public Handle {
 public:
  int open(const Model& model, const Voice& voice, const Memory& text, const Options& o) {
    if (!(o.seed >= 0) || o.seed > 9007199254740992.0)
      return ptts::fail(PTTS_ERROR_ARGUMENT, "seed: expected 0 to 2^53, found %g", o.seed);
    const ptts_options options = {static_cast<uint64_t>(o.seed),
                                  o.temperature,
                                  o.eos_threshold,
                                  o.noise_clamp,
                                  o.decode_steps,
                                  o.frames_after_eos,
                                  o.max_tokens,
                                  o.rng,
                                  o.discard_draws};
    width_ = model.info().latent_width;
    return ptts_session_open(model.get(), voice.get(), text.as<const char>(), text.size(), &options, put());
  }

  uint32_t chunk_count() const {
    uint32_t n = 0;
    return ptts_session_chunk_count(get(), &n) == PTTS_OK ? n : 0;
  }
  ptts_chunk chunk(uint32_t index) const {
    ptts_chunk c{};
    if (ptts_session_chunk(get(), index, &c) != PTTS_OK) c = {};
    return c;
  }
  // `which`: 0 the piece that was cut, 1 the prompt that is spoken.
  std::string chunk_text(uint32_t index, uint32_t which) const {
    const char* text = nullptr;
    size_t size = 0;
    if (ptts_session_chunk_text(get(), index, which, &text, &size) != PTTS_OK) return {};
    return {text, size};
  }
  // A view; copy it before the next call.
  val chunk_ids(uint32_t index) const {
    const int32_t* ids = nullptr;
    size_t count = 0;
    if (ptts_session_chunk_ids(get(), index, &ids, &count) != PTTS_OK) count = 0;
    return val(typed_memory_view(count, ids));
  }
  int seek(uint32_t chunk) { return ptts_session_seek(get(), chunk); }

  int step(Memory& latent) {
    PTTS_TRY(check(latent, "latent"));
    return ptts_session_step(get(), latent.as<float>(), &event_);
  }
  // Up to `most` latents, one behind the other: how many results there are (0: the end), or a negative status.
  int step_many(uint32_t most, uint32_t begin, Memory& latents) {
    if (most < 1 || most > kMany)
      return ptts::fail(PTTS_ERROR_ARGUMENT, "most: expected 1 to %u, found %u", kMany, most);
    if (latents.count<float>() / most < width_)
      return ptts::fail(PTTS_ERROR_ARGUMENT, "latents: expected room for %u times %u floats, found %zu", most,
                        width_, latents.count<float>());
    uint32_t count = 0;
    PTTS_TRY(ptts_session_step_many(get(), most, begin, latents.as<float>(), events_, statuses_, &count));
    return static_cast<int>(count);
  }
  // Of the i-th of those results.
  ptts_event event_of(uint32_t i) const { return events_[i % kMany]; }
  int status_of(uint32_t i) const { return statuses_[i % kMany]; }
  // `previous`, `noise`: null for the session's own.
  int step_forced(const Memory* previous, const Memory* noise, Memory& latent) {
    if (previous != nullptr) PTTS_TRY(check(*previous, "previous"));
    if (noise != nullptr) PTTS_TRY(check(*noise, "noise"));
    PTTS_TRY(check(latent, "latent"));
    return ptts_session_step_forced(get(), previous == nullptr ? nullptr : previous->as<const float>(),
                                    noise == nullptr ? nullptr : noise->as<const float>(), latent.as<float>(),
                                    &event_);
  }
  // What the last step reported.
  ptts_event event() const { return event_; }

 private:
  int check(const Memory& memory, const char* what) const {
    if (memory.count<float>() >= width_) return PTTS_OK;
    return ptts::fail(PTTS_ERROR_ARGUMENT, "%s: expected room for %u floats, found %zu", what, width_,
                      memory.count<float>());
  }
  static constexpr uint32_t kMany = 16;
  uint32_t width_ = 0;
  ptts_event event_{}, events_[kMany]{};
  ptts_status statuses_[kMany]{};
};

class Codec : public Handle {
 public:
  int open(const Model& model) {
    const ModelInfo info = model.info();
    width_ = info.latent_width;
    frame_ = info.samples_per_frame;
    return ptts_codec_open(model.get(), put());
  }
  int reset() { return ptts_codec_reset(get()); }
  int fade(bool on) { return ptts_codec_fade(get(), on ? 1 : 0); }
  int decode(const Memory& latents, uint32_t count, Memory& pcm) {
    if (latents.count<float>() / (width_ == 0 ? 1 : width_) < count ||
        pcm.count<float>() / (frame_ == 0 ? 1 : frame_) < count)
      return ptts::fail(PTTS_ERROR_ARGUMENT,
                        "decode: expected room for %u latents and frames, found %zu and %zu floats", count,
                        latents.count<float>(), pcm.count<float>());
    return ptts_codec_decode(get(), latents.as<const float>(), count, pcm.as<float>());
  }

 private:
  uint32_t width_ = 0, frame_ = 0;
};

// Speech at another speed.
class Stretch : public Handle {
 public:
  int open(uint32_t sample_rate, float speed) { return ptts_stretch_open(sample_rate, speed, put()); }
  // The first `count` samples.
  int write(const Memory& samples, uint32_t count) {
    if (count > samples.count<float>())
      return ptts::fail(PTTS_ERROR_ARGUMENT, "samples: expected at most %zu, found %u",
                        samples.count<float>(), count);
    return ptts_stretch_write(get(), samples.as<const float>(), count);
  }
  int end() { return ptts_stretch_end(get()); }
  // How many samples were written, or a negative status.
  int read(Memory& samples) {
    size_t written = 0;
    PTTS_TRY(ptts_stretch_read(get(), samples.as<float>(), samples.count<float>(), &written));
    return static_cast<int>(written);
  }
};

// ---- looking inside: what the parity tool uses ------------------------------------------------------------------

int probe_take(Memory& out) {
  void* data = nullptr;
  size_t size = 0;
  PTTS_TRY(ptts_probe_take(&data, &size));
  out.adopt(data, size);
  return PTTS_OK;
}

// The sample rate, or a negative status.
int wav_read(const Memory& file, Memory& out) {
  float* samples = nullptr;
  size_t count = 0;
  uint32_t rate = 0;
  PTTS_TRY(ptts_wav_read(file.data(), file.size(), &samples, &count, &rate));
  out.adopt(samples, count * sizeof(float));
  return static_cast<int>(rate);
}

int resample(const Memory& in, uint32_t from, uint32_t to, Memory& out) {
  float* samples = nullptr;
  size_t count = 0;
  PTTS_TRY(ptts_resample(in.as<const float>(), in.count<float>(), from, to, &samples, &count));
  out.adopt(samples, count * sizeof(float));
  return PTTS_OK;
}

int end_on_pause(const Memory& in, Memory& out) {
  float* samples = nullptr;
  size_t count = 0;
  PTTS_TRY(ptts_end_on_pause(in.as<const float>(), in.count<float>(), &samples, &count));
  out.adopt(samples, count * sizeof(float));
  return PTTS_OK;
}

// One draw of each of `widths` (uint32) from one generator, one behind the other, into `out`.
int normals(double seed, float temperature, float noise_clamp, const Memory& widths, Memory& out) {
  if (!(seed >= 0) || seed > 9007199254740992.0)
    return ptts::fail(PTTS_ERROR_ARGUMENT, "seed: expected 0 to 2^53, found %g", seed);
  double total = 0;
  for (size_t i = 0; i < widths.count<uint32_t>(); ++i) total += widths.as<const uint32_t>()[i];
  if (!out.allocate(total * sizeof(float)))
    return ptts::fail(PTTS_ERROR_MEMORY, "%.0f values were refused", total);
  return ptts_normals(static_cast<uint64_t>(seed), temperature, noise_clamp, widths.as<const uint32_t>(),
                      widths.count<uint32_t>(), out.as<float>());
}

int probe(bool on) { return ptts_probe(on ? 1 : 0); }
std::string message() { return ptts_message(); }
std::string version() { return ptts_version(); }
std::string status_name(int status) { return ptts_status_name(status); }
double allocated_bytes() { return static_cast<double>(ptts_allocated_bytes()); }
double memory_bytes() { return static_cast<double>(emscripten_get_heap_size()); }

}  // namespace

EMSCRIPTEN_BINDINGS(pocket_tts) {
  using namespace emscripten;

  constant("PART_ALL", int{PTTS_PART_ALL});
  constant("PART_FLOW_LM", int{PTTS_PART_FLOW_LM});
  constant("PART_MIMI_DECODER", int{PTTS_PART_MIMI_DECODER});
  constant("PART_MIMI_ENCODER", int{PTTS_PART_MIMI_ENCODER});
  constant("PRECISION_F32", int{PTTS_PRECISION_F32});
  constant("PRECISION_Q8", int{PTTS_PRECISION_Q8});
  constant("PRECISION_Q4", int{PTTS_PRECISION_Q4});
  constant("TOKENIZER_SENTENCEPIECE", int{PTTS_TOKENIZER_SENTENCEPIECE});
  constant("TOKENIZER_JSON", int{PTTS_TOKENIZER_JSON});
  constant("FILE_BUNDLE", int{PTTS_FILE_BUNDLE});
  constant("FILE_FLOW_LM", int{PTTS_FILE_FLOW_LM});
  constant("FILE_MIMI", int{PTTS_FILE_MIMI});
  constant("RNG_CHUNK", int{PTTS_RNG_CHUNK});
  constant("RNG_TORCH", int{PTTS_RNG_TORCH});
  constant("NONE", double{PTTS_NONE});
  constant("OK", int{PTTS_OK});
  constant("CHUNK_END", int{PTTS_CHUNK_END});
  constant("DONE", int{PTTS_DONE});

  function("message", &message);
  function("version", &version);
  function("statusName", &status_name);
  function("allocatedBytes", &allocated_bytes);
  function("memoryBytes", &memory_bytes);
  function("probe", &probe);
  function("probeTake", &probe_take);
  function("wavRead", &wav_read);
  function("resample", &resample);
  function("endOnPause", &end_on_pause);
  function("normals", &normals);
  function("defaultOptions", &default_options);

  value_object<ModelInfo>("ModelInfo")
      .field("sampleRate", &ModelInfo::sample_rate)
      .field("samplesPerFrame", &ModelInfo::samples_per_frame)
      .field("latentWidth", &ModelInfo::latent_width)
      .field("vocabulary", &ModelInfo::vocabulary)
      .field("parts", &ModelInfo::parts)
      .field("precision", &ModelInfo::precision)
      .field("canClone", &ModelInfo::can_clone)
      .field("layers", &ModelInfo::layers)
      .field("hiddenWidth", &ModelInfo::hidden_width)
      .field("weightBytes", &ModelInfo::weight_bytes);
  value_object<Options>("Options")
      .field("seed", &Options::seed)
      .field("temperature", &Options::temperature)
      .field("eosThreshold", &Options::eos_threshold)
      .field("noiseClamp", &Options::noise_clamp)
      .field("decodeSteps", &Options::decode_steps)
      .field("framesAfterEos", &Options::frames_after_eos)
      .field("maxTokens", &Options::max_tokens)
      .field("rng", &Options::rng)
      .field("discardDraws", &Options::discard_draws);
  value_object<ptts_event>("Event")
      .field("chunk", &ptts_event::chunk)
      .field("step", &ptts_event::step)
      .field("eosLogit", &ptts_event::eos_logit)
      .field("eos", &ptts_event::eos)
      .field("truncated", &ptts_event::truncated);
  value_object<ptts_chunk>("Chunk")
      .field("tokens", &ptts_chunk::tokens)
      .field("framesAfterEos", &ptts_chunk::frames_after_eos)
      .field("maxFrames", &ptts_chunk::max_frames)
      .field("textBegin", &ptts_chunk::text_begin)
      .field("textEnd", &ptts_chunk::text_end)
      .field("overLimit", &ptts_chunk::over_limit);

  class_<Memory>("Memory")
      .constructor<>()
      .function("allocate", &Memory::allocate)
      .function("release", &Memory::release)
      .function("length", &Memory::length)
      .function("bytes", &Memory::bytes)
      .function("floats", &Memory::floats)
      .function("ints", &Memory::ints);
  class_<Handle>("Handle").function("close", &Handle::close).function("isOpen", &Handle::is_open);
  class_<Pack, base<Handle>>("Pack")
      .constructor<>()
      .function("open", &Pack::open)
      .function("tokenizer", &Pack::tokenizer)
      .function("file", &Pack::file)
      .function("feed", &Pack::feed)
      .function("finish", &Pack::finish);
  class_<Model, base<Handle>>("Model")
      .constructor<>()
      .function("info", &Model::info)
      .function("tokenize", &Model::tokenize)
      .function("detokenize", &Model::detokenize)
      .function("prepare", &Model::prepare)
      .function("flowVelocity", &Model::flow_velocity);
  class_<Export, base<Handle>>("Export")
      .constructor<>()
      .function("open", &Export::open)
      .function("read", &Export::read);
  class_<Voice, base<Handle>>("Voice")
      .constructor<>()
      .function("load", &Voice::load)
      .function("fromWav", &Voice::from_wav)
      .function("fromPcm", &Voice::from_pcm)
      .function("positions", &Voice::positions)
      .function("exportTo", &Voice::export_to);
  class_<Session, base<Handle>>("Session")
      .constructor<>()
      .function("open", &Session::open)
      .function("chunkCount", &Session::chunk_count)
      .function("chunk", &Session::chunk)
      .function("chunkText", &Session::chunk_text)
      .function("chunkIds", &Session::chunk_ids)
      .function("seek", &Session::seek)
      .function("step", &Session::step)
      .function("stepForced", &Session::step_forced, allow_raw_pointers())
      .function("stepMany", &Session::step_many)
      .function("eventOf", &Session::event_of)
      .function("statusOf", &Session::status_of)
      .function("event", &Session::event);
  class_<Codec, base<Handle>>("Codec")
      .constructor<>()
      .function("open", &Codec::open)
      .function("reset", &Codec::reset)
      .function("fade", &Codec::fade)
      .function("decode", &Codec::decode);
  class_<Stretch, base<Handle>>("Stretch")
      .constructor<>()
      .function("open", &Stretch::open)
      .function("write", &Stretch::write)
      .function("end", &Stretch::end)
      .function("read", &Stretch::read);
}
