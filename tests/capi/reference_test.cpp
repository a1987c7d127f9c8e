// The reference's own files in models_dir: configuration (YAML), weights, tokenizer.
#include "reference.h"

#include <algorithm>
#include <cstring>

#include "json.h"
#include "tts.h"
#include "yaml_json.h"

namespace ptts::testing_capi {
namespace {

namespace fs = std::filesystem;

const Path kFixtures = kRoot / "tests/golden/fixtures";

bool says(const std::string& part) {
  const std::string message = pocket_tts_get_last_error();
  const bool found = message.find(part) != std::string::npos;
  if (!found) ADD_FAILURE() << "expected \"" << part << "\" in \"" << message << "\"";
  return found;
}

std::string json_of(std::string_view yaml) {
  std::string json;
  EXPECT_EQ(capi::yaml_to_json(yaml, "c.yaml", &json), PTTS_OK) << yaml << "\n" << last_message();
  return json;
}

void refuses(std::string_view yaml, const std::string& expected) {
  std::string json;
  EXPECT_LT(capi::yaml_to_json(yaml, "c.yaml", &json), 0) << yaml << "\n" << json;
  const std::string message = last_message();
  EXPECT_TRUE(message.starts_with("c.yaml: ")) << message;
  EXPECT_NE(message.find(expected), message.npos) << message << "\nexpected: " << expected;
}

// Of a fixture, whose files are copied to `folder`.
std::string config_text(const std::string& fixture, const Path& folder,
                        const std::vector<std::string>& files = {"model.safetensors", "tokenizer.model",
                                                                 "tokenizer.json"}) {
  fs::create_directories(folder);
  for (const std::string& file : files) {
    const Path from = kFixtures / fixture / file;
    if (fs::exists(from)) fs::copy_file(from, folder / file);
  }
  return read_text(kFixtures / fixture / "config.yaml");
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  if (at == text.npos) {
    ADD_FAILURE() << "no " << from;
    return text;
  }
  return text.replace(at, from.size(), to);
}

Samples speech(const Path& models, const char* precision, const std::string& voice) {
  const Handle handle = open(models, [&](PocketTTSConfigEx* config) { config->precision = precision; });
  return spoken(handle, voice_of(handle, voice));
}

TEST(Reference, FilesSpeakAsTheSameWeightsInAPack) {
  const TemporaryFolder folder;
  for (const fs::directory_entry& entry : fs::directory_iterator(kFixtures)) {
    const std::string name = entry.path().filename().string();
    const Path own = folder.path() / name;
    write_text(own / "config.yaml", config_text(name, own));
    const std::string voice = (entry.path() / "voice.safetensors").string();
    for (const char* precision : {"fp32", "int8"}) {
      const Samples samples = speech(own, precision, voice);
      EXPECT_FALSE(samples.empty());
      EXPECT_EQ(samples, speech(pack_of(name), precision, voice)) << name << " " << precision;
    }
    // Through the interface of old too, where the temperature is the configuration's.
    const auto theirs = [&](const Path& models) {
      const std::string at = models.string();
      const PocketTTSConfig config = {at.c_str(), nullptr, "fp32", 0, 1, 6};
      const Handle handle(pocket_tts_create(&config), &pocket_tts_destroy);
      EXPECT_NE(handle, nullptr) << pocket_tts_get_last_error();
      return spoken(handle, voice_of(handle, voice));
    };
    EXPECT_EQ(theirs(own), theirs(pack_of(name))) << name;
  }
}

TEST(Reference, WithoutAWordTheWeightsAreInEightBits) {
  const TemporaryFolder folder;
  write_text(folder.path() / "config.yaml", config_text("lsd6", folder.path()));
  const std::string voice = (kFixtures / "lsd6/voice.safetensors").string();
  const Samples samples = speech(folder.path(), nullptr, voice);
  EXPECT_EQ(samples, speech(folder.path(), "int8", voice));
  EXPECT_NE(samples, speech(folder.path(), "fp32", voice));
  const Handle handle = open(folder.path());
  EXPECT_EQ(pocket_tts_list_voices(handle.get(), nullptr, 0), 0);
  EXPECT_FALSE(spoken(handle, voice_of(handle, tone(150, 1))).empty());
}

// The tensors of a bundle whose names begin with `prefix`, without the first `cut` characters of those: a file of its own.
void split(const Path& bundle, const std::string& prefix, size_t cut, const Path& target) {
  const std::string bytes = read_text(bundle);
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  const JsonDocument header(yyjson_read(bytes.data() + sizeof size, size, 0));
  ASSERT_NE(header, nullptr);
  std::string tensors, entries;
  size_t i = 0, count = 0;
  yyjson_val *key = nullptr, *value = nullptr;
  yyjson_obj_foreach(yyjson_doc_get_root(header.get()), i, count, key, value) {
    const std::string name = yyjson_get_str(key);
    if (!name.starts_with(prefix)) continue;
    yyjson_val* offsets = yyjson_obj_get(value, "data_offsets");
    const size_t begin = yyjson_get_uint(yyjson_arr_get(offsets, 0)),
                 end = yyjson_get_uint(yyjson_arr_get(offsets, 1));
    const std::unique_ptr<char, decltype(&std::free)> shape(
        yyjson_val_write(yyjson_obj_get(value, "shape"), 0, nullptr), &std::free);
    entries += (entries.empty() ? "{\"" : ",\"") + name.substr(cut) + "\":{\"dtype\":\"" +
               yyjson_get_str(yyjson_obj_get(value, "dtype")) + "\",\"shape\":" + shape.get() +
               ",\"data_offsets\":[" + std::to_string(tensors.size()) + "," +
               std::to_string(tensors.size() + end - begin) + "]}";
    tensors += bytes.substr(sizeof size + size + begin, end - begin);
  }
  entries += "}";
  size = entries.size();
  std::string length(sizeof size, '\0');
  std::memcpy(length.data(), &size, sizeof size);
  write_text(target, length + entries + tensors);
}

TEST(Reference, WeightsMayBeTwoFiles) {
  const TemporaryFolder folder;
  const std::string voice = (kFixtures / "lsd6/voice.safetensors").string();
  const std::string whole = config_text("lsd6", folder.path());
  split(kFixtures / "lsd6/model.safetensors", "flow_lm.", 8, folder.path() / "flow_lm.safetensors");
  split(kFixtures / "lsd6/model.safetensors", "mimi.", 0, folder.path() / "mimi.safetensors");
  const Samples expected = speech(pack_of("lsd6"), "fp32", voice);
  const std::string with_mimi = replaced(whole, "\nmimi:\n", "\nmimi:\n  weights_path: mimi.safetensors\n");
  std::string two = replaced(with_mimi, "\nflow_lm:\n", "\nflow_lm:\n  weights_path: flow_lm.safetensors\n");
  write_text(folder.path() / "config.yaml", with_mimi);
  EXPECT_EQ(speech(folder.path(), "fp32", voice), expected);
  // The bundle goes first, and need not be there where it is not named.
  write_text(folder.path() / "config.yaml", two);
  EXPECT_EQ(speech(folder.path(), "fp32", voice), expected);
  for (const char* none : {"", "weights_path:", "weights_path: null"}) {
    two = replaced(with_mimi, "\nflow_lm:\n", "\nflow_lm:\n  weights_path: flow_lm.safetensors\n");
    write_text(folder.path() / "config.yaml", replaced(two, "weights_path: model.safetensors", none));
    fs::remove(folder.path() / "model.safetensors");
    EXPECT_EQ(speech(folder.path(), "fp32", voice), expected) << none;
  }
}

// The last error of a models_dir that is refused.
std::string refusal(const Path& models, const char* tokenizer = nullptr) {
  const std::string name = models.string();
  PocketTTSConfigEx config = config_of(name);
  config.tokenizer_path = tokenizer;
  EXPECT_EQ(pocket_tts_create_ex(&config), nullptr);
  return pocket_tts_get_last_error();
}

TEST(Reference, AddressesAreFilesBesideTheConfiguration) {
  const TemporaryFolder folder;
  const std::string voice = (kFixtures / "lsd6/voice.safetensors").string();
  std::string text = config_text("lsd6", folder.path());
  text = replaced(text, ": tokenizer.model", ": hf://someone/thing/languages/x/tokenizer.model@0a1b");
  text =
      replaced(text, "weights_path: model.safetensors",
               "weights_path: hf://someone/thing/languages/x/model.safetensors@refs/pr/1\n"
               "weights_path_without_voice_cloning: https://example.org/a/public.safetensors?download=true");
  write_text(folder.path() / "x.yml", text);
  const Samples expected = speech(pack_of("lsd6"), "int8", voice);
  EXPECT_EQ(speech(folder.path(), "int8", voice), expected);
  fs::rename(folder.path() / "model.safetensors", folder.path() / "public.safetensors");
  EXPECT_EQ(speech(folder.path(), "int8", voice), expected);
  fs::remove(folder.path() / "tokenizer.model");
  (void)refusal(folder.path());
  says("x.yml: flow_lm.lookup_table.tokenizer_path: expected the file ");
  says("/tokenizer.model, found none: nothing is downloaded, fetch hf://someone/thing/");
  // It need not be there where another is named.
  const std::string own = (kFixtures / "lsd6/tokenizer.model").string();
  const Handle handle =
      open(folder.path(), [&](PocketTTSConfigEx* config) { config->tokenizer_path = own.c_str(); });
  EXPECT_EQ(spoken(handle, voice_of(handle, voice)), expected);
  fs::remove(folder.path() / "public.safetensors");
  (void)refusal(folder.path(), own.c_str());
  says("x.yml: weights_path_without_voice_cloning: expected the file");
}

TEST(Reference, ATokenizerIsOfTheKindThatIsNamed) {
  const TemporaryFolder folder;
  const std::string text = config_text("flow_matching", folder.path());
  const std::string voice = (kFixtures / "flow_matching/voice.safetensors").string();
  fs::rename(folder.path() / "tokenizer.json", folder.path() / "words");
  write_text(folder.path() / "config.yaml", replaced(text, ": tokenizer.json", ": words"));
  EXPECT_EQ(speech(folder.path(), "int8", voice), speech(pack_of("flow_matching"), "int8", voice));
}

TEST(Reference, PathsAreFoundBesideTheConfigurationFirst) {
  const TemporaryFolder folder;
  const Path elsewhere = folder.path() / "elsewhere", own = folder.path() / "own";
  const std::string text = config_text("lsd6", elsewhere);
  const std::string voice = (kFixtures / "lsd6/voice.safetensors").string();
  const Samples expected = speech(pack_of("lsd6"), "int8", voice);
  fs::create_directories(own);
  write_text(own / "config.yaml", text);
  (void)refusal(own);
  says("tokenizer_path: expected the file " + (own / "tokenizer.model").string() + " or tokenizer.model");
  const Path before = fs::current_path();
  fs::current_path(elsewhere);
  EXPECT_EQ(speech(own, "int8", voice), expected);
  write_text(own / "tokenizer.model", "not one");
  EXPECT_NE(refusal(own).find((own / "tokenizer.model").string()), std::string::npos);
  fs::remove(own / "tokenizer.model");
  fs::copy_file(own / "config.yaml", "config.yaml");
  EXPECT_EQ(speech("config.yaml", "int8", voice), expected);
  fs::current_path(before);
  write_text(own / "config.yaml",
             replaced(replaced(text, ": tokenizer", ": " + (elsewhere / "tokenizer").string()),
                      "weights_path: ", "weights_path: ../elsewhere/"));
  EXPECT_EQ(speech(own, "int8", voice), expected);
}

TEST(Reference, OneConfigurationIsTaken) {
  const TemporaryFolder folder;
  const std::string voice = (kFixtures / "lsd6/voice.safetensors").string();
  const std::string text = config_text("lsd6", folder.path());
  write_text(folder.path() / "english.yaml", text);
  write_text(folder.path() / "german.yaml", "- no");
  (void)refusal(folder.path());
  says("expected one configuration (.yaml), found 2 (english.yaml, german.yaml): name the file");
  const Samples expected = speech(pack_of("lsd6"), "int8", voice);
  EXPECT_EQ(speech(folder.path() / "english.yaml", "int8", voice), expected);
  (void)refusal(folder.path() / "german.yaml");
  says("german.yaml: expected a mapping of fields, found a list");
  write_text(folder.path() / "config.yaml", text);
  EXPECT_EQ(speech(folder.path(), "int8", voice), expected);
  // A pack goes before it.
  write_text(folder.path() / "pack.json", "{");
  (void)refusal(folder.path());
  says("pack.json: ");
}

TEST(Reference, ConfigurationsAreRefusedByFileAndField) {
  const TemporaryFolder folder;
  const std::string text = config_text("lsd6", folder.path());
  const auto refused = [&](const std::string& changed, const char* expected) {
    write_text(folder.path() / "config.yaml", changed);
    (void)refusal(folder.path());
    return says(expected);
  };
  EXPECT_TRUE(refused("", "config.yaml: expected a mapping of fields, found nothing"));
  EXPECT_TRUE(refused("a: b", "tokenizer_path: expected a path, found nothing"));
  EXPECT_TRUE(refused(replaced(text, ": tokenizer.model", ": 7"),
                      "tokenizer_path: expected a path, found something else"));
  EXPECT_TRUE(refused(replaced(text, "weights_path: model.safetensors", ""),
                      "config.yaml: weights_path: expected a path, found nothing"));
  EXPECT_TRUE(refused(replaced(text, "weights_path: model", "weights_path: other"),
                      "weights_path: expected the file"));
  EXPECT_TRUE(refused(replaced(text, "depth: 3", "depth: 3\n    width: 3"), "config.yaml: "));
  EXPECT_TRUE(refused(replaced(text, "depth: 3", "depth: 0x3"), "depth"));
  EXPECT_TRUE(refused(replaced(text, "weights_path: model.safetensors", "weights_path: ."),
                      "expected a plain file, found a folder"));
  EXPECT_TRUE(refused(text + std::string(1 << 20, '#'), "expected at most 1048576 bytes"));
}

TEST(Yaml, OfTheFixturesIsTheirJson) {
  int count = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kFixtures)) {
    EXPECT_EQ(json_of(read_text(entry.path() / "config.yaml")), read_text(entry.path() / "config.json"));
    ++count;
  }
  EXPECT_EQ(count, 7);
}

TEST(Yaml, WordsAreWhatPyYamlTakesThemFor) {
  const std::pair<const char*, const char*> words[] = {
      {"", "null"},
      {"~", "null"},
      {"Null", "null"},
      {"''", R"("")"},
      {"yes", "true"},
      {"On", "true"},
      {"FALSE", "false"},
      {"off", "false"},
      {"y", R"("y")"},
      {"'true'", R"("true")"},
      {"n", R"("n")"},
      {"tRue", R"("tRue")"},
      {"7", "7"},
      {"-0", "-0"},
      {"+12", "12"},
      {"0.30", "0.30"},
      {".5", "0.5"},
      {"-5.", "-5"},
      {"1e-5", "1e-5"},
      {"1.5E+3", "1.5e+3"},
      {"010", R"("010")"},
      {"0x1F", R"("0x1F")"},
      {"1_000", R"("1_000")"},
      {"1:30", R"("1:30")"},
      {".inf", R"(".inf")"},
      {".", R"(".")"},
      {"-", "[null]"},
      {"1e", R"("1e")"},
      {"1.2.3", R"("1.2.3")"},
      {"\"7\"", R"("7")"},
      {"\"\\u00e9\\t\"", R"("é\t")"},
  };
  for (const auto& [word, expected] : words) {
    EXPECT_EQ(json_of(std::string("a:\n ") + word + "\n"), std::string(R"({"a":)") + expected + "}") << word;
  }
  EXPECT_EQ(
      json_of("\xEF\xBB\xBF# first\n’: \"'\"\n\"\": x # last\n1: [a, {b: c}, [], {}]\nd: |\n  e\n  f\n"),
      R"({"’":"'","":"x","1":["a",{"b":"c"},[],{}],"d":"e\nf\n"})");
  EXPECT_EQ(json_of("a: &x {b: 1}\nc: *x\nd: [*x, *x]"),
            R"({"a":{"b":1},"c":{"b":1},"d":[{"b":1},{"b":1}]})");
}

TEST(Yaml, RefusesTheRest) {
  refuses("", "expected a mapping of fields, found nothing");
  refuses("# nothing", "found nothing");
  refuses("- a", "found a list");
  refuses("word", "found a single value");
  refuses("a: \xff", "expected UTF-8, found other bytes");
  refuses("a: [", "line 2: expected YAML: did not find expected node content");
  refuses("a: b\n\tc: d", "line 2: expected YAML");
  refuses("a: b: c", "line 1: expected YAML: mapping values are not allowed");
  refuses("a: 1\nb: 2\na: 3", "line 3: expected every key once, found a twice");
  refuses("a: 1\n---\nb: 2", "expected one document, found more");
  refuses("a: 1\n---\n[", "expected YAML");
  refuses("a: 1\n[b]: 2", "line 2: expected a word before the colon, found a list or a mapping");
  refuses("a: !!int '7'", "line 1: expected no tags, found tag:yaml.org,2002:int");
  refuses("a: !!python/object:x {}", "expected no tags");
  refuses("a: *nobody", "expected YAML: found undefined alias");
  refuses("a: &a [*a]", "at most 100 levels of nesting");
  refuses("a: " + std::string(150, '[') + std::string(150, ']'), "at most 100 levels of nesting");
  refuses("a: " + std::string(1 << 19, '['), "expected YAML");
  // Ten to the ninth of them.
  std::string many = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string alias = "*a" + std::to_string(i - 1) + ", ";
    many += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int n = 0; n < 10; ++n) many += alias;
    many += "x]\n";
  }
  refuses(many, "at most 4 MiB with its aliases written out");
}

}  // namespace
}  // namespace ptts::testing_capi
