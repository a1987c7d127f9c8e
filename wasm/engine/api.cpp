// The C ABI: arguments are checked, handles become objects, nothing is computed here.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>

#include "audio.h"
#include "buffer.h"
#include "export.h"
#include "handles.h"
#include "model.h"
#include "pack.h"
#include "rng.h"
#include "session.h"
#include "stretch.h"
#include "voice.h"

using namespace ptts;

namespace {

HandleTable& handles() {
  static HandleTable table;
  return table;
}

template <typename T>
constexpr HandleKind kKind = HandleKind::kFree;
template <>
constexpr HandleKind kKind<Pack> = HandleKind::kPack;
template <>
constexpr HandleKind kKind<Model> = HandleKind::kModel;
template <>
constexpr HandleKind kKind<Voice> = HandleKind::kVoice;
template <>
constexpr HandleKind kKind<Session> = HandleKind::kSession;

template <>
constexpr HandleKind kKind<Export> = HandleKind::kExport;
template <>
constexpr HandleKind kKind<Stretch> = HandleKind::kStretch;

struct CodecStream {
  std::shared_ptr<const Model> model;
  Codec codec;
};
template <>
constexpr HandleKind kKind<CodecStream> = HandleKind::kCodec;

template <typename T>
ptts_status get(ptts_handle handle, std::shared_ptr<T>* object) {
  std::shared_ptr<void> found;
  PTTS_TRY(handles().get(handle, kKind<T>, &found));
  *object = std::static_pointer_cast<T>(found);
  return PTTS_OK;
}

template <typename T>
ptts_status add(std::shared_ptr<T> object, ptts_handle* handle) {
  return handles().add(kKind<T>, std::move(object), handle);
}

// Refuses null pointers; `what` names the call.
template <typename... Pointers>
ptts_status need(const char* what, Pointers... pointers) {
  bool missing = false;
  ((missing = missing || pointers == nullptr), ...);
  return missing ? fail(PTTS_ERROR_ARGUMENT, "%s: a null pointer", what) : PTTS_OK;
}

// Bytes that may be empty.
ptts_status need_bytes(const char* what, const void* data, size_t length) {
  if (data == nullptr && length > 0) return fail(PTTS_ERROR_ARGUMENT, "%s: a null pointer", what);
  return PTTS_OK;
}
std::span<const uint8_t> bytes_of(const void* data, size_t length) {
  return {static_cast<const uint8_t*>(data), length};
}

// A Buffer's values in memory of the C heap, for the caller to free.
ptts_status give(const Buffer<float>& values, float** out, size_t* count) {
  *out = static_cast<float*>(std::malloc(values.bytes() > 0 ? values.bytes() : 1));
  if (*out == nullptr) return fail(PTTS_ERROR_MEMORY, "%zu bytes could not be had", values.bytes());
  if (!values.empty()) std::memcpy(*out, values.data(), values.bytes());
  *count = values.size();
  return PTTS_OK;
}

ptts_status give_text(const std::string& text, char** out, size_t* length) {
  *out = static_cast<char*>(std::malloc(text.size() + 1));
  if (*out == nullptr) return fail(PTTS_ERROR_MEMORY, "%zu bytes could not be had", text.size() + 1);
  std::memcpy(*out, text.c_str(), text.size() + 1);
  *length = text.size();
  return PTTS_OK;
}

ptts_status get_chunk(const char* what, ptts_handle session, uint32_t index, std::shared_ptr<Session>* s,
                      const Chunk** chunk) {
  PTTS_TRY(get(session, s));
  if (index >= (*s)->chunks().size()) {
    return fail(PTTS_ERROR_ARGUMENT, "%s: expected a chunk below %zu, found %u", what, (*s)->chunks().size(),
                index);
  }
  *chunk = &(*s)->chunks()[index];
  return PTTS_OK;
}

}  // namespace

extern "C" {

const char* ptts_version(void) { return "0.1.0"; }

uint64_t ptts_allocated_bytes(void) { return allocated_bytes; }

ptts_status ptts_close(ptts_handle handle) { return handles().close(handle); }

void* ptts_alloc(size_t bytes) { return std::malloc(bytes > 0 ? bytes : 1); }
void ptts_free(void* memory) { std::free(memory); }

// ---- loading

ptts_status ptts_pack_open(const char* config_json, size_t length, uint32_t parts, uint32_t precision,
                           ptts_handle* pack) {
  PTTS_TRY(need("ptts_pack_open", config_json, pack));
  auto object = std::make_shared<Pack>();
  PTTS_TRY(object->open({config_json, length}, parts, precision));
  return add(std::move(object), pack);
}

ptts_status ptts_pack_tokenizer(ptts_handle pack, uint32_t kind, const void* data, size_t length) {
  PTTS_TRY(need_bytes("ptts_pack_tokenizer", data, length));
  std::shared_ptr<Pack> p;
  PTTS_TRY(get(pack, &p));
  return p->tokenizer(kind, bytes_of(data, length));
}

ptts_status ptts_pack_file(ptts_handle pack, uint32_t kind, uint64_t total_bytes) {
  std::shared_ptr<Pack> p;
  PTTS_TRY(get(pack, &p));
  return p->file(kind, total_bytes);
}

ptts_status ptts_pack_feed(ptts_handle pack, const void* data, size_t length) {
  PTTS_TRY(need_bytes("ptts_pack_feed", data, length));
  std::shared_ptr<Pack> p;
  PTTS_TRY(get(pack, &p));
  return p->feed(bytes_of(data, length));
}

ptts_status ptts_pack_close(ptts_handle pack, ptts_handle* model) {
  PTTS_TRY(need("ptts_pack_close", model));
  std::shared_ptr<Pack> p;
  PTTS_TRY(get(pack, &p));
  PTTS_TRY(handles().close(pack));
  std::unique_ptr<Model> m;
  PTTS_TRY(p->close(&m));
  return add(std::shared_ptr<Model>(std::move(m)), model);
}

// ---- the model

ptts_status ptts_model_get_info(ptts_handle model, ptts_model_info* info) {
  PTTS_TRY(need("ptts_model_get_info", info));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  const Config& c = m->config;
  *info = {};
  info->sample_rate = static_cast<uint32_t>(c.sample_rate);
  info->samples_per_frame = static_cast<uint32_t>(c.samples_per_frame);
  info->latent_width = static_cast<uint32_t>(c.latent);
  info->vocabulary = static_cast<uint32_t>(c.n_bins);
  info->parts = m->parts;
  info->precision = m->precision;
  info->can_clone = m->can_clone() ? 1 : 0;
  info->layers = static_cast<uint32_t>(c.backbone.layers);
  info->hidden_width = static_cast<uint32_t>(c.hidden());
  info->weight_bytes = m->weight_bytes;
  return PTTS_OK;
}

ptts_status ptts_export_open(ptts_handle model, uint32_t parts, ptts_handle* exported,
                             uint64_t* total_bytes) {
  PTTS_TRY(need("ptts_export_open", exported, total_bytes));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  auto object = std::make_shared<Export>();
  PTTS_TRY(object->open(std::move(m), parts));
  *total_bytes = object->total_bytes();
  return add(std::move(object), exported);
}

ptts_status ptts_export_read(ptts_handle exported, void* data, size_t capacity, size_t* written) {
  PTTS_TRY(need("ptts_export_read", data, written));
  std::shared_ptr<Export> e;
  PTTS_TRY(get(exported, &e));
  *written = e->read(static_cast<uint8_t*>(data), capacity);
  return PTTS_OK;
}

ptts_status ptts_tokenize(ptts_handle model, const char* text, size_t length, int32_t* ids, size_t* count) {
  PTTS_TRY(need("ptts_tokenize", count));
  PTTS_TRY(need_bytes("ptts_tokenize", text, length));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  if (m->tokenizer == nullptr) return fail(PTTS_ERROR_STATE, "ptts_tokenize: no tokenizer is loaded here");
  std::vector<int32_t> found;
  PTTS_TRY(m->tokenizer->encode({text, length}, &found));
  const size_t room = *count;
  *count = found.size();
  for (size_t i = 0; ids != nullptr && i < room && i < found.size(); ++i) ids[i] = found[i];
  return PTTS_OK;
}

ptts_status ptts_detokenize(ptts_handle model, const int32_t* ids, size_t count, char** text,
                            size_t* length) {
  PTTS_TRY(need("ptts_detokenize", text, length));
  PTTS_TRY(need_bytes("ptts_detokenize", ids, count));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  if (m->tokenizer == nullptr) return fail(PTTS_ERROR_STATE, "ptts_detokenize: no tokenizer is loaded here");
  for (size_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || static_cast<size_t>(ids[i]) >= m->tokenizer->size()) {
      return fail(PTTS_ERROR_ARGUMENT, "ptts_detokenize: id %zu: expected 0 to %zu, found %d", i,
                  m->tokenizer->size() - 1, ids[i]);
    }
  }
  std::string decoded;
  PTTS_TRY(m->tokenizer->decode({ids, count}, &decoded));
  return give_text(decoded, text, length);
}

ptts_status ptts_prepare(ptts_handle model, const char* text, size_t length, char** prepared,
                         size_t* prepared_length, uint32_t* guess) {
  PTTS_TRY(need("ptts_prepare", prepared, prepared_length, guess));
  PTTS_TRY(need_bytes("ptts_prepare", text, length));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  std::string found;
  int frames = 0;
  PTTS_TRY(prepare_text({length > 0 ? text : "", length}, m->config.text, &found, &frames));
  *guess = static_cast<uint32_t>(frames);
  return give_text(found, prepared, prepared_length);
}

// ---- voices

ptts_status ptts_voice_load(ptts_handle model, const void* data, size_t length, ptts_handle* voice) {
  PTTS_TRY(need("ptts_voice_load", voice));
  PTTS_TRY(need_bytes("ptts_voice_load", data, length));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  auto object = std::make_shared<Voice>();
  PTTS_TRY(load_voice(*m, bytes_of(data, length), object.get()));
  return add(std::move(object), voice);
}

ptts_status ptts_voice_from_pcm(ptts_handle model, const float* samples, size_t count, uint32_t sample_rate,
                                ptts_handle* voice) {
  PTTS_TRY(need("ptts_voice_from_pcm", voice));
  PTTS_TRY(need_bytes("ptts_voice_from_pcm", samples, count));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  auto object = std::make_shared<Voice>();
  PTTS_TRY(encode_voice(*m, samples, count, sample_rate, object.get()));
  return add(std::move(object), voice);
}

ptts_status ptts_voice_from_wav(ptts_handle model, const void* data, size_t length, float max_seconds,
                                ptts_handle* voice) {
  PTTS_TRY(need("ptts_voice_from_wav", voice));
  PTTS_TRY(need_bytes("ptts_voice_from_wav", data, length));
  if (!(max_seconds >= 0 && max_seconds <= 1e9f)) {
    return fail(PTTS_ERROR_ARGUMENT, "max_seconds: expected 0 (all) or more, found %g",
                static_cast<double>(max_seconds));
  }
  Buffer<float> samples;
  uint32_t rate = 0;
  PTTS_TRY(wav_read(data, length, static_cast<double>(max_seconds), &samples, &rate));
  return ptts_voice_from_pcm(model, samples.data(), samples.size(), rate, voice);
}

ptts_status ptts_voice_length(ptts_handle voice, uint32_t* positions) {
  PTTS_TRY(need("ptts_voice_length", positions));
  std::shared_ptr<Voice> v;
  PTTS_TRY(get(voice, &v));
  *positions = static_cast<uint32_t>(v->positions);
  return PTTS_OK;
}

ptts_status ptts_voice_export(ptts_handle voice, void** data, size_t* length) {
  PTTS_TRY(need("ptts_voice_export", data, length));
  std::shared_ptr<Voice> v;
  PTTS_TRY(get(voice, &v));
  return export_voice(*v, data, length);
}

// ---- speaking

ptts_status ptts_options_init(ptts_handle model, ptts_options* options) {
  PTTS_TRY(need("ptts_options_init", options));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  *options = default_options(m->config);
  return PTTS_OK;
}

ptts_status ptts_session_open(ptts_handle model, ptts_handle voice, const char* text, size_t length,
                              const ptts_options* options, ptts_handle* session) {
  PTTS_TRY(need("ptts_session_open", session));
  PTTS_TRY(need_bytes("ptts_session_open", text, length));
  std::shared_ptr<Model> m;
  std::shared_ptr<Voice> v;
  PTTS_TRY(get(model, &m));
  PTTS_TRY(get(voice, &v));
  const ptts_options chosen = options != nullptr ? *options : default_options(m->config);
  auto object = std::make_shared<Session>();
  PTTS_TRY(object->open(std::move(m), std::move(v), {length > 0 ? text : "", length}, chosen));
  return add(std::move(object), session);
}

ptts_status ptts_session_chunk_count(ptts_handle session, uint32_t* count) {
  PTTS_TRY(need("ptts_session_chunk_count", count));
  std::shared_ptr<Session> s;
  PTTS_TRY(get(session, &s));
  *count = static_cast<uint32_t>(s->chunks().size());
  return PTTS_OK;
}

ptts_status ptts_session_chunk(ptts_handle session, uint32_t index, ptts_chunk* chunk) {
  PTTS_TRY(need("ptts_session_chunk", chunk));
  std::shared_ptr<Session> s;
  const Chunk* c = nullptr;
  PTTS_TRY(get_chunk("ptts_session_chunk", session, index, &s, &c));
  chunk->tokens = static_cast<uint32_t>(c->ids.size());
  chunk->frames_after_eos = static_cast<uint32_t>(s->frames_after_eos(*c));
  chunk->max_frames = c->max_frames;
  chunk->text_begin = static_cast<uint32_t>(c->source_begin);
  chunk->text_end = static_cast<uint32_t>(c->source_end);
  chunk->over_limit = c->over_limit ? 1 : 0;
  return PTTS_OK;
}

ptts_status ptts_session_chunk_text(ptts_handle session, uint32_t index, uint32_t which, const char** text,
                                    size_t* length) {
  PTTS_TRY(need("ptts_session_chunk_text", text, length));
  std::shared_ptr<Session> s;
  const Chunk* c = nullptr;
  PTTS_TRY(get_chunk("ptts_session_chunk_text", session, index, &s, &c));
  if (which > 1) return fail(PTTS_ERROR_ARGUMENT, "which: expected 0 (piece) or 1 (prompt), found %u", which);
  const std::string& found = which == 0 ? c->text : c->prompt;
  *text = found.data();
  *length = found.size();
  return PTTS_OK;
}

ptts_status ptts_session_chunk_ids(ptts_handle session, uint32_t index, const int32_t** ids, size_t* count) {
  PTTS_TRY(need("ptts_session_chunk_ids", ids, count));
  std::shared_ptr<Session> s;
  const Chunk* c = nullptr;
  PTTS_TRY(get_chunk("ptts_session_chunk_ids", session, index, &s, &c));
  *ids = c->ids.data();
  *count = c->ids.size();
  return PTTS_OK;
}

ptts_status ptts_session_seek(ptts_handle session, uint32_t chunk) {
  std::shared_ptr<Session> s;
  PTTS_TRY(get(session, &s));
  return s->seek(chunk);
}

ptts_status ptts_session_step(ptts_handle session, float* latent, ptts_event* event) {
  PTTS_TRY(need("ptts_session_step", latent, event));
  std::shared_ptr<Session> s;
  PTTS_TRY(get(session, &s));
  return s->step(nullptr, nullptr, false, latent, event);
}

ptts_status ptts_session_step_many(ptts_handle session, uint32_t most, uint32_t begin, float* latents,
                                   ptts_event* events, ptts_status* statuses, uint32_t* count) {
  PTTS_TRY(need("ptts_session_step_many", latents, events, statuses, count));
  std::shared_ptr<Session> s;
  PTTS_TRY(get(session, &s));
  size_t made = 0;
  const ptts_status status = s->step_many(most, begin, latents, events, statuses, &made);
  *count = static_cast<uint32_t>(made);
  return status;
}

ptts_status ptts_session_step_forced(ptts_handle session, const float* previous, const float* noise,
                                     float* latent, ptts_event* event) {
  PTTS_TRY(need("ptts_session_step_forced", latent, event));
  std::shared_ptr<Session> s;
  PTTS_TRY(get(session, &s));
  return s->step(previous, noise, true, latent, event);
}

ptts_status ptts_flow_velocity(ptts_handle model, const float* condition, const float* times, const float* x,
                               float* velocity) {
  PTTS_TRY(need("ptts_flow_velocity", condition, x, velocity));
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  if (times == nullptr && m->config.time_inputs() > 0) {
    return fail(PTTS_ERROR_ARGUMENT, "ptts_flow_velocity: expected %zu times", m->config.time_inputs());
  }
  return flow_velocity(*m, condition, times, x, velocity);
}

// ---- decoding

ptts_status ptts_codec_open(ptts_handle model, ptts_handle* codec) {
  PTTS_TRY(need("ptts_codec_open", codec));
  auto object = std::make_shared<CodecStream>();
  std::shared_ptr<Model> m;
  PTTS_TRY(get(model, &m));
  if (!m->has(PTTS_PART_MIMI_DECODER)) return fail(PTTS_ERROR_STATE, "the Mimi decoder is not loaded here");
  PTTS_TRY(object->codec.open(m->decoder));
  object->model = std::move(m);
  return add(std::move(object), codec);
}

ptts_status ptts_codec_reset(ptts_handle codec) {
  std::shared_ptr<CodecStream> c;
  PTTS_TRY(get(codec, &c));
  c->codec.reset();
  return PTTS_OK;
}

ptts_status ptts_codec_decode(ptts_handle codec, const float* latents, size_t count, float* pcm) {
  PTTS_TRY(need("ptts_codec_decode", latents, pcm));
  std::shared_ptr<CodecStream> c;
  PTTS_TRY(get(codec, &c));
  const size_t width = c->model->config.latent, samples = c->model->config.samples_per_frame;
  for (size_t begin = 0; begin < count; begin += Codec::kBlock) {
    const size_t end = std::min(begin + Codec::kBlock, count);
    for (size_t i = begin * width; i < end * width; ++i) {
      if (!std::isfinite(latents[i])) {
        return fail(PTTS_ERROR_NUMERIC, "ptts_codec_decode: latent %zu, value %zu is not a finite number",
                    i / width, i % width);
      }
    }
    c->codec.decode(latents + begin * width, end - begin, pcm + begin * samples);
    for (size_t i = begin * samples; i < end * samples; ++i) {
      if (!std::isfinite(pcm[i])) {
        return fail(PTTS_ERROR_NUMERIC,
                    "ptts_codec_decode: frame %zu: the decoder's output is not a finite number", i / samples);
      }
    }
  }
  return PTTS_OK;
}

ptts_status ptts_codec_fade(ptts_handle codec, uint32_t on) {
  std::shared_ptr<CodecStream> c;
  PTTS_TRY(get(codec, &c));
  c->codec.set_fade(on != 0);
  return PTTS_OK;
}

ptts_status ptts_stretch_open(uint32_t sample_rate, float speed, ptts_handle* stretch) {
  PTTS_TRY(need("ptts_stretch_open", stretch));
  auto object = std::make_shared<Stretch>();
  PTTS_TRY(object->open(sample_rate, speed));
  return add(std::move(object), stretch);
}

ptts_status ptts_stretch_write(ptts_handle stretch, const float* samples, size_t count) {
  PTTS_TRY(need_bytes("ptts_stretch_write", samples, count));
  std::shared_ptr<Stretch> s;
  PTTS_TRY(get(stretch, &s));
  return s->write({samples, count});
}

ptts_status ptts_stretch_end(ptts_handle stretch) {
  std::shared_ptr<Stretch> s;
  PTTS_TRY(get(stretch, &s));
  s->end();
  return PTTS_OK;
}

ptts_status ptts_stretch_read(ptts_handle stretch, float* samples, size_t capacity, size_t* written) {
  PTTS_TRY(need("ptts_stretch_read", written));
  PTTS_TRY(need_bytes("ptts_stretch_read", samples, capacity));
  std::shared_ptr<Stretch> s;
  PTTS_TRY(get(stretch, &s));
  *written = s->read({samples, capacity});
  return PTTS_OK;
}

// ---- audio and random numbers

ptts_status ptts_wav_read(const void* data, size_t length, float** samples, size_t* count,
                          uint32_t* sample_rate) {
  PTTS_TRY(need("ptts_wav_read", samples, count, sample_rate));
  PTTS_TRY(need_bytes("ptts_wav_read", data, length));
  Buffer<float> read;
  PTTS_TRY(wav_read(data, length, 0, &read, sample_rate));
  return give(read, samples, count);
}

ptts_status ptts_resample(const float* samples, size_t count, uint32_t from_rate, uint32_t to_rate,
                          float** out, size_t* out_count) {
  PTTS_TRY(need("ptts_resample", out, out_count));
  PTTS_TRY(need_bytes("ptts_resample", samples, count));
  Buffer<float> resampled;
  PTTS_TRY(resample(samples, count, from_rate, to_rate, &resampled));
  return give(resampled, out, out_count);
}

ptts_status ptts_end_on_pause(const float* samples, size_t count, float** out, size_t* out_count) {
  PTTS_TRY(need("ptts_end_on_pause", out, out_count));
  PTTS_TRY(need_bytes("ptts_end_on_pause", samples, count));
  Buffer<float> ended;
  PTTS_TRY(end_on_pause(samples, count, &ended));
  return give(ended, out, out_count);
}

ptts_status ptts_normals(uint64_t seed, float temperature, float noise_clamp, const uint32_t* widths,
                         size_t draws, float* out) {
  PTTS_TRY(need("ptts_normals", widths, out));
  if (!(temperature >= 0) || !std::isfinite(temperature) || !(noise_clamp >= 0)) {
    return fail(PTTS_ERROR_ARGUMENT, "ptts_normals: expected a temperature and a clamp of 0 or more");
  }
  Generator generator(seed);
  const double std = std::sqrt(static_cast<double>(temperature));
  for (size_t i = 0; i < draws; ++i) {
    if (noise_clamp > 0) {
      PTTS_TRY(generator.truncated_normal(out, widths[i], std, static_cast<double>(noise_clamp)));
    } else {
      generator.normal(out, widths[i], std);
    }
    out += widths[i];
  }
  return PTTS_OK;
}

}  // extern "C"
