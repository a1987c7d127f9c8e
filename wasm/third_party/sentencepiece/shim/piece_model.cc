#include "piece_model.h"

#include "model_factory.h"
#include "model_interface.h"
#include "normalizer.h"
#include "sentencepiece_model.pb.h"

namespace ptts {

struct PieceModel::Impl {
  sentencepiece::ModelProto proto;
  std::unique_ptr<sentencepiece::ModelInterface> model;
  std::unique_ptr<sentencepiece::normalizer::Normalizer> normalizer;
};

PieceModel::PieceModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PieceModel::~PieceModel() = default;

std::unique_ptr<PieceModel> PieceModel::create(std::string_view proto, std::string* error) {
  auto impl = std::make_unique<Impl>();
  if (!impl->proto.ParseFromArray(proto.data(), static_cast<int>(proto.size()))) {
    *error = "not a ModelProto";
    return nullptr;
  }
  impl->model = sentencepiece::ModelFactory::Create(impl->proto);
  if (impl->model == nullptr || !impl->model->status().ok()) {
    *error = impl->model == nullptr ? "unknown model type" : std::string(impl->model->status().message());
    return nullptr;
  }
  impl->normalizer = std::make_unique<sentencepiece::normalizer::Normalizer>(impl->proto.normalizer_spec(),
                                                                             impl->proto.trainer_spec());
  impl->normalizer->SetPrefixMatcher(impl->model->prefix_matcher());
  if (!impl->normalizer->status().ok()) {
    *error = impl->normalizer->status().message();
    return nullptr;
  }
  return std::unique_ptr<PieceModel>(new PieceModel(std::move(impl)));
}

bool PieceModel::normalize(std::string_view text, std::string* normalized,
                           std::vector<size_t>* origin) const {
  return impl_->normalizer->Normalize({text.data(), text.size()}, normalized, origin).ok();
}

void PieceModel::cut(std::string_view normalized, std::vector<Piece>* pieces) const {
  pieces->clear();
  const auto result = impl_->model->Encode({normalized.data(), normalized.size()});
  pieces->reserve(result.size());
  for (const auto& [piece, id] : result) pieces->push_back({static_cast<uint32_t>(piece.size()), id});
}

}  // namespace ptts
