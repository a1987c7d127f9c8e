// RIFF WAV from memory. A file is a list of chunks: 4 letters, a 32-bit size, the bytes, and a pad byte after odd sizes.
// Only "fmt " and the first "data" matter. The RIFF size itself is not looked at: recorders that stream leave it wrong,
// and the chunks say everything.
#include <cmath>
#include <cstring>

#include "audio.h"

namespace ptts {
namespace {

constexpr uint16_t kTagInteger = 1;
constexpr uint16_t kTagFloat = 3;
constexpr uint16_t kTagExtensible = 0xFFFE;
constexpr uint32_t kStreamSize = 2'000'000'000;

// The last 14 bytes of a sub-format GUID whose first two are a classic format tag.
constexpr uint8_t kGuidTail[14] = {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80,
                                   0x00, 0x00, 0xAA, 0x00, 0x38, 0x9B, 0x71};

uint16_t read_u16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

uint32_t read_u32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 |
         static_cast<uint32_t>(p[3]) << 24;
}

uint64_t read_u64(const uint8_t* p) {
  return static_cast<uint64_t>(read_u32(p)) | static_cast<uint64_t>(read_u32(p + 4)) << 32;
}

struct Format {
  bool is_float = false;
  uint32_t channels = 0;
  uint32_t rate = 0;
  uint32_t bytes = 0;  // of one sample of one channel
};

struct Wav {
  Format format;
  const uint8_t* data = nullptr;
  uint64_t frames = 0;  // of all channels
};

// What the bytes look like instead, for the message.
const char* guess_kind(const uint8_t* p) {
  if (std::memcmp(p, "RIFX", 4) == 0) return "a big-endian WAV (RIFX)";
  if (std::memcmp(p, "RF64", 4) == 0 || std::memcmp(p, "BW64", 4) == 0) return "a 64-bit WAV (RF64)";
  if (std::memcmp(p, "RIFF", 4) == 0) return "a RIFF file of another kind";
  if (std::memcmp(p, "fLaC", 4) == 0) return "FLAC";
  if (std::memcmp(p, "OggS", 4) == 0) return "Ogg";
  if (std::memcmp(p, "ID3", 3) == 0 || (p[0] == 0xFF && (p[1] & 0xE0) == 0xE0)) return "MP3";
  if (std::memcmp(p + 4, "ftyp", 4) == 0) return "MP4";
  if (std::memcmp(p, "FORM", 4) == 0) return "AIFF";
  return "something else";
}

ptts_status parse_format(const uint8_t* p, uint32_t size, Format* format) {
  if (size < 16) return fail(PTTS_ERROR_AUDIO, "WAV: fmt chunk: expected at least 16 bytes, found %u", size);
  uint16_t tag = read_u16(p);
  const uint32_t block = read_u16(p + 12);
  const uint32_t bits = read_u16(p + 14);
  if (tag == kTagExtensible) {
    if (size < 40 || read_u16(p + 16) < 22) {
      return fail(PTTS_ERROR_AUDIO, "WAV: extensible fmt chunk: expected 40 bytes or more, found %u", size);
    }
    const uint32_t valid_bits = read_u16(p + 18);
    if (valid_bits > bits) {
      return fail(PTTS_ERROR_AUDIO, "WAV: valid bits per sample: expected at most %u, found %u", bits,
                  valid_bits);
    }
    tag = read_u16(p + 24);
    if (std::memcmp(p + 26, kGuidTail, sizeof(kGuidTail)) != 0) {
      return fail(PTTS_ERROR_AUDIO, "WAV: sub-format: expected PCM or IEEE float, found another GUID");
    }
  }
  format->channels = read_u16(p + 2);
  format->rate = read_u32(p + 4);
  format->is_float = tag == kTagFloat;
  format->bytes = bits / 8;
  if (tag != kTagInteger && tag != kTagFloat) {
    return fail(PTTS_ERROR_AUDIO, "WAV: format: expected 1 (integer PCM) or 3 (IEEE float), found %u", tag);
  }
  const bool known_width =
      format->is_float ? bits == 32 || bits == 64 : bits == 8 || bits == 16 || bits == 24 || bits == 32;
  if (!known_width) {
    return fail(PTTS_ERROR_AUDIO, "WAV: bits per sample: expected %s, found %u",
                format->is_float ? "32 or 64 (float)" : "8, 16, 24 or 32 (integer)", bits);
  }
  if (format->channels == 0) return fail(PTTS_ERROR_AUDIO, "WAV: channels: expected at least 1, found 0");
  if (format->rate < kMinSampleRate || format->rate > kMaxSampleRate) {
    return fail(PTTS_ERROR_AUDIO, "WAV: sample rate: expected %u to %u Hz, found %u", kMinSampleRate,
                kMaxSampleRate, format->rate);
  }
  if (block != format->channels * format->bytes) {
    return fail(PTTS_ERROR_AUDIO, "WAV: block size: expected %u (%u channels of %u bits), found %u",
                format->channels * format->bytes, format->channels, bits, block);
  }
  return PTTS_OK;
}

ptts_status find_data(const uint8_t* bytes, size_t length, Wav* wav) {
  if (length < 12) return fail(PTTS_ERROR_AUDIO, "WAV: expected at least 12 bytes, found %zu", length);
  if (std::memcmp(bytes, "RIFF", 4) != 0 || std::memcmp(bytes + 8, "WAVE", 4) != 0) {
    return fail(PTTS_ERROR_AUDIO, "audio: expected a RIFF WAVE file, found %s", guess_kind(bytes));
  }
  size_t block = 0;  // bytes of a frame, once the format is known
  size_t at = 12;
  while (length - at >= 8) {
    const uint8_t* name = bytes + at;
    const uint32_t size = read_u32(name + 4);
    const uint8_t* body = name + 8;
    const size_t left = length - at - 8;
    if (std::memcmp(name, "data", 4) == 0) {
      if (block == 0) {
        return fail(PTTS_ERROR_AUDIO, "WAV: expected a fmt chunk before the data chunk, found none");
      }
      size_t bytes_of_data = size;
      if (size > left) {
        if (size < kStreamSize) {
          return fail(PTTS_ERROR_AUDIO, "WAV: data chunk: expected %u bytes, file has %zu", size, left);
        }
        bytes_of_data = left - left % block;
      }
      if (bytes_of_data % block != 0) {
        return fail(PTTS_ERROR_AUDIO, "WAV: data chunk: expected whole frames of %zu bytes, found %zu bytes",
                    block, bytes_of_data);
      }
      wav->data = body;
      wav->frames = bytes_of_data / block;
      return PTTS_OK;
    }
    if (size > left) {
      return fail(PTTS_ERROR_AUDIO, "WAV: chunk at byte %zu: expected %u bytes, file has %zu", at, size,
                  left);
    }
    if (std::memcmp(name, "fmt ", 4) == 0) {
      if (block != 0)
        return fail(PTTS_ERROR_AUDIO, "WAV: expected one fmt chunk, found a second at byte %zu", at);
      PTTS_TRY(parse_format(body, size, &wav->format));
      block = static_cast<size_t>(wav->format.channels) * wav->format.bytes;
    }
    at += 8 + size;
    if (size % 2 != 0 && at < length) ++at;
  }
  return fail(PTTS_ERROR_AUDIO, "WAV: expected a data chunk, found none in %zu bytes", length);
}

float read_sample(const uint8_t* p, const Format& format) {
  if (format.is_float) {
    if (format.bytes == 4) {
      const uint32_t bits = read_u32(p);
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    const uint64_t bits = read_u64(p);
    double value;
    std::memcpy(&value, &bits, sizeof value);
    // Beyond the range of float the conversion is undefined; infinity is refused by the caller.
    if (!(std::fabs(value) <= 3.4028234663852886e38)) return INFINITY;
    return static_cast<float>(value);
  }
  switch (format.bytes) {
    case 1: return static_cast<float>(p[0] - 128) * 0x1p-7f;
    case 2: return static_cast<float>(static_cast<int16_t>(read_u16(p))) * 0x1p-15f;
    case 3: {
      const uint32_t high = static_cast<uint32_t>(p[0]) << 8 | static_cast<uint32_t>(p[1]) << 16 |
                            static_cast<uint32_t>(p[2]) << 24;
      return static_cast<float>(static_cast<int32_t>(high)) * 0x1p-31f;
    }
    default: return static_cast<float>(static_cast<int32_t>(read_u32(p))) * 0x1p-31f;
  }
}

}  // namespace

ptts_status wav_read(const void* data, size_t length, double max_seconds, Buffer<float>* samples,
                     uint32_t* sample_rate) {
  Wav wav;
  PTTS_TRY(find_data(static_cast<const uint8_t*>(data), length, &wav));
  const Format& format = wav.format;
  uint64_t frames = wav.frames;
  if (frames == 0) return fail(PTTS_ERROR_AUDIO, "WAV: expected at least 1 sample, found 0");
  if (max_seconds > 0.0) {
    const double wanted = max_seconds * format.rate;  // the reference truncates it to whole samples
    if (wanted < static_cast<double>(frames)) frames = static_cast<uint64_t>(wanted);
    if (frames == 0) {
      return fail(PTTS_ERROR_AUDIO, "WAV: expected at least 1 sample in the first %g s, found 0",
                  max_seconds);
    }
  }
  const double seconds = static_cast<double>(frames) / format.rate;
  if (seconds > kMaxAudioSeconds) {
    return fail(PTTS_ERROR_AUDIO, "WAV: expected at most %g minutes, found %.1f", kMaxAudioSeconds / 60.0,
                seconds / 60.0);
  }
  if (frames > kMaxSamples) {
    return fail(PTTS_ERROR_AUDIO, "WAV: expected at most %llu samples, found %llu (%.1f s at %u Hz)",
                static_cast<unsigned long long>(kMaxSamples), static_cast<unsigned long long>(frames),
                seconds, format.rate);
  }
  Buffer<float> mono;
  PTTS_TRY(mono.allocate(static_cast<size_t>(frames), "audio samples"));
  const uint8_t* p = wav.data;
  const float channels = static_cast<float>(format.channels);
  for (size_t i = 0; i < mono.size(); ++i) {
    float sum = 0.0f;
    for (uint32_t c = 0; c < format.channels; ++c, p += format.bytes) sum += read_sample(p, format);
    mono[i] = sum / channels;
    if (!std::isfinite(mono[i])) {
      return fail(PTTS_ERROR_AUDIO, "WAV: sample %zu: expected a finite number, found %s", i,
                  std::isnan(mono[i]) ? "NaN" : "infinity");
    }
  }
  *samples = std::move(mono);
  *sample_rate = format.rate;
  return PTTS_OK;
}

}  // namespace ptts
