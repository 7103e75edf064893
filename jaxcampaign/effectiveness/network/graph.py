"""Audience overlaps as a graph: what the neighbours of an influencer tell about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array
from jax.tree_util import register_dataclass

from jaxcampaign.errors import InputError

_COLUMNS = ("influencer_id", "other_id", "weight")


@register_dataclass
@dataclass(frozen=True, eq=False)
class OverlapGraph:
    """Symmetric-normalised overlaps, D^-1/2 A D^-1/2, both directions of an edge, by receiver."""

    sender: Array  # i32[E]
    receiver: Array  # i32[E], sorted
    weight: Array  # f32[E]
    n_nodes: int = field(metadata={"static": True})

    @classmethod
    def from_table(cls, overlaps: pd.DataFrame, influencer_ids: np.ndarray) -> OverlapGraph:
        """The graph of a table of overlaps; node i is `influencer_ids[i]`.

        An overlap counts in both directions, and pairs named more than once with their mean weight.
        Overlaps of influencers that are not asked for are left out.

        Args:
          overlaps: influencer_id, other_id, weight; those known at the cut-off only.
          influencer_ids: str[n], each once.

        Raises:
          InputError: a column that lacks, a weight that is missing, infinite or negative, an
            overlap of an influencer with itself, or repeated ids.
        """
        for name in _COLUMNS:
            if name not in overlaps:
                raise InputError("no such column", table="overlaps", column=name)
        nodes = pd.Index(influencer_ids)
        if nodes.has_duplicates:
            twice = nodes[nodes.duplicated()]
            raise InputError("an id occurs twice", table="influencer_ids", rows=twice.tolist())
        weight = overlaps["weight"].to_numpy(np.float64, na_value=np.nan)
        _refuse_rows(
            ~np.isfinite(weight) | (weight < 0), "a weight is missing, infinite or negative", weight
        )
        ends = [overlaps[name].to_numpy() for name in _COLUMNS[:2]]
        _refuse_rows(ends[0] == ends[1], "an influencer overlaps with itself", ends[0])
        first, second = (nodes.get_indexer(end) for end in ends)
        known = (first >= 0) & (second >= 0) & (weight > 0)
        pairs = pd.DataFrame(
            {
                "low": np.minimum(first, second)[known],
                "high": np.maximum(first, second)[known],
                "weight": weight[known],
            }
        )
        pairs = pairs.groupby(["low", "high"], as_index=False)["weight"].mean()
        low, high, mean = (pairs[name].to_numpy() for name in ("low", "high", "weight"))
        sender, receiver = np.concatenate([low, high]), np.concatenate([high, low])
        both = np.concatenate([mean, mean])
        degree = np.bincount(receiver, weights=both, minlength=len(nodes))
        both = both / np.sqrt(degree[sender] * degree[receiver])
        order = np.lexsort((sender, receiver))
        return cls(
            sender=jnp.asarray(sender[order], jnp.int32),
            receiver=jnp.asarray(receiver[order], jnp.int32),
            weight=jnp.asarray(both[order], jnp.float32),
            n_nodes=len(nodes),
        )


def propagate(graph: OverlapGraph, values: Array) -> Array:
    """f32[n, F]: the normalised adjacency times f32[n, F]. Differentiable; work is O(E F)."""
    messages = graph.weight[:, None] * values[graph.sender]
    return jax.ops.segment_sum(
        messages, graph.receiver, num_segments=graph.n_nodes, indices_are_sorted=True
    )


@partial(jax.jit, static_argnames="layers")
def light_gcn(graph: OverlapGraph, embeddings: Array, layers: int = 2) -> Array:
    """f32[n, D]: the mean of the embeddings and their `layers` propagations.

    LightGCN (He et al. 2020), equations 3 and 8: message passing without weights of its own.
    """

    def layer(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        current, total = carry
        current = propagate(graph, current)
        return (current, total + current), None

    start = (embeddings, embeddings)
    (_, total), _ = jax.lax.scan(layer, start, None, length=layers)
    return total / (layers + 1)


def overlap_features(graph: OverlapGraph, values: np.ndarray, layers: int = 2) -> np.ndarray:
    """What the neighbours up to `layers` steps away show, as columns.

    Args:
      graph: of n influencers.
      values: float[n, F], NaN where missing.
      layers: steps along overlaps.

    Returns:
      f32[n, layers * F], layer by layer: means of the known values of the neighbours, weighted by
      the normalised overlaps. NaN where no neighbour is known.
    """
    values = np.asarray(values, np.float32)
    if values.ndim != 2 or len(values) != graph.n_nodes:
        raise InputError(
            f"shape {values.shape} does not fit {graph.n_nodes} influencers", table="values"
        )
    if layers < 1:
        raise InputError("must be a number from 1 on", table="layers", value=layers)
    return np.asarray(_neighbour_means(graph, jnp.asarray(values), layers))


@partial(jax.jit, static_argnames="layers")
def _neighbour_means(graph: OverlapGraph, values: Array, layers: int) -> Array:
    known = ~jnp.isnan(values)

    def layer(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        # Sums and weights travel apart, so that what is missing weighs nothing on the way.
        sums, weights = (propagate(graph, part) for part in carry)
        mean = jnp.where(weights > 0, sums / jnp.where(weights > 0, weights, 1.0), jnp.nan)
        return (sums, weights), mean

    start = (jnp.where(known, values, 0.0), known.astype(jnp.float32))
    _, means = jax.lax.scan(layer, start, None, length=layers)
    return jnp.moveaxis(means, 0, 1).reshape(graph.n_nodes, -1)


def _refuse_rows(bad: np.ndarray, problem: str, values: np.ndarray) -> None:
    if (rows := np.flatnonzero(bad)).size:
        value = values[rows[0]]
        raise InputError(problem, table="overlaps", rows=rows.tolist(), value=value)
