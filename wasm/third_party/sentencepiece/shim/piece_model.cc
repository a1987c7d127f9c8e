#include "piece_model.h"

#include <algorithm>
#include <cmath>

#include "model_factory.h"
#include "model_interface.h"
#include "normalizer.h"
#include "sentencepiece_model.pb.h"
#include "third_party/darts_clone/darts.h"
#include "unigram_model.h"
#include "util.h"

namespace ptts {

namespace {

// What a character that no piece covers costs beyond the worst piece.
constexpr double kUnknownPenalty = 10.0;
// sentencepiece 0.2.3 starts counting afresh beyond this, so that float sums stay exact enough in long texts.
constexpr float kRebaseAt = 100000.0f;

class Unigram : public sentencepiece::unigram::Model {
 public:
  Unigram(const sentencepiece::ModelProto& proto, std::vector<double> scores)
      : sentencepiece::unigram::Model(proto), scores_(std::move(scores)) {
    if (!scores_.empty()) lowest_ = *std::min_element(scores_.begin(), scores_.end());
  }

  void cut(std::string_view text, std::vector<PieceModel::Piece>* pieces) const {
    if (scores_.empty()) {
      search<float>(text, static_cast<float>(min_score_ - static_cast<float>(kUnknownPenalty)), pieces);
    } else {
      search<double>(text, lowest_ - kUnknownPenalty, pieces);
    }
  }

 private:
  template <typename Real>
  Real score_of(int id, size_t bytes) const {
    if constexpr (std::is_same_v<Real, double>) {
      return scores_[static_cast<size_t>(id)];
    } else if (IsUserDefinedInlined(id)) {
      return static_cast<float>(0.1 * (static_cast<double>(bytes) - 1));
    } else {
      return GetScoreInlined(id);
    }
  }

  // The best path to each place, from left to right; a later path must be strictly better.
  template <typename Real>
  void search(std::string_view text, Real unknown_score, std::vector<PieceModel::Piece>* pieces) const {
    struct Arrival {
      Real score = 0;
      int32_t id = -1;
      int32_t from = -1;
    };
    std::vector<Arrival> arrivals(text.size() + 1);
    size_t reached = 0;
    const auto arrive = [&](size_t from, size_t to, int32_t id, Real score) {
      reached = std::max(reached, to);
      Arrival& arrival = arrivals[to];
      if (arrival.from == -1 || score > arrival.score) arrival = {score, id, static_cast<int32_t>(from)};
    };
    for (size_t from = 0; from < text.size();) {
      if (std::is_same_v<Real, float> && std::abs(arrivals[from].score) > kRebaseAt) {
        const Real base = arrivals[from].score;
        for (size_t i = from; i <= reached; ++i) {
          if (i == from || arrivals[i].from != -1) arrivals[i].score -= base;
        }
      }
      const Real here = arrivals[from].score;
      const size_t character = std::min(sentencepiece::string_util::OneCharLen(text.data() + from), text.size() - from);
      bool covered = false;  // by a piece that is just this character
      size_t node = 0;
      for (size_t to = from; to < text.size();) {
        const int id = trie_->traverse(text.data(), node, to, to + 1);  // moves `node` and `to`
        if (id == -2) break;
        if (id < 0 || IsUnusedInlined(id)) continue;
        arrive(from, to, id, here + score_of<Real>(id, to - from));
        covered = covered || to - from == character;
      }
      if (!covered) arrive(from, from + character, unk_id_, here + unknown_score);
      from += character;
    }
    for (size_t to = text.size(); to > 0; to = static_cast<size_t>(arrivals[to].from)) {
      const Arrival& arrival = arrivals[to];
      pieces->push_back({static_cast<uint32_t>(to - static_cast<size_t>(arrival.from)), arrival.id});
    }
    std::reverse(pieces->begin(), pieces->end());
  }

  std::vector<double> scores_;
  double lowest_ = 0;
};

}  // namespace

struct PieceModel::Impl {
  sentencepiece::ModelProto proto;
  std::unique_ptr<Unigram> unigram;                        // one of the two
  std::unique_ptr<sentencepiece::ModelInterface> another;  // BPE
  std::unique_ptr<sentencepiece::normalizer::Normalizer> normalizer;
};

PieceModel::PieceModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PieceModel::~PieceModel() = default;

std::unique_ptr<PieceModel> PieceModel::create(std::string_view proto, std::vector<double> scores,
                                               std::string* error) {
  auto impl = std::make_unique<Impl>();
  if (!impl->proto.ParseFromArray(proto.data(), static_cast<int>(proto.size()))) {
    *error = "not a ModelProto";
    return nullptr;
  }
  const sentencepiece::ModelInterface* model = nullptr;
  if (impl->proto.trainer_spec().model_type() == sentencepiece::TrainerSpec::UNIGRAM) {
    impl->unigram = std::make_unique<Unigram>(impl->proto, std::move(scores));
    model = impl->unigram.get();
  } else {
    impl->another = sentencepiece::ModelFactory::Create(impl->proto);
    model = impl->another.get();
  }
  if (model == nullptr || !model->status().ok()) {
    *error = model == nullptr ? "unknown model type" : std::string(model->status().message());
    return nullptr;
  }
  impl->normalizer = std::make_unique<sentencepiece::normalizer::Normalizer>(impl->proto.normalizer_spec(),
                                                                             impl->proto.trainer_spec());
  impl->normalizer->SetPrefixMatcher(model->prefix_matcher());
  if (!impl->normalizer->status().ok()) {
    *error = impl->normalizer->status().message();
    return nullptr;
  }
  return std::unique_ptr<PieceModel>(new PieceModel(std::move(impl)));
}

bool PieceModel::normalize(std::string_view text, std::string* normalized, std::vector<size_t>* origin) const {
  return impl_->normalizer->Normalize({text.data(), text.size()}, normalized, origin).ok();
}

void PieceModel::cut(std::string_view normalized, std::vector<Piece>* pieces) const {
  pieces->clear();
  if (impl_->unigram != nullptr) return impl_->unigram->cut(normalized, pieces);
  const auto result = impl_->another->Encode({normalized.data(), normalized.size()});
  pieces->reserve(result.size());
  for (const auto& [piece, id] : result) pieces->push_back({static_cast<uint32_t>(piece.size()), id});
}

}  // namespace ptts
