// A program of gudrob's library: compiled with that header as it came (tests/capi/gudrob), linked with ours.
//
//   capi_drop_in PACK RECORDING        prints "samples rate pieces finals"
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pocket_tts/pocket_tts_c.h"

struct heard {
  int samples, pieces, finals;
  int most, wrong;
};

static void hear(const float* samples, int count, int is_final, void* user_data) {
  struct heard* heard = user_data;
  heard->wrong |= samples == NULL || heard->finals > 0;
  heard->most = count > heard->most ? count : heard->most;
  heard->samples += count;
  heard->pieces += 1;
  heard->finals += is_final;
}

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, pocket_tts_get_last_error());
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) return fail("capi_drop_in PACK RECORDING");
  if (strcmp(pocket_tts_get_last_error(), "") != 0) return fail("an error before anything was called");
  PocketTTSConfig config;
  memset(&config, 0, sizeof config);
  config.models_dir = argv[1];
  config.precision = "fp32";
  PocketTTSHandle tts = pocket_tts_create(&config);
  if (tts == NULL) return fail("create");
  VoiceHandle voice = pocket_tts_encode_voice(tts, argv[2]);
  if (voice == NULL) return fail("encode_voice");
  AudioResult speech;
  if (pocket_tts_generate(tts, "One two three. Four five six!", voice, &speech) != 0) return fail("generate");
  double loudest = 0;
  for (int i = 0; i < speech.sample_count; ++i) loudest = fmax(loudest, fabs((double)speech.data[i]));
  if (!(loudest > 0)) return fail("silence");
  struct heard heard = {0, 0, 0, 0, 0};
  StreamingConfig streaming = {3, &heard};
  const int streamed =
      pocket_tts_generate_streaming(tts, "One two three. Four five six!", voice, hear, &streaming);
  if (streamed != speech.sample_count || heard.samples != streamed) return fail("streaming is not generate");
  if (heard.wrong || heard.finals != 1 || heard.most > 3 * 1920) return fail("pieces");
  printf("%d %d %d %d\n", speech.sample_count, speech.sample_rate, heard.pieces, heard.finals);
  pocket_tts_free_audio(&speech);
  if (speech.data != NULL || speech.sample_count != 0) return fail("free_audio");
  pocket_tts_free_voice(voice);
  pocket_tts_destroy(tts);
  return 0;
}
