// The plan of every configuration that the reference ships against the tensors of its own models.
#include "plan.h"

#include <gtest/gtest.h>

#include "golden.h"
#include "json.h"

namespace ptts {
namespace {

// JSON text of a value; the engine's JSON library is built without its writer.
std::string to_json(yyjson_val* value) {
  if (yyjson_is_null(value)) return "null";
  if (yyjson_is_bool(value)) return yyjson_get_bool(value) ? "true" : "false";
  if (yyjson_is_num(value)) return std::to_string(yyjson_get_num(value));
  if (yyjson_is_str(value)) {
    std::string text = "\"";
    for (const char c : std::string(yyjson_get_str(value), yyjson_get_len(value))) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    return text + "\"";
  }
  const bool object = yyjson_is_obj(value);
  std::string text = object ? "{" : "[";
  size_t index = 0, count = 0;
  yyjson_val *key = nullptr, *item = nullptr;
  if (object) {
    yyjson_obj_foreach(value, index, count, key, item) {
      text += (index > 0 ? "," : "") + to_json(key) + ":" + to_json(item);
    }
  } else {
    yyjson_arr_foreach(value, index, count, item) text += (index > 0 ? "," : "") + to_json(item);
  }
  return text + (object ? "}" : "]");
}

TEST(TensorPlan, EveryShippedConfigurationHasTheReferencesTensors) {
  const golden::Document document = golden::read_json("plans.json");
  ASSERT_NE(document, nullptr);
  yyjson_val* root = yyjson_doc_get_root(document.get());
  yyjson_val* lists = yyjson_obj_get(root, "tensors");
  size_t index = 0, count = 0, configurations = 0;
  yyjson_val *name = nullptr, *entry = nullptr;
  yyjson_obj_foreach(yyjson_obj_get(root, "configs"), index, count, name, entry) {
    SCOPED_TRACE(yyjson_get_str(name));
    Model model;
    ASSERT_EQ(parse_config(to_json(yyjson_obj_get(entry, "config")), &model.config), PTTS_OK)
        << last_message();
    const std::vector<Slot> slots = plan_model(&model);
    yyjson_val* tensors = yyjson_arr_get(lists, yyjson_get_uint(yyjson_obj_get(entry, "tensors")));
    ASSERT_EQ(slots.size(), yyjson_obj_size(tensors));
    for (const Slot& slot : slots) {
      yyjson_val* shape = yyjson_obj_get(tensors, slot.name.c_str());
      ASSERT_NE(shape, nullptr) << slot.name << " is not a tensor of the reference";
      Shape expected;
      size_t i = 0, n = 0;
      yyjson_val* extent = nullptr;
      yyjson_arr_foreach(shape, i, n, extent) expected.push_back(yyjson_get_uint(extent));
      ASSERT_EQ(slot.shape, expected) << slot.name;
    }
    ++configurations;
  }
  EXPECT_EQ(configurations, 27u);
}

TEST(TensorPlan, KnowsAboutWhatAModelWillTake) {
  const golden::Document document = golden::read_json("plans.json");
  ASSERT_NE(document, nullptr);
  yyjson_val* entry =
      yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(document.get()), "configs"), "english_2m_2026-10");
  ASSERT_NE(entry, nullptr);
  for (const uint32_t precision : {PTTS_PRECISION_F32, PTTS_PRECISION_Q8, PTTS_PRECISION_Q4}) {
    Model model;
    ASSERT_EQ(parse_config(to_json(yyjson_obj_get(entry, "config")), &model.config), PTTS_OK);
    size_t planned = 0, taken = 0;
    for (Slot& slot : plan_model(&model)) {
      planned += slot.working_bytes(precision);
      ASSERT_EQ(slot.create(precision, false), PTTS_OK) << slot.name;
      taken += slot.bytes();
    }
    EXPECT_NEAR(static_cast<double>(planned), static_cast<double>(taken), 0.02 * static_cast<double>(taken));
  }
}

}  // namespace
}  // namespace ptts
