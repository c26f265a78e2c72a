#!/usr/bin/env bash
# Builds what the chart needs from Go modules, if need be, and prints the path of the program as the last line of stdout.
#
#   helm.sh [helm|helm-docs]
#
# The program is kept in ${XDG_CACHE_HOME:-$HOME/.cache}/pratique/<program>-<version>. It can be used from several
# processes at once.
set -euo pipefail

say() { printf 'helm.sh: %s\n' "$*" >&2; }

program=${1:-helm}
case $program in
  helm) version=v4.3.1 package=helm.sh/helm/v4/cmd/helm ldflags="-X helm.sh/helm/v4/internal/version.version=v4.3.1" ;;
  helm-docs) version=v1.14.2 package=github.com/norwoodj/helm-docs/cmd/helm-docs ldflags='' ;;
  *) say "no such program: $program"; exit 2 ;;
esac

folder=${XDG_CACHE_HOME:-$HOME/.cache}/pratique/$program-$version
mkdir -p "$folder"
if command -v flock >/dev/null; then
  exec 9>"$folder/.lock"
  flock 9 # two runs at once would build everything twice
fi
if [[ ! -x $folder/$program ]]; then
  command -v go >/dev/null || { say "to build $program $version, go is needed"; exit 1; }
  say "building $program $version, which takes minutes the first time"
  # Moved into place when whole: an interrupted build is not taken for a program.
  CGO_ENABLED=0 GOBIN=$folder/new GOFLAGS=-trimpath go install -ldflags "-s -w $ldflags" "$package@$version" 9>&- >&2
  mv -f "$folder/new/$program" "$folder/$program"
  rmdir "$folder/new"
fi
printf '%s\n' "$folder/$program"
