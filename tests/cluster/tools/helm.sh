#!/usr/bin/env bash
# Builds helm from its Go module, if need be, and prints the path of the program as the last line of stdout.
#
#   helm.sh
#
# A helm of this very version on the PATH is used as it is. The program is kept in
# ${XDG_CACHE_HOME:-$HOME/.cache}/pratique/helm-<version>.
set -euo pipefail

version=v4.3.1
say() { printf 'helm.sh: %s\n' "$*" >&2; }

if found=$(command -v helm) && [[ $("$found" version --template '{{.Version}}' 2>/dev/null) == "$version" ]]; then
  printf '%s\n' "$found"
  exit
fi

folder=${XDG_CACHE_HOME:-$HOME/.cache}/pratique/helm-$version
mkdir -p "$folder"
if command -v flock >/dev/null; then
  exec 9>"$folder/.lock"
  flock 9 # two runs at once would build everything twice
fi
if [[ ! -x $folder/helm ]]; then
  command -v go >/dev/null || { say "to build helm $version, go is needed"; exit 1; }
  say "building helm $version, which takes minutes the first time"
  # Moved into place when whole: an interrupted build is not taken for a program.
  CGO_ENABLED=0 GOBIN=$folder/new GOFLAGS=-trimpath \
    go install -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version" \
    "helm.sh/helm/v4/cmd/helm@$version" 9>&- >&2
  mv -f "$folder/new/helm" "$folder/helm"
  rmdir "$folder/new"
fi
printf '%s\n' "$folder/helm"
