"""`python -m serving FLAGS`: flags into the environment, then the BentoML server in this process's place."""

import os
import sys

from serving import flags
from serving.launch import with_free_ports
from serving.ports import PortError
from serving.settings import SettingsError, from_values

SERVICE = "serving.service:SeqServe"


def main() -> None:
    try:
        line = flags.parse(sys.argv[1:])
        if line.asks is not None:
            print(flags.help_text() if line.asks == "help" else flags.version_text())
            return
        settings, warnings = with_free_ports(from_values(line.settings))
    except (SettingsError, PortError) as error:
        sys.exit(f"seqserve: {error}")
    for note in (*line.notes, *warnings):
        print(f"seqserve: {note}", file=sys.stderr, flush=True)
    os.environ.update(settings.environment())
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "1")
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", SERVICE])


if __name__ == "__main__":
    main()
