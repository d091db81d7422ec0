"""`ovsam`: what a shell starts. `commands/contents.py` lists the commands."""

from __future__ import annotations

from ovsam_pipeline.engines.supervisor import supervise
from ovsam_pipeline.terminal.app import run_app


def main() -> None:
    """Run the command line."""
    supervise(lambda: run_app(_run_command))


def _run_command() -> None:
    # Inside `run_app`: what goes wrong while the commands are imported is one sentence, too.
    from ovsam_pipeline.commands.contents import app

    app()


if __name__ == "__main__":
    main()
