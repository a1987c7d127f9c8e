#include "load.h"

#include <algorithm>
#include <set>

#include "manifest.h"
#include "pack.h"
#include "reference.h"

namespace ptts::capi {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kTokenizerLimit = 64 << 20;
constexpr size_t kSlice = 1 << 20;

// What there is in place of a model.
ptts_status no_model(const Path& folder) {
  const std::string name = show(folder);
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return fail(
        PTTS_ERROR_ARGUMENT,
        "%.500s: expected a folder with a pack.json or the reference's files (models_dir), found none",
        name.c_str());
  }
  Path graph, weights;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string extension = extension_of(entry.path());
    if (extension == ".onnx") graph = entry.path().filename();
    if (extension == ".safetensors") weights = entry.path().filename();
  }
  if (!graph.empty()) {
    return fail(PTTS_ERROR_ARGUMENT,
                "%.500s: expected a pack or the reference's files, found ONNX graphs (%.100s), which this "
                "library does not run: `npx pocket-tts-wasm packs convert MODEL TARGET` (MODEL: english, or "
                "another of `packs list`) makes a pack of the weights that they were made of; name TARGET as "
                "models_dir",
                name.c_str(), show(graph).c_str());
  }
  if (!weights.empty()) {
    return fail(PTTS_ERROR_ARGUMENT,
                "%.500s: expected the model's configuration beside %.100s, found none: put the reference's "
                "(NAME.yaml, of the folder config of its package) there, and the tokenizer that it names",
                name.c_str(), show(weights).c_str());
  }
  return fail(
      PTTS_ERROR_ARGUMENT,
      "%.500s: expected a pack (pack.json) or the reference's files (a configuration NAME.yaml, weights, "
      "a tokenizer), found neither",
      name.c_str());
}

bool needed(Role role, uint32_t parts) {
  switch (role) {
    case Role::kWeights:
    case Role::kFlowLm:
    case Role::kMimi: return true;
    case Role::kEncoder: return (parts & PTTS_PART_MIMI_ENCODER) != 0;
    default: return false;
  }
}

// Opens a file of the model, with the size that its entry promises.
ptts_status open_entry(const Path& folder, const PackFile& entry, File* file) {
  Path path = entry.place;
  if (path.empty()) PTTS_TRY(resolve_inside(folder, entry.path, &path));
  PTTS_TRY(file->open(path));
  if (entry.bytes && *entry.bytes != file->size()) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: expected %llu bytes, found %llu", file->name().c_str(),
                static_cast<unsigned long long>(*entry.bytes), static_cast<unsigned long long>(file->size()));
  }
  return PTTS_OK;
}

ptts_status check_sum(const std::string& name, const std::string& expected, const std::string& found) {
  if (expected.empty() || expected == found) return PTTS_OK;
  return fail(PTTS_ERROR_ARGUMENT, "%.500s: expected sha256 %s, found %s", name.c_str(), expected.c_str(),
              found.c_str());
}

// Puts the name of a file before what the engine had to say about it.
ptts_status in_file(const std::string& name, ptts_status status) {
  if (status >= 0) return status;
  const std::string message = last_message();
  return fail(status, "%.400s: %s", name.c_str(), message.c_str());
}

ptts_status load_tokenizer(const LoadOptions& options, const Manifest& manifest, Pack* pack,
                           std::string* identity) {
  PackFile entry;
  File file;
  if (options.tokenizer) {
    entry.json = extension_of(*options.tokenizer) == ".json";
    PTTS_TRY(file.open(*options.tokenizer));
  } else {
    entry = *manifest.tokenizer();
    PTTS_TRY(open_entry(options.folder, entry, &file));
  }
  Bytes bytes;
  PTTS_TRY(file.read_all(kTokenizerLimit, &bytes));
  Sha256 sum;
  sum.add(bytes);
  const std::string found = sum.hex();
  PTTS_TRY(check_sum(file.name(), entry.sha256, found));
  *identity += "\n" + found;
  const uint32_t kind = entry.json ? PTTS_TOKENIZER_JSON : PTTS_TOKENIZER_SENTENCEPIECE;
  return in_file(file.name(), pack->tokenizer(kind, bytes));
}

ptts_status load_weights(const Path& folder, const PackFile& entry, Pack* pack, std::string* identity) {
  File file;
  PTTS_TRY(open_entry(folder, entry, &file));
  const uint32_t kind = entry.role == Role::kWeights  ? PTTS_FILE_BUNDLE
                        : entry.role == Role::kFlowLm ? PTTS_FILE_FLOW_LM
                                                      : PTTS_FILE_MIMI;
  PTTS_TRY(in_file(file.name(), pack->file(kind, file.size())));
  Bytes slice(kSlice);
  Sha256 sum;
  uint64_t total = 0;
  size_t got = 0;
  do {
    PTTS_TRY(file.read(slice, &got));
    total += got;
    if (got == 0 || total > file.size()) break;
    if (!entry.sha256.empty()) sum.add({slice.data(), got});
    PTTS_TRY(in_file(file.name(), pack->feed({slice.data(), got})));
  } while (got == kSlice);
  if (total != file.size()) {
    return fail(PTTS_ERROR_ARGUMENT, "%.500s: it changed while it was read", file.name().c_str());
  }
  if (!entry.sha256.empty()) PTTS_TRY(check_sum(file.name(), entry.sha256, sum.hex()));
  // Voices are spoken without it: one that was made with it works where it was left out.
  if (entry.role == Role::kEncoder) return PTTS_OK;
  if (!entry.sha256.empty()) {
    *identity += "\n" + entry.sha256;
    return PTTS_OK;
  }
  // Without a promise, the same file is the same weights.
  std::error_code error;
  const auto written =
      static_cast<int64_t>(fs::last_write_time(path_of(file.name()), error).time_since_epoch().count());
  *identity += "\n" + file.name() + "|" + std::to_string(total) + "|" + std::to_string(written);
  return PTTS_OK;
}

// The pack's voices and those of a folder, which go before them.
ptts_status list_voices(const LoadOptions& options, const Manifest& manifest, Loaded* loaded) {
  std::string first = manifest.default_voice;
  for (const PackFile& file : manifest.files) {
    if (file.role != Role::kVoice) continue;
    VoiceSource source = {options.folder / path_of(file.path), file.sha256, file.bytes};
    // One that is not there is an error when it is asked for: nothing else needs it.
    if (Path inside; resolve_inside(options.folder, file.path, &inside) >= 0) {
      source.path = inside;
    } else if (std::error_code error; fs::exists(source.path, error)) {
      return PTTS_ERROR_ARGUMENT;  // it leads out of the pack
    }
    loaded->names.push_back(file.name);
    loaded->voices.emplace(file.name, std::move(source));
  }
  if (first.empty() && loaded->names.size() == 1) first = loaded->names.front();
  if (options.voices) {
    std::error_code error;
    std::vector<Path> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(*options.voices, error)) {
      const std::string extension = extension_of(entry.path());
      if (extension == ".safetensors" || extension == ".wav") found.push_back(entry.path());
    }
    if (error) {
      return fail(PTTS_ERROR_ARGUMENT, "%.500s: expected a folder of voices (voices_dir): %s",
                  show(*options.voices).c_str(), error.message().c_str());
    }
    std::ranges::sort(found, {}, [](const Path& path) {
      return std::pair(show(path.stem()), extension_of(path));  // of two with the same name, .safetensors
    });
    std::set<std::string> seen;
    for (const Path& path : found) {
      const std::string name = show(path.stem());
      if (!seen.insert(name).second) continue;
      if (loaded->voices.insert_or_assign(name, VoiceSource{path, "", {}}).second)
        loaded->names.push_back(name);
    }
  }
  const auto at = std::ranges::find(loaded->names, first);
  if (at != loaded->names.end()) std::rotate(loaded->names.begin(), at, at + 1);
  return PTTS_OK;
}

// `name`: of the file that the manifest is made of.
ptts_status find_manifest(const LoadOptions& options, std::string* name, Manifest* manifest) {
  std::error_code error;
  const Path pack = options.folder / "pack.json";
  if (!fs::exists(pack, error)) {
    Path config;
    PTTS_TRY(find_config(options.folder, &config));
    if (config.empty()) return no_model(options.folder);
    *name = show(config);
    return read_config(config, !options.tokenizer, manifest);
  }
  *name = show(pack);
  Path inside;
  PTTS_TRY(resolve_inside(options.folder, "pack.json", &inside));
  File file;
  Bytes bytes;
  PTTS_TRY(file.open(inside));
  PTTS_TRY(file.read_all(kManifestLimit, &bytes));
  return parse_manifest({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, *name, manifest);
}

}  // namespace

ptts_status load(const LoadOptions& options, Loaded* loaded) {
  std::string name;
  Manifest manifest;
  PTTS_TRY(find_manifest(options, &name, &manifest));

  uint32_t precision = PTTS_PRECISION_Q8;
  if (manifest.precision == "f32") precision = PTTS_PRECISION_F32;
  if (manifest.precision == "q4") precision = PTTS_PRECISION_Q4;
  if (options.precision) precision = *options.precision;
  uint32_t parts = PTTS_PART_FLOW_LM | PTTS_PART_MIMI_DECODER;
  if (options.cloning && manifest.cloning) parts |= PTTS_PART_MIMI_ENCODER;
  loaded->identity = std::to_string(precision) + "\n" + manifest.config;

  Pack pack;
  PTTS_TRY(in_file(name, pack.open(manifest.config, parts, precision)));
  // Small, and first: one that does not fit is known before the long read.
  PTTS_TRY(load_tokenizer(options, manifest, &pack, &loaded->identity));
  // Beside a bundle an encoder comes last; the engine would take it for a whole Mimi.
  for (const bool encoder : {false, true}) {
    for (const PackFile& entry : manifest.files) {
      if (!needed(entry.role, parts) || (entry.role == Role::kEncoder) != encoder) continue;
      PTTS_TRY(load_weights(options.folder, entry, &pack, &loaded->identity));
    }
  }
  std::unique_ptr<Model> model;
  PTTS_TRY(in_file(show(options.folder), pack.close(&model)));
  loaded->model = std::move(model);
  loaded->has_temperature = manifest.has_temperature;
  loaded->cloning = manifest.cloning;
  loaded->no_cloning_reason = manifest.reason;
  return list_voices(options, manifest, loaded);
}

}  // namespace ptts::capi
