// The sentence that is spoken when no text is given.

package main

const defaultText = "Hello world. I am Kyutai's Pocket TTS. I'm fast enough to run on small CPUs. I hope you'll like me."
