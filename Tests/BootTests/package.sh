#!/bin/bash
# Makes FOLDER/carillon.deb of a debug build by what `make deb` does with a release, which takes
# minutes to build.
#
#   package.sh CARILLON FOLDER
set -euo pipefail
carillon=$(realpath "$1") folder=$(realpath "$2")
cd "$(dirname "$0")/../.."
generator=$(dirname "$carillon")/generate-manual
[ -x "$generator" ] || {
    echo "$generator is missing: swift build --product generate-manual" >&2
    exit 1
}
.man/build "$carillon" "$generator" "$folder/manual"
# Settings of a make that runs these tests are not meant for this one.
env -u MAKEFLAGS -u MAKELEVEL -u DESTDIR make --no-print-directory install PREFIX=/usr \
    DESTDIR="$folder/root" carillon="$carillon" pages="$folder/manual"
CARILLON_DEBUG_PACKAGE=yes .debian/build "$folder/root" "$("$carillon" --version)" \
    "$folder/carillon.deb"
