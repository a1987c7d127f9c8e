# The C library (wasm/capi/README.md), its example and its tests.
#
#   cmake --preset native -DBUILD_SHARED=OFF && cmake --build --preset native --target pocket_tts
#   cmake --install build/native --prefix /usr/local          the library, its header, the starter voice
option(BUILD_SHARED "The C library as a shared one; OFF: a static one" ON)
find_package(Threads REQUIRED)

set(capi_include ${CMAKE_SOURCE_DIR}/wasm/capi/include)
set(capi_options ${PTTS_WARNINGS} $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>) # exceptions end at the interface
set(sha_2 ${CMAKE_SOURCE_DIR}/wasm/capi/third_party/sha-2/upstream/sha-2)
add_library(sha-2 STATIC ${sha_2}/sha-256.c)
target_include_directories(sha-2 SYSTEM PUBLIC ${sha_2})
target_compile_options(sha-2 PRIVATE -w)
set(libyaml ${CMAKE_SOURCE_DIR}/wasm/capi/third_party/libyaml/upstream/libyaml)
add_library(libyaml STATIC ${libyaml}/src/api.c ${libyaml}/src/loader.c ${libyaml}/src/parser.c ${libyaml}/src/reader.c
  ${libyaml}/src/scanner.c)
target_include_directories(libyaml SYSTEM PUBLIC ${libyaml}/include)
target_compile_definitions(libyaml PUBLIC YAML_DECLARE_STATIC
  PRIVATE YAML_VERSION_MAJOR=0 YAML_VERSION_MINOR=2 YAML_VERSION_PATCH=5 YAML_VERSION_STRING="0.2.5")
target_compile_options(libyaml PRIVATE -w)

file(GLOB capi_sources CONFIGURE_DEPENDS wasm/capi/*.cpp)
add_library(capi OBJECT ${capi_sources})
target_include_directories(capi PUBLIC ${capi_include} wasm/capi)
target_compile_options(capi PRIVATE ${capi_options})
target_compile_definitions(capi PRIVATE POCKET_TTS_BUILDING_DLL)
target_link_libraries(capi PUBLIC engine yyjson sha-2 libyaml Threads::Threads ${CMAKE_DL_LIBS})

if(BUILD_SHARED)
  add_library(pocket_tts SHARED $<TARGET_OBJECTS:capi>)
  target_link_libraries(pocket_tts PRIVATE engine yyjson sha-2 libyaml Threads::Threads ${CMAKE_DL_LIBS})
  if(NOT WIN32 AND NOT APPLE)
    target_link_options(pocket_tts PRIVATE -Wl,--gc-sections -Wl,--no-undefined
      -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/wasm/capi/exports.map)
    set_target_properties(pocket_tts PROPERTIES LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/wasm/capi/exports.map)
    if(PTTS_SANITIZE) # whose functions come with the program
      target_link_options(pocket_tts PRIVATE -Wl,--undefined-version -Wl,-z,undefs)
    endif()
  endif()
  # The SONAME of gudrob/pocket-tts.cpp: what was linked with that library finds this one.
  set_target_properties(pocket_tts PROPERTIES SOVERSION 1)
else()
  # With everything that it needs but the standard library.
  add_library(pocket_tts STATIC $<TARGET_OBJECTS:capi> $<TARGET_OBJECTS:engine> $<TARGET_OBJECTS:sentencepiece>
    $<TARGET_OBJECTS:yyjson> $<TARGET_OBJECTS:sha-2> $<TARGET_OBJECTS:libyaml>)
  target_link_libraries(pocket_tts PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
  target_compile_definitions(pocket_tts INTERFACE POCKET_TTS_STATIC)
endif()
target_include_directories(pocket_tts PUBLIC $<BUILD_INTERFACE:${capi_include}>)
set_target_properties(pocket_tts PROPERTIES LINKER_LANGUAGE CXX)

include(GNUInstallDirs)
install(TARGETS pocket_tts)
install(FILES ${capi_include}/pocket_tts/pocket_tts_c.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pocket_tts)
install(DIRECTORY models/starter/ DESTINATION ${CMAKE_INSTALL_DATADIR}/pocket_tts/starter
  FILES_MATCHING PATTERN pack.json PATTERN LICENSE PATTERN "*.safetensors" PATTERN "*.model"
  PATTERN training EXCLUDE PATTERN evaluate EXCLUDE PATTERN report EXCLUDE)

# ---- the example: gudrob's command line ---------------------------------------------------------------------------

add_executable(pocket_tts_example examples/pocket_tts.c)
set_target_properties(pocket_tts_example PROPERTIES OUTPUT_NAME pocket_tts
  INSTALL_RPATH "\$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
target_compile_options(pocket_tts_example PRIVATE ${PTTS_WARNINGS})
target_link_libraries(pocket_tts_example PRIVATE pocket_tts)
install(TARGETS pocket_tts_example)

# ---- tests --------------------------------------------------------------------------------------------------------

# Programs that see the interface alone, and gudrob's header in place of ours.
set(theirs tests/capi/gudrob)
add_executable(capi_drop_in tests/capi/drop_in.c tests/capi/layout_theirs.c tests/capi/layout_theirs.cpp)
target_include_directories(capi_drop_in BEFORE PRIVATE ${theirs}/include)
target_compile_options(capi_drop_in PRIVATE ${capi_options})
add_executable(capi_their_test ${theirs}/test/test_api.c)
target_include_directories(capi_their_test BEFORE PRIVATE ${theirs}/include)
target_compile_options(capi_their_test PRIVATE -w)
foreach(program capi_drop_in capi_their_test)
  target_link_libraries(${program} PRIVATE $<TARGET_LINKER_FILE:pocket_tts> Threads::Threads ${CMAKE_DL_LIBS})
  add_dependencies(${program} pocket_tts)
  set_target_properties(${program} PROPERTIES LINKER_LANGUAGE CXX BUILD_RPATH ${CMAKE_BINARY_DIR})
endforeach()

file(GLOB capi_tests CONFIGURE_DEPENDS tests/capi/*_test.cpp)
add_executable(capi_tests ${capi_tests} tests/capi/packs.cpp tests/capi/layout_ours.c tests/capi/layout_ours.cpp)
target_compile_options(capi_tests PRIVATE ${capi_options})
target_compile_definitions(capi_tests PRIVATE PTTS_ROOT="${CMAKE_SOURCE_DIR}"
  PTTS_DROP_IN="$<TARGET_FILE:capi_drop_in>" PTTS_THEIR_TEST="$<TARGET_FILE:capi_their_test>"
  PTTS_EXAMPLE="$<TARGET_FILE:pocket_tts_example>" PTTS_LIBRARY="$<TARGET_FILE:pocket_tts>"
  PTTS_SHARED=$<BOOL:${BUILD_SHARED}>)
target_link_libraries(capi_tests PRIVATE capi gtest_main)
add_dependencies(capi_tests pocket_tts capi_drop_in capi_their_test pocket_tts_example)
gtest_discover_tests(capi_tests DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 600)

# All of the engine once more, under the thread sanitizer: by name only.
if(NOT PTTS_SANITIZE)
  add_executable(capi_threads EXCLUDE_FROM_ALL tests/capi/threads.cpp tests/capi/packs.cpp ${capi_sources} ${engine_sources})
  target_include_directories(capi_threads PRIVATE wasm/engine wasm/capi ${capi_include})
  target_compile_definitions(capi_threads PRIVATE PTTS_PER_THREAD=thread_local PTTS_ROOT="${CMAKE_SOURCE_DIR}")
  target_compile_options(capi_threads PRIVATE ${capi_options} -O1 -g1 -fsanitize=thread)
  # clang-tidy would look at the engine a second time, with a header that may not be there.
  set_target_properties(capi_threads PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
  # Half of the time would go into reading these, once for each file.
  target_precompile_headers(capi_threads PRIVATE <algorithm> <cmath> <filesystem> <functional> <map> <memory> <string> <vector>)
  target_link_options(capi_threads PRIVATE -fsanitize=thread)
  target_link_libraries(capi_threads PRIVATE sentencepiece yyjson sha-2 libyaml signalsmith Threads::Threads ${CMAKE_DL_LIBS})
endif()
