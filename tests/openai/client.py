"""The official Python client against `pocket-tts serve`: client.py URL KEY. Prints what it heard; fails where it heard wrong."""

import base64
import json
import struct
import sys

import openai

TEXT = "Hello there."
LONG = "This sentence is spoken again and again, until somebody has heard enough. " * 50

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0)


def fails(kind, status, param, **fields):
    """The client raises its own exception, with the server's words in it."""
    asked = {"model": "tts-1", "voice": "alloy", "input": TEXT} | fields
    try:
        client.audio.speech.create(**asked)
    except openai.APIStatusError as error:
        assert type(error) is kind and error.status_code == status, (type(error), error)
        assert error.body["param"] == param and error.body["message"], error.body
        return
    raise AssertionError(f"{fields} was spoken")


# Whole.
pcm = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="pcm").content
assert len(pcm) % 3840 == 0 and len(pcm) > 24000, len(pcm)
assert max(abs(x) for x in struct.unpack(f"<{len(pcm) // 2}h", pcm)) > 1000, "silence"
wav = client.audio.speech.create(model="gpt-4o-mini-tts", voice="slt", input=TEXT, response_format="wav", instructions="Be calm.").content
assert wav[:4] == b"RIFF" and wav[44:] == pcm, len(wav)
flac = client.audio.speech.create(model="tts-1-hd", voice="coral", input=TEXT, response_format="flac").content
assert flac[:4] == b"fLaC" and len(flac) < len(pcm)
fast = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="pcm", speed=2.0).content
assert abs(2 * len(fast) - len(pcm)) <= 4, (len(fast), len(pcm))

# While it is made: the first bytes of minutes of speech, and then the client leaves.
with client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input=LONG, response_format="pcm") as answer:
    assert answer.headers["content-type"] == "audio/pcm"
    first = next(answer.iter_bytes(3840))
    assert len(first) == 3840
with client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input=TEXT, response_format="pcm") as answer:
    assert b"".join(answer.iter_bytes()) == pcm

# Events.
heard, usage = b"", None
with client.audio.speech.with_streaming_response.create(model="gpt-4o-mini-tts", voice="alloy", input=TEXT, stream_format="sse", response_format="pcm") as answer:
    for line in answer.iter_lines():
        if not line:
            continue
        event = json.loads(line.removeprefix("data: "))
        if event["type"] == "speech.audio.done":
            usage = event["usage"]
        else:
            assert event["type"] == "speech.audio.delta" and usage is None, event
            heard += base64.b64decode(event["audio"])
assert heard == pcm and usage["output_tokens"] == len(pcm) // 3840, usage

# Errors.
fails(openai.BadRequestError, 400, "input", input=" ")
fails(openai.BadRequestError, 400, "response_format", response_format="mp3")
fails(openai.BadRequestError, 400, "speed", speed=5.0)
fails(openai.BadRequestError, 400, "voice", voice="http://169.254.169.254/")
fails(openai.NotFoundError, 404, "voice", voice="../../etc/passwd")
fails(openai.APIStatusError, 413, "input", input="a" * 4097)
try:
    openai.OpenAI(base_url=url + "/v1", api_key="wrong", max_retries=0).models.list()
    raise AssertionError("a wrong key was right")
except openai.AuthenticationError as error:
    assert error.status_code == 401

# Lists.
assert [model.id for model in client.models.list()] == ["pocket-tts", "starter"]
assert client.models.retrieve("pocket-tts").owned_by
print(f"openai {openai.__version__}: {len(pcm) / 48000:.2f} s of speech, the same in every way to ask for it")
