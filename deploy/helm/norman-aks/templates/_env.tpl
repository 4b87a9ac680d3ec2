{{- define "norman-aks.standaloneEnv" -}}
{{- if not (include "norman-aks.sqlite" .) -}}
# For requests to private clusters whose agent is connected to another replica.
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: NORMAN_AKS_INTERNAL_LISTEN
  value: 0.0.0.0:8445
- name: NORMAN_AKS_INTERNAL_ADDRESS
  value: $(POD_IP):8445
- name: NORMAN_AKS_DATABASE_URL_FILE
  value: /secrets/database-url
{{ else -}}
# SQLite needs a directory for temporary files, and no other directory is writable.
- name: SQLITE_TMPDIR
  value: /data
{{ end -}}
{{- if .Values.standalone.secret.name -}}
- name: NORMAN_AKS_ENCRYPTION_KEY_FILE
  value: /secrets/encryption.keys
{{ if .Values.standalone.secret.bootstrapToken -}}
- name: NORMAN_AKS_BOOTSTRAP_TOKEN_FILE
  value: /secrets/bootstrap-token
{{ end -}}
{{- end -}}
{{- with include "norman-aks.serverUrl" . -}}
- name: NORMAN_AKS_SERVER_URL
  value: {{ . | quote }}
{{ end -}}
{{- with .Values.standalone.corsOrigins -}}
- name: NORMAN_AKS_CORS_ORIGINS
  value: {{ join "," . | quote }}
{{ end -}}
{{- if .Values.standalone.tls.secretName -}}
- name: NORMAN_AKS_TLS_LISTEN
  value: 0.0.0.0:8443
- name: NORMAN_AKS_TLS_CERT
  value: /tls/tls.crt
- name: NORMAN_AKS_TLS_KEY
  value: /tls/tls.key
{{ end -}}
{{- end -}}

{{- define "norman-aks.rancherEnv" -}}
- name: NORMAN_AKS_RANCHER_URL
  value: {{ .Values.rancher.url | quote }}
- name: NORMAN_AKS_RANCHER_HOST
  value: {{ .Values.rancher.host | quote }}
- name: NORMAN_AKS_RANCHER_DECISION_SECONDS
  value: {{ .Values.rancher.decisionSeconds | int | quote }}
{{- if .Values.rancher.ca }}
- name: NORMAN_AKS_RANCHER_CA_FILE
  value: /rancher/ca.pem
{{- end }}
{{- with .Values.rancher.catalog.host }}
- name: NORMAN_AKS_CATALOG_HOST
  value: {{ . | quote }}
{{- end }}
{{- with .Values.rancher.caChecksum }}
- name: NORMAN_AKS_RANCHER_CA_CHECKSUM
  value: {{ . | quote }}
{{- end }}
{{- end -}}
