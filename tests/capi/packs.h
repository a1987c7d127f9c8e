// Folders for tests: packs of the fixtures in tests/golden, and a place for them that is removed.
#ifndef PTTS_TESTS_CAPI_PACKS_H_
#define PTTS_TESTS_CAPI_PACKS_H_

#include <filesystem>
#include <string>
#include <string_view>

namespace ptts::testing_capi {

using Path = std::filesystem::path;

inline const Path kRoot = PTTS_ROOT;

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const Path& path() const { return path_; }

 private:
  Path path_;
};

std::string read_text(const Path& path);
void write_text(const Path& path, std::string_view text);

// The pack.json of a fixture; its voice is "recorded".
std::string pack_json(const std::string& fixture);

// A fixture as a pack in `folder`, which it makes.
Path make_pack(const std::string& fixture, const Path& folder);

}  // namespace ptts::testing_capi

#endif
