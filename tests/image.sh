#!/usr/bin/env bash
# Is the container image what the Dockerfile promises? Builds it with buildah from a static binary of this source (the
# `prebuilt` stage, so no base image is pulled) and looks inside.
#
#   tests/image.sh
#
# Needs buildah, readelf, and root (or sudo) for mounting the image. Leaves the image's root in target/image and
# nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "image: $*" >&2; exit 1; }
as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }
expect() { # WHAT WANTED FOUND
  [[ $3 == "$2" ]] || fail "$1 is ${3@Q}, not ${2@Q}"
  echo "image: $1 is ${3@Q}"
}

for program in buildah readelf; do
  command -v "$program" >/dev/null || fail "$program not found"
done

rm -rf target/image
.ci/image-root target/image

store=$(mktemp -d)
container=
buildah() { as_root "$(type -P buildah)" --root "$store/root" --runroot "$store/run" --storage-driver vfs "$@"; }
cleanup() {
  if [[ -n $container ]]; then buildah rm "$container" >/dev/null; fi
  as_root rm -rf "$store"
}
trap cleanup EXIT

buildah bud --quiet --pull-never --target prebuilt --build-arg REVISION=check -t pratique:check . >/dev/null
inspect() { buildah inspect --type image --format "$1" pratique:check; }
container=$(buildah from --pull-never pratique:check)
root=$(buildah mount "$container")

expect "the user" 65532:65532 "$(inspect '{{.OCIv1.Config.User}}')"
expect "the entrypoint" "[/pratique]" "$(inspect '{{.OCIv1.Config.Entrypoint}}')"
expect "the license" Apache-2.0 "$(inspect '{{index .OCIv1.Config.Labels "org.opencontainers.image.licenses"}}')"
expect "the revision" check "$(inspect '{{index .OCIv1.Config.Labels "org.opencontainers.image.revision"}}')"
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
expect "the version" "$version" "$(inspect '{{index .OCIv1.Config.Labels "org.opencontainers.image.version"}}')"

files=$(as_root find "$root" -mindepth 1 ! -type d -printf '/%P\n' | sort | tr '\n' ' ')
expect "the list of files" "/etc/ssl/certs/ca-certificates.crt /pratique " "$files"
special=$(as_root find "$root" \( -perm /7000 -o -perm /0002 -o ! -user 0 \) -printf '/%P ')
expect "the list of files not root's, writable or privileged" "" "$special"
if as_root readelf --program-headers "$root/pratique" | grep -q INTERP; then fail "the binary is not static"; fi
if as_root grep -qa -e "$PWD" -e "$HOME/.cargo" "$root/pratique"; then fail "the binary names paths of this machine"; fi

# Runs with nothing but the image, as its user.
expect "what it says in the image" "pratique $version" "$(as_root chroot --userspec=65532:65532 "$root" /pratique --version)"
size=$(as_root du -sb "$root" | cut -f1)
((size < 64 * 1024 * 1024)) || fail "$size bytes are too many"
echo "image: ok, $((size / 1024)) KiB"
