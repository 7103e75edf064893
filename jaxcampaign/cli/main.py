"""Parsing, dispatch and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any

import tyro

from jaxcampaign import __version__
from jaxcampaign.cli.config import with_config
from jaxcampaign.cli.interruption import EXIT_STOPPED, Stopped
from jaxcampaign.cli.jobs import run_billboards, run_campaign, run_verify
from jaxcampaign.cli.options import Billboards, Campaigns, Demo, Synth, Verify
from jaxcampaign.cli.worlds import run_demo, run_synth
from jaxcampaign.errors import InputError

EXIT_BAD_INPUT = 2

_CONFIGURED: dict[str, type] = {"billboards": Billboards, "campaign": Campaigns}

_Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Billboards, tyro.conf.subcommand("billboards")]
    | Annotated[Campaigns, tyro.conf.subcommand("campaign")]
    | Annotated[Synth, tyro.conf.subcommand("synth")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 done, 2 bad input, 3 infeasible, 4 feasible but a limit was hit, 75 stopped by SIGTERM or
    Ctrl-C; `verify`: 1 if a claim does not hold.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if args == ["--version"]:
        print(__version__)
        return 0
    try:
        command = _parsed(args)
        match command:
            case Billboards():
                return run_billboards(command)
            case Campaigns():
                return run_campaign(command)
            case Demo():
                return run_demo(command)
            case Verify():
                return run_verify(command)
            case _:
                return run_synth(command)
    except Stopped as stopped:
        print(f"\njaxcampaign: {stopped}", file=sys.stderr)
        return EXIT_STOPPED
    except InputError as error:
        print(f"jaxcampaign: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT


def _parsed(args: list[str]) -> Any:
    style = (
        tyro.conf.FlagCreatePairsOff,  # --json alone, no --no-json beside it
        tyro.conf.OmitArgPrefixes,  # `synth city --seed`, not `--world.seed`
        tyro.conf.OmitSubcommandPrefixes,
    )
    name = args[0] if args else ""
    kind = _CONFIGURED.get(name)
    config = {} if kind is None else with_config(args, kind)
    if kind is None or not config:
        return tyro.cli(
            _Command, args=args, prog="jaxcampaign", description=_DESCRIPTION, config=style
        )
    values = {f.name: config.get(f.name, _default(f)) for f in fields(kind)}
    return tyro.cli(
        kind, args=args[1:], prog=f"jaxcampaign {name}", default=kind(**values), config=style
    )


def _default(field: Field[Any]) -> Any:
    return tyro.MISSING if field.default is MISSING else field.default


_DESCRIPTION = "Certified billboard and influencer campaign plans on GPU or CPU arrays."
