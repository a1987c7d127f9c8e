"""Events as the Python library writes them: one JSON line each, {"type", "data", "payload", "bytes"}, the last two in hex.

    golden.py > wasi/server/wyoming/testdata/library.jsonl
"""

import io
import json

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import write_event
from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

SOURCE = Attribution(name="Kyutai Pocket-TTS", url="https://github.com/kyutai-labs/pocket-tts")
VOICE = TtsVoice(
    name="alba",
    attribution=Attribution(name='CC BY 4.0 & "more" <here>', url=SOURCE.url),
    installed=True,
    description="Pocket-TTS voice: alba",
    version="1",
    languages=["en"],
    speakers=None,
)
PROGRAM = TtsProgram(
    name="pocket-tts",
    attribution=SOURCE,
    installed=True,
    description="Fast Streaming Pocket-TTS",
    version="1",
    voices=[VOICE],
    supports_synthesize_streaming=True,
)
AUDIO = {"rate": 24000, "width": 2, "channels": 1}

EVENTS = [
    Describe(),
    Info(tts=[PROGRAM]),
    Ping(),
    Ping(text="a"),
    Pong(),
    Pong(text="ä\u2028\u2029\x7f\x01\b\"\\ </script>, : 😀"),
    AudioStart(**AUDIO),
    AudioChunk(audio=b"\x00\x80\n{", **AUDIO),
    AudioStop(),
    Synthesize(text="Hello.", voice=SynthesizeVoice(name="alba", speaker="one")),
    Synthesize(text="Hello.", voice=SynthesizeVoice(language="en"), context={"a": [1, 2.5, None, True]}),
    SynthesizeStart(voice=SynthesizeVoice(name="alba")),
    SynthesizeStart(),
    SynthesizeChunk(text="Héllo"),
    SynthesizeStop(),
    SynthesizeStopped(),
    Error(text="x", code="ValueError"),
]

for one in EVENTS:
    event = one.event()
    written = io.BytesIO()
    write_event(event, written)
    line = {
        "type": event.type,
        "data": event.data,
        "payload": (event.payload or b"").hex(),
        "bytes": written.getvalue().hex(),
    }
    print(json.dumps(line))
