#include "manifest.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <set>

#include "json.h"
#include "unicode.h"

namespace ptts::capi {

namespace {

constexpr size_t kMostNesting = 10000;
constexpr double kLargestWhole = 9007199254740991.0;  // 2^53 - 1
constexpr std::string_view kRoles[] = {"weights",   "weights-flow-lm", "weights-mimi", "weights-encoder",
                                       "tokenizer", "voice",           "other"};  // in the order of Role
constexpr const char* kRoleNames =
    "one of weights, weights-flow-lm, weights-mimi, weights-encoder, tokenizer, voice, other";

std::string_view text_of(yyjson_val* value) { return {yyjson_get_str(value), yyjson_get_len(value)}; }

std::string shown(yyjson_val* value) {
  if (value == nullptr) return "nothing";
  if (yyjson_is_raw(value))
    return std::string(yyjson_get_raw(value), std::min<size_t>(yyjson_get_len(value), 40));
  if (!yyjson_is_str(value)) return yyjson_is_bool(value) ? "boolean" : yyjson_get_type_desc(value);
  std::string_view text = text_of(value);
  constexpr size_t kMost = 100;
  size_t end = std::min(text.size(), kMost);
  while (end < text.size() && end > 0 && (text[end] & 0xC0) == 0x80) --end;  // whole characters
  return "\"" + std::string(text.substr(0, end)) + (end < text.size() ? "..." : "") + "\"";
}

// A key that comes twice in an object, and how deep the document is.
bool repeated_key(yyjson_val* root, std::string* key, bool* too_deep) {
  struct Level {
    yyjson_val* value;
    size_t depth;
  };
  std::vector<Level> waiting = {{root, 1}};
  while (!waiting.empty()) {
    const Level level = waiting.back();
    waiting.pop_back();
    if (!yyjson_is_ctn(level.value)) continue;
    if (level.depth > kMostNesting) {
      *too_deep = true;
      return false;
    }
    size_t i = 0, count = 0;
    yyjson_val *name = nullptr, *value = nullptr;
    std::set<std::string_view> seen;
    yyjson_obj_foreach(level.value, i, count, name, value) {
      if (!seen.insert(text_of(name)).second) {
        *key = shown(name);
        return true;
      }
      waiting.push_back({value, level.depth + 1});
    }
    yyjson_arr_foreach(level.value, i, count, value) waiting.push_back({value, level.depth + 1});
  }
  return false;
}

// Numbers are read as they are written; what they are worth is told here.
std::optional<double> number_of(yyjson_val* value) {
  if (!yyjson_is_raw(value)) return {};
  const char* begin = yyjson_get_raw(value);
  const char* end = begin + yyjson_get_len(value);
  double number = 0;
  const auto [at, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || at != end) return {};
  return number;
}

// One object; the first thing that is wrong with it is kept.
class Fields {
 public:
  Fields(yyjson_val* object, std::string where, const std::string& file)
      : object_(object), where_(std::move(where)), file_(file) {}

  yyjson_val* get(const char* key) const { return yyjson_obj_get(object_, key); }
  ptts_status status() const { return status_; }

  void refuse(const char* key, const char* expected) {
    if (status_ != PTTS_OK) return;
    status_ = fail(PTTS_ERROR_ARGUMENT, "%.300s: %s%s: expected %s, found %s", file_.c_str(), where_.c_str(),
                   key, expected, shown(get(key)).c_str());
  }
  std::string text(const char* key, const char* expected, bool required = false) {
    yyjson_val* value = get(key);
    if (yyjson_is_str(value)) return std::string(text_of(value));
    if (value != nullptr || required) refuse(key, expected);
    return "";
  }
  std::optional<uint64_t> whole(const char* key, const char* expected) {
    const std::optional<double> number = number_of(get(key));
    if (number && *number >= 0 && *number <= kLargestWhole && *number == std::trunc(*number)) {
      return static_cast<uint64_t>(*number);
    }
    if (get(key) != nullptr) refuse(key, expected);
    return {};
  }

 private:
  yyjson_val* object_;
  std::string where_;
  const std::string& file_;
  ptts_status status_ = PTTS_OK;
};

// One or more names with a '/' between them, that stay below where they start on every system.
bool is_inside(std::string_view path) {
  if (path.find_first_of(std::string_view("\\\0", 2)) != path.npos) return false;
  size_t letters = 0;
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto in_scheme = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-';
  };
  if (!path.empty() && is_letter(path[0])) {
    while (letters < path.size() && in_scheme(path[letters])) ++letters;
    if (letters < path.size() && path[letters] == ':') return false;
  }
  for (size_t begin = 0;;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    if (name.empty() || name == "." || name == "..") return false;
    if (end == path.size()) return true;
    begin = end + 1;
  }
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

ptts_status read_file(yyjson_val* value, size_t index, const std::string& name, Manifest* manifest) {
  const std::string where = "files[" + std::to_string(index) + "]";
  if (!yyjson_is_obj(value)) {
    return fail(PTTS_ERROR_ARGUMENT, "%.300s: %s: expected an object, found %s", name.c_str(), where.c_str(),
                shown(value).c_str());
  }
  constexpr const char *kInside = "a relative path inside the pack", *kDigits = "64 hexadecimal digits",
                       *kKinds = "\"sentencepiece\" or \"json\"";
  Fields o(value, where + ".", name);
  PackFile file;
  file.path = o.text("path", kInside, true);
  const std::string role = o.text("role", kRoleNames, true), kind = o.text("kind", kKinds);
  file.name = o.text("name", "a string");
  file.bytes = o.whole("bytes", "a whole number of bytes");
  file.sha256 = o.text("sha256", kDigits);
  (void)o.text("license", "a string");
  if (!is_inside(file.path)) o.refuse("path", kInside);
  const auto found = std::ranges::find(kRoles, role);
  if (found == std::end(kRoles)) o.refuse("role", kRoleNames);
  file.role = static_cast<Role>(found - std::begin(kRoles));
  if (o.get("kind") != nullptr && kind != "sentencepiece" && kind != "json") o.refuse("kind", kKinds);
  file.json = kind == "json" || (kind.empty() && file.path.ends_with(".json"));
  if (o.get("sha256") != nullptr && !is_sha256(file.sha256)) o.refuse("sha256", kDigits);
  if (file.role == Role::kVoice) {
    if (file.name.empty()) o.refuse("name", "the name of the voice");
    if (manifest->voice(file.name) != nullptr) o.refuse("name", "a name that no other voice has");
  }
  PTTS_TRY(o.status());
  manifest->files.push_back(std::move(file));
  return PTTS_OK;
}

ptts_status read_cloning(Fields* o, const std::string& name, Manifest* manifest) {
  yyjson_val* cloning = o->get("cloning");
  if (cloning == nullptr) return PTTS_OK;
  if (!yyjson_is_obj(cloning)) {
    o->refuse("cloning", "an object");
    return o->status();
  }
  Fields inner(cloning, "cloning.", name);
  if (!yyjson_is_bool(inner.get("available"))) inner.refuse("available", "a boolean");
  manifest->cloning = yyjson_is_true(inner.get("available"));
  manifest->reason = inner.text("reason", "a string");
  return inner.status();
}

ptts_status read_manifest(yyjson_val* root, const std::string& name, Manifest* manifest) {
  Fields o(root, "", name);
  const std::optional<double> format = number_of(o.get("format"));
  if (!format || *format != 1) o.refuse("format", "1");
  if (o.text("name", "a string", true).empty()) o.refuse("name", "a string of at least one character");
  (void)o.text("description", "a string");
  (void)o.text("license", "a string");
  yyjson_val* config = o.get("config");
  if (!yyjson_is_obj(config)) o.refuse("config", "an object");
  constexpr const char* kPrecisions = "\"f32\", \"q8\" or \"q4\"";
  const std::string& precision = manifest->precision = o.text("precision", kPrecisions);
  if (o.get("precision") != nullptr && precision != "f32" && precision != "q8" && precision != "q4") {
    o.refuse("precision", kPrecisions);
  }
  PTTS_TRY(o.status());
  PTTS_TRY(read_cloning(&o, name, manifest));
  yyjson_val* files = o.get("files");
  if (!yyjson_is_arr(files)) o.refuse("files", "an array");
  PTTS_TRY(o.status());
  size_t i = 0, count = 0;
  yyjson_val* value = nullptr;
  yyjson_arr_foreach(files, i, count, value) PTTS_TRY(read_file(value, i, name, manifest));
  const auto tokenizers = std::ranges::count(manifest->files, Role::kTokenizer, &PackFile::role);
  if (tokenizers != 1) {
    return fail(PTTS_ERROR_ARGUMENT, "%.300s: files: expected exactly one tokenizer, found %zu", name.c_str(),
                static_cast<size_t>(tokenizers));
  }
  manifest->default_voice = o.text("default_voice", "a string");
  if (o.get("default_voice") != nullptr && manifest->voice(manifest->default_voice) == nullptr) {
    o.refuse("default_voice", "the name of a voice in files");
  }
  PTTS_TRY(o.status());
  size_t length = 0;
  char* text = yyjson_val_write(config, 0, &length);
  if (text == nullptr)
    return fail(PTTS_ERROR_MEMORY, "%.300s: config: memory could not be had", name.c_str());
  manifest->config.assign(text, length);
  std::free(text);
  yyjson_val* temperature = yyjson_obj_get(config, "default_temperature");
  manifest->has_temperature = temperature != nullptr && !yyjson_is_null(temperature);
  return PTTS_OK;
}

}  // namespace

const PackFile* Manifest::tokenizer() const {
  const auto found = std::ranges::find(files, Role::kTokenizer, &PackFile::role);
  return found == files.end() ? nullptr : &*found;
}

const PackFile* Manifest::voice(std::string_view name) const {
  const auto found = std::ranges::find_if(
      files, [&](const PackFile& file) { return file.role == Role::kVoice && file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

ptts_status parse_manifest(std::string_view json, const std::string& name, Manifest* manifest) {
  *manifest = {};
  if (json.starts_with("\xEF\xBB\xBF")) json.remove_prefix(3);
  const auto refuse = [&](const char* expected, const char* found) {
    return fail(PTTS_ERROR_ARGUMENT, "%.300s: expected %s, found %s", name.c_str(), expected, found);
  };
  if (find_invalid_utf8(json) != json.npos) return refuse("UTF-8", "other bytes");
  std::string copy(json);
  yyjson_read_err error;
  const JsonDocument document(
      yyjson_read_opts(copy.data(), copy.size(), YYJSON_READ_NUMBER_AS_RAW, nullptr, &error));
  if (document == nullptr) {
    if (error.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) {
      return fail(PTTS_ERROR_MEMORY, "%.300s: memory could not be had", name.c_str());
    }
    const size_t first = json.find_first_not_of(" \t\r\n");
    const bool html = first != json.npos && json[first] == '<';
    return refuse("JSON", html ? "what looks like HTML" : "something else");
  }
  yyjson_val* root = yyjson_doc_get_root(document.get());
  if (!yyjson_is_obj(root)) {
    return fail(PTTS_ERROR_ARGUMENT, "%.300s: content: expected an object, found %s", name.c_str(),
                shown(root).c_str());
  }
  std::string key;
  bool too_deep = false;
  if (repeated_key(root, &key, &too_deep)) {
    return fail(PTTS_ERROR_ARGUMENT, "%.300s: expected every key once, found %s twice", name.c_str(),
                key.c_str());
  }
  if (too_deep) return refuse("at most 10000 levels of nesting", "more");
  return read_manifest(root, name, manifest);
}

}  // namespace ptts::capi
