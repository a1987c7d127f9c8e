// What the engine keeps between calls (the message of a failure, room for products, the count of bytes) is there once.
// A build whose objects are used by several threads, each object by one at a time, defines PTTS_PER_THREAD=thread_local
// and has it once for each of them.
#ifndef PTTS_PER_THREAD
#define PTTS_PER_THREAD
#endif
