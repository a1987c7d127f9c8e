# CMake 3.25 does not know this system; an empty description keeps it from saying so.
set(CMAKE_EXECUTABLE_SUFFIX .wasm)
