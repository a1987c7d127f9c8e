// The plan of chunks: the prepared text is cut after sentence ends, over-long sentences after commas, and the pieces
// are joined again up to the limit.  Cuts are made in token ids and the pieces are decoded from them, as the reference
// does; that is why joined pieces are separated by a space ("e.g. left" is spoken from "e. g. left").
//
// The reference decodes everything before and after each candidate cut to look at two characters; here a window of
// tokens is decoded instead, so that a plan takes time in proportion to the text.
#include "text.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "text_prepare.h"
#include "unicode.h"

namespace ptts {

namespace {

constexpr std::string_view kSentenceEnds = ".!...?";
constexpr std::string_view kCommas = ",;:";
constexpr size_t kWindow = 16;  // tokens: a character is at most four, and two characters are looked at

using Ids = std::span<const int32_t>;

// A stretch of tokens: their number, their text, and the bytes of the prepared text they stand for.
struct Segment {
  size_t tokens = 0;
  std::string text;
  size_t begin = 0, end = 0;
};

std::string_view stripped(std::string_view text) {
  char32_t c = 0;
  size_t begin = 0;
  for (size_t position = 0; read_utf8(text, &position, &c) && is_space(c);) begin = position;
  size_t end = text.size();
  while (end > begin) {
    size_t start = end - 1;
    while (start > begin && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
    size_t position = start;
    if (!read_utf8(text, &position, &c) || !is_space(c)) break;
    end = start;
  }
  return text.substr(begin, end - begin);
}

std::vector<char32_t> to_chars(std::string_view text) {
  std::vector<char32_t> chars;
  char32_t c = 0;
  for (size_t position = 0; read_utf8(text, &position, &c);) chars.push_back(c);
  return chars;
}

class Planner {
 public:
  Planner(const Tokenizer& tokenizer, const TextRules& rules, size_t max_tokens)
      : tokenizer_(tokenizer), rules_(rules), max_tokens_(max_tokens) {}

  ptts_status plan(std::string_view source, std::vector<Chunk>* out);

 private:
  ptts_status marks(std::string_view text, std::vector<bool>* is_mark) const;
  ptts_status is_decimal_point(Ids ids, const std::vector<uint32_t>& ends, size_t cut, bool* decimal) const;
  ptts_status boundaries(Ids ids, const std::vector<uint32_t>& ends, const std::vector<bool>& is_mark,
                         bool keep_decimals, std::vector<size_t>* out) const;
  ptts_status segments(Ids ids, const std::vector<uint32_t>& ends, const std::vector<size_t>& cuts,
                       std::vector<Segment>* out) const;
  ptts_status split_at_commas(Segment segment, const std::vector<bool>& is_comma,
                              std::vector<Segment>* out) const;
  std::vector<Segment> join(std::vector<Segment> segments) const;
  ptts_status speak(size_t index, const Segment& piece, Chunk* chunk) const;
  void trace_back(const std::vector<Segment>& pieces, std::vector<Chunk>* chunks) const;

  const Tokenizer& tokenizer_;
  const TextRules& rules_;
  const size_t max_tokens_;

  std::string_view source_;
  std::string prepared_;
  std::vector<uint32_t> origin_;  // of each byte of prepared_ in source_
};

// The ids of punctuation marks, without the first: it is the space in front.
ptts_status Planner::marks(std::string_view text, std::vector<bool>* is_mark) const {
  std::vector<int32_t> ids;
  PTTS_TRY(tokenizer_.encode(text, &ids));
  is_mark->assign(tokenizer_.size(), false);
  for (size_t i = 1; i < ids.size(); ++i) (*is_mark)[static_cast<size_t>(ids[i])] = true;
  return PTTS_OK;
}

// Is the cut inside a number like 3.14?  A window never divides the bytes of a character (they share their end).
ptts_status Planner::is_decimal_point(Ids ids, const std::vector<uint32_t>& ends, size_t cut,
                                      bool* decimal) const {
  *decimal = false;
  std::string text;
  std::vector<char32_t> before;
  // Pieces that decode to nothing make the window grow; a third character, so that the two are whole.
  for (size_t window = kWindow; before.size() < 3; window *= 2) {
    size_t begin = cut - std::min(window, cut);
    while (begin > 0 && ends[begin - 1] == ends[begin]) --begin;
    PTTS_TRY(tokenizer_.decode(ids.subspan(begin, cut - begin), &text));
    before = to_chars(text);
    if (begin == 0) break;
  }
  if (before.size() < 2 || before.back() != U'.' || !is_digit(before[before.size() - 2])) return PTTS_OK;
  text.clear();
  for (size_t window = kWindow; text.empty(); window *= 2) {
    size_t end = cut + std::min(window, ids.size() - cut);
    while (end < ids.size() && ends[end] == ends[end - 1]) ++end;
    PTTS_TRY(tokenizer_.decode(ids.subspan(cut, end - cut), &text));
    if (end == ids.size()) break;
  }
  size_t position = 0;
  char32_t first = 0;
  *decimal = read_utf8(text, &position, &first) && is_digit(first);
  return PTTS_OK;
}

// Where to cut: before the first other token after a run of marks.  0 and the end are included.
ptts_status Planner::boundaries(Ids ids, const std::vector<uint32_t>& ends, const std::vector<bool>& is_mark,
                                bool keep_decimals, std::vector<size_t>* out) const {
  out->assign(1, 0);
  bool after_mark = false;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool mark = is_mark[static_cast<size_t>(ids[i])];
    if (!mark && after_mark) {
      bool decimal = false;
      if (keep_decimals) PTTS_TRY(is_decimal_point(ids, ends, i, &decimal));
      if (!decimal) out->push_back(i);
    }
    after_mark = mark;
  }
  out->push_back(ids.size());
  return PTTS_OK;
}

ptts_status Planner::segments(Ids ids, const std::vector<uint32_t>& ends, const std::vector<size_t>& cuts,
                              std::vector<Segment>* out) const {
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    Segment segment;
    segment.tokens = cuts[i + 1] - cuts[i];
    segment.begin = cuts[i] == 0 ? 0 : ends[cuts[i] - 1];
    segment.end = cuts[i + 1] == 0 ? 0 : ends[cuts[i + 1] - 1];
    PTTS_TRY(tokenizer_.decode(ids.subspan(cuts[i], segment.tokens), &segment.text));
    out->push_back(std::move(segment));
  }
  return PTTS_OK;
}

ptts_status Planner::split_at_commas(Segment segment, const std::vector<bool>& is_comma,
                                     std::vector<Segment>* out) const {
  const std::string_view text = stripped(segment.text);
  std::vector<int32_t> ids;
  std::vector<uint32_t> ends;
  PTTS_TRY(tokenizer_.encode(text, &ids, &ends));
  std::vector<size_t> cuts;
  PTTS_TRY(boundaries(ids, ends, is_comma, false, &cuts));
  if (cuts.size() <= 2) {
    out->push_back(std::move(segment));
    return PTTS_OK;
  }
  const size_t first = out->size();
  PTTS_TRY(segments(ids, ends, cuts, out));
  // The decoded text is the prepared text but for spaces at its start; unknown characters may change its length, so
  // that a place in it is held inside the segment.
  const std::string_view original =
      std::string_view(prepared_).substr(segment.begin, segment.end - segment.begin);
  const size_t shift = segment.begin + static_cast<size_t>(stripped(original).data() - original.data());
  for (size_t i = first; i < out->size(); ++i) {
    (*out)[i].begin = std::min((*out)[i].begin + shift, segment.end);
    (*out)[i].end = i + 1 == out->size() ? segment.end : std::min((*out)[i].end + shift, segment.end);
  }
  return PTTS_OK;
}

// Joins greedily up to the limit, counting the tokens that the segments had before they were joined.
std::vector<Segment> Planner::join(std::vector<Segment> segments) const {
  std::vector<Segment> chunks;
  Segment current;
  for (Segment& segment : segments) {
    if (current.text.empty()) {
      current = std::move(segment);
    } else if (current.tokens + segment.tokens > max_tokens_) {
      chunks.push_back(std::move(current));
      current = std::move(segment);
    } else {
      current.text += ' ';
      current.text += segment.text;
      current.tokens += segment.tokens;
      current.end = segment.end;
    }
  }
  if (!current.text.empty()) chunks.push_back(std::move(current));
  return chunks;
}

// A piece is prepared again, on its own: that is what is spoken.
ptts_status Planner::speak(size_t index, const Segment& piece, Chunk* chunk) const {
  chunk->text = stripped(piece.text);
  PTTS_TRY(tokenizer_.encode(chunk->text, &chunk->ids));
  chunk->over_limit = chunk->ids.size() > max_tokens_;
  int guess = 0;
  PTTS_TRY(prepare_text(chunk->text, rules_, &chunk->prompt, &guess));
  PTTS_TRY(tokenizer_.encode(chunk->prompt, &chunk->ids));
  const size_t count = chunk->ids.size();
  if (count > kMaxChunkIds) {
    return fail(PTTS_ERROR_TEXT_TOO_LONG,
                "text: chunk %zu cannot be cut: expected at most %zu tokens, found %zu", index, kMaxChunkIds,
                count);
  }
  chunk->frames_after_eos =
      rules_.recommended_frames_after_eos >= 0 ? rules_.recommended_frames_after_eos : guess + 2;
  chunk->max_frames = static_cast<uint32_t>(std::ceil((static_cast<double>(count) / 3.0 + 2.0) * 12.5));
  return PTTS_OK;
}

// From places in the prepared text to places in the caller's.  What lies between two chunks (characters that were
// deleted or are not spoken) goes to the chunk it touches; white space goes to none.
void Planner::trace_back(const std::vector<Segment>& pieces, std::vector<Chunk>* chunks) const {
  const size_t source_end = source_.size();
  const auto origin_at = [&](size_t byte) { return byte < origin_.size() ? origin_[byte] : source_end; };
  size_t begin = 0;
  for (size_t i = 0; i < chunks->size(); ++i) {
    size_t end = source_end;
    size_t next_begin = source_end;
    if (i + 1 < chunks->size()) {
      // The gap between the last character of this chunk and the first of the next one.
      const std::string_view rest = std::string_view(prepared_).substr(pieces[i + 1].begin);
      const auto spaces = static_cast<size_t>(stripped(rest).data() - rest.data());
      const size_t next = std::max<size_t>(begin, origin_at(pieces[i + 1].begin + spaces));
      size_t last = std::max<size_t>(pieces[i].end, 1) - 1;
      while (last > pieces[i].begin && (static_cast<uint8_t>(prepared_[last]) & 0xC0) == 0x80) --last;
      size_t gap = std::clamp<size_t>(origin_at(last), begin, next);
      char32_t c = 0;
      if (gap < next) read_utf8(source_, &gap, &c);
      end = gap;
      while (end < next) {
        size_t position = end;
        if (!read_utf8(source_, &position, &c) || is_space(c)) break;
        end = position;
      }
      next_begin = next;
      while (next_begin > end) {
        size_t start = next_begin - 1;
        while (start > end && (static_cast<uint8_t>(source_[start]) & 0xC0) == 0x80) --start;
        size_t position = start;
        if (!read_utf8(source_, &position, &c) || is_space(c)) break;
        next_begin = start;
      }
    }
    const std::string_view range = source_.substr(begin, end - begin);
    const std::string_view shown = stripped(range);
    (*chunks)[i].source_begin = static_cast<size_t>(shown.data() - source_.data());
    (*chunks)[i].source_end = (*chunks)[i].source_begin + shown.size();
    begin = next_begin;
  }
}

ptts_status Planner::plan(std::string_view source, std::vector<Chunk>* out) {
  source_ = source;
  {
    TracedText traced;
    PTTS_TRY(trace(source, &traced));
    PTTS_TRY(prepare(rules_, &traced, nullptr));
    strip(&traced);  // the padding of short texts
    prepared_ = traced.to_utf8(&origin_);
  }
  std::vector<bool> is_sentence_end;
  std::vector<bool> is_comma;
  PTTS_TRY(marks(kSentenceEnds, &is_sentence_end));
  PTTS_TRY(marks(kCommas, &is_comma));

  std::vector<Segment> sentences;
  {
    std::vector<int32_t> ids;
    std::vector<uint32_t> ends;
    std::vector<size_t> cuts;
    PTTS_TRY(tokenizer_.encode(prepared_, &ids, &ends));
    PTTS_TRY(boundaries(ids, ends, is_sentence_end, true, &cuts));
    PTTS_TRY(segments(ids, ends, cuts, &sentences));
  }
  std::vector<Segment> refined;
  for (Segment& sentence : sentences) {
    if (sentence.tokens <= max_tokens_) {
      refined.push_back(std::move(sentence));
    } else {
      PTTS_TRY(split_at_commas(std::move(sentence), is_comma, &refined));
    }
  }
  const std::vector<Segment> pieces = join(std::move(refined));
  if (pieces.empty()) return fail(PTTS_ERROR_TEXT_EMPTY, "Text prompt cannot be empty");
  std::vector<Chunk> chunks(pieces.size());
  for (size_t i = 0; i < pieces.size(); ++i) PTTS_TRY(speak(i, pieces[i], &chunks[i]));
  trace_back(pieces, &chunks);
  *out = std::move(chunks);
  return PTTS_OK;
}

}  // namespace

ptts_status plan_chunks(const Tokenizer& tokenizer, std::string_view utf8, const TextRules& rules,
                        int max_tokens, std::vector<Chunk>* out) {
  if (max_tokens < 1)
    return fail(PTTS_ERROR_ARGUMENT, "max_tokens: expected 1 or more, found %d", max_tokens);
  return Planner(tokenizer, rules, static_cast<size_t>(max_tokens)).plan(utf8, out);
}

}  // namespace ptts
