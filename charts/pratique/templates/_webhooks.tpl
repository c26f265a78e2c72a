{{- define "pratique.rules" -}}
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods, pods/ephemeralcontainers, replicationcontrollers, podtemplates]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [deployments, replicasets, statefulsets, daemonsets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  resources: [jobs, cronjobs]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- range .Values.customKinds }}
- apiGroups: [{{ .group }}]
  apiVersions: [{{ .version }}]
  resources: [{{ .resource }}]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end }}
{{- end }}

{{- define "pratique.podRules" -}}
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods, pods/ephemeralcontainers]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end }}

{{- define "pratique.podConditions" -}}
- name: pods
  expression: >-
    request.operation != 'UPDATE' ||
    request.resource.group != '' || request.resource.resource != 'pods' ||
    object.?spec != oldObject.?spec
{{- end }}

{{- define "pratique.conditions" -}}
{{ include "pratique.podConditions" . }}
- name: replicationcontrollers
  expression: >-
    request.operation != 'UPDATE' ||
    request.resource.group != '' || request.resource.resource != 'replicationcontrollers' ||
    object.?spec.?template != oldObject.?spec.?template
- name: podtemplates
  expression: >-
    request.operation != 'UPDATE' ||
    request.resource.group != '' || request.resource.resource != 'podtemplates' ||
    object.?template != oldObject.?template
- name: apps
  expression: >-
    request.operation != 'UPDATE' || request.resource.group != 'apps' ||
    !(request.resource.resource in ['deployments', 'replicasets', 'statefulsets', 'daemonsets']) ||
    object.?spec.?template != oldObject.?spec.?template
- name: jobs
  expression: >-
    request.operation != 'UPDATE' ||
    request.resource.group != 'batch' || request.resource.resource != 'jobs' ||
    object.?spec.?template != oldObject.?spec.?template
- name: cronjobs
  expression: >-
    request.operation != 'UPDATE' ||
    request.resource.group != 'batch' || request.resource.resource != 'cronjobs' ||
    object.?spec.?jobTemplate.?spec.?template != oldObject.?spec.?jobTemplate.?spec.?template
{{- range .Values.customKinds }}
# Which members lead to images stands with the webhook; metadata and status never do.
- name: {{ .resource }}.{{ .group }}
  expression: >-
    request.operation != 'UPDATE' ||
    request.resource.group != '{{ .group }}' || request.resource.resource != '{{ .resource }}' ||
    object.?spec != oldObject.?spec
{{- end }}
{{- end }}

{{- define "pratique.clientConfig" -}}
service: {namespace: {{ .top.Release.Namespace }}, name: {{ include "pratique.fullname" .top }}, port: 443, path: {{ .path }}}
{{- if and (eq .top.Values.certificates.mode "existing") .top.Values.certificates.existing.caBundle }}
caBundle: {{ .top.Values.certificates.existing.caBundle | b64enc }}
{{- end }}
{{- end }}

{{- define "pratique.webhookMetadata" -}}
name: {{ include "pratique.fullname" . }}
labels:
  {{- include "pratique.labels" . | nindent 2 }}
{{- if eq .Values.certificates.mode "cert-manager" }}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "pratique.fullname" . }}
{{- end }}
{{- end }}

{{- define "pratique.webhooks" -}}
# Where the API server asks. This is there last and goes first: `verify.pratique.dev` refuses while nobody answers.
#
# The matchConditions keep away from the webhook, also while it is down, what cannot change an image: metadata,
# finalizers, scaling. All must hold for a call; each speaks of some kinds and lets the others through, so a kind that
# none of them names is always asked about. A condition that errors would refuse, so none can: `.?` reads what may be
# absent, and only on UPDATE is there an oldObject to read.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  {{- include "pratique.webhookMetadata" . | nindent 2 }}
webhooks:
  - name: verify.pratique.dev
    clientConfig:
      {{- include "pratique.clientConfig" (dict "top" . "path" "/verify") | nindent 6 }}
    admissionReviewVersions: [v1]
    sideEffects: NoneOnDryRun
    matchPolicy: Equivalent
    failurePolicy: Fail
    timeoutSeconds: {{ .Values.webhooks.timeoutSeconds.verify }}
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: NotIn
          values:
            {{- concat (list .Release.Namespace) .Values.bootstrapNamespaces | toYaml | nindent 12 }}
    rules:
      {{- include "pratique.rules" . | nindent 6 }}
    matchConditions:
      {{- include "pratique.conditions" . | nindent 6 }}
{{- if .Values.bootstrapNamespaces }}
  # What the cluster needs to come up: verified whenever the webhook is up, and open while it is down.
  - name: bootstrap.pratique.dev
    clientConfig:
      {{- include "pratique.clientConfig" (dict "top" . "path" "/bootstrap") | nindent 6 }}
    admissionReviewVersions: [v1]
    sideEffects: NoneOnDryRun
    matchPolicy: Equivalent
    failurePolicy: Ignore
    timeoutSeconds: {{ .Values.webhooks.timeoutSeconds.bootstrap }}
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: In
          values:
            {{- .Values.bootstrapNamespaces | toYaml | nindent 12 }}
    rules:
      {{- include "pratique.rules" . | nindent 6 }}
    matchConditions:
      {{- include "pratique.conditions" . | nindent 6 }}
{{- end }}
  # Refuses a policy that does not load. Only a convenience: the webhook keeps the last good one anyway.
  - name: policy.pratique.dev
    clientConfig:
      {{- include "pratique.clientConfig" (dict "top" . "path" "/policy") | nindent 6 }}
    admissionReviewVersions: [v1]
    sideEffects: NoneOnDryRun
    matchPolicy: Equivalent
    failurePolicy: Ignore
    timeoutSeconds: {{ .Values.webhooks.timeoutSeconds.policy }}
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: In
          values:
            - {{ .Release.Namespace }}
    rules:
      - apiGroups: [""]
        apiVersions: [v1]
        resources: [configmaps]
        operations: [CREATE, UPDATE]
        scope: Namespaced
    matchConditions:
      - name: policy
        expression: object.?metadata.?name.orValue('') == '{{ include "pratique.fullname" . }}-policy'
{{- if ne (include "pratique.pin" .) "off" }}
---
# Replaces tags by digests. It never refuses; security rests on the configuration above alone.
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  {{- include "pratique.webhookMetadata" . | nindent 2 }}
webhooks:
  - name: pin.pratique.dev
    clientConfig:
      {{- include "pratique.clientConfig" (dict "top" . "path" "/pin") | nindent 6 }}
    admissionReviewVersions: [v1]
    sideEffects: NoneOnDryRun
    matchPolicy: Equivalent
    failurePolicy: Ignore
    reinvocationPolicy: IfNeeded
    timeoutSeconds: {{ .Values.webhooks.timeoutSeconds.pin }}
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: NotIn
          values:
            - {{ .Release.Namespace }}
    rules:
      {{- ternary (include "pratique.rules" .) (include "pratique.podRules" .) (eq (include "pratique.pin" .) "all") | nindent 6 }}
    matchConditions:
      {{- ternary (include "pratique.conditions" .) (include "pratique.podConditions" .) (eq (include "pratique.pin" .) "all") | nindent 6 }}
{{- end }}
{{- end }}
