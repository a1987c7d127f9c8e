// The native parity door: the engine's C ABI behind the protocol of tests/parity/PROTOCOL.md, on stdin and stdout.
// Every verb is a few lines over one or two calls of pocket_tts.h; there are no checks and no maths here.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pocket_tts.h"
#include "yyjson.h"

namespace {

using Bytes = std::vector<uint8_t>;

struct Request {
  yyjson_val* fields = nullptr;
  std::vector<Bytes> payloads;

  uint64_t number(const char* name, uint64_t missing = 0) const {
    yyjson_val* value = yyjson_obj_get(fields, name);
    return value == nullptr ? missing : static_cast<uint64_t>(yyjson_get_num(value));
  }
  double real(const char* name, double missing = 0.0) const {
    yyjson_val* value = yyjson_obj_get(fields, name);
    return value == nullptr ? missing : yyjson_get_num(value);
  }
  std::string_view text(const char* name) const {
    yyjson_val* value = yyjson_obj_get(fields, name);
    return value == nullptr ? "" : std::string_view(yyjson_get_str(value), yyjson_get_len(value));
  }
  ptts_handle handle(const char* name) const { return static_cast<ptts_handle>(number(name)); }
  const Bytes& payload(size_t i) const {
    static const Bytes kNothing;
    return i < payloads.size() ? payloads[i] : kNothing;
  }
  const char* chars(size_t i) const { return reinterpret_cast<const char*>(payload(i).data()); }
  size_t size(size_t i) const { return payload(i).size(); }
  template <typename T>
  std::vector<T> array(size_t i) const {
    std::vector<T> values(size(i) / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), payload(i).data(), values.size() * sizeof(T));
    return values;
  }
};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// The answer under construction: fields as JSON text, payloads as bytes.
class Answer {
 public:
  void add(const char* name, std::string_view json) {
    fields_ += "," + quoted(name) + ":" + std::string(json);
  }
  void add(const char* name, uint64_t value) { add(name, std::string_view(std::to_string(value))); }
  void add_text(const char* name, std::string_view text) { add(name, std::string_view(quoted(text))); }
  void payload(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    payloads_.emplace_back(bytes, bytes + size);
  }
  // Memory of the engine becomes a payload.
  void take(void* data, size_t size) {
    payload(data, size);
    ptts_free(data);
  }
  void error(int status, const char* name, std::string_view message) {
    fields_.clear();
    payloads_.clear();
    add("error", std::string_view("{\"status\":" + std::to_string(status) + ",\"name\":" + quoted(name) +
                                  ",\"message\":" + quoted(message) + "}"));
  }
  void send(uint64_t id) const {
    std::string line = "{\"id\":" + std::to_string(id) + fields_ + ",\"bytes\":[";
    for (size_t i = 0; i < payloads_.size(); ++i) {
      line += (i == 0 ? "" : ",") + std::to_string(payloads_[i].size());
    }
    line += "]}\n";
    std::fwrite(line.data(), 1, line.size(), stdout);
    for (const Bytes& bytes : payloads_) std::fwrite(bytes.data(), 1, bytes.size(), stdout);
    std::fflush(stdout);
  }

 private:
  std::string fields_;
  std::vector<Bytes> payloads_;
};

#define DOOR_TRY(expression)                      \
  do {                                            \
    const ptts_status door_status = (expression); \
    if (door_status < 0) return door_status;      \
  } while (0)

// Floats in a latent of this session, samples in a frame of this codec.
std::map<ptts_handle, size_t> widths_of;

ptts_status remember(ptts_handle model, ptts_handle object, bool is_codec) {
  ptts_model_info info{};
  DOOR_TRY(ptts_model_get_info(model, &info));
  widths_of[object] = is_codec ? info.samples_per_frame : info.latent_width;
  return PTTS_OK;
}

// 0 for an object that is not there: the engine refuses it by itself.
size_t width_of(ptts_handle object) {
  const auto found = widths_of.find(object);
  return found == widths_of.end() ? 0 : found->second;
}

// ---- models ----------------------------------------------------------------------------------------------------------

ptts_status feed_file(ptts_handle pack, yyjson_val* entry) {
  const std::string_view kind = yyjson_get_str(yyjson_obj_get(entry, "kind"));
  const uint32_t number = kind == "bundle" ? PTTS_FILE_BUNDLE
                          : kind == "mimi" ? PTTS_FILE_MIMI
                                           : PTTS_FILE_FLOW_LM;
  const char* path = yyjson_get_str(yyjson_obj_get(entry, "path"));
  std::FILE* file = path == nullptr ? nullptr : std::fopen(path, "rb");
  if (file == nullptr) {
    std::fprintf(stderr, "parity_door: cannot open %s\n", path == nullptr ? "(no path)" : path);
    return PTTS_ERROR_ARGUMENT;
  }
  std::fseek(file, 0, SEEK_END);
  const long size = std::ftell(file);
  std::rewind(file);
  ptts_status status = ptts_pack_file(pack, number, static_cast<uint64_t>(size));
  std::vector<uint8_t> slice(1 << 20);
  while (status >= 0) {
    const size_t n = std::fread(slice.data(), 1, slice.size(), file);
    if (n == 0) break;
    status = ptts_pack_feed(pack, slice.data(), n);
  }
  std::fclose(file);
  return status;
}

ptts_status fill_pack(const Request& request, ptts_handle pack) {
  const uint32_t kind =
      request.text("tokenizerKind") == "json" ? PTTS_TOKENIZER_JSON : PTTS_TOKENIZER_SENTENCEPIECE;
  DOOR_TRY(ptts_pack_tokenizer(pack, kind, request.payload(1).data(), request.size(1)));
  size_t index = 0;
  size_t count = 0;
  yyjson_val* entry = nullptr;
  yyjson_arr_foreach(yyjson_obj_get(request.fields, "files"), index, count, entry) {
    DOOR_TRY(feed_file(pack, entry));
  }
  return PTTS_OK;
}

ptts_status model_open(const Request& request, Answer* answer) {
  const std::string_view wanted = request.text("precision");
  const uint32_t precision = wanted == "q8"   ? PTTS_PRECISION_Q8
                             : wanted == "q4" ? PTTS_PRECISION_Q4
                                              : PTTS_PRECISION_F32;
  ptts_handle pack = 0;
  ptts_handle model = 0;
  DOOR_TRY(ptts_pack_open(request.chars(0), request.size(0), PTTS_PART_ALL, precision, &pack));
  if (const ptts_status status = fill_pack(request, pack); status < 0) {
    const std::string message = ptts_message();  // closing must not take it away
    (void)ptts_close(pack);
    answer->error(status, ptts_status_name(status), message);
    return PTTS_OK;
  }
  DOOR_TRY(ptts_pack_close(pack, &model));
  ptts_model_info info{};
  DOOR_TRY(ptts_model_get_info(model, &info));
  answer->add("model", model);
  answer->add("latentWidth", info.latent_width);
  answer->add("samplesPerFrame", info.samples_per_frame);
  answer->add("layers", info.layers);
  answer->add("vocabulary", info.vocabulary);
  answer->add("canClone", info.can_clone);
  answer->add("weightBytes", info.weight_bytes);
  return PTTS_OK;
}

ptts_status close(const Request& request, Answer*) {
  widths_of.erase(request.handle("object"));
  return ptts_close(request.handle("object"));
}

// ---- text ------------------------------------------------------------------------------------------------------------

ptts_status tokenize(const Request& request, Answer* answer) {
  const ptts_handle model = request.handle("model");
  size_t count = 0;
  DOOR_TRY(ptts_tokenize(model, request.chars(0), request.size(0), nullptr, &count));
  std::vector<int32_t> ids(count);
  if (count > 0) DOOR_TRY(ptts_tokenize(model, request.chars(0), request.size(0), ids.data(), &count));
  answer->payload(ids.data(), ids.size() * sizeof(int32_t));
  return PTTS_OK;
}

ptts_status detokenize(const Request& request, Answer* answer) {
  const std::vector<int32_t> ids = request.array<int32_t>(0);
  char* text = nullptr;
  size_t size = 0;
  DOOR_TRY(ptts_detokenize(request.handle("model"), ids.data(), ids.size(), &text, &size));
  answer->take(text, size);
  return PTTS_OK;
}

ptts_status prepare(const Request& request, Answer* answer) {
  char* text = nullptr;
  size_t size = 0;
  uint32_t guess = 0;
  DOOR_TRY(ptts_prepare(request.handle("model"), request.chars(0), request.size(0), &text, &size, &guess));
  answer->add("guess", guess);
  answer->take(text, size);
  return PTTS_OK;
}

ptts_status describe_chunk(ptts_handle session, uint32_t index, std::string* json) {
  ptts_chunk chunk{};
  const char* text = nullptr;
  const int32_t* ids = nullptr;
  size_t size = 0;
  DOOR_TRY(ptts_session_chunk(session, index, &chunk));
  DOOR_TRY(ptts_session_chunk_text(session, index, 0, &text, &size));
  *json += "{\"chunk\":" + quoted({text, size});
  DOOR_TRY(ptts_session_chunk_text(session, index, 1, &text, &size));
  *json += ",\"prompt\":" + quoted({text, size});
  DOOR_TRY(ptts_session_chunk_ids(session, index, &ids, &size));
  *json += ",\"ids\":[";
  for (size_t i = 0; i < size; ++i) *json += (i == 0 ? "" : ",") + std::to_string(ids[i]);
  *json += "],\"framesAfterEos\":" + std::to_string(chunk.frames_after_eos);
  *json += ",\"maxFrames\":" + std::to_string(chunk.max_frames);
  *json += ",\"overLimit\":" + std::to_string(chunk.over_limit) + "}";
  return PTTS_OK;
}

ptts_status plan(const Request& request, Answer* answer) {
  ptts_options options{};
  ptts_handle session = 0;
  uint32_t count = 0;
  DOOR_TRY(ptts_options_init(request.handle("model"), &options));
  options.max_tokens = static_cast<int32_t>(request.number("maxTokens", 50));
  DOOR_TRY(ptts_session_open(request.handle("model"), request.handle("voice"), request.chars(0),
                             request.size(0), &options, &session));
  std::string json = "[";
  ptts_status status = ptts_session_chunk_count(session, &count);
  for (uint32_t i = 0; status >= 0 && i < count; ++i) {
    if (i > 0) json += ",";
    status = describe_chunk(session, i, &json);
  }
  answer->add("chunks", std::string_view(json + "]"));
  if (status < 0) answer->error(status, ptts_status_name(status), ptts_message());
  return ptts_close(session);
}

// ---- voices ----------------------------------------------------------------------------------------------------------

ptts_status answer_voice(ptts_handle voice, Answer* answer) {
  uint32_t positions = 0;
  DOOR_TRY(ptts_voice_length(voice, &positions));
  answer->add("voice", voice);
  answer->add("positions", positions);
  return PTTS_OK;
}

ptts_status voice_load(const Request& request, Answer* answer) {
  ptts_handle voice = 0;
  DOOR_TRY(ptts_voice_load(request.handle("model"), request.payload(0).data(), request.size(0), &voice));
  return answer_voice(voice, answer);
}

ptts_status voice_wav(const Request& request, Answer* answer) {
  ptts_handle voice = 0;
  DOOR_TRY(ptts_voice_from_wav(request.handle("model"), request.payload(0).data(), request.size(0),
                               static_cast<float>(request.real("maxSeconds")), &voice));
  return answer_voice(voice, answer);
}

ptts_status voice_export(const Request& request, Answer* answer) {
  void* data = nullptr;
  size_t size = 0;
  DOOR_TRY(ptts_voice_export(request.handle("voice"), &data, &size));
  answer->take(data, size);
  return PTTS_OK;
}

// ---- speaking --------------------------------------------------------------------------------------------------------

ptts_status session_open(const Request& request, Answer* answer) {
  ptts_options options{};
  DOOR_TRY(ptts_options_init(request.handle("model"), &options));
  const Request given{yyjson_obj_get(request.fields, "options"), {}};
  options.seed = given.number("seed", options.seed);
  options.temperature =
      static_cast<float>(given.real("temperature", static_cast<double>(options.temperature)));
  options.eos_threshold =
      static_cast<float>(given.real("eosThreshold", static_cast<double>(options.eos_threshold)));
  options.noise_clamp =
      static_cast<float>(given.real("noiseClamp", static_cast<double>(options.noise_clamp)));
  options.decode_steps = static_cast<int32_t>(given.real("decodeSteps", options.decode_steps));
  options.frames_after_eos = static_cast<int32_t>(given.real("framesAfterEos", options.frames_after_eos));
  options.max_tokens = static_cast<int32_t>(given.real("maxTokens", options.max_tokens));
  if (!given.text("rng").empty())
    options.rng = given.text("rng") == "torch" ? PTTS_RNG_TORCH : PTTS_RNG_CHUNK;
  options.discard_draws = static_cast<uint32_t>(given.number("discardDraws", options.discard_draws));
  ptts_handle session = 0;
  DOOR_TRY(ptts_session_open(request.handle("model"), request.handle("voice"), request.chars(0),
                             request.size(0), &options, &session));
  answer->add("session", session);
  return remember(request.handle("model"), session, false);
}

ptts_status answer_step(ptts_status result, const ptts_event& event, const std::vector<float>& latent,
                        Answer* answer) {
  DOOR_TRY(result);
  char json[160];
  std::snprintf(json, sizeof json,
                "{\"chunk\":%" PRIu32 ",\"step\":%" PRIu32 ",\"eosLogit\":%.9g,\"eos\":%" PRIu32
                ",\"truncated\":%" PRIu32 "}",
                event.chunk, event.step, static_cast<double>(event.eos_logit), event.eos, event.truncated);
  answer->add_text("result", result == PTTS_OK ? "frame" : result == PTTS_CHUNK_END ? "chunk_end" : "done");
  answer->add("event", std::string_view(json));
  if (result == PTTS_OK) answer->payload(latent.data(), latent.size() * sizeof(float));
  return PTTS_OK;
}

ptts_status session_step(const Request& request, Answer* answer) {
  std::vector<float> latent(width_of(request.handle("session")));
  ptts_event event{};
  const ptts_status result = ptts_session_step(request.handle("session"), latent.data(), &event);
  return answer_step(result, event, latent, answer);
}

ptts_status session_force(const Request& request, Answer* answer) {
  const std::vector<float> previous = request.array<float>(0);
  const std::vector<float> noise = request.array<float>(1);
  std::vector<float> latent(width_of(request.handle("session")));
  ptts_event event{};
  const ptts_status result =
      ptts_session_step_forced(request.handle("session"), previous.empty() ? nullptr : previous.data(),
                               noise.empty() ? nullptr : noise.data(), latent.data(), &event);
  return answer_step(result, event, latent, answer);
}

// ---- decoding --------------------------------------------------------------------------------------------------------

ptts_status codec_open(const Request& request, Answer* answer) {
  ptts_handle codec = 0;
  DOOR_TRY(ptts_codec_open(request.handle("model"), &codec));
  answer->add("codec", codec);
  return remember(request.handle("model"), codec, true);
}

ptts_status codec_fade(const Request& request, Answer*) {
  return ptts_codec_fade(request.handle("codec"), static_cast<uint32_t>(request.number("on")));
}

ptts_status codec_reset(const Request& request, Answer*) { return ptts_codec_reset(request.handle("codec")); }

ptts_status codec_decode(const Request& request, Answer* answer) {
  const std::vector<float> latents = request.array<float>(0);
  const size_t count = request.number("count");
  std::vector<float> pcm(count * width_of(request.handle("codec")));
  DOOR_TRY(ptts_codec_decode(request.handle("codec"), latents.data(), count, pcm.data()));
  answer->payload(pcm.data(), pcm.size() * sizeof(float));
  return PTTS_OK;
}

// ---- looking inside --------------------------------------------------------------------------------------------------

ptts_status probe(const Request& request, Answer*) {
  return ptts_probe(static_cast<uint32_t>(request.number("on")));
}

ptts_status probe_take(const Request&, Answer* answer) {
  void* data = nullptr;
  size_t size = 0;
  DOOR_TRY(ptts_probe_take(&data, &size));
  answer->take(data, size);
  return PTTS_OK;
}

ptts_status flow_velocity(const Request& request, Answer* answer) {
  std::vector<float> times;
  size_t index = 0;
  size_t count = 0;
  yyjson_val* time = nullptr;
  yyjson_arr_foreach(yyjson_obj_get(request.fields, "times"), index, count, time) {
    times.push_back(static_cast<float>(yyjson_get_num(time)));
  }
  times.resize(2);  // the engine reads as many as its flow type has
  const std::vector<float> condition = request.array<float>(0);
  const std::vector<float> x = request.array<float>(1);
  std::vector<float> velocity(x.size());
  DOOR_TRY(
      ptts_flow_velocity(request.handle("model"), condition.data(), times.data(), x.data(), velocity.data()));
  answer->payload(velocity.data(), velocity.size() * sizeof(float));
  return PTTS_OK;
}

ptts_status normals(const Request& request, Answer* answer) {
  std::vector<uint32_t> widths;
  size_t index = 0, count = 0, total = 0;
  yyjson_val* width = nullptr;
  yyjson_arr_foreach(yyjson_obj_get(request.fields, "widths"), index, count, width) {
    widths.push_back(static_cast<uint32_t>(yyjson_get_uint(width)));
    total += widths.back();
  }
  std::vector<float> values(total);
  DOOR_TRY(ptts_normals(request.number("seed"), static_cast<float>(request.real("temperature")),
                        static_cast<float>(request.real("clamp")), widths.data(), widths.size(),
                        values.data()));
  answer->payload(values.data(), values.size() * sizeof(float));
  return PTTS_OK;
}

ptts_status wav_read(const Request& request, Answer* answer) {
  float* samples = nullptr;
  size_t count = 0;
  uint32_t rate = 0;
  DOOR_TRY(ptts_wav_read(request.payload(0).data(), request.size(0), &samples, &count, &rate));
  answer->add("sampleRate", rate);
  answer->take(samples, count * sizeof(float));
  return PTTS_OK;
}

ptts_status resample(const Request& request, Answer* answer) {
  const std::vector<float> in = request.array<float>(0);
  float* out = nullptr;
  size_t count = 0;
  DOOR_TRY(ptts_resample(in.data(), in.size(), static_cast<uint32_t>(request.number("from")),
                         static_cast<uint32_t>(request.number("to")), &out, &count));
  answer->take(out, count * sizeof(float));
  return PTTS_OK;
}

ptts_status pause(const Request& request, Answer* answer) {
  const std::vector<float> in = request.array<float>(0);
  float* out = nullptr;
  size_t count = 0;
  DOOR_TRY(ptts_end_on_pause(in.data(), in.size(), &out, &count));
  answer->take(out, count * sizeof(float));
  return PTTS_OK;
}

ptts_status hello(const Request&, Answer* answer) {
  answer->add_text("door", "native");
  answer->add_text("version", ptts_version());
  return PTTS_OK;
}

struct Verb {
  std::string_view name;
  ptts_status (*run)(const Request&, Answer*);
};

constexpr Verb kVerbs[] = {
    {"hello", hello},
    {"model.open", model_open},
    {"close", close},
    {"tokenize", tokenize},
    {"detokenize", detokenize},
    {"prepare", prepare},
    {"plan", plan},
    {"voice.load", voice_load},
    {"voice.wav", voice_wav},
    {"voice.export", voice_export},
    {"session.open", session_open},
    {"session.step", session_step},
    {"session.force", session_force},
    {"codec.open", codec_open},
    {"codec.fade", codec_fade},
    {"codec.reset", codec_reset},
    {"codec.decode", codec_decode},
    {"probe", probe},
    {"probe.take", probe_take},
    {"flow.velocity", flow_velocity},
    {"normals", normals},
    {"wav.read", wav_read},
    {"resample", resample},
    {"pause", pause},
};

void serve(const Request& request, Answer* answer) {
  const std::string_view name = request.text("verb");
  for (const Verb& verb : kVerbs) {
    if (verb.name != name) continue;
    const ptts_status status = verb.run(request, answer);
    if (status < 0) answer->error(status, ptts_status_name(status), ptts_message());
    return;
  }
  answer->error(0, "UNSUPPORTED", name);
}

bool read_line(std::string* line) {
  line->clear();
  for (int c = std::getchar(); c != EOF; c = std::getchar()) {
    if (c == '\n') return true;
    line->push_back(static_cast<char>(c));
  }
  return false;
}

}  // namespace

int main() {
  std::string line;
  while (read_line(&line)) {
    yyjson_doc* document = yyjson_read(line.data(), line.size(), 0);
    if (document == nullptr) {
      std::fprintf(stderr, "parity_door: expected a line of JSON, found: %.80s\n", line.c_str());
      return 1;
    }
    Request request{yyjson_doc_get_root(document), {}};
    size_t index = 0;
    size_t count = 0;
    yyjson_val* length = nullptr;
    yyjson_arr_foreach(yyjson_obj_get(request.fields, "bytes"), index, count, length) {
      Bytes bytes(yyjson_get_uint(length));
      if (std::fread(bytes.data(), 1, bytes.size(), stdin) != bytes.size()) return 1;
      request.payloads.push_back(std::move(bytes));
    }
    Answer answer;
    serve(request, &answer);
    answer.send(request.number("id"));
    yyjson_doc_free(document);
  }
  return 0;
}
