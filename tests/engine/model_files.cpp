// Reading fixtures and taking files apart.
#include "model_files.h"

#include <algorithm>

#include "golden.h"

namespace ptts::testing_files {

std::string config_json(const std::string& fixture) {
  const Bytes bytes = golden::read_file("fixtures/" + fixture + "/config.json");
  return std::string(bytes.begin(), bytes.end());
}

Parts read_parts(const std::string& fixture) {
  Parts parts;
  parts.config = config_json(fixture);
  const bool json = parts.config.find("\"tokenizer\":\"tokenizers\"") != std::string::npos;
  parts.tokenizer_kind = json ? PTTS_TOKENIZER_JSON : PTTS_TOKENIZER_SENTENCEPIECE;
  parts.tokenizer =
      golden::read_file("fixtures/" + fixture + (json ? "/tokenizer.json" : "/tokenizer.model"));
  parts.weights = golden::read_file("fixtures/" + fixture + "/model.safetensors");
  return parts;
}

ptts_status load(const Parts& parts, ptts_handle* model) {
  ptts_handle pack = 0;
  ptts_status status =
      ptts_pack_open(parts.config.data(), parts.config.size(), parts.parts, parts.precision, &pack);
  if (status < 0) return status;
  if ((parts.parts & PTTS_PART_FLOW_LM) != 0) {
    status = ptts_pack_tokenizer(pack, parts.tokenizer_kind, parts.tokenizer.data(), parts.tokenizer.size());
  }
  if (status >= 0) status = ptts_pack_file(pack, PTTS_FILE_BUNDLE, parts.weights.size());
  for (size_t at = 0; status >= 0 && at < parts.weights.size(); at += parts.slice) {
    status =
        ptts_pack_feed(pack, parts.weights.data() + at, std::min(parts.slice, parts.weights.size() - at));
  }
  if (status < 0) {
    (void)ptts_close(pack);
    return status;
  }
  return ptts_pack_close(pack, model);
}

Container open_container(const Bytes& file) {
  size_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | file[i];
  const auto begin = file.begin() + 8;
  const auto end = begin + static_cast<std::ptrdiff_t>(length);
  return {std::string(begin, end), Bytes(end, file.end())};
}

Bytes close_container(const Container& container) {
  Bytes file(8);
  for (size_t i = 0; i < 8; ++i)
    file[i] = static_cast<uint8_t>(static_cast<uint64_t>(container.header.size()) >> 8 * i);
  file.insert(file.end(), container.header.begin(), container.header.end());
  file.insert(file.end(), container.data.begin(), container.data.end());
  return file;
}

bool replace_first(std::string* text, std::string_view from, std::string_view to) {
  const size_t at = text->find(from);
  if (at == std::string::npos) return false;
  text->replace(at, from.size(), to);
  return true;
}

}  // namespace ptts::testing_files
