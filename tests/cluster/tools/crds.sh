#!/usr/bin/env bash
# crds.sh [operators|policy-reports] : prints the paths of the CustomResourceDefinitions of operators whose objects the
# chart has, or of PolicyReports, one a line. They come from Go modules: those of the operators themselves, and that of a
# well-known writer of PolicyReports.
set -euo pipefail

# folder MODULE VERSION : where the module's files are, after they were brought.
folder() {
  go mod download -json "$1@$2" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}

case ${1:-operators} in
  operators)
    monitoring=$(folder github.com/prometheus-operator/prometheus-operator v0.93.0)/example/prometheus-operator-crd
    certificates=$(folder github.com/cert-manager/cert-manager v1.19.1)/deploy/crds
    files=("$monitoring"/monitoring.coreos.com_{podmonitors,prometheusrules,servicemonitors}.yaml
      "$certificates"/cert-manager.io_{certificates,issuers}.yaml)
    ;;
  policy-reports)
    reports=$(folder github.com/kyverno/kyverno v1.12.0)/config/crds/policyreport
    files=("$reports"/wgpolicyk8s.io_policyreports.yaml)
    ;;
  *)
    echo "crds.sh: no such set: $1" >&2
    exit 1
    ;;
esac
for file in "${files[@]}"; do
  [[ -f $file ]] || { echo "crds.sh: no such file: $file" >&2; exit 1; }
  printf '%s\n' "$file"
done
