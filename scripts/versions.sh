# Every toolchain version this project is built with; sourced by the other scripts.
# CMakeLists.txt checks the compilers again (LLVM_VERSION, EMSCRIPTEN_VERSION there must match).

LLVM_VERSION=19.1.7
LLVM_PACKAGE=1:19.1.7-3~deb12u1
WASI_LIBC_PACKAGE='0.0~git20220510.9886d3d-2'

EMSCRIPTEN_VERSION=3.1.69
EMSCRIPTEN_PACKAGE=3.1.69+dfsg-3
BINARYEN_PACKAGE=120-4

NODE_MAJOR=20 # oldest that works
GO_MINOR=25   # oldest that works: wazero needs Go 1.25
# Systems that the Go module is for: it is compiled and vetted for each of them.
GO_TARGETS="linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64"
STATICCHECK_VERSION=v0.8.2
GOVULNCHECK_VERSION=v1.7.0 # later ones want Go 1.26

# Packages whose version decides the bytes of the .wasm files: pinned exactly.
PINNED_PACKAGES="
  clang-19=$LLVM_PACKAGE
  lld-19=$LLVM_PACKAGE
  llvm-19=$LLVM_PACKAGE
  libclang-rt-19-dev=$LLVM_PACKAGE
  libclang-rt-19-dev-wasm32=$LLVM_PACKAGE
  libc++-19-dev-wasm32=$LLVM_PACKAGE
  libc++abi-19-dev-wasm32=$LLVM_PACKAGE
  wasi-libc=$WASI_LIBC_PACKAGE
  clang-format-19=$LLVM_PACKAGE
  clang-tidy-19=$LLVM_PACKAGE
"
# Build helpers: any version of Debian 12.
PLAIN_PACKAGES="cmake ninja-build python3 googletest libstdc++-12-dev ca-certificates gzip xz-utils"
# Only `make test` needs these: three browsers, a display and a silent sound server for those that want one, and Python's
# environments for clients of the servers.
TEST_PACKAGES="python3-venv chromium firefox-esr webkit2gtk-driver xvfb pulseaudio gstreamer1.0-plugins-good gstreamer1.0-pulseaudio"
EMSCRIPTEN_SHA256=d2ac788b952c56ab6736b4db2ac0825aa63cfb4c08b8abaefe19e324779d1b2d
BINARYEN_SHA256=47be56009e56170f4338a0154fbff2028bd607bc3c8b6a5414658a985bef6470
