#include "yaml_json.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>

#include "unicode.h"
#include "yaml.h"
#include "yyjson.h"

namespace ptts::capi {

namespace {

constexpr int kMostNesting = 100;       // also ends an alias of what it is in
constexpr size_t kMostText = 4u << 20;  // of all that comes out: aliases can make much of a few lines

struct FreeParser {
  void operator()(yaml_parser_t* parser) const { yaml_parser_delete(parser); }
};
struct FreeDocument {
  void operator()(yaml_document_t* document) const { yaml_document_delete(document); }
};
struct FreeJson {
  void operator()(yyjson_mut_doc* document) const { yyjson_mut_doc_free(document); }
};

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

// A decimal number as JSON writes it; "" where the text is none.  What readers of YAML disagree on (010, 0x10, 1_000,
// 1:30, .inf) stays text, which the engine refuses by the name of its field.
std::string json_number(std::string_view text) {
  size_t at = 0;
  const auto has = [&](std::string_view characters) {
    return at < text.size() && characters.find(text[at]) != characters.npos;
  };
  const auto digits = [&] {
    const size_t begin = at;
    while (has("0123456789")) ++at;
    return std::string(text.substr(begin, at - begin));
  };
  std::string number;
  if (has("+-") && text[at++] == '-') number = "-";
  const std::string whole = digits();
  std::string fraction;
  if (has(".")) {
    ++at;
    fraction = digits();
  }
  if ((whole.empty() && fraction.empty()) || (whole.size() > 1 && whole[0] == '0')) return "";
  number += whole.empty() ? "0" : whole;
  if (!fraction.empty()) number += "." + fraction;
  if (has("eE")) {
    ++at;
    number += 'e';
    if (has("+-")) number += text[at++];
    const std::string exponent = digits();
    if (exponent.empty()) return "";
    number += exponent;
  }
  return at == text.size() ? number : "";
}

ptts_status no_memory(const std::string& name) {
  return fail(PTTS_ERROR_MEMORY, "%.300s: memory could not be had", name.c_str());
}

class Translation {
 public:
  Translation(yaml_document_t* from, yyjson_mut_doc* to, const std::string& name)
      : from_(from), to_(to), name_(name) {}

  ptts_status node(int index, int depth, yyjson_mut_val** out) {
    const yaml_node_t& node = *yaml_document_get_node(from_, index);
    if (depth > kMostNesting) return refuse(node, "at most 100 levels of nesting", "more");
    PTTS_TRY(take(node, 1));
    switch (node.type) {
      case YAML_SCALAR_NODE: PTTS_TRY(scalar(node, out)); break;
      case YAML_SEQUENCE_NODE: PTTS_TRY(list(node, depth, out)); break;
      case YAML_MAPPING_NODE: PTTS_TRY(mapping(node, depth, out)); break;
      default: return refuse(node, "a value", "nothing");
    }
    return *out != nullptr ? PTTS_OK : no_memory(name_);
  }

 private:
  static std::string_view text_of(const yaml_node_t& scalar) {
    return {reinterpret_cast<const char*>(scalar.data.scalar.value), scalar.data.scalar.length};
  }
  ptts_status refuse(const yaml_node_t& node, const char* expected, const char* found) const {
    return fail(PTTS_ERROR_CONFIG, "%.300s: line %zu: expected %s, found %.100s", name_.c_str(),
                node.start_mark.line + 1, expected, found);
  }
  ptts_status take(const yaml_node_t& node, size_t bytes) {
    if (bytes > room_) return refuse(node, "at most 4 MiB with its aliases written out", "more");
    room_ -= bytes;
    return PTTS_OK;
  }
  // `usual`: the tag of what has none.
  ptts_status untagged(const yaml_node_t& node, std::string_view usual) const {
    const char* tag = reinterpret_cast<const char*>(node.tag);
    return tag == usual ? PTTS_OK : refuse(node, "no tags", tag);
  }

  ptts_status scalar(const yaml_node_t& node, yyjson_mut_val** out) {
    PTTS_TRY(untagged(node, YAML_DEFAULT_SCALAR_TAG));
    const std::string_view text = text_of(node);
    PTTS_TRY(take(node, text.size()));
    *out = yyjson_mut_strn(to_, text.data(), text.size());
    if (node.data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return PTTS_OK;
    if (one_of(text, {"", "~", "null", "Null", "NULL"})) {
      *out = yyjson_mut_null(to_);
    } else if (one_of(text, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})) {
      *out = yyjson_mut_true(to_);
    } else if (one_of(text, {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})) {
      *out = yyjson_mut_false(to_);
    } else if (const std::string number = json_number(text); !number.empty()) {
      *out = yyjson_mut_rawncpy(to_, number.data(), number.size());
    }
    return PTTS_OK;
  }

  ptts_status list(const yaml_node_t& node, int depth, yyjson_mut_val** out) {
    PTTS_TRY(untagged(node, YAML_DEFAULT_SEQUENCE_TAG));
    *out = yyjson_mut_arr(to_);
    const auto& items = node.data.sequence.items;
    for (const yaml_node_item_t* item = items.start; item < items.top; ++item) {
      yyjson_mut_val* value = nullptr;
      PTTS_TRY(this->node(*item, depth + 1, &value));
      if (!yyjson_mut_arr_append(*out, value)) return no_memory(name_);
    }
    return PTTS_OK;
  }

  ptts_status mapping(const yaml_node_t& node, int depth, yyjson_mut_val** out) {
    PTTS_TRY(untagged(node, YAML_DEFAULT_MAPPING_TAG));
    *out = yyjson_mut_obj(to_);
    std::set<std::string_view> seen;
    const auto& pairs = node.data.mapping.pairs;
    for (const yaml_node_pair_t* pair = pairs.start; pair < pairs.top; ++pair) {
      const yaml_node_t& key = *yaml_document_get_node(from_, pair->key);
      if (key.type != YAML_SCALAR_NODE) return refuse(key, "a word before the colon", "a list or a mapping");
      PTTS_TRY(untagged(key, YAML_DEFAULT_SCALAR_TAG));
      const std::string_view name = text_of(key);
      PTTS_TRY(take(key, name.size()));
      if (!seen.insert(name).second) {
        return refuse(key, "every key once", (std::string(name) + " twice").c_str());
      }
      yyjson_mut_val* value = nullptr;
      PTTS_TRY(this->node(pair->value, depth + 1, &value));
      if (!yyjson_mut_obj_add(*out, yyjson_mut_strn(to_, name.data(), name.size()), value))
        return no_memory(name_);
    }
    return PTTS_OK;
  }

  yaml_document_t* from_;
  yyjson_mut_doc* to_;
  const std::string& name_;
  size_t room_ = kMostText;
};

// The next document, of no nodes behind the last one.
ptts_status read_document(yaml_parser_t* parser, const std::string& name, yaml_document_t* document) {
  if (yaml_parser_load(parser, document) != 0) return PTTS_OK;
  if (parser->error == YAML_MEMORY_ERROR) return no_memory(name);
  return fail(PTTS_ERROR_CONFIG, "%.300s: line %zu: expected YAML: %.200s", name.c_str(),
              parser->problem_mark.line + 1, parser->problem != nullptr ? parser->problem : "it is none");
}

}  // namespace

ptts_status yaml_to_json(std::string_view yaml, const std::string& name, std::string* json) {
  const auto refuse = [&](const char* expected, const char* found) {
    return fail(PTTS_ERROR_CONFIG, "%.300s: expected %s, found %s", name.c_str(), expected, found);
  };
  if (find_invalid_utf8(yaml) != yaml.npos) return refuse("UTF-8", "other bytes");
  yaml_parser_t parser;
  if (yaml_parser_initialize(&parser) == 0) return no_memory(name);
  const std::unique_ptr<yaml_parser_t, FreeParser> parser_owner(&parser);
  yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(yaml.data()), yaml.size());

  yaml_document_t document, rest;
  PTTS_TRY(read_document(&parser, name, &document));
  const std::unique_ptr<yaml_document_t, FreeDocument> owner(&document);
  const yaml_node_t* root = yaml_document_get_root_node(&document);
  constexpr const char* kMapping = "a mapping of fields";
  if (root == nullptr) return refuse(kMapping, "nothing");
  if (root->type != YAML_MAPPING_NODE) {
    return refuse(kMapping, root->type == YAML_SEQUENCE_NODE ? "a list" : "a single value");
  }
  PTTS_TRY(read_document(&parser, name, &rest));
  const std::unique_ptr<yaml_document_t, FreeDocument> rest_owner(&rest);
  if (yaml_document_get_root_node(&rest) != nullptr) return refuse("one document", "more");

  const std::unique_ptr<yyjson_mut_doc, FreeJson> out(yyjson_mut_doc_new(nullptr));
  if (out == nullptr) return no_memory(name);
  yyjson_mut_val* value = nullptr;
  PTTS_TRY(Translation(&document, out.get(), name).node(1, 1, &value));
  yyjson_mut_doc_set_root(out.get(), value);
  size_t length = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(yyjson_mut_write(out.get(), 0, &length), &std::free);
  if (text == nullptr) return no_memory(name);
  json->assign(text.get(), length);
  return PTTS_OK;
}

}  // namespace ptts::capi
