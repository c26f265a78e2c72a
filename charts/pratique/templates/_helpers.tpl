{{- define "pratique.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 30 | trimSuffix "-" }}
{{- end }}

{{- /* What all names begin with. Short, for the names of repositories and parts come behind it. */}}
{{- define "pratique.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 30 | trimSuffix "-" }}
{{- else if contains (include "pratique.name" .) .Release.Name }}
{{- .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "pratique.name" .) | trunc 30 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pratique.instanceLabels" -}}
app.kubernetes.io/name: {{ include "pratique.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pratique.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "pratique.instanceLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* The pods that answer reviews; those of hooks and tests have another component. */}}
{{- define "pratique.selectorLabels" -}}
{{ include "pratique.instanceLabels" . }}
app.kubernetes.io/component: webhook
{{- end }}

{{- define "pratique.image" -}}
{{- $image := .Values.image }}
{{- if not $image.repository }}
{{- fail "image.repository is empty: it says where the image is" }}
{{- end }}
{{- if not $image.digest }}
{{- fail "image.digest is empty: the image runs by its digest (sha256:…), so that what was signed is what runs" }}
{{- end }}
{{- printf "%s:%s@%s" $image.repository (default .Chart.AppVersion $image.tag) $image.digest }}
{{- end }}

{{- /* `off` without quotes is false in YAML. */}}
{{- define "pratique.pin" -}}
{{- if kindIs "bool" .Values.pin }}off{{ else }}{{ .Values.pin }}{{ end }}
{{- end }}

{{- define "pratique.tlsSecret" -}}
{{- if eq .Values.certificates.mode "existing" }}
{{- required "certificates.existing.secretName is empty: with certificates.mode existing it names the Secret" .Values.certificates.existing.secretName }}
{{- else if eq .Values.certificates.mode "cert-manager" }}
{{- /* Not the name of the other mode: a switch would have two writers for a moment. */}}
{{- include "pratique.fullname" . }}-certificate
{{- else }}
{{- include "pratique.fullname" . }}-tls
{{- end }}
{{- end }}

{{- /* The policy as a text, after it was compared with `repositories`. */}}
{{- define "pratique.policy" -}}
{{- $policy := .Values.policy }}
{{- if not $policy }}
{{- fail "policy is empty: without a policy nothing is admitted; the chart has one to start from in examples/values.yaml" }}
{{- end }}
{{- $text := $policy }}
{{- if kindIs "map" $policy }}
{{- $text = toYaml $policy }}
{{- else }}
{{- $policy = fromYaml $policy }}
{{- if hasKey $policy "Error" }}
{{- fail (printf "policy is no YAML: %s" $policy.Error) }}
{{- end }}
{{- end }}
{{- range $name, $repository := (default dict $policy.repositories) }}
{{- if not (hasKey (default dict $.Values.repositories) $name) }}
{{- fail (printf "policy names the repository %s, which the value repositories does not have" $name) }}
{{- end }}
{{- $root := printf "%s.root.json" $name }}
{{- if ne $repository.root $root }}
{{- fail (printf "policy: the root of repository %s is called %s here" $name $root) }}
{{- end }}
{{- end }}
{{- range $name, $repository := .Values.repositories }}
{{- if not (hasKey (default dict $policy.repositories) $name) }}
{{- fail (printf "repositories has %s, which the policy does not name" $name) }}
{{- end }}
{{- /* The account may get the Secrets that are written here, so a policy cannot reach for others. */}}
{{- $named := dig "auth" "secretRef" "" (get $policy.repositories $name) }}
{{- $granted := default "" $repository.authSecret }}
{{- if ne $named $granted }}
{{- fail (printf "policy: the credentials of repository %s are in the Secret %q, and repositories.%s.authSecret is %q" $name $named $name $granted) }}
{{- end }}
{{- end }}
{{- range $host, $registry := (default dict $policy.registries) }}
{{- $named := dig "auth" "secretRef" "" (default dict $registry) }}
{{- $granted := dig $host "authSecret" "" $.Values.registries }}
{{- if ne $named $granted }}
{{- fail (printf "policy: the credentials of registry %s are in the Secret %q, and its authSecret in registries is %q" $host $named $granted) }}
{{- end }}
{{- end }}
{{- range $host, $_ := .Values.registries }}
{{- if not (hasKey (default dict $policy.registries) $host) }}
{{- fail (printf "registries has %s, which the policy does not name" $host) }}
{{- end }}
{{- end }}
{{- range $described := list (default dict $policy.repositories) (default dict $policy.registries) }}
{{- range $name, $it := $described }}
{{- with dig "caBundle" "" (default dict $it) }}
{{- if not (hasKey $.Values.caBundles .) }}
{{- fail (printf "policy: the caBundle of %s is %s, which the value caBundles does not have" $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (hasKey $policy "breakGlass") (not .Values.breakGlass.enabled) }}
{{- fail "policy has breakGlass, and breakGlass.enabled is off: the webhook could not ask who may" }}
{{- end }}
{{- trimSuffix "\n" $text }}
{{- end }}

{{- define "pratique.rootsData" -}}
{{- /* What is wrong with the policy is said first. */}}
{{- $_ := include "pratique.policy" . }}
{{- $data := dict }}
{{- range $name, $repository := .Values.repositories }}
{{- if not (kindIs "map" (fromJson $repository.root)) }}
{{- fail (printf "repositories.%s.root is no JSON" $name) }}
{{- end }}
{{- if not (dig "signed" "" (fromJson $repository.root)) }}
{{- fail (printf "repositories.%s.root is no root.json: it has no \"signed\"" $name) }}
{{- end }}
{{- $_ := set $data (printf "%s.root.json" $name) $repository.root }}
{{- end }}
{{- range $key, $pem := .Values.caBundles }}
{{- if hasKey $data $key }}
{{- fail (printf "caBundles has %s, which is the key of a root" $key) }}
{{- end }}
{{- $_ := set $data $key $pem }}
{{- end }}
{{- toYaml $data }}
{{- end }}

{{- /* Other roots, another ConfigMap: it is immutable. */}}
{{- define "pratique.roots" -}}
{{- printf "%s-roots-%s" (include "pratique.fullname" .) (include "pratique.rootsData" . | sha256sum | trunc 10) }}
{{- end }}

{{- /* The objects of the rollback memory: a head and its parts, for each repository. No name of a repository has a dot,
so none is called like a part of another one. */}}
{{- define "pratique.trust" -}}
{{- $fullname := include "pratique.fullname" . }}
{{- range $name, $_ := .Values.repositories }}
{{ printf "- %s-trust-%s" $fullname $name }}
{{- range until 4 }}
{{ printf "- %s-trust-%s.%d" $fullname $name . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What says that there was a first state: written once, by the hook or by an admin, and never by the webhook. */}}
{{- define "pratique.born" -}}
{{- $fullname := include "pratique.fullname" . }}
{{- range $name, $_ := .Values.repositories }}
{{ printf "- %s-trust-%s.born" $fullname $name }}
{{- end }}
{{- end }}

{{- /* The manifests of these objects. No `data`, here or ever: what is not rendered belongs to the program alone, and no
upgrade, rollback or sync touches it. */}}
{{- define "pratique.trustObjects" -}}
{{- range include "pratique.trust" . | fromYamlArray }}
---
# Rollback memory: what is in it only grows. It outlives the release, or a new one would believe older metadata.
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ . }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "pratique.labels" $ | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
    {{- if $.hook }}
    # Of the release that comes after the hook.
    meta.helm.sh/release-name: {{ $.Release.Name }}
    meta.helm.sh/release-namespace: {{ $.Release.Namespace }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "pratique.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "pratique.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* What all Pods of the chart have in common, whatever they run. */}}
{{- define "pratique.podBasics" -}}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
# Without it no pod of an enforced namespace starts when nodes are full.
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "pratique.podSecurityContext" . | nindent 2 }}
{{- end }}

{{- /* What all containers of the chart have in common. */}}
{{- define "pratique.containerBasics" -}}
image: {{ include "pratique.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "pratique.securityContext" . | nindent 2 }}
{{- end }}

{{- define "pratique.probes" -}}
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 2
{{- end }}

{{- /* Of everything that serves: the policy, what is kept, and what is logged. */}}
{{- define "pratique.sourceArgs" -}}
- --health-listen=0.0.0.0:8080
- --policy-configmap={{ .Release.Namespace }}/{{ include "pratique.fullname" . }}-policy
- --roots-configmap={{ .Release.Namespace }}/{{ include "pratique.roots" . }}
- --state=/state
- --log-format={{ .Values.log.format }}
- --log={{ .Values.log.filter }}
{{- end }}

{{- /* What is watched. `list` belongs to a watch, and both are granted for one name at a time only
(fieldSelector metadata.name=...). */}}
{{- define "pratique.sourceRules" -}}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames:
    - {{ include "pratique.fullname" . }}-policy
    - {{ include "pratique.roots" . }}
  verbs: [get, list, watch]
{{- with include "pratique.authSecrets" .Values.repositories | trim }}
# Credentials for repositories. They are read by name and not watched.
- apiGroups: [""]
  resources: [secrets]
  resourceNames:
    {{- . | nindent 4 }}
  verbs: [get]
{{- end }}
{{- end }}

{{- /* The Secrets with credentials for these repositories or registries, each once. */}}
{{- define "pratique.authSecrets" -}}
{{- $names := list }}
{{- range . }}
{{- $names = append $names .authSecret }}
{{- end }}
{{- range $names | compact | uniq | sortAlpha }}
- {{ . }}
{{- end }}
{{- end }}

{{- /* What the values say together; each alone is held by values.schema.json. */}}
{{- define "pratique.consistent" -}}
{{- if and (eq .Values.certificates.mode "self") (not .Values.guards.webhookConfigurations) }}
{{- fail "guards.webhookConfigurations is off while certificates.mode is self: with a free patch of webhook configurations a stolen token makes itself cluster-admin" }}
{{- end }}
{{- if has .Release.Namespace .Values.bootstrapNamespaces }}
{{- fail (printf "bootstrapNamespaces has %s: the webhook cannot be asked about its own namespace" .Release.Namespace) }}
{{- end }}
{{- if and (not .Values.audit.enabled) (contains "knownImages" (toYaml .Values.policy)) }}
{{- fail "audit.enabled is off while the policy has stale.knownImages: the audit is who knows which images run" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" }}
{{- end }}
{{- end }}

{{- /* list EVENTS WEIGHT: what makes an object one of a hook, there only as long as that runs. */}}
{{- define "pratique.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
