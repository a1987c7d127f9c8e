// The generator against draws recorded from torch 2.15 (tests/golden/rng_golden.json).
#include "rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "golden.h"
#include "status.h"

namespace ptts {
namespace {

// Fed by one run of the golden file: one tensor per shape, in order, from one generator.
template <typename Check>
void for_each_run(const char* kind, Check check) {
  const golden::Document document = golden::read_json("rng_golden.json");
  ASSERT_TRUE(document);
  yyjson_val* runs = yyjson_obj_get(yyjson_doc_get_root(document.get()), "runs");
  size_t index = 0;
  size_t count = 0;
  size_t seen = 0;
  yyjson_val* run = nullptr;
  yyjson_arr_foreach(runs, index, count, run) {
    if (!yyjson_equals_str(yyjson_obj_get(run, "kind"), kind)) continue;
    SCOPED_TRACE(index);
    check(run);
    ++seen;
  }
  EXPECT_GT(seen, 0u);
}

double tolerance_of(size_t n) { return n >= 16 ? 2e-6 : 1e-6; }

TEST(Rng, UniformsMatchTorch) {
  for_each_run("uniform_float32", [](yyjson_val* run) {
    Generator generator(yyjson_get_uint(yyjson_obj_get(run, "seed")));
    std::vector<float> values(16);
    generator.uniform(values.data(), values.size(), 0.0f, 1.0f);
    EXPECT_EQ(values, golden::floats(yyjson_obj_get(run, "values")));
  });
}

TEST(Rng, NormalsMatchTorchInBothPaths) {
  double worst = 0.0;
  for_each_run("normal", [&worst](yyjson_val* run) {
    Generator generator(yyjson_get_uint(yyjson_obj_get(run, "seed")));
    const double std = std::sqrt(yyjson_get_num(yyjson_obj_get(run, "temp")));
    size_t index = 0;
    size_t count = 0;
    yyjson_val* tensor = nullptr;
    yyjson_arr_foreach(yyjson_obj_get(run, "values"), index, count, tensor) {
      const std::vector<float> expected = golden::floats(tensor);
      std::vector<float> values(expected.size());
      generator.normal(values.data(), values.size(), std);
      const double difference = golden::largest_difference(values.data(), values.size(), expected);
      EXPECT_LE(difference, tolerance_of(values.size())) << values.size() << " values";
      worst = std::max(worst, difference);
    }
  });
  RecordProperty("worst", std::to_string(worst));
}

TEST(Rng, TruncatedNormalsMatchTorch) {
  for_each_run("trunc_normal", [](yyjson_val* run) {
    Generator generator(yyjson_get_uint(yyjson_obj_get(run, "seed")));
    const double std = std::sqrt(yyjson_get_num(yyjson_obj_get(run, "temp")));
    const double clamp = yyjson_get_num(yyjson_obj_get(run, "clamp"));
    size_t index = 0;
    size_t count = 0;
    yyjson_val* tensor = nullptr;
    yyjson_arr_foreach(yyjson_obj_get(run, "values"), index, count, tensor) {
      const std::vector<float> expected = golden::floats(tensor);
      std::vector<float> values(expected.size());
      ASSERT_EQ(generator.truncated_normal(values.data(), values.size(), std, clamp), PTTS_OK);
      EXPECT_LE(golden::largest_difference(values.data(), values.size(), expected),
                tolerance_of(values.size()));
    }
  });
}

TEST(Rng, TheKeptValueSurvivesBetweenCalls) {
  Generator whole(7);
  Generator parts(7);
  std::vector<float> expected(8);
  std::vector<float> values(8);
  whole.normal(expected.data(), 8, 1.0);
  parts.normal(values.data(), 3, 1.0);
  parts.normal(values.data() + 3, 5, 1.0);
  EXPECT_EQ(values, expected);
}

TEST(Rng, RaggedBlocksDrawTheirLastSixteenAgain) {
  Generator generator(7);
  std::vector<float> ragged(24);
  generator.normal(ragged.data(), ragged.size(), 1.0);
  // By hand: 24 uniforms of which the first block becomes normals, then 16 fresh ones for the elements 8 to 23.
  Generator other(7);
  std::vector<float> block(16);
  other.normal(block.data(), 16, 1.0);
  std::vector<float> skipped(8);
  other.uniform(skipped.data(), 8, 0.0f, 1.0f);
  std::vector<float> last(16);
  other.normal(last.data(), 16, 1.0);
  EXPECT_EQ(std::vector<float>(ragged.begin(), ragged.begin() + 8),
            std::vector<float>(block.begin(), block.begin() + 8));
  EXPECT_EQ(std::vector<float>(ragged.begin() + 8, ragged.end()), last);
}

TEST(Rng, OnlyTheLow32BitsOfTheSeedCount) {
  Generator a(1234);
  Generator b((uint64_t{99} << 32) + 1234);
  float x = 0.0f;
  float y = 0.0f;
  a.uniform(&x, 1, 0.0f, 1.0f);
  b.uniform(&y, 1, 0.0f, 1.0f);
  EXPECT_EQ(x, y);
}

TEST(Rng, TemperatureZeroConsumesTheNumbers) {
  Generator a(5);
  Generator b(5);
  std::vector<float> zeros(32, 1.0f);
  std::vector<float> drawn(32);
  a.normal(zeros.data(), 32, 0.0);
  b.normal(drawn.data(), 32, 1.0);
  for (const float x : zeros) EXPECT_EQ(x, 0.0f);
  float x = 0.0f;
  float y = 0.0f;
  a.uniform(&x, 1, 0.0f, 1.0f);
  b.uniform(&y, 1, 0.0f, 1.0f);
  EXPECT_EQ(x, y);
}

TEST(Rng, TruncatedNormalRefusesWhatItCannotDraw) {
  Generator generator(1);
  float out[32];
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::nan("");
  for (const double std : {0.0, -1.0, inf, nan}) {
    EXPECT_EQ(generator.truncated_normal(out, 32, std, 1.0), PTTS_ERROR_ARGUMENT) << std;
    EXPECT_NE(std::string(last_message()).find("temperature"), std::string::npos);
  }
  for (const double clamp : {0.0, -1.0, inf, nan}) {
    EXPECT_EQ(generator.truncated_normal(out, 32, 1.0, clamp), PTTS_ERROR_ARGUMENT) << clamp;
    EXPECT_NE(std::string(last_message()).find("noise_clamp"), std::string::npos);
  }
  std::vector<float> large(100000);
  EXPECT_EQ(generator.truncated_normal(large.data(), large.size(), 1.0, 1.0), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(generator.truncated_normal(large.data(), large.size(), 1.0, 0.1), PTTS_ERROR_ARGUMENT);
}

TEST(Rng, TruncatedNormalStaysInsideAtAllScales) {
  for (const double ratio : {1e-30, 1e-6, 0.01, 0.38, 0.39, 1.0, 5.0, 1e6, 1e30}) {
    Generator generator(3);
    std::vector<float> values(64);
    ASSERT_EQ(generator.truncated_normal(values.data(), values.size(), 1.0, ratio), PTTS_OK) << ratio;
    for (const float x : values) EXPECT_LE(std::fabs(x), static_cast<float>(ratio));
  }
}

TEST(Rng, ChunkSeedsAreTheDocumentedMix) {
  EXPECT_EQ(chunk_seed(42, 0), 42u);
  EXPECT_EQ(chunk_seed((uint64_t{7} << 32) + 42, 0), 42u);
  EXPECT_EQ(chunk_seed((uint64_t{7} << 32) + 42, 5), chunk_seed(42, 5));
  std::set<uint32_t> seeds;
  for (uint32_t i = 0; i < 100000; ++i) seeds.insert(chunk_seed(42, i));
  EXPECT_EQ(seeds.size(), 100000u);
  EXPECT_EQ(chunk_seed(42, 1), 794141034u);
  EXPECT_EQ(chunk_seed(42, 2), 2778902077u);
}

}  // namespace
}  // namespace ptts
