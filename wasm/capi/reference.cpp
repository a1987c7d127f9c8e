#include "reference.h"

#include <algorithm>
#include <utility>

#include "json.h"
#include "yaml_json.h"

namespace ptts::capi {

namespace fs = std::filesystem;

namespace {

bool is_yaml(const Path& path) {
  const std::string extension = extension_of(path);
  return extension == ".yaml" || extension == ".yml";
}

std::string_view text_of(yyjson_val* value) { return {yyjson_get_str(value), yyjson_get_len(value)}; }

bool is_remote(std::string_view path) {
  const size_t end = path.find("://");
  const auto in_scheme = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '.' || c == '-';
  };
  return end != path.npos && end > 1 && std::ranges::all_of(path.substr(0, end), in_scheme);
}

// What a file at an address is called: hf://OWNER/NAME/PATH@REVISION, https://HOST/PATH?QUERY.
std::string_view name_at(std::string_view address) {
  address = address.substr(0, address.find_first_of(address.starts_with("hf://") ? "@" : "?#"));
  return address.substr(address.rfind('/') + 1);
}

// The files of a configuration, which is at `config`.
class Files {
 public:
  Files(const Path& config, Manifest* manifest) : config_(config), manifest_(manifest) {}

  bool names(yyjson_val* value) const { return value != nullptr && !yyjson_is_null(value); }

  ptts_status add(Role role, const char* field, yyjson_val* value, bool json = false) {
    const std::string name = show(config_);
    if (!yyjson_is_str(value) || yyjson_get_len(value) == 0) {
      const char* found = !names(value) ? "nothing" : yyjson_is_str(value) ? "\"\"" : "something else";
      return fail(PTTS_ERROR_CONFIG, "%.300s: %s: expected a path, found %s", name.c_str(), field, found);
    }
    PackFile file;
    file.role = role;
    file.path = text_of(value);
    file.json = json || (is_remote(file.path) ? name_at(file.path) : file.path).ends_with(".json");
    const std::vector<Path> places = places_of(file.path);
    std::string looked;
    for (const Path& place : places) {
      std::error_code error;
      if (fs::exists(place, error)) {
        file.place = place;
        manifest_->files.push_back(std::move(file));
        return PTTS_OK;
      }
      looked += (looked.empty() ? "" : " or ") + show(place);
    }
    if (is_remote(file.path)) {
      return fail(PTTS_ERROR_CONFIG,
                  "%.300s: %s: expected the file %.300s, found none: nothing is downloaded, fetch %.300s and "
                  "put it there",
                  name.c_str(), field, looked.c_str(), file.path.c_str());
    }
    return fail(PTTS_ERROR_CONFIG, "%.300s: %s: expected the file %.600s, found none", name.c_str(), field,
                looked.c_str());
  }

 private:
  // Beside the configuration first, then in the working directory, where the reference alone looks.
  std::vector<Path> places_of(const std::string& path) const {
    const Path folder = config_.parent_path();
    if (is_remote(path)) return {folder / path_of(name_at(path))};
    const Path local = path_of(path);
    if (local.is_absolute() || folder.empty()) return {local};
    return {folder / local, local};
  }

  const Path& config_;
  Manifest* manifest_;
};

}  // namespace

ptts_status find_config(const Path& place, Path* config) {
  std::error_code error;
  config->clear();
  if (!fs::is_directory(place, error)) {
    if (is_yaml(place) && fs::exists(place, error)) *config = place;
    return PTTS_OK;
  }
  std::vector<Path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(place, error)) {
    if (is_yaml(entry.path())) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  const auto usual = std::ranges::find(found, place / "config.yaml");
  if (usual != found.end()) {
    *config = *usual;
  } else if (found.size() == 1) {
    *config = found.front();
  } else if (found.size() > 1) {
    return fail(
        PTTS_ERROR_ARGUMENT,
        "%.500s: expected one configuration (.yaml), found %zu (%.100s, %.100s): name the file that is "
        "meant as models_dir",
        show(place).c_str(), found.size(), show(found[0].filename()).c_str(),
        show(found[1].filename()).c_str());
  }
  return PTTS_OK;
}

ptts_status read_config(const Path& config, bool with_tokenizer, Manifest* manifest) {
  *manifest = {};
  File file;
  Bytes bytes;
  PTTS_TRY(file.open(config));
  PTTS_TRY(file.read_all(kManifestLimit, &bytes));
  PTTS_TRY(yaml_to_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.name(),
                        &manifest->config));
  const JsonDocument document(
      yyjson_read(manifest->config.data(), manifest->config.size(), YYJSON_READ_NUMBER_AS_RAW));
  if (document == nullptr) {
    return fail(PTTS_ERROR_MEMORY, "%.300s: memory could not be had", file.name().c_str());
  }
  yyjson_val* root = yyjson_doc_get_root(document.get());
  yyjson_val* temperature = yyjson_obj_get(root, "default_temperature");
  manifest->has_temperature = temperature != nullptr && !yyjson_is_null(temperature);

  yyjson_val *flow_lm = yyjson_obj_get(root, "flow_lm"), *mimi = yyjson_obj_get(root, "mimi");
  yyjson_val* table = yyjson_obj_get(flow_lm, "lookup_table");
  Files files(config, manifest);
  if (with_tokenizer) {
    const bool json = yyjson_equals_str(yyjson_obj_get(table, "tokenizer"), "tokenizers");
    PTTS_TRY(files.add(Role::kTokenizer, "flow_lm.lookup_table.tokenizer_path",
                       yyjson_obj_get(table, "tokenizer_path"), json));
  }
  // A bundle goes before a FlowLM file of its own, as in the reference; a Mimi file replaces the Mimi of the bundle.
  yyjson_val *bundle = yyjson_obj_get(root, "weights_path"), *own = yyjson_obj_get(flow_lm, "weights_path");
  yyjson_val* without_cloning = yyjson_obj_get(root, "weights_path_without_voice_cloning");
  if (files.names(bundle) || !files.names(own)) {
    const ptts_status status = files.add(Role::kWeights, "weights_path", bundle);
    if (status < 0 && !files.names(without_cloning)) return status;
    if (status < 0) {
      PTTS_TRY(files.add(Role::kWeights, "weights_path_without_voice_cloning", without_cloning));
    }
  } else {
    PTTS_TRY(files.add(Role::kFlowLm, "flow_lm.weights_path", own));
  }
  yyjson_val* mimi_weights = yyjson_obj_get(mimi, "weights_path");
  if (!files.names(mimi_weights)) return PTTS_OK;
  return files.add(Role::kMimi, "mimi.weights_path", mimi_weights);
}

}  // namespace ptts::capi
