{{/* Refuses what cannot work, in words. */}}
{{- define "cxr-triage.checks" -}}
{{- $v := .Values -}}
{{- if eq $v.store.kind "files" -}}
{{- range $key := list "listen" "work" "workGpu" "sweep" "deliver" "reports" "web" -}}
{{- if gt (int (index $v $key).replicas) 1 -}}
{{- fail (printf "%s.replicas = %d: with store.kind = files there is one replica of each process, as its locks and renames need one file system on one node. More need store.kind = postgres+s3 (docs/how-to/kubernetes.md)" $key (int (index $v $key).replicas)) -}}
{{- end -}}
{{- end -}}
{{- if $v.autoscaling.keda.enabled -}}
{{- fail "autoscaling.keda.enabled: with store.kind = files there is one replica of each process. More need store.kind = postgres+s3" -}}
{{- end -}}
{{- else -}}
{{- if $v.persistence.existingClaim -}}
{{- fail "persistence.existingClaim: with store.kind = postgres+s3 each pod of web has a claim of its own, and no other process has one" -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.egress.store) -}}
{{- fail "networkPolicy.egress.store: name PostgreSQL and S3, else no process reaches its store" -}}
{{- end -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.egress.redis) -}}
{{- fail "networkPolicy.egress.redis: name Redis, else no process reaches the queue" -}}
{{- end -}}
{{- if and (eq (int $v.work.replicas) 0) (not (and $v.workGpu.enabled (gt (int $v.workGpu.replicas) 0))) -}}
{{- fail "work.replicas = 0 without workGpu.enabled: nothing would be scored" -}}
{{- end -}}
{{- with $v.autoscaling.keda -}}
{{- if .enabled -}}
{{- if not .serverAddress -}}{{- fail "autoscaling.keda.serverAddress: where Prometheus answers queries" -}}{{- end -}}
{{- if lt (int .maxReplicas) (int .minReplicas) -}}{{- fail "autoscaling.keda.maxReplicas is below minReplicas" -}}{{- end -}}
{{- if and (eq .target "work-gpu") (not $v.workGpu.enabled) -}}{{- fail "autoscaling.keda.target = work-gpu needs workGpu.enabled" -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "(?m)^([^#\n]*[\\s.{,])?(password|secret|access_key|secret_key|chat_url|quiet_chat_url)\\s*=" $v.settings -}}
{{- fail "settings: a secret does not belong into values, which end in a ConfigMap. Put it into a Secret, name that in secretFiles, and its file in settings: password_file, secret_file, access_key_file, secret_key_file, chat_url_file, quiet_chat_url_file" -}}
{{- end -}}
{{- if regexMatch "(?m)^\\s*redis\\.url\\s*=|^\\s*\\[redis\\][^\\[]*\n\\s*url\\s*=" $v.settings -}}
{{- fail "settings: redis.url and redis.passwordSecret of the values say where Redis is" -}}
{{- end -}}
{{- end -}}
