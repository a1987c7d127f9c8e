// gudrob's header, as it came, in C++.
#include "pocket_tts/pocket_tts_c.h"

#include "layout.inc"
