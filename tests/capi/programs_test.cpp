// Programs that see the library from outside: one and the test of gudrob's library, compiled with that header as it came; the
// example; what the library shows.
#include <sys/wait.h>

#include <cstdio>
#include <set>

#include "tts.h"

namespace ptts::testing_capi {
namespace {

namespace fs = std::filesystem;

struct Ran {
  int code;
  std::string output;  // and errors
};

Ran run(const std::string& command) {
  Ran ran = {-1, ""};
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return ran;
  char buffer[4096];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) ran.output.append(buffer, n);
  const int status = pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

const std::string kRecording = (kRoot / "tests/golden/fixtures/lsd6/voice.wav").string();

TEST(DropIn, AProgramOfTheirsSpeaks) {
  const Ran ran = run(std::string(PTTS_DROP_IN) + " " + pack_of("lsd6").string() + " " + kRecording);
  ASSERT_EQ(ran.code, 0) << ran.output;
  int samples = 0, rate = 0, pieces = 0, finals = 0;
  ASSERT_EQ(std::sscanf(ran.output.c_str(), "%d %d %d %d", &samples, &rate, &pieces, &finals), 4)
      << ran.output;
  EXPECT_GT(samples, 10 * kFrame);
  EXPECT_EQ(rate, 24000);
  EXPECT_EQ(pieces, samples / kFrame / 3 + 1);
  EXPECT_EQ(finals, 1);
}

// It looks for models/onnx and models/reference_sample.wav beside the folder that it is in, and uses every default.
TEST(DropIn, TheirOwnTestPasses) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "bin");
  fs::create_symlink(PTTS_THEIR_TEST, folder.path() / "bin/test_api");
  make_pack("lsd6", folder.path() / "models/onnx");
  fs::copy_file(kRecording, folder.path() / "models/reference_sample.wav");
  const Ran ran = run((folder.path() / "bin/test_api").string());
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_NE(ran.output.find("samples at 24000Hz"), ran.output.npos) << ran.output;
}

TEST(Example, WritesAWav) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "out.wav").string();
  const std::string program = PTTS_EXAMPLE, starter = " --models-dir " + (kRoot / "models/starter").string();
  const Ran ran =
      run(program + starter + " --precision fp32 'The quick brown fox jumps over the lazy dog.' slt " + out);
  ASSERT_EQ(ran.code, 0) << ran.output;
  const std::string wav = read_text(out);
  ASSERT_EQ(wav.size(), 44u + 37 * kFrame * 2);  // the frames of tests/hosts/expected.json
  EXPECT_EQ(wav.substr(0, 4) + wav.substr(8, 8) + wav.substr(36, 4), "RIFFWAVEfmt data");

  const std::string cloned = program + " --models-dir " + pack_of("lsd6").string() +
                             " --lsd-steps 2 --max-frames 9 --temperature 0.5 Hello " + kRecording + " " +
                             out;
  EXPECT_EQ(run(cloned).code, 0);
  EXPECT_EQ(run(program + " --help").code, 0);
  for (const std::string& wrong :
       {std::string(" Hello slt"), starter + " Hello nobody " + out, " --models-dir nowhere Hello slt " + out,
        starter + " --lsd-steps 1e300 Hello slt " + out, starter + " --max-frames 2.5 Hello slt " + out,
        " --speed 2 Hello slt " + out, starter + " --precision int3 Hello slt " + out}) {
    const Ran refused = run(program + wrong);
    EXPECT_EQ(refused.code, 1) << wrong;
    EXPECT_NE(refused.output, "") << wrong;
  }
}

#if PTTS_SHARED
TEST(Library, ShowsItsInterfaceAndNothingElse) {
  const Ran ran = run("llvm-nm-19 -D --defined-only --format=just-symbols " + std::string(PTTS_LIBRARY));
  ASSERT_EQ(ran.code, 0) << ran.output;
  std::set<std::string> names;
  for (size_t at = 0; at < ran.output.size();) {
    const size_t end = ran.output.find('\n', at);
    names.insert(ran.output.substr(at, end - at));
    at = end + 1;
  }
  EXPECT_EQ(names, (std::set<std::string>{
                       "pocket_tts_cancel_streaming", "pocket_tts_config_ex_init", "pocket_tts_create",
                       "pocket_tts_create_ex", "pocket_tts_destroy", "pocket_tts_encode_voice",
                       "pocket_tts_encode_voice_from_samples", "pocket_tts_export_voice",
                       "pocket_tts_free_audio", "pocket_tts_free_voice", "pocket_tts_generate",
                       "pocket_tts_generate_streaming", "pocket_tts_get_last_error", "pocket_tts_list_voices",
                       "pocket_tts_sample_rate", "pocket_tts_version"}));
}
#endif

// Installed somewhere, the library finds the starter voice by itself.
TEST(Library, FindsTheInstalledStarterVoice) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "lib");
  fs::create_directories(folder.path() / "bin");
  fs::create_directories(folder.path() / "share/pocket_tts");
  fs::create_directory_symlink(kRoot / "models/starter", folder.path() / "share/pocket_tts/starter");
  fs::copy_file(PTTS_EXAMPLE, folder.path() / "bin/pocket_tts");
  if (PTTS_SHARED) fs::copy_file(PTTS_LIBRARY, folder.path() / "lib/libpocket_tts.so.1");
  const std::string out = (folder.path() / "out.wav").string();
  const Ran ran =
      run("cd " + folder.path().string() + " && LD_LIBRARY_PATH=lib bin/pocket_tts Hello slt " + out);
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_GT(read_text(out).size(), 44u);
}

}  // namespace
}  // namespace ptts::testing_capi
