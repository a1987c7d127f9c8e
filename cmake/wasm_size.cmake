# cmake -DWASM=file -P wasm_size.cmake: prints the size of a .wasm file, plain and gzipped, and fails above the limits
# that this project has set itself (990 KB, 350 KB gzipped; the stretcher is 46 KB of it, 18 KB gzipped).
set(limit 990000)
set(limit_gzip 350000)

file(SIZE "${WASM}" bytes)
execute_process(COMMAND gzip -9nc "${WASM}" OUTPUT_FILE "${WASM}.gz.tmp" RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "gzip failed on ${WASM}")
endif()
file(SIZE "${WASM}.gz.tmp" bytes_gzip)
file(REMOVE "${WASM}.gz.tmp")
get_filename_component(name "${WASM}" NAME)
message("${name}: ${bytes} bytes (limit ${limit}), gzip ${bytes_gzip} bytes (limit ${limit_gzip})")
if(bytes GREATER limit OR bytes_gzip GREATER limit_gzip)
  file(REMOVE "${WASM}")
  message(FATAL_ERROR "${name} is over its limit")
endif()
