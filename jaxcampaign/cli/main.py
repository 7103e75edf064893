"""Parsing, dispatch and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any

import tyro

from jaxcampaign import __version__
from jaxcampaign.cli.jobs import run_billboards, run_demo, run_synth, run_verify
from jaxcampaign.cli.options import Billboards, Demo, Synth, Verify, with_config
from jaxcampaign.errors import InputError

EXIT_BAD_INPUT = 2

_Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Billboards, tyro.conf.subcommand("billboards")]
    | Annotated[Synth, tyro.conf.subcommand("synth")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 done, 2 bad input, 3 infeasible, 4 feasible but a limit was hit; `verify`: 1 if a claim does
    not hold.
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
            case Demo():
                return run_demo(command)
            case Verify():
                return run_verify(command)
            case _:
                return run_synth(command)
    except InputError as error:
        print(f"jaxcampaign: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT


def _parsed(args: list[str]) -> Any:
    style = (
        tyro.conf.FlagCreatePairsOff,  # --json alone, no --no-json beside it
        tyro.conf.OmitArgPrefixes,  # `synth city --seed`, not `--world.seed`
        tyro.conf.OmitSubcommandPrefixes,
    )
    config = with_config(args) if args[:1] == ["billboards"] else {}
    if not config:
        return tyro.cli(
            _Command, args=args, prog="jaxcampaign", description=_DESCRIPTION, config=style
        )
    values = {f.name: config.get(f.name, f.default) for f in fields(Billboards)}
    if "out" not in config:
        values["out"] = tyro.MISSING
    return tyro.cli(
        Billboards,
        args=args[1:],
        prog="jaxcampaign billboards",
        default=Billboards(**values),
        config=style,
    )


_DESCRIPTION = "Certified billboard and influencer campaign plans on GPU or CPU arrays."
