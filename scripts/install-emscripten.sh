#!/bin/sh
# Puts Emscripten into a folder of its own on Debian 12, without upgrading any package of the system:
# Debian 12's LLVM 19, plus the emscripten and binaryen packages of Debian 13 unpacked (binaryen with its own loader,
# because it wants a newer libc).  Does nothing when the pinned version is already there.
#
#   scripts/install-emscripten.sh [FOLDER]          default: .toolchain/emscripten in the repository
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/versions.sh"

folder=${1:-$here/../.toolchain/emscripten}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
stamp="emscripten $EMSCRIPTEN_PACKAGE binaryen $BINARYEN_PACKAGE $folder"
if [ -f "$folder/.ok" ]; then
  if [ "$(head -n 1 "$folder/.ok")" = "$stamp" ]; then exit 0; fi
  echo "install-emscripten: $folder holds \"$(head -n 1 "$folder/.ok")\", expected \"$stamp\"." >&2
  echo "  Delete the folder and run the set-up again." >&2
  exit 1
fi
for tool in clang-19 wasm-ld-19 llvm-ar-19 node python3; do
  command -v $tool > /dev/null || { echo "install-emscripten: $tool is missing; run scripts/setup.sh" >&2; exit 1; }
done
echo "Installing Emscripten $EMSCRIPTEN_VERSION into $folder (about 900 MB)" >&2

# A private package list: the machine's own mirror, the newer release's name.
apt=$folder/apt
rm -rf "$apt"
mkdir -p "$apt/src" "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/deb"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/debian.list; do
  if [ -s "$file" ]; then sed 's/bookworm/trixie/g' "$file" > "$apt/src/$(basename "$file")"; fi
done
options="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$apt/src -o Dir::Etc::preferencesparts=/dev/null
  -o Dir::State::lists=$apt/lists -o Dir::Cache=$apt/cache -o APT::Sandbox::User=root"
apt-get $options update -qq >&2
(cd "$apt/deb" && apt-get $options download -q \
  "emscripten=$EMSCRIPTEN_PACKAGE" "binaryen=$BINARYEN_PACKAGE" node-acorn libc6 libstdc++6 libgcc-s1 >&2)
# apt has checked the signatures; these two decide the bytes that we ship, so their content is pinned as well.
(cd "$apt/deb" && for name in emscripten binaryen; do
  case $name in emscripten) expected=$EMSCRIPTEN_SHA256 ;; binaryen) expected=$BINARYEN_SHA256 ;; esac
  found=$(sha256sum ${name}_*.deb | cut -d ' ' -f 1)
  if [ "$found" != "$expected" ]; then
    echo "install-emscripten: $name: expected sha256 $expected, found $found" >&2
    exit 1
  fi
done)
for package in emscripten binaryen node-acorn; do dpkg -x "$apt"/deb/${package}_*.deb "$folder"; done
for package in libc6 libstdc++6 libgcc-s1; do dpkg -x "$apt"/deb/${package}_*.deb "$folder/lc"; done
packages=$(cd "$apt/deb" && ls)

em=$folder/usr/share/emscripten
lib=$folder/lc/usr/lib/x86_64-linux-gnu
mkdir -p "$folder/bin"
# Not needed here; the type files also break `--emit-tsd`.
rm -rf "$apt" "$em/test" "$em/docs" "$em/cache/sysroot/lib/wasm32-emscripten/pic" \
  "$em/cache/sysroot/lib/wasm32-emscripten/lto-pic" "$folder/usr/share/nodejs/@types"
ln -sfn ../nodejs "$em/node_modules" # where the JavaScript optimiser looks for acorn
# The project's own package.json says "module": its scripts are not to be read as that.
echo '{ "type": "commonjs" }' > "$folder/package.json"
for file in "$folder"/usr/bin/wasm-* "$folder/usr/bin/wasm2js"; do
  cat > "$folder/bin/$(basename "$file")" <<END
#!/bin/sh
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib:$folder/usr/lib/x86_64-linux-gnu" "$file" "\$@"
END
done
cat > "$em/.emscripten" <<END
LLVM_ROOT='/usr/bin'
BINARYEN_ROOT='$folder'
NODE_JS='$(command -v node)'
FROZEN_CACHE=True
LLVM_ADD_VERSION='19'
CLANG_ADD_VERSION='19'
END
for tool in emcc em++ emar emranlib emnm emstrip; do
  printf '#!/bin/sh\nexec "%s/%s" "$@"\n' "$em" "$tool" > "$folder/bin/$tool"
done
chmod +x "$folder"/bin/*
found=$("$folder/bin/emcc" --version | sed -n '1s/.* \([0-9][0-9.]*\).*/\1/p')
if [ "$found" != "$EMSCRIPTEN_VERSION" ]; then
  echo "install-emscripten: emcc says it is version \"$found\", expected $EMSCRIPTEN_VERSION" >&2
  exit 1
fi
printf '%s\n%s\n' "$stamp" "$packages" > "$folder/.ok"
