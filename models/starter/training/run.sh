#!/bin/sh
# The starter voice from nothing: run.sh WORK [LM_MINUTES] [CODEC_MINUTES]   (PY: python with pocket-tts, soundfile, scipy, sentencepiece)
# apt: flite1-dev gcc libc6-dev python3-pocketsphinx pocketsphinx-en-us + the texts named in make_text.py
# EVERYDAY=N: N shards of make_everyday.py's sentences besides the SHARDS of make_text.py's (apt: wordnet-base scowl).
# ODD=N: N shards of make_odd.py's prompts: long sentences without commas, capitals, figures, hardly any text.
# TUNE=M: M minutes more for the decoder, on what the flow LM predicts of the first 900 lines of each of TUNE_SHARDS.
# UNTIL=train stops after the flow LM; HORIZON=M: its schedule is that of a run of M minutes.
# Every step can be run alone and continues where it stopped.  A CUDA device is used by the two trainings where present.
set -e
D=$1 H=$(cd "$(dirname "$0")" && pwd) PY=${PY:-python3} SHARDS=${SHARDS:-18} EVERYDAY=${EVERYDAY:-0} ODD=${ODD:-0}
export PYTHONPATH="$H" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
mkdir -p "$D"
# 1 prompts, 2 tokenizer
[ -f "$D/train.txt" ] || /usr/bin/python3 "$H/make_text.py" "$D" 160000
[ "$EVERYDAY" = 0 ] || [ -f "$D/everyday.txt" ] || /usr/bin/python3 "$H/make_everyday.py" "$D" 200000
[ "$ODD" = 0 ] || [ -f "$D/odd.txt" ] || /usr/bin/python3 "$H/make_odd.py" "$D" 12000
[ -f "$D/tokenizer.model" ] || $PY "$H/tokenizer.py" "$D"
# 3 the teacher's parameters, 4 latents; the PCA of the committed codec is reused
cc "$H/flitedump.c" -O2 -o "$D/flitedump" -lflite_cmu_us_slt -lflite_usenglish -lflite_cmulex -lflite -lm
[ -f "$D/pca.npz" ] || cp "$H/checkpoints/pca.npz" "$D/pca.npz"
[ -f "$D/align.json" ] || cp "$H/checkpoints/align.json" "$D/align.json" # made by: align.py WORK shard_00
(cd "$D" && split -l 4000 -d -a 2 train.txt shard_)
[ "$EVERYDAY" = 0 ] || (cd "$D" && split -l 4000 -d -a 2 everyday.txt shard_e)
[ "$ODD" = 0 ] || (cd "$D" && split -l 4000 -d -a 2 odd.txt shard_o)
cp "$H/heldout.txt" "$D/heldout"
cp "$H/harvard.txt" "$D/harvard"
shards() { (cd "$D" && ls | grep -E "^$1[0-9][0-9]\$" | head -n "$2"); }
for s in heldout harvard $(shards shard_ "$SHARDS") $(shards shard_e "$EVERYDAY") $(shards shard_o "$ODD"); do
  [ -f "$D/$s.npz" ] && continue
  "$D/flitedump" <"$D/$s" >"$D/$s.bin"
  case $s in shard_o*) long=--long ;; *) long= ;; esac
  $PY "$H/make_latents.py" "$D" $long "$s"
  rm "$D/$s.bin"
done
# 5 decoder (the committed one unless minutes are given), 6 flow LM
if [ "${3:-0}" != 0 ]; then $PY "$H/train_codec.py" "$D" "$3"; else cp "$H/checkpoints/codec.pt" "$D/codec.pt"; fi
$PY "$H/train_lm.py" "$D" "${2:-104}" --muon 0.02 --tokens 2000 --horizon "${HORIZON:-0}"
[ "${UNTIL:-}" != train ] || exit 0
if [ "${TUNE:-0}" != 0 ]; then
  cp "$D/codec.pt" "$D/codec_untuned.pt"
  $PY "$H/train_codec.py" "$D" "$TUNE" --lr 1e-3 --fresh --from "$D/codec_untuned.pt" --lm "$D/lm.state" --shards "${TUNE_SHARDS:-shard_00,shard_01}"
fi
# 7 pack, 8 evaluation
$PY "$H/export.py" "$D" "$D/pack"
for t in heldout harvard; do
  $PY "$H/say.py" "$D/pack" "$H/$t.txt" "$D/said_$t"
  /usr/bin/python3 "$H/asr.py" "$D/said_$t" "$H/$t.txt"
  mkdir -p "$D/teacher_$t"
  "$D/flitedump" "$D/teacher_$t" <"$H/$t.txt"
  /usr/bin/python3 "$H/asr.py" "$D/teacher_$t" "$H/$t.txt"
done
