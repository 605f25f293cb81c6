{{- define "watershed.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "watershed.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "watershed.labels" -}}
{{ include "watershed.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "watershed.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The name that people use outside; the Service's own where there is no ingress, so that callers in the cluster are let in. */}}
{{- define "watershed.origin" -}}
{{- if .Values.settings.WATERSHED_HTTP_ORIGIN -}}
{{- .Values.settings.WATERSHED_HTTP_ORIGIN -}}
{{- else if .Values.ingress.enabled -}}
{{- printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecret "")) .Values.ingress.host -}}
{{- else -}}
{{- printf "http://%s:8080" (include "watershed.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* What the chart decides, then the settings, then the secrets, by name and never by value. */}}
{{- define "watershed.environment" -}}
- name: HOME
  value: /tmp
- name: WATERSHED_DATA_DIR
  value: /data
- name: WATERSHED_HTTP_HOST
  value: 0.0.0.0
- name: WATERSHED_HTTP_PORT
  value: "8080"
- name: WATERSHED_PGWIRE_PORT
  value: "5439"
- name: WATERSHED_METRICS_PORT
  value: "9464"
- name: WATERSHED_HTTP_ORIGIN
  value: {{ include "watershed.origin" . | quote }}
{{- if and (eq .Values.mode "split") (not .Values.settings.WATERSHED_SQL_URL) }}
# Reports and alerts ask the doors, which are other pods; the doors know themselves by this name too.
- name: WATERSHED_SQL_URL
  value: {{ printf "http://%s:8080" (include "watershed.fullname" .) | quote }}
{{- end }}
{{- range $name, $value := omit .Values.settings "WATERSHED_HTTP_ORIGIN" }}
- name: {{ $name }}
  value: {{ if kindIs "float64" $value }}{{ $value | int64 | toString | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- range .Values.secrets.keys }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.secrets.existing }}
      key: {{ . }}
{{- end }}
{{- end -}}

{{/* Of every pod: no root, nothing written to the image, no token of the cluster. */}}
{{- define "watershed.podSecurity" -}}
serviceAccountName: {{ .Values.serviceAccount.existing | default (include "watershed.fullname" .) }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "watershed.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "watershed.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}
