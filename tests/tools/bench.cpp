// One job of the benchmark in native code: bench JOB (JSON, see tests/bench/bench.mjs) on the C ABI.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "pocket_tts.h"
#include "yyjson.h"

namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::vector<uint8_t>;

constexpr float kNever = 1e9F;  // a threshold that no end logit reaches

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "ERROR: %s\n", message.c_str());
  std::exit(1);
}

void check(ptts_status status) {
  if (status < 0) fail(ptts_message());
}

double milliseconds(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string text_of(yyjson_val* object, const char* name) {
  yyjson_val* value = yyjson_obj_get(object, name);
  if (!yyjson_is_str(value)) fail(std::string("the field ") + name + " is missing");
  return {yyjson_get_str(value), yyjson_get_len(value)};
}

size_t number_of(yyjson_val* object, const char* name) {
  yyjson_val* value = yyjson_obj_get(object, name);
  if (!yyjson_is_num(value)) fail(std::string("the field ") + name + " is missing");
  return static_cast<size_t>(yyjson_get_num(value));
}

std::FILE* open_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) fail("cannot open " + path);
  return file;
}

size_t size_of(std::FILE* file) {
  std::fseek(file, 0, SEEK_END);
  const long size = std::ftell(file);
  std::rewind(file);
  return static_cast<size_t>(size);
}

Bytes read_file(const std::string& path) {
  std::FILE* file = open_file(path);
  Bytes bytes(size_of(file));
  if (std::fread(bytes.data(), 1, bytes.size(), file) != bytes.size()) fail("cannot read " + path);
  std::fclose(file);
  return bytes;
}

// Peak resident memory of this process in bytes.
size_t peak_bytes() {
  std::FILE* file = open_file("/proc/self/status");
  char line[256];
  size_t kilobytes = 0;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "VmHWM: %zu", &kilobytes) == 1) break;
  }
  std::fclose(file);
  return kilobytes * 1024;
}

struct Model {
  ptts_handle model = 0;
  ptts_handle voice = 0;
  ptts_model_info info{};
};

void feed(ptts_handle pack, uint32_t kind, const std::string& path) {
  std::FILE* file = open_file(path);
  check(ptts_pack_file(pack, kind, size_of(file)));
  Bytes slice(1 << 20);
  for (;;) {
    const size_t n = std::fread(slice.data(), 1, slice.size(), file);
    if (n == 0) break;
    check(ptts_pack_feed(pack, slice.data(), n));
  }
  std::fclose(file);
}

// `config`: that of the pack's pack.json as text of its own (the vendored yyjson does not write).
Model load(const std::string& folder, const std::string& config, const std::string& precision) {
  const Bytes text = read_file(folder + "/pack.json");
  yyjson_doc* document = yyjson_read(reinterpret_cast<const char*>(text.data()), text.size(), 0);
  yyjson_val* manifest = yyjson_doc_get_root(document);
  const uint32_t wanted = precision == "f32" ? 0 : precision == "q8" ? 1 : 2;
  ptts_handle pack = 0;
  check(ptts_pack_open(config.data(), config.size(), PTTS_PART_FLOW_LM | PTTS_PART_MIMI_DECODER, wanted,
                       &pack));
  Model loaded;
  Bytes voice;
  size_t index = 0;
  size_t count = 0;
  yyjson_val* file = nullptr;
  for (const bool weights : {false, true}) {  // the tokenizer first
    yyjson_arr_foreach(yyjson_obj_get(manifest, "files"), index, count, file) {
      const std::string role = text_of(file, "role");
      const std::string path = folder + "/" + text_of(file, "path");
      if (!weights && role == "tokenizer") {
        const Bytes data = read_file(path);
        const bool json = text_of(file, "kind") == "json";
        check(ptts_pack_tokenizer(pack, json ? PTTS_TOKENIZER_JSON : PTTS_TOKENIZER_SENTENCEPIECE,
                                  data.data(), data.size()));
      } else if (!weights && role == "voice" && text_of(file, "name") == text_of(manifest, "default_voice")) {
        voice = read_file(path);
      } else if (weights && role.starts_with("weights")) {
        feed(pack,
             role == "weights"        ? PTTS_FILE_BUNDLE
             : role == "weights-mimi" ? PTTS_FILE_MIMI
                                      : PTTS_FILE_FLOW_LM,
             path);
      }
    }
  }
  check(ptts_pack_close(pack, &loaded.model));
  check(ptts_voice_load(loaded.model, voice.data(), voice.size(), &loaded.voice));
  check(ptts_model_get_info(loaded.model, &loaded.info));
  yyjson_doc_free(document);
  return loaded;
}

struct Times {
  std::vector<double> step_ms;  // without the first, which runs the text through the transformer
  std::vector<double> codec_ms;
};

// Speaks at most `limit` frames; returns how many. `first` is called when the first one is there.
template <typename First>
size_t speak(const Model& loaded, const std::string& text, size_t limit, Times* times, First first) {
  ptts_options options{};
  check(ptts_options_init(loaded.model, &options));
  options.eos_threshold = kNever;
  ptts_handle session = 0;
  ptts_handle codec = 0;
  check(ptts_session_open(loaded.model, loaded.voice, text.data(), text.size(), &options, &session));
  check(ptts_codec_open(loaded.model, &codec));
  std::vector<float> latent(loaded.info.latent_width);
  std::vector<float> pcm(loaded.info.samples_per_frame);
  size_t frames = 0;
  while (frames < limit) {
    ptts_event event{};
    const auto begin = Clock::now();
    const ptts_status status = ptts_session_step(session, latent.data(), &event);
    check(status);
    if (status == PTTS_DONE) break;
    if (status == PTTS_CHUNK_END) {
      check(ptts_codec_reset(codec));
      continue;
    }
    const auto middle = Clock::now();
    check(ptts_codec_decode(codec, latent.data(), 1, pcm.data()));
    const auto end = Clock::now();
    if (++frames == 1) {
      first();
    } else if (times != nullptr) {
      times->step_ms.push_back(milliseconds(begin, middle));
      times->codec_ms.push_back(milliseconds(middle, end));
    }
  }
  check(ptts_close(session));
  check(ptts_close(codec));
  return frames;
}

std::string joined(const std::vector<double>& values) {
  std::string out = "[";
  for (const double value : values) out += (out.size() == 1 ? "" : ",") + std::to_string(value);
  return out + "]";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) fail("usage: bench JOB");
  yyjson_doc* document = yyjson_read(argv[1], std::strlen(argv[1]), 0);
  yyjson_val* job = yyjson_doc_get_root(document);
  yyjson_val* bench = yyjson_obj_get(job, "bench");
  const std::string text = text_of(bench, "text");
  const std::string first_text = text_of(bench, "first_text");
  const Model loaded = load(text_of(job, "pack"), text_of(job, "config"), text_of(job, "precision"));

  speak(loaded, text, number_of(job, "warm"), nullptr, [] {
    std::puts("FIRST");
    std::fflush(stdout);
  });
  std::vector<double> first_ms;
  for (size_t i = 0; i < number_of(job, "firsts"); ++i) {
    const auto begin = Clock::now();
    speak(loaded, first_text, 1, nullptr, [&] { first_ms.push_back(milliseconds(begin, Clock::now())); });
  }
  std::vector<double> rtf;
  Times times;
  for (size_t i = 0; i < number_of(job, "speaks"); ++i) {
    const auto begin = Clock::now();
    const size_t frames = speak(loaded, text, SIZE_MAX, &times, [] {});
    const double seconds = milliseconds(begin, Clock::now()) / 1000;
    if (frames != number_of(bench, "frames"))
      fail("expected other than " + std::to_string(frames) + " frames");
    rtf.push_back(static_cast<double>(frames * loaded.info.samples_per_frame) / loaded.info.sample_rate /
                  seconds);
  }
  std::printf(
      "{\"first_audio_ms\":%s,\"rtf\":%s,\"peak_bytes\":%zu,\"step_ms\":%f,\"codec_ms\":%f,\"versions\":{"
      "\"clang\":\"%s\"}}\n",
      joined(first_ms).c_str(), joined(rtf).c_str(), peak_bytes(), median(times.step_ms),
      median(times.codec_ms), __clang_version__);
  yyjson_doc_free(document);
  return 0;
}
