// Loading weights: any slice size gives the same model, and every kind of bad file is refused with a reason.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "model_files.h"
#include "safetensors.h"
#include "speak.h"

namespace ptts::testing_files {
namespace {

class PackTest : public testing::Test {
 protected:
  void SetUp() override { parts_ = read_parts("drifting"); }
  void TearDown() override { EXPECT_EQ(ptts_allocated_bytes(), 0u) << "something was not freed"; }

  // The refusal: its status, and words that the message must hold.
  void expect_refusal(ptts_status expected, std::initializer_list<const char*> words) {
    ptts_handle model = 0;
    const ptts_status status = load(parts_, &model);
    ASSERT_EQ(ptts_status_name(status), std::string(ptts_status_name(expected))) << ptts_message();
    for (const char* word : words) {
      EXPECT_NE(std::string(ptts_message()).find(word), std::string::npos)
          << word << " in: " << ptts_message();
    }
  }
  // Changes the header of the weights.
  void edit_header(std::string_view from, std::string_view to) {
    Container container = open_container(parts_.weights);
    ASSERT_TRUE(replace_first(&container.header, from, to)) << from;
    parts_.weights = close_container(container);
  }

  Parts parts_;
};

constexpr const char* kBosEmb = "\"flow_lm.bos_emb\"";

TEST_F(PackTest, SlicesOfAnySizeGiveTheSameModel) {
  std::string expected;
  for (const size_t slice : {size_t{1} << 20, size_t{4096}, size_t{997}, size_t{7}, size_t{1}}) {
    parts_.slice = slice;
    ptts_handle model = 0;
    ASSERT_EQ(load(parts_, &model), PTTS_OK) << ptts_message();
    const std::string hash = speak_and_hash(model, "drifting", "Hello world, this is a test.");
    if (expected.empty()) expected = hash;
    EXPECT_EQ(hash, expected) << "slices of " << slice;
    EXPECT_EQ(ptts_close(model), PTTS_OK);
  }
}

TEST_F(PackTest, HalfPrecisionFilesLoad) {
  const Container full = open_container(parts_.weights);
  for (const bool brain : {true, false}) {
    Container half{full.header, {}};
    for (size_t i = 0; i + 4 <= full.data.size(); i += 4) {
      uint32_t bits = 0;
      std::memcpy(&bits, full.data.data() + i, 4);
      // bfloat16: the upper half.  float16 (finite, normal values): rebias the exponent; small ones become zero.
      const uint32_t exponent = bits >> 23 & 255;
      const uint32_t f16 = exponent < 113 || exponent > 142
                               ? bits >> 16 & 0x8000
                               : (bits >> 16 & 0x8000) | (exponent - 112) << 10 | (bits >> 13 & 1023);
      const uint32_t value = brain ? bits >> 16 : f16;
      half.data.push_back(static_cast<uint8_t>(value));
      half.data.push_back(static_cast<uint8_t>(value >> 8));
    }
    std::string header;
    for (size_t at = 0; at < full.header.size();) {
      if (full.header.compare(at, 5, "\"F32\"") == 0) {
        header += brain ? "\"BF16\"" : "\"F16\"";
        at += 5;
      } else if (full.header.compare(at, 15, "\"data_offsets\":") == 0) {
        const size_t open = full.header.find('[', at), comma = full.header.find(',', open);
        const size_t close = full.header.find(']', at);
        header += "\"data_offsets\":[" + std::to_string(std::stoul(full.header.substr(open + 1)) / 2) + "," +
                  std::to_string(std::stoul(full.header.substr(comma + 1)) / 2) + "]";
        at = close + 1;
      } else {
        header += full.header[at++];
      }
    }
    half.header = header;
    parts_.weights = close_container(half);
    for (const size_t slice : {size_t{65536}, size_t{3}}) {
      parts_.slice = slice;
      ptts_handle model = 0;
      ASSERT_EQ(load(parts_, &model), PTTS_OK) << ptts_message();
      EXPECT_FALSE(speak_and_hash(model, "drifting", "Hello.").empty());
      EXPECT_EQ(ptts_close(model), PTTS_OK);
    }
  }
}

TEST_F(PackTest, PartsLoadAlone) {
  for (const uint32_t part : {uint32_t{PTTS_PART_FLOW_LM}, uint32_t{PTTS_PART_MIMI_DECODER}}) {
    parts_.parts = part;
    ptts_handle model = 0, other = 0;
    ASSERT_EQ(load(parts_, &model), PTTS_OK) << ptts_message();
    ptts_model_info info;
    ASSERT_EQ(ptts_model_get_info(model, &info), PTTS_OK);
    EXPECT_EQ(info.parts, part);
    EXPECT_EQ(info.can_clone, 0u);
    const Bytes voice = {0};
    if (part == PTTS_PART_MIMI_DECODER) {
      EXPECT_EQ(ptts_voice_load(model, voice.data(), voice.size(), &other), PTTS_ERROR_STATE);
    } else {
      EXPECT_EQ(ptts_codec_open(model, &other), PTTS_ERROR_STATE);
    }
    EXPECT_EQ(ptts_close(model), PTTS_OK);
  }
}

// A file with the given tensors of another, under names of its own; "" leaves a tensor out.  With `weight_norm` set,
// every weight of the decoder's transposed convolutions is stored as length and direction (of any length).
Bytes renamed_file(const Bytes& bundle, std::string (*rename)(const std::string&), bool weight_norm) {
  const Container from = open_container(bundle);
  std::vector<TensorEntry> entries;
  EXPECT_EQ(parse_header(from.header, from.data.size(), PTTS_ERROR_WEIGHTS, "test", &entries), PTTS_OK);
  Container to{"{", {}};
  const auto add = [&](const std::string& name, const Shape& shape, const uint8_t* data, size_t bytes) {
    to.header += (to.header.size() > 1 ? ",\"" : "\"") + name +
                 "\":{\"dtype\":\"F32\",\"shape\":" + show_shape(shape) + ",\"data_offsets\":[" +
                 std::to_string(to.data.size()) + "," + std::to_string(to.data.size() + bytes) + "]}";
    to.data.insert(to.data.end(), data, data + bytes);
  };
  for (const TensorEntry& entry : entries) {
    const std::string name = rename(entry.name);
    const uint8_t* data = from.data.data() + entry.begin;
    const size_t bytes = static_cast<size_t>(entry.end - entry.begin);
    if (name.empty()) continue;
    if (!weight_norm || name.find("convtr.weight") == std::string::npos ||
        name.find("decoder.model") == std::string::npos) {
      add(name, entry.shape, data, bytes);
      continue;
    }
    const size_t rows = entry.shape[0], width = bytes / 4 / rows;
    std::vector<float> v(rows * width), g(rows);
    std::memcpy(v.data(), data, bytes);
    for (size_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (size_t i = 0; i < width; ++i)
        squares += static_cast<double>(v[r * width + i]) * static_cast<double>(v[r * width + i]);
      g[r] = static_cast<float>(std::sqrt(squares));
      for (size_t i = 0; i < width; ++i) v[r * width + i] *= 2;  // its length must not matter
    }
    add(name + "_g", {rows, 1, 1}, reinterpret_cast<const uint8_t*>(g.data()), rows * 4);
    add(name + "_v", entry.shape, reinterpret_cast<const uint8_t*>(v.data()), bytes);
  }
  const float unused[4] = {1, 2, 3, 4};  // what training leaves behind and loading drops
  const std::string extra = rename("extra");
  if (!extra.empty()) add(extra, {4}, reinterpret_cast<const uint8_t*>(unused), sizeof(unused));
  to.header += "}";
  return close_container(to);
}

TEST_F(PackTest, SeparateFilesOfTrainingLoad) {
  const auto flow_lm = [](const std::string& name) -> std::string {
    if (name == "extra") return "num_ema_updates";
    if (name.rfind("flow_lm.", 0) != 0) return "";
    std::string own = name.substr(8);
    if (own == "conditioner.embed.weight")
      return "condition_provider.conditioners.transcript_in_segment.embed.weight";
    if (own == "speaker_proj_weight")
      return "condition_provider.conditioners.speaker_wavs.output_proj.weight";
    if (own == "bos_before_voice") return "fuser.padding_value";
    replace_first(&own, ".self_attn.in_proj.weight", ".self_attn.in_proj_weight");
    return own;
  };
  const auto mimi = [](const std::string& name) -> std::string {
    if (name == "extra") return "model.quantizer.vq.layers.0._codebook.embedding";
    if (name.rfind("mimi.", 0) != 0) return "";
    std::string own = name.substr(5);
    replace_first(&own, "in_proj.weight", "in_proj_weight");
    if (own.find(".model.") != std::string::npos) {
      replace_first(&own, ".conv.", ".conv.conv.");
      replace_first(&own, ".convtr.", ".convtr.convtr.");
    } else if (own.find("sample.conv") != std::string::npos) {
      replace_first(&own, ".conv.conv.", ".conv.conv.conv.");
      replace_first(&own, ".convtr.convtr.", ".convtr.convtr.convtr.");
    }
    return "model." + own;
  };
  const auto load_two = [&](bool weight_norm, bool mimi_first, ptts_handle* model) {
    const Bytes lm_file = renamed_file(parts_.weights, flow_lm, false),
                mimi_file = renamed_file(parts_.weights, mimi, weight_norm);
    ptts_handle pack = 0;
    ASSERT_EQ(ptts_pack_open(parts_.config.data(), parts_.config.size(), PTTS_PART_ALL, 0, &pack), PTTS_OK);
    ASSERT_EQ(ptts_pack_tokenizer(pack, 0, parts_.tokenizer.data(), parts_.tokenizer.size()), PTTS_OK);
    for (const bool is_mimi : {mimi_first, !mimi_first}) {
      const Bytes& file = is_mimi ? mimi_file : lm_file;
      ASSERT_EQ(ptts_pack_file(pack, is_mimi ? PTTS_FILE_MIMI : PTTS_FILE_FLOW_LM, file.size()), PTTS_OK)
          << ptts_message();
      ASSERT_EQ(ptts_pack_feed(pack, file.data(), file.size()), PTTS_OK) << ptts_message();
    }
    ASSERT_EQ(ptts_pack_close(pack, model), PTTS_OK) << ptts_message();
  };
  ptts_handle bundle = 0;
  ASSERT_EQ(load(parts_, &bundle), PTTS_OK);
  const std::string expected = speak_and_hash(bundle, "drifting", "Hello.");
  for (const bool mimi_first : {false, true}) {
    ptts_handle model = 0;
    load_two(false, mimi_first, &model);
    EXPECT_EQ(speak_and_hash(model, "drifting", "Hello."), expected);
    EXPECT_EQ(ptts_close(model), PTTS_OK);
  }
  // Weight norm rounds differently: close, not equal.
  ptts_handle model = 0, voice[2] = {0, 0};
  load_two(true, false, &model);
  const Bytes file = read_voice("drifting");
  ptts_options options;
  std::vector<float> pcm[2];
  for (const int i : {0, 1}) {
    const ptts_handle m = i == 0 ? bundle : model;
    ASSERT_EQ(ptts_voice_load(m, file.data(), file.size(), &voice[i]), PTTS_OK);
    ASSERT_EQ(ptts_options_init(m, &options), PTTS_OK);
    pcm[i] = speak(m, voice[i], "Hello.", options).pcm;
  }
  ASSERT_EQ(pcm[0].size(), pcm[1].size());
  for (size_t i = 0; i < pcm[0].size(); ++i) ASSERT_NEAR(pcm[0][i], pcm[1][i], 1e-5);
  for (const ptts_handle h : {voice[0], voice[1], model, bundle}) EXPECT_EQ(ptts_close(h), PTTS_OK);
}

TEST_F(PackTest, EveryTruncationIsRefused) {
  const Bytes whole = parts_.weights;
  for (size_t keep = 0; keep < whole.size(); keep += keep < 64 ? 1 : whole.size() / 40) {
    parts_.weights.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(keep));
    ptts_handle model = 0;
    ASSERT_EQ(load(parts_, &model), PTTS_ERROR_WEIGHTS) << keep << " bytes: " << ptts_message();
  }
}

TEST_F(PackTest, AFileThatEndsEarlyOrLateIsRefused) {
  ptts_handle pack = 0, model = 0;
  const auto open = [&] {
    ASSERT_EQ(ptts_pack_open(parts_.config.data(), parts_.config.size(), PTTS_PART_ALL, 0, &pack), PTTS_OK);
    ASSERT_EQ(ptts_pack_tokenizer(pack, 0, parts_.tokenizer.data(), parts_.tokenizer.size()), PTTS_OK);
    ASSERT_EQ(ptts_pack_file(pack, PTTS_FILE_BUNDLE, parts_.weights.size()), PTTS_OK);
  };
  open();
  ASSERT_EQ(ptts_pack_feed(pack, parts_.weights.data(), parts_.weights.size() / 2), PTTS_OK);
  EXPECT_EQ(ptts_pack_close(pack, &model), PTTS_ERROR_WEIGHTS);
  EXPECT_NE(std::string(ptts_message()).find("ends after"), std::string::npos) << ptts_message();
  open();
  ASSERT_EQ(ptts_pack_feed(pack, parts_.weights.data(), parts_.weights.size()), PTTS_OK);
  EXPECT_EQ(ptts_pack_feed(pack, parts_.weights.data(), 1), PTTS_ERROR_STATE);
  EXPECT_EQ(ptts_pack_close(pack, &model), PTTS_OK) << ptts_message();
  EXPECT_EQ(ptts_close(model), PTTS_OK);
}

TEST_F(PackTest, HeaderLengthLies) {
  for (const uint64_t lie :
       {uint64_t{0}, uint64_t{1}, uint64_t{5}, uint64_t{1} << 30, ~uint64_t{0}, ~uint64_t{7}}) {
    for (size_t i = 0; i < 8; ++i) parts_.weights[i] = static_cast<uint8_t>(lie >> 8 * i);
    expect_refusal(PTTS_ERROR_WEIGHTS, {"header"});
  }
}

TEST_F(PackTest, MissingTensor) {
  edit_header(kBosEmb, "\"flow_lm.bos_emu\"");
  expect_refusal(PTTS_ERROR_WEIGHTS, {"flow_lm.bos_emu", "not a tensor of this model"});
}

TEST_F(PackTest, AbsentTensorIsNamed) {
  // Cut the last tensor of the file off: its header entry and its bytes.
  Container container = open_container(parts_.weights);
  const size_t at = container.header.find("\"mimi.upsample.convtr.convtr.weight\"");
  ASSERT_NE(at, std::string::npos);
  const size_t close = container.header.find('}', at);
  container.header.erase(at - 1, close - at + 2);
  container.data.resize(container.data.size() - 24 * 32 * 4);
  parts_.weights = close_container(container);
  expect_refusal(PTTS_ERROR_WEIGHTS, {"mimi.upsample.convtr.convtr.weight", "missing"});
}

TEST_F(PackTest, DuplicateTensor) {
  edit_header("\"flow_lm.emb_mean\"", kBosEmb);
  expect_refusal(PTTS_ERROR_WEIGHTS, {"flow_lm.bos_emb", "twice"});
}

TEST_F(PackTest, WrongShapeAndType) {
  const Bytes whole = parts_.weights;
  edit_header("\"shape\":[32]", "\"shape\":[16,2]");
  expect_refusal(PTTS_ERROR_WEIGHTS, {"expected [32], file has [16, 2]"});
  parts_.weights = whole;
  edit_header("\"dtype\":\"F32\"", "\"dtype\":\"I32\"");
  expect_refusal(PTTS_ERROR_WEIGHTS, {"expected F32, F16 or BF16, file has I32"});
  parts_.weights = whole;
  edit_header("\"dtype\":\"F32\"", "\"dtype\":\"Q99\"");
  expect_refusal(PTTS_ERROR_WEIGHTS, {"unknown dtype"});
}

TEST_F(PackTest, RangesThatLie) {
  const Bytes whole = parts_.weights;
  const struct {
    const char *from, *to;
  } lies[] = {
      {"\"data_offsets\":[0,", "\"data_offsets\":[4,"},
      {"\"data_offsets\":[0,", "\"data_offsets\":[-4,"},
      {"\"data_offsets\":[0,", "\"data_offsets\":[18446744073709551615,"},
      {"\"shape\":[32]", "\"shape\":[4294967296,4294967296]"},
      {"\"shape\":[32]", "\"shape\":[99999999999999999999]"},
      {"\"shape\":[32]", "\"shape\":\"x\""},
      {"{", "["},
  };
  for (const auto& lie : lies) {
    parts_.weights = whole;
    edit_header(lie.from, lie.to);
    expect_refusal(PTTS_ERROR_WEIGHTS, {});
  }
}

TEST_F(PackTest, WeightsThatAreNotNumbers) {
  const Bytes whole = parts_.weights;
  for (const uint32_t bits : {0x7fc00000u, 0x7f800000u, 0xff800000u}) {
    parts_.weights = whole;
    std::memcpy(parts_.weights.data() + parts_.weights.size() - 4000, &bits, 4);
    expect_refusal(PTTS_ERROR_WEIGHTS, {"not a finite number", "mimi."});
  }
}

// Flipped bits either are refused or give a model that answers with numbers or with an error; nothing else.
TEST_F(PackTest, BitFlips) {
  std::mt19937 random(11);
  const Bytes whole = parts_.weights;
  const size_t header = open_container(whole).header.size() + 8;
  for (int round = 0; round < 300; ++round) {
    parts_.weights = whole;
    const size_t at = random() % (round % 3 == 0 ? whole.size() : header);
    parts_.weights[at] = static_cast<uint8_t>(parts_.weights[at] ^ 1u << random() % 8);
    ptts_handle model = 0;
    const ptts_status status = load(parts_, &model);
    if (status == PTTS_OK) {
      EXPECT_EQ(ptts_close(model), PTTS_OK);
    } else {
      ASSERT_EQ(status, PTTS_ERROR_WEIGHTS) << ptts_message();
    }
  }
}

// Finite but absurd weights must end in PTTS_ERROR_NUMERIC, not in a loop or a trap.
TEST_F(PackTest, HugeWeightsAreANumericError) {
  const float huge = 3e38f;
  Container container = open_container(parts_.weights);
  for (size_t i = 0; i + 4 <= container.data.size(); i += 4) std::memcpy(container.data.data() + i, &huge, 4);
  parts_.weights = close_container(container);
  ptts_handle model = 0, voice = 0, session = 0;
  ASSERT_EQ(load(parts_, &model), PTTS_OK) << ptts_message();
  const Bytes file = read_voice("drifting");
  ASSERT_EQ(ptts_voice_load(model, file.data(), file.size(), &voice), PTTS_OK) << ptts_message();
  ASSERT_EQ(ptts_session_open(model, voice, "Hello.", 6, nullptr, &session), PTTS_OK) << ptts_message();
  float latent[32];
  ptts_event event;
  EXPECT_EQ(ptts_session_step(session, latent, &event), PTTS_ERROR_NUMERIC) << ptts_message();
  for (const ptts_handle h : {session, voice, model}) EXPECT_EQ(ptts_close(h), PTTS_OK);
}

TEST_F(PackTest, Configurations) {
  const std::string whole = parts_.config;
  const struct {
    const char *from, *to, *word;
  } rows[] = {
      {"{", "", "not JSON"},
      {"\"flow_lm\":", "\"flow_ln\":", "flow_lm"},
      {"\"num_heads\":6", "\"num_heads\":7", "do not fit"},
      {"\"num_heads\":6", "\"num_heads\":0", "num_heads"},
      {"\"num_heads\":6", "\"num_heads\":\"6\"", "num_heads"},
      {"\"num_layers\":4", "\"num_layers\":1000000", "num_layers"},
      {"\"num_layers\":4", "\"num_layers\":4,\"num_lawyers\":4", "num_lawyers"},
      {"\"type\":\"drifting\"", "\"type\":\"drafting\"", "drafting"},
      {"\"sample_rate\":24000", "\"sample_rate\":16000", "sample_rate"},
      {"\"frame_rate\":12.5", "\"frame_rate\":13", "frame"},
      {"\"ratios\":[6,5,4]", "\"ratios\":[6,5,0]", "ratios"},
      {"\"pad_mode\":\"constant\"", "\"pad_mode\":\"reflect\"", "pad_mode"},
      {"\"ratios\":[6,5,4]", "\"ratios\":[64,64,64,64,64,64]", "product"},
      {"\"n_filters\":4", "\"n_filters\":5000", "filters"},
      {"\"n_residual_layers\":2,\"ratios\":[6,5,4],\"kernel_size\":7,\"residual_kernel_size\":3,"
       "\"last_kernel_size\":3,\"dilation_base\":2",
       "\"n_residual_layers\":8,\"ratios\":[6,5,4],\"kernel_size\":7,\"residual_kernel_size\":3,"
       "\"last_kernel_size\":3,\"dilation_base\":8",
       "reach back 4194304 rows"},
      {"\"rank\":24", "\"rank\":-1", "rank"},
      {"\"outer_dim\":24", "\"outer_dim\":25", "outer_dim"},
  };
  for (const auto& row : rows) {
    parts_.config = whole;
    ASSERT_TRUE(replace_first(&parts_.config, row.from, row.to)) << row.from;
    expect_refusal(PTTS_ERROR_CONFIG, {row.word});
  }
}

TEST_F(PackTest, CallsOutOfOrder) {
  ptts_handle pack = 0, model = 0;
  ASSERT_EQ(ptts_pack_open(parts_.config.data(), parts_.config.size(), PTTS_PART_ALL, 0, &pack), PTTS_OK);
  EXPECT_EQ(ptts_pack_feed(pack, "x", 1), PTTS_ERROR_STATE);
  EXPECT_EQ(ptts_pack_close(pack, &model), PTTS_ERROR_WEIGHTS);  // nothing was loaded
  EXPECT_EQ(ptts_pack_feed(pack, "x", 1), PTTS_ERROR_HANDLE);    // closed by that
  EXPECT_EQ(ptts_pack_open(parts_.config.data(), parts_.config.size(), 0, 0, &pack), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_pack_open(parts_.config.data(), parts_.config.size(), 8, 0, &pack), PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_pack_open(parts_.config.data(), parts_.config.size(), PTTS_PART_ALL, 9, &pack),
            PTTS_ERROR_ARGUMENT);
  EXPECT_EQ(ptts_pack_open(nullptr, 0, PTTS_PART_ALL, 0, &pack), PTTS_ERROR_ARGUMENT);
}

TEST_F(PackTest, TokenizerOfAnotherSizeIsRefused) {
  ASSERT_TRUE(replace_first(&parts_.config, "\"n_bins\":400", "\"n_bins\":401"));
  expect_refusal(PTTS_ERROR_TOKENIZER, {"401", "400"});
}

}  // namespace
}  // namespace ptts::testing_files
