// The decoder in configurations that no fixture has, with weights made up here.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "audio.h"
#include "model.h"
#include "model_files.h"
#include "plan.h"

namespace ptts::testing_files {
namespace {

constexpr size_t kFrames = 8, kLatent = 32;

// A fixture's configuration, in part another one.
using Changes = std::vector<std::pair<const char*, const char*>>;
std::string config_with(const Changes& changes) {
  std::string json = config_json("lsd6");
  for (const auto& [from, to] : changes) EXPECT_TRUE(replace_first(&json, from, to)) << from;
  return json;
}

// A model whose decoder has weights of such a size that what passes through it keeps its own.
std::unique_ptr<Model> make_decoder(const std::string& config, uint32_t precision) {
  auto model = std::make_unique<Model>();
  EXPECT_EQ(parse_config(config, &model->config), PTTS_OK) << last_message();
  model->precision = precision;
  std::mt19937 random(7);
  for (Slot& slot : plan_model(model.get())) {
    if (slot.part != PTTS_PART_MIMI_DECODER) continue;
    EXPECT_EQ(slot.create(precision, false), PTTS_OK) << last_message();
    const size_t count = shape_count(slot.shape);
    const size_t inputs = slot.layout == Layout::kVector || slot.layout == Layout::kConvTransposeBias ? 16
                          : slot.layout == Layout::kConvTranspose ? 2 * slot.shape[0]
                          : slot.layout == Layout::kUpsample      ? 2
                                                             : count / std::max<size_t>(slot.shape[0], 1);
    const float size = 1.0f / std::sqrt(static_cast<float>(std::max<size_t>(inputs, 1)));
    std::vector<float> values(count);
    for (float& v : values) v = (static_cast<float>(random() % 2001) / 1000.0f - 1.0f) * 1.5f * size;
    if (count == 0) continue;
    EXPECT_EQ(slot.put(0, values.data(), count), PTTS_OK) << last_message();
  }
  EXPECT_EQ(model->decoder.transformer.transformer.prepare(), PTTS_OK);
  return model;
}

std::vector<float> latents() {
  std::mt19937 random(11);
  std::vector<float> values(kFrames * kLatent);
  for (float& v : values) v = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  return values;
}

// Eight frames in blocks of these sizes.
std::vector<float> decode(Codec& codec, const Model& model, std::initializer_list<size_t> blocks) {
  const std::vector<float> input = latents();
  const size_t samples = model.config.samples_per_frame;
  std::vector<float> pcm(kFrames * samples);
  size_t at = 0;
  for (const size_t block : blocks) {
    codec.decode(input.data() + at * kLatent, block, pcm.data() + at * samples);
    at += block;
  }
  EXPECT_EQ(at, kFrames);
  return pcm;
}

const struct {
  const char* name;
  Changes changes;
} kConfigurations[] = {
    {"as it is", {}},
    {"one ratio", {{"\"ratios\":[6,5,4]", "\"ratios\":[30]"}}},
    {"two ratios, frames of 24 samples",
     {{"\"ratios\":[6,5,4]", "\"ratios\":[2,3]"}, {"\"frame_rate\":12.5", "\"frame_rate\":1000"}}},
    {"frames of 24 samples, two rows each",
     {{"\"ratios\":[6,5,4]", "\"ratios\":[12]"}, {"\"frame_rate\":12.5", "\"frame_rate\":1000"}}},
    {"a context shorter than a block", {{"\"context\":250", "\"context\":5"}}},
    {"the first row repeated", {{"\"pad_mode\":\"constant\"", "\"pad_mode\":\"replicate\""}}},
    {"no residual blocks", {{"\"n_residual_layers\":1", "\"n_residual_layers\":0"}}},
    {"no inner channels", {{"\"compress\":2", "\"compress\":5"}}},
    {"five filters", {{"\"n_filters\":4", "\"n_filters\":5"}}},
    // 1,040 channels at the first residual blocks, of which the second is dilated.
    {"wide and dilated",
     {{"\"n_filters\":4,\"n_residual_layers\":1,\"ratios\":[6,5,4],\"kernel_size\":7",
       "\"n_filters\":520,\"n_residual_layers\":2,\"ratios\":[1,12],\"kernel_size\":1"},
      {"\"compress\":2", "\"compress\":64"},
      {"\"frame_rate\":12.5", "\"frame_rate\":1000"}}},
};

TEST(Codec, BlocksGiveTheSamplesOfSingleFrames) {
  for (const auto& configuration : kConfigurations) {
    for (const uint32_t precision : {PTTS_PRECISION_F32, PTTS_PRECISION_Q8}) {
      SCOPED_TRACE(std::string(configuration.name) + ", precision " + std::to_string(precision));
      const auto model = make_decoder(config_with(configuration.changes), precision);
      Codec codec;
      ASSERT_EQ(codec.open(model->decoder), PTTS_OK) << last_message();
      const std::vector<float> single = decode(codec, *model, {1, 1, 1, 1, 1, 1, 1, 1});
      for (const float x : single) ASSERT_TRUE(std::isfinite(x));
      codec.reset();
      EXPECT_EQ(decode(codec, *model, {4, 4}), single);
      codec.reset();
      EXPECT_EQ(decode(codec, *model, {1, 3, 2, 2}), single);
      codec.reset();
      codec.set_fade(false);
      const std::vector<float> whole = decode(codec, *model, {3, 4, 1});
      for (size_t i = 0; i < whole.size(); ++i) {
        ASSERT_EQ(single[i], i < 120 ? whole[i] * linspace_at(0, 1, 120, i) : whole[i]) << i;
      }
    }
  }
}

TEST(Codec, FramesHaveABound) {
  Config config;
  EXPECT_EQ(parse_config(config_with({{"\"ratios\":[6,5,4]", "\"ratios\":[2]"}}), &config), PTTS_OK);
  EXPECT_EQ(parse_config(config_with({{"\"ratios\":[6,5,4]", "\"ratios\":[1]"}}), &config),
            PTTS_ERROR_CONFIG);
  EXPECT_NE(std::string(last_message()).find("2 to 1024"), std::string::npos) << last_message();
}

TEST(Codec, IntegersAreNearFloats) {
  for (const auto& configuration : kConfigurations) {
    SCOPED_TRACE(configuration.name);
    std::vector<float> pcm[2];
    for (const uint32_t precision : {PTTS_PRECISION_F32, PTTS_PRECISION_Q8}) {
      const auto model = make_decoder(config_with(configuration.changes), precision);
      Codec codec;
      ASSERT_EQ(codec.open(model->decoder), PTTS_OK) << last_message();
      pcm[precision] = decode(codec, *model, {4, 4});
    }
    double signal = 0, noise = 0;
    for (size_t i = 0; i < pcm[0].size(); ++i) {
      const double exact = static_cast<double>(pcm[0][i]), error = static_cast<double>(pcm[1][i]) - exact;
      signal += exact * exact;
      noise += error * error;
    }
    EXPECT_GT(signal, 0);
    EXPECT_LT(noise, signal / 400) << 10 * std::log10(signal / noise) << " dB";
  }
}

}  // namespace
}  // namespace ptts::testing_files
