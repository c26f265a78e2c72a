#!/usr/bin/env bash
# Prints the paths of the CustomResourceDefinitions of operators whose objects the chart has, one a line. They come from
# the operators' own Go modules.
set -euo pipefail

# folder MODULE VERSION : where the module's files are, after they were brought.
folder() {
  go mod download -json "$1@$2" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}

monitoring=$(folder github.com/prometheus-operator/prometheus-operator v0.93.0)/example/prometheus-operator-crd
certificates=$(folder github.com/cert-manager/cert-manager v1.19.1)/deploy/crds
for file in "$monitoring"/monitoring.coreos.com_{podmonitors,prometheusrules,servicemonitors}.yaml \
  "$certificates"/cert-manager.io_{certificates,issuers}.yaml; do
  [[ -f $file ]] || { echo "crds.sh: no such file: $file" >&2; exit 1; }
  printf '%s\n' "$file"
done
