{{/* The pod of a process. root, component, of: its line of files/processes.yaml. */}}
{{- define "cxr-triage.pod" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $own := index $v .of.key -}}
{{- $cluster := ne $v.store.kind "files" -}}
metadata:
  labels:
    {{- include "cxr-triage.labels" . | nindent 4 }}
  annotations:
    # New settings start new pods.
    checksum/settings: {{ printf "%s %s" $v.settings (toYaml $v.redis) | sha256sum }}
spec:
  serviceAccountName: {{ include "cxr-triage.fullname" $root }}
  automountServiceAccountToken: false
  # A release named "triage" would bring variables like TRIAGE_WEB_PORT, which are settings.
  enableServiceLinks: false
  # Processes whose parent has died are reaped by the pod's first one, as compose's init does.
  shareProcessNamespace: true
  terminationGracePeriodSeconds: {{ add .of.grace .of.drain }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $v.image.pullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- if $cluster }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "cxr-triage.selector" . | nindent 10 }}
  {{- else }}
  # One volume that one node at a time can have: all pods go where the first one went.
  affinity:
    podAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "cxr-triage.selector" (dict "root" $root) | nindent 14 }}
  {{- end }}
  containers:
    - name: {{ .of.process }}
      image: {{ include "cxr-triage.image" ($own.image | default $v.image) }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: [{{ .of.process }}]
      env:
        {{- range $name, $value := $root.Files.Get "files/environment.yaml" | fromYaml }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
        - {name: TRIAGE_REDIS_URL, value: {{ $v.redis.url | quote }}}
        {{- if $v.redis.passwordSecret.name }}
        - {name: TRIAGE_REDIS_PASSWORD_FILE, value: /run/secrets/redis/{{ $v.redis.passwordSecret.key }}}
        {{- end }}
        {{- if $cluster }}
        - {name: TRIAGE_STORE_KIND, value: postgres+s3}
        # Where nothing can be written: a release without that store ends at the start. A spool in a pod's own folder would
        # be lost with the pod.
        - {name: TRIAGE_SPOOL_PATH, value: /srv/triage/no-spool-of-files}
        {{- end }}
        # Where the canary finds listen.
        - {name: TRIAGE_CANARY_HOST, value: {{ include "cxr-triage.fullname" $root }}-listen}
        {{- if eq .component "reports" }}
        - {name: TRIAGE_REPORTS_HOST, value: 0.0.0.0}
        - {name: TRIAGE_REPORTS_PORT, value: {{ $v.reports.port | quote }}}
        {{- end }}
      ports:
        - {name: http, containerPort: {{ .of.port }}}
        {{- if eq .component "listen" }}
        - {name: dicom, containerPort: 11112}
        {{- if $v.listen.tls }}
        - {name: dicom-tls, containerPort: 2762}
        {{- end }}
        {{- else if eq .component "reports" }}
        - {name: mllp, containerPort: {{ $v.reports.port }}}
        {{- end }}
      # Ready is who gets on with its work, as in compose; alive is who answers. What is not ready is left to people: a
      # restart does not bring Redis back.
      {{- $probe := dict "port" "http" "httpHeaders" (list (dict "name" "Host" "value" "localhost")) }}
      startupProbe:
        httpGet: {{ merge (dict "path" "/healthz") $probe | toYaml | nindent 10 }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: {{ div .of.start 5 }}
      livenessProbe:
        httpGet: {{ merge (dict "path" "/healthz") $probe | toYaml | nindent 10 }}
        periodSeconds: 30
        timeoutSeconds: 10
        failureThreshold: 4
      readinessProbe:
        httpGet: {{ merge (dict "path" "/readyz") $probe | toYaml | nindent 10 }}
        periodSeconds: 10
        timeoutSeconds: 10
        failureThreshold: 3
      resources:
        requests: {{ toYaml $own.resources.requests | nindent 10 }}
        limits:
          {{- toYaml $own.resources.limits | nindent 10 }}
          {{- with $own.gpus }}
          nvidia.com/gpu: {{ . }}
          {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: data, mountPath: /var/lib/triage}
        - {name: tmp, mountPath: /tmp}
        - {name: settings, mountPath: /etc/cxr-triage, readOnly: true}
        {{- if $v.redis.passwordSecret.name }}
        - {name: redis, mountPath: /run/secrets/redis, readOnly: true}
        {{- end }}
        {{- range $v.secretFiles }}
        - {name: secret-{{ .folder }}, mountPath: /run/secrets/{{ .folder }}, readOnly: true}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 256Mi}}
    - {name: settings, configMap: {name: {{ include "cxr-triage.fullname" $root }}}}
    {{- if not $cluster }}
    - {name: data, persistentVolumeClaim: {claimName: {{ include "cxr-triage.claim" $root }}}}
    {{- else if ne .component "web" }}
    - {name: data, emptyDir: {sizeLimit: {{ $v.persistence.scratch }}}}
    {{- end }}
    {{- with $v.redis.passwordSecret }}
    {{- if .name }}
    - {name: redis, secret: {secretName: {{ .name }}, defaultMode: 288}}
    {{- end }}
    {{- end }}
    {{- range $v.secretFiles }}
    - {name: secret-{{ .folder }}, secret: {secretName: {{ .secret }}, defaultMode: 288}}
    {{- end }}
{{- end -}}
