"""Synthetic worlds, and the demonstration on them."""

from __future__ import annotations

from dataclasses import fields

import pandas as pd

from jaxcampaign.cli.jobs import STATUS_CODE, run_billboards, run_campaign, run_verify
from jaxcampaign.cli.machine import check_folder, check_seed, stage, use_device
from jaxcampaign.cli.options import (
    Billboards,
    Campaigns,
    Demo,
    Synth,
    SynthCampaign,
    SynthCity,
    Verify,
)
from jaxcampaign.effectiveness import enumerate_options
from jaxcampaign.influence import build_influence, experiment_demands
from jaxcampaign.tables import synth_campaign, synth_city, write_table

_DEMO_SECONDS = 20.0
_CAMPAIGN = "campaign"


def run_demo(options: Demo) -> int:
    """The whole way in a synthetic city and campaign: tables, plans, reports, verification."""
    check_seed(options.seed)
    check_folder(options.out)
    use_device(options.device)
    codes = [_demo_city(options), _demo_campaign(options)]
    for folder in (options.out, options.out / _CAMPAIGN):
        print()
        codes.append(run_verify(Verify(folder)))
    # That the time is up is no fault here: the demo shows what fits into it.
    return max(0 if code == STATUS_CODE["limit"] else code for code in codes)


def _demo_city(options: Demo) -> int:
    tables = options.out / "inputs"
    city = SynthCity(out=tables, seed=options.seed)
    with stage("make a synthetic city", {}, ""):
        _write_city(city)
    return run_billboards(
        Billboards(
            out=options.out,
            checkins=tables / "checkins.parquet",
            billboards=tables / "billboards.parquet",
            audiences=tables / "audiences.parquet",
            demands=tables / "demands.parquet",
            radius_m=city.radius_m,
            slot_minutes=city.slot_minutes,
            clock="local",
            seed=options.seed,
            device=options.device,
            time_limit=_DEMO_SECONDS,
        ),
        title="A synthetic city",
    )


def _demo_campaign(options: Demo) -> int:
    """A small campaign, predicted by the quick model, so that it takes seconds."""
    folder = options.out / _CAMPAIGN
    sizes = SynthCampaign(
        out=folder / "inputs",
        n_influencers=60,
        n_events=40,
        n_future_events=5,
        n_history=2_000,
        seed=options.seed,
    )
    print()
    with stage("make a synthetic campaign", {}, ""):
        as_of = _write_campaign(sizes)[1]
    return run_campaign(
        Campaigns(
            out=folder,
            data=str(folder / "inputs"),
            budget=20_000.0,
            risk_aversion=0.5,
            constraints=(
                {"kind": "at_most", "k": 2, "per": ["influencer_id"]},
                {"kind": "at_least", "k": 5, "per": ["event_id"]},
                {"kind": "max_share", "share": 0.4, "per": ["genre"], "of": "spend"},
            ),
            target="engagement",
            model="quick",
            until=as_of.isoformat(),
            seed=options.seed,
            device=options.device,
            time_limit=_DEMO_SECONDS,
        ),
        title="A synthetic campaign",
    )


def run_synth(options: Synth) -> int:
    """Write the tables of a synthetic world."""
    world = options.world
    check_seed(world.seed)
    check_folder(world.out)
    counts = _write_city(world) if isinstance(world, SynthCity) else _write_campaign(world)[0]
    for name, rows in counts.items():
        print(f"{world.out / f'{name}.{world.format}'}: {rows:,} rows")
    return 0


def _write_city(options: SynthCity) -> dict[str, int]:
    city = synth_city(
        n_users=options.n_users,
        n_boards=options.n_boards,
        n_products=options.n_products,
        days=options.days,
        checkins_per_user=options.checkins_per_user,
        seed=options.seed,
    )
    influence = build_influence(
        city.checkins,
        city.billboards,
        radius_m=options.radius_m,
        slot_minutes=options.slot_minutes,
        clock="local",
    )
    products = sorted(city.audiences["product_id"].unique())
    demand = experiment_demands(
        influence.singleton,
        alpha=options.demand_ratio,
        beta=options.demand_ratio / len(products),
        seed=options.seed,
    )
    demands = pd.DataFrame({"product_id": products, "demand": demand}).astype({"product_id": "str"})
    tables = city._asdict() | {"demands": demands}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, options.out / f"{name}.{options.format}")
    return {name: len(table) for name, table in tables.items()}


def _write_campaign(options: SynthCampaign) -> tuple[dict[str, int], pd.Timestamp]:
    """Rows of each table, and the planning cut-off."""
    sizes = {f.name: getattr(options, f.name) for f in fields(options)}
    del sizes["out"], sizes["format"]
    campaign = synth_campaign(**sizes)
    choices = enumerate_options(campaign.database(), as_of=campaign.as_of, attributes=())
    truth = pd.concat([choices, campaign.truth.of(choices, campaign.as_of)], axis=1)
    tables = campaign.tables | {
        "truth/history": campaign.truth.history,
        "truth/options": truth.assign(planned_at=campaign.as_of),
    }
    (options.out / "truth").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, options.out / f"{name}.{options.format}")
    return {name: len(table) for name, table in tables.items()}, campaign.as_of
