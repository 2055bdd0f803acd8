"""What is asked about a release: one script for the first control plane, whose answer is marked lines."""

from __future__ import annotations

import json
import shlex
from typing import Any

from pic4ser_lib.operations.charts.helm import PATH
from pic4ser_lib.operations.kubectl import PATIENT
from pic4ser_lib.operations.packed import pack

INNER = r"""for inner in $(find . -path '*/charts/*.tgz'); do tar -xzf "$inner" -C "$(dirname "$inner")"; done"""
"""Unpacks the charts inside a chart, in whose parent folder it runs."""

# The chart is fetched only when the release is not all there, into a folder of its own: a question leaves no cache.
_SCRIPT = r"""
export HOME=/root KUBECONFIG=/etc/kubernetes/admin.conf LC_ALL=C
[ -x %HELM% ] || { echo "@absent: no helm"; exit 0; }
[ -e "$KUBECONFIG" ] || { echo "@absent: no cluster"; exit 0; }
t=$(mktemp -d); trap 'rm -rf "$t"' EXIT
kubectl="kubectl %PATIENT% -n %NAMESPACE%"
%HELM% list -n %NAMESPACE% -o json >"$t/list" || exit 1
%HELM% get all %RELEASE% -n %NAMESPACE% --template '%ALL%' >"$t/all" 2>/dev/null &
%HELM% get values %RELEASE% -n %NAMESPACE% -o json >"$t/values" 2>/dev/null &
$kubectl get deployments,daemonsets,statefulsets -l app.kubernetes.io/managed-by=Helm -o json >"$t/workloads" &
$kubectl get pods -o json >"$t/pods" &
$kubectl get events --field-selector type=Warning -o json >"$t/events" &
wait
about=$(sed -n 1p "$t/all")
sed -n '/^@@@notes$/,/^@@@manifest$/p' "$t/all" | sed '1d;$d' >"$t/notes"
sed -n '/^@@@manifest$/,$p' "$t/all" | sed 1d >"$t/manifest"
: >"$t/gone"
if [ -s "$t/manifest" ]; then
  echo "{contexts: [{name: here, context: {$(%CONTEXT%), namespace: %NAMESPACE%}}], current-context: here}" >"$t/here"
  KUBECONFIG="$t/here:$KUBECONFIG" kubectl %PATIENT% get -f "$t/manifest" -o name 2>&1 >/dev/null |
    sed -n '%GONE%' >"$t/gone"
fi
: >"$t/history"
[[ $about != *pending* ]] || %HELM% history %RELEASE% -n %NAMESPACE% --max 20 -o json >"$t/history"
cat "$t/gone"
echo "@about: $about"
echo "@description: $(sed -n 2p "$t/all")"
for part in list values history notes workloads pods events; do
  echo "@$part: $(%PACKED%)"
done
! pgrep -x helm >/dev/null || echo "@busy: yes"
$kubectl get pods -o go-template='%CRASHED%' 2>/dev/null | sort -u | head -n 5 | while read -r pod container; do
  echo "@log $pod: $($kubectl logs "$pod" -c "$container" --previous --tail=1 2>/dev/null | head -c 400)"
done
if [ "$about" = '%CHART%|%VERSION%|deployed' ] && [ "$(cat "$t/values")" = %VALUES% ] && [ ! -s "$t/gone" ]; then
  exit 0
fi
export HELM_CACHE_HOME="$t/cache" HELM_REPOSITORY_CONFIG=/dev/null
if ! %HELM% pull %CHART% --repo %REPOSITORY% --version %VERSION% --untar --untardir "$t/chart" >"$t/said" 2>&1; then
  echo "@failed: $(tr '\n' ' ' <"$t/said")"; exit 0
fi
cd "$t/chart" || exit 1
%INNER%
find . -type f | grep -E '^\./[^/]+(/charts/[^/]+)*/(values|Chart)\.yaml$' | while read -r f; do
  echo "@file $f: $(%FILE%)"
done
find . -type d -name crds | grep -E '^\./[^/]+(/charts/[^/]+)*/crds$' | sort | sed 's/.*/@definitions &: yes/'
"""
_ALL = (
    "{{.Release.Chart.Metadata.Name}}|{{.Release.Chart.Metadata.Version}}|{{.Release.Info.Status}}\n"
    "{{.Release.Info.Description}}\n@@@notes\n{{.Release.Info.Notes}}\n@@@manifest\n{{.Release.Manifest}}"
)
# A namespace by option would be one that each object must be in, and charts have objects in kube-system too; that of a
# context is for those that name none.
_CONTEXT = (
    "kubectl config view --minify -o jsonpath="
    "'cluster: {.contexts[0].context.cluster}, user: {.contexts[0].context.user}'"
)
# What kubectl says of an object that is not there; if its kind is not either, with and without a cache of the kinds.
_GONE = r"""
s/^Error from server (NotFound): \(.*\) not found$/@gone \1: yes/p
s/^Error from server (NotFound): the server could not find .* (get \(.*\) \(.*\))$/@gone \1 "\2": yes/p
s/^.*resource mapping not found .* no matches for \(kind ".*"\) in version ".*"$/@gone \1: yes/p
"""
_CRASHED = (
    "{{range .items}}{{$pod := .metadata.name}}{{range .status.containerStatuses}}{{if .state.waiting}}"
    '{{if eq .state.waiting.reason "CrashLoopBackOff"}}{{$pod}} {{.name}}{{"\\n"}}{{end}}{{end}}{{end}}{{end}}'
)


def script(*, release: str, namespace: str, chart: str, version: str, repository: str, values: dict[str, Any]) -> str:
    """The question. `values` are compared there as text, which decides only whether the chart is looked at."""
    words = {
        "ALL": _ALL,
        "CONTEXT": _CONTEXT,
        "GONE": _GONE,
        "INNER": INNER,
        "CRASHED": _CRASHED,
        "PACKED": pack('cat "$t/$part"'),
        "FILE": pack('cat "$f"'),
        "HELM": PATH,
        "PATIENT": PATIENT,
        "NAMESPACE": shlex.quote(namespace),
        "RELEASE": shlex.quote(release),
        "REPOSITORY": shlex.quote(repository),
        "CHART": shlex.quote(chart),
        "VERSION": version,
        "VALUES": shlex.quote(_as_helm_prints(values)),
    }
    text = _SCRIPT
    for word, value in words.items():
        text = text.replace(f"%{word}%", value)
    return text


def _as_helm_prints(values: dict[str, Any]) -> str:
    """JSON as Go writes it: sorted, without spaces, and with HTML's characters escaped."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
