"""`python -m serving FLAGS`: flags into the environment, then the BentoML server in this process's place."""

import os
import sys

from serving import ports
from serving.settings import SettingsError, from_flags

SERVICE = "serving.service:SeqServe"


def main() -> None:
    try:
        settings = from_flags(sys.argv[1:])
        # The service claims the other two; BentoML binds this one too late for a clear message.
        ports.check(settings.host, settings.http_port, "http_port")
    except (SettingsError, ports.PortError) as error:
        sys.exit(f"seqserve: {error}")
    os.environ.update(settings.environment())
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "1")
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", SERVICE])


if __name__ == "__main__":
    main()
