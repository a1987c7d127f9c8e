#include "packs.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace ptts::testing_capi {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "ptts-capi-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    std::perror(pattern.c_str());
    std::abort();
  }
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string read_text(const Path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const Path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

std::string pack_json(const std::string& fixture) {
  const std::string config = read_text(kRoot / "tests/golden/fixtures" / fixture / "config.json");
  const bool json = config.find(R"("tokenizer":"tokenizers")") != std::string::npos;
  return R"({"format": 1, "name": ")" + fixture + R"(", "precision": "f32", "config": )" + config +
         R"(, "files": [{"path": "model.safetensors", "role": "weights"}, {"path": "tokenizer.)" +
         (json ? "json" : "model") +
         R"(", "role": "tokenizer"}, {"path": "voice.safetensors", "role": "voice", "name": "recorded"}]})";
}

Path make_pack(const std::string& fixture, const Path& folder) {
  fs::create_directories(folder);
  for (const char* name : {"model.safetensors", "tokenizer.model", "tokenizer.json", "voice.safetensors"}) {
    const Path from = kRoot / "tests/golden/fixtures" / fixture / name;
    if (fs::exists(from)) fs::copy_file(from, folder / name);
  }
  write_text(folder / "pack.json", pack_json(fixture));
  return folder;
}

}  // namespace ptts::testing_capi
