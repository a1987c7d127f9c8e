/* Speaks a text with the C library: the command line of gudrob/pocket-tts.cpp.
 *
 *   pocket_tts [--models-dir D] [--tokenizer T] [--precision P] [--temperature X] [--lsd-steps N] [--max-frames N]
 *              TEXT VOICE OUT
 *
 * VOICE is a WAV file, a .safetensors voice file or the name of a voice of the pack.  OUT becomes a WAV file of 16 bits.
 *
 *   cc pocket_tts.c -lpocket_tts -o pocket_tts */
#include "pocket_tts/pocket_tts_c.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char kUsage[] =
    "Usage: pocket_tts [options] <text> <voice> <out>\n"
    "\n"
    "  text                 what is spoken\n"
    "  voice                a WAV file, a .safetensors voice file or the name of a voice of the pack\n"
    "  out                  the WAV file to write\n"
    "\n"
    "  --models-dir <path>  the model (default: models/onnx, else the installed starter voice)\n"
    "  --tokenizer <path>   a tokenizer in place of the pack's\n"
    "  --precision <word>   int8 or fp32 (default: the pack's, else int8)\n"
    "  --temperature <x>    variance of the noise (default: the pack's, else 0.7)\n"
    "  --lsd-steps <n>      steps of the sampler (default: 10)\n"
    "  --max-frames <n>     most frames of 80 ms in one go (default: 500)\n"
    "  -h, --help           this text\n";

static void put(uint8_t* to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to[i] = (uint8_t)(value >> 8 * i);
}

/* 0, or -1 with errno set. */
static int write_wav(const char* path, const AudioResult* speech) {
  const uint32_t data = (uint32_t)speech->sample_count * 2, rate = (uint32_t)speech->sample_rate;
  uint8_t header[44 + 1] = "RIFF....WAVEfmt ....................data....";
  put(header + 4, 36 + data, 4);
  put(header + 16, 16, 4);
  put(header + 20, 1, 2); /* integers */
  put(header + 22, 1, 2); /* one channel */
  put(header + 24, rate, 4);
  put(header + 28, rate * 2, 4);
  put(header + 32, 2, 2);
  put(header + 34, 16, 2);
  put(header + 40, data, 4);
  FILE* file = fopen(path, "wb");
  if (file == NULL) return -1;
  int ok = fwrite(header, 1, 44, file) == 44;
  for (int i = 0; ok && i < speech->sample_count; ++i) {
    const float x = speech->data[i], clamped = x < -1 ? -1 : x > 1 ? 1 : x;
    uint8_t sample[2];
    put(sample, (uint32_t)(int32_t)(clamped * 32767.0f), 2); /* toward zero, as the reference does */
    ok = fwrite(sample, 1, 2, file) == 2;
  }
  return fclose(file) == 0 && ok ? 0 : -1;
}

/* The number at the end of its option, which ends the program where there is none. */
static double number(const char* option, const char* text) {
  char* end = NULL;
  const double value = strtod(text, &end);
  if (end != text && *end == 0) return value;
  fprintf(stderr, "%s: expected a number, found %s\n", option, text);
  exit(1);
}

static int whole_number(const char* option, const char* text) {
  const double value = number(option, text);
  if (value >= -INT_MAX && value <= INT_MAX && value == (int)value) return (int)value;
  fprintf(stderr, "%s: expected a whole number, found %s\n", option, text);
  exit(1);
}

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, pocket_tts_get_last_error());
  return 1;
}

int main(int argc, char** argv) {
  PocketTTSConfig config = {0}; /* zeros are defaults */
  const char* positional[3];
  int count = 0, words_only = 0;
  for (int i = 1; i < argc; ++i) {
    const char* option = argv[i];
    if (words_only || option[0] != '-' || option[1] == 0) {
      if (count < 3) positional[count] = option;
      ++count;
      continue;
    }
    if (strcmp(option, "--") == 0) {
      words_only = 1;
      continue;
    }
    if (strcmp(option, "-h") == 0 || strcmp(option, "--help") == 0) {
      fputs(kUsage, stdout);
      return 0;
    }
    const char* value = i + 1 < argc ? argv[++i] : NULL;
    if (value == NULL) {
      fprintf(stderr, "%s: expected a value, or no such option\n%s", option, kUsage);
      return 1;
    }
    if (strcmp(option, "--models-dir") == 0) {
      config.models_dir = value;
    } else if (strcmp(option, "--tokenizer") == 0) {
      config.tokenizer_path = value;
    } else if (strcmp(option, "--precision") == 0) {
      config.precision = value;
    } else if (strcmp(option, "--temperature") == 0) {
      config.temperature = (float)number(option, value);
    } else if (strcmp(option, "--lsd-steps") == 0) {
      config.lsd_steps = whole_number(option, value);
    } else if (strcmp(option, "--max-frames") == 0) {
      config.max_frames = whole_number(option, value);
    } else {
      fprintf(stderr, "no such option: %s\n%s", option, kUsage);
      return 1;
    }
  }
  if (count != 3) {
    fprintf(stderr, "expected a text, a voice and a file to write, found %d arguments\n%s", count, kUsage);
    return 1;
  }

  PocketTTSHandle tts = pocket_tts_create(&config);
  if (tts == NULL) return fail("The model cannot be loaded");
  VoiceHandle voice = pocket_tts_encode_voice(tts, positional[1]);
  AudioResult speech = {0};
  int result = 1;
  if (voice == NULL) {
    fail("The voice cannot be had");
  } else if (pocket_tts_generate(tts, positional[0], voice, &speech) != 0) {
    fail("The text cannot be spoken");
  } else if (write_wav(positional[2], &speech) != 0) {
    perror(positional[2]);
  } else {
    printf("%s: %.2f s\n", positional[2], (double)speech.sample_count / speech.sample_rate);
    result = 0;
  }
  pocket_tts_free_audio(&speech);
  pocket_tts_free_voice(voice);
  pocket_tts_destroy(tts);
  return result;
}
