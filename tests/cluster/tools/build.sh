#!/usr/bin/env bash
# Builds the Kubernetes programs that the cluster tests run.
#
#   build.sh [OUTDIR [PROGRAM...]]
#
# Builds what is missing or out of date and prints, as the last line of stdout,
# the directory that holds the programs. OUTDIR is by default
# ${XDG_CACHE_HOME:-$HOME/.cache}/pratique/kube-<version>; the programs are by
# default etcd, kube-apiserver, kube-controller-manager and kubectl (every
# directory under cmd/ is a program).
#
# Programs found in KUBEBUILDER_ASSETS are used as they are, provided that etcd
# and kube-apiserver are among them. When it has all of them, its own path is
# printed; otherwise OUTDIR/with-assets, with links to those and to the others,
# which are built.
set -euo pipefail

say() { printf 'build.sh: %s\n' "$*" >&2; }

invoked_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' go.mod)
outdir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/pratique/kube-$version}
[[ $outdir == /* ]] || outdir=$invoked_from/$outdir
shift $(($# > 0 ? 1 : 0))
programs=("$@")
((${#programs[@]})) || programs=(etcd kube-apiserver kube-controller-manager kubectl)
for program in "${programs[@]}"; do
  [[ -f cmd/$program/main.go ]] || { say "no such program: $program"; exit 2; }
done

assets=${KUBEBUILDER_ASSETS:-}
[[ -z $assets || $assets == /* ]] || assets=$invoked_from/$assets
if [[ -n $assets && ! (-x $assets/etcd && -x $assets/kube-apiserver) ]]; then
  say "KUBEBUILDER_ASSETS has no etcd and kube-apiserver: not used"
  assets=
fi

to_build=()
for program in "${programs[@]}"; do
  [[ -n $assets && -x $assets/$program ]] || to_build+=("$program")
done
if ((${#to_build[@]} == 0)); then
  printf '%s\n' "$assets"
  exit
fi

command -v go >/dev/null || { say "to build ${to_build[*]}, go is needed; or set KUBEBUILDER_ASSETS"; exit 1; }
mkdir -p "$outdir/.stamp"
if command -v flock >/dev/null; then
  exec 9>"$outdir/.lock"
  flock 9 # two runs at once would build everything twice
fi

IFS=. read -r major minor _ <<<"${version#v}"
ldflags='-s -w'
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ldflags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
done
toolchain=$(go env GOVERSION GOOS GOARCH)

for program in "${to_build[@]}"; do
  stamp=$({ printf '%s\n' "$toolchain" "$ldflags"; cat go.mod go.sum "cmd/$program"/*.go; } | sha256sum)
  stamp=${stamp%% *}
  if [[ -x $outdir/$program && $(cat "$outdir/.stamp/$program" 2>/dev/null) == "$stamp" ]]; then
    continue
  fi
  say "$program: building, which takes minutes the first time"
  began=$SECONDS
  rm -f "$outdir/.stamp/$program"
  CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags "$ldflags" \
    -o "$outdir/.$program.new" "./cmd/$program" 9>&- >&2
  mv -f "$outdir/.$program.new" "$outdir/$program"
  printf '%s\n' "$stamp" >"$outdir/.stamp/$program"
  say "$program: built in $((SECONDS - began)) s"
done

if [[ -n $assets ]]; then
  mkdir -p "$outdir/with-assets"
  for program in "${programs[@]}"; do
    from=$outdir
    [[ -x $assets/$program ]] && from=$assets
    ln -sfn "$from/$program" "$outdir/with-assets/$program"
  done
  outdir=$outdir/with-assets
fi
printf '%s\n' "$outdir"
