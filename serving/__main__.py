"""`python -m serving FLAGS`: flags into the environment, then the BentoML server in this process's place."""

import os
import sys

from serving import flags, ports
from serving.settings import Settings, SettingsError, from_values

SERVICE = "serving.service:SeqServe"


def main() -> None:
    try:
        line = flags.parse(sys.argv[1:])
        if line.asks is not None:
            print(flags.help_text() if line.asks == "help" else flags.version_text())
            return
        settings = _with_free_ports(from_values(line.settings))
    except (SettingsError, ports.PortError) as error:
        sys.exit(f"seqserve: {error}")
    for note in line.notes:
        _warn(note)
    os.environ.update(settings.environment())
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "1")
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", SERVICE])


def _with_free_ports(settings: Settings) -> Settings:
    """Checks the port that BentoML binds, for it binds too late for a clear message; the service claims the others.

    Who starts this in TF Serving's place may not know of the two ports that TF Serving opens only when told: where
    such a server runs already, another one does without them.
    """
    found: dict[str, int] = {}
    if settings.http_port == 0:
        found["http_port"] = ports.free(settings.host)
    for name in ("http_port", "rest_api_port"):
        port = found.get(name, getattr(settings, name))
        if not port or (name == "rest_api_port" and name in settings.model_fields_set):
            continue
        try:
            ports.check(settings.host, port, name)
        except ports.PortError as error:
            if not settings.as_tensorflow_serving or name in settings.model_fields_set:
                raise
            found[name] = ports.free(settings.host) if name == "http_port" else 0
            _warn(f"{error}; " + (f"port {found[name]} instead" if found[name] else "no REST port"))
    return settings.model_copy(update=found)


def _warn(note: str) -> None:
    print(f"seqserve: {note}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
