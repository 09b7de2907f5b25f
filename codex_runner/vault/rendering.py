"""A setup's steps as text: a shell script for `vault` (or `bao`), the policies alone, or Terraform."""

from __future__ import annotations

import json
import re
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from codex_runner.shell.script import shell_script
from codex_runner.vault.setup import AuthMount, KvMount, Policy, Role, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_BACKENDS: Final = {"jwt": "vault_jwt_auth_backend", "approle": "vault_auth_backend"}


class SetupFormat(StrEnum):
    """The formats of `render`."""

    SH = "sh"
    HCL = "hcl"
    TERRAFORM = "terraform"


def render(steps: Sequence[Step], format_: SetupFormat) -> str:
    """Return the steps as text in this format."""
    match format_:
        case SetupFormat.SH:
            looks = "".join(_look(step) for step in steps if isinstance(step, KvMount | AuthMount))
            return "\n".join([shell_script("codex_runner.vault", "setup.sh"), looks, *map(_as_shell, steps)])
        case SetupFormat.HCL:
            return "\n".join(f"# {step.name}\n{step.text}" for step in steps if isinstance(step, Policy))
        case SetupFormat.TERRAFORM:
            return "\n".join(map(_as_terraform, steps))


def _look(step: KvMount | AuthMount) -> str:
    """Return the lines that end the script if a mount exists with another type: the checks of `provision`."""
    path = shlex.quote(step.path)
    match step:
        case KvMount():
            other = shlex.quote(f"The mount {step.path} is not KV version 2: choose another mount with --mount.")
            return (
                f"field type sys/mounts/{path}\n"
                f'if [ -n "$there" ]; then\n  [ "$found" = kv ] || refuse {other}\n'
                f"  field options sys/mounts/{path}\n"
                f"  case $found in *version:2*) ;; *) refuse {other} ;; esac\nfi\n"
            )
        case AuthMount():
            choose = f"choose another mount with --{step.type}-mount"
            other = shlex.quote(f"auth/{step.path} is not a {step.type} login: {choose}.")
            lines = (
                f'configured=""\nfield type sys/auth/{path}\n'
                f'case $found in "" | {step.type}) ;; *) refuse {other} ;; esac\n'
            )
            if not step.config:
                return lines
            issuer = shlex.quote(f"auth/{step.path} trusts another issuer: {choose}, or its roles would break.")
            lines += 'if [ -n "$there" ]; then\n'
            for name, value in step.config.items():
                lines += (
                    f"  field {name} auth/{path}/config\n"
                    "  configured=$there\n"
                    f'  [ -z "$configured" ] || [ "$found" = {shlex.quote(str(value))} ] || refuse {issuer}\n'
                )
            return f"{lines}fi\n"


def _as_shell(step: Step) -> str:
    match step:
        case KvMount():
            path = shlex.quote(step.path)
            return (
                f"field type sys/mounts/{path}\n"
                f'[ -n "$there" ] || "$VAULT" secrets enable -path={path} -version=2 kv\n'
                f"tries=5 # a new mount takes a moment\n"
                f'until "$VAULT" write {path}/config cas_required=true; do\n'
                f'  tries=$((tries - 1))\n  [ "$tries" -gt 0 ] || exit 1\n  sleep 1\ndone\n'
            )
        case Policy():
            return f"\"$VAULT\" policy write {shlex.quote(step.name)} - <<'HCL'\n{step.text}HCL\n"
        case AuthMount():
            path = shlex.quote(step.path)
            lines = f'field type sys/auth/{path}\n[ -n "$there" ] || "$VAULT" auth enable -path={path} {step.type}\n'
            if step.config:
                body = json.dumps(dict(step.config), indent=2)
                lines += f'[ -n "$configured" ] || "$VAULT" write auth/{path}/config - <<\'JSON\'\n{body}\nJSON\n'
            return lines
        case Role():
            target = shlex.quote(f"auth/{step.mount}/role/{step.name}")
            return f"\"$VAULT\" write {target} - <<'JSON'\n{json.dumps(dict(step.body), indent=2)}\nJSON\n"


def _as_terraform(step: Step) -> str:
    match step:
        case KvMount():
            label = _label(step.path)
            mount = {"path": step.path, "type": "kv", "options": {"version": "2"}}
            return (
                _block(f'resource "vault_mount" "{label}"', mount)
                + f'\nresource "vault_kv_secret_backend_v2" "{label}" {{\n'
                f"  mount        = vault_mount.{label}.path\n  cas_required = true\n}}\n"
            )
        case Policy():
            return (
                f'resource "vault_policy" "{_label(step.name)}" {{\n  name   = {json.dumps(step.name)}\n'
                f"  policy = <<-HCL\n{step.text}  HCL\n}}\n"
            )
        case AuthMount():
            kind = _BACKENDS[step.type]
            body = {"path": step.path, **({} if step.type == "jwt" else {"type": step.type}), **step.config}
            return _block(f'resource "{kind}" "{_label(step.path)}"', body)
        case Role():
            body = {"backend": _Reference(f"{_BACKENDS[step.type]}.{_label(step.mount)}.path")}
            body |= {"role_name": step.name, **step.body}
            if "bound_claims" in body:  # the provider takes a list as text with commas
                body["bound_claims"] = {
                    name: ",".join(value) if isinstance(value, list) else value
                    for name, value in body["bound_claims"].items()
                }
            return _block(f'resource "vault_{step.type}_auth_backend_role" "{_label(step.name)}"', body)


def _block(head: str, body: Mapping[str, Any]) -> str:
    lines = [f"  {name} = {_hcl(value)}" for name, value in body.items()]
    return f"{head} {{\n" + "\n".join(lines) + "\n}\n"


class _Reference(str):
    """A Terraform expression, written without quotes."""

    __slots__ = ()


def _hcl(value: Any) -> str:
    if isinstance(value, _Reference):
        return value
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_hcl(part)}" for name, part in value.items()) + " }"
    return json.dumps(value)


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
