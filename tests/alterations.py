"""Plan folders to alter, and a catalogue of alterations that no verification may let pass."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.cli import main
from jaxcampaign.plans import BillboardInputs, load_billboards
from jaxcampaign.plans.billboards import Loaded
from jaxcampaign.problems import SlotProblem

PLAN_FILES = ("selection.csv", "certificate.json", "proof.npz", "run.json")
HASHED = PLAN_FILES[:3]


@dataclass(frozen=True)
class Case:
    """A plan folder and the folder of its input tables."""

    plan: Path
    inputs: Path

    def json(self, name: str) -> dict[str, Any]:
        return json.loads((self.plan / name).read_text("utf-8"))

    def edit_json(self, name: str, edit: Callable[[dict[str, Any]], Any]) -> None:
        record = self.json(name)
        edit(record)
        (self.plan / name).write_text(json.dumps(record))

    def edit_selection(self, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        path = self.plan / "selection.csv"
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
        edit(table).to_csv(path, index=False)

    def proof(self) -> dict[str, np.ndarray]:
        with np.load(self.plan / "proof.npz") as data:
            return {name: data[name].copy() for name in data.files}

    def edit_proof(self, edit: Callable[[dict[str, np.ndarray]], Any]) -> None:
        arrays = self.proof()
        edit(arrays)
        np.savez_compressed(self.plan / "proof.npz", **arrays)

    def edit_input(self, name: str, edit: Callable[[pd.DataFrame], Any]) -> None:
        path = self.inputs / f"{name}.parquet"
        table = pd.read_parquet(path)
        changed = edit(table)
        (table if changed is None else changed).to_parquet(path, index=False)

    def forge_digests(self) -> None:
        """Make run.json say that nothing was touched."""

        def edit(run: dict[str, Any]) -> None:
            run["sha256"] = {name: sha256(self.plan / name) for name in HASHED}
            run["input_sha256"] = {
                name: sha256(self.inputs / Path(path).name)
                for name, path in run["inputs"].items()
                if isinstance(path, str) and (self.inputs / Path(path).name).is_file()
            }

        self.edit_json("run.json", edit)

    def verify(self) -> int:
        return main(["verify", str(self.plan), "--inputs", str(self.inputs)])

    def copy(self, to: Path) -> Case:
        shutil.copytree(self.plan, to / "plan")
        shutil.copytree(self.inputs, to / "inputs")
        return Case(to / "plan", to / "inputs")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_KNOWN: dict[tuple[str, ...], Loaded] = {}


def loaded(inputs: BillboardInputs) -> Loaded:
    files = inputs.files()
    options = {name: value for name, value in inputs.to_record().items() if name not in files}
    key = (json.dumps(options), *(name + sha256(path) for name, path in files.items()))
    if key not in _KNOWN:
        _KNOWN[key] = load_billboards(inputs)
    return _KNOWN[key]


def problem_of(case: Case) -> SlotProblem:
    return loaded(BillboardInputs.from_record(case.json("run.json")["inputs"])).problem


Alteration = Callable[[Case], Any]


def _other_slot(case: Case) -> pd.DataFrame:
    """A row of selection.csv for a slot that was not chosen, true in every column."""
    influence = problem_of(case).influence
    table = influence.slots.assign(influence=influence.singleton)
    chosen = pd.read_csv(case.plan / "selection.csv")["slot_id"]
    return table[~table["slot_id"].isin(chosen)].nlargest(1, "cost").astype("str")


def _add_other_slot(case: Case, dropped: int) -> None:
    other = _other_slot(case)
    case.edit_selection(lambda t: pd.concat([t.iloc[dropped:], other])[t.columns])


def _selection(edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Alteration:
    return lambda case: case.edit_selection(edit)


def _field(column: str, change: Callable[[str], str]) -> Alteration:
    def edit(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[0, column] = change(table.loc[0, column])
        return table

    return _selection(edit)


def stated(**changes: Any) -> Alteration:
    """Values of certificate.json; a function changes the value that is there."""

    def edit(record: dict[str, Any]) -> None:
        for name, change in changes.items():
            record[name] = change(record[name]) if callable(change) else change

    return lambda case: case.edit_json("certificate.json", edit)


def _solver_bound_beyond(case: Case) -> None:
    """All in step, but no bound of a branch and bound can be better than a plan that exists."""
    record = case.json("certificate.json")
    share = 2.0 if record["sense"] == "min" else 0.5
    bound = share * record["value"]
    stated(solver_bound=bound, bound=bound, gap=abs(1 - share), bound_proof="branch_and_bound")(
        case
    )


def _product(name: str, change: Callable[[Any], Any]) -> Alteration:
    def edit(record: dict[str, Any]) -> None:
        record["per_product"][1][name] = change(record["per_product"][1][name])

    return lambda case: case.edit_json("certificate.json", edit)


def _run(edit: Callable[[dict[str, Any]], Any]) -> Alteration:
    return lambda case: case.edit_json("run.json", edit)


def _multiplier(name: str, change: Callable[[float], float]) -> Alteration:
    """The largest price of its kind, which is positive."""

    def edit(arrays: dict[str, np.ndarray]) -> None:
        i = int(np.argmax(arrays[name]))
        assert arrays[name][i] > 0
        arrays[name][i] = change(arrays[name][i])

    return lambda case: case.edit_proof(edit)


def _arrays(**changes: Callable[[np.ndarray], Any]) -> Alteration:
    def edit(arrays: dict[str, np.ndarray]) -> None:
        for name, change in changes.items():
            arrays[name] = change(arrays[name])

    return lambda case: case.edit_proof(edit)


def _last_cut_loses_a_slot(case: Case) -> None:
    def edit(arrays: dict[str, np.ndarray]) -> None:
        length = np.diff(arrays["cut_start"])
        cut = int(np.argmax(np.where(length > 0, arrays["cut"], 0)))
        assert length[cut] > 0
        end = arrays["cut_start"][cut + 1]
        arrays["cut_slot"] = np.delete(arrays["cut_slot"], end - 1)
        arrays["cut_start"][cut + 1 :] -= 1

    case.edit_proof(edit)


def _every_chosen_slot(case: Case, table: str, column: str, change: Callable) -> None:
    """Alter an input row of a board that the plan uses."""
    board = pd.read_csv(case.plan / "selection.csv")["board_id"].iloc[0]

    def edit(frame: pd.DataFrame) -> None:
        frame.loc[frame["board_id"] == board, column] = change(
            frame.loc[frame["board_id"] == board, column]
        )

    case.edit_input(table, edit)


def _move_a_checkin(case: Case) -> None:
    """The first check-in that a chosen slot could influence moves a kilometre away."""
    chosen = pd.read_csv(case.plan / "selection.csv")
    board = pd.read_parquet(case.inputs / "billboards.parquet").set_index("board_id")

    def edit(frame: pd.DataFrame) -> None:
        site = board.loc[chosen["board_id"].iloc[0]]
        north = (frame["lat"] - site["lat"]) * 111_195
        east = (frame["lon"] - site["lon"]) * 111_195 * np.cos(np.radians(site["lat"]))
        minute = frame["time"].dt.hour * 60
        seen = (np.hypot(north, east) < 95) & (minute == chosen["start_min"].iloc[0])
        frame.loc[seen[seen].index[0], "lat"] += 0.01

    case.edit_input("checkins", edit)


def _drop_a_product_user(case: Case) -> None:
    """A user whom the plan reaches leaves an audience."""
    influence = problem_of(case).influence
    chosen = pd.read_csv(case.plan / "selection.csv")["slot_id"]
    pairs = influence.to_pairs()
    reached = set(pairs.loc[pairs["slot_id"].isin(chosen), "user_id"])
    case.edit_input(
        "audiences",
        lambda frame: frame.drop(index=frame.index[frame["user_id"].isin(reached)][0]),
    )


class _Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def _pickled_members(case: Case) -> None:
    buffer = io.BytesIO()
    bomb = np.array([_Bomb(case.plan / "exploded")], dtype=object)
    np.savez(buffer, **dict.fromkeys(case.proof(), bomb))
    (case.plan / "proof.npz").write_bytes(buffer.getvalue())


def _pickle_as_proof(case: Case) -> None:
    (case.plan / "proof.npz").write_bytes(pickle.dumps(_Bomb(case.plan / "exploded")))


def _single_array(case: Case) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    (case.plan / "proof.npz").write_bytes(buffer.getvalue())


def _cut_short(name: str, share: float = 0.6) -> Alteration:
    def alter(case: Case) -> None:
        content = (case.plan / name).read_bytes()
        (case.plan / name).write_bytes(content[: int(len(content) * share)])

    return alter


def _nudged(number: float) -> float:
    return number * (1 + 1e-6)


ALTERATIONS: dict[str, Alteration] = {
    # selection.csv
    "slot replaced": lambda c: _add_other_slot(c, dropped=1),
    "slot added": lambda c: _add_other_slot(c, dropped=0),
    "slot id replaced": lambda c: _field("slot_id", lambda _: _other_slot(c)["slot_id"].iloc[0])(c),
    "slot removed": _selection(lambda t: t.iloc[1:]),
    "all slots removed": _selection(lambda t: t.iloc[:0]),
    "slot duplicated": _selection(lambda t: pd.concat([t, t.iloc[:1]])),
    "slot unknown": _field("slot_id", lambda s: s + "x"),
    "slot on another board": _field("board_id", lambda b: "b01" if b == "b00" else "b00"),
    "slot at another time": _field("start_min", lambda s: str(int(s) + 60)),
    "slot cheaper": _field("cost", lambda s: repr(float(s) * 0.99)),
    "slot without cost": _field("cost", lambda _: ""),
    "slot more influential": _field("influence", lambda s: repr(float(s) * 1.01)),
    "column dropped": _selection(lambda t: t.drop(columns="cost")),
    "id column dropped": _selection(lambda t: t.drop(columns="slot_id")),
    "selection empty": lambda c: (c.plan / "selection.csv").write_bytes(b""),
    "selection not text": lambda c: (c.plan / "selection.csv").write_bytes(b'slot_id\n"\xff\xfe'),
    # certificate.json
    "cost": stated(cost=_nudged),
    "value": stated(value=_nudged),
    "bound": stated(bound=_nudged),
    "rechecked bound": stated(rechecked_bound=_nudged),
    "gap": stated(gap=lambda gap: gap / 2),
    "bound and gap, in step": lambda c: stated(
        **dict.fromkeys(("bound", "rechecked_bound"), c.json("certificate.json")["value"]), gap=0.0
    )(c),
    "no bound": stated(bound=None, rechecked_bound=None, gap=None, bound_proof=None),
    "a solver's bound beyond the plan": _solver_bound_beyond,
    "a solver's bound that is no number": stated(solver_bound="6"),
    "a solver's bound that is NaN": stated(solver_bound=float("nan")),
    "demand": _product("demand", lambda x: x * 0.99 - 0.01),
    "achieved": _product("achieved", _nudged),
    "shortfall": _product("shortfall", lambda x: x + 0.01),
    "product renamed": _product("product_id", lambda x: x + " "),
    "product left out": stated(per_product=lambda products: products[:-1]),
    "products swapped": stated(per_product=lambda products: products[::-1]),
    "products of another kind": stated(per_product=[1, 2, 3]),
    "status": stated(status="optimal"),
    "status unheard of": stated(status="perfect"),
    "infeasible": stated(feasible=False),
    "reasons": stated(reasons=["because"]),
    "violations": stated(violations=[{"row": "budget"}]),
    "violations of another kind": stated(violations=[None]),
    "sense": stated(sense=lambda sense: {"min": "max", "max": "min"}[sense]),
    "problem": stated(problem="disjoint"),
    "number of slots": stated(n_selected=lambda n: n - 1),
    "cost as text": stated(cost=str),
    "cost as a list": stated(cost=lambda cost: [cost]),
    "cost NaN": stated(cost=float("nan")),
    "cost huge": stated(cost=10**400),
    "cost true": stated(cost=True),
    "claims removed": lambda c: (c.plan / "certificate.json").write_text("{}"),
    "certificate is a list": lambda c: (c.plan / "certificate.json").write_text("[]"),
    "certificate broken": _cut_short("certificate.json"),
    "certificate empty": lambda c: (c.plan / "certificate.json").write_bytes(b""),
    "certificate not text": lambda c: (c.plan / "certificate.json").write_bytes(b"\xff\xfe\x00"),
    # proof.npz
    "prices of all cuts, 1 % more": _arrays(cut=lambda x: 1.01 * x),
    "prices of all cuts, 1 % less": _arrays(cut=lambda x: 0.99 * x),
    "price of a cut, negative": _multiplier("cut", lambda x: -x),
    "price of a cut, NaN": _multiplier("cut", lambda _: np.nan),
    "price of a cut, infinite": _multiplier("cut", lambda _: np.inf),
    "all prices negated": _arrays(demand=np.negative, row_upper=np.negative, cut=np.negative),
    "all prices zero": _arrays(demand=np.zeros_like, row_upper=np.zeros_like, cut=np.zeros_like),
    "cut set changed": _last_cut_loses_a_slot,
    "cut user changed": _arrays(cut_user=lambda x: np.roll(x, 1)),
    "cut user out of range": _arrays(cut_user=lambda x: x + 10**6),
    "cut user negative": _arrays(cut_user=lambda x: -x - 1),
    "cut slot out of range": _arrays(cut_slot=lambda x: np.append(x[:-1], 10**6)),
    "cut start not rising": _arrays(cut_start=lambda x: x[::-1].copy()),
    "cut start empty": _arrays(cut_start=lambda x: x[:0]),
    "cut left out": _arrays(cut=lambda x: x[:-1]),
    "prices as text": _arrays(cut=lambda x: x.astype("U")),
    "prices complex": _arrays(cut=lambda x: x.astype(complex)),
    "indices as floats": _arrays(cut_user=lambda x: x.astype(float)),
    "prices of another shape": _arrays(demand=lambda x: x[:, None]),
    "proof of other tables": _arrays(order=lambda _: np.array("0" * 64)),
    "proof without order": lambda c: c.edit_proof(lambda arrays: arrays.pop("order")),
    "proof without a part": lambda c: c.edit_proof(lambda arrays: arrays.pop("cut")),
    "proof removed from the archive": lambda c: c.edit_proof(
        lambda arrays: [arrays.pop(name) for name in list(arrays) if name != "order"]
    ),
    "proof truncated": _cut_short("proof.npz"),
    "proof empty": lambda c: (c.plan / "proof.npz").write_bytes(b""),
    "proof pickled inside": _pickled_members,
    "proof a pickle": _pickle_as_proof,
    "proof one array": _single_array,
    "proof missing": lambda c: (c.plan / "proof.npz").unlink(),
    # input tables
    "input: a check-in elsewhere": _move_a_checkin,
    "input: a panel larger": lambda c: _every_chosen_slot(
        c, "billboards", "size", lambda x: x * 1.01
    ),
    "input: a board elsewhere": lambda c: _every_chosen_slot(
        c, "billboards", "lat", lambda x: x + 0.003
    ),
    "input: a user fewer": _drop_a_product_user,
    # run.json
    "run: another radius": _run(lambda run: run["inputs"].update(radius_m=120.0)),
    "run: another seed of costs": _run(lambda run: run["inputs"].update(seed=1)),
    "run: another link": _run(lambda run: run["inputs"].update(link="independent-exposures")),
    "run: an unknown link": _run(lambda run: run["inputs"].update(link="none")),
    "run: text for a number": _run(lambda run: run["inputs"].update(radius_m="100")),
    "run: a number for a path": _run(lambda run: run["inputs"].update(demands=7)),
    "run: an unknown key": _run(lambda run: run["inputs"].update(radius=100.0)),
    "run: no inputs": _run(lambda run: run.update(inputs=[])),
    "run: broken": _cut_short("run.json"),
}
ONLY_COMMON: dict[str, Alteration] = {
    "price of a demand, 1 % more": _multiplier("demand", lambda x: 1.01 * x),
    "price of a demand, negative": _multiplier("demand", lambda x: -x),
    "price of a demand, NaN": _multiplier("demand", lambda _: np.nan),
    "input: a demand": lambda c: c.edit_input(
        "demands", lambda t: t.assign(demand=t["demand"] * 0.999)
    ),
    "run: budgeted": _run(lambda run: run["inputs"].update(problem="budgeted", budget=3.0)),
}
ONLY_BUDGETED: dict[str, Alteration] = {
    "price of the limits, 1 % less": _multiplier("row_upper", lambda x: 0.99 * x),
    "price of the limits, negative": _multiplier("row_upper", lambda x: -x),
    "run: a budget that is passed": _run(lambda run: run["inputs"].update(budget=1.0)),
    "run: common": _run(
        lambda run: run["inputs"].update(problem="common", budget=None, max_slots=None)
    ),
}
