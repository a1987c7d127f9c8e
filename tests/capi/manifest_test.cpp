// pack.json through the C library: the cases of the Go reader's test (wasi/internal/pack), which both have to refuse.
#include "manifest.h"

#include <gtest/gtest.h>

namespace ptts::capi {
namespace {

constexpr const char* kGood = R"({
  "format": 1, "name": "tiny", "later": true, "config": {"flow_lm": {}}, "default_voice": "ann", "precision": "q8",
  "files": [
    {"path": "model.safetensors", "role": "weights", "bytes": 5,
     "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
    {"path": "tokenizer.json", "role": "tokenizer"},
    {"path": "voices/ann.safetensors", "role": "voice", "name": "ann", "license": "CC0"}
  ]})";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const size_t at = text.find(from);
  if (at == text.npos) {
    ADD_FAILURE() << "no " << from;
    return text;
  }
  return text.replace(at, from.size(), to);
}

void refuses(const std::string& text, const std::string& expected) {
  Manifest manifest;
  EXPECT_LT(parse_manifest(text, "tiny/pack.json", &manifest), 0) << expected;
  const std::string message = last_message();
  EXPECT_NE(message.find(expected), message.npos) << message << "\nexpected: " << expected;
  EXPECT_TRUE(message.starts_with("tiny/pack.json: ")) << message;
}

TEST(Manifest, IsRead) {
  for (const std::string& text :
       {std::string(kGood), "\xEF\xBB\xBF" + replaced("\"bytes\": 5", "\"bytes\": 5.0"),
        replaced("\"format\": 1", "\"format\": 1e0"), replaced("\"bytes\": 5", "\"bytes\": 0.5e1")}) {
    Manifest manifest;
    ASSERT_EQ(parse_manifest(text, "x", &manifest), PTTS_OK) << last_message();
    ASSERT_EQ(manifest.files.size(), 3u);
    EXPECT_EQ(manifest.config, R"({"flow_lm":{}})");
    EXPECT_EQ(manifest.files[0].bytes, 5u);
    EXPECT_EQ(manifest.files[0].sha256.substr(0, 8), "2cf24dba");
    EXPECT_EQ(manifest.tokenizer()->path, "tokenizer.json");
    EXPECT_TRUE(manifest.tokenizer()->json);
    EXPECT_EQ(manifest.voice("ann")->path, "voices/ann.safetensors");
    EXPECT_EQ(manifest.voice("bob"), nullptr);
    EXPECT_EQ(manifest.precision, "q8");
    EXPECT_EQ(manifest.default_voice, "ann");
    EXPECT_TRUE(manifest.cloning);
    EXPECT_FALSE(manifest.has_temperature);
  }
  Manifest manifest;
  ASSERT_EQ(parse_manifest(
                replaced("{\"flow_lm\": {}}", R"({"default_temperature": 0.30, "a": ["ü\n", null, 1e5]})"),
                "x", &manifest),
            0);
  EXPECT_EQ(manifest.config, R"({"default_temperature":0.30,"a":["ü\n",null,1e5]})");
  EXPECT_TRUE(manifest.has_temperature);
  ASSERT_EQ(
      parse_manifest(replaced("\"later\": true", R"("cloning": {"available": false, "reason": "none"})"), "x",
                     &manifest),
      0);
  EXPECT_FALSE(manifest.cloning);
  EXPECT_EQ(manifest.reason, "none");
}

TEST(Manifest, IsRefused) {
  const struct {
    const char *from, *to, *expected;
  } cases[] = {
      {"\"format\": 1", "\"format\": 2", "format: expected 1, found 2"},
      {"\"format\": 1", "\"format\": true", "format: expected 1, found boolean"},
      {"\"name\": \"tiny\"", "\"name\": \"\"", "name: expected a string"},
      {"{\"flow_lm\": {}}", "[]", "config: expected an object, found array"},
      {"\"precision\": \"q8\"", "\"precision\": \"q3\"",
       R"(precision: expected "f32", "q8" or "q4", found "q3")"},
      {"model.safetensors", "../model.safetensors",
       "files[0].path: expected a relative path inside the pack"},
      {"model.safetensors", "/etc/passwd", "files[0].path"},
      {"model.safetensors", "c:model", "files[0].path"},
      {"model.safetensors", "..\\\\model", "files[0].path"},
      {"model.safetensors", "", "files[0].path"},
      {"model.safetensors", "a//b", "files[0].path"},
      {"\"role\": \"weights\"", "\"role\": \"music\"", "files[0].role: expected one of weights,"},
      {"\"sha256\": \"2cf2", "\"sha256\": \"zz", "files[0].sha256: expected 64"},
      {"\"bytes\": 5", "\"bytes\": -5", "files[0].bytes: expected a whole number of bytes, found -5"},
      {"\"bytes\": 5", "\"bytes\": \"5\"", "bytes: expected a whole number of bytes, found \"5\""},
      {"\"name\": \"ann\", \"license\"", "\"license\"", "files[2].name"},
      {"\"default_voice\": \"ann\"", "\"default_voice\": \"bob\"",
       "default_voice: expected the name of a voice in files, found \"bob\""},
      {"{", "<html>", "expected JSON, found what looks like HTML"},
      {"\"format\": 1", "\"Format\": 1", "format: expected 1, found nothing"},
      {"\"name\": \"tiny\"", "\"name\": null", "name: expected a string, found null"},
      {"\"later\": true", "\"license\": null", "license: expected a string, found null"},
      {"\"later\": true", "\"description\": null", "description: expected a string, found null"},
      {"\"precision\": \"q8\"", "\"precision\": null", "found null"},
      {"\"precision\": \"q8\"", "\"precision\": \"\"", "found \"\""},
      {"\"default_voice\": \"ann\"", "\"default_voice\": null",
       "default_voice: expected a string, found null"},
      {"\"later\": true", "\"cloning\": null", "cloning: expected an object, found null"},
      {"\"later\": true", "\"cloning\": {\"available\": 1}",
       "cloning.available: expected a boolean, found 1"},
      {"\"later\": true", "\"cloning\": {\"available\": true, \"reason\": []}",
       "cloning.reason: expected a string, found array"},
      {"\"files\": [", "\"files\": null, \"more\": [", "files: expected an array, found null"},
      {"\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"", "null",
       "files[0].sha256: expected 64"},
      {"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "",
       "files[0].sha256: expected 64"},
      {"\"bytes\": 5", "\"bytes\": null", "files[0].bytes: expected a whole number of bytes, found null"},
      {"\"bytes\": 5", "\"bytes\": 5.5", "found 5.5"},
      {"\"bytes\": 5", "\"bytes\": 1e999", "found 1e999"},
      {"\"role\": \"tokenizer\"", "\"role\": \"tokenizer\", \"kind\": null", "files[1].kind: expected"},
      {"tokenizer.json", "tokenizer.json/", "files[1].path"},
      {"tokenizer.json", "./tokenizer.json", "files[1].path"},
      {"tokenizer.json", "a\\u0000b", "files[1].path"},
      {"\"role\": \"weights\"", "\"role\": \"tokenizer\"", "files: expected exactly one tokenizer, found 2"},
      {"\"role\": \"weights\"", "\"role\": \"voice\", \"name\": \"ann\"",
       "files[2].name: expected a name that no other voice has"},
      {"{\"path\": \"tokenizer.json\", \"role\": \"tokenizer\"}", "null",
       "files[1]: expected an object, found null"},
      {"{", "[{}]", "expected JSON"},
      {"\"tiny\"", "\"\xff\"", "expected UTF-8"},
      {"\"later\": true", "\"name\": \"tiny\"", "expected every key once, found \"name\" twice"},
      {"\"later\": true", R"("later": [{"a": "a"}, {"a": 1, "b": {"a": 1}, "\u0061": 2}])",
       "expected every key once, found \"a\" twice"},
      {"\"CC0\"}", "\"CC0\"}]} {", "expected JSON"},
  };
  for (const auto& [from, to, expected] : cases) refuses(replaced(from, to), expected);
  refuses("null", "content: expected an object, found null");
  refuses(" <html>", "what looks like HTML");
  refuses("", "expected JSON, found something else");
  const std::string deep = "\"later\": " + std::string(20'000, '[') + std::string(20'000, ']');
  refuses(replaced("\"later\": true", deep), "expected at most 10000 levels of nesting, found more");
}

}  // namespace
}  // namespace ptts::capi
