"""The kinds of text a site's folder holds; each refuses what is not its kind with a sentence what to write instead.

A validator raises ValueError; its text becomes the `allowed` of a Problem.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_VERSION = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}")
_IMAGE = re.compile(r"[a-z0-9.-]+\.[a-z0-9.-]+(?::\d+)?(?:/[a-z0-9._-]+)+(?::[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})")
_REGISTRY = re.compile(rf"{_LABEL}(?:\.{_LABEL})+(?::\d+)?")
_REPOSITORY = re.compile(r"[a-z0-9.-]+(?::\d+)?(?:/[a-z0-9._-]+)*")


def is_ip(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_version(text: str) -> bool:
    """Whether the text is a version as upstream writes it, x.y.z."""
    return bool(_VERSION.fullmatch(text))


def _host_name(text: str) -> str:
    if is_ip(text):
        raise ValueError("a name, not an address")
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise ValueError(
            "a host name as RFC 1123 has it: lower-case letters, digits and hyphens, parts of at most 63 characters "
            "joined by dots, none of them beginning or ending with a hyphen"
        )
    return text


def _endpoint_name(text: str) -> str:
    if is_ip(text):
        raise ValueError(
            "a name, not an address: certificates and every node's kubeconfig carry it, and only a name can move to "
            "another control plane later, for instance k8s-api.example.org"
        )
    return _host_name(text)


def _server(text: str) -> str:
    return text if is_ip(text) else _host_name(text)


def _ipv4(text: str) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise ValueError("an IPv4 address such as 192.0.2.11; a name could mean another machine elsewhere") from None
    if address.is_unspecified or address.is_multicast:
        raise ValueError("the address of one machine, which the other nodes reach")
    return text


def _cidr(text: str) -> str:
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise ValueError("an IPv4 range such as 10.244.0.0/16") from None
    if "/" not in text:
        raise ValueError(f"a range with its prefix length, such as {text}/16")
    if str(network) != text:
        raise ValueError(f"a range that begins with its own first address; {network} is meant, perhaps")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() or c in "\"'`$" for c in text):
        raise ValueError("a URL that begins with http:// or https:// and names a host, without spaces or quotes")
    return text


def _version(text: str) -> str:
    if _VERSION.fullmatch(text):
        return text
    if _VERSION.fullmatch(text[1:]) and text[0] in "vV":
        raise ValueError(f"without the leading v: {text[1:]}")
    raise ValueError("the upstream version as x.y.z, such as 1.36.3, without a package's revision such as -1.1")


def _fingerprint(text: str) -> str:
    digits = re.sub(r"\s+", "", text).upper()
    if re.fullmatch(r"[0-9A-F]{40}", digits):
        return digits
    raise ValueError(
        f"the key's whole fingerprint, 40 hexadecimal digits, not {len(digits)} characters; a short key id can be "
        "forged. `gpg --show-keys --with-fingerprint FILE` prints it"
    )


def _sha256(text: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return text
    raise ValueError("64 lower-case hexadecimal digits, as sha256sum prints them")


def _optional_sha256(text: str) -> str:
    return _sha256(text) if text else text


def _quantity(text: str) -> str:
    if text and not re.fullmatch(r"[1-9]\d*(?:[KMGTPE]i?)?", text):
        raise ValueError("an amount of bytes as Kubernetes writes it, such as 50Gi")
    return text


def _duration(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[hdwy]", text):
        raise ValueError("a number of hours, days, weeks or years as Prometheus writes it, such as 10d")
    return text


def _path_below(folder: str, *suffixes: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        ending = text.endswith(suffixes) if suffixes else True
        if not text.startswith(folder) or not ending or not re.fullmatch(r"/[\w./-]*", text) or ".." in text:
            endings = f" that ends in {' or '.join(suffixes)}" if suffixes else ""
            raise ValueError(f"an absolute path under {folder}{endings}, without spaces")
        return text

    return checked


def _image(text: str) -> str:
    if _IMAGE.fullmatch(text):
        return text
    raise ValueError("an image with its registry and tag, such as docker.io/library/busybox:1.37.0")


def _registry(text: str) -> str:
    if _REGISTRY.fullmatch(text):
        return text
    raise ValueError("a registry's host without scheme or path, such as registry.k8s.io")


def _repository(text: str) -> str:
    if _REPOSITORY.fullmatch(text) and "." in text.split("/")[0]:
        return text
    raise ValueError("a registry's host and perhaps a path, without a scheme, such as registry.k8s.io")


def _preflight(text: str) -> str:
    if text.lower() == "all":
        raise ValueError("each check by its name; all would hide what nobody thought of")
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", text):
        raise ValueError("the name of a check as kubeadm prints it, such as SystemVerification")
    return text


def _login(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z_][\w.-]*\$?", text):
        raise ValueError("a login name: letters, digits, dots, hyphens and underscores")
    return text


def _gateway(text: str) -> str:
    if re.fullmatch(r"(?:[\w.-]+@)?[A-Za-z0-9.-]+(?::\d+)?", text):
        return text
    raise ValueError("[user@]host[:port]")


def _word(text: str) -> str:
    if not text or any(c.isspace() or c in "\"'`$\\" for c in text):
        raise ValueError("one word without spaces or quotes")
    return text


HostName = Annotated[str, AfterValidator(_host_name)]
EndpointName = Annotated[str, AfterValidator(_endpoint_name)]
Server = Annotated[str, AfterValidator(_server)]
Ipv4 = Annotated[str, AfterValidator(_ipv4)]
Cidr = Annotated[str, AfterValidator(_cidr)]
Url = Annotated[str, AfterValidator(_url)]
Version = Annotated[str, AfterValidator(_version)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
OptionalSha256 = Annotated[str, AfterValidator(_optional_sha256)]
Quantity = Annotated[str, AfterValidator(_quantity)]
Duration = Annotated[str, AfterValidator(_duration)]
Keyring = Annotated[str, AfterValidator(_path_below("/", ".asc", ".gpg"))]
ListFile = Annotated[str, AfterValidator(_path_below("/etc/apt/sources.list.d/", ".list"))]
Exported = Annotated[str, AfterValidator(_path_below("/"))]
Image = Annotated[str, AfterValidator(_image)]
Registry = Annotated[str, AfterValidator(_registry)]
Repository = Annotated[str, AfterValidator(_repository)]
Preflight = Annotated[str, AfterValidator(_preflight)]
Login = Annotated[str, AfterValidator(_login)]
Gateway = Annotated[str, AfterValidator(_gateway)]
Word = Annotated[str, AfterValidator(_word)]
