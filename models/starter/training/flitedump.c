/* Reads one sentence per line; writes the teacher's CLUSTERGEN parameters (5 ms frames) and the phone and word
   alignment of each to stdout, or, with a folder as argument, its own speech as FOLDER/0000.wav ...
     cc flitedump.c -O2 -o flitedump -lflite_cmu_us_slt -lflite_usenglish -lflite_cmulex -lflite -lm
   Record: int32 line, T, C (= 1 + 25 + 5: f0, mel-cepstra, excitation strengths), nseg; float32[T*C];
   nseg * { float end; int32 token_index; char phone[8] }, native byte order. */
#include <flite/cst_cg.h>
#include <flite/flite.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

cst_voice *register_cmu_us_slt(const char *);

enum { kMelCepstra = 25, kStrengths = 5, kColumns = 1 + kMelCepstra + kStrengths };

/* Stops the waveform synthesis at its first block: only the parameters are wanted. */
static int stop(const cst_wave *w, int start, int size, int last, cst_audio_streaming_info *asi) {
  return CST_AUDIO_STREAM_STOP;
}

static int32_t token_of(const cst_item *segment) {
  cst_item *syllable = item_as(segment, "SylStructure");
  cst_item *word = syllable ? item_parent(item_parent(syllable)) : NULL;
  cst_item *token = word ? item_as(word, "Token") : NULL;
  return token && item_parent(token) ? item_feat_int(item_parent(token), "idx") : -1;
}

static void dump(cst_utterance *u, int32_t line) {
  cst_cg_db *db = val_cg_db(utt_feat_val(u, "cg_db"));
  cst_track *raw = val_track(utt_feat_val(u, "param_track"));
  cst_track *strength = db->mixed_excitation ? val_track(utt_feat_val(u, "str_track")) : NULL;
  cst_track *smooth = db->do_mlpg ? mlpg(raw, db) : raw;
  int32_t header[4] = {line, smooth->num_frames, kColumns, 0};
  int index = 0;
  for (cst_item *t = relation_head(utt_relation(u, "Token")); t; t = item_next(t)) item_set_int(t, "idx", index++);
  for (cst_item *g = relation_head(utt_relation(u, "Segment")); g; g = item_next(g)) header[3]++;
  fwrite(header, 4, 4, stdout);
  for (int i = 0; i < smooth->num_frames; i++) {
    float row[kColumns] = {raw->frames[i][0]};
    for (int j = 0; j < kMelCepstra; j++) row[1 + j] = smooth->frames[i][1 + j];
    for (int j = 0; strength && j < kStrengths; j++) row[1 + kMelCepstra + j] = strength->frames[i][j];
    fwrite(row, 4, kColumns, stdout);
  }
  for (cst_item *g = relation_head(utt_relation(u, "Segment")); g; g = item_next(g)) {
    float end = item_feat_float(g, "end");
    int32_t token = token_of(g);
    char phone[8] = {0};
    strncpy(phone, item_feat_string(g, "name"), 7);
    fwrite(&end, 4, 1, stdout);
    fwrite(&token, 4, 1, stdout);
    fwrite(phone, 1, 8, stdout);
  }
  if (smooth != raw) delete_track(smooth);
}

int main(int argc, char **argv) {
  const char *folder = argc > 1 ? argv[1] : NULL;
  flite_init();
  cst_voice *voice = register_cmu_us_slt(NULL);
  cst_audio_streaming_info *asi = new_audio_streaming_info();
  asi->min_buffsize = 160;
  asi->asc = stop;
  if (!folder) feat_set(voice->features, "streaming_info", audio_streaming_info_val(asi));
  char line[4096], path[4200];
  for (int n = 0; fgets(line, sizeof line, stdin); n++) {
    line[strcspn(line, "\n")] = 0;
    if (!line[0]) continue;
    cst_utterance *u = flite_synth_text(line, voice);
    if (!u) continue;
    if (folder) {
      snprintf(path, sizeof path, "%s/%04d.wav", folder, n);
      cst_wave_save_riff(utt_wave(u), path);
    } else if (feat_present(u->features, "param_track")) {
      dump(u, n);
    }
    delete_utterance(u);
  }
  return 0;
}
