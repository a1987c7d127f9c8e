// Voices through the C interface: from samples, recordings, voice files and names.
#include <sys/stat.h>

#include <algorithm>

#include "instance.h"
#include "tts.h"

namespace ptts::testing_capi {
namespace {

namespace fs = std::filesystem;

Path fixture(const std::string& name) { return kRoot / "tests/golden/fixtures/lsd6" / name; }

// 16-bit mono at 24 kHz.
void write_wav(const Path& path, const Samples& samples) {
  const auto number = [](uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i & 255);
    return text;
  };
  std::string data;
  for (const float x : samples) data += number(static_cast<uint32_t>(static_cast<int>(x * 32767.0f)), 2);
  const uint32_t size = static_cast<uint32_t>(data.size());
  write_text(path, "RIFF" + number(36 + size, 4) + "WAVEfmt " + number(16, 4) + number(1, 2) + number(1, 2) +
                       number(24000, 4) + number(48000, 4) + number(2, 2) + number(16, 2) + "data" +
                       number(size, 4) + data);
}

TEST(Voices, FromSamplesAreThoseOfTheSamples) {
  const Handle handle = open(pack_of("lsd6"));
  const Voice low = voice_of(handle, tone(150, 2)), high = voice_of(handle, tone(420, 2)),
              again = voice_of(handle, tone(150, 2));
  EXPECT_NE(bytes_of(low), bytes_of(high));
  EXPECT_EQ(bytes_of(low), bytes_of(again));
  EXPECT_NE(spoken(handle, low), spoken(handle, high));
  EXPECT_EQ(spoken(handle, low), spoken(handle, again));
  // At another rate it is another sequence of samples, of the same sound.
  const Voice resampled = voice_of(handle, tone(150, 2, 48000), 48000);
  EXPECT_EQ(bytes_of(resampled).size(), bytes_of(low).size());
}

TEST(Voices, ThirtySecondsOfAReferenceAreTaken) {
  const Handle handle = open(pack_of("lsd6"));
  Samples long_one = tone(150, 40);
  const Samples thirty(long_one.begin(), long_one.begin() + 30 * 24000);
  const Samples less(long_one.begin(), long_one.begin() + 29 * 24000);
  const std::string taken = bytes_of(voice_of(handle, long_one));
  EXPECT_EQ(taken, bytes_of(voice_of(handle, thirty)));
  EXPECT_NE(taken, bytes_of(voice_of(handle, less)));
  const TemporaryFolder folder;
  write_wav(folder.path() / "40.wav", long_one);
  write_wav(folder.path() / "30.wav", thirty);
  EXPECT_EQ(bytes_of(voice_of(handle, (folder.path() / "40.wav").string())),
            bytes_of(voice_of(handle, (folder.path() / "30.wav").string())));
}

TEST(Voices, AFileThatChangedIsAnotherVoice) {
  const Handle handle = open(pack_of("lsd6"));
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "voice.wav").string();
  write_wav(path, tone(150, 1));
  const std::string first = bytes_of(voice_of(handle, path));
  EXPECT_EQ(bytes_of(voice_of(handle, path)), first);
  const auto when = fs::last_write_time(path);
  write_wav(path, tone(420, 1));
  fs::last_write_time(path, when);  // neither path, size nor time tell
  EXPECT_NE(bytes_of(voice_of(handle, path)), first);
}

TEST(Voices, TheCacheKeepsTheLastFour) {
  capi::VoiceCache cache;
  std::vector<std::weak_ptr<const ptts::Voice>> kept;
  for (int i = 0; i < 20; ++i) {
    const auto voice = std::make_shared<const ptts::Voice>();
    kept.push_back(voice);
    cache.keep(std::to_string(i), voice);
    EXPECT_EQ(cache.find(std::to_string(i)), voice);
    EXPECT_NE(cache.find("0"), nullptr);  // the one that is used stays
  }
  EXPECT_EQ(std::ranges::count_if(kept, [](const auto& voice) { return !voice.expired(); }), 4);
  for (const char* name : {"0", "17", "18", "19"}) EXPECT_NE(cache.find(name), nullptr) << name;
}

TEST(Voices, FilesNamesAndRecordingsAreOneArgument) {
  const Handle handle = open(pack_of("lsd6"));
  const std::string by_name = bytes_of(voice_of(handle, "recorded"));
  EXPECT_EQ(bytes_of(voice_of(handle, fixture("voice.safetensors").string())), by_name);
  // The pack's voice was made of this recording by the reference: the same length, nearly the same values.
  const std::string encoded = bytes_of(voice_of(handle, fixture("voice.wav").string()));
  EXPECT_EQ(encoded.size(), by_name.size());
  EXPECT_NE(encoded, by_name);
}

TEST(Voices, AnExportedVoiceSpeaksTheSame) {
  const Handle handle = open(pack_of("lsd6"));
  const Voice voice = voice_of(handle, tone(150, 2));
  const TemporaryFolder folder;
  const Path path = folder.path() / "mine.safetensors";
  write_text(path, "something else");
  ASSERT_EQ(pocket_tts_export_voice(voice.get(), path.c_str()), 0) << pocket_tts_get_last_error();
  EXPECT_EQ(spoken(handle, voice_of(handle, path.string())), spoken(handle, voice));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
  const Path nowhere = folder.path() / "none" / "mine.safetensors";
  EXPECT_EQ(pocket_tts_export_voice(voice.get(), nowhere.c_str()), -1);
  EXPECT_NE(std::string(pocket_tts_get_last_error()).find("mine.safetensors: cannot be written"),
            std::string::npos);
  // What is not a plain file is not replaced by one.
  const Path pipe = folder.path() / "pipe.safetensors";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(pocket_tts_export_voice(voice.get(), pipe.c_str()), -1);
  EXPECT_NE(std::string(pocket_tts_get_last_error()).find("expected a plain file or none, found a FIFO"),
            std::string::npos)
      << pocket_tts_get_last_error();
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST(Voices, ByNameFromThePackAndFromAFolder) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "packs");
  fs::create_directories(folder.path() / "voices");
  make_pack("lsd6", folder.path() / "packs/english");
  write_wav(folder.path() / "voices/ann.wav", tone(150, 1));
  fs::copy_file(fixture("voice.safetensors"), folder.path() / "voices/bob.safetensors");
  write_wav(folder.path() / "voices/bob.WAV", tone(150, 1));
  write_text(folder.path() / "voices/notes.txt", "not a voice");
  const std::string voices = (folder.path() / "voices").string(), with_slash = voices + "/";
  const auto open_with = [&](const std::string& dir) {
    return open(folder.path() / "packs", [&](PocketTTSConfigEx* config) {
      config->language = "english";
      config->voices_dir = dir.c_str();
    });
  };
  const Handle handle = open_with(voices), slashed = open_with(with_slash);
  const char* names[5] = {};
  ASSERT_EQ(pocket_tts_list_voices(handle.get(), nullptr, 0), 3);
  ASSERT_EQ(pocket_tts_list_voices(handle.get(), names, 5), 3);
  EXPECT_STREQ(names[0], "recorded");
  EXPECT_STREQ(names[1], "ann");
  EXPECT_STREQ(names[2], "bob");
  EXPECT_EQ(names[3], nullptr);
  EXPECT_EQ(bytes_of(voice_of(handle, "bob")), bytes_of(voice_of(handle, "recorded")));
  EXPECT_EQ(bytes_of(voice_of(slashed, "bob")), bytes_of(voice_of(handle, "recorded")));
  EXPECT_EQ(bytes_of(voice_of(handle, "ann")), bytes_of(voice_of(handle, voices + "/ann.wav")));
  EXPECT_EQ(pocket_tts_sample_rate(handle.get()), 24000);
}

TEST(Voices, WorkWithEveryHandleOfTheirModelOnly) {
  const Handle one = open(pack_of("lsd6")), two = open(pack_of("lsd6"));
  const Voice voice = voice_of(one, "recorded");
  EXPECT_EQ(spoken(two, voice), spoken(one, voice));
  for (const Handle& other :
       {open(pack_of("lsd_2026_01")),
        open(pack_of("lsd6"), [](PocketTTSConfigEx* config) { config->precision = "int8"; })}) {
    AudioResult result;
    EXPECT_EQ(pocket_tts_generate(other.get(), kText, voice.get(), &result), -1);
    EXPECT_NE(std::string(pocket_tts_get_last_error()).find("another model"), std::string::npos);
    EXPECT_EQ(result.data, nullptr);
  }
}

// The encoder in a file of its own is left out without cloning.
TEST(Voices, WorkAlsoWhereTheirEncoderIsNot) {
  const TemporaryFolder folder;
  const Path pack = make_pack("lsd6", folder.path() / "pack");
  fs::copy_file(pack / "model.safetensors", pack / "encoder.safetensors");
  std::string manifest = pack_json("lsd6");
  const std::string files = R"("files": [)";
  manifest.replace(manifest.find(files), files.size(),
                   files + R"({"path": "encoder.safetensors", "role": "weights-encoder"}, )");
  write_text(pack / "pack.json", manifest);
  const Handle whole = open(pack),
               plain =
                   open(pack, [](PocketTTSConfigEx* config) { config->flags = POCKET_TTS_FLAG_NO_CLONING; });
  const Voice voice = voice_of(whole, tone(150, 1));
  EXPECT_EQ(spoken(plain, voice), spoken(whole, voice));
}

TEST(Voices, OutliveTheirHandle) {
  Handle one = open(pack_of("lsd6"));
  const Voice voice = voice_of(one, "recorded");
  const Samples samples = spoken(one, voice);
  one.reset();
  EXPECT_EQ(spoken(open(pack_of("lsd6")), voice), samples);
}

TEST(Voices, AreRefusedWithAReason) {
  const auto error = [](PocketTTSHandle handle, const std::string& source) {
    EXPECT_EQ(pocket_tts_encode_voice(handle, source.c_str()), nullptr);
    return std::string(pocket_tts_get_last_error());
  };
  const Handle starter = open(kRoot / "models/starter"), handle = open(pack_of("lsd6")),
               plain = open(pack_of("lsd6"),
                            [](PocketTTSConfigEx* config) { config->flags = POCKET_TTS_FLAG_NO_CLONING; });
  const std::string wav = fixture("voice.wav").string();
  EXPECT_NE(error(starter.get(), wav)
                .find("cloning not available: this pack cannot make voices from recordings: its Mimi"),
            std::string::npos)
      << pocket_tts_get_last_error();
  EXPECT_NE(error(plain.get(), wav).find("cloning not available"), std::string::npos)
      << pocket_tts_get_last_error();
  EXPECT_NE(error(handle.get(), "nobody").find("or the name of a voice (recorded)"), std::string::npos)
      << pocket_tts_get_last_error();
  EXPECT_NE(error(handle.get(), "nobody.safetensors").find("nobody.safetensors: expected a file, found none"),
            std::string::npos)
      << pocket_tts_get_last_error();
  EXPECT_NE(error(handle.get(), kRoot.string()).find("expected a plain file, found a folder"),
            std::string::npos)
      << pocket_tts_get_last_error();
  EXPECT_NE(error(handle.get(), fixture("config.json").string()).find("expected a RIFF WAVE file"),
            std::string::npos)
      << pocket_tts_get_last_error();
  EXPECT_NE(error(starter.get(), fixture("voice.safetensors").string())
                .find("voice.safetensors: voice: transformer"),
            std::string::npos)
      << pocket_tts_get_last_error();
}

TEST(Voices, AModelWhoseEncoderIsEmptyDoesNotClone) {
  const TemporaryFolder folder;
  make_pack("lsd6", folder.path() / "pack");
  // The encoder's convolutions become zeros, as in the public weights.
  std::string weights = read_text(folder.path() / "pack/model.safetensors");
  uint64_t header = 0;
  for (int i = 7; i >= 0; --i) header = header << 8 | static_cast<uint8_t>(weights[static_cast<size_t>(i)]);
  const std::string json = weights.substr(8, header);
  size_t cleared = 0;
  for (size_t at = 0; (at = json.find("\"mimi.encoder.model.", at)) != json.npos; ++at) {
    const size_t offsets = json.find("\"data_offsets\":[", at) + 16;
    size_t used = 0;
    const size_t begin = std::stoul(json.substr(offsets, 20), &used),
                 end = std::stoul(json.substr(offsets + used + 1, 20));
    std::fill(weights.begin() + static_cast<long>(8 + header + begin),
              weights.begin() + static_cast<long>(8 + header + end), '\0');
    ++cleared;
  }
  ASSERT_GT(cleared, 10u);
  write_text(folder.path() / "pack/model.safetensors", weights);
  const Handle handle = open(folder.path() / "pack");
  const Samples samples = tone(150, 1);
  EXPECT_EQ(pocket_tts_encode_voice_from_samples(handle.get(), samples.data(), 24000, 24000), nullptr);
  EXPECT_NE(std::string(pocket_tts_get_last_error()).find("cloning not available: the weights"),
            std::string::npos);
  EXPECT_FALSE(spoken(handle, voice_of(handle, "recorded")).empty());
}

}  // namespace
}  // namespace ptts::testing_capi
