"""A chart's custom resource definitions, applied before its release.

helm installs those of a chart's crds/ folders once and never touches them again (Helm's documentation, "Custom Resource
Definitions"): the next version's operator then asks for fields that they lack. And it goes on as soon as they are
established, all objects of a kind at once, while the API server has yet to learn each of the kinds: a slow one does not
answer within the 34 s that it gives a write.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pic4ser_lib.operations.charts.helm import ENVIRONMENT, PATH
from pic4ser_lib.operations.charts.look import INNER
from pic4ser_lib.operations.kubectl import KUBECTL

# Asking for objects of a kind makes the API server learn it, one after the other and before anybody is in a hurry.
_SERVED = (
    '{{define "paths"}}{{$group := .spec.group}}{{$plural := .spec.names.plural}}{{range .spec.versions}}{{if .served}}'
    '/apis/{{$group}}/{{.name}}/{{$plural}}?limit=1{{"\\n"}}{{end}}{{end}}{{end}}'
    '{{if .items}}{{range .items}}{{template "paths" .}}{{end}}{{else}}{{template "paths" .}}{{end}}'
)


def applied(folders: Sequence[str], *, chart: str, version: str, repository: str, within: float) -> str:
    """The command that applies the definitions in these folders of the chart and waits until each kind is served.

    `within` are the seconds that one kind may take. For a root shell on a control plane.
    """
    chosen = " ".join(f"-f {shlex.quote(folder)}" for folder in folders)
    pulled = shlex.join([PATH, "pull", chart, "--repo", repository, "--version", version])
    return (
        "(t=$(mktemp -d) && trap 'rm -rf \"$t\"' EXIT && "
        f'export {ENVIRONMENT} HELM_REPOSITORY_CONFIG=/dev/null HELM_CACHE_HOME="$t/cache" && '
        f'{pulled} --untar --untardir "$t/chart" && cd "$t/chart" && {INNER} && '
        f"{KUBECTL} apply --server-side --force-conflicts {chosen} && "
        f"{KUBECTL} wait --for=condition=Established --timeout={within:.0f}s {chosen} && "
        f"paths=$({KUBECTL} get {chosen} -o go-template={shlex.quote(_SERVED)}) && for path in $paths; do "
        f'SECONDS=0; until said=$({KUBECTL} get --raw "$path" 2>&1 >/dev/null); do '
        f'if [ "$SECONDS" -ge {within:.0f} ]; then echo "$path is not served: $said" >&2; exit 1; fi; sleep 2; '
        "done; done)"
    )
