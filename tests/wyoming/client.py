"""What the Python library's own client hears of a server: client.py URI TEXT... -> one JSON object.

The texts are the parts of one text: it is asked for whole, and then as it comes.
"""

import asyncio
import hashlib
import json
import sys

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped


async def heard(client, until):
    """The kinds of the events up to one, and the sound in them."""
    kinds, sound, rate = [], hashlib.sha256(), None
    size = 0
    while True:
        event = await asyncio.wait_for(client.read_event(), 60)
        assert event is not None, "the server closed the connection"
        if not kinds or kinds[-1] != event.type:
            kinds.append(event.type)
        if AudioStart.is_type(event.type):
            rate = AudioStart.from_event(event).rate
        if AudioChunk.is_type(event.type):
            chunk = AudioChunk.from_event(event)
            assert (chunk.width, chunk.channels) == (2, 1)
            sound.update(chunk.audio)
            size += len(chunk.audio)
        if until(event.type):
            return {"kinds": kinds, "rate": rate, "bytes": size, "sha256": sound.hexdigest()}


async def main(uri, parts):
    text = "".join(parts)
    result = {}
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
        result["info"] = [
            {
                "program": program.name,
                "installed": program.installed,
                "streaming": program.supports_synthesize_streaming,
                "voices": [[v.name, v.installed, v.languages, v.attribution.name] for v in program.voices],
            }
            for program in info.tts
        ]
        await client.write_event(Ping(text="here").event())
        result["pong"] = Pong.from_event(await client.read_event()).text
        await client.write_event(Synthesize(text=text).event())
        result["whole"] = await heard(client, AudioStop.is_type)
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(SynthesizeStart().event())
        for part in parts:
            await client.write_event(SynthesizeChunk(text=part).event())
        await client.write_event(Synthesize(text=text).event())
        await client.write_event(SynthesizeStop().event())
        result["streamed"] = await heard(client, SynthesizeStopped.is_type)
    print(json.dumps(result))


asyncio.run(main(sys.argv[1], sys.argv[2:]))
