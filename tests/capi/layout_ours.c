// Our header, in C.
#include "pocket_tts/pocket_tts_c.h"

#include "layout.inc"
