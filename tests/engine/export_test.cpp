// Converted packs: what is written loads again into the same model, and what is not right is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "half.h"
#include "speak.h"

namespace ptts::testing_files {
namespace {

Bytes export_all(ptts_handle model, uint32_t parts, size_t slice) {
  ptts_handle handle = 0;
  uint64_t total = 0;
  Bytes file;
  EXPECT_EQ(ptts_export_open(model, parts, &handle, &total), PTTS_OK) << ptts_message();
  if (handle == 0) return file;
  Bytes piece(slice);
  size_t written = 0;
  do {
    EXPECT_EQ(ptts_export_read(handle, piece.data(), piece.size(), &written), PTTS_OK);
    file.insert(file.end(), piece.begin(), piece.begin() + static_cast<long>(written));
  } while (written > 0);
  EXPECT_EQ(file.size(), total);
  EXPECT_EQ(ptts_close(handle), PTTS_OK);
  return file;
}

class ExportTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(ptts_allocated_bytes(), 0u) << "something was not freed"; }
  // The parts of a fixture with its weights converted to `precision`.
  Parts converted(const std::string& fixture, uint32_t precision, std::string* hash = nullptr) {
    Parts parts = read_parts(fixture);
    parts.precision = precision;
    ptts_handle model = 0;
    EXPECT_EQ(load(parts, &model), PTTS_OK) << ptts_message();
    if (hash != nullptr) *hash = speak_and_hash(model, fixture, kText);
    ptts_model_info info;
    EXPECT_EQ(ptts_model_get_info(model, &info), PTTS_OK);
    parts.weights = export_all(model, info.parts, 1000);
    EXPECT_EQ(ptts_close(model), PTTS_OK);
    return parts;
  }
  void expect_refused(const Parts& parts, std::initializer_list<const char*> words) {
    ptts_handle model = 0;
    EXPECT_EQ(load(parts, &model), PTTS_ERROR_WEIGHTS) << words.begin()[0];
    for (const char* word : words)
      EXPECT_NE(std::string(ptts_message()).find(word), std::string::npos) << ptts_message();
  }
  static constexpr std::string_view kText = "Hello world, this is a test.";
};

TEST_F(ExportTest, LoadsAgainIntoTheSameModel) {
  for (const char* fixture : {"lsd6", "pointwise2m", "drifting", "flow_matching", "lsd_2026_01"}) {
    for (const uint32_t precision : {PTTS_PRECISION_F32, PTTS_PRECISION_Q8, PTTS_PRECISION_Q4}) {
      std::string hash;
      Parts parts = converted(fixture, precision, &hash);
      EXPECT_FALSE(hash.empty());
      for (const size_t slice : {size_t{1} << 20, size_t{7}}) {
        parts.slice = slice;
        ptts_handle model = 0;
        ASSERT_EQ(load(parts, &model), PTTS_OK) << fixture << " " << precision << ": " << ptts_message();
        EXPECT_EQ(speak_and_hash(model, fixture, kText), hash) << fixture << " " << precision;
        if (slice > 7)
          EXPECT_EQ(export_all(model, PTTS_PART_FLOW_LM, 33), export_all(model, PTTS_PART_FLOW_LM, 1 << 20));
        EXPECT_EQ(ptts_close(model), PTTS_OK);
      }
    }
  }
}

TEST_F(ExportTest, PrecisionsDiffer) {
  std::string f32, q8, q4;
  converted("lsd6", PTTS_PRECISION_F32, &f32);
  const size_t eight = converted("lsd6", PTTS_PRECISION_Q8, &q8).weights.size();
  const size_t four = converted("lsd6", PTTS_PRECISION_Q4, &q4).weights.size();
  EXPECT_NE(f32, q8);
  EXPECT_NE(q8, q4);
  EXPECT_LT(four, eight);
}

TEST_F(ExportTest, RefusesOtherPrecisions) {
  Parts parts = converted("lsd6", PTTS_PRECISION_Q8);
  parts.precision = PTTS_PRECISION_F32;
  expect_refused(parts, {".q", "precision f32"});
  parts.precision = PTTS_PRECISION_Q4;
  expect_refused(parts, {".q8", "precision q4"});
}

TEST_F(ExportTest, RefusesWhatIsNotRight) {
  const Parts good = converted("lsd6", PTTS_PRECISION_Q8);
  const auto with_header = [&](std::string_view from, std::string_view to) {
    Parts parts = good;
    Container container = open_container(parts.weights);
    EXPECT_TRUE(replace_first(&container.header, from, to)) << from;
    parts.weights = close_container(container);
    return parts;
  };
  const std::string name = "flow_lm.transformer.layers.0.linear1.weight";
  expect_refused(with_header(name + ".scale", name + ".scales"), {"not a tensor"});
  expect_refused(with_header("\"" + name + ".q8\"", "\"" + name + ".q4\""), {".q4", "precision q8"});
  expect_refused(with_header("\"" + name + ".q8\"", "\"" + name + ".xx\""), {"not a tensor"});
  expect_refused(with_header("\"dtype\":\"I8\"", "\"dtype\":\"U8\""), {"expected I8"});

  // A weight of -128 could leave 32 bits in a sum.
  Parts parts = good;
  Container container = open_container(parts.weights);
  const size_t entry = container.header.find("\"" + name + ".q8\""),
               offsets = container.header.find("data_offsets", entry);
  const size_t begin = std::stoul(container.header.substr(offsets + 15));
  container.data[begin + 3] = 0x80;
  parts.weights = close_container(container);
  expect_refused(parts, {"linear1.weight.q8", "-127", "-128"});

  // Only the integers, without their scales.
  parts = good;
  container = open_container(parts.weights);
  ASSERT_TRUE(
      replace_first(&container.header, name + ".scale", "flow_lm.transformer.layers.0.linear2.weight.scale"));
  parts.weights = close_container(container);
  ptts_handle model = 0;
  EXPECT_LT(load(parts, &model), 0);
}

TEST_F(ExportTest, RefusesPartsThatAreNotLoaded) {
  Parts parts = read_parts("lsd6");
  parts.parts = PTTS_PART_MIMI_DECODER;
  ptts_handle model = 0, handle = 0;
  uint64_t total = 0;
  ASSERT_EQ(load(parts, &model), PTTS_OK) << ptts_message();
  EXPECT_EQ(ptts_export_open(model, PTTS_PART_FLOW_LM, &handle, &total), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_export_open(model, 0, &handle, &total), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_export_open(handle, PTTS_PART_MIMI_DECODER, &handle, &total), PTTS_ERROR_HANDLE);
  EXPECT_EQ(ptts_close(model), PTTS_OK);
}

TEST(Half, EveryHalfGoesBothWays) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if ((half >> 10 & 31) == 31) continue;  // infinities and what is not a number
    ASSERT_EQ(f32_to_half(half_to_f32(half)), half);
  }
}

TEST(Half, RoundsToTheNearestTiesToEven) {
  for (uint16_t half = 0; half < 0x7bff; ++half) {
    const float low = half_to_f32(half), high = half_to_f32(static_cast<uint16_t>(half + 1)),
                middle = low + (high - low) / 2;
    ASSERT_EQ(f32_to_half(middle), half % 2 == 0 ? half : half + 1);
    ASSERT_EQ(f32_to_half(std::nextafter(middle, 0.0f)), half);
    ASSERT_EQ(f32_to_half(std::nextafter(middle, 1e9f)), half + 1);
    ASSERT_EQ(f32_to_half(-middle), (half % 2 == 0 ? half : half + 1) | 0x8000);
  }
  EXPECT_EQ(f32_to_half(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_half(1e9f), 0x7bff);
  EXPECT_EQ(f32_to_half(1e-9f), 0);
}

}  // namespace
}  // namespace ptts::testing_files
