{{- define "norman-aks.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Short enough for the longest suffix, `-rancher`, in a name of 63 characters. */ -}}
{{- define "norman-aks.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" -}}
{{- else if contains (include "norman-aks.name" .) .Release.Name -}}
{{- .Release.Name | trunc 54 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "norman-aks.name" .) | trunc 54 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "norman-aks.selectorLabels" -}}
app.kubernetes.io/name: {{ include "norman-aks.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "norman-aks.labels" -}}
{{ include "norman-aks.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Not the selector's labels: the pod of the chart test is no server. */ -}}
{{- define "norman-aks.testLabels" -}}
app.kubernetes.io/name: {{ include "norman-aks.name" . | trunc 58 }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "norman-aks.image" -}}
{{- $repository := required "image.repository is not set; set it to the registry and name of your image" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "norman-aks.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "norman-aks.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* "true" or empty, as templates return strings. */ -}}
{{- define "norman-aks.besideRancher" -}}
{{- if eq .Values.mode "besideRancher" }}true{{ end -}}
{{- end -}}

{{- define "norman-aks.sqlite" -}}
{{- if and (eq .Values.mode "standalone") (eq .Values.standalone.database.kind "sqlite") }}true{{ end -}}
{{- end -}}

{{- define "norman-aks.tls" -}}
{{- if and (eq .Values.mode "standalone") .Values.standalone.tls.secretName }}true{{ end -}}
{{- end -}}

{{- define "norman-aks.replicas" -}}
{{- $single := or (include "norman-aks.sqlite" .) (and (include "norman-aks.besideRancher" .) .Values.rancher.sandbox) -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{- ternary 1 2 (not (empty $single)) -}}
{{- else -}}
{{- int .Values.replicas -}}
{{- end -}}
{{- end -}}

{{- define "norman-aks.serverUrl" -}}
{{- if .Values.standalone.serverUrl -}}
{{- .Values.standalone.serverUrl -}}
{{- else if .Values.exposure.host -}}
{{- printf "https://%s" .Values.exposure.host -}}
{{- end -}}
{{- end -}}

{{- define "norman-aks.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "norman-aks.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /*
The paths that Rancher's dashboard calls. Each is exact: `/meta/aks` as a prefix would not match them, because prefixes
match whole path elements. Every other path stays with Rancher.
*/ -}}
{{- define "norman-aks.rancherPaths" -}}
- /meta/aksCheckCredentials
- /meta/aksClusters
- /meta/aksLocations
- /meta/aksRegions
- /meta/aksUpgrades
- /meta/aksVersions
- /meta/aksVirtualNetworks
- /meta/aksVMSizes
- /meta/aksVMSizesV2
{{- end -}}

{{- /* What the schema cannot say: values that need each other. Fails with the value and the remedy. */ -}}
{{- define "norman-aks.validate" -}}
{{- $exposure := .Values.exposure -}}
{{- $replicas := include "norman-aks.replicas" . | int -}}
{{- if include "norman-aks.besideRancher" . -}}
{{- if not .Values.rancher.host }}{{ fail "rancher.host is not set; set it to the host name of Rancher, as in its Ingress" }}{{ end -}}
{{- if and .Values.rancher.ca .Values.rancher.caChecksum }}{{ fail "rancher.ca and rancher.caChecksum are both set; set one of them" }}{{ end -}}
{{- if not .Values.trustedProxies }}{{ fail "trustedProxies is empty; set it to the networks of the pods of the ingress controller or gateway, which `kubectl get pods --all-namespaces --output wide` shows" }}{{ end -}}
{{- if eq $exposure.type "loadBalancer" }}{{ fail "exposure.type loadBalancer is not supported in mode besideRancher; use ingress, gateway or none" }}{{ end -}}
{{- if or $exposure.host $exposure.ingress.tlsSecretName }}{{ fail "exposure.host and exposure.ingress.tlsSecretName are not supported in mode besideRancher; the host is rancher.host, and Rancher's Ingress has the certificate" }}{{ end -}}
{{- range $name, $_ := $exposure.ingress.annotations }}
{{- if hasPrefix "cert-manager.io/" $name }}{{ fail (printf "exposure.ingress.annotations has %s, which would request a second certificate for the host of Rancher; remove it" $name) }}{{ end -}}
{{- if regexMatch "/(use-regex|rewrite-target)$" $name }}{{ fail (printf "exposure.ingress.annotations has %s, which would change all paths of the host of Rancher; remove it" $name) }}{{ end -}}
{{- end -}}
{{- if and .Values.rancher.sandbox (gt $replicas 1) }}{{ fail "replicas is more than 1 with rancher.sandbox; each replica has a built-in Azure of its own, so use 1" }}{{ end -}}
{{- else -}}
{{- if .Values.rancher.sandbox }}{{ fail "rancher.sandbox is only supported in mode besideRancher" }}{{ end -}}
{{- if and (not (include "norman-aks.sqlite" .)) (not .Values.standalone.secret.name) }}{{ fail "standalone.secret.name is not set; create a Secret with the keys database-url, encryption.keys and bootstrap-token (see README.md of the chart), or use standalone.database.kind sqlite" }}{{ end -}}
{{- if and (include "norman-aks.sqlite" .) (gt $replicas 1) }}{{ fail "replicas is more than 1 with SQLite; use 1, or standalone.database.kind postgresql" }}{{ end -}}
{{- if and (has $exposure.type (list "ingress" "gateway")) (not $exposure.host) }}{{ fail "exposure.host is not set; set it to the host name for clients, or set exposure.type to none" }}{{ end -}}
{{- if and (eq $exposure.type "gateway") (not $exposure.gateway.parentRefs) }}{{ fail "exposure.gateway.parentRefs is empty; set it to your Gateway" }}{{ end -}}
{{- if and (eq $exposure.type "loadBalancer") (not .Values.standalone.tls.secretName) }}{{ fail "standalone.tls.secretName is not set; requests contain tokens, so exposure.type loadBalancer needs TLS" }}{{ end -}}
{{- end -}}
{{- end -}}
