// The part of sentencepiece that the engine uses, without its protobuf and trie headers (which throw): a vocabulary
// becomes a model, a normalised text becomes pieces.  SentencePieceProcessor does the same, but keeps about 200 bytes
// per token on the way; a text of megabytes is better served by the model underneath.
//
// The best path of a unigram model is searched here, over the library's trie, because 0.2.1 adds scores in a mix of
// float and double: on ties ("....") that gives other ids than 0.2.3, which the reference's goldens were made with.
#ifndef PTTS_SENTENCEPIECE_PIECE_MODEL_H_
#define PTTS_SENTENCEPIECE_PIECE_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ptts {

class PieceModel {
 public:
  struct Piece {
    uint32_t bytes;  // of the normalised text
    int32_t id;
  };

  // `proto` is a serialised ModelProto that the caller has checked.  With `scores` (one per piece, unigram only) the
  // sums are made in double from them, as Hugging Face's tokenizers does; empty: in float from the proto's, as
  // sentencepiece does.  Null, and an explanation, when refused.
  static std::unique_ptr<PieceModel> create(std::string_view proto, std::vector<double> scores, std::string* error);
  ~PieceModel();

  // The model's own normaliser.  `origin[i]` is where normalised byte i comes from; one more entry at the end.
  bool normalize(std::string_view text, std::string* normalized, std::vector<size_t>* origin) const;

  // Cuts a normalised text; the pieces' bytes add up to it.
  void cut(std::string_view normalized, std::vector<Piece>* pieces) const;

 private:
  struct Impl;
  explicit PieceModel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ptts

#endif
