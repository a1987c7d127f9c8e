// The generated tables against Python's str methods, for every character there is.
#include "unicode.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace ptts {
namespace {

// FNV-1a over, for each character: isspace | isdigit << 1 | isupper << 2, then the characters of its upper case.  The
// expected value is the same sum made with Python 3.11:
//   for c in range(0x110000) without surrogates: s = chr(c)
//     add(s.isspace() | s.isdigit() << 1 | s.isupper() << 2); for u in s.upper(): add(ord(u))
TEST(Unicode, AgreesWithPythonOnEveryCharacter) {
  uint64_t hash = 1469598103934665603u;
  const auto add = [&](uint32_t value) { hash = (hash ^ value) * 1099511628211u; };
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    add(static_cast<uint32_t>(is_space(c)) | static_cast<uint32_t>(is_digit(c)) << 1 |
        static_cast<uint32_t>(is_upper(c)) << 2);
    std::array<char32_t, 3> upper{};
    const size_t count = to_upper(c, &upper);
    for (size_t i = 0; i < count; ++i) add(upper[i]);
  }
  EXPECT_EQ(hash, 0xd78ea855fd588fc1u);
}

TEST(Unicode, Utf8GoesBothWaysForEveryCharacter) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(c, &text);
    size_t position = 0;
    char32_t back = 0;
    ASSERT_TRUE(read_utf8(text, &position, &back));
    ASSERT_EQ(back, c);
    ASSERT_EQ(position, text.size());
  }
}

TEST(Unicode, RefusesWhatIsNotUtf8) {
  const std::string_view kBad[] = {"\x80",
                                   "\xC0\x80",
                                   "\xC1\xBF",
                                   "\xE0\x80\x80",
                                   "\xED\xA0\x80",
                                   "\xED\xBF\xBF",
                                   "\xF0\x80\x80\x80",
                                   "\xF4\x90\x80\x80",
                                   "\xF5\x80\x80\x80",
                                   "\xFF",
                                   "\xC3",
                                   "\xE2\x82",
                                   "\xF0\x9F\x98",
                                   "\xC3(",
                                   "\xE2(\x82"};
  for (const std::string_view bad : kBad) {
    EXPECT_EQ(find_invalid_utf8(bad), 0u);
    EXPECT_EQ(find_invalid_utf8("ok" + std::string(bad)), 2u);
  }
  EXPECT_EQ(find_invalid_utf8("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80"), std::string_view::npos);
}

}  // namespace
}  // namespace ptts
